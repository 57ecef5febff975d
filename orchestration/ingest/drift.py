"""Drift between deliveries of one mapping: columns that come, go or change, jumps of size and of missing values.

What belongs here: comparing what the ledger keeps of each file; no row is looked at. The limits are in `personae.yml`.

A jump has to be large by two measures. It must be rare: further from the median of the earlier deliveries than
`deviations` robust standard deviations, which are 1.4826 times the median of the absolute deviations from the median
(Hampel, "The influence curve and its role in robust estimation", 1974; the factor makes it the standard deviation of a
normal distribution). And it must matter: by more than `ratio` for sizes, than `missing_share` for missing values.
Medians stay where they are when one delivery was odd, such as a first one that holds all history. Sizes are compared as
logarithms, because half and double are equally far.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from statistics import median
from typing import Any

import duckdb

from orchestration.ingest.extracts import NAME
from orchestration.ingest.ledger import CORRECTED, LOAD_AGAIN, LOADED, Load
from orchestration.ingest.reading import ROW_NUMBER, ExtractTable
from orchestration.workspace_settings import DriftSettings

SAMPLE_ROWS = 200
NORMAL = 1.4826
FEWEST_ROWS = 50  # below, chance alone makes files twice as long as others
VALUES_EXPECTED = 20  # a column that should have at least so many values and has none is empty by no accident
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}( .*)?")
FLAGS = frozenset({"true", "false", "yes", "no"})
# In place of a column's name that may be somebody's data: the first line of a file without a header.
UNUSUAL_NAME = "(a name that looks like data)"
KINDS_OF_TYPES = {
    "VARCHAR": "text",
    "BOOLEAN": "flags",
    "DATE": "dates",
    "TIMESTAMP": "dates",
    "NULL": "nothing",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"), "numbers"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "numbers"),
}

# A boolean is an int for Python, so it comes first.
KINDS_OF_JSON: dict[type | tuple[type, ...], str] = {
    type(None): "nothing",
    bool: "flags",
    (int, float): "numbers",
    (dict, list): "objects",
}


@dataclass(frozen=True)
class Retyped:
    """A column that holds something else than before."""

    column: str
    before: str
    now: str


@dataclass(frozen=True)
class Jump:
    """A figure far from what it was.

    Attributes:
        what: `rows`, or the canonical column whose values are missing.
        now: rows of the file, or the share of rows without a value, 0 to 1.
        usual: the median of the earlier deliveries.
        deliveries: how many they are.
    """

    what: str
    now: float
    usual: float
    deliveries: int


@dataclass(frozen=True)
class Drift:
    """How one delivery differs from those of the same mapping before it.

    Attributes:
        file: the file.
        source: its mapping.
        entity: the entity it was loaded for.
        compared_with: the delivery before it, whose columns it is held against; None where it is the first.
        new: columns that one did not have.
        missing: columns that only that one had.
        retyped: columns that hold something else.
        size: a jump of the number of rows.
        missing_values: jumps of missing values.
    """

    file: str
    source: str
    entity: str
    compared_with: str | None = None
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    retyped: tuple[Retyped, ...] = ()
    size: Jump | None = None
    missing_values: tuple[Jump, ...] = ()

    @property
    def has_other_columns(self) -> bool:
        """Whether the columns differ from those of the delivery before."""
        return bool(self.new or self.missing or self.retyped)


@dataclass(frozen=True)
class Delivery:
    """What the ledger keeps of one file that was loaded.

    Attributes:
        file: the file.
        rows: rows read, and lines that were no rows.
        columns: each column of the file as written, and what it holds: numbers, text, flags, dates, objects, nothing.
        missing: per canonical column the share of rows without a value, 0 to 1.
        mapping_hash: deliveries read by another mapping have other missing values.
    """

    file: str
    rows: int
    columns: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)
    mapping_hash: str = ""


def delivered_columns(connection: duckdb.DuckDBPyConnection, table: ExtractTable) -> dict[str, dict[str, str]]:
    """Each column of a file with its type as it is read and what it holds.

    Of a text file the first 200 rows tell what a column holds; `batch` keeps them as delivered.

    Args:
        connection: an open connection with the temporary table `batch`.
        table: the file.
    """
    if table.extract.format == "parquet":
        return {name: {"type": type_, "holds": _kind_of_type(type_)} for name, type_ in table.columns.items()}
    sample = connection.execute(
        f"select _delivered_row from batch where {ROW_NUMBER} <= {SAMPLE_ROWS} order by {ROW_NUMBER}"
    ).fetchall()
    rows = [json.loads(row) for (row,) in sample if row is not None]
    return {
        name: {"type": type_, "holds": kind_of_values([row.get(name) for row in rows])}
        for name, type_ in table.columns.items()
    }


def find_drift(connection: duckdb.DuckDBPyConnection, loads: Iterable[Load], settings: DriftSettings) -> list[Drift]:
    """Compare each file of this run with those of its mapping that were delivered before it.

    Args:
        connection: an open connection.
        loads: the loads of this run.
        settings: the limits.

    Returns:
        A drift for each file that was loaded, also where nothing differs, in the order of delivery.
    """
    new = [load for load in loads if load.status in (LOADED, CORRECTED)]
    found = []
    for (source, entity), group in groupby(sorted(new, key=_source), key=_source):
        files = {load.file for load in group}
        rows = connection.execute(
            "select file, rows_read + rows_unreadable, rows_read, columns, profile, mapping_hash, delivered_at, "
            "load_sequence from raw.ingested_files where source = ? and entity = ? and status in (?, ?, ?)",
            [source, entity, LOADED, CORRECTED, LOAD_AGAIN],
        ).fetchall()
        rows.sort(key=lambda row: (row[6] or datetime.min, row[7]))
        places = [place for place, row in enumerate(rows) if row[0] in files]
        wanted = {earlier for place in places for earlier in range(max(0, place - settings.deliveries), place + 1)}
        known = {place: _delivery(*rows[place][:6]) for place in wanted}
        for place in places:
            earlier = [known[before] for before in range(max(0, place - settings.deliveries), place)]
            found.append(compare(known[place], earlier, source, entity, settings))
    return found


def compare(now: Delivery, earlier: Sequence[Delivery], source: str, entity: str, settings: DriftSettings) -> Drift:
    """How a delivery differs from earlier ones.

    Args:
        now: the delivery.
        earlier: those before it, the latest last.
        source: their mapping.
        entity: the entity.
        settings: the limits.
    """
    if not earlier:
        return Drift(now.file, source, entity)
    new, missing, retyped = columns_that_differ(earlier[-1].columns, now.columns)
    same_mapping = [delivery for delivery in earlier if delivery.mapping_hash == now.mapping_hash]
    jumps = [
        missing_values_jump(
            column, share, now.rows, [each.missing[column] for each in same_mapping if column in each.missing], settings
        )
        for column, share in sorted(now.missing.items())
    ]
    return Drift(
        now.file,
        source,
        entity,
        compared_with=earlier[-1].file,
        new=new,
        missing=missing,
        retyped=retyped,
        size=size_jump(now.rows, [delivery.rows for delivery in earlier], settings),
        missing_values=tuple(jump for jump in jumps if jump),
    )


def columns_that_differ(
    before: Mapping[str, str], now: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Retyped, ...]]:
    """New, missing and retyped columns; upper and lower case are the same.

    Text may hold anything, so text that turns out to be numbers is no change, and a column without values says nothing.

    Args:
        before: columns of the earlier file and what they hold; empty where that was not kept.
        now: columns of the later one.
    """
    if not before or not now:
        return (), (), ()
    names = {name.casefold(): name for name in (*before, *now)}
    old, new = ({name.casefold(): kind for name, kind in columns.items()} for columns in (before, now))
    retyped = tuple(
        Retyped(_shown(names[name]), old[name], new[name])
        for name in new
        if name in old and old[name] != new[name] and old[name] not in ("text", "nothing") and new[name] != "nothing"
    )
    return (
        tuple(_shown(names[name]) for name in new if name not in old),
        tuple(_shown(names[name]) for name in old if name not in new),
        retyped,
    )


def size_jump(rows: int, earlier: Sequence[int], settings: DriftSettings) -> Jump | None:
    """Whether a file is far longer or shorter than files of its mapping are.

    Args:
        rows: rows of the file.
        earlier: rows of earlier files.
        settings: the limits.
    """
    if len(earlier) < settings.fewest_deliveries or max(rows, median(earlier)) < FEWEST_ROWS:
        return None
    usual, spread = _median_and_spread([math.log1p(each) for each in earlier])
    limit = max(math.log(settings.ratio), settings.deviations * spread)
    if abs(math.log1p(rows) - usual) <= limit:
        return None
    return Jump("rows", rows, round(math.expm1(usual)), len(earlier))


def missing_values_jump(
    column: str, share: float, rows: int, earlier: Sequence[float], settings: DriftSettings
) -> Jump | None:
    """Whether far more or fewer values of a column are missing than usual, or all of them for the first time.

    Args:
        column: the canonical column.
        share: share of rows without a value, 0 to 1.
        rows: rows of the file.
        earlier: the same share of earlier files.
        settings: the limits.
    """
    if len(earlier) < settings.fewest_deliveries or rows < FEWEST_ROWS:
        return None
    usual, spread = _median_and_spread(earlier)
    chance = math.sqrt(usual * (1 - usual) / rows)  # what a share of so few rows varies by itself
    limit = max(settings.missing_share, settings.deviations * math.hypot(spread, chance))
    is_empty_now = share == 1 and max(earlier) < 1 and rows * (1 - usual) >= VALUES_EXPECTED
    if abs(share - usual) <= limit and not is_empty_now:
        return None
    return Jump(column, share, usual, len(earlier))


def kind_of_values(values: Iterable[Any]) -> str:
    """What the values of a column have in common: numbers, text, flags, dates, objects or nothing."""
    common = "nothing"
    for value in values:
        kind = _kind_of_value(value)
        if kind not in ("nothing", common):
            if kind == "text" or common != "nothing":
                return "text"
            common = kind
    return common


def _kind_of_value(value: Any) -> str:
    if not isinstance(value, str):
        return next(kind for types, kind in KINDS_OF_JSON.items() if isinstance(value, types))
    text = value.strip()
    if not text:
        return "nothing"
    if NUMBER.fullmatch(text):
        return "numbers"
    if DATE.fullmatch(text):
        return "dates"
    return "flags" if text.casefold() in FLAGS else "text"


def _kind_of_type(type_: str) -> str:
    plain = re.sub(r"\(.*|_[A-Z]+$| WITH TIME ZONE$", "", type_.strip('"'))
    return KINDS_OF_TYPES.get(plain, "objects" if plain in ("STRUCT", "MAP") or type_.endswith("]") else "text")


def _median_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The median, and the standard deviation as the median of absolute deviations tells it."""
    middle = median(values)
    return middle, NORMAL * median(abs(value - middle) for value in values)


def _source(load: Load) -> tuple[str, str]:
    return load.source, load.entity


def _delivery(
    file: str, rows: int, rows_read: int, columns: str | None, profile: str | None, mapping_hash: str
) -> Delivery:
    kinds = {name: each["holds"] for name, each in json.loads(columns or "{}").items()}
    figures = json.loads(profile or "{}")
    missing = {name: each["nulls"] / rows_read for name, each in figures.items() if "nulls" in each and rows_read}
    return Delivery(file, rows, kinds, missing, mapping_hash)


def _shown(name: str) -> str:
    return name if NAME.fullmatch(name) else UNUSUAL_NAME
