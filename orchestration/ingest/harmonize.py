"""From an extract's columns to an entity's: the SQL that casts a file's rows to what the contract promises.

What belongs here: compiling one mapped entity to SQL. Which rows are refused stands in `data_contracts/rules.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from data_contracts.contract import Contract
from orchestration.ingest.extracts import Extract, identifier, literal
from orchestration.mapping import Attribute, ColumnSource, MappedEntity, parse_expression

TRUE_WORDS = ("true", "t", "yes", "y", "1", "on")
FALSE_WORDS = ("false", "f", "no", "n", "0", "off")
EPOCH_FORMATS = {"epoch_s": "1", "epoch_ms": "1000", "epoch_us": "1000000"}


@dataclass(frozen=True)
class HarmonizedColumn:
    """One canonical column as SQL over the extract's columns."""

    name: str
    type: str
    typed: str
    uncastable: str | None


class Harmonizer:
    """Compiles one mapped entity over one extract."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        extract: Extract,
        header: dict[str, str],
        relation: str,
        attribute_types: dict[str, str],
    ):
        """Keep what the columns are compiled against.

        Args:
            connection: used to ask DuckDB for the types of expressions; no rows are read.
            extract: the file.
            header: its columns and types.
            relation: SQL that reads it.
            attribute_types: types of attribute columns that the raw table has already.
        """
        self._connection = connection
        self._extract = extract
        self._names = {column.casefold(): column for column in header}
        self._relation = relation
        self._attribute_types = attribute_types

    def columns(self, entity: MappedEntity, contract: Contract) -> list[HarmonizedColumn]:
        """The mapped columns in the contract's order, then the attributes in the mapping's."""
        origins = {
            column.name: entity.columns[column.name] for column in contract.columns if column.name in entity.columns
        }
        bases = {name: self._base(origin) for name, origin in origins.items()}
        attributes = {a.column: a for a in entity.attributes if a.role != "ignore"}
        bases |= {name: self._source_column(attribute.source) for name, attribute in attributes.items()}
        types = self._types(bases)
        contract_types = {column.name: column.type for column in contract.columns}
        columns = [
            self._cast(name, contract_types[name], bases[name], types[name], origin.format)
            for name, origin in origins.items()
        ]
        for name, attribute in attributes.items():
            wanted = self._attribute_type(attribute, bases[name], types[name])
            columns.append(self._cast(name, wanted, bases[name], types[name], None))
        return columns

    def condition(self, entity: MappedEntity) -> str | None:
        """The mapping's `where` as SQL."""
        return self._expression(entity.where) if entity.where else None

    def _base(self, origin: ColumnSource) -> str:
        if origin.column is not None:
            base = self._source_column(origin.column)
        elif origin.sql is not None:
            base = f"({self._expression(origin.sql)})"
        else:
            base = literal(str(origin.value))
        if not origin.values:
            return base
        text = f"trim(({base})::varchar)"
        cases = " ".join(
            f"when {literal(given)} then {literal(str(meant))}"
            for given, meant in origin.values.items()
            if given != "*"
        )
        otherwise = literal(str(origin.values["*"])) if "*" in origin.values else text
        return f"case when {base} is null then null else case {text} {cases} else {otherwise} end end"

    def _source_column(self, name: str) -> str:
        if self._extract.format == "jsonl":
            top, _, path = name.partition(".")
            inner = "$" + "".join(f".{identifier(step)}" for step in path.split(".") if step)
            return f"({identifier(self._names[top.casefold()])} ->> {literal(inner)})"
        return identifier(self._names[name.casefold()])

    def _expression(self, text: str) -> str:
        """A checked expression with its columns replaced by the file's own."""
        import sqlglot
        from sqlglot import expressions as exp

        def replace(node: exp.Expression) -> exp.Expression:
            if isinstance(node, exp.Column):
                return sqlglot.parse_one(self._source_column(node.name), dialect="duckdb")
            return node

        return parse_expression(text).transform(replace).sql(dialect="duckdb")

    def _types(self, bases: dict[str, str]) -> dict[str, str]:
        select = ", ".join(f"{base} as {identifier(name)}" for name, base in bases.items())
        rows = self._connection.execute(f"describe select {select} from {self._relation}").fetchall()
        return {row[0]: row[1] for row in rows}

    def _attribute_type(self, attribute: Attribute, base: str, source_type: str) -> str:
        if attribute.type is not None:
            return {"text": "VARCHAR", "number": "DOUBLE"}[attribute.type]
        if attribute.column in self._attribute_types:
            return self._attribute_types[attribute.column]
        if source_type == "BOOLEAN":
            return "BOOLEAN"
        text = f"nullif(trim(({base})::varchar), '')"
        present, numbers = self._connection.execute(
            f"select count({text}), count(try_cast({text} as double)) from {self._relation}"
        ).fetchall()[0]
        return "DOUBLE" if present and present == numbers else "VARCHAR"

    def _cast(self, name: str, wanted: str, base: str, source_type: str, date_format: str | None) -> HarmonizedColumn:
        text = f"nullif(trim(({base})::varchar), '')"
        if wanted == "VARCHAR":
            return HarmonizedColumn(name, wanted, text, None)
        if wanted in ("TIMESTAMP", "DATE"):
            typed = self._moment(base, text, source_type, date_format)
            if wanted == "DATE":
                typed = f"({typed})::date"
        elif wanted == "BOOLEAN" and source_type != "BOOLEAN":
            words = f"lower({text})"
            is_true = ", ".join(map(literal, TRUE_WORDS))
            is_false = ", ".join(map(literal, FALSE_WORDS))
            typed = f"case when {words} in ({is_true}) then true when {words} in ({is_false}) then false end"
        elif source_type in ("DOUBLE", "FLOAT"):  # how pandas writes a missing number
            typed = f"try_cast(case when not isnan({base}) then {base} end as {wanted})"
        elif source_type == wanted:
            return HarmonizedColumn(name, wanted, base, None)
        else:
            typed = f"try_cast({text if source_type == 'VARCHAR' else base} as {wanted})"
        return HarmonizedColumn(name, wanted, typed, f"({text} is not null and ({typed}) is null)")

    def _moment(self, base: str, text: str, source_type: str, date_format: str | None) -> str:
        """A UTC timestamp: values with a zone keep it, values without one are in the extract's time zone."""
        zone = self._extract.mapping.timezone
        if date_format in EPOCH_FORMATS:
            return f"make_timestamp((try_cast({text} as double) * (1000000 / {EPOCH_FORMATS[date_format]}))::bigint)"
        if source_type == "TIMESTAMP WITH TIME ZONE":
            return f"timezone('UTC', {base})"
        if date_format is not None:
            local = f"try_strptime({text}, {literal(date_format)})"
            return f"timezone('UTC', {local}::timestamptz)" if "%z" in date_format else _to_utc(local, zone)
        if source_type in ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"):
            return _to_utc(f"({base})::timestamp", zone)
        moment = f"try_cast({text} as timestamp)"
        if zone == "UTC":
            return moment
        has_zone = f"regexp_matches({text}, '(:[0-9.]+ ?(Z|UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?))$')"
        return f"case when {has_zone} then {moment} else {_to_utc(moment, zone)} end"


def _to_utc(local: str, zone: str) -> str:
    return local if zone == "UTC" else f"timezone('UTC', timezone({literal(zone)}, {local}))"
