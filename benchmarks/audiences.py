"""How long the gate takes for many people and ten audiences: `make bench-audiences`.

Here belongs a synthetic warehouse of the tables that the gate reads, and the timing of each step. Wall time is what a
person waits; processor time tells what it costs on a machine that does other things as well.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from activation.audience import FrequencyCap, MarketRule
from activation.experiments import Experiment
from activation.fields import values_sql
from activation.gate import Gate
from activation.gate_terms import Rules, Terms
from activation.selection import Selection, compile_selection
from activation.sync.protocol import FieldMapping, MappedField, Mode

AS_OF = date(2026, 11, 16)
AS_OF_AT = datetime(2026, 11, 15, 23)
AUDIENCES: dict[str, dict[str, object]] = {
    "everybody": {"features": {"orders_91d": {"at_least": 0}}},
    "night_owls": {"persona": "Persona 1"},
    "two_personas": {"persona": ["Persona 2", "Persona 3"]},
    "likely": {"propensity": {"order": "high"}},
    "not_unlikely": {"propensity": {"order": ["high", "medium"]}},
    "active": {"features": {"orders_91d": {"at_least": 5}}},
    "either": {"any": [{"persona": "Persona 4"}, {"propensity": {"order": "high"}}]},
    "both": {"persona": "Persona 5", "features": {"orders_91d": {"at_least": 3}}},
    "all_but": {"features": {"orders_91d": {"at_least": 1}}, "not": {"persona": "Persona 6"}},
    "strong": {"persona": {"is": ["Persona 1", "Persona 2"], "strength": {"at_least": 0.5}}},
}
SOURCES = ["persona_id", "persona_name", "propensity.order", "contact.first_name"]

COMPANY = """
create schema intermediate; create schema staging; create schema marts; create schema features;
create table people as select i, cast('0x' || left(md5(i::varchar), 16) as ubigint) as person_id,
    'c' || i as contact_id, 'user' || i || '@example.com' as email, hash(i) as h from range({people}) as t (i);
create table intermediate.int_contactability as select date '{as_of}' as as_of, person_id, 'email' as channel,
    'email_marketing' as purpose, contact_id, email, h % 10 < 8 as is_allowed, h % 97 = 0 as is_refused_by_now,
    case when h % 10 >= 8 then 'withdrawn' when h % 3 = 0 then 'legal_basis: existing customers' else 'granted' end
        as decision_reason, timestamp '2026-03-01' as consent_recorded_at from people;
create table intermediate.int_identities_resolved as select person_id, 'contact' as identity_kind,
    contact_id as identity_id, timestamp '2020-01-01' as valid_from, null::timestamp as valid_to from people;
create table staging.stg_contacts as select contact_id, email, email as email_normalized,
    'Name' || i % 5000 as first_name,
    case h % 9 when 0 then 'NL' when 1 then null else 'DE' end as country, false as is_deleted,
    timestamp '2020-01-01' as valid_from, null::timestamp as valid_to from people;
create table staging.stg_messages as select contact_id, timestamp '2026-11-10' + to_hours((h % 120)::int)
    as occurred_at,
    'email' as channel, 'sent' as message_action from people, range(2);
create table marts.segment_memberships as select date '{as_of}' as as_of, person_id, 'persona' as segment_type,
    'persona-0' || (1 + h % 6) as segment_id, 'Persona ' || (1 + h % 6) as segment_name,
    (h % 100) / 100 as membership_strength from people;
create table marts.person_propensities as select date '{as_of}' as as_of, person_id, 'order' as target,
    0.1 as probability,
    case when h % 10 < 2 then 'high' when h % 10 < 5 then 'medium' else 'low' end as band from people;
create table features.person_features as select date '{as_of}' as as_of, person_id, h % 10 as orders_91d from people;
"""


class Stopwatch:
    """Wall and processor seconds of each step."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.steps: list[tuple[str, float, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done within."""
        wall, processor = time.perf_counter(), sum(os.times()[:2])
        yield
        self.steps.append((name, time.perf_counter() - wall, sum(os.times()[:2]) - processor))


def judge(connection: duckdb.DuckDBPyConnection, as_of: date, at: datetime, watch: Stopwatch) -> None:
    """One week of ten audiences, with market rules, a cap, and holdouts in every second of them."""
    rules = Rules({"NL": MarketRule(rule="no_unsolicited_contact")}, {"email": FrequencyCap(at_most=6, within_days=6)})
    with watch.step("look up the week"):
        gate = Gate(connection, as_of, at, rules)
        gate.know(
            "select person_id, segment_id as persona_id from marts.segment_memberships where as_of = $as_of",
            {"as_of": as_of},
        )
    with watch.step("who is meant"):
        for place, (key, said) in enumerate(AUDIENCES.items()):
            group = "spring" if place in (2, 4) else None
            experiment = Experiment(key, 0.1, group) if place % 2 == 0 else None
            compiled = compile_selection(Selection.model_validate(said), as_of)
            gate.consider(Terms(key, "email_marketing", experiment=experiment), compiled.sql, compiled.parameters)
    with watch.step("judge"):
        decisions = gate.judge()
    with watch.step("tell"):
        gate.tell()
    print(
        f"  {sum(one.considered for one in decisions.values()):,} decisions, "
        f"{sum(one.approved for one in decisions.values()):,} let through"
    )
    mapping = FieldMapping("1", tuple(MappedField(one, one) for one in SOURCES))
    sql, parameters = values_sql(SOURCES, as_of, at, ("email_marketing", "email"))
    with watch.step("seal with four fields each"):
        for key in AUDIENCES:
            gate.seal(key, sql, parameters, mapping, Mode.MIRROR)
    gate.close()


def main() -> None:
    """Time two weeks in a row: in the first everybody is drawn, in the second everybody is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    people = parser.parse_args().people
    with tempfile.TemporaryDirectory() as folder:
        connection = duckdb.connect(
            str(Path(folder) / "warehouse.duckdb"), config={"memory_limit": "4GB", "threads": 2}
        )
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(COMPANY.format(people=people, as_of=AS_OF))
        for week, as_of in enumerate((AS_OF, AS_OF + timedelta(days=7))):
            if week:
                for table in ("intermediate.int_contactability", "marts.segment_memberships"):
                    connection.execute(f"update {table} set as_of = ?", [as_of])
                for table in ("marts.person_propensities", "features.person_features"):
                    connection.execute(f"update {table} set as_of = ?", [as_of])
            watch = Stopwatch()
            print(f"{people:,} people, {len(AUDIENCES)} audiences, {'a later' if week else 'the first'} week")
            judge(connection, as_of, AS_OF_AT + timedelta(days=7 * week), watch)
            wall, processor = (sum(step[place] for step in watch.steps) for place in (1, 2))
            for name, of_step, processor_of_step in [*watch.steps, ("together", wall, processor)]:
                print(f"  {name:<28} {of_step:7.1f} s   {processor_of_step:7.1f} s of processor")
        connection.close()
    print(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
