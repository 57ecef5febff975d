"""Simulated companies in which a marketer names six kinds of people by a few examples, and two kinds stay unnamed.

What belongs here: the worlds and what is measured of them. The method is `ml.defined_personas`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.persona_worlds import WorldSettings, catalogue_of_world, spread_centres
from ml.defined_personas import DefinedModel, fit_defined_personas
from ml.persona_definitions import PersonaDefinition

NAMED, UNNAMED = 6, 2
UNNAMED_SHARE = 0.15
PEOPLE = 4_000
COLUMNS = 8
SEPARATION = 3.2


@dataclass(frozen=True)
class Measured:
    """What one world came to: all from 0 to 1."""

    accuracy: float
    calibration_error: float
    novelty_auc: float


def measure_world(seed: int, examples: int, separation: float = SEPARATION) -> Measured:
    """Name six kinds by so many examples each, fit everybody, and compare with the truth."""
    random = np.random.default_rng(seed)
    centres = spread_centres(random, NAMED + UNNAMED, COLUMNS, separation)
    shares = np.append(
        random.dirichlet(np.full(NAMED, 12.0)) * (1 - UNNAMED_SHARE), [UNNAMED_SHARE / UNNAMED] * UNNAMED
    )
    kind = random.choice(NAMED + UNNAMED, PEOPLE, p=shares)
    values = centres[kind] + random.normal(0, 1, (PEOPLE, COLUMNS))
    ids = np.arange(PEOPLE, dtype=np.uint64)
    features = pl.DataFrame({"person_id": ids, **{f"x{column}": values[:, column] for column in range(COLUMNS)}})
    chosen = np.random.default_rng(seed + 1_000)
    definitions = [
        PersonaDefinition(
            f"defined-{one}",
            examples=tuple(ids[chosen.choice(np.flatnonzero(kind == one), examples, replace=False)].tolist()),
        )
        for one in range(NAMED)
    ]
    model = fit_defined_personas(features, catalogue_of_world(WorldSettings(columns=COLUMNS)), definitions)
    assert isinstance(model, DefinedModel)
    probabilities, _ = model.score(features)
    is_named = kind < NAMED
    placed = probabilities[:, :NAMED].argmax(axis=1)
    return Measured(
        accuracy=float((placed == kind)[is_named].mean()),
        calibration_error=expected_calibration_error(probabilities[:, :NAMED].max(axis=1), placed == kind),
        novelty_auc=float(roc_auc_score(~is_named, probabilities[:, NAMED])),
    )


def expected_calibration_error(probability: NDArray[np.float64], is_right: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean gap between what was said and what was so, over bins of equal width, weighted by people (Naeini et al.
    2015).

    Everybody counts: who is of a kind nobody named is never right.
    """
    places = np.minimum((probability * bins).astype(np.int64), bins - 1)
    error = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            error += inside.mean() * abs(probability[inside].mean() - is_right[inside].mean())
    return float(error)
