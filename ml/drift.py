"""Whether people behave otherwise than those a model was fitted to: tests column by column, and of all columns
together.

Here belong the tests, as pure functions over arrays and frames. What a drift leads to is decided where weeks are run.

Three questions, three measures: is a difference more than chance (population stability index against a limit that
follows the sample size, and a classifier that tries to tell the two samples apart), and is it large enough to matter
(Jensen-Shannon distance). The folk limits of the index, 0.1 and 0.25, are not used: without any change they alarm in a
third of all weeks at 200 people, and miss a fifth of a standard deviation at 2,000.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import chi2, norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ml.catalogue import Kind
from ml.encoding import finite_floats
from ml.people_order import person_fold

BINS = 10
MOST_LEVELS = 20
FALSE_ALARMS = 0.01
"""Rate of false alarms, among all columns of a week (Benjamini and Hochberg 1995)."""
MATTERS_FROM = 0.05
"""Jensen-Shannon distance from which a difference is more than a matter of many people."""
TELLS_APART_FROM = 0.55
"""Area under the curve from which a classifier that tells two weeks apart matters."""
FOLDS = 5
FOLD_SEED = 5
OTHER, MISSING = "(other)", "(missing)"
# Half a person in an empty bin: the index is not infinite, and its limit holds.
_EMPTY = 0.5

COLUMN_DRIFT_SCHEMA = {
    "feature": pl.String,
    "psi": pl.Float64,
    "limit": pl.Float64,
    "p_value": pl.Float64,
    "js_distance": pl.Float64,
    "is_drifted": pl.Boolean,
}


@dataclass(frozen=True)
class ColumnReference:
    """How one column was distributed when a model was fitted: counts per bin, and nobody's value.

    Attributes:
        feature: Column name.
        kind: number, flag or category.
        edges: Inner edges of the bins of a number or flag, ascending.
        levels: Levels of a category; everything else is the other level.
        counts: People per bin or level, then (of a category) per other level, last those without a value.
    """

    feature: str
    kind: Kind
    edges: tuple[float, ...]
    levels: tuple[str, ...]
    counts: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Write as a JSON object."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(
            feature=state["feature"],
            kind=state["kind"],
            edges=tuple(state["edges"]),
            levels=tuple(state["levels"]),
            counts=tuple(state["counts"]),
        )


def learn_references(features: pl.DataFrame, inputs: Mapping[str, Kind]) -> list[ColumnReference]:
    """Keep how each column is distributed: ten bins of about as many people, or the most frequent levels.

    Args:
        features: One week.
        inputs: Kind by column.

    Returns:
        One reference per column.
    """
    return [_learn_reference(features[name], kind) for name, kind in inputs.items()]


def _learn_reference(column: pl.Series, kind: Kind) -> ColumnReference:
    if kind == "category":
        counts = column.cast(pl.String).drop_nulls().rename("level").to_frame().group_by("level").len()
        ordered = counts.sort(["len", "level"], descending=[True, False])["level"].to_list()
        levels = tuple(ordered[:MOST_LEVELS])
        empty = ColumnReference(column.name, kind, (), levels, ())
    else:
        values = finite_floats(column)
        present = values[~np.isnan(values)]
        quantiles = np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1]) if len(present) else np.empty(0)
        # Where many have the same value, bins fall together; the value then has a bin of its own.
        edges = tuple(float(edge) for edge in np.unique(quantiles))
        empty = ColumnReference(column.name, kind, edges, (), ())
    return ColumnReference(column.name, kind, empty.edges, empty.levels, tuple(column_counts(column, empty).tolist()))


def column_counts(column: pl.Series, reference: ColumnReference) -> NDArray[np.int64]:
    """Count people per bin or level, in the order of `ColumnReference.counts`."""
    if reference.kind == "category":
        text = column.cast(pl.String)
        places = text.replace_strict(
            list(reference.levels),
            list(range(len(reference.levels))),
            default=pl.lit(len(reference.levels)),
            return_dtype=pl.Int64,
        )
        codes = pl.select(pl.when(text.is_null()).then(len(reference.levels) + 1).otherwise(places)).to_series()
        return np.bincount(codes.to_numpy(), minlength=len(reference.levels) + 2).astype(np.int64)
    values = finite_floats(column)
    is_missing = np.isnan(values)
    edges = np.asarray(reference.edges)
    # Three kinds of place: below, at and above each edge, so that a frequent value is not lumped with what lies below.
    between = np.searchsorted(edges, values, side="left") + np.searchsorted(edges, values, side="right")
    numbered = np.where(is_missing, 2 * len(edges) + 1, between)
    return np.bincount(numbered, minlength=2 * len(edges) + 2).astype(np.int64)


def test_columns(
    features: pl.DataFrame,
    references: list[ColumnReference],
    false_alarms: float = FALSE_ALARMS,
    matters_from: float = MATTERS_FROM,
) -> pl.DataFrame:
    """Compare each column with how it was distributed when the model was fitted.

    The population stability index without a change is distributed as chi-square with bins - 1 degrees of freedom, times
    1/n + 1/m (Yurdakul 2018, "Statistical properties of population stability index"); bins that expect fewer than five
    people are joined with their neighbour first.

    Args:
        features: One week, with the columns of the references; a column that is missing is passed over.
        references: As `learn_references` gave them.
        false_alarms: Rate of false alarms among all columns.
        matters_from: Jensen-Shannon distance below which a difference is no drift, however sure.

    Returns:
        One row per column: feature; psi 0..; limit, which it passes by chance in `false_alarms` of all weeks; p_value
        0..1; js_distance 0..1; is_drifted.
    """
    rows = []
    for reference in references:
        if reference.feature not in features.columns:
            continue
        before = np.asarray(reference.counts, dtype=np.float64)
        now = column_counts(features[reference.feature], reference).astype(np.float64)
        before, now = _join_sparse(before, now)
        psi, js, degrees = stability_index(before, now)
        scale = 1 / max(before.sum(), 1) + 1 / max(now.sum(), 1)
        rows.append(
            {
                "feature": reference.feature,
                "psi": psi,
                "limit": float(chi2.ppf(1 - false_alarms, degrees) * scale) if degrees else None,
                "p_value": float(chi2.sf(psi / scale, degrees)) if degrees else 1.0,
                "js_distance": js,
                "is_drifted": False,
            }
        )
    tested = pl.DataFrame(rows, schema=COLUMN_DRIFT_SCHEMA)
    rejected = benjamini_hochberg(tested["p_value"].to_numpy(), false_alarms)
    return tested.with_columns(
        is_drifted=pl.Series(rejected, dtype=pl.Boolean) & (pl.col("js_distance") >= matters_from)
    )


test_columns.__test__ = False  # type: ignore[attr-defined]  # a test of statistics, not of this project


def stability_index(before: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[float, float, int]:
    """Population stability index, Jensen-Shannon distance (base 2) and degrees of freedom of two vectors of counts."""
    used = (before + now) > 0
    if used.sum() < 2 or before.sum() == 0 or now.sum() == 0:
        return 0.0, 0.0, 0
    p, q = before[used] / before.sum(), now[used] / now.sum()
    padded_p = np.maximum(before[used], _EMPTY) / before.sum()
    padded_q = np.maximum(now[used], _EMPTY) / now.sum()
    psi = float(((padded_p - padded_q) * np.log(padded_p / padded_q)).sum())
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = (
            np.where(p > 0, p * np.log2(p / middle), 0.0) + np.where(q > 0, q * np.log2(q / middle), 0.0)
        ).sum() / 2
    return psi, float(np.sqrt(max(divergence, 0.0))), int(used.sum()) - 1


def _join_sparse(before: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Join bins of which either side expects fewer than five people with the next one."""
    share = (before + now) / max((before + now).sum(), 1)
    expected = np.minimum(share * before.sum(), share * now.sum())
    groups = np.zeros(len(share), dtype=np.int64)
    filled, group = 0.0, 0
    for place, weight in enumerate(expected):
        groups[place] = group
        filled += weight
        if filled >= 5:
            group, filled = group + 1, 0.0
    if 0 < filled < 5 and group > 0:
        groups[groups == group] = group - 1
    size = int(groups.max()) + 1 if len(groups) else 0
    return (
        np.bincount(groups, weights=before, minlength=size).astype(np.float64),
        np.bincount(groups, weights=now, minlength=size).astype(np.float64),
    )


