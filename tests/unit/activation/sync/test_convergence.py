"""Whatever happens on the way, the destination ends up holding exactly what is desired.

A property test over weeks of tables, faults of the vendor and deaths of the process, and the matrix of every fault at
every call. `make sync-faults` runs many more of them (FAULT_CASES).
"""

import os
from collections import Counter, deque
from collections.abc import Collection
from copy import deepcopy
from datetime import timedelta
from functools import cache

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from activation.sync.engine import SyncResult, SyncSettings, sync
from activation.sync.guards import Guards
from activation.sync.payload import key_of
from tests.unit.activation.sync.scripted import (
    START,
    Death,
    FakeClock,
    Killed,
    MortalConnection,
    ScriptedDestination,
    Vendor,
    gated,
)

CASES = int(os.environ.get("FAULT_CASES", "12"))
EVERY = 1 if "FAULT_CASES" in os.environ else 12
"""Without FAULT_CASES every twelfth call and step of the matrices is tried, from another one on for each fault."""

FAULTS = (
    *("ok", "429", "500 before", "500 after", "lost before", "lost after", "late"),
    *("stuck", "job lost", "partial", "duplicate", "silent"),
)
PEOPLE = [f"person{number}@example.com" for number in range(8)]
SEGMENTS = ("loyal", "new")
FOREIGN = "somebody.else@example.com"
NO_GUARDS = SyncSettings(guards=Guards(max_removal_share=1.0, rejection_floor=1000), seed=1, job_deadline_seconds=60)

Table = dict[str, dict[str, tuple[str | None, float | None]]]
counted: Counter[str] = Counter()


class World:
    """A vendor, a warehouse and the company's current table; processes come and go."""

    def __init__(
        self, vendor: Vendor, jobs: bool, reads_back: bool = True, never_told: frozenset[str] = frozenset()
    ) -> None:
        self.vendor = vendor
        self.warehouse = duckdb.connect(config={"threads": 1})
        self.clock = FakeClock()
        self.erased: list[str] = []
        self.weeks = 0
        self._jobs = jobs
        self._told = {"reads_back": reads_back, "never_told": never_told}
        vendor.members("loyal").setdefault(FOREIGN, {"persona": "theirs"})

    def copied(self) -> "World":
        """The same vendor, warehouse and moment once more, with what the warehouse keeps."""
        world = World(deepcopy(self.vendor), self._jobs)
        world.clock.sleep(self.clock.monotonic())
        world.warehouse.execute("create schema activation")
        tables = "select table_name, sql from duckdb_tables() where schema_name = 'activation'"
        for name, made_by in self.warehouse.execute(tables).fetchall():
            world.warehouse.execute(made_by)
            rows = self.warehouse.sql(f"from activation.{name}").pl()
            if rows.height:
                world.warehouse.execute(f"insert into activation.{name} from rows")
        return world

    def sync(self, table: Table, death: Death | None = None) -> SyncResult | None:
        """One process that syncs a table; nothing where it was killed."""
        death = death or Death()
        audiences = [
            gated(
                self.warehouse, people, segment, as_of=START.date() + timedelta(days=self.clock.monotonic() // 86_400)
            )
            for segment, people in table.items()
        ]
        destination = ScriptedDestination(self.vendor, death, self._jobs, **self._told)  # type: ignore[arg-type]
        try:
            return sync(
                MortalConnection(self.warehouse, death),  # type: ignore[arg-type]
                destination,
                audiences,
                erased=self.erased,
                settings=NO_GUARDS,
                clock=self.clock,
                channels=(),
                allow_mass_removal=True,
            )
        except Killed:
            counted["killed"] += 1
            return None

    def settle(self, table: Table) -> SyncResult:
        """The vendor is well again and has done everything it accepted; the weekly sync runs until it says done."""
        self.vendor.faults.clear()
        self.vendor.catch_up()
        for _ in range(3):
            result = self.sync(table)
            assert result is not None
            if result.state == "done":
                return result
        raise AssertionError(f"not done after three syncs without faults: {result.state}: {result.reason}")

    def check(self, table: Table) -> None:
        """Held is desired: nobody wrongly there, nobody wrongly absent, no refusal lost, nobody's own list touched."""
        unwanted = self.vendor.suppressed | set(self.erased)
        refused = set(self.warehouse.execute("select segment, key from activation.sync_rejections").fetchall())
        for segment, people in table.items():
            held = self.vendor.members(segment)
            desired = {one: fields for one, fields in people.items() if one not in unwanted}
            wrongly_present = held.keys() - desired.keys() - {FOREIGN}
            wrongly_absent = {one for one in desired if one not in held and one not in self.vendor.refuses}
            assert not wrongly_present, wrongly_present
            assert not wrongly_absent, wrongly_absent
            for one, (persona, score) in desired.items():
                if one in self.vendor.refuses:
                    assert (segment, key_of(one)) in refused, "a refusal was lost"
                else:
                    assert held[one].get("score") == score
                    assert persona is None or held[one].get("persona") == persona
            assert FOREIGN in held or segment != "loyal", "somebody else's member was removed"
            counted["people held as desired"] += len(desired)
            counted["refusals kept"] += len(set(desired) & self.vendor.refuses)


fields = st.tuples(st.sampled_from(["loyal", "bargain", None]), st.sampled_from([None, 0.25, 1.0]))
tables = st.fixed_dictionaries(
    {segment: st.dictionaries(st.sampled_from(PEOPLE), fields, max_size=len(PEOPLE)) for segment in SEGMENTS}
)
weeks = st.lists(
    st.fixed_dictionaries(
        {
            "table": tables,
            "faults": st.lists(st.sampled_from(FAULTS), max_size=14),
            "death": st.one_of(st.none(), st.integers(1, 60)),
            "skew hours": st.sampled_from([0, 0, -5, 5, 30]),
            "suppressed": st.sets(st.sampled_from(PEOPLE), max_size=2),
            "erased": st.one_of(st.none(), st.none(), st.sampled_from(PEOPLE)),
            "vendor removes": st.one_of(st.none(), st.sampled_from(PEOPLE)),
        }
    ),
    min_size=1,
    max_size=4,
)


drawn = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
    # A counterexample is not made smaller unless asked: each try is several syncs.
    phases=list(Phase) if os.environ.get("FAULT_SHRINK") else [Phase.explicit, Phase.generate],
)
refused = st.frozensets(st.sampled_from(PEOPLE), max_size=2)


