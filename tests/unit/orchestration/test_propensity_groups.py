"""Who belongs to which group, as the measured week knew it; sensitive columns are read here and nowhere else."""

from __future__ import annotations

from datetime import date

import duckdb
import polars as pl
from workspace_builder import WorkspaceBuilder

from orchestration.ingest.tables import make_raw_tables
from orchestration.propensity_groups import group_of, with_groups

AS_OF = date(2026, 3, 2)
MAPPING = """
extract: {files: contacts*.csv}
entities:
  contacts:
    columns: {contact_id: id, created_at: created_at, updated_at: updated_at, country: country}
    attributes:
      Gender: sensitive
      Date of birth: sensitive
      Health: {role: sensitive, sensitive: health}
      Sexual orientation: {role: sensitive, sensitive: sexual_life}
      Stage: feature
"""
ATTRIBUTES = {"attr_gender": "VARCHAR", "attr_date_of_birth": "VARCHAR", "attr_stage": "VARCHAR"}


def test_groups_are_those_of_the_measured_week(workspace: WorkspaceBuilder) -> None:
    opened = workspace.mapping("contacts", MAPPING).extract("contacts.csv", "id\n").open()
    connection = duckdb.connect()
    make_raw_tables(connection, {"contacts": ATTRIBUTES})
    connection.execute(
        "create schema features; create schema intermediate; "
        "create table features.person_features as select date '2026-03-02' as as_of, "
        "unnest(['ann', 'bob', 'eve']) as person_id, unnest(['DE', 'FR', null]) as contact_country; "
        "create table intermediate.int_identities_resolved as select 'contact' as identity_kind, "
        "unnest(['c1', 'c2', 'c3']) as identity_id, unnest(['ann', 'ann', 'bob']) as person_id, "
        "timestamp '2025-01-01' as valid_from, null::timestamp as valid_to; "
        "insert into raw.contacts "
        "(contact_id, updated_at, attr_gender, attr_date_of_birth, _load_sequence, _row_number) "
        "values ('c1', '2026-01-01', 'f', '1990-05-17', 1, 1), ('c2', '2026-02-01', ' ', null, 1, 2), "
        "('c3', '2026-01-01', 'm', '17.05.1959', 1, 3), ('c3', '2026-03-09', 'x', null, 2, 1)"
    )
    measured = pl.DataFrame({"person_id": ["ann", "bob", "eve"], "as_of": AS_OF})
    grouped, names = with_groups(connection, opened, measured, {"contact_country"})
    assert names == ["market", "age", "gender"]
    assert grouped.select("person_id", *names).rows() == [
        ("ann", "DE", "35 to 44", "f"),
        ("bob", "FR", "65 and over", "m"),  # what was stated after the week is not known in it
        ("eve", None, None, None),
    ]


def test_special_categories_make_no_group(workspace: WorkspaceBuilder) -> None:
    attributes = {
        one.name: group_of(one)
        for one in workspace.mapping("contacts", MAPPING).extract("contacts.csv", "id\n").open().attributes("contacts")
    }
    assert attributes == {
        "gender": "gender",
        "date_of_birth": "age",
        "health": None,
        "sexual_orientation": None,
        "stage": None,
    }
