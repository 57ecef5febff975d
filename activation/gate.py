"""The last gate: who may leave, who may not and why. There is no way out of the house but through it.

Here belongs the order: people are considered, looked up, judged, told of and sealed, and no other module may seal. What
it is told stands in `gate_terms`, what holds for a person in `gate_permissions`, what for a person in an audience in
`gate_judging`, what it keeps in `gate_tables`. Whom chance keeps back is drawn in `experiments`; whether a week is
published at all is asked in `publish_gates`.

It fails closed: who was not decided on, or decided on twice, stays. Everything is set-wise, in temporary tables whose
names begin with `gate_`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from activation.gate_judging import Judging
from activation.gate_permissions import Permissions
from activation.gate_tables import TABLES, make_tables, write_decisions
from activation.gate_terms import GateError, Rules, Tables, Terms, Text
from activation.sync.gated import GatedAudience, GateDecision, seal_audience
from activation.sync.payload import quoted, text_literal
from activation.sync.protocol import FieldMapping, Mode


class Gate:
    """The gate for one week: people are considered, judged, told of in `activation.audiences`, and sealed."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        as_of: date,
        as_of_at: datetime,
        rules: Rules | None = None,
        tables: Tables | None = None,
    ) -> None:
        """Look up everybody whom the week decided on.

        Args:
            connection: The warehouse, writable.
            as_of: The week's exclusive end.
            as_of_at: The same as a moment in UTC, without a zone.
            rules: What holds for every audience.
            tables: Where things are looked up.

        Raises:
            GateError: Somebody was decided on twice.
        """
        self._connection = connection
        self._as_of = as_of
        self._as_of_at = as_of_at
        self._tables = tables or Tables()
        self._terms: list[Terms] = []
        self._is_numbered = self._is_gathered = False
        missing = make_tables(connection)
        connection.execute(
            "create or replace temp table gate_considered (audience smallint, person integer, persona_id varchar)"
        )
        rules = rules or Rules()
        self._permissions = Permissions(connection, as_of, as_of_at, rules, self._tables, missing)
        self._judging = Judging(connection, self._terms, rules)

    def _number_people(self) -> None:
        """Number everybody whom the week decided on, if nobody was made known before."""
        if not self._is_numbered:
            self.know("select null::ubigint as person_id, null::varchar as persona_id where false")

    def know(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Make people known who may be considered, with their personas.

        Whoever is considered without the week having decided on them is told of as such, and stays.

        Args:
            sql: Gives person_id and persona_id (nullable), a person once.
            parameters: Of `sql`.
        """
        earlier = "gate_people" if self._is_numbered else f"({self._people_of_week()})"
        # Numbers in the place of ids: ten million rows of them fit where ten million texts do not.
        self._connection.execute(
            f"create or replace temp table gate_people as with known as (select person_id, "
            f"cast(any_value(persona_id) as varchar) as persona_id from ({sql}) group by person_id) "
            "select cast(row_number() over (order by person_id) as integer) as person, person_id, persona_id from ("
            "select coalesce(p.person_id, k.person_id) as person_id, "
            "coalesce(k.persona_id, p.persona_id) as persona_id "
            f"from {earlier} as p full join known as k on k.person_id = p.person_id)",
            dict(parameters or {}),
        )
        self._is_numbered = True

    def _people_of_week(self) -> str:
        """SQL for everybody whom the week decided on, a person once."""
        return (
            f"select person_id, cast(null as varchar) as persona_id from {self._tables.contactability} "
            f"where as_of = {text_literal(self._as_of.isoformat())}::date group by person_id"
        )

    def consider(self, terms: Terms, condition: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Consider people for an audience. Audiences come in the order in which they have a claim to people's
        attention.

        Args:
            terms: Of the audience; one that was considered before is considered anew.
            condition: SQL about `p.person_id` and `p.persona_id`, a truth value.
            parameters: Of `condition`.
        """
        self._number_people()
        known = [one.key for one in self._terms]
        if terms.key in known:
            number = known.index(terms.key)
            self._terms[number] = terms
            self._connection.execute("delete from gate_considered where audience = ?", [number])
        else:
            number = len(self._terms)
            self._terms.append(terms)
        self._connection.execute(
            f"insert into gate_considered select {number}, p.person, p.persona_id from gate_people as p "
            f"where ({condition}) is true",
            dict(parameters or {}),
        )

    def consider_again(self, terms: Terms, published: date) -> None:
        """Consider those who were in an audience when it was last published, with the personas they had then."""
        self.consider(terms, "false")
        self._connection.execute(
            f"insert into gate_considered select {self._number(terms.key)}, p.person, a.persona_id "
            "from activation.audiences as a inner join gate_people as p on p.person_id = a.person_id "
            "where a.as_of = ? and a.audience = ? and a.is_in",
            [published, terms.key],
        )

    def consider_segments(self, terms: Sequence[Terms], members: str, parameters: Mapping[str, Any]) -> None:
        """Consider the people of many segments in one pass, an audience each.

        Args:
            terms: Of the audiences, named like the segments.
            members: SQL that gives segment_id and person_id.
            parameters: Of `members`.
        """
        self._number_people()
        first = len(self._terms)
        self._terms += terms
        numbers = ", ".join(f"({first + place}, {text_literal(one.key)})" for place, one in enumerate(terms))
        if terms:
            self._connection.execute(
                "insert into gate_considered select n.audience, p.person, m.segment_id "
                f"from ({members}) as m inner join (values {numbers}) as n (audience, key) on n.key = m.segment_id "
                "inner join gate_people as p on p.person_id = m.person_id",
                dict(parameters),
            )

    def judge(self) -> dict[str, GateDecision]:
        """Decide on everybody who was considered; `gate_judged` says how.

        Returns:
            By audience: people considered and approved, and those refused by reason.

        Raises:
            GateError: Somebody was decided on twice.
        """
        self._number_people()
        self._is_gathered = False
        for terms in self._terms:
            self._permissions.look_up(terms)
        self._judging.judge(self._permissions)
        return self._judging.decisions()

    def overlap(self, one: str, other: str) -> int:
        """How many people passed for both of two audiences."""
        numbers = [self._number(one), self._number(other)]
        row = first_row(
            self._connection,
            "select count(*) from (select person from gate_judged where audience in (?, ?) and refusal is null "
            "group by person having count(*) > 1)",
            numbers,
        )
        return int(row[0]) if row else 0

    def _number(self, key: str) -> int:
        return [one.key for one in self._terms].index(key)

    def forget(self, key: str) -> None:
        """Take an audience's people back, as if nobody had been considered for it."""
        self._connection.execute("delete from gate_considered where audience = ?", [self._number(key)])

    def tell(self) -> None:
        """Write what was decided to `activation.audiences`, in the place of what was told of the week before.

        Whom chance put where is kept in `activation.experiment_people`, which only ever grows.
        """
        write_decisions(self._connection, self._as_of, self._as_of_at, self._terms)

    def seal(
        self,
        key: str,
        values: str,
        parameters: Mapping[str, Any],
        mapping: FieldMapping,
        mode: Mode,
        texts: Mapping[str, Text] | None = None,
    ) -> GatedAudience:
        """Seal an audience that was judged and told of.

        Args:
            key: The audience.
            values: SQL over `gate_approved as a` (person_id, persona_id, identifier, contact_id, consent_reason,
                consent_recorded_at) that gives a row per person with `identifier` and the mapping's sources.
            parameters: Of `values`.
            mapping: What goes out.
            mode: What a sync may do; of an audience that stands only who leaves is told.
            texts: Columns to add, made of others.

        Raises:
            GateError: Somebody who passed has no row, or more than one.
            NotGated: The counts do not add up.
        """
        number = self._number(key)
        terms = self._terms[number]
        connection = self._connection
        self._gather_approved()
        connection.execute(
            "create or replace temp table gate_approved as "
            "select * exclude (audience) from gate_all_approved where audience = ?",
            [number],
        )
        relation = f"gate_sealed_{number}"
        connection.execute(f"create or replace temp table {quoted(relation)} as {values}", dict(parameters))
        for column, text in (texts or {}).items():
            self._add_text(relation, column, text)
        decision = self._judging.decisions()[key]
        row = first_row(
            connection,
            f"select count(*), count(distinct identifier) from {quoted(relation)} where identifier is not null",
        )
        if row != (decision.approved, decision.approved):
            raise GateError(f"{key}: what is known of people does not give one row for each who passed; nobody leaves")
        return seal_audience(
            connection,
            destination=terms.destination,
            segment=key,
            mode=Mode.REMOVE_ONLY if terms.is_standing and not terms.is_file else mode,
            purpose=terms.purpose,
            channel=terms.channel,
            as_of=self._as_of,
            relation=f"temp.main.{relation}",
            mapping=mapping,
            decision=decision,
        )

    def _gather_approved(self) -> None:
        """Look up whoever passed once for all audiences, since they were last judged."""
        if self._is_gathered:
            return
        self._connection.execute(
            """
            create or replace temp table gate_all_approved as
            select j.audience, p.person_id, j.persona_id, g.identifier, g.contact_id, g.consent_reason,
                g.consent_recorded_at
            from gate_judged as j
            inner join gate_people as p on p.person = j.person
            inner join gate_permissions as g on g.permission = j.permission and g.person = j.person
            where j.refusal is null and g.refusal is null
            """
        )
        self._is_gathered = True

    def seal_nobody(self, key: str, destination: str, purpose: str, channel: str) -> GatedAudience:
        """Seal an audience that does not go to a destination any more: nobody shall be there, whoever is has to leave.

        It is no audience that was judged, also where one of that name goes somewhere else.
        """
        self._connection.execute("create or replace temp table gate_nobody (identifier varchar)")
        return seal_audience(
            self._connection,
            destination=destination,
            segment=key,
            mode=Mode.MIRROR,
            purpose=purpose,
            channel=channel,
            as_of=self._as_of,
            relation="temp.main.gate_nobody",
            mapping=FieldMapping("nobody"),
            decision=GateDecision(0, 0),
        )

    def _add_text(self, relation: str, column: str, text: Text) -> None:
        """Add a column of texts, each distinct set of values made into one once."""
        connection = self._connection
        listed = ", ".join(quoted(one) for one in text.columns)
        if text.columns:
            distinct = read_frame(connection, f"select distinct {listed} from {quoted(relation)}")
            same = " and ".join(f"t.{quoted(one)} is not distinct from v.{quoted(one)}" for one in text.columns)
        else:
            distinct, same = pl.DataFrame({"nothing": [None]}), "true"
        texts = distinct.with_columns(text.write(distinct).alias(column))
        connection.register("texts", texts.to_arrow())
        connection.execute(
            f"create or replace temp table {quoted(relation)} as select v.*, t.{quoted(column)} "
            f"from {quoted(relation)} as v left join texts as t on {same}"
        )
        connection.unregister("texts")

    def close(self) -> None:
        """Drop what lies in temporary tables: addresses are among it."""
        names = self._connection.execute(
            "select table_name from duckdb_tables() where temporary and starts_with(table_name, 'gate_')"
        ).fetchall()
        for (name,) in names:
            self._connection.execute(f"drop table temp.main.{quoted(name)}")


def remember_erased(connection: duckdb.DuckDBPyConnection, identifiers: Sequence[str], at: datetime) -> None:
    """Keep people out for good, by the keys of their addresses and contact ids; the identifiers are not kept."""
    connection.execute(TABLES)
    frame = pl.DataFrame({"identifier": list(identifiers)}, schema={"identifier": pl.String})
    connection.register("erased", frame.to_arrow())
    connection.execute(
        "insert into activation.sync_tombstones select distinct '*', key, ?::timestamp from ("
        "select sha256(lower(trim(identifier))) as key from erased union select sha256(trim(identifier)) from erased) "
        "where key not in (select key from activation.sync_tombstones where destination = '*')",
        [at],
    )
    connection.unregister("erased")