def live_through(world: World, weeks: list[dict], faults: Collection[str], vendor_removes: bool) -> None:  # type: ignore[type-arg]
    """Weeks with everything that goes wrong in them; then the vendor is well again, and held is desired."""
    for week in weeks:
        world.vendor.suppressed = set(week["suppressed"])
        if week["erased"]:
            world.erased.append(week["erased"])
        if week["vendor removes"] and vendor_removes:
            world.vendor.members("loyal").pop(week["vendor removes"], None)
        world.clock.skew = timedelta(hours=week["skew hours"])
        world.vendor.faults = deque(fault for fault in week["faults"] if fault in faults)
        world.sync(week["table"], Death(week["death"]))
        world.clock.sleep(7 * 86_400)
        counted["syncs"] += 1
    world.clock.skew = timedelta()
    world.settle(weeks[-1]["table"])
    world.check(weeks[-1]["table"])


@drawn
@given(
    weeks=weeks,
    refuses=refused,
    whole_batches=st.booleans(),
    jobs=st.booleans(),
    never_told=st.sampled_from([frozenset(), frozenset(), frozenset({"score"})]),
)
def test_any_weeks_under_any_faults_end_with_what_is_desired(weeks, refuses, whole_batches, jobs, never_told):
    """Also where a field is never told, but for what nobody could know: a lost call that writes it days later."""
    world = World(Vendor(refuses, refuses_whole_batches=whole_batches), jobs, never_told=never_told)
    live_through(world, weeks, set(FAULTS) - {"late"} if never_told else FAULTS, vendor_removes=True)
    counted["cases"] += 1
    counted["cases with a field that is never told"] += bool(never_told)


