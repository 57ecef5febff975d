"""Features that are too good to be true: those that tell the outcome because they were written after it.

Here belong the tests and what they say. What is done with a suspect is decided in `propensity`. A test accuses, it
does not convict: a suspect is a column whose origin somebody should know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from ml.catalogue import Kind
from ml.encoding import finite_floats
from ml.evaluation import log_loss
from ml.negative_sampling import prior_shift, weights_of
from ml.people_order import hash_sample, person_fold
from ml.tree_classifiers import BoostingClassifier

Floats = NDArray[np.float64]

SCREENED_ROWS = 20_000
"""Rows the tests look at; an area under the curve of 0.95 is then known to about 0.01 at 400 positives."""
TOO_GOOD_ALONE = 0.95
SAME_AS_OUTCOME = 0.99
"""Share of both outcomes, each counted half, that a feature alone gets right when it is all but the outcome itself."""
IRREPLACEABLE = 0.4
"""Share of what all features explain that is lost with one of them, from which no other can stand in for it."""
EXPLAINED = 1 / 3
"""Such a share is only looked at where the features together explain this share of the uncertainty about the outcome;
what is known beforehand seldom does, and something has to carry a small signal."""
STRONG_ALONE = 0.75
"""And only of a feature that ranks people this well alone. `duration` of the bank campaigns (AUC alone .80, 53 to 56 %
lost without it) and `PageValues` of the shop sessions (.86, 64 to 70 %) are known to be written after the outcome; of
the other features of these sets and of the telephone company's none loses more than 22 %."""
LOOKED_AT = 3
"""Features that are left out one by one, those whose shuffling costs most."""
CLOCK_SHARE = 0.8
IDENTIFIER_SHARE = 0.95
IDENTIFIER_PEOPLE = 200
"""Fewest people among whom values that are all different are no coincidence."""
VALUE_BINS = 20
ARRIVED = 0.25
"""Change of the share of people with a value, from the last training week to the scored one."""


@dataclass(frozen=True)
class Suspect:
    """A feature that may know what it should not.

    Attributes:
        feature: Its name.
        reason: Why, in words.
        figure: The number behind it; what it is says the reason.
    """

    feature: str
    reason: str
    figure: float


def find_suspects(
    rows: pl.DataFrame,
    inputs: Mapping[str, Kind],
    learned_from: pl.DataFrame,
    scored: pl.DataFrame | None = None,
    seed: int = 7,
) -> list[Suspect]:
    """Look for leaks, clocks and identifiers.

    Args:
        rows: All training rows: person_id, as_of, the features.
        inputs: Kind by feature.
        learned_from: The rows whose outcomes may be looked at: person_id, as_of, the features, outcome 0 or 1.
        scored: The features of the week that is to be scored, if they are at hand.
        seed: Seed of the sample.

    Returns:
        At most one suspicion per feature, in the order of `inputs`.
    """
    everything = hash_sample(rows, SCREENED_ROWS, seed)
    sample = hash_sample(learned_from, SCREENED_ROWS, seed)
    found = [*identifiers(everything, inputs), *clocks(everything, inputs)]
    areas = single_feature_areas(sample, inputs, seed)
    found += too_good_alone(areas)
    if scored is not None:
        found += not_there_yet(everything, scored, inputs, areas)
    cleared = {name: kind for name, kind in inputs.items() if name not in {one.feature for one in found}}
    found += irreplaceable(sample, cleared, {name: area for name, (area, _) in areas.items()}, seed)
    first: dict[str, Suspect] = {}
    for suspect in found:
        first.setdefault(suspect.feature, suspect)
    return [first[name] for name in inputs if name in first]


def identifiers(rows: pl.DataFrame, inputs: Mapping[str, Kind]) -> list[Suspect]:
    """Categories and whole numbers that are different for nearly everybody.

    Args:
        rows: person_id, the features.
        inputs: Kind by feature.

    Returns:
        The suspects; figure is distinct values per person with one.
    """
    people = rows.unique("person_id", keep="first", maintain_order=True)
    found = []
    for name, kind in inputs.items():
        if kind == "flag":
            continue
        values = people[name].drop_nulls()
        if kind == "number":
            numbers = finite_floats(values)
            numbers = numbers[np.isfinite(numbers)]
            if (numbers != np.round(numbers)).any():
                continue
            values = pl.Series(numbers)
        if len(values) < IDENTIFIER_PEOPLE:
            continue
        share = values.n_unique() / len(values)
        if share >= IDENTIFIER_SHARE:
            found.append(Suspect(name, f"it names people: {share:.0%} of its values are of one person only", share))
    return found


