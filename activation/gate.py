"""The last gate: who may leave, who may not and why. There is no way out of the house but through it.

Here belongs every reason to keep a person back (consent, suppressions, erasure, market rules, addresses shared with
somebody who refused, frequency caps, experiments, too small an audience), in the order in which it is told, and the
sealing of what is left. Whom chance keeps back is drawn in `experiments`; whether a week is published at all is asked
in `publish_gates`.

It fails closed: who was not decided on, or decided on twice, stays. Everything is set-wise, in temporary tables whose
names begin with `gate_`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl

from activation.audience import EMAIL, UNKNOWN_MARKET, FrequencyCap, MarketRule
from activation.experiments import ANOTHER_EXPERIMENT, HOLDOUT, REFUSE, Experiment, assign_experiments
from activation.sync.gated import GatedAudience, GateDecision, seal_audience
from activation.sync.payload import quoted, text_literal
from activation.sync.protocol import FieldMapping, Mode

NOT_DECIDED = "not_decided"
REASONS = {
    NOT_DECIDED: "nobody decided whether they may be contacted for this purpose over this channel",
    "erased": "they asked to be erased",
    "refused_since": "they have refused since the week ended",
    "no_identifier": "the destination could not know them: no address, or no contact id",
    "unsafe_identifier": "the address begins like a spreadsheet formula",
    "suppressed": "a destination suppresses them: they unsubscribed, complained or bounced there",
    "on_suppression_list": "they are on the workspace's suppression list",
    "market_rule": "a rule of their market forbids it",
    "refused_elsewhere": "the address also belongs to somebody who may not be contacted",
    "same_identifier": "the address is in the audience already, with another person",
    "frequency_cap": "they have got, or get this week, as many messages as the cap allows",
    ANOTHER_EXPERIMENT: "they are in another experiment of the same exclusion group",
    HOLDOUT: "chance keeps them out, to measure what the audience brings about",
    "audience_too_small": "fewer people than the audience's minimum size may be contacted",
    # From the warehouse's decision on consent:
    "no_consent_recorded": "no consent is recorded, and no legal basis is stated",
    "no_basis_in_market": "no consent is recorded, and no legal basis is stated for their market",
    "withdrawn": "they withdrew their consent",
    "objected": "they objected",
    "no_email": "there is no e-mail address",
    "refused_at_address": "somebody refused at this address",
}
"""Every reason to keep a person back, in words."""

_FORMULA = "^[=+\\-@]"


class GateError(Exception):
    """The gate cannot decide, and lets nobody through. The message holds nobody's data."""


@dataclass(frozen=True)
class Terms:
    """What the gate has to know of an audience.

    Attributes:
        key: Its name.
        purpose: What people have to allow it for.
        channel: Over which channel.
        destination: Where it goes.
        identifier: `email` or `contact_id`.
        is_file: Whether it becomes a file that a spreadsheet may open.
        minimum_size: With fewer people nobody passes.
        experiment: Whom chance keeps out.
        is_standing: Whether an earlier week's audience stands: nothing is sent anew, so caps do not count and nobody is
            drawn; whoever may no longer be contacted leaves all the same.
    """

    key: str
    purpose: str
    channel: str = EMAIL
    destination: str = "files"
    identifier: str = "email"
    is_file: bool = False
    minimum_size: int = 1
    experiment: Experiment | None = None
    is_standing: bool = False


@dataclass(frozen=True)
class Rules:
    """What holds for every audience of a workspace.

    Attributes:
        market_rules: By country (ISO 3166-1 alpha-2), or `unknown` for people of whom no country is known. Where that
        is
            not stated, they fall under the strictest rule of all: any of the countries may be theirs.
        frequency_caps: By channel.
        suppressed_keys: SHA-256 of identifiers (trimmed, lower case) on the workspace's own list.
    """

    market_rules: Mapping[str, MarketRule] = field(default_factory=dict)
    frequency_caps: Mapping[str, FrequencyCap] = field(default_factory=dict)
    suppressed_keys: Sequence[str] = ()


