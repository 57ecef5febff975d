"""Rows out of the quarantine: judged again after a mapping or a contract was mended, and loaded where they are good.

What belongs here: making a table again of the rows the quarantine keeps. How they are judged and loaded stands in
`loader.py`, and is the same as for rows of a file.

A row is judged as it was delivered, so a file that was archived since is not needed; the files of its lookups are.
Lines that could not be read as rows stay: only a corrected file can say what was in them. A corrected file replaces
everything of its earlier delivery, also what came out of the quarantine meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from orchestration.ingest.extracts import with_lookups
from orchestration.ingest.ledger import Ledger, Redriven, StoredLoad
from orchestration.ingest.loader import IS_A_ROW, OF_A_LOAD, Loader
from orchestration.ingest.reading import ROW, ROW_NUMBER, Extract, ExtractTable, UnreadableExtract, look_up
from orchestration.ingest.tables import make_raw_tables
from orchestration.ingest.unreadable_lines import keep_unreadable_lines
from orchestration.mapping import MappedEntity, Mapping
from orchestration.sql import identifier, literal
from orchestration.warehouse import transaction
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class Retry:
    """What became of the rows of one file; `problem` says why they could not be judged."""

    file: str
    entity: str
    redriven: Redriven | None
    problem: str = ""

    def in_words(self) -> str:
        """One line, without values."""
        if self.redriven is None:
            return f"{self.file} → {self.entity}: left as it is; {self.problem}"
        done = self.redriven
        return (
            f"{self.file} → {self.entity}: {done.judged:,} rows judged again, {done.loaded:,} loaded, "
            f"{done.duplicates:,} exact duplicates, {done.filtered:,} left out by the mapping's where, "
            f"{done.still_wrong:,} still wrong"
        )


def redrive(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, entity: str | None = None, file: str | None = None
) -> list[Retry]:
    """Judge the rows in quarantine again, file by file, each in a transaction of its own.

    Args:
        connection: an open, writable connection whose time zone is UTC.
        workspace: its mappings and contracts as they are now.
        entity: only this entity's rows.
        file: only this file's rows.
    """
    with transaction(connection):
        make_raw_tables(connection, contracts=workspace.contracts)
    ledger = Ledger(connection)
    return [_redrive_load(connection, workspace, stored) for stored in ledger.in_quarantine(entity, file)]


def _redrive_load(connection: duckdb.DuckDBPyConnection, workspace: Workspace, stored: StoredLoad) -> Retry:
    found = mapped_entity(workspace, stored)
    if found is None:
        return Retry(stored.file, stored.entity, None, f"no mapping {stored.source} brings {stored.entity} any more")
    mapping, mapped = found
    gone = Extract(mapping, workspace.data_folder / stored.file, stored.file, stored.delivered_at)
    try:
        (extract,) = with_lookups(workspace, mapping, [gone])
        loader = Loader(connection, workspace, extract, mapped, stored.load_id, stored.load_sequence)
        loader.stage_table(look_up(connection, stored_rows(connection, extract, stored)))
        if extract.lookups:  # a line of a lookup's file that cannot be read may be the one that was looked for
            keep_unreadable_lines(connection, extract)
    except UnreadableExtract as error:
        return Retry(stored.file, stored.entity, None, str(error).removeprefix(f"{stored.file}: "))
    with transaction(connection):
        redriven = loader.load_redriven()
        Ledger(connection).record_redriven(stored, redriven)
    return Retry(stored.file, stored.entity, redriven)


def mapped_entity(workspace: Workspace, stored: StoredLoad) -> tuple[Mapping, MappedEntity] | None:
    """The mapping that brought a load, and what it maps; None where it does so no more."""
    for mapping in workspace.mappings:
        for mapped in mapping.entities if mapping.name == stored.source else ():
            if mapped.entity == stored.entity:
                return mapping, mapped
    return None


def stored_rows(connection: duckdb.DuckDBPyConnection, extract: Extract, stored: StoredLoad) -> ExtractTable:
    """The rows of a load as the quarantine keeps them, with the types they were read with."""
    kept = f"quarantine.{identifier(stored.entity)}"
    of_this_load = OF_A_LOAD
    for value in (stored.load_id, stored.file, stored.source):
        of_this_load = of_this_load.replace("?", literal(value), 1)
    types = {name: column["type"] for name, column in stored.columns.items()} or _names_as_text(
        connection, extract, f"{kept} where {of_this_load} and {IS_A_ROW}"
    )
    # JSON writes bytes as the text that DuckDB's own cast to text gives, which is how every rule reads them.
    fields = {name: "VARCHAR" if type_ == "BLOB" else type_ for name, type_ in types.items()}
    struct = ", ".join(f"{identifier(name)} {type_}" for name, type_ in fields.items())
    relation = (
        f"(select cast(delivered_row::json as struct({struct})) as {ROW}, {ROW_NUMBER} "
        f"from {kept} where {of_this_load} and {IS_A_ROW})"
    )
    return ExtractTable(extract, fields, relation)


def _names_as_text(connection: duckdb.DuckDBPyConnection, extract: Extract, kept: str) -> dict[str, str]:
    """For a load of before the ledger kept columns: their names, read as a text file reads them."""
    type_ = "JSON" if extract.format == "jsonl" else "VARCHAR"
    rows = connection.execute(
        f"select distinct unnest(json_keys(delivered_row::json)) as name from {kept} order by name"
    )
    return {name: type_ for (name,) in rows.fetchall()}
