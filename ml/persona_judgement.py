"""Judges a fitted model: whether there are groups at all, how stable they are, and what a reader has to be told.

Here belongs what is asked of a model as a whole; the measures and the words stand in `persona_evidence`, `null_model`
and `stability`.
"""

from dataclasses import replace

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from ml.clustering import ALGORITHMS
from ml.many_starts import Labels, Matrix
from ml.null_model import test_for_groups
from ml.people_order import hash_sample
from ml.persona_count import Effort
from ml.persona_evidence import (
    PersonaEvidence,
    Segment,
    judge_segments,
    kind_of_solution,
    size_notes,
    solution_notes,
)
from ml.persona_model import PersonaModel
from ml.persona_search import Found
from ml.stability import FindGroups, k_means_finder

REDRAWN_STARTS = 4
"""Starts per redrawn sample for the algorithms that are slow."""


def judge_model(
    model: PersonaModel, sample: pl.DataFrame, scores: Matrix, found: Found, inputs: int, people: int
) -> PersonaEvidence:
    """Test the sample against people without groups, and judge the groups the model has.

    Args:
        model: The model, settled on everybody.
        sample: The people it was found among.
        scores: (rows, columns), the same in the space of its preparation.
        found: How the solution came about.
        inputs: Features the model was given.
        people: How many people there are.

    Returns:
        The evidence.
    """
    effort, seed = model.settings.effort, model.settings.seed
    null_sample = sample.head(effort.null_rows)
    null_candidates = range(2, min(max(8, model.k), len(np.unique(scores[: effort.null_rows], axis=0)) - 1) + 1)
    null_test = None
    if null_candidates:
        null_test = test_for_groups(model.preparation, null_sample, null_candidates, effort.null_replicates, seed)
    stability, segments = _judge(model, scores, effort)
    table = found.counted.table
    notes = (
        *size_notes(people, inputs),
        *found.notes,
        *solution_notes(table.filter(~pl.col("is_reproducible"))["k"].to_list(), segments),
    )
    return PersonaEvidence(
        solution_kind=kind_of_solution(null_test, stability),
        null_test=null_test,
        stability=stability,
        segments=segments,
        merges=found.merges,
        notes=notes,
        origins=tuple(found.counted.origins.to_dicts()),
        features=inputs,
        people=people,
    )


def _judge(model: PersonaModel, scores: Matrix, effort: Effort) -> tuple[float, tuple[Segment, ...]]:
    def labels_of(rows: Matrix) -> Labels:
        return model.log_probabilities(rows.astype(np.float32)).argmax(axis=1)

    if model.algorithm == "k_means":
        find = k_means_finder(effort.sample_starts)
        return judge_segments(scores[: effort.rows], labels_of, model.centres, find, effort.pairs, model.settings.seed)
    find = _finder(model.algorithm)
    rows, pairs = effort.rows // 2, max(effort.pairs // 2, 2)
    return judge_segments(scores[:rows], labels_of, model.centres, find, pairs, model.settings.seed)


def _finder(algorithm: str) -> FindGroups:
    """Group redrawn samples as a model of this algorithm was found."""

    def find(scores: Matrix, k: int, seed: int, samples: Matrix) -> Labels:
        labels = []
        for turn, counts in enumerate(samples.T):
            rows = np.repeat(np.arange(len(scores)), counts.astype(np.int64))
            groups = ALGORITHMS[algorithm](n_clusters=k, starts=REDRAWN_STARTS, random_state=seed + turn)
            labels.append(groups.fit(scores[rows]).predict(scores))
        return np.array(labels)

    return find


def judge_again(model: PersonaModel, features: pl.DataFrame) -> PersonaModel:
    """Judge the groups of a model that went on with those of another.

    Args:
        model: As `continue_personas` returns it; a model that is judged already is returned as it is.
        features: One week.

    Returns:
        The model with the stability and the segments of its own groups.
    """
    if model.k < 2 or model.evidence.segments:
        return model
    sample = hash_sample(features, model.settings.effort.rows, model.settings.seed)
    with threadpool_limits(limits=1):
        stability, segments = _judge(
            model, model.preparation.transform(sample).astype(np.float64), model.settings.effort
        )
    kind = kind_of_solution(model.evidence.null_test, stability)
    evidence = replace(model.evidence, stability=stability, segments=segments, solution_kind=kind)
    return replace(model, evidence=evidence)