@dataclass(frozen=True)
class Tables:
    """Where the gate looks things up: SQL that the caller vouches for.

    Attributes:
        contactability: as_of, person_id, purpose, channel, contact_id, email, is_allowed, is_refused_by_now,
            decision_reason, consent_recorded_at.
        identities: person_id, identity_kind, identity_id, valid_from, valid_to.
        contacts: contact_id, email, country, is_deleted, valid_from, valid_to.
        messages: contact_id, occurred_at, channel, message_action.
    """

    contactability: str = "intermediate.int_contactability"
    identities: str = "intermediate.int_identities_resolved"
    contacts: str = "staging.stg_contacts"
    messages: str = "staging.stg_messages"


@dataclass(frozen=True)
class Text:
    """A column made of others: which, and how a frame of their distinct values becomes a series of texts."""

    columns: Sequence[str]
    write: Callable[[pl.DataFrame], pl.Series]


TABLES = """
create schema if not exists activation;
create table if not exists activation.audiences (
    as_of date not null, audience varchar not null, person_id varchar not null, persona_id varchar,
    is_in boolean not null, reason varchar not null, consent_recorded_at timestamp
);
create table if not exists activation.audience_weeks (
    as_of date not null, audience varchar not null, position integer not null, description varchar,
    purpose varchar not null, channel varchar not null, destination varchar not null, mode varchar not null,
    experiment varchar, state varchar not null, state_reason varchar, values_as_of date not null,
    considered bigint not null, approved bigint not null, refused json not null, fields json not null,
    personal_fields json not null
);
create table if not exists activation.source_facts (as_of date not null, fact varchar not null, value double);
create table if not exists activation.experiment_people (
    experiment varchar not null, exclusion_group varchar, audience varchar not null, person_id varchar not null,
    contact_id varchar, persona_id varchar not null, is_control boolean not null, share double not null,
    as_of date not null, assigned_at timestamp not null
);
create table if not exists activation.sync_suppressions (
    destination varchar not null, key varchar not null, reason varchar not null, suppressed_at timestamp,
    first_seen_at timestamp not null
);
create table if not exists activation.sync_tombstones (
    destination varchar not null, key varchar not null, erased_at timestamp not null
);
"""
"""What the gate keeps, and those tables of a sync that it reads; see `docs/activation.md` and `docs/sync.md`."""

