"""The feature catalogue: what each column of `person_features` is, by its YAML, the settings and the mappings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ml.catalogue import CATALOGUE_COLUMNS
from orchestration.mapping import slug
from orchestration.workspace import Workspace

FEATURE_MODEL = "model.personae.person_features"


def feature_catalogue(workspace: Workspace, manifest: Path, column_types: dict[str, str]) -> pl.DataFrame:
    """One row per feature that is there, in the order of the table.

    Args:
        workspace: its event names, attributes and excluded features.
        manifest: dbt's manifest, with each column's `meta`.
        column_types: the columns of `features.person_features` and their DuckDB types.

    Returns:
        The columns of `ml.catalogue.CATALOGUE_COLUMNS`.
    """
    described = {row["feature"]: row for row in [*_static(manifest), *_declared(workspace, column_types)]}
    excluded = set(workspace.settings.personas.exclude)
    rows = [
        described[column] | {"is_persona_input": described[column]["is_persona_input"] and column not in excluded}
        for column in column_types
        if column in described
    ]
    return pl.DataFrame(rows, schema=CATALOGUE_COLUMNS)


def _static(manifest: Path) -> Iterator[dict[str, Any]]:
    columns = json.loads(manifest.read_text(encoding="utf-8"))["nodes"][FEATURE_MODEL]["columns"]
    for name, column in columns.items():
        meta = column.get("meta") or column.get("config", {}).get("meta") or {}
        if "family" in meta:
            yield {
                "feature": name,
                "family": meta["family"],
                "label": meta["label"],
                "high_words": meta.get("high_words"),
                "low_words": meta.get("low_words"),
                "kind": meta.get("kind", "number"),
                "is_persona_input": bool(meta.get("persona_input", True)),
                "is_propensity_input": bool(meta.get("propensity_input", True)),
            }


def _declared(workspace: Workspace, column_types: dict[str, str]) -> Iterator[dict[str, Any]]:
    for name, label in workspace.event_labels().items():
        high_words = workspace.settings.features.events[name]
        yield _row(f"{slug(name)}_events_28d", "product", label, "number", high_words, None)
    for entity, prefix, family in (("contacts", "contact", "profile"), ("accounts", "account", "account")):
        for attribute in workspace.attributes(entity):
            column = f"{prefix}_{attribute.name}"
            if attribute.role == "feature" and column in column_types:
                kind = {"VARCHAR": "category", "BOOLEAN": "flag"}.get(column_types[column], "number")
                high, low = (None, None) if attribute.sensitive else (attribute.high_words, attribute.low_words)
                yield _row(column, family, attribute.in_words, kind, high, low)


def tellable(catalogue: pl.DataFrame, workspace: Workspace) -> pl.DataFrame:
    """The catalogue without features of a special category: they give no persona its name or description."""
    sensitive = [
        f"{prefix}_{attribute.name}"
        for entity, prefix in (("contacts", "contact"), ("accounts", "account"))
        for attribute in workspace.attributes(entity)
        if attribute.sensitive
    ]
    return catalogue.filter(~pl.col("feature").is_in(sensitive))


def _row(
    feature: str, family: str, label: str, kind: str, high_words: str | None, low_words: str | None
) -> dict[str, Any]:
    return {
        "feature": feature,
        "family": family,
        "label": label,
        "high_words": high_words,
        "low_words": low_words,
        "kind": kind,
        "is_persona_input": True,
        "is_propensity_input": True,
    }


def read_catalogue(connection: duckdb.DuckDBPyConnection, workspace: Workspace, manifest: Path) -> pl.DataFrame:
    """The catalogue of the features that are in the warehouse."""
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() "
        "where schema_name = 'features' and table_name = 'person_features' order by column_index"
    ).fetchall()
    return feature_catalogue(workspace, manifest, dict(rows))
