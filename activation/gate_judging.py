"""What holds for a person in an audience: everybody who was considered gets a reason, or passes.

Here belong the reasons that depend on who else is in an audience or in another one: addresses, caps, experiments, too
few people. They are written to `gate_judged` (audience, person, persona_id, permission, refusal, earlier_messages,
most_messages), in the order in which they are told; who has no refusal passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import polars as pl

from activation.experiments import REFUSE, assign_experiments
from activation.gate_permissions import Permissions
from activation.gate_terms import NOT_DECIDED, REASONS, Rules, Terms
from activation.sync.gated import GateDecision
from activation.sync.payload import text_literal


class Judging:
    """One judging of audiences, which are numbered as they stand."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, terms: Sequence[Terms], rules: Rules) -> None:
        """Store whom it is about; `gate_considered` (audience, person, persona_id) holds the people."""
        self._connection = connection
        self._terms = terms
        self._rules = rules

    def judge(self, permissions: Permissions) -> None:
        """Decide on everybody who was considered."""
        self._judge_people(permissions)
        self._refuse_shared_identifiers()
        self._refuse("frequency_cap", "earlier_messages >= most_messages")
        drawn = [(number, one.experiment) for number, one in enumerate(self._terms) if one.experiment]
        if drawn:
            standing = frozenset(number for number, one in enumerate(self._terms) if one.is_standing)
            assign_experiments(self._connection, drawn, standing)
        self._refuse_for_this_weeks_messages()
        self._refuse_small_audiences()

    def _judge_people(self, permissions: Permissions) -> None:
        caps = self._rules.frequency_caps
        rows = []
        for number, one in enumerate(self._terms):
            cap = None if one.is_standing else caps.get(one.channel)
            rows.append((number, permissions.of(one), cap.at_most if cap else None, one.channel))
        frame = pl.DataFrame(
            rows,
            schema={"audience": pl.Int16, "permission": pl.Int32, "most_messages": pl.Int64, "channel": pl.String},
            orient="row",
        )
        self._connection.register("terms", frame.to_arrow())
        self._connection.execute("create or replace temp table gate_terms as select * from terms")
        self._connection.unregister("terms")
        self._connection.execute(
            f"""
            create or replace temp table gate_judged as
            select c.audience, c.person, c.persona_id, t.permission,
                case when g.person is null then '{NOT_DECIDED}' else g.refusal end as refusal,
                coalesce(g.earlier_messages, 0) as earlier_messages, t.most_messages
            from gate_considered as c
            inner join gate_terms as t on t.audience = c.audience
            left join gate_permissions as g on g.permission = t.permission and g.person = c.person
            """
        )

    def _refuse(self, reason: str, condition: str) -> None:
        """Give a reason to everybody who has none yet and meets a condition."""
        assert reason in REASONS, "a reason that nobody could be told"  # noqa: S101
        self._connection.execute(
            f"update gate_judged set refusal = {text_literal(reason)} where refusal is null and ({condition})"
        )

    def _refuse_those_of(self, table: str, reason: str) -> None:
        self._connection.execute(REFUSE.format(reason=reason, table=table))

    def _refuse_shared_identifiers(self) -> None:
        """Of people with one address the first by id stays, in each audience."""
        self._connection.execute(
            """
            create or replace temp table gate_repeated as
            with shared as (
                select permission, identifier from gate_permissions where refusal is null
                group by permission, identifier having count(*) > 1
            ),
            people as (
                select g.permission, g.person, g.identifier from gate_permissions as g
                inner join shared as s on s.permission = g.permission and s.identifier = g.identifier
                where g.refusal is null
            )
            select j.audience, j.person from gate_judged as j
            inner join people as p on p.permission = j.permission and p.person = j.person
            where j.refusal is null
            qualify row_number() over (partition by j.audience, p.identifier order by j.person) > 1
            """
        )
        self._refuse_those_of("gate_repeated", "same_identifier")

    def _refuse_for_this_weeks_messages(self) -> None:
        """Where a cap leaves room for fewer messages than audiences want to send, the first audiences have them."""
        if not any(self._rules.frequency_caps.get(one.channel) for one in self._terms if not one.is_standing):
            return
        self._connection.execute(
            """
            create or replace temp table gate_over_cap as
            select j.audience, j.person from gate_judged as j
            inner join gate_terms as t on t.audience = j.audience
            where j.refusal is null and j.most_messages is not null
            qualify row_number() over (partition by t.channel, j.person order by j.audience) + j.earlier_messages
                > j.most_messages
            """
        )
        self._refuse_those_of("gate_over_cap", "frequency_cap")

    def _refuse_small_audiences(self) -> None:
        approved = dict(
            self._connection.execute(
                "select audience, count(*) from gate_judged where refusal is null group by audience"
            ).fetchall()
        )
        for number, one in enumerate(self._terms):
            if 0 < approved.get(number, 0) < one.minimum_size:
                self._refuse("audience_too_small", f"audience = {number}")

    def decisions(self) -> dict[str, GateDecision]:
        """By audience: people considered and approved, and those refused by reason."""
        rows = self._connection.execute(
            "select audience, refusal, count(*) from gate_judged group by all order by all"
        ).fetchall()
        decisions = {}
        for number, one in enumerate(self._terms):
            counts = {refusal: people for audience, refusal, people in rows if audience == number}
            approved = counts.pop(None, 0)
            decisions[one.key] = GateDecision(
                considered=approved + sum(counts.values()), approved=approved, refused=dict(sorted(counts.items()))
            )
        return decisions
