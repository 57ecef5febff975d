"""Extracts: which files a mapping reads, and whether they have what it names, checked before anything runs.

What belongs here: looking for files. How one of them is read stands in `reading.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime

import duckdb

from orchestration.contracts import CONTRACTS_FOLDER
from orchestration.ingest.first_values import check_first_values
from orchestration.ingest.reading import Extract, ExtractTable, UnreadableExtract, read_extract
from orchestration.mapping import TO_BE_NAMED, Lookup, Mapping
from orchestration.settings_file import Location, SettingsError, SettingsFile, nearest
from orchestration.sql import rewrite_expression
from orchestration.weeks import local_midnight
from orchestration.workspace import STATE_FOLDER, Workspace

FILES_NAMED_IN_A_HINT = 500
# Begins the name of a file that is still being written.
UNFINISHED = ".unfinished-"
# What a column's name looks like; the first line of a file without a header may hold somebody's data.
NAME = re.compile(r"[^\W\d][^@\n]{0,63}")


def find_extracts(workspace: Workspace, mapping: Mapping) -> list[Extract]:
    """The files a mapping reads, by name; what a run wrote itself is none of them.

    A lookup's file counts for those extracts that were delivered with it or later, where both state when.

    Raises:
        UnreadableExtract: a link leads out of the data folder or nowhere, or a file's name lacks the date of its
            delivery.
    """
    return with_lookups(workspace, mapping, _find_files(workspace, mapping))


def with_lookups(workspace: Workspace, mapping: Mapping, extracts: list[Extract]) -> list[Extract]:
    """The mapping's extracts with the files of its lookups; an extract itself may be gone.

    Raises:
        UnreadableExtract: as `find_extracts`.
    """
    lookups = [(lookup, _find_files(workspace, mapping.of_lookup(lookup))) for lookup in mapping.lookups]
    return [
        replace(
            extract,
            lookups=tuple(
                (lookup, tuple(file for file in files if _is_known_with(file.delivered_at, extract.delivered_at)))
                for lookup, files in lookups
            ),
        )
        for extract in extracts
    ]


def in_order_of_delivery(extract: Extract) -> tuple[datetime, str]:
    """Sorts extracts: the earliest first."""
    return extract.delivered_at or datetime.min, extract.name


def _find_files(workspace: Workspace, mapping: Mapping) -> list[Extract]:
    extracts = []
    for path in sorted(workspace.data_folder.glob(mapping.extract.files)):
        name = path.relative_to(workspace.data_folder)
        if STATE_FOLDER in name.parts or name.name.startswith(UNFINISHED):
            continue
        if path.is_symlink() and not path.exists():
            raise UnreadableExtract(f"{name.as_posix()}: the link leads nowhere")
        if not path.is_file():
            continue
        if not path.resolve().is_relative_to(workspace.data_folder):
            raise UnreadableExtract(f"{name.as_posix()}: the file leads out of the data folder")
        extracts.append(Extract(mapping, path, name.as_posix(), _delivered_at(mapping, name.as_posix())))
    return sorted(extracts, key=in_order_of_delivery)


def _is_known_with(looked_up: datetime | None, extract: datetime | None) -> bool:
    return looked_up is None or extract is None or looked_up <= extract


def _delivered_at(mapping: Mapping, name: str) -> datetime | None:
    """Midnight of the day in the file's name, as the mapping's pattern finds it."""
    if mapping.extract.delivered_at is None:
        return None
    found = re.search(mapping.extract.delivered_at, name)
    if found is None or found.group(1) is None:
        raise UnreadableExtract(f"{name}: the delivery date of the mapping's pattern is not in the file's name")
    digits = re.sub(r"\D", "", found.group(1))
    try:
        return local_midnight(date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])), mapping.timezone)
    except (ValueError, OverflowError):
        raise UnreadableExtract(f"{name}: '{found.group(1)}' is no date (year, month, day)") from None


def check_extracts(workspace: Workspace, sources_loaded_before: set[str]) -> None:
    """Every mapping finds a file, every column it names is there, and every expression fits the columns' types.

    Of a mapping that loaded nothing yet, the first rows can be read: afterwards a file without a readable row is a bad
    delivery, which the run refuses.

    Args:
        workspace: the workspace.
        sources_loaded_before: mappings whose files were loaded in an earlier run and may have been archived since.

    Raises:
        SettingsError: with the mapping's line and the nearest name that exists.
    """
    with duckdb.connect() as connection:
        for mapping in workspace.mappings:
            file = SettingsFile(mapping.path)
            try:
                extracts = find_extracts(workspace, mapping)
                if extracts:
                    alone = read_extract(connection, replace(extracts[0], lookups=()))
                    for lookup in mapping.lookups:
                        _check_lookup(connection, workspace, file, mapping, lookup)
                        _check_what_is_looked_up(file, lookup, alone)
                    _check_columns(connection, file, mapping, read_extract(connection, extracts[0]))
                    if mapping.name not in sources_loaded_before:
                        check_first_values(connection, file, mapping, alone, workspace.contracts)
                elif mapping.name not in sources_loaded_before and mapping.extract.connector is None:
                    raise _no_file(workspace, file, ("extract", "files"), mapping.extract.files)
            except UnreadableExtract as error:
                raise file.error(("extract", "files"), str(error)) from None


def _no_file(workspace: Workspace, file: SettingsFile, place: Location, pattern: str) -> SettingsError:
    files = _some_files(workspace)
    hint = nearest(pattern, files) if files else "put the export there"
    return file.error(place, f"no file matches '{pattern}' in {workspace.data_folder}; {hint}")


def _check_lookup(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, file: SettingsFile, mapping: Mapping, lookup: Lookup
) -> None:
    files = _find_files(workspace, mapping.of_lookup(lookup))
    if not files and lookup.extract.connector is not None:
        return
    if not files:
        raise _no_file(workspace, file, ("lookups", lookup.name, "files"), lookup.extract.files)
    table = read_extract(connection, files[0])
    for column, place in lookup.source_columns().items():
        if not table.has(column):
            hint = nearest(column, [name for name in table.columns if NAME.fullmatch(name)])
            raise file.error(place, f"{files[0].name} has no column '{column}'; {hint}")
    for text, key in ((lookup.extract.key.sql, "key"), (lookup.extract.where, "where")):
        if text:
            _check_expression(connection, file, ("lookups", lookup.name, key), text, table)


def _check_what_is_looked_up(file: SettingsFile, lookup: Lookup, table: ExtractTable) -> None:
    here, extract = ("lookups", lookup.name), table.extract
    is_object = extract.format == "jsonl" and lookup.name in table.columns
    if is_object or any(name.startswith(f"{lookup.name}.") for name in table.columns):
        raise file.error(here, f"{extract.name} has '{lookup.name}' too; call the lookup something else")
    for column in lookup.extract.equals.source_columns():
        if extract.mapping.lookup_of(column) is None and not table.has(column):
            hint = nearest(column, [name for name in table.columns if NAME.fullmatch(name)])
            raise file.error((*here, "equals"), f"{extract.name} has no column '{column}'; {hint}")


def _check_columns(
    connection: duckdb.DuckDBPyConnection, file: SettingsFile, mapping: Mapping, table: ExtractTable
) -> None:
    names = [name for name in table.columns if NAME.fullmatch(name)]
    for entity in mapping.entities:
        for column, place in entity.source_columns().items():
            if column == TO_BE_NAMED:
                wanted = f"say which column of {table.extract.name} is {place[-1]}, in place of {TO_BE_NAMED}"
                raise file.error(place, f"{wanted}; {nearest('', names)}")
            if not table.has(column):
                hint = nearest(column, names)
                raise file.error(place, f"{table.extract.name} has no column '{column}'; {hint}")
        for text, place in entity.expressions().items():
            _check_expression(connection, file, place, text, table)


def _check_expression(
    connection: duckdb.DuckDBPyConnection, file: SettingsFile, place: Location, text: str, table: ExtractTable
) -> None:
    sql = rewrite_expression(text, table.column_sql)
    try:
        connection.execute(f"describe select {sql} from {table.relation}")
    except duckdb.Error:
        raise file.error(
            place, f"'{text}' does not fit the types in {table.extract.name}; text becomes a number by ::double"
        ) from None


def _some_files(workspace: Workspace) -> list[str]:
    """Files a delivery may be among; the workspace's own settings are none."""

    folder = workspace.folder.resolve()
    ours = [folder / name for name in (STATE_FOLDER, "mappings", CONTRACTS_FOLDER)]
    found = (path for path in workspace.data_folder.rglob("*") if path.is_file())
    shown = (
        path.relative_to(workspace.data_folder).as_posix()
        for path in found
        if not any(path.is_relative_to(each) for each in ours)
        and not (path.parent == folder and path.suffix in (".yml", ".yaml"))
    )
    return sorted(name for name, _ in zip(shown, range(FILES_NAMED_IN_A_HINT), strict=False))
