"""From an extract's columns to an entity's: the SQL that casts a file's rows to what the contract promises.

What belongs here: compiling one mapped entity to SQL. Which rows are refused stands in `data_contracts/rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import duckdb

from data_contracts.contract import Contract
from data_contracts.rules import UNCASTABLE_SUFFIX
from orchestration.ingest.reading import ExtractTable
from orchestration.mapping import EPOCH_FORMATS, NUMBER_FORMATS, Attribute, ColumnSource, MappedEntity
from orchestration.sql import identifier, literal, rewrite_expression

# 1.0 and 0.0 are how pandas writes a flag of which some values are missing.
TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0", "on")
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0", "off")
LOCAL_MOMENTS = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
# +02, +0200 or +02:00 after a time. DuckDB's cast to TIMESTAMP drops an offset without a word.
HAS_OFFSET = r":[0-9.]+ *[+-][0-9]{2}(:?[0-9]{2})?$"
HAS_UTC = r":[0-9.]+ *(Z|UTC)$"
# Written with a space before the zone, or without seconds, which DuckDB reads only where no zone is.
SPACE_BEFORE_ZONE = r" +(Z|UTC|[+-][0-9:]+)$"
HOURS_AND_MINUTES = r"([T ][0-9]{2}:[0-9]{2})(Z|[+-][0-9:]+)$"

WHOLE_NUMBER = r"[+-]?[0-9]+(\.0*)?"
# A sign or a code, at the most with a space beside it.
CURRENCY = r" ?(?:\p{Sc}|[A-Z]{3}|[A-Z]{1,2}\p{Sc})? ?"
ODD_SPACES = "[\u00a0\u2009\u202f]"
WHERE = "where"


@dataclass(frozen=True)
class HarmonizedColumn:
    """One canonical column as SQL over the extract's relation.

    Attributes:
        name: canonical name, or `attr_<name>`.
        type: DuckDB type; VARCHAR for an attribute whose content decides.
        typed: SQL of the value, null where it is missing or is not of the type.
        delivered: SQL that is true where a value was delivered, which may not be of the type; None where any value is.
        content_decides: whether the column becomes a number when all its values are numbers.
    """

    name: str
    type: str
    typed: str
    delivered: str | None
    content_decides: bool = False

    @property
    def uncastable(self) -> str | None:
        """The name of the flag that is true where a value was delivered that is not of the type; None without one."""
        return None if self.delivered is None else f"{self.name}{UNCASTABLE_SUFFIX}"


class Harmonizer:
    """Compiles one mapped entity over one extract.

    An expression of a mapping that fails on one value ends a whole query. Where that happened, the file is compiled
    again, guarded: each expression is then tried row by row, before anything else looks at it, and a row on which one
    fails can be told from a row of which it gives nothing.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: ExtractTable, is_guarded: bool = False):
        """Keep what the columns are compiled against.

        Args:
            connection: used to ask DuckDB for the types of expressions; no rows are read.
            table: the extract.
            is_guarded: whether expressions may fail on some rows.
        """
        self._connection = connection
        self._table = table
        self._zone = table.extract.mapping.timezone
        self._is_guarded = is_guarded
        self._tried: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def typed_rows(self, columns: Iterable[HarmonizedColumn], *beside: str) -> str:
        """SQL of the file's rows: compiled columns by their names, their flags, and what is asked for beside them.

        What is said more than once of a value is a column of a query below: DuckDB's planner would else look at every
        repetition, which for a small file is most of the work.

        Args:
            columns: of an entity whose columns, and condition if it is asked for, were compiled.
            beside: items of a `select` over the table's relation.
        """
        columns = list(columns)
        typed = [f"{column.typed} as {identifier(column.name)}" for column in columns]
        flagged = {column.uncastable: column for column in columns if column.uncastable}
        delivered = [f"{column.delivered} as {identifier(flag)}" for flag, column in flagged.items()]
        rows = f"select {', '.join([*beside, *typed, *delivered])} from {self._relation}"
        if not flagged:
            return f"({rows})"
        flags = (
            f"{identifier(flag)} and {identifier(column.name)} is null as {identifier(flag)}"
            for flag, column in flagged.items()
        )
        return f"(select * replace ({', '.join(flags)}) from ({rows}))"

    @property
    def _relation(self) -> str:
        """The table's relation with what expressions give, and with the texts that columns are read from."""
        relation = self._table.relation
        tried = [f"try({{'value': {sql}}}) as {_tried(name)}" for name, sql in self._tried.items()]
        given = [f"({base})::varchar as {text}" for base, text in self._texts.items()]
        texts = [f"nullif({_trimmed(text)}, '') as {text}" for text in self._texts.values()]
        if tried:
            relation = f"(select *, {', '.join(tried)} from {relation})"
        if texts:
            relation = f"(select * replace ({', '.join(texts)}) from (select *, {', '.join(given)} from {relation}))"
        return relation

    @property
    def condition_fails(self) -> str | None:
        """SQL that is true of a row on which the mapping's `where` fails, or None where none can."""
        return f"{_tried(WHERE)} is null" if WHERE in self._tried else None

    def columns(self, entity: MappedEntity, contract: Contract) -> list[HarmonizedColumn]:
        """The mapped columns in the contract's order, then the attributes in the mapping's.

        An attribute that the contract declares has the contract's type; of another its content decides.
        """
        mapped = [column for column in contract.columns if column.name in entity.columns]
        attributes = [attribute for attribute in entity.attributes if attribute.role != "ignore"]
        bases = {column.name: self._base(entity.columns[column.name], column.name) for column in mapped}
        bases |= {attribute.column: self._table.column_sql(attribute.source) for attribute in attributes}
        types = self._types(bases)
        columns = []
        for column in mapped:
            name, formats = column.name, entity.columns[column.name].format
            columns.append(self._guarded(self._cast(name, column.type, bases[name], types[name], formats)))
        for each in attributes:
            declared = contract.column(each.column).type if each.column in contract.column_names else None
            columns.append(self._attribute(each, bases[each.column], types[each.column], declared))
        return columns

    def condition(self, entity: MappedEntity) -> str:
        """The mapping's `where` as SQL, never null; a row on which it fails is not left out."""
        if not entity.where:
            return "true"
        condition = self._expression(entity.where, WHERE)
        return f"coalesce({condition}, {self.condition_fails or 'false'})"

    def _base(self, origin: ColumnSource, name: str) -> str:
        if origin.column is not None:
            base = self._table.column_sql(origin.column)
        elif origin.sql is not None:
            base = self._expression(origin.sql, name)
        else:
            base = literal(str(origin.value))
        if not origin.values:
            return base
        text = _trimmed(f"({base})::varchar")
        cases = " ".join(
            f"when {literal(given)} then {literal(str(meant))}"
            for given, meant in origin.values.items()
            if given != "*"
        )
        otherwise = literal(str(origin.values["*"])) if "*" in origin.values else text
        return f"case when {base} is null then null else case {text} {cases} else {otherwise} end end"

    def _expression(self, text: str, name: str) -> str:
        sql = rewrite_expression(text, self._table.column_sql)
        if not self._is_guarded:
            return sql
        self._tried[name] = sql
        return f"{_tried(name)}.value"

    def _guarded(self, column: HarmonizedColumn) -> HarmonizedColumn:
        if column.name not in self._tried:
            return column
        fails = f"{_tried(column.name)} is null"
        return replace(column, delivered=f"({fails} or {column.delivered})" if column.delivered else f"({fails})")

    def _types(self, bases: dict[str, str]) -> dict[str, str]:
        select = ", ".join(f"{base} as {identifier(name)}" for name, base in bases.items())
        rows = self._connection.execute(f"describe select {select} from {self._relation}").fetchall()
        return {row[0]: row[1] for row in rows}

    def _attribute(self, attribute: Attribute, base: str, source_type: str, declared: str | None) -> HarmonizedColumn:
        """Of its declared type; else a flag where the file says so, and text until its content is known."""
        wanted = declared or {"text": "VARCHAR", "number": "DOUBLE", None: "VARCHAR"}[attribute.type]
        is_open = declared is None and attribute.type is None
        if is_open and source_type == "BOOLEAN":
            wanted = "BOOLEAN"
        column = self._cast(attribute.column, wanted, base, source_type, ())
        content_decides = is_open and wanted == "VARCHAR"
        return replace(column, content_decides=content_decides)

    def _cast(self, name: str, wanted: str, base: str, source_type: str, formats: tuple[str, ...]) -> HarmonizedColumn:
        if wanted == source_type and wanted not in {"DOUBLE", "TIMESTAMP", "VARCHAR"}:
            return HarmonizedColumn(name, wanted, base, None)
        text = self._texts.setdefault(base, f"_text_{len(self._texts)}")  # null where there is nothing but space
        if wanted == "VARCHAR":
            return HarmonizedColumn(name, wanted, text, None)
        if wanted == "TIMESTAMP":
            typed = f"try({_first(self._moment(base, text, source_type, each) for each in formats or (None,))})"
        elif wanted == "DATE":
            typed = f"try({_first(self._local_date(base, text, source_type, each) for each in formats or (None,))})"
        elif wanted == "BOOLEAN":
            word = f"lower({text})"
            is_true, is_false = (f"{word} in ({', '.join(map(literal, words))})" for words in (TRUE_WORDS, FALSE_WORDS))
            typed = f"case when {is_true} then true when {is_false} then false end"
        elif formats and source_type == "VARCHAR":
            typed = _first(_number(text, each, wanted) for each in formats)
        elif source_type in ("DOUBLE", "FLOAT"):  # NaN is how pandas writes a missing number
            base = f"case when not isnan({base}) then {base} end"
            is_whole = f"{base} = trunc({base})" if wanted == "BIGINT" else "true"
            typed, text = f"case when {is_whole} then try_cast({base} as {wanted}) end", f"({base})"
        elif source_type == "VARCHAR":
            typed = _plain_number(text, wanted)
        else:
            typed = f"try_cast({base} as {wanted})"
        return HarmonizedColumn(name, wanted, typed, f"{text} is not null")

    def _moment(self, base: str, text: str, source_type: str, date_format: str | None) -> str:
        """A UTC timestamp: values with a zone keep it, values without one are in the extract's time zone."""
        if source_type == "TIMESTAMP WITH TIME ZONE":
            return f"make_timestamp(epoch_us({base}))"  # says the same and takes a tenth of what a calendar does
        if source_type in LOCAL_MOMENTS:
            return self._to_utc(f"({base})::timestamp")
        if date_format in EPOCH_FORMATS:
            return f"make_timestamp((try_cast({text} as double) * {EPOCH_FORMATS[date_format]})::bigint)"
        if date_format is not None:
            given = f"try_strptime({text}, {literal(date_format)})"
            return f"timezone('UTC', {given})" if _has_zone(date_format) else self._to_utc(given)
        moment = f"try_cast({text} as timestamp)"
        with_offset = f"timezone('UTC', try_cast({text} as timestamptz))"
        without_space = rf"regexp_replace({text}, {literal(SPACE_BEFORE_ZONE)}, '\1')"
        with_seconds = rf"regexp_replace({without_space}, {literal(HOURS_AND_MINUTES)}, '\1:00\2')"
        return (
            f"case when regexp_matches({text}, {literal(HAS_OFFSET)}) "
            f"then coalesce({with_offset}, timezone('UTC', try_cast({with_seconds} as timestamptz))) "
            f"when regexp_matches({text}, {literal(HAS_UTC)}) "
            f"then coalesce({moment}, try_cast({with_seconds} as timestamp)) else {self._to_utc(moment)} end"
        )

    def _local_date(self, base: str, text: str, source_type: str, date_format: str | None) -> str:
        """A day as the extract's time zone counts it; a time beside it is dropped."""
        if source_type == "TIMESTAMP WITH TIME ZONE":
            return f"timezone({literal(self._zone)}, {base})::date"
        if source_type in LOCAL_MOMENTS:
            return f"({base})::date"
        if date_format in EPOCH_FORMATS:
            moment = self._moment(base, text, source_type, date_format)
            return f"timezone({literal(self._zone)}, timezone('UTC', {moment}))::date"
        if date_format is not None:
            return f"try_strptime({text}, {literal(date_format)})::date"
        return f"try_cast({text} as timestamp)::date"

    def _to_utc(self, local: str) -> str:
        return local if self._zone == "UTC" else f"timezone('UTC', timezone({literal(self._zone)}, {local}))"