def benjamini_hochberg(p_values: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    """Which of many tests reject when the expected share of false ones among them is at most `rate`."""
    count = len(p_values)
    if count == 0:
        return np.zeros(0, dtype=bool)
    order = np.argsort(p_values, kind="stable")
    passes = p_values[order] <= rate * np.arange(1, count + 1) / count
    rejected = np.zeros(count, dtype=bool)
    if passes.any():
        rejected[order[: int(np.flatnonzero(passes).max()) + 1]] = True
    return rejected


@dataclass(frozen=True)
class ClassifierTest:
    """Whether a classifier can tell two samples apart.

    Attributes:
        auc: Area under the curve, out of fold; 0.5 is chance.
        z: How many standard errors above chance.
        is_drifted: More than chance by `false_alarms`, and enough to matter.
    """

    auc: float
    z: float
    is_drifted: bool


def classifier_test(
    before: NDArray[np.float64],
    now: NDArray[np.float64],
    before_ids: pl.Series,
    now_ids: pl.Series,
    false_alarms: float = FALSE_ALARMS,
    matters_from: float = TELLS_APART_FROM,
) -> ClassifierTest:
    """Let a logistic regression on the columns and their squares tell two samples apart, out of fold.

    Classifier two-sample test (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests"), with the null
    distribution of the area under the curve. The same person is always in the same fold, so that nobody in both
    samples is known from training.

    Args:
        before: (n, columns).
        now: (m, columns), in the same space.
        before_ids: person_id of each row.
        now_ids: The same of the other sample.
        false_alarms: Rate of false alarms.
        matters_from: Area under the curve below which a difference is no drift, however sure.

    Returns:
        What was found; chance where there are too few people to say.
    """
    n, m = len(before), len(now)
    if min(n, m) < 10 * FOLDS:
        return ClassifierTest(0.5, 0.0, False)
    matrix = np.vstack([before, now])
    spread = np.maximum(matrix.std(axis=0), 1e-9)
    scaled = np.clip((matrix - matrix.mean(axis=0)) / spread, -5, 5)
    design = np.hstack([scaled, scaled**2])
    is_now = np.repeat([0, 1], [n, m])
    folds = person_fold(pl.concat([before_ids, now_ids]), FOLDS, FOLD_SEED)
    # Areas are taken fold by fold: scores of different models have no common scale.
    areas = []
    for fold in range(FOLDS):
        test = folds == fold
        if len(np.unique(is_now[test])) < 2:
            continue
        model = LogisticRegression(C=0.1, max_iter=200).fit(design[~test], is_now[~test])
        areas.append(roc_auc_score(is_now[test], model.decision_function(design[test])))
    auc = float(np.mean(areas)) if areas else 0.5
    standard_error = np.sqrt((n + m + 1) / (12 * n * m))
    z = (auc - 0.5) / standard_error
    return ClassifierTest(auc, float(z), bool(z > norm.ppf(1 - false_alarms) and auc >= matters_from))
