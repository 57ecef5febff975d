"""What a sync does and does not do: modes, guards, rejections, dry runs, alerts, and what is written about it."""

import json
import logging
from collections import deque
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest

from activation.sync.alerts import Alert
from activation.sync.engine import SyncResult, SyncSettings, sync
from activation.sync.guards import Guards
from activation.sync.payload import canonical_json, key_of, payload_hash, payload_hash_sql, payload_sql
from activation.sync.protocol import Fatal, FieldMapping, FieldType, MappedField, Mode, NullPolicy, Operation
from tests.unit.activation.sync.scripted import MAPPING, FakeClock, ScriptedDestination, Vendor, gated

PEOPLE = [f"p{number:03d}@example.com" for number in range(200)]
LOYAL = ("loyal", 1.0)


class Company:
    def __init__(self, vendor: Vendor | None = None, **connector: object) -> None:
        self.vendor = vendor or Vendor()
        self.warehouse = duckdb.connect(config={"threads": 1})
        self.clock = FakeClock()
        self.connector = {"batch_rows": 50} | connector
        self.alerts: list[Alert] = []

    def sync(
        self,
        people,
        mode: Mode = Mode.MIRROR,
        mapping: FieldMapping = MAPPING,
        guards: Guards | None = None,
        **options: object,
    ) -> SyncResult:
        self.destination = ScriptedDestination(self.vendor, **self.connector)  # type: ignore[arg-type]
        as_of = options.pop("as_of", None) or date(2026, 11, 16) + timedelta(days=self.clock.monotonic() // 86_400)
        return sync(
            self.warehouse,
            self.destination,
            [gated(self.warehouse, people, mode=mode, mapping=mapping, as_of=as_of)],
            settings=SyncSettings(guards=guards or Guards(), seed=1),
            clock=self.clock,
            channels=(self,),  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )

    def send(self, alert: Alert) -> None:
        self.alerts.append(alert)

    @property
    def held(self) -> set[str]:
        return set(self.vendor.members("loyal"))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return self.warehouse.execute(query).fetchall()

    def applied(self) -> list[str]:
        return [call for call in self.vendor.calls if call.startswith("apply")]


@pytest.mark.parametrize(
    ("mode", "joins", "refreshes", "leaves"),
    [
        (Mode.MIRROR, True, True, True),
        (Mode.UPSERT, True, True, False),
        (Mode.ADD_ONLY, True, False, False),
        (Mode.UPDATE_ONLY, False, True, False),
        (Mode.REMOVE_ONLY, False, False, True),
    ],
)
def test_modes(mode, joins, refreshes, leaves):
    company = Company()
    company.sync({"stays@example.com": LOYAL, "goes@example.com": LOYAL, "leaves@example.com": LOYAL})
    company.vendor.suppressed = {"goes@example.com"}
    result = company.sync(
        {"stays@example.com": ("bargain", 1.0), "goes@example.com": LOYAL, "new@example.com": LOYAL}, mode
    )
    assert result.state == "done", result.reason
    assert ("new@example.com" in company.held) is joins
    assert (company.vendor.members("loyal")["stays@example.com"]["persona"] == "bargain") is refreshes
    assert ("leaves@example.com" not in company.held) is leaves
    assert "goes@example.com" not in company.held, "who is suppressed leaves in every mode"


def test_a_full_resync_sends_everybody_and_still_finds_who_left():
    company = Company()
    company.sync(PEOPLE)
    plan = company.sync(PEOPLE[:-5], full=True).plan
    assert plan.segments[0].upserts == 195 and plan.segments[0].leaves == 5


def test_only_what_changed_is_sent():
    company = Company()
    company.sync(PEOPLE)
    plan = company.sync({one: ("bargain" if one == PEOPLE[3] else "loyal", 0.5) for one in PEOPLE}).plan
    assert (plan.segments[0].joins, plan.segments[0].upserts, plan.segments[0].leaves) == (0, 1, 0)


def test_a_new_version_of_the_mapping_sends_everybody_again():
    company = Company()
    company.sync(PEOPLE)
    assert company.sync(PEOPLE, mapping=FieldMapping("2", MAPPING.fields)).plan.segments[0].upserts == 200


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ({"a@example.com": LOYAL, "": LOYAL}, "no identifier"),
        ({"a@example.com": LOYAL, " A@Example.com ": LOYAL}, "more than one person"),
    ],
)
def test_missing_and_double_identifiers_stop_before_any_call(people, reason):
    company = Company()
    result = company.sync(people)
    assert result.state == "blocked" and reason in result.reason and "example.com" not in result.reason
    assert company.applied() == []


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("persona", FieldType.NUMBER),
        ("persona", FieldType.BOOLEAN),
        ("persona", FieldType.DATE),
        ("persona", FieldType.TIMESTAMP),
        ("score", FieldType.NUMBER),  # too large for one
        ("score", FieldType.DATE),  # no cast from a number
        ("score", FieldType.TIMESTAMP),
    ],
)
def test_a_value_of_the_wrong_type_stops_without_being_told(source, kind):
    company = Company()
    mapping = FieldMapping("1", (MappedField("field", source, kind),))
    result = company.sync({"a@example.com": ("canary", 1e300)}, mapping=mapping)
    assert result.state == "blocked" and "the type its field is mapped to" in result.reason
    assert "canary" not in result.reason and "1000" not in result.reason
    assert company.applied() == []


