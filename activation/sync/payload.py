"""Mapped fields as canonical JSON, and its hash: the same bytes whether DuckDB makes them of a million rows or Python
of one.

Canonical means: keys sorted, no spaces, text unescaped where JSON allows, numbers with at most six decimals and no
trailing zeros. The hash counts the mapping's version, so that a new mapping sends everybody again.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from activation.sync.protocol import FieldMapping, FieldType, MappedField, NullPolicy, Payload, Scalar

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SIX_DECIMALS = Decimal("0.000001")


def quoted(name: str) -> str:
    """Quote a column's or table's name for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def canonical_json(payload: Payload) -> str:
    """Write a payload canonically."""
    return (
        "{"
        + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{scalar_text(payload[name])}" for name in sorted(payload))
        + "}"
    )


def scalar_text(value: Scalar) -> str:
    """Write one value as JSON, canonically."""
    if isinstance(value, str):
        return json.dumps(_CONTROL.sub(" ", value), ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    written = format(Decimal(str(value)).quantize(_SIX_DECIMALS, ROUND_HALF_UP), "f").rstrip("0").rstrip(".")
    return "0" if written in ("", "-0") else written


def plain_text(value: Scalar) -> str:
    """Write one value as text, where a destination takes nothing else; no value is no text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else scalar_text(value)


def payload_hash(payload: Payload, version: str) -> str:
    """Hash a payload together with its mapping's version: 64 hexadecimal digits."""
    return hashlib.sha256(f"{version}\n{canonical_json(payload)}".encode()).hexdigest()


def key_of(identifier: str) -> str:
    """Return the key of an identifier, as `key_sql` does."""
    return hashlib.sha256(identifier.encode()).hexdigest()


def key_sql(identifier: str) -> str:
    """Return SQL for the key of an identifier expression."""
    return f"sha256({identifier})"


def payload_sql(mapping: FieldMapping, column_types: Mapping[str, str]) -> str:
    """Return a SQL expression for the canonical JSON of a row.

    Args:
        mapping: The fields. Their sources must be columns.
        column_types: The relation's columns with their DuckDB types, which decide how a timestamp becomes UTC.
    """
    parts = [_field_sql(field, column_types) for field in sorted(mapping.fields, key=lambda field: field.name)]
    return f"'{{' || concat_ws(',', {', '.join(parts)}) || '}}'" if parts else "'{}'"


def payload_hash_sql(mapping: FieldMapping, payload: str) -> str:
    """Return SQL for the hash of a payload expression under a mapping."""
    return f"sha256({text_literal(mapping.version)} || chr(10) || {payload})"


def text_literal(text: str) -> str:
    """Quote text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _field_sql(field: MappedField, column_types: Mapping[str, str]) -> str:
    column = quoted(field.source)
    name = text_literal(json.dumps(field.name, ensure_ascii=False) + ":")
    written = f"{name} || {_value_sql(field.type, column, column_types[field.source])}"
    if field.nulls is NullPolicy.CLEAR:
        return f"coalesce({written}, {name} || 'null')"
    return written


def _value_sql(kind: FieldType, column: str, column_type: str) -> str:
    if kind is FieldType.NUMBER:
        digits = f"cast(cast({column} as decimal(38, 6)) as varchar)"
        return f"regexp_replace(rtrim(rtrim({digits}, '0'), '.'), '^(-0|-|)$', '0')"
    if kind is FieldType.BOOLEAN:
        return f"cast(cast({column} as boolean) as varchar)"
    if kind is FieldType.DATE:
        return f"'\"' || strftime(cast({column} as date), '%Y-%m-%d') || '\"'"
    if kind is FieldType.TIMESTAMP:
        in_utc = (
            f"{column} at time zone 'UTC'" if column_type.endswith("WITH TIME ZONE") else f"cast({column} as timestamp)"
        )
        return f"'\"' || strftime({in_utc}, '%Y-%m-%dT%H:%M:%SZ') || '\"'"
    # Text of no characters is no value: half of all formats could not tell them apart.
    text = f"regexp_replace(nullif(cast({column} as varchar), ''), '[\\x00-\\x1f\\x7f]', ' ', 'g')"
    return f"cast(to_json({text}) as varchar)"