def clocks(rows: pl.DataFrame, inputs: Mapping[str, Kind]) -> list[Suspect]:
    """Features that say which week it is.

    Args:
        rows: as_of, the features; of several weeks, else there is nothing to see.
        inputs: Kind by feature.

    Returns:
        The suspects; figure is the share of variance (of a category: of entropy) between weeks.
    """
    week = rows["as_of"].rank("dense").to_numpy().astype(np.int64) - 1
    if week.max(initial=0) == 0:
        return []
    found = []
    for name, kind in inputs.items():
        share = _entropy_share(rows[name], week) if kind == "category" else _variance_share(rows[name], week)
        if share > CLOCK_SHARE:
            reason = f"it is a clock: {share:.0%} of how it varies is explained by the date of the snapshot"
            found.append(Suspect(name, reason, share))
    return found


def single_feature_areas(rows: pl.DataFrame, inputs: Mapping[str, Kind], seed: int) -> dict[str, tuple[float, float]]:
    """How well each feature alone tells the outcome, also where it does so by being missing or in the middle.

    Every feature is cut into twenty bins, or levels, and missing; one half of the people says how frequent the outcome
    is in each, the other half is ranked by it.

    Args:
        rows: person_id, the features, outcome 0 or 1.
        inputs: Kind by feature.
        seed: Seed of the halves.

    Returns:
        By feature: area under the curve, and the best share right with both outcomes counted half.
    """
    outcomes = _outcomes(rows)
    half = person_fold(rows["person_id"], 2, seed + 4)
    areas = {}
    for name, kind in inputs.items():
        codes = _bins(rows[name], kind)
        bins = int(codes.max(initial=0)) + 1
        place = half * bins + codes
        people = np.bincount(place, minlength=2 * bins).reshape(2, bins)
        positives: Floats = np.bincount(place, weights=outcomes, minlength=2 * bins).reshape(2, bins).astype(np.float64)
        prior = positives.sum(axis=1) / np.maximum(people.sum(axis=1), 1)
        frequent = (positives + prior[:, None]) / (people + 1)
        areas[name] = _told_by(frequent[::-1].ravel(), positives.ravel(), np.asarray(people - positives).ravel())
    return areas


def _told_by(score: Floats, positives: Floats, negatives: Floats) -> tuple[float, float]:
    """How well a score tells outcomes apart, of groups of people who have it in common.

    Args:
        score: One per group; groups may share one.
        positives: People of the group with the outcome.
        negatives: People without.

    Returns:
        Area under the curve, not a number where there are fewer than two of either outcome; and the share right at the
        best of all thresholds, each outcome counted half, 0 where one of them is missing.
    """
    order = np.argsort(-score, kind="stable")
    is_last_of_its_score = np.r_[np.diff(score[order]) != 0, True]
    found = np.r_[0.0, np.cumsum(positives[order])[is_last_of_its_score]]
    alarmed = np.r_[0.0, np.cumsum(negatives[order])[is_last_of_its_score]]
    right = float(((found / found[-1] + 1 - alarmed / alarmed[-1]) / 2).max()) if found[-1] * alarmed[-1] else 0.0
    if min(found[-1], alarmed[-1]) < 2:
        return float("nan"), right
    below = (np.diff(alarmed) * (found[1:] + found[:-1])).sum() / 2
    return float(below / found[-1] / alarmed[-1]), right


def too_good_alone(areas: Mapping[str, tuple[float, float]]) -> list[Suspect]:
    """Features that need no others.

    Args:
        areas: As `single_feature_areas` gives.

    Returns:
        The suspects; figure is the area under the curve, or the share right.
    """
    found = []
    for name, (area, share) in areas.items():
        if share >= SAME_AS_OUTCOME:
            found.append(Suspect(name, f"it is all but the outcome itself: alone it gets {share:.1%} right", share))
        elif area > TOO_GOOD_ALONE:
            found.append(Suspect(name, f"it is too good alone: AUC {area:.3f}, above {TOO_GOOD_ALONE}", area))
    return found


def irreplaceable(
    rows: pl.DataFrame, inputs: Mapping[str, Kind], areas: Mapping[str, float], seed: int
) -> list[Suspect]:
    """A feature that carries most of a strong signal, and that no other can stand in for.

    What a customer does leaves traces in several features, so that of two honest ones each can stand in for a part of
    the other. What was written after the outcome has no such company.

    Args:
        rows: person_id, the features, outcome 0 or 1.
        inputs: Kind by feature.
        areas: Area under the curve by feature alone.
        seed: Seed.

    Returns:
        At most one suspect; figure is the share of explained log loss that is lost without it.
    """
    strong = [name for name in inputs if areas[name] >= STRONG_ALONE]
    if not strong or len(inputs) < 2:
        return []
    tried = person_fold(rows["person_id"], 3, seed + 5) == 0
    learn, test = rows.filter(pl.Series(~tried)), rows.filter(pl.Series(tried))
    told, outcomes = _outcomes(learn), _outcomes(test)
    if min(told.sum(), len(told) - told.sum(), outcomes.sum(), len(outcomes) - outcomes.sum()) < 2:
        return []
    weights, shift = weights_of(test), prior_shift(rows)

    def loss(said: Floats) -> float:
        return log_loss(outcomes, expit(said + shift), weights)

    def loss_without(name: str) -> float:
        rest = {other: kind for other, kind in inputs.items() if other != name}
        classifier = BoostingClassifier(rest, random_state=seed).fit(learn, told)
        return loss(classifier.encoded_log_odds(classifier.encode(test)))

    base = log_loss(outcomes, np.full(len(outcomes), np.average(outcomes, weights=weights)), weights)
    model = BoostingClassifier(inputs, random_state=seed).fit(learn, told)
    matrix = model.encode(test)
    explained = base - loss(model.encoded_log_odds(matrix))
    if explained < EXPLAINED * base:
        return []
    order = np.random.default_rng(seed).permutation(len(matrix))
    left = {}
    for name in strong:
        shuffled = matrix.copy()
        column = model.column_features_.index(name)
        shuffled[:, column] = matrix[order, column]
        left[name] = base - loss(model.encoded_log_odds(shuffled))
    for name in sorted(strong, key=lambda feature: left[feature])[:LOOKED_AT]:
        if explained - left[name] < IRREPLACEABLE * explained:
            break
        lost = 1 - (base - loss_without(name)) / explained
        if lost > IRREPLACEABLE:
            reason = f"no other feature can stand in for it: without it {lost:.0%} of what they explain is lost"
            return [Suspect(name, reason, lost)]
    return []


