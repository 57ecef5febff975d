"""Latent class analysis of yes-or-no answers: groups within which answers are independent.

Here belongs the arithmetic (Lazarsfeld and Henry 1968; the EM algorithm of Dempster, Laird and Rubin 1977), from many
starts at once. The estimator stands in `clustering`.
"""

import numpy as np
from numpy.typing import NDArray

from ml.many_starts import Matrix

MOST_STEPS = 400
TRIAL_STEPS = 30
"""Steps after which only the more likely half of the starts goes on."""
GAIN_PER_ROW = 1e-7
"""A run ends when the mean log likelihood of a row grows by less than this."""
PRIOR_ANSWERS = 0.5
"""Answers of each kind that every class has given before it is seen, so that no chance is 0 or 1 (Jeffreys)."""


def log_chances(answers: Matrix, chances: Matrix, shares: Matrix) -> Matrix:
    """Log of the share of each class times the chance of a row's answers in it.

    Args:
        answers: (rows, items) of 0 for no and 1 for yes, or between them where that is not certain; NaN says nothing.
        chances: (classes, items), the chance of a yes, within 0..1.
        shares: (classes,), adding up to 1.

    Returns:
        (rows, classes).
    """
    yes, no = _yes_and_no(answers)
    return yes @ np.log(chances).T + no @ np.log1p(-chances).T + np.log(shares)


def latent_classes(
    answers: Matrix, classes: int, starts: int, seed: int, weights: Matrix | None = None
) -> tuple[Matrix, Matrix, float]:
    """Find the most likely latent classes.

    Args:
        answers: As for `log_chances`.
        classes: Number of classes.
        starts: Starts from random memberships; the likeliest solution counts.
        seed: Random seed.
        weights: (rows,), how often each row counts; by default once.

    Returns:
        Chances of a yes (classes, items), shares (classes,), and the log likelihood of all rows.
    """
    counts = np.ones(len(answers)) if weights is None else np.asarray(weights, dtype=np.float64)
    distinct, kind = np.unique(np.nan_to_num(answers, nan=-1.0), axis=0, return_inverse=True)
    counts = np.bincount(kind.ravel(), weights=counts, minlength=len(distinct)).astype(np.float64)
    kinds, counts = distinct[counts > 0], counts[counts > 0]
    yes, no = _yes_and_no(np.where(kinds < 0, np.nan, kinds))
    random = np.random.default_rng([seed, classes])
    memberships = random.dirichlet(np.full(classes, 0.5), size=(starts, len(kinds)))
    chances, shares = _maximize(memberships, yes, no, counts)
    likelihoods = np.full(starts, -np.inf)
    for step in range(MOST_STEPS):
        memberships, new = _expect(chances, shares, yes, no, counts)
        has_grown = new - likelihoods > GAIN_PER_ROW * counts.sum()
        likelihoods = new
        if step == TRIAL_STEPS:
            kept = np.argsort(-likelihoods, kind="stable")[: (len(likelihoods) + 1) // 2]
            memberships, likelihoods, has_grown = memberships[kept], likelihoods[kept], has_grown[kept]
        chances, shares = _maximize(memberships, yes, no, counts)
        if step > TRIAL_STEPS and not has_grown.any():
            break
    best = int(likelihoods.argmax())
    return chances[best], shares[best], float(likelihoods[best])


def _yes_and_no(answers: Matrix) -> tuple[Matrix, Matrix]:
    is_there = ~np.isnan(answers)
    return np.where(is_there, answers, 0.0), np.where(is_there, 1.0 - answers, 0.0)


def _maximize(memberships: Matrix, yes: Matrix, no: Matrix, counts: NDArray[np.float64]) -> tuple[Matrix, Matrix]:
    """Chances (starts, classes, items) and shares (starts, classes) from memberships (starts, rows, classes)."""
    weighted = memberships.transpose(0, 2, 1) * counts
    said_yes, said_no = weighted @ yes + PRIOR_ANSWERS, weighted @ no + PRIOR_ANSWERS
    people = weighted.sum(axis=2) + PRIOR_ANSWERS
    return said_yes / (said_yes + said_no), people / people.sum(axis=1, keepdims=True)


def _expect(
    chances: Matrix, shares: Matrix, yes: Matrix, no: Matrix, counts: NDArray[np.float64]
) -> tuple[Matrix, NDArray[np.float64]]:
    """Memberships (starts, rows, classes) and log likelihoods (starts,)."""
    starts, classes, items = chances.shape
    flat = chances.reshape(-1, items)
    joint = yes @ np.log(flat).T + no @ np.log1p(-flat).T + np.log(shares).ravel()
    joint = joint.reshape(len(yes), starts, classes)
    highest = joint.max(axis=2, keepdims=True)
    odds = np.exp(joint - highest)
    total = odds.sum(axis=2, keepdims=True)
    likelihoods = counts @ (np.log(total) + highest)[:, :, 0]
    return (odds / total).transpose(1, 0, 2), likelihoods
