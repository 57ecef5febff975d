"""Whether a target's probabilities hold alike for groups of people: markets, languages, genders, ages.

Here belong the gaps in scores and in errors. What a group is, comes with the rows: columns that are here only, and
never a feature.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml.bands import weights_of
from ml.evaluation import area_under_curve

FAIRNESS_SCHEMA = {
    "attribute": pl.String,
    "group": pl.String,
    "people": pl.Int64,
    "mean_probability": pl.Float64,
    "observed": pl.Float64,
    "calibration_gap": pl.Float64,
    "calibration_gap_error": pl.Float64,
    "auc": pl.Float64,
    "auc_low": pl.Float64,
    "auc_high": pl.Float64,
    "is_off": pl.Boolean,
}
OTHERS = "(others)"
UNKNOWN = "(unknown)"
FEWEST_OUTCOMES = 10
MATTERS_FROM, MATTERS_SHARE, STANDARD_ERRORS = 0.01, 0.1, 3.0
"""A group's probabilities are off where they differ from what was observed by a percentage point, by a tenth of what
was observed, and by more than three standard errors."""
AGE_BANDS = ((25, "under 25"), (35, "25 to 34"), (45, "35 to 44"), (55, "45 to 54"), (65, "55 to 64"))


def age_band(age: pl.Expr) -> pl.Expr:
    """Ages in years as bands of ten years."""
    banded = pl.lit("65 and over")
    for limit, words in reversed(AGE_BANDS):
        banded = pl.when(age < limit).then(pl.lit(words)).otherwise(banded)
    return pl.when(age.is_not_null()).then(banded)


def group_gaps(measured: pl.DataFrame, attributes: Sequence[str], minimum_people: int) -> pl.DataFrame:
    """Compare probabilities and outcomes group by group.

    Groups of fewer than `minimum_people` are told together as `(others)`; where these are still too few, the smallest
    of the other groups is among them, so that nobody can take a small group's figures from the total.

    Args:
        measured: Of a week not learned from: probability, outcome 0 or 1, optionally weight, and the attributes as
            texts (null where unknown).
        attributes: The columns with groups.
        minimum_people: Fewest people of a group that is told.

    Returns:
        `FAIRNESS_SCHEMA`, by attribute and group: calibration_gap is the mean probability less the observed share, AUC
        with its 95 % interval (null with fewer than ten of either outcome); is_off where the gap is more than chance
        and matters. An attribute with a single group says nothing and is left out.
    """
    rows = []
    for attribute in attributes:
        groups = _groups(measured[attribute], minimum_people)
        if groups is None:
            continue
        for (group,), people in sorted(measured.with_columns(group=groups).partition_by("group", as_dict=True).items()):
            rows.append({"attribute": attribute, "group": group, **_figures(people)})
    return pl.DataFrame(rows, schema=FAIRNESS_SCHEMA)


def gaps_in_words(gaps: pl.DataFrame) -> list[str]:
    """A sentence for each group whose probabilities are off."""
    return [
        f"{row['attribute']} {row['group']}: {row['mean_probability']:.1%} were predicted and {row['observed']:.1%} "
        f"observed, among {row['people']:,} people"
        for row in gaps.filter("is_off").iter_rows(named=True)
    ]


def _groups(values: pl.Series, minimum_people: int) -> pl.Series | None:
    named = values.cast(pl.String).fill_null(UNKNOWN)
    sizes = named.value_counts(name="people").sort("people", named.name)
    small = sizes.filter(pl.col("people") < minimum_people)
    pooled = small[named.name].to_list()
    if pooled:
        together, rest = int(small["people"].sum()), sizes.filter(pl.col("people") >= minimum_people)
        while together < minimum_people and rest.height:
            pooled.append(rest[named.name][0])
            together += int(rest["people"][0])
            rest = rest.slice(1)
        if together < minimum_people:
            return None
    groups = named.replace(dict.fromkeys(pooled, OTHERS)) if pooled else named
    return groups if groups.n_unique() > 1 else None


def _figures(people: pl.DataFrame) -> dict[str, int | float | bool | None]:
    weights = weights_of(people)
    probability = people["probability"].to_numpy()
    outcome = people["outcome"].cast(pl.Float64).to_numpy()
    predicted, observed = float(np.average(probability, weights=weights)), float(np.average(outcome, weights=weights))
    expected_variance = float((weights**2 * probability * (1 - probability)).sum())
    error = float(np.sqrt(expected_variance) / weights.sum())
    gap = predicted - observed
    area = (None, None, None)
    if min(outcome.sum(), (1 - outcome).sum()) >= FEWEST_OUTCOMES:
        area = area_under_curve(outcome, probability)  # type: ignore[assignment]
    matters = max(MATTERS_FROM, MATTERS_SHARE * observed, STANDARD_ERRORS * error)
    return {
        "people": round(float(weights.sum())),
        "mean_probability": predicted,
        "observed": observed,
        "calibration_gap": gap,
        "calibration_gap_error": error,
        "auc": area[0],
        "auc_low": area[1],
        "auc_high": area[2],
        "is_off": bool(abs(gap) > matters),
    }
