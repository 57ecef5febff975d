"""No trait of a person is inferred: no published table, feature or table of a model has a column of that kind."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from activation.report.report_data import REPORT_FRAMES
from ml.persuasion import MESSAGE_STYLES
from orchestration.affinity_week import AFFINITY_TABLES
from orchestration.defs.publish import PUBLISHED_TABLES
from orchestration.personas_file import FEATURE_DESCRIPTIONS
from orchestration.persuasion_week import PERSUASION_TABLES
from orchestration.preference_week import PREFERENCE_TABLES
from orchestration.propensity_store import PROPENSITY_TABLES
from orchestration.value_week import VALUE_TABLES
from tests.trait_columns import TRAIT

MODELS = Path(__file__).parents[3] / "dbt_project" / "models"


@cache
def published_columns() -> dict[str, list[str]]:
    """Columns of every mart, as their enforced contracts state them."""
    tables = {}
    for path in sorted((MODELS / "marts").glob("*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            assert model["config"]["contract"]["enforced"] is True
            tables[model["name"]] = [column["name"] for column in model["columns"]]
    return tables


def test_every_published_table_is_looked_at() -> None:
    assert set(PUBLISHED_TABLES) <= set(published_columns())


@pytest.mark.parametrize("table", sorted(published_columns()))
def test_no_published_table_has_a_column_for_a_trait(table: str) -> None:
    assert [column for column in published_columns()[table] if TRAIT.search(column)] == []


def test_no_feature_table_of_a_model_or_frame_of_the_report_has_one() -> None:
    features = yaml.safe_load(FEATURE_DESCRIPTIONS.read_text(encoding="utf-8"))["models"][0]["columns"]
    learned = AFFINITY_TABLES | PERSUASION_TABLES | PREFERENCE_TABLES | PROPENSITY_TABLES | VALUE_TABLES
    named = [
        *(column["name"] for column in features),
        *(column for schema in (*learned.values(), *REPORT_FRAMES.values()) for column in schema),
        *MESSAGE_STYLES.values(),
    ]
    assert [name for name in named if TRAIT.search(name)] == []


@pytest.mark.parametrize(
    "name", ["openness", "ocean_o", "big_five_extraversion", "personality", "susceptibility_score"]
)
def test_the_test_knows_a_trait_when_it_sees_one(name: str) -> None:
    assert TRAIT.search(name)
