"""Who a contact is merged with and why, and how a wrong merge is split for good.

What belongs here: questions to the warehouse about identities, and what a person reads of the answers. No name, address
or number is shown: only ids, kinds of links and weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb

from activation.answers import first_row
from activation.people import person_name
from orchestration.erasure_keys import erased_form_sql, is_erased
from orchestration.identity_settings import Decision, add_decision, remove_decisions
from orchestration.settings_file import SettingsError
from orchestration.warehouse import Warehouse, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

LINKS_IN_WORDS = {
    "same_user": "the same login",
    "same_email": "the same e-mail address",
    "same_phone": "the same telephone number",
    "same_device": "the same device",
    "probabilistic_match": "a probable match",
}
REASONS_IN_WORDS = {
    "appeared": "appeared",
    "merged": "merged",
    "split_by_shared_identifier": "split: too many people share an identifier",
    "unmerged_by_decision": "kept apart by decision",
}
ARE_THERE = (
    "select count(*) from duckdb_tables() where schema_name = 'intermediate' and table_name = 'identity_changes'"
)
NEAREST = """
select identity_id from intermediate.identity_changes
where identity_kind = 'contact' and jaro_winkler_similarity(identity_id, ?) > 0.8
order by jaro_winkler_similarity(identity_id, ?) desc, identity_id limit 1
"""
MEMBERS = """
select identity_kind, identity_id, known_at, reason, link_kind, match_weight
from intermediate.identity_changes
where person_after = ? and changed_again_at is null
order by identity_kind, known_at, identity_id
"""
HISTORY = """
select as_of, reason, link_kind, match_weight, person_before, person_after
from intermediate.identity_changes
where identity_kind = 'contact' and identity_id = ?
order by as_of
"""
LINKS = """
select identity_kind, identity_id, link_kind, other_kind, other_id, linked_from_at, match_weight
from intermediate.int_identity_links
where (identity_kind, identity_id) in (
    select (identity_kind, identity_id) from intermediate.identity_changes
    where person_after = ? and changed_again_at is null
)
order by link_kind, other_id, linked_from_at, identity_id
"""
WEIGHTS = """
select * from intermediate.contact_matches
where other_contact_id is not null and (contact_id in (select unnest(?)) and other_contact_id in (select unnest(?)))
order by contact_id, other_contact_id, matched_from_at
"""
DECISIONS_OF_CONTACTS = "select contact_id, other_contact_id, from_week from raw.identity_decisions"
TOUCH_CONTACT = "insert into raw.touched_identities select hash('contact', ?::varchar), null, null"


@dataclass(frozen=True)
class Identity:
    """One contact, login or device of a person: since when it belongs, and why."""

    kind: str
    identity_id: str
    since: datetime
    why: str


@dataclass(frozen=True)
class Link:
    """What names two identities."""

    one: str
    other: str
    kind: str
    since: datetime
    weight: float | None
    weights_by_column: dict[str, float]


@dataclass(frozen=True)
class Explanation:
    """A person: its identities, what links them, and how the contact came to belong to it."""

    person_id: str | None
    members: list[Identity]
    links: list[Link]
    history: list[tuple[date, str]]
    decisions: list[Decision]


def explain(workspace: Workspace, contact: str) -> Explanation:
    """Who a contact is merged with now, by which links, and since when.

    Raises:
        SettingsError: nothing was run yet, or the contact is unknown; with the nearest one.
    """
    with Warehouse.of(workspace).connect(read_only=_is_run(workspace)) as connection:
        history = _history(connection, workspace, contact)
        person = history[-1][5]
        rows = connection.execute(MEMBERS, [person]).fetchall()
        members = [
            Identity(kind, name, since, _why(reason, link, weight)) for kind, name, since, reason, link, weight in rows
        ]
        contacts = [member.identity_id for member in members if member.kind == "contact"]
        links = _links(connection, person, contacts)
    decisions = [each for each in workspace.decisions if set(each.contacts) & set(contacts)]
    told = [(as_of, _why(reason, link, weight)) for as_of, reason, link, weight, *_ in history]
    return Explanation(None if person is None else person_name(person), members, links, told, decisions)


def _is_run(workspace: Workspace) -> bool:
    if not workspace.warehouse_file.is_file():
        raise SettingsError(workspace.folder, None, f"nobody is known yet; first: personae run {workspace.folder}")
    return True


def _history(connection: duckdb.DuckDBPyConnection, workspace: Workspace, contact: str) -> list[tuple[Any, ...]]:
    if not (first_row(connection, ARE_THERE) or (0,))[0]:
        raise SettingsError(workspace.folder, None, f"nobody is known yet; first: personae run {workspace.folder}")
    history = connection.execute(HISTORY, [contact]).fetchall()
    if not history:
        near = first_row(connection, NEAREST, [contact, contact])
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise SettingsError(workspace.folder, None, f"no contact '{contact}' is known{hint}")
    return history


def _links(connection: duckdb.DuckDBPyConnection, person: object, contacts: list[str]) -> list[Link]:
    """Links that say something: what only one identity has, links nobody."""
    rows = connection.execute(LINKS, [person]).fetchall()
    shared: dict[tuple[str, str], int] = {}
    for _, _, _, other_kind, other_id, *_ in rows:
        shared[other_kind, other_id] = shared.get((other_kind, other_id), 0) + 1
    weights = _weights(connection, contacts)
    return [
        Link(
            one=f"{kind} {name}",
            other=f"{other_kind} {other_id if other_kind in ('contact', 'user', 'device') else other_id[:8] + '...'}",
            kind=link_kind,
            since=since,
            weight=weight,
            weights_by_column=weights.get((name, other_id), {}) if link_kind == "probabilistic_match" else {},
        )
        for kind, name, link_kind, other_kind, other_id, since, weight in rows
        if shared[other_kind, other_id] > 1 or link_kind in ("probabilistic_match", "same_user", "same_device")
    ]


def _weights(connection: duckdb.DuckDBPyConnection, contacts: list[str]) -> dict[tuple[str, str], dict[str, float]]:
    """What each column of a match adds to its weight, by the first match of a pair."""
    found = connection.execute(WEIGHTS, [contacts, contacts])
    names = [column[0] for column in found.description or []]
    by_pair: dict[tuple[str, str], dict[str, float]] = {}
    for row in found.fetchall():
        told = dict(zip(names, row, strict=True))
        by_pair.setdefault(
            (told["contact_id"], told["other_contact_id"]),
            {name.removeprefix("weight_"): value for name, value in told.items() if name.startswith("weight_")},
        )
    return by_pair


def _why(reason: object, link_kind: object, weight: object) -> str:
    words = REASONS_IN_WORDS[str(reason)]
    if link_kind is not None:
        words += f" by {LINKS_IN_WORDS[str(link_kind)]}" if reason != "split_by_shared_identifier" else ""
    return f"{words} (weight {weight:.1f})" if isinstance(weight, float) else words


def keep_apart(workspace: Workspace, decision: Decision) -> None:
    """Write a decision that splits two contacts from its week on, in every later run and rebuild.

    Raises:
        SettingsError: a contact is unknown, or the decision stands already.
    """
    one, other = decision.contacts
    if one == other:
        raise SettingsError(workspace.folder, None, "a contact cannot be kept apart from itself")
    with Warehouse.of(workspace).connect(read_only=_is_run(workspace)) as connection:
        for contact in decision.contacts:
            _history(connection, workspace, contact)
    if any(each.is_about(one, other) for each in workspace.decisions):
        raise SettingsError(workspace.folder, None, f"'{one}' and '{other}' are kept apart already")
    add_decision(workspace.folder, decision)


def keep_apart_no_more(workspace: Workspace, one: str, other: str) -> None:
    """Take the decisions about two contacts back.

    Raises:
        SettingsError: there is none.
    """
    if not remove_decisions(workspace.folder, lambda each: each.is_about(one, other)):
        raise SettingsError(workspace.folder, None, f"no decision keeps '{one}' and '{other}' apart")


def write_decisions(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> int:
    """Put the decisions of the workspace's file into the warehouse, in the place of those that were there.

    Whoever was erased is named by a hash: so what kept others apart from them still does.

    Returns:
        How many there are.
    """
    decisions = workspace.decisions
    with transaction(connection):
        before = connection.execute(DECISIONS_OF_CONTACTS).fetchall()
        connection.execute("delete from raw.identity_decisions")
        for each in decisions:
            contacts = [_unless_erased(connection, one) for one in each.contacts]
            told = [*contacts, each.from_week.monday, each.decided_on, each.decided_by, each.why]
            connection.execute("insert into raw.identity_decisions values (?, ?, ?, ?, ?, ?)", told)
        changed = set(before) ^ set(connection.execute(DECISIONS_OF_CONTACTS).fetchall())
        for contact in sorted({contact for *contacts, _ in changed for contact in contacts}):
            connection.execute(TOUCH_CONTACT, [contact])
    return len(decisions)


def _unless_erased(connection: duckdb.DuckDBPyConnection, contact: str) -> str:
    """A contact's id; where they were erased, what they count as."""
    if is_erased(connection, contact) is None:
        return contact
    row = first_row(connection, f"select {erased_form_sql('?')}", [contact])
    return str(row[0]) if row else contact


def last_week_run(workspace: Workspace) -> Week | None:
    """The latest week that was scored, if any was."""
    if not workspace.warehouse_file.is_file():
        return None
    with Warehouse.of(workspace).connect(read_only=True) as connection:
        try:
            row = first_row(connection, "select max(as_of) from raw.run_weeks where is_scored")
        except duckdb.CatalogException:
            return None
    return Week.ending(row[0]) if row and row[0] else None
