"""Looks for groups among a sample: how many there are, where they are, and which are too weak to stand alone.

Here belongs what is done with a sample. `persona_count` holds the rule for the number, `clustering` the ways to find
groups, `persona_evidence` what joins weak ones; `persona_settling` takes what is found here to everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ml.clustering import ALGORITHMS, GroupRule
from ml.many_starts import Matrix, best_of_many_starts
from ml.persona_count import CountEvidence, choose_count, gather_evidence
from ml.persona_evidence import Merge, merge_weak_segments
from ml.persona_model import SMALL_BASE, PersonaSettings
from ml.preparation import Preparation
from ml.stability import k_means_finder


@dataclass(frozen=True)
class Found:
    """A solution among the sample, and how it came about."""

    algorithm: str
    k: int
    centres: Matrix
    rule: GroupRule | None
    counted: CountEvidence
    choice: str
    merges: tuple[Merge, ...]
    notes: tuple[str, ...]


def search_groups(
    preparation: Preparation,
    scores: Matrix,
    candidates: Sequence[int],
    people: int,
    settings: PersonaSettings,
    standing_count: int | None = None,
) -> Found:
    """Choose the number of groups, find them among the sample, and join those that are too weak to stand alone.

    Args:
        preparation: The fitted preparation.
        scores: (rows, columns), the sample in its space.
        candidates: Numbers of groups to choose from.
        people: How many people there are, beyond the sample too.
        settings: How personas are found.
        standing_count: As for `fit_personas`.

    Returns:
        The solution.
    """
    effort, notes = settings.effort, []
    algorithm = settings.algorithm or ("latent_class" if preparation.is_survey_ else "k_means")
    if algorithm == "latent_class" and not preparation.is_survey_:
        notes.append("Latent classes are for yes-or-no answers, and there are other features; k-means was used.")
        algorithm = "k_means"
    counted = gather_evidence(scores, candidates, effort, settings.seed)
    smallest_share = settings.smallest_persona(people) / people
    k, choice = choose_count(counted.table, smallest_share, standing_count)
    if len(candidates) == 1:
        choice = f"{k} personas, as set." if settings.k is not None else f"{k} personas, the only number possible."
    starts = settings.starts * (2 if people < SMALL_BASE else 1)
    fewest = k if settings.k is not None else max(2, settings.k_range[0])
    merges: list[Merge] = []
    rule = None
    if algorithm == "k_means":
        centres = best_of_many_starts(scores, k, starts, settings.seed)
        part = scores[: effort.rows]
        centres, merges = merge_weak_segments(
            part, centres, fewest, smallest_share, k_means_finder(effort.sample_starts), effort.pairs, settings.seed
        )
        if merges:
            joined = "one was" if len(merges) == 1 else f"{len(merges)} were"
            choice += f" As {joined} too small or not found again, and joined to the nearest, {len(centres)} remain."
    else:
        groups = ALGORITHMS[algorithm](n_clusters=k, random_state=settings.seed).fit(scores)
        centres = groups.cluster_centers_
        rule = None if algorithm == "ward" else groups.rule_
    return Found(algorithm, k, centres, rule, counted, choice, tuple(merges), tuple(notes))