def test_one_field_from_two_sources_is_refused():
    company = Company()
    other = FieldMapping("1", (MappedField("persona", "score", FieldType.NUMBER),))
    audiences = [gated(company.warehouse, PEOPLE, "loyal"), gated(company.warehouse, PEOPLE, "new", mapping=other)]
    result = sync(company.warehouse, ScriptedDestination(company.vendor), audiences, clock=company.clock, channels=())
    assert result.state == "blocked" and "filled in two ways" in result.reason


def test_a_mass_removal_is_stopped_and_the_override_is_recorded():
    company = Company()
    company.sync(PEOPLE)
    result = company.sync(PEOPLE[:100])
    assert result.state == "blocked" and "100 of 200 people would leave" in result.reason
    assert company.held == set(PEOPLE)
    assert company.sync(PEOPLE[:100], allow_mass_removal=True).state == "done"
    assert company.held == set(PEOPLE[:100])
    assert company.rows("select allow_mass_removal from activation.sync_runs order by started_at, rowid")[-1] == (True,)


def test_an_empty_source_is_stopped_whatever_its_size():
    company = Company()
    company.sync(PEOPLE[:3])
    assert company.sync([]).state == "blocked"
    assert company.held == set(PEOPLE[:3])


@pytest.mark.parametrize(("days", "word"), [(-30, "stale"), (10, "clock")])
def test_a_stale_source_and_one_from_the_future_are_stopped(days, word):
    result = Company().sync(PEOPLE, as_of=date(2026, 11, 16) + timedelta(days=days), allow_mass_removal=True)
    assert result.state == "blocked" and word in result.reason


def test_a_count_unlike_the_last_weeks_is_stopped():
    company = Company()
    for _ in range(3):
        company.sync(PEOPLE[:60])
        company.clock.sleep(7 * 86_400)
    guards = Guards(deviation_floor=20)
    result = company.sync(PEOPLE, guards=guards)
    assert result.state == "blocked" and "has 200 people, and the last weeks had 60" in result.reason


def test_a_flood_of_refusals_stops_the_run_and_is_not_bisected_to_the_end():
    company = Company(Vendor(frozenset(PEOPLE), refuses_whole_batches=True))
    result = company.sync(PEOPLE, guards=Guards(rejection_floor=10))
    assert result.state == "stopped"
    assert len(company.applied()) < 60