def not_there_yet(
    rows: pl.DataFrame, scored: pl.DataFrame, inputs: Mapping[str, Kind], areas: Mapping[str, tuple[float, float]]
) -> list[Suspect]:
    """Features that tell the outcome of past weeks and are not filled yet in the week that counts.

    Args:
        rows: as_of, the features, of past weeks.
        scored: The features of the scored week.
        inputs: Kind by feature.
        areas: As `single_feature_areas` gives.

    Returns:
        The suspects; figure is the change of the share of people with a value other than nothing and zero.
    """
    last = rows.filter(pl.col("as_of") == rows["as_of"].max())
    found = []
    for name, kind in inputs.items():
        if name not in scored.columns or areas[name][0] < 0.6:
            continue
        change = _filled_share(scored[name], kind) - _filled_share(last[name], kind)
        if change < -ARRIVED:
            reason = (
                f"it knows the future: {-change:.0%} of people had a value in past weeks who would have none now, "
                f"and there it tells the outcome (AUC {areas[name][0]:.2f})"
            )
            found.append(Suspect(name, reason, change))
    return found


def _filled_share(column: pl.Series, kind: Kind) -> float:
    if kind == "category":
        return 1 - column.null_count() / max(len(column), 1)
    values = column.cast(pl.Float64)
    return int((values.is_finite() & (values != 0)).sum()) / len(values) if len(values) else 0.0


def _variance_share(column: pl.Series, week: NDArray[np.int64]) -> float:
    values = finite_floats(column)
    is_missing = np.isnan(values)
    if is_missing.all():
        return 0.0
    share = _between(values[~is_missing], week[~is_missing])
    return max(share, _between(is_missing.astype(np.float64), week))


def _between(values: Floats, group: NDArray[np.int64]) -> float:
    total = ((values - values.mean()) ** 2).sum()
    if total <= 1e-12 * max(1.0, float((values**2).sum())):
        return 0.0
    counts = np.bincount(group)
    means = np.bincount(group, weights=values) / np.maximum(counts, 1)
    return float((counts * (means - values.mean()) ** 2).sum() / total)


def _entropy_share(column: pl.Series, week: NDArray[np.int64]) -> float:
    """Share of a category's entropy that the week explains (Theil's uncertainty coefficient)."""
    level = column.cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
    table = np.zeros((level.max(initial=0) + 1, week.max() + 1))
    np.add.at(table, (level, week), 1)
    joint = table / table.sum()
    levels = joint.sum(axis=1)
    entropy = _entropy(levels)
    return float((entropy + _entropy(joint.sum(axis=0)) - _entropy(joint)) / entropy) if entropy > 1e-9 else 0.0


def _entropy(shares: Floats) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())


def _bins(column: pl.Series, kind: Kind) -> NDArray[np.int64]:
    if kind == "category":
        return column.cast(pl.String).fill_null("\0").rank("dense").to_numpy().astype(np.int64) - 1
    values = finite_floats(column)
    is_missing = np.isnan(values)
    if is_missing.all():
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(values[~is_missing], np.linspace(0, 1, VALUE_BINS + 1)[1:-1]))
    # both sides of every edge and the edge itself: a frequent value, such as zero, is a bin of its own
    codes = np.searchsorted(edges, values, side="left") + np.searchsorted(edges, values, side="right")
    return np.where(is_missing, 2 * len(edges) + 1, codes).astype(np.int64)


def _outcomes(rows: pl.DataFrame) -> Floats:
    return rows["outcome"].cast(pl.Float64).to_numpy()


def in_words(suspects: Sequence[Suspect]) -> str:
    """Name the suspects in one line."""
    return "; ".join(f"{one.feature}: {one.reason}" for one in suspects)
