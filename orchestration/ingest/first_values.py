"""What the first rows of a file tell of how its values are written.

What belongs here: which formats read a column, and the complaint about a mapping under which no row can be read. Single
values that cannot be read are the delivery's fault and go to quarantine; where none of the first can, it is the
mapping's, and a person is told before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import duckdb

from data_contracts.contract import Column, Contract
from orchestration.contracts import Contracts
from orchestration.ingest.harmonize import Harmonizer
from orchestration.ingest.reading import ExtractTable
from orchestration.mapping import FORMATTED_TYPES, NUMBER_FORMATS, NUMBER_TYPES, ColumnSource, MappedEntity, Mapping
from orchestration.settings_file import SettingsFile
from orchestration.sql import identifier, literal

ROWS_LOOKED_AT = 1_000
FEWEST_VALUES = 10  # with fewer, all may be wrong by chance
# Times outside these years were read by a format that is not theirs.
PLAUSIBLE_YEARS = (1970, 2100)
DAY_FORMATS = ("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y")
TIME_FORMATS = (
    *(f"{day}{time}" for day in DAY_FORMATS for time in ("", " %H:%M", " %H:%M:%S")),
    *("%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "epoch_s", "epoch_ms", "epoch_us"),
)


@dataclass(frozen=True)
class ReadValues:
    """How many values of a column there are, how many are read, and whether those are times of our days."""

    values: int
    read: int
    are_plausible: bool

    @property
    def are_all_read(self) -> bool:
        """Whether a run would take every value, and for what it is."""
        return 0 < self.values == self.read and self.are_plausible


def read_values(
    connection: duckdb.DuckDBPyConnection,
    table: ExtractTable,
    contract: Contract,
    sources: dict[str, ColumnSource],
    condition: str = "true",
) -> dict[str, ReadValues]:
    """What a run would read of some columns.

    Args:
        connection: an open connection.
        table: the rows to look at.
        contract: the entity's.
        sources: by canonical column, where it comes from.
        condition: SQL that is true of the rows that count.
    """
    entity = MappedEntity(entity=contract.entity, where=None, columns=sources, attributes=())
    harmonizer = Harmonizer(connection, table)
    columns = harmonizer.columns(entity, contract)
    counted = []
    for column in columns:
        name, allowed = identifier(column.name), contract.column(column.name).allowed_values
        uncastable = identifier(column.uncastable) if column.uncastable else "false"
        wrong = f"{name} not in ({', '.join(map(literal, allowed))})" if allowed else uncastable
        some = name if column.type in ("TIMESTAMP", "DATE") else "null::date"
        counted.append(
            f"(count({name}) + count(*) filter (where {uncastable}), "
            f"count(*) filter (where {wrong}), "
            f"coalesce(year(min({some})) > {PLAUSIBLE_YEARS[0]} and year(max({some})) < {PLAUSIBLE_YEARS[1]}, true))"
        )
    rows = harmonizer.typed_rows(columns, f"{condition} as _is_kept")
    row = connection.execute(f"select {', '.join(counted)} from {rows} where _is_kept").fetchall()[0]
    return {
        column.name: ReadValues(values, values - wrong, plausible)
        for column, (values, wrong, plausible) in zip(columns, row, strict=True)
    }


def formats_that_read(
    connection: duckdb.DuckDBPyConnection, table: ExtractTable, contract: Contract, column: Column, source: str
) -> list[str]:
    """The formats by which every value of a text column is a time, or a number, as the canonical column asks for."""
    candidates = formats_of(column.type)
    return [
        each
        for each in candidates
        if read_values(connection, table, contract, {column.name: ColumnSource(column=source, format=(each,))})[
            column.name
        ].are_all_read
    ]


def formats_of(type_: str) -> tuple[str, ...]:
    """The formats that are tried for a type."""
    if type_ in NUMBER_TYPES:
        return tuple(NUMBER_FORMATS)
    return TIME_FORMATS if type_ in FORMATTED_TYPES else ()


def check_first_values(
    connection: duckdb.DuckDBPyConnection,
    file: SettingsFile,
    mapping: Mapping,
    table: ExtractTable,
    contracts: Contracts,
) -> None:
    """Of every column that is a time, a number or one of a list of words, one value can be read.

    Args:
        connection: an open connection.
        file: the mapping's file, for the line.
        mapping: what is asked about.
        table: the first of its files, lookups left out.
        contracts: the entities'.

    Raises:
        SettingsError: a column of which not one value can be read, and what would read it.
    """
    first = replace(table, relation=f"(select * from {table.relation} limit {ROWS_LOOKED_AT})")
    for entity in mapping.entities:
        contract = contracts[entity.entity]
        sources = dict(_judged(mapping, entity, contract))
        if not sources:
            continue
        try:
            condition = Harmonizer(connection, table).condition(entity) if not mapping.lookups else "true"
            found = read_values(connection, first, contract, sources, condition)
            wrong = next((name for name, each in found.items() if each.values >= FEWEST_VALUES and not each.read), None)
            hint = _hint(connection, first, contract, contract.column(wrong), sources[wrong]) if wrong else ""
        except duckdb.Error:  # an expression that fails on a row; the run tells which
            continue
        if wrong:
            words = _in_words(contract.column(wrong), sources[wrong], table.extract.name, hint)
            raise file.error(("entities", entity.entity, "columns", wrong), words)


def _judged(mapping: Mapping, entity: MappedEntity, contract: Contract) -> Iterator[tuple[str, ColumnSource]]:
    """The columns that come from one of the file's own and cannot hold everything."""
    for name, source in entity.columns.items():
        column = contract.column(name)
        is_own = source.column is not None and mapping.lookup_of(source.column) is None
        if is_own and (column.type in FORMATTED_TYPES or column.allowed_values):
            yield name, source


def _hint(
    connection: duckdb.DuckDBPyConnection, table: ExtractTable, contract: Contract, column: Column, source: ColumnSource
) -> str:
    """What would read the values, as far as anything that is known does."""
    plain = {column.name: ColumnSource(column=source.column)}
    if source.format and read_values(connection, table, contract, plain)[column.name].are_all_read:
        return "leave out the format, they are read without one"
    formats = formats_that_read(connection, table, contract, column, str(source.column))
    return f"did you mean format: {_listed(formats)}?" if formats else "is it another column, or does it need a format?"


def _in_words(column: Column, source: ColumnSource, extract: str, hint: str) -> str:
    if column.allowed_values:
        words = ", ".join(column.allowed_values)
        return (
            f"no value of '{source.column}' in the first rows of {extract} is one of {words}; "
            f"translate them: {{column: {source.column}, values: {{'their word': {column.allowed_values[0]}}}}}"
        )
    kind = "number" if column.type in NUMBER_TYPES else "time"
    stated = f" in the format {_listed(source.format)}" if source.format else ""
    return f"no value of '{source.column}' in the first rows of {extract} is a {kind}{stated}; {hint}"


def _listed(formats: Iterable[str]) -> str:
    return " or ".join(f'"{each}"' for each in formats)
