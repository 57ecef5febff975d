"""What a marketer says of a persona: ranges, levels and values of features, and how well a person meets them.

Here belongs the definition, without any model: rules that are met, nearly met, or not. What comes of it in the data
stands in `defined_personas`; how a definition is written down, with whoever reads the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.catalogue import Kind
from ml.encoding import NumberEncoding, finite_floats
from ml.many_starts import Matrix

RANGE_STEEPNESS = 4.0
"""What a standard deviation outside of a range costs, in logarithms of fit, for the square of it."""
MISMATCH_COST = 2.0
"""What another level than the ones named costs."""
UNKNOWN_COST = 1.0
"""What a missing value costs: less than a wrong one."""
LEVEL_QUANTILES = {"low": (None, 0.25), "medium": (0.25, 0.75), "high": (0.75, None)}
Level = Literal["low", "medium", "high"]


@dataclass(frozen=True)
class FeatureRule:
    """What a persona's people are like in one feature.

    Attributes:
        feature: Column name.
        low: Least value, or None.
        high: Largest value, or None.
        level: "low", "medium" or "high" in place of both: the lowest quarter, the middle half, the highest quarter of
            everybody who has a value.
        values: Levels of a category, or "true" or "false" of a flag.
        weight: How much it counts beside the persona's other rules.
    """

    feature: str
    low: float | None = None
    high: float | None = None
    level: Level | None = None
    values: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class PersonaDefinition:
    """A persona as a marketer defines it: rules, or people who are examples of it, or both."""

    persona_id: str
    rules: tuple[FeatureRule, ...] = ()
    examples: tuple[int, ...] = ()


def as_range(rule: FeatureRule, column: pl.Series, kinds: Mapping[str, Kind]) -> FeatureRule:
    """Turn a level into the range it is today, so that it means the same next week.

    Args:
        rule: The rule.
        column: The values of everybody.
        kinds: Kind by feature.

    Returns:
        The rule with a range; as it was where it has no level, or nobody has a value.
    """
    if rule.level is None or kinds[rule.feature] != "number":
        return rule
    values = finite_floats(column)
    values = values[~np.isnan(values)]
    if not len(values):
        return rule
    low, high = LEVEL_QUANTILES[rule.level]
    least = None if low is None else float(np.quantile(values, low))
    most = None if high is None else float(np.quantile(values, high))
    # Where more than a quarter have the smallest value, "high" still means more than that.
    if least is not None and least <= values.min() and (values > values.min()).any():
        least = float(values[values > values.min()].min())
    return FeatureRule(rule.feature, least, most, None, rule.values, rule.weight)


def rule_fit(
    features: pl.DataFrame, definitions: Sequence[PersonaDefinition], scales: Mapping[str, NumberEncoding]
) -> Matrix:
    """How well each person meets each persona's rules.

    Args:
        features: People, with the features the rules name.
        definitions: The personas, without levels.
        scales: Encoding of each number that a rule names.

    Returns:
        (people, personas), 1 where all rules are met (and where there are none), towards 0 the farther off and the more
        weight the rules have that are missed.
    """
    fit = np.ones((features.height, len(definitions)))
    for place, one in enumerate(definitions):
        weight = sum(rule.weight for rule in one.rules) / max(len(one.rules), 1)
        for rule in one.rules:
            cost = _cost(rule, features[rule.feature], scales.get(rule.feature))
            fit[:, place] *= np.exp(-rule.weight / weight * cost) if weight > 0 else 1.0
    return fit


def _cost(rule: FeatureRule, column: pl.Series, scale: NumberEncoding | None) -> NDArray[np.float64]:
    if rule.values:
        wanted = [value.casefold() for value in rule.values]
        text = column.cast(pl.String).str.to_lowercase()
        cost = text.is_in(wanted).cast(pl.Float64).replace_strict({1.0: 0.0, 0.0: MISMATCH_COST}, default=None)
        return cost.fill_null(UNKNOWN_COST).to_numpy().astype(np.float64)
    values = finite_floats(column)
    off = np.zeros(len(values))
    place = scale.standardize if scale is not None else (lambda given: given)
    for bound, side in ((rule.low, -1.0), (rule.high, 1.0)):
        if bound is not None:
            beyond = side * (place(values) - place(np.array([bound])))
            # Beyond the winsor limits all values are one; what is outside is outside nevertheless.
            is_out = side * (values - bound) > 0
            off = np.where(is_out, np.maximum(off, np.maximum(np.nan_to_num(beyond), 1e-3)), off)
    return np.where(np.isnan(values), UNKNOWN_COST, RANGE_STEEPNESS * off**2)