def _tried(name: str) -> str:
    return identifier(f"_tried_{name}")


def _first(candidates: Iterable[str]) -> str:
    return f"coalesce({', '.join(candidates)})"


def _trimmed(text: str) -> str:
    """`trim`, which looks up what each letter is, where it is needed: ASCII with no space at its ends is as it is."""
    has_nothing_to_trim = f"strlen({text}) = length({text}) and {text} not like ' %' and {text} not like '% '"
    return f"case when {has_nothing_to_trim} then {text} else trim({text}) end"


def _plain_number(text: str, wanted: str) -> str:
    """A number as programs write it; half a person is none, where DuckDB would round."""
    number = f"try_cast({text} as {wanted})"
    return (
        f"case when regexp_full_match({text}, {literal(WHOLE_NUMBER)}) then {number} end"
        if wanted == "BIGINT"
        else number
    )


def _number(text: str, number_format: str, wanted: str) -> str:
    """A number as people write it: thousands set apart, a comma for decimals, a currency before or after."""
    thousands, decimals = NUMBER_FORMATS[number_format]
    groups = f"[0-9]{{1,3}}(?:[{thousands}][0-9]{{3}})+|" if thousands else ""
    pattern = f"{CURRENCY}([+-]?){CURRENCY}({groups}[0-9]+)(?:[{decimals}]([0-9]+))?{CURRENCY}"
    spaced = f"regexp_replace({text}, {literal(ODD_SPACES)}, ' ', 'g')"
    part = [f"regexp_extract({spaced}, {literal(f'^{pattern}$')}, {group})" for group in (1, 2, 3)]
    plain = f"{part[0]} || replace({part[1]}, {literal(thousands or ' ')}, '') || '.' || {part[2]}"
    return f"case when regexp_full_match({spaced}, {literal(pattern)}) then {_plain_number(f'({plain})', wanted)} end"


def _has_zone(date_format: str) -> bool:
    return "%z" in date_format or "%Z" in date_format
