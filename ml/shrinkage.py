"""Rates of few trials, shrunk to what is expected of them: how strongly is learned by marginal likelihood.

Here belongs the arithmetic of beta-binomial and Dirichlet-multinomial shrinkage (empirical Bayes; Casella 1985, "An
introduction to empirical Bayes data analysis", The American Statistician 39(2)). What the rates are rates of does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

Floats = NDArray[np.float64]
STRENGTHS = np.append(np.geomspace(2.0, 20_000.0, 41), np.inf)
"""How many messages what is shrunk to is worth; infinite where there is no difference."""


def odds_of(rate: Floats) -> Floats:
    """Odds of rates between 0 and 1, both excluded."""
    return rate / (1 - rate)


def rate_of(odds: Floats) -> Floats:
    """Rates of odds."""
    return odds / (1 + odds)


def inside_unit(rate: Floats) -> Floats:
    """Rates as they are, but neither 0 nor 1: both have odds then."""
    return np.clip(rate, 1e-6, 1 - 1e-6)


def binomial_strength(trials: Floats, answers: Floats, expected: Floats) -> float:
    """How many trials the expected rates are worth, by the marginal likelihood of the beta-binomial distribution.

    Args:
        trials: Trials of each cell, above zero.
        answers: Answers among them.
        expected: The rate that is shrunk to.
    """
    return strongest(binomial_likelihoods(trials, answers, expected))


def binomial_likelihoods(trials: Floats, answers: Floats, expected: Floats) -> Floats:
    """The marginal log-likelihood of each of `STRENGTHS`, up to the binomial coefficients."""
    likelihoods = []
    for strength in STRENGTHS[:-1]:
        a, b = strength * expected, strength * (1 - expected)
        likelihoods.append(float(np.sum(betaln(answers + a, trials - answers + b) - betaln(a, b))))
    likelihoods.append(float(np.sum(answers * np.log(expected) + (trials - answers) * np.log1p(-expected))))
    return np.array(likelihoods)


def strongest(log_likelihoods: Floats) -> float:
    """The most likely strength; no difference at all unless the evidence for one is more than chance (AIC)."""
    best = int(np.argmax(log_likelihoods))
    return float(STRENGTHS[best]) if log_likelihoods[best] > log_likelihoods[-1] + 1 else float("inf")


def shrink(trials: Floats, answers: Floats, expected: Floats, strength: float) -> Floats:
    """Rates of answers, shrunk to the expected ones, which are worth `strength` trials (infinite: all that counts)."""
    if not np.isfinite(strength):
        return np.broadcast_to(expected, trials.shape).copy()
    shrunk: Floats = (answers + strength * expected) / (trials + strength)
    return shrunk


def posterior_variance(rate: Floats, trials: Floats, strength: float) -> Floats:
    """Posterior variance of a shrunk rate; none where it is the one shrunk to."""
    if not np.isfinite(strength):
        return np.zeros_like(trials + rate)
    variance: Floats = rate * (1 - rate) / (trials + strength + 1)
    return variance


def shrink_shares(chosen: Floats, expected: Floats, strength: float) -> Floats:
    """Shares of choices, shrunk to the expected ones, which are worth `strength` choices."""
    if not np.isfinite(strength):
        return np.array(expected)
    shares: Floats = (chosen + strength * expected) / (chosen.sum(axis=1, keepdims=True) + strength)
    return shares


def multinomial_strength(chosen: Floats, expected: Floats) -> float:
    """The same as `binomial_strength` for shares of several values (Dirichlet-multinomial distribution)."""
    total = chosen.sum(axis=1)
    rows = total > 0
    chosen, expected, total = chosen[rows], np.maximum(expected[rows], 1e-9), total[rows]
    likelihoods = []
    for strength in STRENGTHS[:-1]:
        prior = strength * expected
        within = (gammaln(chosen + prior) - gammaln(prior)).sum()
        likelihoods.append(float(within + (gammaln(strength) - gammaln(total + strength)).sum()))
    likelihoods.append(float((chosen * np.log(expected)).sum()))
    return strongest(np.array(likelihoods))
