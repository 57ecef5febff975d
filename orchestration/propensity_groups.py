"""The groups that probabilities are held to hold alike for: market, language, gender, age, where they are known.

What belongs here: reading who belongs to which, for the people measured on. Columns with the role sensitive are read
here and nowhere else: no model ever sees them. The comparison stands in `ml/fairness.py`.
"""

from __future__ import annotations

import re
from datetime import date

import duckdb
import polars as pl

from activation.answers import read_frame
from ml.fairness import age_band
from orchestration.mapping import Attribute
from orchestration.propensity_backtest import market_feature
from orchestration.sql import identifier
from orchestration.weeks import Week
from orchestration.workspace import Workspace

GENDER_NAMES = re.compile(r"(^|_)(gender|sex)($|_)")
AGE_NAMES = re.compile(r"(^|_)(age|age_years)$")
BIRTH_NAMES = re.compile(r"(^|_)(birth_?year|year_of_birth|birth_?date|date_of_birth|birthday)$")


def with_groups(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, measured: pl.DataFrame, features: set[str]
) -> tuple[pl.DataFrame, list[str]]:
    """The measured people with the groups they belong to, and which columns these are.

    Args:
        connection: the warehouse.
        workspace: the workspace.
        measured: person_id, and as_of of the one week they were measured in.
        features: the features there are.
    """
    if measured.is_empty():
        return measured, []
    as_of = measured["as_of"][0]
    described = {"market": market_feature(workspace, features)}
    described["language"] = next((name for name in ("contact_language", "session_language") if name in features), None)
    there = {group: name for group, name in described.items() if name is not None}
    found = measured
    if there:
        columns = ", ".join(f"cast(f.{identifier(name)} as varchar) as {group}" for group, name in there.items())
        groups = read_frame(
            connection,
            f"select f.person_id, {columns} from features.person_features as f "
            "inner join measured as m on m.person_id = f.person_id where f.as_of = ?",
            [as_of],
            measured=measured,
        )
        found = found.join(groups, on="person_id", how="left", maintain_order="left")
    names = list(there)
    for attribute in workspace.attributes("contacts"):
        group = group_of(attribute)
        if group is None or group in names:
            continue
        values = _stated_values(connection, workspace, attribute, Week.ending(as_of)).rename({"value": group})
        if group == "age":
            values = values.with_columns(age=age_band(_age(attribute.name, as_of)))
        found = found.join(values, on="person_id", how="left", maintain_order="left")
        names.append(group)
    return found, names


def group_of(attribute: Attribute) -> str | None:
    """What an attribute of the contacts says of people that they may be compared by; a special category never."""
    if attribute.role not in ("sensitive", "feature") or attribute.sensitive:
        return None
    if GENDER_NAMES.search(attribute.name):
        return "gender"
    if AGE_NAMES.search(attribute.name) or BIRTH_NAMES.search(attribute.name):
        return "age"
    return None


def _age(name: str, as_of: date) -> pl.Expr:
    stated = pl.col("age")
    if not BIRTH_NAMES.search(name):
        return stated.cast(pl.Float64, strict=False)
    year = stated.str.extract(r"(\d{4})").cast(pl.Int64, strict=False)
    return (as_of.year - year).cast(pl.Float64)


def _stated_values(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, attribute: Attribute, week: Week
) -> pl.DataFrame:
    """What a person's contacts had stated last, as far as the week knew."""
    at = week.as_of_at(workspace.settings.timezone)
    return read_frame(
        connection,
        "with stated as (select contact_id, "
        f"nullif(trim(cast({identifier(attribute.column)} as varchar)), '') as value, "
        "coalesce(updated_at, _delivered_at - $grace * interval '1' hour, created_at, timestamp '1970-01-01') as at, "
        "_delivered_at - $grace * interval '1' hour as known_from_at, _load_sequence, _row_number from raw.contacts) "
        "select i.person_id, arg_max(s.value, (s.at, s._load_sequence, s._row_number)) as value "
        "from stated as s inner join intermediate.int_identities_resolved as i "
        "on i.identity_kind = 'contact' and i.identity_id = s.contact_id "
        "and i.valid_from < $at and coalesce(i.valid_to >= $at, true) "
        "where s.value is not null and s.at < $at and coalesce(s.known_from_at < $at, true) "
        "and i.person_id in (select person_id from features.person_features where as_of = $as_of) group by 1",
        {"grace": workspace.settings.delivery_grace_hours, "at": at, "as_of": week.as_of},
    )