def test_a_refused_row_does_not_take_its_batch_along_and_waits_for_a_change():
    company = Company(Vendor(frozenset({PEOPLE[7]}), refuses_whole_batches=True))
    assert company.sync(PEOPLE).state == "done"
    assert company.held == set(PEOPLE) - {PEOPLE[7]}
    ((key, code, message),) = company.rows("select key, code, message from activation.sync_rejections")
    assert (key, code) == (key_of(PEOPLE[7]), "invalid") and "example.com" not in str(message)
    before = len(company.applied())
    result = company.sync(PEOPLE)
    assert result.plan.segments[0].set_aside == 1 and len(company.applied()) == before
    company.vendor.refuses = frozenset()
    changed = {one: ("bargain" if one == PEOPLE[7] else "loyal", 0.5) for one in PEOPLE}
    assert company.sync(changed).state == "done"
    assert PEOPLE[7] in company.held
    assert company.rows("select * from activation.sync_rejections") == []


def test_a_dry_run_stores_its_plan_and_sends_nothing():
    company = Company()
    result = company.sync(PEOPLE, dry_run=True)
    assert result.state == "planned" and company.vendor.calls == ["suppressions"]
    ((plan, is_dry),) = company.rows("select plan, is_dry_run from activation.sync_runs")
    stored = json.loads(str(plan))
    assert is_dry and stored["rows"] == 200 and stored["fields"] == {"loyal": ["persona", "score"]} and stored["calls"]
    assert company.sync(PEOPLE).state == "done"


def test_suppressions_that_cannot_be_pulled_stop_the_sync():
    company = Company()
    company.destination = ScriptedDestination(company.vendor)

    class Closed(ScriptedDestination):
        def pull_suppressions(self):  # type: ignore[no-untyped-def]
            raise Fatal("401 unauthorized", 401)

    result = sync(
        company.warehouse, Closed(company.vendor), [gated(company.warehouse, PEOPLE)], clock=company.clock, channels=()
    )
    assert result.state == "failed" and company.applied() == []


def test_a_destination_without_an_operation_is_not_asked_for_it():
    company = Company()
    company.sync(PEOPLE)
    company.connector = {"operations": frozenset({Operation.JOIN, Operation.UPSERT})}
    result = company.sync(PEOPLE[:-2])
    assert result.state == "blocked" and "leave" in result.reason


def test_erasure_without_a_delete_removes_memberships_and_keeps_no_address():
    company = Company(operations=frozenset({Operation.JOIN, Operation.UPSERT, Operation.LEAVE}))
    company.sync(PEOPLE[:5])
    assert company.sync(PEOPLE[:5], erased=[PEOPLE[0].upper()]).state == "done"
    assert company.held == set(PEOPLE[1:5])
    assert PEOPLE[0] not in str(company.rows("select identifier from activation.sync_snapshot"))


@pytest.mark.parametrize("fault", ["ok", "silent", "partial"])
def test_who_left_before_is_erased_all_the_same(fault):
    company = Company()
    company.sync(PEOPLE[:5])
    company.sync(PEOPLE[1:5])
    company.vendor.faults = deque(["ok", "ok", fault])
    company.sync(PEOPLE[1:5], erased=[PEOPLE[0]])
    assert company.sync(PEOPLE[1:5], erased=[PEOPLE[0]]).state == "done"
    assert company.vendor.erased == {PEOPLE[0]}
    assert PEOPLE[0] not in str(company.rows("from activation.sync_snapshot"))
    assert (
        company.rows(
            "select table_name from information_schema.tables where table_name in ('sync_desired', 'sync_held')"
        )
        == []
    )


def test_who_left_leaves_no_address_behind():
    company = Company()
    company.sync(PEOPLE[:5])
    company.sync(PEOPLE[1:5])
    assert PEOPLE[0] not in str(company.rows("from activation.sync_snapshot"))


