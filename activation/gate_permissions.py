"""What holds for a person, a purpose and a channel, whatever the audience: consent, suppressions, markets, messages.

Here belongs every reason to keep a person back that is theirs, in the order in which it is told. It is looked up once
for all audiences of the same terms, in `gate_permissions`: permission, person, contact_id, identifier, consent_reason,
consent_recorded_at, refusal, earlier_messages.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import polars as pl

from activation.answers import first_row
from activation.audience import ADS, EMAIL, UNKNOWN_MARKET
from activation.gate_looked_up import look_up_identifiers
from activation.gate_terms import NOT_DECIDED, GateError, Rules, Tables, Terms
from activation.sync.payload import text_literal

_FORMULA = "^[=+\\-@]"


class Permissions:
    """Who may be contacted; over `gate_people` (person, person_id), which the gate numbers."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        as_of: date,
        as_of_at: datetime,
        rules: Rules,
        tables: Tables,
        missing: set[str],
    ) -> None:
        """Look up the keys of everybody who is kept out.

        Args:
            connection: The warehouse.
            as_of: The week's exclusive end.
            as_of_at: The same as a moment in UTC.
            rules: What holds for every audience.
            tables: Where things are looked up.
            missing: Tables of the schema `activation` that are not there.
        """
        self._connection = connection
        self._as_of = as_of
        self._as_of_at = as_of_at
        self._rules = rules
        self._tables = tables
        self._missing = missing
        self._numbers: dict[tuple[str, str, str, bool], int] = {}
        connection.execute(
            "create or replace temp table gate_permissions (permission integer, person integer, contact_id varchar, "
            "identifier varchar, consent_reason varchar, consent_recorded_at timestamp, refusal varchar, "
            "earlier_messages bigint)"
        )
        self._look_up_refused_keys()

    def of(self, terms: Terms) -> int:
        """The number of the permission that an audience asks for."""
        return self._numbers[(terms.purpose, terms.channel, terms.identifier, terms.is_file)]

    def look_up(self, terms: Terms) -> None:
        """Look up who may be contacted on these terms, if nobody has yet.

        Raises:
            GateError: Somebody was decided on twice.
        """
        wanted = (terms.purpose, terms.channel, terms.identifier, terms.is_file)
        if wanted in self._numbers:
            return
        self._numbers[wanted] = number = len(self._numbers)
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
        is_looked_up = terms.channel == ADS
        if is_looked_up:
            look_up_identifiers(self._connection, self._as_of_at, self._tables)
        suppressed = self._is_among("gate_suppressed", "c.address" if is_looked_up else "c.identifier")
        unsafe = f"regexp_matches(c.identifier, {text_literal(_FORMULA)})" if terms.is_file else "false"
        select = f"""
            select c.permission, c.person, c.contact_id, c.identifier, c.consent_reason, c.consent_recorded_at,
                case
                    when c.consent_refusal is not null then c.consent_refusal
                    when c.identifier is null or {"l.person is null" if is_looked_up else "false"} then 'no_identifier'
                    when {unsafe} then 'unsafe_identifier'
                    when {suppressed} then 'suppressed'
                    when {self._is_among("gate_listed", "c.address")}
                        or {self._is_among("gate_listed", "c.contact_id")} then 'on_suppression_list'
                    when {self._market_condition()} then 'market_rule'
                    when c.identifier in (
                        select identifier from gate_consents
                        where consent_refusal is not null and identifier is not null
                    ) then 'refused_elsewhere'
                    when {"l.is_barred" if is_looked_up else "false"} then 'refused_elsewhere'
                end as refusal,
                m.messages as earlier_messages
            from gate_consents as c
            {"left join gate_markets as k on k.person = c.person" if self._rules.market_rules else ""}
            {"left join gate_lookups as l on l.person = c.person" if is_looked_up else ""}
            left join gate_messages as m on m.person = c.person
        """
        self._connection.execute(f"insert into gate_permissions {select}")

    def _check_decided_once(self, terms: Terms) -> None:
        row = first_row(
            self._connection,
            f"select count(*), count(distinct person_id) from {self._tables.contactability} "
            "where as_of = ? and purpose = ? and channel = ?",
            [self._as_of, terms.purpose, terms.channel],
        )
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
            if (first_row(connection, f"select count(*) from {name}") or (0,))[0]
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

    def _keys_in(self, table: str) -> str:
        return f"select key from {table}" if table not in self._missing else "select '' as key where false"
