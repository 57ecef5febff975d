"""What is known of a fitted solution: is it found again, segment by segment; is it natural; what was merged, and why.

Here belong the evidence of one solution and the control of over-segmentation. How candidates are compared stands in
`persona_count`; whether segments differ in what happens after, in `persona_value`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ml.many_starts import Labels, Matrix, move_to_rest, nearest, squared_distances
from ml.null_model import NullTest
from ml.stability import FindGroups, global_stability, redraw, segment_recovery, segment_stability

SolutionKind = Literal["natural", "reproducible", "constructive", "single"]
STABLE_SEGMENT_FROM = 0.6
"""Below this a segment is not to be trusted (SLSW here; Hennig's rule for the mean Jaccard index is the same)."""
REPRODUCIBLE_FROM = 0.8
"""Global stability from which a solution counts as reproducible."""
NATURAL_STABILITY = 0.5
"""Global stability that a natural solution needs at least: groups may overlap, but not be different every time."""
NATURAL_P_VALUE = 0.05
NATURAL_EXCESS = 4.0
"""Standard deviations beyond the null that a natural solution needs: on 60 sets of people without groups the largest
excess was 2.4, in 20 worlds with groups three standard deviations apart the smallest was 5.0."""
ENOUGH_PER_FEATURE = 100
"""People per input feature below which evidence is thin (Dolnicar, Grün and Leisch 2016)."""
EXPLORATORY_PER_FEATURE = 60
"""People per input feature below which everything is exploratory (Dolnicar et al. 2014)."""
GORGE_BINS = 20


@dataclass(frozen=True)
class Segment:
    """One group of a solution.

    Attributes:
        cluster: Its number in the model.
        people_share: Share of the people that were judged.
        stability: SLSW 0..1, mean over pairs of samples.
        stability_low: The lower quartile over the pairs.
        stability_high: The upper quartile.
        recovery: Hennig's mean Jaccard index 0..1 among those who were drawn.
        similarity: How similar its people are to its own centre, as shares of them in 20 even steps from 0 to 1
            (gorge plot; 0.5 = as near to the next centre). Two hills with a gorge between them are structure.
        centre: Its mean on the two directions that set segments apart most.
        extent: Its covariance there, row by row.
    """

    cluster: int
    people_share: float
    stability: float
    stability_low: float
    stability_high: float
    recovery: float
    similarity: tuple[float, ...]
    centre: tuple[float, float]
    extent: tuple[float, float, float, float]

    @property
    def is_stable(self) -> bool:
        """Whether it is found again often enough to be trusted."""
        return self.stability >= STABLE_SEGMENT_FROM


@dataclass(frozen=True)
class Merge:
    """A segment that was joined to the nearest one.

    Attributes:
        people_share: Share of the people it had.
        into_share: Share of the people that the other one had.
        reason: "too small" or "not found again".
        figure: People for the first reason, SLSW for the second.
    """

    people_share: float
    into_share: float
    reason: Literal["too small", "not found again"]
    figure: float

    @property
    def words(self) -> str:
        """The merge in a sentence."""
        figure = f"{self.figure:.0f} people" if self.reason == "too small" else f"stability {self.figure:.2f}"
        return (
            f"A segment with {self.people_share:.1%} of the people was joined to the nearest one "
            f"({self.into_share:.1%}): {self.reason} ({figure})."
        )


@dataclass(frozen=True)
class PersonaEvidence:
    """What is known of a fitted solution.

    Attributes:
        solution_kind: "natural", groups that people without groups would not show; "reproducible", a useful cut that
            is found again; "constructive", a cut that is not; "single", one persona, nothing to judge.
        null_test: The test against people without groups; None where there was none.
        stability: Global stability of the solution, -1..1.
        segments: By cluster.
        merges: In the order in which they were made.
        notes: What a reader has to know, in sentences.
        origins: As in `CountEvidence`.
        features: Input features that were used.
        people: People the model was fitted on.
    """

    solution_kind: SolutionKind = "single"
    null_test: NullTest | None = None
    stability: float | None = None
    segments: tuple[Segment, ...] = ()
    merges: tuple[Merge, ...] = ()
    notes: tuple[str, ...] = ()
    origins: tuple[dict[str, Any], ...] = ()
    features: int = 0
    people: int = 0

    @property
    def kind_words(self) -> str:
        """What kind of solution this is, in a sentence."""
        if self.solution_kind == "natural":
            return "Natural segments: people fall into groups more than people without groups would."
        if self.solution_kind == "reproducible":
            return "No natural segments; these are constructed cuts, useful because they are found again."
        if self.solution_kind == "constructive":
            return "No natural segments; these are constructed cuts, and other people would be cut differently."
        return "One persona: nothing was divided."

    def to_dict(self) -> dict[str, Any]:
        """Write the evidence as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read evidence that `to_dict` wrote."""
        segments: list[dict[str, Any]] = [
            {name: tuple(v) if isinstance(v, list) else v for name, v in one.items()} for one in state["segments"]
        ]
        return cls(
            **{
                **state,
                "null_test": NullTest(**state["null_test"]) if state["null_test"] else None,
                "segments": tuple(Segment(**one) for one in segments),
                "merges": tuple(Merge(**one) for one in state["merges"]),
                "notes": tuple(state["notes"]),
                "origins": tuple(state["origins"]),
            }
        )


def kind_of_solution(null_test: NullTest | None, stability: float) -> SolutionKind:
    """Name a solution after Dolnicar and Leisch (2010): natural, reproducible or constructive.

    Args:
        null_test: The test against people without groups.
        stability: Global stability of the solution.
    """
    is_structured = (
        null_test is not None and null_test.p_value <= NATURAL_P_VALUE and null_test.excess >= NATURAL_EXCESS
    )
    if is_structured and stability >= NATURAL_STABILITY:
        return "natural"
    return "reproducible" if stability >= REPRODUCIBLE_FROM else "constructive"


def merge_weak_segments(
    scores: Matrix, centres: Matrix, fewest: int, smallest_share: float, find: FindGroups, pairs: int, seed: int
) -> tuple[Matrix, list[Merge]]:
    """Join segments that are too small, or not found again, to the nearest one, the worst first.

    Near is what costs least within-sum-of-squares (Ward 1963). After each merge the centres move to rest.

    Args:
        scores: (rows, columns).
        centres: (groups, columns) of a k-means solution.
        fewest: Groups that are left in any case.
        smallest_share: Share of the people a segment needs.
        find: How redrawn samples are grouped.
        pairs: Pairs of redrawn samples.
        seed: Random seed.

    Returns:
        The centres that are left, and what was merged.
    """
    merges: list[Merge] = []
    while len(centres) > fewest:
        labels = nearest(scores, centres)
        people = np.bincount(labels, minlength=len(centres))
        worst, reason, figure = int(people.argmin()), "too small", float(people.min())
        if people.min() >= smallest_share * len(scores):
            stability = segment_stability(labels, redraw(find, scores, len(centres), pairs, seed)).mean(axis=0)
            worst, reason, figure = int(stability.argmin()), "not found again", float(stability.min())
            if figure >= STABLE_SEGMENT_FROM:
                break
        other = _cheapest_partner(centres, people, worst)
        merges.append(
            Merge(float(people[worst] / len(scores)), float(people[other] / len(scores)), reason, figure)  # type: ignore[arg-type]
        )
        weight = people[[worst, other]] + 1e-9
        joined = np.average(centres[[worst, other]], axis=0, weights=weight)
        kept = np.delete(centres, [worst, other], axis=0)
        centres = move_to_rest(scores, np.vstack([kept, joined]))
    return centres, merges


def _cheapest_partner(centres: Matrix, people: NDArray[np.int64], worst: int) -> int:
    cost = (
        ((centres - centres[worst]) ** 2).sum(axis=1) * people * people[worst] / np.maximum(people + people[worst], 1)
    )
    cost[worst] = np.inf
    return int(cost.argmin())


def judge_segments(
    scores: Matrix,
    labels_of: Callable[[Matrix], Labels],
    centres: Matrix,
    find: FindGroups,
    pairs: int,
    seed: int,
) -> tuple[float, tuple[Segment, ...]]:
    """Judge a solution by redrawn samples.

    Args:
        scores: People to judge on (rows, columns).
        labels_of: The model: rows to groups.
        centres: (groups, columns), its centres.
        find: How redrawn samples are grouped: as the model was fitted.
        pairs: Pairs of samples.
        seed: Random seed.

    Returns:
        Global stability, and the segments.
    """
    labels = labels_of(scores)
    groups = len(centres)
    redrawn = redraw(find, scores, groups, pairs, seed)
    found = np.zeros((pairs, groups))
    found[:, : labels.max() + 1] = segment_stability(labels, redrawn)
    recovery = np.zeros(groups)
    recovery[: labels.max() + 1] = segment_recovery(labels, redrawn)
    similarity = _similarity(scores, centres)
    plane = scores @ _directions(centres)
    segments = []
    for group in range(groups):
        is_member = labels == group
        there = plane[is_member] if is_member.any() else plane
        covariance = np.cov(there.T, bias=True) if len(there) > 1 else np.zeros((2, 2))
        counts = np.histogram(similarity[:, group], bins=GORGE_BINS, range=(0, 1))[0]
        segments.append(
            Segment(
                cluster=group,
                people_share=float(is_member.mean()),
                stability=_rounded(found[:, group].mean()),
                stability_low=_rounded(np.quantile(found[:, group], 0.25)),
                stability_high=_rounded(np.quantile(found[:, group], 0.75)),
                recovery=_rounded(recovery[group]),
                similarity=tuple(_rounded(share) for share in counts / len(scores)),
                centre=(_rounded(there[:, 0].mean()), _rounded(there[:, 1].mean())),
                extent=tuple(_rounded(value) for value in covariance.ravel()),  # type: ignore[arg-type]
            )
        )
    return _rounded(global_stability(redrawn).mean()), tuple(segments)


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _similarity(scores: Matrix, centres: Matrix) -> Matrix:
    """Of each row to each centre, 0..1: distance to the nearest other centre over the sum of the two."""
    distances = np.sqrt(squared_distances(scores, centres))
    order = np.sort(distances, axis=1)
    other = np.where(distances <= order[:, :1], order[:, 1:2], order[:, :1])
    return other / np.maximum(other + distances, 1e-12)


def _directions(centres: Matrix) -> Matrix:
    """The two directions in which the centres differ most, (columns, 2)."""
    centred = centres - centres.mean(axis=0)
    vectors = np.linalg.svd(centred, full_matrices=True)[2][:2].T
    if vectors.shape[1] < 2:
        vectors = np.column_stack([vectors, np.zeros(len(vectors))])
    return vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)