@drawn
@given(weeks=weeks, refuses=refused, jobs=st.booleans())
def test_where_nobody_can_be_asked_doubt_alone_is_enough(weeks, refuses, jobs):
    """But for what nobody could know: a lost call carried out days later, or somebody removed there by hand."""
    world = World(Vendor(refuses), jobs, reads_back=False)
    live_through(world, weeks, set(FAULTS) - {"late"}, vendor_removes=False)
    counted["cases without read-back"] += 1


FIRST: Table = {"loyal": dict.fromkeys(PEOPLE[:5], ("loyal", 1.0)), "new": {}}
SECOND: Table = {
    "loyal": {
        PEOPLE[0]: ("loyal", 1.0),
        PEOPLE[1]: ("bargain", None),
        PEOPLE[5]: ("loyal", 0.25),
        PEOPLE[7]: (None, 1.0),
    },
    "new": {PEOPLE[2]: ("new", 0.25)},
}


@cache
def _first_week(jobs: bool) -> World:
    world = World(Vendor(frozenset({PEOPLE[7]})), jobs)
    world.sync(FIRST)
    return world


@cache
def calls_of_a_sync(jobs: bool) -> tuple[str, ...]:
    world = _first_week(jobs).copied()
    before = len(world.vendor.calls)
    world.sync(SECOND)
    return tuple(world.vendor.calls[before:])


@pytest.mark.parametrize("jobs", [False, True], ids=["answers at once", "answers with jobs"])
@pytest.mark.parametrize("fault", FAULTS[1:])
def test_every_fault_at_every_call(fault, jobs):
    calls = len(calls_of_a_sync(jobs))
    for call in range(FAULTS.index(fault) % min(EVERY, calls), calls, EVERY):
        world = _first_week(jobs).copied()
        world.vendor.faults = deque(["ok"] * call + [fault])
        world.sync(SECOND)
        world.settle(SECOND)
        world.check(SECOND)
        counted["fault matrix"] += 1


@pytest.mark.parametrize("jobs", [False, True], ids=["answers at once", "answers with jobs"])
def test_a_process_killed_at_every_step(jobs):
    death = Death()
    world = _first_week(jobs).copied()
    world.sync(SECOND, death)
    assert death.steps > 20
    for step in range(1 + jobs, death.steps + 1, EVERY):
        world = _first_week(jobs).copied()
        assert world.sync(SECOND, Death(step)) is None
        world.settle(SECOND)
        world.check(SECOND)
        counted["death at a step"] += 1


def test_who_was_let_in_as_the_process_was_killed_leaves_though_nobody_heard_of_it():
    """The destination cannot be asked, and nobody is desired any more: doubt alone has them leave."""
    somebody: Table = {"loyal": {PEOPLE[0]: ("loyal", 1.0)}}
    let_in = step = 0
    while True:
        step += 1
        world = World(Vendor(), jobs=False, reads_back=False)
        if world.sync(somebody, Death(step)) is not None:
            break
        let_in += PEOPLE[0] in world.vendor.members("loyal")
        world.settle({"loyal": {}})
        world.check({"loyal": {}})
    assert let_in, "no death came after the call"


def test_a_burst_of_429_is_waited_out_within_the_run():
    world = World(Vendor(), jobs=False)
    world.vendor.faults = deque(["429"] * 12)
    result = world.sync(FIRST)
    assert result is not None and result.state == "done"
    assert world.clock.monotonic() >= 12 * 7


def test_a_late_job_of_an_earlier_run_is_undone():
    world = World(Vendor(), jobs=True)
    world.vendor.faults = deque(["ok", "ok", "stuck"])  # suppressions, prepare, the first join
    result = world.sync({"loyal": {PEOPLE[0]: ("loyal", 1.0)}})
    assert result is not None and result.state == "incomplete"
    result = world.sync({"loyal": {}})
    assert result is not None and result.state == "incomplete"
    assert world.vendor.members("loyal").keys() == {FOREIGN}
    world.settle({"loyal": {}})
    assert world.vendor.members("loyal").keys() == {FOREIGN}


def teardown_module() -> None:
    print(f"\nconvergence: {dict(counted)}")