def test_the_changelog_tells_every_operation_from_plan_to_confirmation():
    company = Company(jobs=True)
    company.sync(PEOPLE[:2])
    told = company.rows(
        "select status from activation.sync_changelog where key = '" + key_of(PEOPLE[0]) + "' order by rowid"
    )
    assert [status for (status,) in told] == ["planned", "sent", "accepted", "confirmed"]


def test_somebody_elses_members_are_left_alone_and_reported():
    company = Company()
    company.vendor.members("loyal")["theirs@example.com"] = {}
    result = company.sync(PEOPLE[:2])
    assert result.state == "done" and dict(result.receipts[0].people) == {"as desired": 2, "foreign": 1}


def test_a_member_whom_somebody_removed_there_is_missed_and_added_again():
    company = Company()
    company.sync(PEOPLE)
    del company.vendor.members("loyal")[PEOPLE[0]]
    assert company.sync(PEOPLE).state == "done" and company.held == set(PEOPLE)


@pytest.mark.parametrize("never_told", [frozenset(), frozenset({"score"})], ids=["all are told", "one is never told"])
def test_fields_that_somebody_changed_there_are_set_right(never_told):
    company = Company(never_told=never_told)
    company.sync(PEOPLE)
    company.vendor.members("loyal")[PEOPLE[0]]["persona"] = "theirs"
    company.vendor.members("loyal")[PEOPLE[1]]["persona"] = {"not": "ours"}
    result = company.sync(PEOPLE)
    assert (result.state, dict(result.receipts[0].people)) == ("done", {"as desired": 200})
    assert [company.vendor.members("loyal")[one]["persona"] for one in PEOPLE[:2]] == ["loyal", "loyal"]
    assert company.sync(PEOPLE).plan.operations == 0


def test_blanks_at_the_ends_are_no_difference():
    company = Company()
    company.sync({"ada@example.com": ("\u00a0 loyal ", 1.0)})
    company.vendor.members("loyal")["ada@example.com"]["persona"] = "loyal"
    assert company.sync({"ada@example.com": ("\u00a0 loyal ", 1.0)}).state == "done"
    assert company.applied() == ["apply join"]


@pytest.mark.parametrize("jobs", [False, True], ids=["answers at once", "answers with jobs"])
@pytest.mark.parametrize("fault", ["ok", "silent", "partial", "job lost", "500 after", "duplicate"])
def test_a_field_that_is_never_told_is_sent_until_it_was_taken_and_then_no_more(fault, jobs):
    company = Company(never_told=frozenset({"score"}), jobs=jobs)
    company.sync(PEOPLE[:5])
    changed = dict.fromkeys(PEOPLE[:5], ("loyal", 0.75))
    company.vendor.faults = deque(["ok", "ok", fault])  # suppressions, prepare, the first batch
    assert company.sync(changed).state == "done"
    assert {held["score"] for held in company.vendor.members("loyal").values()} == {0.75}
    before = len(company.applied())
    assert company.sync(changed).state == "done" and len(company.applied()) == before


def test_a_vendor_that_accepts_and_tells_of_no_row_is_not_sent_a_field_it_never_tells_again_and_again():
    class TellsNothing(ScriptedDestination):
        def poll(self, job):
            return replace(super().poll(job), unattributed=1)

    company = Company()
    for expected in (["apply join"], []):
        before = len(company.applied())
        destination = TellsNothing(company.vendor, jobs=True, batch_rows=50, never_told=frozenset({"score"}))
        audience = gated(company.warehouse, PEOPLE[:5])
        ended = sync(company.warehouse, destination, [audience], clock=company.clock, channels=())
        assert ended.state == "done" and company.applied()[before:] == expected


def test_a_destination_that_cannot_be_asked_says_so():
    company = Company(reads_back=False)
    result = company.sync(PEOPLE[:3])
    assert result.state == "done" and dict(result.receipts[0].people) == {"not asked": 3}


