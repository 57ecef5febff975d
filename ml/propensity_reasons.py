"""Why a probability is what it is: what each feature moved, for a person and for the model.

Here belongs taking a fitted classifier apart. It is asked only through its encoded rows, so that any will do.
"""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from ml.classifiers import Classifier
from ml.evaluation import log_loss
from ml.library_threads import one_thread
from ml.linear_classifier import LogisticClassifier
from ml.made_ahead import made_ahead

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]

BACKGROUND_ROWS = 64
"""Made-up rows that a person is compared with; the standard error of an effect is its spread over them, over eight."""
IMPORTANCE_ROWS = 5_000
SHUFFLES = 2
ROWS_AT_ONCE = 65_536
CONTRIBUTION_SCHEMA = {"person_id": pl.UInt64, "feature": pl.String, "effect": pl.Float64, "rank": pl.Int64}


def background_of(classifier: Classifier, rows: pl.DataFrame, seed: int) -> Matrix:
    """Make rows like everybody's and nobody's: each feature is drawn from other people.

    Args:
        classifier: A fitted one.
        rows: Rows it was fitted on.
        seed: Seed.

    Returns:
        (64, columns of the classifier's matrix).
    """
    matrix = classifier.encode(rows.head(IMPORTANCE_ROWS))
    background = np.empty((BACKGROUND_ROWS, matrix.shape[1]), dtype=np.float32)
    random = np.random.default_rng(seed)
    for columns in _columns_by_feature(classifier).values():
        drawn = random.integers(0, len(matrix), BACKGROUND_ROWS)
        background[:, columns] = matrix[drawn][:, columns]
    return background


def contributions(
    classifier: Classifier,
    background: Matrix,
    features: pl.DataFrame,
    calibrated: Callable[[Floats], Floats],
    seed: int,
) -> pl.DataFrame:
    """What each feature moved a person's log-odds by, against people whose features are drawn at random.

    For logistic regression exact: coefficient times distance from the mean. For the others the Shapley value, by
    exchanging the features of a background row for the person's, one after the other in a random order, for 64 rows and
    orders (Štrumbelj and Kononenko 2014, "Explaining prediction models and individual predictions with feature
    contributions"). Either way the effects of a person add up to the distance of their log-odds from the background's.
    Where a calibration follows, effects are stretched in proportion so that they add up to the calibrated distance.

    Args:
        classifier: A fitted one.
        background: As `background_of` gives.
        features: person_id, the features; only the people that are asked for, thousands rather than millions.
        calibrated: Maps the classifier's log-odds to calibrated ones.
        seed: Seed of the orders.

    Returns:
        By person_id and rank: person_id, feature, effect in log-odds, rank from 1 for the largest in size; features
        that the classifier does not use are left out.
    """
    people = features.sort("person_id")
    matrix = classifier.encode(people)
    names = list(_columns_by_feature(classifier))
    with one_thread():
        if isinstance(classifier, LogisticClassifier):
            base = float(classifier.encoded_log_odds(background).mean())
            effects = _exact(classifier, background, matrix)
        else:
            base, effects = _sampled(classifier, background, matrix, seed)
    said = base + effects.sum(axis=1)
    distance = calibrated(said) - calibrated(np.array([base]))
    is_far = np.abs(said - base) > 1e-9
    stretch = np.where(is_far, distance / np.where(is_far, said - base, 1), 1.0)
    frame = pl.DataFrame(
        {
            "person_id": np.repeat(people["person_id"].to_numpy(), len(names)),
            "feature": np.tile(np.array(names, dtype=object), people.height),
            "effect": (effects * stretch[:, None]).round(6).ravel(),
        },
        schema_overrides={"person_id": pl.UInt64, "feature": pl.String},
    )
    ranked = frame.with_columns(
        rank=pl.col("effect").abs().rank("ordinal", descending=True).over("person_id").cast(pl.Int64)
    )
    return ranked.sort("person_id", "rank").select(list(CONTRIBUTION_SCHEMA))


