"""Which way of persuading the people of a group answer to: rates with intervals, an order, and how far it is known.

What belongs here: the estimator over counts of messages and answers. What a message, an answer and a group are was
decided before. No trait of a person is inferred: published correlations between what people do and what they are
like are too small to act on (Azucar et al. 2018, "Predicting the Big 5 personality traits from digital footprints on
social media", Personality and Individual Differences 124; Simchon et al. 2023, PNAS Nexus 2(6)), so what is told is
how a group answered to messages of a kind.

Rates are hierarchical: the rate of an approach in a group is drawn to the rate of the group, and that to the rate of
all, as strongly as the data say, and that of an approach that stands apart less: a mixture of two Beta-binomials
(Gelman et al. 2013, "Bayesian Data Analysis", ch. 5). Strengths are integrated over and not set to their likeliest
values, so that intervals do not pretend to know them. The ways of persuading are those of Cialdini (2021, "Influence,
new and expanded").
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import betaln, chdtrc, expit, gammaln  # settings name what is here: `scipy.stats` takes a second

Floats = NDArray[np.float64]

APPROACHES = ("reciprocity", "commitment", "social_proof", "authority", "liking", "scarcity", "unity")
MESSAGE_STYLES = {
    "reciprocity": "value_first",
    "commitment": "step_by_step",
    "social_proof": "proof_seeking",
    "authority": "expertise_seeking",
    "liking": "rapport_seeking",
    "scarcity": "novelty_seeking",
    "unity": "belonging_seeking",
}
"""The style of message that a group whose best approach it is gets: a word for the messages, not for the people."""

OBSERVED, DEFAULT = "observed", "default"
TOO_FEW = "fewer than two approaches were sent often enough"
NO_ANSWERS = "nothing was answered"
BY_CHANCE = "no approach is answered more than the others beyond chance"

COUNT_SCHEMA = {
    "segment_type": pl.String,
    "segment_id": pl.String,
    "approach": pl.String,
    "sends": pl.Int64,
    "responses": pl.Int64,
    "sends_squared": pl.Int64,
    "responses_squared": pl.Int64,
    "sends_by_responses": pl.Int64,
}
ESTIMATE_SCHEMA = {
    "segment_type": pl.String,
    "segment_id": pl.String,
    "approach": pl.String,
    "observed_rank": pl.Int64,
    "sends": pl.Int64,
    "responses": pl.Int64,
    "response_rate": pl.Float64,
    "rate_low": pl.Float64,
    "rate_high": pl.Float64,
    "probability_best": pl.Float64,
    "evidence": pl.String,
    "abstained_reason": pl.String,
}
MODEL_SCHEMA = {
    "segment_type": pl.String,
    "segments": pl.Int64,
    "sends": pl.Int64,
    "responses": pl.Int64,
    "base_rate": pl.Float64,
    "segment_strength": pl.Float64,
    "approach_strength": pl.Float64,
    "design_effect": pl.Float64,
}
STRENGTHS_OF_APPROACHES = np.geomspace(10.0, 1e7, 31)
"""Sends that the rate of the group is worth beside those of an approach: few where approaches differ much."""
SHARE_APART, STRENGTH_APART = 0.3, 100.0
"""How many approaches stand apart from the others of their group, before anything is seen, and how little they are
drawn to it then: an approach that is much better than six alike is not drawn to them."""
STRENGTHS_OF_SEGMENTS = np.geomspace(2.0, 1e6, 20)
"""Sends that the rate of all is worth beside those of a group."""
GRID = np.linspace(-1.0, 1.0, 41)
"""Places at which the rate of a group is looked at, in half widths of where it can lie."""
WIDTH = 6.0
DRAWS = 4_000
TRIALS = 10_000
INTERVAL = (0.05, 0.95)
ASSIGNED_BY_CHANCE = 0.001
"""Below this probability, who got which approach hangs together with what they are."""


@dataclass(frozen=True)
class PersuasionRules:
    """When something is said, and how sure it has to be.

    Attributes:
        minimum_sends: Fewest messages with an approach, of a group; rarer ones are not judged.
        significance: Probability with which a group without any difference between approaches may be told to have a
            best one; with .03, 97 of 100 such groups are told that there is no evidence.
        seed: Of the draws.
    """

    minimum_sends: int = 100
    significance: float = 0.03
    seed: int = 7


@dataclass(frozen=True)
class Persuasion:
    """What was estimated.

    Attributes:
        estimates: A row per group and approach, `ESTIMATE_SCHEMA`.
        models: A row per kind of group, `MODEL_SCHEMA`.
    """

    estimates: pl.DataFrame
    models: pl.DataFrame


def estimate_persuasion(counts: pl.DataFrame, rules: PersuasionRules) -> Persuasion:
    """Estimate how the people of each group answer to each approach.

    Groups of one kind (`segment_type`) learn from each other how much groups, and approaches within a group, differ.
    Messages of one person are not independent of each other: counts are divided by the design effect (Kish 1965), the
    variance between people over that of independent messages, so that few busy people do not make narrow intervals.

    Args:
        counts: `COUNT_SCHEMA`, a row per group and approach: sends; responses; and the sums over people of squared
            sends, squared responses and sends times responses. What was not sent has 0, or no row.
        rules: When something is said.

    Returns:
        `estimates`, a row for every group and each of `APPROACHES`: observed_rank, 1 for the approach that is most
        probably best, null where it was sent less than `minimum_sends` times; sends; responses; response_rate 0..1,
        with a 90 % credible interval, null where nothing was sent; probability_best 0..1 among the ranked; evidence
        "observed" where the best one is answered more than the others beyond chance, else "default" with
        abstained_reason. And `models`: base_rate of the kind; segment_strength and approach_strength, the posterior
        medians of how many sends the rate of all, and of the group, are worth; design_effect, 1 or more.
    """
    estimates, models = [pl.DataFrame(schema=ESTIMATE_SCHEMA)], [pl.DataFrame(schema=MODEL_SCHEMA)]
    for (kind,), rows in counts.sort("segment_type", "segment_id").group_by("segment_type", maintain_order=True):
        of_kind, model = _estimate_kind(str(kind), rows, rules)
        estimates.append(of_kind)
        models.append(model)
    return Persuasion(pl.concat(estimates), pl.concat(models))


def _estimate_kind(kind: str, counts: pl.DataFrame, rules: PersuasionRules) -> tuple[pl.DataFrame, pl.DataFrame]:
    segments = counts["segment_id"].unique().sort().to_list()
    sends, responses = (_table(counts, segments, column) for column in ("sends", "responses"))
    design_effect = _design_effect(counts)
    trials, answers = sends / design_effect, responses / design_effect
    base_rate = (answers.sum() + 0.5) / (trials.sum() + 1.0)
    posterior = _Posterior.of(trials, answers, base_rate)
    parts = []
    for place, segment in enumerate(segments):
        # Draws belong to the group: another one beside it does not change them.
        rng = np.random.default_rng([rules.seed, *hashlib.sha256(f"{kind}:{segment}".encode()).digest()[:8]])
        judged = sends[place] >= rules.minimum_sends
        rates, draws = posterior.draw(place, rng)
        low, high = np.quantile(draws, INTERVAL, axis=0)
        best = _probabilities_best(draws, judged)
        reason = _no_evidence(trials[place], answers[place], judged, rules, rng)
        sent = sends[place] > 0
        parts.append(
            pl.DataFrame(
                {
                    "segment_type": kind,
                    "segment_id": segment,
                    "approach": APPROACHES,
                    "observed_rank": _ranks(best, rates, judged),
                    "sends": sends[place].astype(np.int64),
                    "responses": responses[place].astype(np.int64),
                    "response_rate": np.where(sent, rates, np.nan),
                    "rate_low": np.where(sent, low, np.nan),
                    "rate_high": np.where(sent, high, np.nan),
                    "probability_best": np.where(judged, best, np.nan),
                    "evidence": OBSERVED if reason is None else DEFAULT,
                    "abstained_reason": reason,
                },
                schema_overrides=ESTIMATE_SCHEMA,
            ).with_columns(pl.selectors.float().fill_nan(None))
        )
    model = {
        "segment_type": kind,
        "segments": len(segments),
        "sends": int(sends.sum()),
        "responses": int(responses.sum()),
        "base_rate": base_rate,
        "segment_strength": posterior.median_strength(STRENGTHS_OF_SEGMENTS, axis=1),
        "approach_strength": posterior.median_strength(STRENGTHS_OF_APPROACHES, axis=0),
        "design_effect": design_effect,
    }
    return pl.concat(parts), pl.DataFrame([model], schema=MODEL_SCHEMA)


def _table(counts: pl.DataFrame, segments: list[str], column: str) -> Floats:
    """A row per segment, a column per approach."""
    table = np.zeros((len(segments), len(APPROACHES)))
    rows = counts["segment_id"].replace_strict(segments, range(len(segments)), return_dtype=pl.Int64).to_numpy()
    columns = counts["approach"].replace_strict(APPROACHES, range(len(APPROACHES)), return_dtype=pl.Int64).to_numpy()
    np.add.at(table, (rows, columns), counts[column].to_numpy().astype(float))
    return table


def _design_effect(counts: pl.DataFrame) -> float:
    """How many times the variance between people is that of independent messages, over all groups of a kind."""
    sends, responses = (counts[name].to_numpy().astype(float) for name in ("sends", "responses"))
    rates = np.divide(responses, sends, out=np.zeros_like(sends), where=sends > 0)
    between_people = (
        counts["responses_squared"].to_numpy()
        - 2 * rates * counts["sends_by_responses"].to_numpy()
        + rates**2 * counts["sends_squared"].to_numpy()
    ).sum()
    independent = (sends * rates * (1 - rates)).sum()
    return float(max(1.0, between_people / independent)) if independent > 0 else 1.0


@dataclass(frozen=True)
class _Posterior:
    """Rates of groups on a grid, given how much groups and approaches differ, and how probable each of that is.

    Attributes:
        strengths: probability of each pair of strengths, (segments' strength, approaches' strength).
        rates: (group, approaches' strength, grid): the rates looked at.
        weights: (group, approaches' strength, grid): how probable each is, the segments' strength integrated over,
            up to a factor per group.
        trials, answers: (group, approach).
    """

    strengths: Floats
    rates: Floats
    weights: Floats
    trials: Floats
    answers: Floats

    @classmethod
    def of(cls, trials: Floats, answers: Floats, base_rate: float) -> _Posterior:
        """The posterior of all groups of a kind."""
        strengths = STRENGTHS_OF_APPROACHES
        own = (answers.sum(axis=1) + base_rate) / (trials.sum(axis=1) + 1.0)
        # Where a rate can lie: as the messages of the group leave it open, and as approaches that differ do.
        open_share = 1 / (trials.sum(axis=1)[:, None] + 1.0) + 1 / (len(APPROACHES) * (strengths[None, :] + 1.0))
        half_width = np.minimum(WIDTH * np.sqrt(open_share / (own * (1 - own))[:, None]), 8.0)
        logits = np.log(own / (1 - own))[:, None, None] + half_width[:, :, None] * GRID
        rates = 1 / (1 + np.exp(-logits))
        spread = (answers[:, None, None, :], trials[:, None, None, :])
        alike = _log_likelihood(strengths[None, :, None, None], rates[..., None], *spread)
        apart = _log_likelihood(STRENGTH_APART, rates[..., None], *spread)
        likelihood = np.logaddexp(np.log1p(-SHARE_APART) + alike, np.log(SHARE_APART) + apart).sum(axis=-1)
        # By how much a step of the grid is: its width, and what a step of the logit is in rates.
        step = np.log(half_width)[:, :, None] + np.log(rates * (1 - rates))
        between = STRENGTHS_OF_SEGMENTS[:, None, None, None]
        prior = (
            gammaln(between)
            - gammaln(between * base_rate)
            - gammaln(between * (1 - base_rate))
            + (between * base_rate - 1) * np.log(rates)
            + (between * (1 - base_rate) - 1) * np.log1p(-rates)
        )
        joint = prior + likelihood + step  # (segments' strength, group, approaches' strength, grid)
        evidence = _log_sum(joint)  # (segments' strength, group, approaches' strength)
        # How much rates differ is uniform before anything is seen, as a standard deviation (Gelman 2006, "Prior
        # distributions for variance parameters in hierarchical models", Bayesian Analysis 1(3)).
        total = evidence.sum(axis=1) - 0.5 * np.log(STRENGTHS_OF_SEGMENTS)[:, None] - 0.5 * np.log(strengths)
        probable = np.exp(total - total.max())
        probable /= probable.sum()
        weights = (probable[:, None, :, None] * np.exp(joint - evidence[..., None])).sum(axis=0)
        return cls(probable, rates, weights, trials, answers)

    def draw(self, group: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Mean rate of each approach in a group, and draws of them: (draw, approach)."""
        cumulated = np.cumsum(self.weights[group].ravel())
        places = np.searchsorted(cumulated, rng.random(DRAWS) * cumulated[-1], side="right")
        places = np.minimum(places, len(cumulated) - 1)
        strength = np.repeat(STRENGTHS_OF_APPROACHES, len(GRID))[places][:, None]
        rate = self.rates[group].ravel()[places][:, None]
        trials, answers = self.trials[group], self.answers[group]
        odds = np.log(SHARE_APART / (1 - SHARE_APART)) + (
            _log_likelihood(STRENGTH_APART, rate, answers, trials) - _log_likelihood(strength, rate, answers, trials)
        )
        is_apart = rng.random(odds.shape) < expit(odds)
        strength = np.where(is_apart, STRENGTH_APART, strength)
        first, second = strength * rate + answers, strength * (1 - rate) + trials - answers
        return (first / (first + second)).mean(axis=0), rng.beta(first, second)

    def median_strength(self, strengths: Floats, axis: int) -> float:
        """The posterior median of one of the two strengths."""
        cumulated = np.cumsum(self.strengths.sum(axis=axis))
        return float(strengths[min(int(np.searchsorted(cumulated, 0.5)), len(strengths) - 1)])


def _log_likelihood(strength: Floats | float, rate: Floats, answers: Floats, trials: Floats) -> Floats:
    """Of answers to an approach whose rate is drawn to `rate`: Beta-binomial, but for what does not depend on it."""
    first, second = strength * rate, strength * (1 - rate)
    likelihood: Floats = betaln(first + answers, second + trials - answers) - betaln(first, second)
    return likelihood


def _log_sum(values: Floats) -> Floats:
    """The logarithm of the sum of exponentials over the last axis."""
    highest = values.max(axis=-1, keepdims=True)
    return np.log(np.exp(values - highest).sum(axis=-1)) + highest[..., 0]


def _probabilities_best(draws: Floats, judged: NDArray[np.bool_]) -> Floats:
    """How often each of the judged approaches is the best of them."""
    best = np.zeros(draws.shape[1])
    if judged.any():
        winners = np.where(judged, draws, -1.0).argmax(axis=1)
        best += np.bincount(winners, minlength=draws.shape[1]) / len(draws)
    return best


def _ranks(best: Floats, rates: Floats, judged: NDArray[np.bool_]) -> list[int | None]:
    """1 for the approach that is most probably best; of equal ones the one with the higher rate."""
    places = np.flatnonzero(judged)
    order = places[np.lexsort((places, -rates[places], -best[places]))]
    ranks: list[int | None] = [None] * len(judged)
    for rank, place in enumerate(order.tolist(), start=1):
        ranks[int(place)] = rank
    return ranks


def _no_evidence(
    trials: Floats, answers: Floats, judged: NDArray[np.bool_], rules: PersuasionRules, rng: np.random.Generator
) -> str | None:
    """Why it cannot be told which approach is best; null where the best is better than the others beyond chance.

    How far the best stands above the rest is held against groups in which all approaches are answered alike, drawn with
    the same number of messages: that it is the best of several is part of what is compared.
    """
    if judged.sum() < 2:
        return TOO_FEW
    trials, answers = np.maximum(np.round(trials[judged]), 1), np.round(answers[judged])
    if not answers.sum():
        return NO_ANSWERS
    rate = min(answers.sum() / trials.sum(), 1.0)
    by_chance = rng.binomial(trials.astype(np.int64), rate, size=(TRIALS, len(trials)))
    as_far = (_lead(by_chance.astype(float), trials) >= _lead(answers[None, :], trials) - 1e-12).sum()
    return None if (as_far + 1) / (TRIALS + 1) <= rules.significance else BY_CHANCE


def _lead(answers: Floats, trials: Floats) -> Floats:
    """How far the leading approach is above the others together, in standard errors."""
    total, sent = answers.sum(axis=1, keepdims=True), trials.sum()
    rate = total / sent
    spread = np.sqrt(rate * (1 - rate) * (1 / trials + 1 / (sent - trials)))
    difference = answers / trials - (total - answers) / (sent - trials)
    return np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0).max(axis=1)


def assignment_reason(shares: pl.DataFrame) -> str | None:
    """Whether who got which approach hangs together with the group people are in: then chance did not decide.

    Args:
        shares: A row per group and approach: segment_id, approach, sends; and sums over the people of the group:
            sends_squared (of this approach), sends_by_all (this approach times all), all_sends, all_sends_squared.

    Returns:
        What speaks against chance, in words; null where nothing does, or where there is one group only. The variance is
        that between people, so it holds whether chance decided per message or per person.
    """
    if shares["segment_id"].n_unique() < 2:
        return None
    tested = (
        shares.with_columns(share=pl.col("sends").sum().over("approach") / pl.col("all_sends").sum().over("approach"))
        .with_columns(
            variance=pl.col("sends_squared")
            - 2 * pl.col("share") * pl.col("sends_by_all")
            + pl.col("share") ** 2 * pl.col("all_sends_squared"),
            difference=pl.col("sends") - pl.col("share") * pl.col("all_sends"),
        )
        .filter(pl.col("variance") > 0)
        .group_by("approach")
        .agg(statistic=(pl.col("difference") ** 2 / pl.col("variance")).sum(), groups=pl.len())
        .filter(pl.col("groups") > 1)
        .sort("approach")
    )
    chi_squared, freedom = tested["statistic"].to_numpy(), tested["groups"].to_numpy() - 1
    probabilities = chdtrc(freedom, chi_squared) * tested.height
    unlike = tested["approach"].filter(pl.Series(probabilities < ASSIGNED_BY_CHANCE)).to_list()
    if not unlike:
        return None
    names = " and ".join(", ".join(one.replace("_", " ") for one in unlike).rsplit(", ", 1))
    return f"groups got {names} more or less often than chance would give it"
