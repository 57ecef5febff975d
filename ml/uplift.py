"""What a message brought about, and in whom most: uplift, where chance decided who got it.

Here belong the check that chance did decide, the learners, and the figures that judge them. Who was in which group,
what people did before and what counts as an outcome was decided before.

Learners: two models (one per group, e.g. Radcliffe 2007, "Using control groups to target on predicted lift", Direct
Marketing Analytics Journal 1) and class transformation (Jaskowski and Jaroszewicz 2012, "Uplift modeling for clinical
trial data", ICML workshop), here weighted by the groups' sizes. Both are logistic, which on a public randomized e-mail
test did no worse than trees. The figure is the Qini coefficient: the area between the curve of additional outcomes and
that of choosing by chance, as a share of the best possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import chi2, norm
from sklearn.linear_model import LogisticRegression

from ml.people_order import person_fold
from ml.person_uplift import everybodys_uplift, nobodys_uplift

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TWO_MODELS, CLASS_TRANSFORMATION, RESPONSE = "two models", "class transformation", "response model"
FOLDS = 5
RESAMPLES = 100
TOP = 0.3
IMBALANCED_BELOW = 0.001
"""Groups made by chance differ so much once in a thousand experiments."""
FEWEST_OUTCOMES = 20
RESULT_SCHEMA = {
    "learner": pl.String,
    "treated": pl.Int64,
    "control": pl.Int64,
    "outcome_rate_treated": pl.Float64,
    "outcome_rate_control": pl.Float64,
    "effect": pl.Float64,
    "effect_low": pl.Float64,
    "effect_high": pl.Float64,
    "balance_p_value": pl.Float64,
    "qini": pl.Float64,
    "qini_low": pl.Float64,
    "qini_high": pl.Float64,
    "uplift_at_30": pl.Float64,
    "uplift_at_30_low": pl.Float64,
    "uplift_at_30_high": pl.Float64,
    "is_worth_targeting": pl.Boolean,
    "verdict": pl.String,
    "abstained_reason": pl.String,
}


@dataclass(frozen=True)
class UpliftSettings:
    """When something is said at all.

    Attributes:
        minimum_people: Fewest people in either group.
        seed: Of folds and resamples.
    """

    minimum_people: int = 200
    seed: int = 7


@dataclass(frozen=True)
class Uplift:
    """What was found in one experiment.

    Attributes:
        results: A row per learner, columns of `RESULT_SCHEMA`; one row without a learner where nothing is said.
            Effects and uplift are differences of shares, intervals hold 95 %. `effect` is that of the message on
            everybody; `qini` says how well a learner finds those in whom it is largest; `uplift_at_30` is the effect
            in the 30 % it puts first.
        people: By person_id, `PERSON_UPLIFT_SCHEMA`: what the better learner expects of people it was not fitted on,
            where its Qini coefficient is above zero beyond chance; else why nothing is told of them.
    """

    results: pl.DataFrame
    people: pl.DataFrame


def measure_uplift(people: pl.DataFrame, settings: UpliftSettings | None = None) -> Uplift:
    """Check the groups, measure the effect, and how well learners find those in whom it is largest.

    Args:
        people: A row per person of one experiment: person_id, is_treated, outcome (both boolean), is_in_both (boolean;
            such people are left out), and numbers of what they did before, null where unknown.
        settings: By default as `UpliftSettings` says.
    """
    settings = settings or UpliftSettings()
    both = int(people["is_in_both"].sum()) if "is_in_both" in people.columns else 0
    everybody = people.sort("person_id")
    people = (
        everybody.filter(~pl.col("is_in_both")).drop("is_in_both")
        if both
        else everybody.drop("is_in_both", strict=False)
    )
    treated, outcome = people["is_treated"].to_numpy(), people["outcome"].to_numpy()
    counts: dict[str, float] = {"treated": int(treated.sum()), "control": int((~treated).sum())}
    if min(counts.values()) == 0:
        missing = "control" if counts["control"] == 0 else "treatment"
        return _refuse(
            counts, f"there is no {missing} group: without one, nobody knows what would have happened anyway", everybody
        )
    if both > 0.05 * (len(treated) + both):
        return _refuse(
            counts,
            f"{both / (len(treated) + both):.0%} of the people were in both groups: chance cannot have decided",
            everybody,
        )
    if min(counts.values()) < settings.minimum_people:
        return _refuse(counts, f"a group has fewer than {settings.minimum_people:,} people", everybody)
    features, names = _features(people)
    p_value, differs = balance(features, names, treated)
    figures = counts | {"balance_p_value": p_value}
    if p_value < IMBALANCED_BELOW:
        return _refuse(
            figures,
            f"the groups differed before the message, most in {differs} (p = {p_value:.1g}): chance did not decide "
            "alone, so what they did after it says nothing of the message",
            everybody,
        )
    figures |= _effect(outcome, treated)
    if min(outcome[treated].sum(), outcome[~treated].sum()) < FEWEST_OUTCOMES:
        return _refuse(
            figures,
            f"fewer than {FEWEST_OUTCOMES} people of a group did it: too few to learn in whom it works",
            everybody,
        )
    found = _judge_learners(people["person_id"], features, treated, outcome, figures, settings)
    in_both = everybody["person_id"].filter(~everybody["person_id"].is_in(people["person_id"].implode()))
    others = nobodys_uplift(in_both, "in both groups of the campaign: chance did not decide")
    return Uplift(found.results, pl.concat([found.people, others]).sort("person_id"))


def balance(features: Floats, names: list[str], treated: Bools) -> tuple[float, str]:
    """Whether the groups were alike before: Hotelling's test, and the column in which they differ most.

    Returns:
        The p-value under chance, and the name of the column with the largest standardized difference.
    """
    difference = features[treated].mean(axis=0) - features[~treated].mean(axis=0)
    covariance = np.cov(features, rowvar=False).reshape(len(names), len(names))
    share = treated.mean()
    statistic = (
        len(treated) * share * (1 - share) * difference @ np.linalg.pinv(covariance, hermitian=True) @ difference
    )
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    most = names[int(np.argmax(np.abs(difference) / np.maximum(features.std(axis=0), 1e-12)))] if names else ""
    return (float(chi2.sf(statistic, rank)) if rank else 1.0), most


def qini_coefficient(uplift: Floats, treated: Bools, outcome: Bools, weight: Floats | None = None) -> float:
    """Area between the Qini curve and choosing by chance, as a share of the best possible.

    People of equal uplift come together.

    Args:
        uplift: What is expected of each person; only its order counts.
        treated: Whether the person got the message.
        outcome: Whether the outcome came about.
        weight: How often each person counts; by default once.
    """
    weight = np.ones(len(uplift)) if weight is None else weight
    return _Ranked.of(uplift, treated, outcome).qini(weight, _best_area(treated, outcome, weight))


def uplift_at(
    uplift: Floats, treated: Bools, outcome: Bools, share: float = TOP, weight: Floats | None = None
) -> float:
    """Effect among the people of whom most is expected: outcome rate of the treated less that of the others."""
    weight = np.ones(len(uplift)) if weight is None else weight
    return _Ranked.of(uplift, treated, outcome).effect_at(share, weight)


@dataclass(frozen=True)
class _Ranked:
    """People in the order in which a learner would choose them, sorted once for many resamples."""

    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    treated: Bools
    outcome: Bools

    @classmethod
    def of(cls, uplift: Floats, treated: Bools, outcome: Bools) -> _Ranked:
        order = np.argsort(-uplift, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(uplift[order])), len(order) - 1)
        return cls(order, ends, treated[order], outcome[order])

    def area(self, weight: Floats) -> tuple[float, float]:
        """Area below the curve of outcomes gained, those of the treated less those of as many others; and by chance."""
        count = weight[self.order]
        people = np.cumsum(count)[self.ends]
        sent = np.cumsum(count * self.treated)[self.ends]
        done_treated = np.cumsum(count * (self.treated & self.outcome))[self.ends]
        done_others = np.cumsum(count * (~self.treated & self.outcome))[self.ends]
        others = people - sent
        scale = np.divide(sent, others, out=np.zeros_like(people), where=others > 0)
        gained = np.append(0.0, done_treated - done_others * scale)
        return float(np.trapezoid(gained, np.append(0.0, people))), float(gained[-1] * people[-1] / 2)

    def qini(self, weight: Floats, best_area: float) -> float:
        """The coefficient, given the area that no learner can beat."""
        area, chance = self.area(weight)
        return (area - chance) / (best_area - chance) if best_area > chance else 0.0

    def effect_at(self, share: float, weight: Floats) -> float:
        """Effect among the first."""
        count = weight[self.order]
        so_far = np.cumsum(count)
        top = so_far <= max(share * so_far[-1], so_far[0])
        return _difference(self.outcome[top], self.treated[top], count[top])


def _best_area(treated: Bools, outcome: Bools, weight: Floats) -> float:
    """The area of the order that no learner can beat: treated with an outcome first, others with one last."""
    done_treated, done_others = (weight * (treated & outcome)).sum(), (weight * (~treated & outcome)).sum()
    then = outcome if done_others > done_treated else treated
    kind = 2 * (outcome == treated) + then
    # Only four kinds of people: their sums are all the curve is made of.
    sums = np.array(
        [
            np.bincount(kind, weight * part, minlength=4)
            for part in (np.ones(len(kind)), treated, treated & outcome, ~treated & outcome)
        ]
    )[:, ::-1].cumsum(axis=1)
    people, sent, gained_treated, gained_others = sums
    others = people - sent
    scale = np.divide(sent, others, out=np.zeros(4), where=others > 0)
    gained = np.append(0.0, gained_treated - gained_others * scale)
    return float(np.trapezoid(gained, np.append(0.0, people)))


def _difference(outcome: Bools, treated: Bools, weight: Floats) -> float:
    sent, held = weight[treated].sum(), weight[~treated].sum()
    if sent == 0 or held == 0:
        return float("nan")
    return float((weight * outcome)[treated].sum() / sent - (weight * outcome)[~treated].sum() / held)


def _effect(outcome: Bools, treated: Bools) -> dict[str, float]:
    with_it, without = outcome[treated].mean(), outcome[~treated].mean()
    spread = np.sqrt(with_it * (1 - with_it) / treated.sum() + without * (1 - without) / (~treated).sum())
    half = float(norm.ppf(0.975) * spread)
    effect = float(with_it - without)
    return {
        "outcome_rate_treated": float(with_it),
        "outcome_rate_control": float(without),
        "effect": effect,
        "effect_low": effect - half,
        "effect_high": effect + half,
    }


def _features(people: pl.DataFrame) -> tuple[Floats, list[str]]:
    """Numbers before the message: counts and amounts by their logarithm, unknown as a flag, standardized; constants
    go."""
    columns, names = [], []
    for name in people.columns:
        if name in ("person_id", "is_treated", "outcome") or not people.schema[name].is_numeric():
            continue
        values = people[name].cast(pl.Float64).to_numpy()
        unknown = np.isnan(values)
        signed = np.sign(values) * np.log1p(np.abs(values))
        columns.append(np.where(unknown, np.nanmean(signed) if not unknown.all() else 0.0, signed))
        names.append(name)
        if unknown.any():
            columns.append(unknown.astype(np.float64))
            names.append(f"{name} (unknown)")
    table = np.column_stack(columns) if columns else np.empty((people.height, 0))
    varies = table.std(axis=0) > 1e-9
    table = table[:, varies]
    return (table - table.mean(axis=0)) / table.std(axis=0), [n for n, kept in zip(names, varies, strict=True) if kept]


def _judge_learners(
    person_ids: pl.Series,
    features: Floats,
    treated: Bools,
    outcome: Bools,
    figures: dict[str, float],
    settings: UpliftSettings,
) -> Uplift:
    """Each learner on people it was not fitted on, beside a model of who responds, on the same resamples."""
    expected = _cross_fitted(person_ids, features, treated, outcome, settings.seed)
    ranked = {name: _Ranked.of(uplift, treated, outcome) for name, uplift in expected.items()}
    rng = np.random.default_rng(settings.seed)
    qinis: dict[str, list[float]] = {name: [] for name in expected}
    tops: dict[str, list[float]] = {name: [] for name in expected}
    for _ in range(RESAMPLES):
        weight = rng.poisson(1.0, len(outcome)).astype(np.float64)
        best_area = _best_area(treated, outcome, weight)
        for name, people in ranked.items():
            qinis[name].append(people.qini(weight, best_area))
            tops[name].append(people.effect_at(TOP, weight))
    rows = []
    for name, uplift in expected.items():
        low, high = np.percentile(qinis[name], [2.5, 97.5])
        better = float(np.percentile(np.array(qinis[name]) - np.array(qinis[RESPONSE]), 5))
        is_worth = name != RESPONSE and low > 0 and better > 0
        top_low, top_high = np.nanpercentile(tops[name], [2.5, 97.5])
        rows.append(
            figures
            | {
                "learner": name,
                "qini": qini_coefficient(uplift, treated, outcome),
                "qini_low": float(low),
                "qini_high": float(high),
                "uplift_at_30": uplift_at(uplift, treated, outcome),
                "uplift_at_30_low": float(top_low),
                "uplift_at_30_high": float(top_high),
                "is_worth_targeting": bool(is_worth),
            }
        )
    best = max((row for row in rows if row["learner"] != RESPONSE), key=lambda row: float(str(row["qini"])))
    for row in rows:
        row["verdict"] = _verdict(row, best)
    results = pl.DataFrame(rows, schema=RESULT_SCHEMA, strict=False)
    learner = str(best["learner"])
    qini, low, high = (float(str(best[name])) for name in ("qini", "qini_low", "qini_high"))
    if not low > 0:
        told = f"Qini coefficient of the {learner} {qini:.3f}, 95 % interval {low:.3f} to {high:.3f}"
        reason = f"in whom it works better cannot be told from chance: {told}"
        return Uplift(results, nobodys_uplift(person_ids, reason))
    return Uplift(results, everybodys_uplift(person_ids, learner, expected[learner], treated, outcome))


def _verdict(row: dict, best: dict) -> str:
    if row["effect_low"] <= 0 <= row["effect_high"] and not best["is_worth_targeting"]:
        return "no effect could be told from chance"
    if best["is_worth_targeting"]:
        return f"it works better in some: choose by {best['learner']}"
    if row["effect"] > 0:
        return "it works, in nobody surely more than in others: send it to all, or by how likely they respond"
    return "it does harm: do not send it"


def _cross_fitted(
    person_ids: pl.Series, features: Floats, treated: Bools, outcome: Bools, seed: int
) -> dict[str, Floats]:
    """What each learner expects of people it was not fitted on."""
    folds = person_fold(person_ids, FOLDS, seed)
    expected = {name: np.zeros(len(outcome)) for name in (TWO_MODELS, CLASS_TRANSFORMATION, RESPONSE)}
    for fold in range(FOLDS):
        there, here = folds != fold, folds == fold
        if not here.any():
            continue
        if_treated = _probability(features[there & treated], outcome[there & treated], features[here])
        if_not = _probability(features[there & ~treated], outcome[there & ~treated], features[here])
        expected[TWO_MODELS][here] = if_treated - if_not
        share = treated[there].mean()
        weight = np.where(treated[there], 1 / share, 1 / (1 - share))
        transformed = _probability(features[there], outcome[there] == treated[there], features[here], weight)
        expected[CLASS_TRANSFORMATION][here] = 2 * transformed - 1
        expected[RESPONSE][here] = if_treated
    return expected


def _probability(features: Floats, outcome: Bools, of: Floats, weight: Floats | None = None) -> Floats:
    if features.shape[1] == 0 or outcome.all() or not outcome.any():
        return np.full(len(of), float(np.average(outcome, weights=weight)))
    model = LogisticRegression(C=0.1, max_iter=200).fit(features, outcome, sample_weight=weight)
    probability: Floats = model.predict_proba(of)[:, 1]
    return probability


def _refuse(figures: dict[str, float], reason: str, people: pl.DataFrame) -> Uplift:
    results = pl.DataFrame([figures | {"abstained_reason": reason}], schema=RESULT_SCHEMA, strict=False)
    return Uplift(results, nobodys_uplift(people["person_id"], reason))