def permutation_importance(
    classifier: Classifier,
    rows: pl.DataFrame,
    outcomes: Floats,
    weights: Floats,
    calibrated: Callable[[Floats], Floats],
    seed: int,
) -> list[dict[str, float | str]]:
    """How much worse the log loss gets when the values of a feature are dealt out anew (Breiman 2001).

    Args:
        classifier: A fitted one.
        rows: Rows it was not fitted on; the first 5,000 are used.
        outcomes: 0 or 1.
        weights: How many rows a row stands for.
        calibrated: Maps the classifier's log-odds to calibrated ones.
        seed: Seed of the dealing.

    Returns:
        feature and log_loss_increase, the largest first. Features that say the same share it: dealing one out costs
        little while the other is there.
    """
    rows, outcomes, weights = rows.head(IMPORTANCE_ROWS), outcomes[:IMPORTANCE_ROWS], weights[:IMPORTANCE_ROWS]
    matrix = classifier.encode(rows)

    def loss(encoded: Matrix) -> float:
        return log_loss(outcomes, expit(calibrated(classifier.encoded_log_odds(encoded))), weights)

    def increase(columns: list[int]) -> float:
        losses = []
        for order in orders:
            dealt = matrix.copy()
            dealt[:, columns] = matrix[order][:, columns]
            losses.append(loss(dealt))
        return round(float(np.mean(losses)) - before, 7)

    orders = [np.random.default_rng([seed, number]).permutation(len(matrix)) for number in range(SHUFFLES)]
    groups = _columns_by_feature(classifier)
    with one_thread():
        before = loss(matrix)
        increases = list(made_ahead(increase, groups.values()))
    found: list[dict[str, float | str]] = [
        {"feature": name, "log_loss_increase": value} for name, value in zip(groups, increases, strict=True)
    ]
    return sorted(found, key=lambda one: (-float(one["log_loss_increase"]), str(one["feature"])))


def _columns_by_feature(classifier: Classifier) -> dict[str, list[int]]:
    columns: dict[str, list[int]] = {}
    for position, name in enumerate(classifier.column_features_):
        columns.setdefault(name, []).append(position)
    return columns


def _exact(classifier: LogisticClassifier, background: Matrix, matrix: Matrix) -> Floats:
    distance = matrix.astype(np.float64) - background.mean(axis=0, dtype=np.float64)
    parts = distance * classifier.coefficients_
    groups = _columns_by_feature(classifier).values()
    return np.column_stack([parts[:, columns].sum(axis=1) for columns in groups]) if groups else parts


def _sampled(classifier: Classifier, background: Matrix, matrix: Matrix, seed: int) -> tuple[float, Floats]:
    groups = list(_columns_by_feature(classifier).values())
    effects = np.zeros((len(matrix), len(groups)))
    base = float(classifier.encoded_log_odds(background).mean())
    if not groups:
        return base, effects
    place_of = np.empty(matrix.shape[1], dtype=np.int64)
    for place, columns in enumerate(groups):
        place_of[columns] = place
    random = np.random.default_rng(seed)
    steps = np.arange(len(groups) + 1)
    order = np.empty(0, dtype=np.int64)
    at_once = max(1, ROWS_AT_ONCE // len(steps))
    for number, row in enumerate(background):
        # every second order is the one before in reverse: who came first comes last
        order = order[::-1] if number % 2 else random.permutation(len(groups))
        position = np.argsort(order)[place_of]
        is_exchanged = position[None, :] < steps[:, None]
        for start in range(0, len(matrix), at_once):
            people = matrix[start : start + at_once]
            walked = np.where(is_exchanged[None], people[:, None, :], row[None, None, :])
            said = classifier.encoded_log_odds(walked.reshape(-1, matrix.shape[1])).reshape(len(people), -1)
            effects[start : start + at_once, order] += np.diff(said, axis=1)
    return base, effects / len(background)
