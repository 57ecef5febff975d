"""Why somebody is in one persona rather than in another: what each feature says for it, for everybody at once.

Here belongs the weighing of features. What is printed about one person stands with whoever prints it.

A feature speaks for a persona as far as the person's value is more like that of its people than like that of the
others', measured in the spread that people of one persona have: the log-likelihood ratio of the two, each column on its
own. It uses nothing of a model but whom it put where, and so explains any kind of model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ml.made_ahead import made_ahead
from ml.people_order import hash_sample
from ml.preparation import BLOCK_ROWS, Preparation

REASONS = 3
SAMPLE = 50_000
SAMPLE_SEED = 13
WEIGHED_ROWS = 2_048
"""People whose columns are weighed at once: so few stay near the processor."""
REASON_COLUMNS = tuple(f"deciding_feature_{number}" for number in range(1, REASONS + 1))


@dataclass(frozen=True)
class PersonaScales:
    """What the features of each persona's people are like, in encoded columns.

    Attributes:
        personas: Persona ids, sorted.
        means: (personas, columns).
        variances: (columns,), within personas.
        feature_of: (columns,), place of each column's feature.
        features: Names of the features.
    """

    personas: list[str]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]
    feature_of: NDArray[np.int64]
    features: list[str]


def learn_scales(preparation: Preparation, features: pl.DataFrame, placed: pl.DataFrame) -> PersonaScales:
    """Learn what each persona's people are like.

    Args:
        preparation: The fitted preparation of the model.
        features: One week.
        placed: person_id, persona_id.

    Returns:
        The scales, from up to 50,000 people.
    """
    sample = hash_sample(features.select("person_id", *preparation.features_), SAMPLE, SAMPLE_SEED)
    personas = sorted(placed["persona_id"].unique().to_list())
    groups = (
        sample.select("person_id")
        .join(placed.select("person_id", "persona_id"), on="person_id", how="left", maintain_order="left")["persona_id"]
        .replace_strict(personas, range(len(personas)), default=-1, return_dtype=pl.Int64)
        .fill_null(-1)
        .to_numpy()
    )
    encoded = preparation.encode(sample).astype(np.float64)
    base = encoded.mean(axis=0) if len(encoded) else np.zeros(encoded.shape[1])
    means = np.array(
        [encoded[groups == place].mean(axis=0) if (groups == place).any() else base for place in range(len(personas))]
    ).reshape(len(personas), encoded.shape[1])
    known = groups >= 0
    residuals = encoded[known] - means[groups[known]] if known.any() else encoded
    # A column that does not vary within any persona would decide everything by the smallest difference.
    variances = np.maximum(residuals.var(axis=0) if len(residuals) else np.ones(encoded.shape[1]), 0.05)
    widths = [len(encoding.names) for encoding in preparation.encodings_]
    return PersonaScales(personas, means, variances, np.repeat(np.arange(len(widths)), widths), preparation.features_)


def evidence_for(
    preparation: Preparation,
    scales: PersonaScales,
    features: pl.DataFrame,
    persona_ids: Sequence[str],
    rival_ids: Sequence[str],
) -> NDArray[np.float64]:
    """What each feature says for one persona against another, person by person.

    Args:
        preparation: The fitted preparation of the model.
        scales: As `learn_scales` gave them.
        features: The people, in any order.
        persona_ids: Per row the persona that is to be explained.
        rival_ids: Per row the persona it is set against.

    Returns:
        (people, features) in natural logarithms of odds: above zero for the persona, below for the rival.
    """
    own, rival = _places(scales, persona_ids), _places(scales, rival_ids)
    encoded = preparation.encode(features).astype(np.float64)
    difference = (scales.means[own] - scales.means[rival]) / scales.variances
    middle = (scales.means[own] + scales.means[rival]) / 2
    return _by_feature(difference * (encoded - middle), scales).astype(np.float64)


def deciding_features(preparation: Preparation, features: pl.DataFrame, placed: pl.DataFrame) -> pl.DataFrame:
    """Name the three features that speak most for each person's persona, against the runner-up.

    Args:
        preparation: The fitted preparation of the model.
        features: One week.
        placed: person_id, persona_id, runner_up_persona_id.

    Returns:
        `placed` with deciding_feature_1..3; null where a model has fewer features, or one persona.
    """
    names = pl.Series(preparation.features_, dtype=pl.String)
    shown = min(REASONS, len(names))
    if placed.is_empty() or shown == 0 or placed["runner_up_persona_id"].null_count() == placed.height:
        return placed.with_columns(pl.lit(None, pl.String).alias(column) for column in REASON_COLUMNS)
    with threadpool_limits(limits=1):
        scales = learn_scales(preparation, features, placed)
        # One row of weights per pair of personas: what is left to do per person is one multiplication and one sum.
        own = _places(scales, placed["persona_id"])
        rival = _places(scales, placed["runner_up_persona_id"])
        weights, offsets = _pair_weights(scales)
        best = np.empty((placed.height, shown), dtype=np.int64)
        needed = _in_order_of(placed["person_id"], features.select("person_id", *preparation.features_))
        pairs = own * len(scales.personas) + rival

        def tell(start: int) -> None:
            encoded = preparation.encode(needed[start : start + BLOCK_ROWS])
            for first in range(0, len(encoded), WEIGHED_ROWS):
                some = encoded[first : first + WEIGHED_ROWS]
                rows = slice(start + first, start + first + len(some))
                spoken = _by_feature(some * weights[pairs[rows]] - offsets[pairs[rows]], scales)
                best[rows] = _largest(spoken, shown)

        for _ in made_ahead(tell, range(0, placed.height, BLOCK_ROWS)):
            pass
    columns = {
        column: names.gather(best[:, place]) if place < shown else pl.Series([None] * placed.height, dtype=pl.String)
        for place, column in enumerate(REASON_COLUMNS)
    }
    return placed.with_columns(**columns)


def _in_order_of(people: pl.Series, features: pl.DataFrame) -> pl.DataFrame:
    """The features of these people, a row each; where they come in that order already, nothing is copied."""
    if features["person_id"].equals(people):
        return features
    return people.to_frame().join(features, on="person_id", how="left", maintain_order="left")


def _pair_weights(scales: PersonaScales) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    difference = (scales.means[:, None, :] - scales.means[None, :, :]) / scales.variances
    middle = (scales.means[:, None, :] + scales.means[None, :, :]) / 2
    width = scales.means.shape[1]
    return (
        difference.reshape(-1, width).astype(np.float32),
        (difference * middle).reshape(-1, width).astype(np.float32),
    )


def _largest(spoken: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Places of the largest values of each row, the largest first."""
    remaining = spoken.copy()
    rows = np.arange(len(spoken))
    found = np.empty((len(spoken), count), dtype=np.int64)
    for place in range(count):
        found[:, place] = remaining.argmax(axis=1)
        remaining[rows, found[:, place]] = -np.inf
    return found


def _by_feature(columns: NDArray[np.floating], scales: PersonaScales) -> NDArray[np.floating]:
    """Sum the columns of one feature; they lie side by side."""
    starts = np.searchsorted(scales.feature_of, np.arange(len(scales.features)))
    return np.add.reduceat(columns, starts, axis=1)


def _places(scales: PersonaScales, persona_ids: Sequence[str] | pl.Series) -> NDArray[np.int64]:
    places = pl.Series(persona_ids, dtype=pl.String).replace_strict(
        scales.personas, range(len(scales.personas)), default=None, return_dtype=pl.Int64
    )
    return places.fill_null(0).to_numpy()
