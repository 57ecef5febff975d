"""`personae erase DIR IDENTIFIER...`: people leave every table and every file, and stay away.

What belongs here: the order of it all. Who is meant is `erasure_people.py`, what goes `erasure_plan.py`, how the
warehouse and the files are written anew `erasure_copy.py` and `erasure_files.py`, what keeps people out
`erasure_keys.py`.

    found ─▶ remembered: tombstones, in one transaction; from here on nobody lets them in or out
          ─▶ files without them, a week at a time ─▶ the warehouse without them, in one rename ─▶ recorded

Whatever moment a process dies at, the tombstones hold, and the same command again, `personae erase DIR`, or the next
run does what is left.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import duckdb
import polars as pl

from activation.answers import first_row
from activation.sync.rates import SystemClock
from activation.sync.state import SyncState
from orchestration.erasure_copy import ErasureFailed, clear_draft, put_in_place, write_without
from orchestration.erasure_extracts import ExtractCount, files_that_hold
from orchestration.erasure_files import count_in_files, doomed_people, erase_from_files, remove_unfinished_files
from orchestration.erasure_keys import BEGUN, FINISHED, is_erased, make_tables, now, record, remember, unfinished
from orchestration.erasure_people import attached, count_people, find, find_again, values_to_remember
from orchestration.erasure_plan import FileCount, Plan, plan_erasure
from orchestration.warehouse import Warehouse, transaction
from orchestration.workspace import Workspace

_WEEK = re.compile(r"/\d{4}-\d{2}-\d{2}/")


class NotErased(Exception):
    """It cannot be said who is meant, or what was begun could not be done; the message holds nobody's data."""