def size_notes(people: int, features: int) -> list[str]:
    """What the number of people allows, in sentences; none where there are enough.

    Args:
        people: People the model is fitted on.
        features: Input features before categories are taken apart.
    """
    per_feature = people / max(features, 1)
    if per_feature >= ENOUGH_PER_FEATURE:
        return []
    told = f"{people:,} people for {features} features, {per_feature:.0f} each"
    if per_feature < EXPLORATORY_PER_FEATURE:
        return [f"Exploratory: {told}; below {EXPLORATORY_PER_FEATURE} nothing here should be relied on."]
    return [f"Thin evidence: {told}; {ENOUGH_PER_FEATURE} are recommended."]


def solution_notes(not_reproducible: Sequence[int], segments: Sequence[Segment]) -> list[str]:
    """Which numbers of personas depend on chance, and which segments are not found again.

    Args:
        not_reproducible: Numbers of personas that come out differently from other seeds.
        segments: The segments of the chosen solution.
    """
    notes = []
    if not_reproducible:
        listed = ", ".join(map(str, not_reproducible))
        notes.append(f"Not reproducible: with {listed} personas, another random start gives another solution.")
    weak = [segment for segment in segments if not segment.is_stable]
    notes += [
        f"Segment {one.cluster + 1} ({one.people_share:.0%} of the people) is not found again when people are drawn "
        f"anew (stability {one.stability:.2f}); do not let it drive anything by itself."
        for one in weak
    ]
    return notes
