"""A company whose weeks are already computed: the tables that audiences are judged from, without a run.

Here belong builders; what a test is about stands in the test.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from workspace_builder import WorkspaceBuilder

from orchestration.audience_week import JudgedWeek
from orchestration.ingest.tables import make_raw_tables
from orchestration.weeks import Week
from orchestration.workspace import Workspace
from tests.people_by_name import MACROS

FIRST = Week(date(2026, 1, 5))
SCHEMA = """
create schema intermediate; create schema staging; create schema marts; create schema features; create schema ml;
create table intermediate.int_weeks (as_of date, is_scored boolean);
create table intermediate.int_people (as_of date, person_id ubigint);
create table intermediate.int_profiling_permissions (
    as_of date, person_id ubigint, is_allowed boolean, decision_reason varchar
);
create table intermediate.int_contactability (
    as_of date, person_id ubigint, channel varchar, purpose varchar, contact_id varchar, email varchar,
    is_allowed boolean, is_refused_by_now boolean, decision_reason varchar, consent_recorded_at timestamp
);
create table intermediate.int_identities_resolved (
    person_id ubigint, identity_kind varchar, identity_id varchar, valid_from timestamp, valid_to timestamp
);
create table intermediate.int_consent_statements (
    contact_id varchar, purpose varchar, channel varchar, statement varchar, recorded_at timestamp
);
create table staging.stg_contacts (
    contact_id varchar, email varchar, email_normalized varchar, first_name varchar, country varchar,
    is_deleted boolean, valid_from timestamp, valid_to timestamp
);
create table staging.stg_messages (contact_id varchar, occurred_at timestamp, channel varchar, message_action varchar);
create table marts.segment_memberships (
    as_of date, person_id ubigint, segment_type varchar, segment_id varchar, segment_name varchar,
    membership_strength double
);
create table marts.person_propensities (
    as_of date, person_id ubigint, target varchar, probability double, band varchar
);
create table marts.lookalikes (as_of date, person_id ubigint, lookalike varchar, score double);
create table features.person_features (as_of date, person_id ubigint, orders_91d bigint);
create table ml.personas (as_of date, persona_type varchar, persona_id varchar, persona_name varchar);
create table ml.persona_weeks (as_of date, people bigint);
"""
NAMES = {"persona-01": "Night owls", "persona-02": "Early birds"}
LONG_AGO = datetime(2020, 1, 1)


class AudienceCompany:
    """People in two personas by turns, everybody with an address, a consent, and a propensity to churn."""

    def __init__(self, folder: Path, people: int = 40) -> None:
        self.builder = WorkspaceBuilder(folder).orders()
        self.builder.settings(
            targets={"churn": {"outcome": "no_order", "within_days": 28}},
            legal_basis={"profiling": "customers, balanced in May"},
            minimum_cell=1,
        )
        self.people = people
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'")
        self.connection.execute(MACROS + SCHEMA)
        make_raw_tables(self.connection)
        self.execute(
            "create table people as select 'p' || lpad(i::varchar, 3, '0') as p, i from range(?) as t (i)", people
        )
        self.execute(
            "insert into intermediate.int_identities_resolved "
            "select person(p), 'contact', 'c-' || p, ?, null from people",
            LONG_AGO,
        )
        self.execute(
            "insert into staging.stg_contacts select 'c-' || p, p || '@example.com', p || '@example.com', 'Name' || p, "
            "'DE', false, ?, null from people",
            LONG_AGO,
        )
        self.execute(
            "insert into intermediate.int_consent_statements select 'c-' || p, 'email_marketing', null, 'granted', ? "
            "from people",
            datetime(2025, 6, 1),
        )
        self.delivers("orders", rows=100, newest=datetime(2026, 1, 11))

    def insert(self, table: str, row: tuple[Any, ...]) -> None:
        self.connection.execute(f"insert into {table} values ({', '.join('?' for _ in row)})", list(row))

    def execute(self, sql: str, *values: Any) -> None:
        self.connection.execute(sql, list(values))

    def declares(self, text: str) -> AudienceCompany:
        """Write `activation.yml`."""
        (self.builder.folder / "activation.yml").write_text(text, encoding="utf-8")
        return self

    def delivers(self, entity: str, rows: int, newest: datetime) -> None:
        """Say what the ledger of deliveries holds of an entity."""
        self.execute("delete from raw.ingested_files where entity = ?", entity)
        self.execute(
            "insert into raw.ingested_files (file, source, entity, status, content_hash, mapping_hash, load_id, "
            "load_sequence, file_bytes, modified_ns, rows_read, rows_loaded, rows_quarantined, rows_duplicate, "
            "rows_duplicate_of_other_files, rows_filtered, rows_unreadable, latest_row_at) "
            "values ('f', 's', ?, 'loaded', 'h', 'm', 'l', 1, 1, 1, ?, ?, 0, 0, 0, 0, 0, ?)",
            entity,
            rows,
            rows,
            newest,
        )

    def computes(self, week: Week) -> Week:
        """What a run leaves of a week: everybody may be contacted."""
        as_of = week.as_of
        self.execute("delete from intermediate.int_weeks")
        self.insert("intermediate.int_weeks", (as_of, True))
        for table in ("int_people", "int_contactability", "int_profiling_permissions"):
            self.execute(f"delete from intermediate.{table} where as_of = ?", as_of)
        for persona, name in NAMES.items():
            self.insert("ml.personas", (as_of, "persona", persona, name))
        self.insert("ml.persona_weeks", (as_of, self.people))
        persona = "'persona-0' || (1 + i % 2)"
        for table, values in {
            "intermediate.int_people": "$as_of, person(p)",
            "intermediate.int_profiling_permissions": "$as_of, person(p), true, 'granted'",
            "intermediate.int_contactability": "$as_of, person(p), 'email', 'email_marketing', 'c-' || p, "
            "p || '@example.com', true, false, 'granted', timestamp '2025-06-01'",
            "marts.segment_memberships": f"$as_of, person(p), 'persona', {persona}, "
            "case i % 2 when 0 then 'Night owls' else 'Early birds' end, 0.5",
            "marts.person_propensities": "$as_of, person(p), 'churn', case i % 4 when 0 then 0.9 else 0.1 end, "
            "case i % 4 when 0 then 'high' else 'low' end",
            "features.person_features": "$as_of, person(p), i",
        }.items():
            self.connection.execute(f"insert into {table} select {values} from people", {"as_of": as_of})
        self.delivers("orders", rows=100, newest=datetime.combine(as_of, datetime.min.time()) - timedelta(days=1))
        return week

    def open(self) -> Workspace:
        return self.builder.open()

    def judges(self, week: Week) -> JudgedWeek:
        """Judge a week, tell of it, and write its files."""
        judged = JudgedWeek(self.connection, self.open(), week)
        judged.tell()
        judged.write_files()
        return judged

    def runs(self, week: Week) -> JudgedWeek:
        return self.judges(self.computes(week))

    def saves(self, *weeks: Week) -> AudienceCompany:
        """Run weeks as one run does, and put the warehouse where a workspace has it."""
        for week in weeks:
            self.runs(week).close()
        self.execute("delete from intermediate.int_weeks")
        for week in weeks:
            self.insert("intermediate.int_weeks", (week.as_of, True))
        file = self.open().warehouse_file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        self.execute(f"attach '{file}' as saved")
        self.execute("copy from database memory to saved")
        self.execute("detach saved")
        return self

    def told(self, week: Week, audience: str) -> dict[str, str]:
        """By person of an audience: the reason, `in` where they are in it."""
        rows = self.connection.execute(
            "select called(person_id), case when is_in then 'in' else reason end from activation.audiences "
            "where as_of = ? and audience = ? order by all",
            [week.as_of, audience],
        ).fetchall()
        return dict(rows)

    def members(self, week: Week, audience: str) -> list[str]:
        return [person for person, told in self.told(week, audience).items() if told == "in"]