@dataclass(frozen=True)
class Erased:
    """What an erasure did, or would do; counts only.

    Attributes:
        people: how many people were meant.
        contacts: how many contacts they had.
        unknown: places (from 1) of identifiers that nobody here was ever known by.
        already: places of identifiers whose people were erased before.
        rows: by table how many rows went.
        files: by file below `.personae/` how many rows went.
        extracts: the company's own files that still hold them.
        destinations: where they have to be deleted by the next sync, and how many identifiers.
        is_dry_run: whether nothing was changed.
    """

    people: int = 0
    contacts: int = 0
    unknown: tuple[int, ...] = ()
    already: tuple[int, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    extracts: tuple[ExtractCount, ...] = ()
    destinations: dict[str, int] = field(default_factory=dict)
    is_dry_run: bool = False

    def in_words(self) -> list[str]:
        """Lines to print."""
        would = "would be " if self.is_dry_run else ""
        lines = [
            f"{_counted(self.people, 'person', 'people')} with {_counted(self.contacts, 'contact')} {would}erased."
        ]
        if self.unknown:
            places = ", ".join(map(str, self.unknown[:20])) + (", ..." if len(self.unknown) > 20 else "")
            lines.append(
                f"{_counted(len(self.unknown), 'identifier')} known by nobody here (number {places}); "
                f"{'would be' if self.is_dry_run else 'is'} remembered, so that nobody comes in by it."
            )
        if self.already:
            lines.append(f"{_counted(len(self.already), 'identifier')} of people who were erased before.")
        for title, counts in (("Rows in tables", self.rows), ("Rows in files", _over_all_weeks(self.files))):
            if counts:
                lines += ["", f"{title}{': would go' if self.is_dry_run else ' that went'}"]
                lines += [f"  {count:>9,}  {name}" for name, count in sorted(counts.items())]
        if self.destinations:
            lines += ["", "To be deleted at destinations by their next sync"]
            lines += [f"  {count:>9,}  {name}" for name, count in sorted(self.destinations.items())]
        if self.extracts:
            lines += ["", "Your own files that still hold them (they are not written; rows of theirs are dropped)"]
            for one in self.extracts:
                with_address = f", {_counted(one.lines, 'line')} with an address" if one.lines else ""
                rows = "row" if one.rows == 1 else "rows"
                lines.append(f"  {one.rows:>9,} {rows}{with_address}  {one.file}")
        return lines

    def to_dict(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "people": self.people,
            "contacts": self.contacts,
            "unknown": list(self.unknown),
            "already": list(self.already),
            "rows": self.rows,
            "files": self.files,
            "extracts": [vars(one) for one in self.extracts],
            "destinations": self.destinations,
            "is_dry_run": self.is_dry_run,
        }


def survey(workspace: Workspace, identifiers: Sequence[str]) -> Erased:
    """Count what an erasure would take away; nothing is changed.

    Raises:
        NotErased: an address is of several people.
    """
    with attached(workspace) as connection:
        found = find(connection, identifiers)
        _check_unambiguous(found.ambiguous)
        unknown, already = split_unknown(connection, identifiers, found.unknown)
        people, contacts = count_people(connection)
        plan = plan_erasure(connection, workspace)
        files = count_in_files(connection, workspace, doomed_people(connection, workspace))
        extracts = files_that_hold(workspace, plan.files, _addresses(connection))
    return Erased(people, contacts, unknown, already, plan.rows, files, tuple(extracts), is_dry_run=True)


def split_unknown(
    connection: duckdb.DuckDBPyConnection, identifiers: Sequence[str], unknown: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of identifiers that nobody is known by: places of those that were never known, and of those erased before."""
    before = {place for place in unknown if is_erased(connection, identifiers[place - 1])}
    return tuple(place for place in unknown if place not in before), tuple(sorted(before))


def erase(
    workspace: Workspace,
    identifiers: Sequence[str],
    reference: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Erased:
    """Erase people, for good. Nobody else may use the warehouse meanwhile.

    Args:
        workspace: the workspace.
        identifiers: addresses, contact ids or person ids; none to finish what was begun.
        reference: who asked, or under which number, for the record; it is kept as it is.
        progress: told what is being done, without personal data.

    Raises:
        NotErased: an address is of several people.
        ErasureFailed: the warehouse could not be written anew; tombstones hold, and the same again does the rest.
    """
    unknown: tuple[int, ...] = ()
    already: tuple[int, ...] = ()
    if identifiers:
        progress("looking for them")
        with attached(workspace) as connection:
            found = find(connection, identifiers)
            _check_unambiguous(found.ambiguous)
            unknown, already = split_unknown(connection, identifiers, found.unknown)
            values = values_to_remember(connection, [identifiers[place - 1] for place in found.unknown])
        progress("putting up tombstones")
        _remember(workspace, values, reference)
    return replace(finish(workspace, progress), unknown=unknown, already=already)


def finish(workspace: Workspace, progress: Callable[[str], None] = lambda _: None) -> Erased:
    """Do what is left of erasures that were begun; without any, nothing."""
    clear_draft(workspace)
    if not workspace.warehouse_file.is_file():
        return Erased()
    with Warehouse.of(workspace).connect() as connection:
        pending = unfinished(connection)
        connection.execute("force checkpoint")
    if not pending:
        return Erased()
    remove_unfinished_files(workspace)
    with attached(workspace) as old:
        find_again(old)
        plan = plan_erasure(old, workspace)
        doomed = doomed_people(old, workspace)
        people, contacts = count_people(old)
        addresses = _addresses(old)
        progress("writing files without them")
        files = erase_from_files(old, workspace, doomed)
        values = values_to_remember(old)

        def write_record(target: duckdb.DuckDBPyConnection) -> None:
            _bury(target, values)
            with transaction(target):
                make_tables(target)
                if target is old:
                    target.execute("insert into erasure.shared_links select * from erased_shared_links")
                _record_finished(target, pending, values, people, plan, files)

        draft = None
        if plan.total:
            progress("writing the warehouse without them")
            draft = write_without(old, workspace, plan, write_record)
    if draft is not None:
        put_in_place(workspace, draft)
    else:
        with Warehouse.of(workspace).connect() as standing:
            write_record(standing)
    destinations = _to_be_deleted(workspace)
    extracts = files_that_hold(workspace, plan.files, addresses)
    return Erased(people, contacts, (), (), plan.rows, files, tuple(extracts), destinations)


def _remember(workspace: Workspace, values: pl.DataFrame, reference: str | None) -> None:
    erasure_id, at = uuid.uuid4().hex[:12], now()
    with Warehouse.of(workspace).connect() as connection:
        with transaction(connection):
            make_tables(connection)
            keys = remember(connection, values, erasure_id, at)
            record(connection, erasure_id, BEGUN, reference, keys=keys)
        _bury(connection, values)


def _bury(connection: duckdb.DuckDBPyConnection, values: pl.DataFrame) -> None:
    """Let each destination that was ever sent somebody know that they are to be deleted there."""
    there = "select 1 from duckdb_tables() where schema_name = 'activation' and table_name = 'sync_snapshot'"
    if first_row(connection, there) is None:
        return
    identifiers = values.filter(pl.col("kind").is_in(["contact", "email"]))["value"].to_list()
    for (destination,) in connection.execute(
        "select distinct destination from activation.sync_snapshot order by destination"
    ).fetchall():
        for is_case_sensitive in (False, True):
            SyncState(connection, destination, SystemClock(), is_case_sensitive).bury(identifiers)


def _record_finished(
    connection: duckdb.DuckDBPyConnection,
    pending: Sequence[str],
    values: pl.DataFrame,
    people: int,
    plan: Plan,
    files: dict[str, int],
) -> None:
    keys = remember(connection, values, pending[-1], now())
    for erasure_id in pending:
        is_last = erasure_id == pending[-1]
        record(
            connection,
            erasure_id,
            FINISHED,
            people=people if is_last else None,
            keys=keys if is_last else None,
            rows=json.dumps(plan.rows, sort_keys=True) if is_last else None,
            files=json.dumps(files, sort_keys=True) if is_last else None,
        )


def _to_be_deleted(workspace: Workspace) -> dict[str, int]:
    with Warehouse.of(workspace).connect(read_only=True) as connection:
        try:
            rows = connection.execute(
                "select destination, count(distinct key) from activation.sync_snapshot "
                "where identifier is not null and (destination, key) in "
                "(select (destination, key) from activation.sync_tombstones) group by all order by all"
            ).fetchall()
        except duckdb.CatalogException:
            return {}
    return {destination: int(count) for destination, count in rows}


def _addresses(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [address for (address,) in connection.execute("select distinct address from erased_addresses").fetchall()]


def _check_unambiguous(ambiguous: Sequence[tuple[int, int]]) -> None:
    if ambiguous:
        told = ", ".join(f"number {place} of {people} people" for place, people in ambiguous[:20])
        raise NotErased(
            f"{_counted(len(ambiguous), 'address', 'addresses')} said of several people ({told}): say which by their "
            "contact ids. Nobody was erased"
        )


def _over_all_weeks(files: Mapping[str, int]) -> dict[str, int]:
    """Rows by file, those of the same file of several weeks together."""
    weeks: dict[str, list[int]] = {}
    for name, rows in files.items():
        weeks.setdefault(_WEEK.sub("/*/", name), []).append(rows)
    return {f"{name} (of {len(rows)} weeks)" if "/*/" in name else name: sum(rows) for name, rows in weeks.items()}


def _counted(count: int | None, one: str, many: str | None = None) -> str:
    return f"{count or 0:,} {one if count == 1 else many or f'{one}s'}"


__all__ = ["Erased", "ErasureFailed", "FileCount", "NotErased", "erase", "finish", "survey"]