def test_receipts_are_published_row_by_row():
    company = Company()
    company.sync(PEOPLE[:3])
    company.sync(PEOPLE[1:3])
    found = company.rows(
        "select is_desired, is_confirmed, is_held, outcome, count(*) from activation.receipts group by all order by all"
    )
    assert found == [(False, False, False, "gone", 1), (True, True, True, "as desired", 2)]


def test_a_state_is_told_when_it_changes_and_when_it_recovers():
    company = Company()
    company.sync(PEOPLE)
    assert company.alerts == []
    for _ in range(2):
        company.sync([])
    assert [alert.state for alert in company.alerts] == ["blocked"]
    company.sync(PEOPLE)
    company.sync(PEOPLE)
    assert [(alert.state, alert.before) for alert in company.alerts] == [("blocked", None), ("works", "blocked")]


def test_batches_side_by_side_end_the_same():
    company = Company(concurrency=4, batch_rows=10)
    company.vendor.faults = deque(["ok"] * 3 + ["partial", "500 after", "silent", "429"])
    assert company.sync(PEOPLE).state == "done" and company.held == set(PEOPLE)


def test_an_error_of_a_connector_is_told_by_its_type_alone(caplog):
    company = Company()

    class Broken(ScriptedDestination):
        def prepare(self, shape):  # type: ignore[no-untyped-def]
            raise RuntimeError("canary@example.com is broken")

    with caplog.at_level(logging.ERROR):
        result = sync(
            company.warehouse,
            Broken(company.vendor),
            [gated(company.warehouse, PEOPLE)],
            clock=company.clock,
            channels=(),
        )
    assert result.state == "failed" and result.reason.startswith("RuntimeError")
    assert "canary@example.com" not in caplog.text + result.reason


VALUES: list[tuple[object, ...]] = [
    ("plain", 1.5, True, date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ('"quoted" \\ / \u00fc \U0001f600 \u2028', 0.1, False, None, None),
    ("tab\tand\nline", -0.0, None, None, None),
    ("", 1e-7, None, None, None),
    (None, 123456789.123456, None, None, None),
    ("x", 1e15, None, None, None),
    ("x", -2.5e-6, None, None, None),
]
ALL_TYPES = FieldMapping(
    "7",
    (
        MappedField("text", "t"),
        MappedField("number", "n", FieldType.NUMBER, NullPolicy.CLEAR),
        MappedField("flag", "b", FieldType.BOOLEAN),
        MappedField("day", "d", FieldType.DATE),
        MappedField("at", "z", FieldType.TIMESTAMP, NullPolicy.CLEAR),
    ),
)


@pytest.mark.parametrize("values", VALUES, ids=str)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_duckdb_and_python_write_and_hash_the_same_payload(values, zone):
    connection = duckdb.connect()
    connection.execute(f"set timezone = '{zone}'")
    connection.execute("create table people (t varchar, n double, b boolean, d date, z timestamptz)")
    connection.execute("insert into people values (?, ?, ?, ?, ?)", list(values))
    types = {name: kind for name, kind, *_ in connection.execute("describe people").fetchall()}
    sql = payload_sql(ALL_TYPES, types)
    ((written, hashed),) = connection.execute(
        f"select {sql}, {payload_hash_sql(ALL_TYPES, sql)} from people"
    ).fetchall()
    text, number, flag, day, at = values
    expected = {"number": number, "at": at and at.strftime("%Y-%m-%dT%H:%M:%SZ")}  # type: ignore[attr-defined]
    expected |= {"text": text} if text else {}
    expected |= {"flag": flag} if flag is not None else {}
    expected |= {"day": str(day)} if day else {}
    assert written == canonical_json(expected)  # type: ignore[arg-type]
    assert hashed == payload_hash(expected, "7")  # type: ignore[arg-type]
    assert json.loads(written).keys() == expected.keys()