KEY_TABLES = ("sync_suppressions", "sync_tombstones", "audiences", "audience_weeks", "experiment_people")


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
        self._rules = rules or Rules()
        self._tables = tables or Tables()
        self._terms: list[Terms] = []
        self._permissions: dict[tuple[str, str, str, bool], int] = {}
        self._missing: set[str] = set()
        self._make_tables()
        self._number_people()
        connection.execute(
            "create or replace temp table gate_considered (audience smallint, person integer, persona_id varchar)"
        )
        self._look_up_refused_keys()

    def _make_tables(self) -> None:
        """Make the tables that are missing; who only reads finds nothing in those that are not there."""
        try:
            self._connection.execute(TABLES)
        except duckdb.InvalidInputException:
            there = self._connection.execute(
                "select schema_name || '.' || table_name from duckdb_tables() where schema_name = 'activation'"
            ).fetchall()
            self._missing = {f"activation.{name}" for name in KEY_TABLES} - {name for (name,) in there}

    def _keys_in(self, table: str) -> str:
        return f"select key from {table}" if table not in self._missing else "select '' as key where false"

    def _number_people(self) -> None:
        """Numbers in the place of ids: ten million rows of them fit where ten million texts do not."""
        self._connection.execute(
            "create or replace temp table gate_people as "
            f"select cast(row_number() over (order by person_id) as integer) as person, person_id, persona_id from ("
            f"select person_id, cast(null as varchar) as persona_id from {self._tables.contactability} "
            "where as_of = $as_of group by person_id)",
            {"as_of": self._as_of},
        )

    def know(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Make people known who may be considered, with their personas.

        Whoever is considered without the week having decided on them is told of as such, and stays.

        Args:
            sql: Gives person_id and persona_id (nullable), a person once.
            parameters: Of `sql`.
        """
        self._connection.execute(
            f"create or replace temp table gate_known as select person_id, "
            f"cast(any_value(persona_id) as varchar) as persona_id from ({sql}) group by person_id",
            dict(parameters or {}),
        )
        self._connection.execute(
            "create or replace temp table gate_people as "
            "select cast(row_number() over (order by person_id) as integer) as person, person_id, persona_id from ("
            "select coalesce(p.person_id, k.person_id) as person_id, "
            "coalesce(k.persona_id, p.persona_id) as persona_id "
            "from gate_people as p full join gate_known as k on k.person_id = p.person_id)"
        )

    def consider(self, terms: Terms, condition: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Consider people for an audience. Audiences come in the order in which they have a claim to people's
        attention.

        Args:
            terms: Of the audience; one that was considered before is considered anew.
            condition: SQL about `p.person_id` and `p.persona_id`, a truth value.
            parameters: Of `condition`.
        """
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
        for terms in self._terms:
            self._permit(terms)
        self._judge_people()
        self._refuse_shared_identifiers()
        drawn = [(number, one.experiment) for number, one in enumerate(self._terms) if one.experiment]
        self._refuse("frequency_cap", "earlier_messages >= most_messages")
        if drawn:
            standing = frozenset(number for number, one in enumerate(self._terms) if one.is_standing)
            assign_experiments(self._connection, drawn, standing)
        self._refuse_for_this_weeks_messages()
        self._refuse_small_audiences()
        return self._decisions()

    # Permissions: what holds for a person, a purpose and a channel, whatever the audience.

    def _permission_of(self, terms: Terms) -> int:
        return self._permissions[(terms.purpose, terms.channel, terms.identifier, terms.is_file)]

    def _permit(self, terms: Terms) -> None:
        wanted = (terms.purpose, terms.channel, terms.identifier, terms.is_file)
        if wanted in self._permissions:
            return
        self._permissions[wanted] = number = len(self._permissions)
        self._check_decided_once(terms)
        identifier = (
            "nullif(lower(trim(c.email)), '')" if terms.identifier == EMAIL else "nullif(trim(c.contact_id), '')"
        )
        select = f"""
            select {number} as permission, p.person, c.contact_id, {identifier} as identifier, c.email as address,
                case when c.is_allowed then c.decision_reason end as consent_reason,
                cast(c.consent_recorded_at as timestamp) as consent_recorded_at,
                case
                    when {self._has_key("gate_erased", terms)} then 'erased'
                    when c.person_id is null then '{NOT_DECIDED}'
                    when c.is_allowed is null or c.decision_reason is null then '{NOT_DECIDED}'
                    when not c.is_allowed then c.decision_reason
                    when c.is_refused_by_now is null then '{NOT_DECIDED}'
                    when c.is_refused_by_now then 'refused_since'
                end as consent_refusal
            from gate_people as p
            left join {self._tables.contactability} as c
                on c.as_of = $as_of and c.purpose = $purpose and c.channel = $channel and c.person_id = p.person_id
        """
        self._connection.execute(
            f"create or replace temp table gate_consents as {select}",
            {"as_of": self._as_of, "purpose": terms.purpose, "channel": terms.channel},
        )
        self._look_up_markets(terms)
        self._count_messages(terms)
        unsafe = f"regexp_matches(c.identifier, {text_literal(_FORMULA)})" if terms.is_file else "false"
        select = f"""
            select c.permission, c.person, c.contact_id, c.identifier, c.consent_reason, c.consent_recorded_at,
                case
                    when c.consent_refusal is not null then c.consent_refusal
                    when c.identifier is null then 'no_identifier'
                    when {unsafe} then 'unsafe_identifier'
                    when {self._is_among("gate_suppressed", "c.identifier")} then 'suppressed'
                    when {self._is_among("gate_listed", "c.address")}
                        or {self._is_among("gate_listed", "c.contact_id")} then 'on_suppression_list'
                    when {self._market_condition()} then 'market_rule'
                    when c.identifier in (
                        select identifier from gate_consents
                        where consent_refusal is not null and identifier is not null
                    ) then 'refused_elsewhere'
                end as refusal,
                m.messages as earlier_messages
            from gate_consents as c
            {"left join gate_markets as k on k.person = c.person" if self._rules.market_rules else ""}
            left join gate_messages as m on m.person = c.person
        """
        if number == 0:
            self._connection.execute(f"create or replace temp table gate_permissions as {select}")
        else:
            self._connection.execute(f"insert into gate_permissions {select}")

    def _check_decided_once(self, terms: Terms) -> None:
        row = self._connection.execute(
            f"select count(*), count(distinct person_id) from {self._tables.contactability} "
            "where as_of = ? and purpose = ? and channel = ?",
            [self._as_of, terms.purpose, terms.channel],
        ).fetchone()
        if row is None or row[0] != row[1]:
            raise GateError(f"Somebody was decided on twice for {terms.purpose} over {terms.channel}: nobody passes")

    def _look_up_refused_keys(self) -> None:
        """Keys of erased, suppressed and listed people: SHA-256 of trimmed identifiers."""
        connection = self._connection
        connection.execute(
            "create or replace temp table gate_suppressed as "
            f"select distinct key from ({self._keys_in('activation.sync_suppressions')})"
        )
        connection.execute(
            "create or replace temp table gate_erased as "
            f"select distinct key from ({self._keys_in('activation.sync_tombstones')})"
        )
        listed = pl.DataFrame({"key": sorted(set(self._rules.suppressed_keys))}, schema={"key": pl.String})
        connection.register("listed_keys", listed.to_arrow())
        connection.execute("create or replace temp table gate_listed as select key from listed_keys")
        connection.unregister("listed_keys")
        self._filled = {
            name
            for name in ("gate_suppressed", "gate_erased", "gate_listed")
            if (connection.execute(f"select count(*) from {name}").fetchone() or (0,))[0]
        }
        if "gate_erased" in self._filled:
            # A person is erased with every address that any of their contacts ever had.
            connection.execute(
                f"""
                create or replace temp table gate_erased_people as
                select distinct i.person_id
                from {self._tables.identities} as i
                inner join {self._tables.contacts} as c on c.contact_id = i.identity_id
                where i.identity_kind = 'contact' and ({self._is_among("gate_erased", "c.email")}
                    or {self._is_among("gate_erased", "c.contact_id")})
                """
            )

    def _has_key(self, table: str, terms: Terms) -> str:
        if table not in self._filled:
            return "false"
        return (
            "p.person_id in (select person_id from gate_erased_people) "
            f"or {self._is_among(table, 'c.email')} or {self._is_among(table, 'c.contact_id')}"
        )

    def _is_among(self, table: str, column: str) -> str:
        """Whether a column's key is in a table of keys; costs nothing where that is empty."""
        if table not in self._filled:
            return "false"
        return (
            f"(sha256(lower(trim({column}))) in (select key from {table}) "
            f"or sha256(trim({column})) in (select key from {table}))"
        )

    # Markets.

    def _look_up_markets(self, terms: Terms) -> None:
        """For each person: whether a rule forbids contact, and whether one forbids it without consent."""
        rules = {market: one for market, one in self._rules.market_rules.items() if one.holds_over(terms.channel)}
        if not self._rules.market_rules:
            return
        stated = {market: one.rule for market, one in rules.items()}
        strictest = next(
            (rule for rule in ("no_contact", "no_unsolicited_contact") if rule in stated.values()), "allowed"
        )
        unknown = stated.pop(UNKNOWN_MARKET, strictest)
        forbidden = [market for market, rule in stated.items() if rule == "no_contact"]
        unsolicited = [market for market, rule in stated.items() if rule == "no_unsolicited_contact"]
        self._connection.execute(
            f"""
            create or replace temp table gate_markets as
            with countries as (
                select p.person, upper(trim(c.country)) as country
                from gate_people as p
                inner join {self._tables.identities} as i on i.person_id = p.person_id
                    and i.identity_kind = 'contact' and i.valid_from < $at
                    and coalesce(i.valid_to, timestamp '9999-12-31') >= $at
                inner join {self._tables.contacts} as c on c.contact_id = i.identity_id and not c.is_deleted
                    and c.valid_from < $at and coalesce(c.valid_to, timestamp '9999-12-31') >= $at
                where regexp_full_match(trim(c.country), '[A-Za-z]{{2}}')
            ),
            known as (
                select person, bool_or(list_contains($forbidden::varchar[], country)) as is_forbidden,
                    bool_or(list_contains($unsolicited::varchar[], country)) as needs_consent
                from countries group by person
            )
            select p.person, coalesce(k.is_forbidden, $unknown = 'no_contact') as is_forbidden,
                coalesce(k.needs_consent, $unknown = 'no_unsolicited_contact') as needs_consent
            from gate_people as p left join known as k on k.person = p.person
            """,
            {"at": self._as_of_at, "forbidden": forbidden, "unsolicited": unsolicited, "unknown": unknown},
        )

    def _market_condition(self) -> str:
        if not self._rules.market_rules:
            return "false"
        return (
            "coalesce(k.is_forbidden, true) "
            "or (coalesce(k.needs_consent, true) and coalesce(c.consent_reason, '') <> 'granted')"
        )

    # Messages.

    def _count_messages(self, terms: Terms) -> None:
        """What each person got over the channel within the cap's days, as delivered or as sent by us."""
        cap = self._rules.frequency_caps.get(terms.channel)
        if cap is not None and "activation.audience_weeks" in self._missing:
            raise GateError("a cap cannot be held before the first week was run")
        if cap is None:
            self._connection.execute("create or replace temp table gate_messages (person integer, messages bigint)")
            return
        self._connection.execute(
            f"""
            create or replace temp table gate_messages as
            with delivered as (
                select i.person_id,
                    greatest(
                        count(*) filter (where m.message_action = 'sent'),
                        count(*) filter (where m.message_action = 'delivered')
                    ) as messages
                from {self._tables.messages} as m
                inner join {self._tables.identities} as i on i.identity_id = m.contact_id
                    and i.identity_kind = 'contact' and i.valid_from < $at
                    and coalesce(i.valid_to, timestamp '9999-12-31') >= $at
                where m.message_action in ('sent', 'delivered') and m.occurred_at >= $since and m.occurred_at < $at
                    and coalesce(m.channel, $channel) = $channel
                group by i.person_id
            ),
            ours as (
                select a.person_id, count(*) as messages
                from activation.audiences as a
                inner join activation.audience_weeks as w on w.as_of = a.as_of and w.audience = a.audience
                where a.is_in and w.state = 'published' and w.channel = $channel
                    and a.as_of < $as_of and a.as_of >= $since_week
                group by a.person_id
            ),
            together as (
                select coalesce(d.person_id, o.person_id) as person_id,
                    greatest(coalesce(d.messages, 0), coalesce(o.messages, 0)) as messages
                from delivered as d full join ours as o on o.person_id = d.person_id
            )
            select p.person, t.messages from together as t inner join gate_people as p on p.person_id = t.person_id
            """,
            {
                "at": self._as_of_at,
                "since": self._as_of_at - timedelta(days=cap.within_days),
                "channel": terms.channel,
                "as_of": self._as_of,
                "since_week": self._as_of - timedelta(days=cap.within_days),
            },
        )

    # Audiences.

    def _judge_people(self) -> None:
        caps = self._rules.frequency_caps
        rows = []
        for number, one in enumerate(self._terms):
            cap = None if one.is_standing else caps.get(one.channel)
            rows.append((number, self._permission_of(one), cap.at_most if cap else None, one.channel))
        frame = pl.DataFrame(
            rows,
            schema={"audience": pl.Int16, "permission": pl.Int32, "most_messages": pl.Int64, "channel": pl.String},
            orient="row",
        )
        self._connection.register("terms", frame.to_arrow())
        self._connection.execute("create or replace temp table gate_terms as select * from terms")
        self._connection.unregister("terms")
        if not self._permissions:
            self._connection.execute(
                "create or replace temp table gate_permissions (permission integer, person integer, "
                "contact_id varchar, identifier varchar, consent_reason varchar, consent_recorded_at timestamp, "
                "refusal varchar, earlier_messages bigint)"
            )
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

    def _decisions(self) -> dict[str, GateDecision]:
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

    def overlap(self, one: str, other: str) -> int:
        """How many people passed for both of two audiences."""
        numbers = [self._number(one), self._number(other)]
        row = self._connection.execute(
            "select count(*) from (select person from gate_judged where audience in (?, ?) and refusal is null "
            "group by person having count(*) > 1)",
            numbers,
        ).fetchone()
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
        connection = self._connection
        connection.execute("delete from activation.audiences where as_of = ?", [self._as_of])
        for number, one in enumerate(self._terms):
            # An audience at a time: so the table is in an order that tells where to look, without being sorted.
            connection.execute(
                f"""
                insert into activation.audiences
                select $as_of, $key, p.person_id, j.persona_id, j.refusal is null,
                    coalesce(j.refusal, g.consent_reason, '{NOT_DECIDED}'), g.consent_recorded_at
                from gate_judged as j
                inner join gate_people as p on p.person = j.person
                left join gate_permissions as g on g.permission = j.permission and g.person = j.person
                where j.audience = {number}
                """,
                {"as_of": self._as_of, "key": one.key},
            )
        if any(one.experiment for one in self._terms):
            names = pl.DataFrame({"audience": range(len(self._terms)), "key": [one.key for one in self._terms]})
            connection.register("names", names.to_arrow())
            connection.execute(
                """
                insert into activation.experiment_people
                select e.experiment, e.exclusion_group, k.key, p.person_id, g.contact_id, n.persona_id, n.is_control,
                    e.share, $as_of, $at
                from gate_newcomers as n
                inner join gate_experiments as e on e.audience = n.audience
                inner join gate_people as p on p.person = n.person
                inner join gate_permissions as g on g.permission = n.permission and g.person = n.person
                inner join names as k on k.audience = n.audience
                where n.audience not in (select audience from gate_judged where refusal = 'audience_too_small')
                """,
                {"as_of": self._as_of, "at": self._as_of_at},
            )
            connection.unregister("names")

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
        connection.execute(
            """
            create or replace temp table gate_approved as
            select p.person_id, j.persona_id, g.identifier, g.contact_id, g.consent_reason, g.consent_recorded_at
            from gate_judged as j
            inner join gate_people as p on p.person = j.person
            inner join gate_permissions as g on g.permission = j.permission and g.person = j.person
            where j.audience = ? and j.refusal is null and g.refusal is null
            """,
            [number],
        )
        relation = f"gate_sealed_{number}"
        connection.execute(f"create or replace temp table {quoted(relation)} as {values}", dict(parameters))
        for column, text in (texts or {}).items():
            self._add_text(relation, column, text)
        decision = self._decisions()[key]
        row = connection.execute(
            f"select count(*), count(distinct identifier) from {quoted(relation)} where identifier is not null"
        ).fetchone()
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
            distinct = connection.execute(f"select distinct {listed} from {quoted(relation)}").pl()
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
