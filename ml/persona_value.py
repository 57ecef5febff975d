"""Whether personas differ in what people do after the model was fitted, and whether they pay.

Here belong the tests and figures. Over-segmentation as seen by the features themselves stands in `persona_evidence`.

Groups always differ in the columns they were cut by; what counts is what happens after. With many people everything is
significant, so a difference needs a size as well (Cohen 1988: eta squared 0.01 is small; or, of what few people do,
half as much again), and with many comparisons something is by chance, so the false discovery rate is held (Benjamini
and Hochberg 1995). That no difference was seen shows none: two personas do the same only where the interval of their
ratio leaves no room for half as much again (Schuirmann 1987, "A comparison of the two one-sided tests procedure").
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl
from scipy.stats import chi2, norm, rankdata

FALSE_DISCOVERY_RATE = 0.05
SMALLEST_EFFECT = 0.01
"""Share of the variance of ranks between two personas below which a difference is not worth a campaign."""
LARGE_RATIO = 1.5
"""Means that lie this far apart are a difference, even where few people have anything: two orders in a hundred people
against four are three thousandths of the variance, and twice the orders."""
RATIO_CONFIDENCE = 0.95
NET_VALUE_CONFIDENCE = 0.9

DIFFERENCE_SCHEMA = {
    "persona_id": pl.String,
    "other_id": pl.String,
    "kpi": pl.String,
    "effect": pl.Float64,
    "p_value": pl.Float64,
    "q_value": pl.Float64,
    "ratio": pl.Float64,
    "ratio_low": pl.Float64,
    "ratio_high": pl.Float64,
    "is_different": pl.Boolean,
    "is_alike": pl.Boolean,
}
NET_VALUE_SCHEMA = {
    "persona_id": pl.String,
    "people": pl.Int64,
    "net_value": pl.Float64,
    "net_value_high": pl.Float64,
    "is_unprofitable": pl.Boolean,
}


def compare_personas(outcomes: pl.DataFrame, kpis: Sequence[str]) -> pl.DataFrame:
    """Compare every two personas in every figure, after the model was fitted.

    Args:
        outcomes: person_id, persona_id (as of the fit), and the figures after it; numbers or truth values, with nulls.
        kpis: The columns to compare.

    Returns:
        By persona_id, other_id and kpi: effect 0..1, the share of the variance of ranks that lies between the two
        (of truth values the square of Cramér's V); p_value of Kruskal and Wallis' test; q_value, adjusted to the false
        discovery rate over all rows; ratio of the means, above 0, with its 95 % interval, null where one is not above
        zero; is_different, where q is at most 0.05 and the effect at least 0.01 or the ratio at least 1.5 (or its
        inverse); is_alike, where it is not different and the interval leaves no such ratio open.
    """
    personas = sorted(outcomes["persona_id"].drop_nulls().unique().to_list())
    labels = outcomes["persona_id"].to_numpy()
    rows = []
    for kpi in kpis:
        values = outcomes[kpi].cast(pl.Float64).fill_nan(None).to_numpy()
        groups = {persona: values[(labels == persona) & ~np.isnan(values)] for persona in personas}
        for one, other in combinations(personas, 2):
            effect, p_value = _kruskal_wallis(groups[one], groups[other])
            ratio, low, high = _ratio(groups[one], groups[other])
            rows.append(
                {"persona_id": one, "other_id": other, "kpi": kpi, "effect": effect, "p_value": p_value}
                | {"ratio": ratio, "ratio_low": low, "ratio_high": high}
            )
    if not rows:
        return pl.DataFrame(schema=DIFFERENCE_SCHEMA)
    told = pl.DataFrame(rows, schema_overrides=DIFFERENCE_SCHEMA).sort("persona_id", "other_id", "kpi")
    adjusted = pl.Series("q_value", _adjusted(told["p_value"].to_numpy()))
    has_size = (pl.col("effect") >= SMALLEST_EFFECT) | _is_large("ratio", "ratio")
    return (
        told.with_columns(adjusted)
        .with_columns(is_different=(pl.col("q_value") <= FALSE_DISCOVERY_RATE) & has_size)
        .with_columns(is_alike=~pl.col("is_different") & ~_is_large("ratio_low", "ratio_high"))
        .select(list(DIFFERENCE_SCHEMA))
    )


def not_worth_separating(differences: pl.DataFrame) -> dict[str, str]:
    """Personas that do the same as another one afterwards.

    Args:
        differences: As `compare_personas` returns them.

    Returns:
        By persona_id, the persona it is alike to in every figure; of several, the most similar one.
    """
    pairs = differences.group_by("persona_id", "other_id").agg(pl.col("is_alike").all(), largest=pl.col("effect").max())
    alike = pairs.filter("is_alike")
    both = pl.concat([alike, alike.rename({"persona_id": "other_id", "other_id": "persona_id"}).select(alike.columns)])
    nearest = both.sort("persona_id", "largest", "other_id").unique("persona_id", keep="first", maintain_order=True)
    return dict(nearest.select("persona_id", "other_id").iter_rows())


def net_values(people: pl.DataFrame) -> pl.DataFrame:
    """What the people of each persona bring, less what they cost.

    Args:
        people: persona_id and net_value of each person, in the workspace's currency.

    Returns:
        By persona_id: people; net_value, the mean; net_value_high, its upper 90 % bound; is_unprofitable, where even
        that is below zero.
    """
    known = people.filter(pl.col("net_value").is_not_null() & pl.col("persona_id").is_not_null())
    bound = float(norm.ppf(NET_VALUE_CONFIDENCE))
    return (
        known.group_by("persona_id")
        .agg(
            people=pl.len().cast(pl.Int64),
            net_value=pl.col("net_value").mean(),
            error=pl.col("net_value").std().fill_null(0.0) / pl.len().sqrt(),
        )
        .with_columns(net_value_high=pl.col("net_value") + bound * pl.col("error"))
        .with_columns(is_unprofitable=(pl.col("net_value_high") < 0) & (pl.col("people") > 1))
        .sort("persona_id")
        .select(pl.col(name).cast(kind) for name, kind in NET_VALUE_SCHEMA.items())
    )


def _kruskal_wallis(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Effect size and p-value; of truth values it is the chi-squared test. No difference where nothing is known."""
    people = len(one) + len(other)
    if min(len(one), len(other)) < 2:
        return 0.0, 1.0
    ranks = rankdata(np.concatenate([one, other]))
    centred = ranks - ranks.mean()
    variance = float((centred**2).mean())
    if variance <= 0:
        return 0.0, 1.0
    between = len(one) * centred[: len(one)].mean() ** 2 + len(other) * centred[len(one) :].mean() ** 2
    effect = float(between / people / variance)
    return round(effect, 9), float(chi2.sf(effect * (people - 1), 1))


def _ratio(one: np.ndarray, other: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Ratio of two means and its interval (delta method on its logarithm); nothing where one is not above zero."""
    if min(len(one), len(other)) < 2 or min(one.mean(), other.mean()) <= 0:
        return None, None, None
    error = np.sqrt(sum(group.var(ddof=1) / len(group) / group.mean() ** 2 for group in (one, other)))
    ratio, factor = one.mean() / other.mean(), np.exp(norm.ppf(0.5 + RATIO_CONFIDENCE / 2) * error)
    return float(ratio), float(ratio / factor), float(ratio * factor)


def _is_large(low: str, high: str) -> pl.Expr:
    return ((pl.col(low) <= 1 / LARGE_RATIO) | (pl.col(high) >= LARGE_RATIO)).fill_null(False)


def _adjusted(p_values: np.ndarray) -> np.ndarray:
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
