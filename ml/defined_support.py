"""How well the data bear out what a marketer defined, and what they suggest instead.

Here belong judging definitions, groups nobody named, and better ranges; fitting definitions stands in
`defined_personas`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.defined_personas import MEMBER_FROM, DefinedModel, rule_evidence
from ml.encoding import finite_floats
from ml.persona_definitions import FeatureRule, PersonaDefinition, rule_fit

SUGGESTED_FROM_SHARE = 0.03
"""Share of all people from which a group nobody named is worth a suggestion."""
SUGGESTED_PURITY = 0.5
RANGE_TOO_NARROW = 0.8
"""A range that takes in less than this share of those who fit otherwise is suggested to be wider."""
RANGE_TOO_WIDE = 2.0
"""A range this many times as wide as where its people are is suggested to be narrower."""
SUPPORT_SCHEMA = {
    "persona_id": pl.String,
    "people": pl.Int64,
    "share": pl.Float64,
    "mean_fit": pl.Float64,
    "separation": pl.Float64,
    "stability": pl.Float64,
    "nearest_persona_id": pl.String,
    "nearest_overlap": pl.Float64,
}


def judge_support(
    model: DefinedModel, features: pl.DataFrame, assigned: pl.DataFrame, discovered: pl.DataFrame
) -> pl.DataFrame:
    """Say how well this week's people bear out each definition.

    Args:
        model: The model.
        features: One week.
        assigned: As `DefinedModel.assign` returns it.
        discovered: person_id, persona_id of the personas found in the data; may be empty.

    Returns:
        Per definition: persona_id; people; share 0..1 of everybody; mean_fit 0..1 of its people; separation, the
        distance of its centre from the nearest other one in standard deviations per column (null where there is no
        other); stability 0..1; nearest_persona_id, the discovered persona it overlaps most, and nearest_overlap, their
        Jaccard index.
    """
    centres = model.mixture.centres / np.sqrt(model.mixture.variance)
    distances = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distances, np.inf)
    sizes = dict(discovered.group_by("persona_id").len().iter_rows())
    shared = (
        assigned.select("person_id", "persona_id")
        .join(discovered.select("person_id", other="persona_id"), on="person_id")
        .group_by("persona_id", "other")
        .len()
    )
    rows = []
    for place, one in enumerate(model.definitions):
        members = assigned.filter(pl.col("persona_id") == one.persona_id)
        overlaps = [
            (people / (members.height + sizes[other] - people), other)
            for _, other, people in shared.filter(pl.col("persona_id") == one.persona_id).iter_rows()
        ]
        overlap, nearest = max(overlaps, default=(None, None), key=lambda pair: (pair[0], pair[1]))
        apart = distances[place].min()
        rows.append(
            {
                "persona_id": one.persona_id,
                "people": members.height,
                "share": members.height / features.height if features.height else 0.0,
                "mean_fit": members["fit_score"].mean(),
                "separation": round(float(apart), 4) if np.isfinite(apart) else None,
                "stability": model.stability[place],
                "nearest_persona_id": nearest,
                "nearest_overlap": overlap,
            }
        )
    return pl.DataFrame(rows, schema=SUPPORT_SCHEMA)


def suggest_groups(model: DefinedModel, features: pl.DataFrame) -> pl.DataFrame:
    """Find groups of people whom no definition names.

    Args:
        model: The model; its free groups are the candidates.
        features: One week.

    Returns:
        person_id, persona_id ("unnamed-1", the largest first) of the people in groups that hold at least 3 % of
        everybody; empty where there is none.
    """
    free = len(model.mixture.centres) - model.mixture.named
    if free == 0 or features.height == 0:
        return pl.DataFrame(schema={"person_id": pl.UInt64, "persona_id": pl.String})
    rules = rule_fit(features, model.definitions, model.scales)
    group = np.empty(features.height, dtype=np.int64)
    for start, scores in model.preparation.transform_chunks(features):
        rows = slice(start, start + len(scores))
        joint = model.mixture.log_joint(scores.astype(np.float64), rule_evidence(model.definitions, rules[rows]))
        shares = np.exp(joint - joint.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        best = shares.argmax(axis=1)
        is_free = (best >= model.mixture.named) & (best < len(model.mixture.centres))
        group[rows] = np.where(is_free & (shares.max(axis=1) >= SUGGESTED_PURITY), best - model.mixture.named, -1)
    sizes = np.bincount(group[group >= 0], minlength=free)
    large = [place for place in np.argsort(-sizes, kind="stable") if sizes[place] >= SUGGESTED_FROM_SHARE * len(group)]
    names = {int(place): f"unnamed-{number}" for number, place in enumerate(large, 1)}
    labels = pl.Series(group).replace_strict(names, default=None, return_dtype=pl.String)
    return (
        pl.DataFrame({"person_id": features["person_id"], "persona_id": labels})
        .drop_nulls("persona_id")
        .sort("person_id")
    )


@dataclass(frozen=True)
class RangeSuggestion:
    """A range that would suit the people better.

    Attributes:
        persona_id: The persona.
        feature: The feature.
        low: Suggested least value, or None.
        high: Suggested largest value, or None.
        reason: Why, in words.
    """

    persona_id: str
    feature: str
    low: float | None
    high: float | None
    reason: str


def suggest_ranges(model: DefinedModel, features: pl.DataFrame, assigned: pl.DataFrame) -> list[RangeSuggestion]:
    """Say which ranges leave out, or reach far beyond, the people who fit a persona otherwise.

    Args:
        model: The model.
        features: One week.
        assigned: As `DefinedModel.assign` returns it.

    Returns:
        The suggestions, in order of definition.
    """
    suggestions = []
    for place, one in enumerate(model.definitions):
        probabilities = None
        for rule in one.rules:
            if rule.values or (rule.low is None and rule.high is None):
                continue
            others = tuple(other for other in one.rules if other is not rule)
            if not others and not one.examples:
                continue
            if others:
                fits_otherwise = (
                    rule_fit(features, (PersonaDefinition(one.persona_id, others),), model.scales)[:, 0] >= 1
                )
            else:
                probabilities = model.score(features)[0] if probabilities is None else probabilities
                fits_otherwise = probabilities[:, place] >= MEMBER_FROM
            values = finite_floats(features[rule.feature])
            values = values[fits_otherwise & ~np.isnan(values)]
            if len(values) >= 30:
                suggestion = _better_range(one.persona_id, rule, values)
                suggestions += [suggestion] if suggestion else []
    return suggestions


def _better_range(persona_id: str, rule: FeatureRule, values: NDArray[np.float64]) -> RangeSuggestion | None:
    low, high = (
        -np.inf if rule.low is None else rule.low,
        np.inf if rule.high is None else rule.high,
    )
    inside = float(((values >= low) & (values <= high)).mean())
    least, most = (float(np.quantile(values, share)) for share in (0.05, 0.95))
    # Where a one-sided rule would have to give way altogether, it is what the persona is about.
    is_the_point = (rule.high is None and least <= values.min()) or (rule.low is None and most >= values.max())
    if inside < RANGE_TOO_NARROW and not is_the_point:
        return RangeSuggestion(
            persona_id,
            rule.feature,
            None if rule.low is None else _rounded(min(least, rule.low)),
            None if rule.high is None else _rounded(max(most, rule.high)),
            f"of those who fit everything else, {inside:.0%} are within the range; nine in ten lie between "
            f"{_rounded(least):g} and {_rounded(most):g}",
        )
    if rule.low is not None and rule.high is not None and most > least:
        if (rule.high - rule.low) > RANGE_TOO_WIDE * (most - least):
            return RangeSuggestion(
                persona_id,
                rule.feature,
                _rounded(least),
                _rounded(most),
                f"the range is {(rule.high - rule.low) / (most - least):.1f} times as wide as where nine in ten of "
                "those who fit everything else are",
            )
    return None


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
