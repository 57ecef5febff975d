"""The feature catalogue: what each feature column is, and which models may look at it.

Here belongs reading the catalogue. What is done with the columns stands in the models.
"""

from collections.abc import Sequence
from typing import Literal

import polars as pl

Kind = Literal["number", "flag", "category"]

CATALOGUE_COLUMNS = {
    "feature": pl.String,
    "family": pl.String,
    "label": pl.String,
    "high_words": pl.String,
    "low_words": pl.String,
    "kind": pl.String,
    "is_persona_input": pl.Boolean,
    "is_propensity_input": pl.Boolean,
}
KINDS = ("number", "flag", "category")


def inputs_of(
    catalogue: pl.DataFrame,
    columns: Sequence[str],
    purpose: Literal["is_persona_input", "is_propensity_input"],
) -> dict[str, Kind]:
    """List the features that a model may use and that are there.

    A feature of an entity that is not delivered has no column; it is left out, not taken as zero.

    Args:
        catalogue: One row per feature, columns as in `CATALOGUE_COLUMNS`.
        columns: The columns of the feature frame.
        purpose: The catalogue column that says yes or no.

    Returns:
        Kind by feature, in the order of the catalogue.

    Raises:
        ValueError: A catalogue column is missing, or a kind is none of number, flag, category.
    """
    missing = [name for name in CATALOGUE_COLUMNS if name not in catalogue.columns]
    if missing:
        raise ValueError(f"the feature catalogue lacks the columns {missing}")
    chosen = catalogue.filter(pl.col(purpose) & pl.col("feature").is_in(list(columns)))
    unknown = sorted(set(chosen["kind"].to_list()) - set(KINDS), key=str)
    if unknown:
        raise ValueError(f"the feature catalogue has kinds {unknown}; known are {list(KINDS)}")
    return dict(chosen.select("feature", "kind").iter_rows())


def require_one_week(features: pl.DataFrame) -> None:
    """Hold a feature frame to one row per person.

    Args:
        features: At (person_id), with `as_of` if it says so.

    Raises:
        ValueError: More than one week, or a person twice.
    """
    if "as_of" in features.columns and features["as_of"].n_unique() > 1:
        raise ValueError("expected the features of one week, got several values of as_of")
    if features["person_id"].n_unique() != features.height:
        raise ValueError("expected one row per person, got some person_id twice")
