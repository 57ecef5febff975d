"""How many personas there are: the evidence for each candidate, and the rule that chooses.

Here belongs everything that compares numbers of personas. Whether there is anything at all stands in `null_model`;
fitting the chosen number in `personas`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.metrics import calinski_harabasz_score, silhouette_score

from ml.clustering import mixture_from
from ml.many_starts import Labels, Matrix, best_of_many_starts, nearest, within_sum_of_squares
from ml.stability import (
    adjusted_rand,
    global_stability,
    k_means_finder,
    prediction_strength,
    redraw,
    segment_origins,
    segment_stability,
)

EVIDENCE_SCHEMA = {
    "k": pl.Int64,
    "stability": pl.Float64,
    "stability_low": pl.Float64,
    "stability_q25": pl.Float64,
    "stability_median": pl.Float64,
    "stability_q75": pl.Float64,
    "stability_high": pl.Float64,
    "weakest_segment": pl.Float64,
    "prediction_strength": pl.Float64,
    "gap": pl.Float64,
    "gap_error": pl.Float64,
    "bic": pl.Float64,
    "seed_agreement": pl.Float64,
    "smallest_share": pl.Float64,
    "within_sum_of_squares": pl.Float64,
    "silhouette": pl.Float64,
    "calinski_harabasz": pl.Float64,
    "is_reproducible": pl.Boolean,
    "is_chosen": pl.Boolean,
}
SAME_FROM_SEEDS = 0.9
"""Adjusted Rand index from which another seed counts as giving the same solution."""
SEEDS_COMPARED = 6
"""On the McDonald's data, six solutions of fifty starts agree up to five groups and disagree from six on."""
STABLE_WITHIN = 0.1
"""The largest number of personas whose stability comes this close to the best is as good as the best."""
PREDICTED_FROM = 0.65
"""Prediction strength of a number whose every group is found in the other half. Tibshirani and Walther (2005) ask for
0.8 to 0.9, where groups are large; with groups of 7 % of 1,500 people, four standard deviations apart, the true number
had .65 and more in all of 27 simulated worlds, and the next one less."""
CLEARLY_BETTER = 0.2
"""By how much fewer personas have to be found better in the other half than those that stand, if all of these are."""
AS_WELL_FOUND = 0.05
"""By how much less one more persona may be found in the other half than those that stand, where nothing else speaks."""
ACTIONABLE = (4, 5)
"""Numbers preferred where evidence is equal: a brand can act on that many."""
REFERENCE_STARTS = 3
VOID = 1e-12
"""Stands for a sum of squares of zero, where people of one group are all alike."""
MIXTURE_STEPS = 20
SILHOUETTE_ROWS = 1_000


@dataclass(frozen=True)
class Effort:
    """How much is computed to judge solutions: the precision of the evidence against its cost.

    Attributes:
        rows: People that candidates are compared on.
        starts: k-means starts of a solution.
        pairs: Pairs of bootstrap samples.
        sample_starts: Starts per bootstrap sample, half or reference.
        halvings: Times people are halved for prediction strength.
        references: Reference sets of the gap statistic.
        null_replicates: Sets without groups that ours is compared with.
        null_rows: People of each of these.
    """

    rows: int = 1_500
    starts: int = 50
    pairs: int = 10
    sample_starts: int = 8
    halvings: int = 5
    references: int = 8
    null_replicates: int = 19
    null_rows: int = 1_000


WEEKLY = Effort()
"""A few seconds on one core, whatever the number of people."""
THOROUGH = Effort(
    rows=5_000, starts=100, pairs=50, sample_starts=20, halvings=25, references=20, null_replicates=99, null_rows=2_000
)
"""Some minutes; for a first model, or one that much depends on."""


@dataclass(frozen=True)
class CountEvidence:
    """Everything known of the candidates.

    Attributes:
        table: One row per candidate, see `gather_evidence`.
        origins: Per candidate but the first: where each group comes from. Rows of k, group, share (of the people),
            origin (0..1, see `segment_origins`), parent (the group of the solution before most of its people come
            from) and parent_share (how many of them).
    """

    table: pl.DataFrame
    origins: pl.DataFrame


ORIGIN_SCHEMA = {
    "k": pl.Int64,
    "group": pl.Int64,
    "share": pl.Float64,
    "origin": pl.Float64,
    "parent": pl.Int64,
    "parent_share": pl.Float64,
}


def gather_evidence(scores: Matrix, candidates: Sequence[int], effort: Effort, seed: int) -> CountEvidence:
    """Measure every candidate number of personas on a sample.

    Args:
        scores: Prepared people (rows, columns), in an order of their own (see `people_order`).
        candidates: Numbers of personas, ascending, from 2.
        effort: How much to compute.
        seed: Random seed.

    Returns:
        The evidence; in `table`, one row per candidate: k; stability -1..1, the mean adjusted Rand index of pairs of
        bootstrap solutions, with its smallest value, quartiles and largest; weakest_segment 0..1, SLSW of the weakest
        group; prediction_strength 0..1; gap and gap_error (Tibshirani, Walther and Hastie 2001); bic of a mixture of
        Gaussians, lower is better; seed_agreement -1..1, the least agreement of solutions from other seeds with the
        best; smallest_share 0..1 of the people in the smallest group; within_sum_of_squares; silhouette -1..1 and
        calinski_harabasz, which are shown but have no vote; is_reproducible, whether other seeds give the
        same; is_chosen, false.
    """
    part = scores[: effort.rows]
    find = k_means_finder(effort.sample_starts)
    rows, origins, before = [], [], None
    references = _references(part, effort.references, seed)
    for k in candidates:
        centres, agreement = _solution(part, k, effort.starts, seed)
        labels = nearest(part, centres)
        within = within_sum_of_squares(part, centres)
        redrawn = redraw(find, part, k, effort.pairs, seed)
        pairs = global_stability(redrawn)
        gaps = np.array([_log_within(reference, k, seed) for reference in references]) - np.log(max(within, VOID))
        shown = labels[:SILHOUETTE_ROWS]
        is_several = len(np.unique(shown)) > 1
        numbers = (pairs.min(), *np.quantile(pairs, [0.25, 0.5, 0.75]), pairs.max())
        names = [name for name in EVIDENCE_SCHEMA if name.startswith("stability_")]
        rows.append(
            {
                "k": k,
                "stability": float(pairs.mean()),
                **{name: float(value) for name, value in zip(names, numbers, strict=True)},
                "weakest_segment": float(segment_stability(labels, redrawn).mean(axis=0).min()),
                "prediction_strength": float(prediction_strength(find, part, k, seed, effort.halvings).mean()),
                "gap": float(gaps.mean()),
                "gap_error": float(gaps.std() * np.sqrt(1 + 1 / effort.references)),
                "bic": float(mixture_from(part, labels, centres, MIXTURE_STEPS).bic(part)),
                "seed_agreement": agreement,
                "smallest_share": float(np.bincount(labels, minlength=k).min() / len(labels)),
                "within_sum_of_squares": within,
                "silhouette": float(silhouette_score(part[: len(shown)], shown)) if is_several else None,
                "calinski_harabasz": float(calinski_harabasz_score(part, labels)),
                "is_reproducible": agreement >= SAME_FROM_SEEDS,
                "is_chosen": False,
            }
        )
        if before is not None:
            origins += _origins(labels, before, k)
        before = labels
    return CountEvidence(pl.DataFrame(rows, schema=EVIDENCE_SCHEMA), pl.DataFrame(origins, schema=ORIGIN_SCHEMA))


def _solution(scores: Matrix, k: int, starts: int, seed: int) -> tuple[Matrix, float]:
    """The best of solutions from several seeds, and the least agreement of the others with it."""
    found = [best_of_many_starts(scores, k, starts, seed + 7919 * turn) for turn in range(SEEDS_COMPARED)]
    sums = [within_sum_of_squares(scores, centres) for centres in found]
    best = found[int(np.argmin(sums))]
    labels = nearest(scores, best)
    return best, min(adjusted_rand(labels, nearest(scores, other)) for other in found)


def _references(scores: Matrix, count: int, seed: int) -> list[Matrix]:
    """Sets without groups, even over the box along the principal axes that holds everybody."""
    random = np.random.default_rng([seed, 9])
    centred = scores - scores.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1]
    turned = centred @ axes
    return [random.uniform(turned.min(axis=0), turned.max(axis=0), turned.shape) @ axes.T for _ in range(count)]


def _log_within(scores: Matrix, k: int, seed: int) -> float:
    centres = best_of_many_starts(scores, k, REFERENCE_STARTS, seed, tolerance=1e-3)
    return float(np.log(max(within_sum_of_squares(scores, centres), VOID)))


def _origins(labels: Labels, before: Labels, k: int) -> list[dict[str, float]]:
    together = np.bincount(labels * k + before, minlength=k * k).reshape(k, k)
    origin = segment_origins(labels, before)
    return [
        {
            "k": k,
            "group": group,
            "share": float(row.sum() / len(labels)),
            "origin": float(origin[group]),
            "parent": int(row.argmax()),
            "parent_share": float(row.max() / max(row.sum(), 1)),
        }
        for group, row in enumerate(together)
    ]


def choose_count(evidence: pl.DataFrame, minimum_share: float, standing: int | None = None) -> tuple[int, str]:
    """Choose the number of personas: the median of up to four votes.

    Stability votes for the largest number that comes within `STABLE_WITHIN` of the best; prediction strength for the
    largest that reaches `PREDICTED_FROM`; the mixture for its lowest BIC; the gap statistic for the first number that
    the next one does not beat by more than its error. Where the four fall apart into two halves, four or five personas
    are preferred, because a brand can act on that many; else the number prediction strength voted for, if it lies
    between the halves; else the smaller one.

    The mixture and the gap look for an optimum. Where the best they find is the largest number there is, and its groups
    are not found again in the other half of the people, they found none, and abstain: much that is measured of
    customers is skewed or mostly zero, and the more people are known, the surer any normal mixture gains by one more
    piece of such a shape. Where both abstain, all numbers that are stable and found again are equal, and four or five
    are preferred; else the largest. One more than stand is then chosen only if it is found as well as those.

    Where there are personas already, their number stays unless the other half of the people says otherwise: there are
    more only if each of them is found there, and fewer only if one of those that stand is not, or hardly. Votes waver
    where evidence is even, as in the weeks in which a company's history fills its windows; personas that come and go
    with them are none.

    Args:
        evidence: The table that `gather_evidence` returns.
        minimum_share: Numbers that need a persona of fewer people than this share are not eligible, unless
            none would be left.
        standing: The number of personas so far; None where there are none.

    Returns:
        The number, and the choice in words.
    """
    large_enough = evidence.filter(pl.col("smallest_share") >= minimum_share)
    eligible = large_enough if large_enough.height else evidence.head(1)
    votes = {
        "stability": _largest(eligible, "stability", _stable_from(eligible)),
        "prediction strength": _largest(eligible, "prediction_strength", pl.lit(PREDICTED_FROM)),
    }
    optima = {
        "the information criterion": int(eligible.sort("bic", "k")["k"][0]),
        "the gap": _first_that_is_not_beaten(eligible),
    }
    largest, largest_found = evidence.sort("k").select("k", "prediction_strength").row(-1)
    is_open = evidence.height > 1 and largest_found < PREDICTED_FROM
    abstaining = [name for name, k in optima.items() if is_open and k == largest]
    votes |= {name: k for name, k in optima.items() if name not in abstaining}
    voted = _equally_good(eligible, votes, standing) if len(abstaining) == len(optima) else _median(eligible, votes)
    chosen = voted if standing is None else _kept_number(eligible, voted, standing)
    lead = ", the median of the votes" if len(abstaining) < len(optima) else ", stable and found again"
    if chosen != voted:
        lead = f" as before, where the votes are for {voted}, because {_why_kept(evidence, chosen, voted)}"
    words = _choice_in_words(evidence, votes, chosen, lead, abstaining)
    left_out = sorted(set(evidence["k"]) - set(eligible["k"]))
    if left_out:
        words += (
            f" Not eligible: {', '.join(map(str, left_out))}, with a persona under {minimum_share:.1%} of the people."
        )
    return chosen, words


def _stable_from(eligible: pl.DataFrame) -> pl.Expr:
    return pl.lit(eligible["stability"].max() - STABLE_WITHIN)  # type: ignore[operator]


def _median(eligible: pl.DataFrame, votes: dict[str, int]) -> int:
    """The middle of three or four votes; between the two in the middle, what can be acted on."""
    ordered = sorted(votes.values())
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    middle = [k for k in eligible["k"] if low <= k <= high]
    preferred = [k for k in middle if k in ACTIONABLE]
    if votes["prediction strength"] in middle and not preferred:
        preferred = [votes["prediction strength"]]
    return preferred[0] if preferred else middle[0]


def _equally_good(eligible: pl.DataFrame, votes: dict[str, int], standing: int | None) -> int:
    """Of the numbers that are stable and found again, what can be acted on; where none is both, the median."""
    good = eligible.filter(
        (pl.col("stability") >= _stable_from(eligible)) & (pl.col("prediction_strength") >= PREDICTED_FROM)
    )
    found = dict(good.select("k", "prediction_strength").iter_rows())
    if not found:
        return _median(eligible, votes)
    if standing in found:
        as_well = [k for k in found if k > standing and found[k] >= found[standing] - AS_WELL_FOUND]
        return max([standing, *as_well])
    return max([k for k in found if k in ACTIONABLE] or found)


def _kept_number(eligible: pl.DataFrame, voted: int, standing: int) -> int:
    """The standing number, or the one voted for where prediction strength bears the change."""
    found = dict(eligible.select("k", "prediction_strength").iter_rows())
    if standing not in found or voted == standing:
        return voted
    is_found, was_found = found[voted] >= PREDICTED_FROM, found[standing] >= PREDICTED_FROM
    if voted > standing:
        is_borne = is_found or (not was_found and found[voted] > found[standing])
    else:
        is_borne = not was_found or found[voted] >= found[standing] + CLEARLY_BETTER
    return voted if is_borne else standing


def _why_kept(evidence: pl.DataFrame, kept: int, voted: int) -> str:
    found = dict(evidence.select("k", "prediction_strength").iter_rows())
    if voted > kept:
        return f"the weakest of {voted} is not found again in the other half of the people ({found[voted]:.2f})"
    return f"all {kept} are still found in the other half of the people ({found[kept]:.2f})"


def _largest(evidence: pl.DataFrame, measure: str, limit: pl.Expr) -> int:
    """The largest number that reaches the limit; the best where none does."""
    reaching = evidence.filter(pl.col(measure) >= limit)
    return int(reaching["k"].max()) if reaching.height else int(evidence.sort(measure, "k")["k"][-1])  # type: ignore[arg-type]


def _first_that_is_not_beaten(evidence: pl.DataFrame) -> int:
    beaten_from = (pl.col("gap") - pl.col("gap_error")).shift(-1)
    first = evidence.filter((pl.col("gap") >= beaten_from) | beaten_from.is_null())
    return int(first["k"][0])


def _choice_in_words(
    evidence: pl.DataFrame, votes: dict[str, int], chosen: int, lead: str, abstaining: Sequence[str]
) -> str:
    by_number: dict[int, list[str]] = {}
    for name, k in votes.items():
        by_number.setdefault(k, []).append(name)
    told = "; ".join(f"{k} by {' and '.join(names)}" for k, names in sorted(by_number.items()))
    if abstaining:
        told += f"; none by {' and '.join(abstaining)}, still better with the most"
    row = evidence.filter(pl.col("k") == chosen).row(0, named=True)
    words = (
        f"{chosen} personas{lead} ({told}). Drawn anew, people fall into the same {chosen} "
        f"groups with an agreement of {row['stability']:.2f}; one half predicts the other with "
        f"{row['prediction_strength']:.2f}."
    )
    after = evidence.filter(pl.col("k") == chosen + 1)
    if not after.height:
        return words
    following = after.row(0, named=True)
    lost = row["prediction_strength"] - following["prediction_strength"]
    kept = "is not found again" if following["prediction_strength"] < PREDICTED_FROM else "would be found again too"
    trend = f"{following['prediction_strength']:.2f}" if abs(lost) >= 0.005 else "the same"
    return f"{words} With {chosen + 1}, the weakest group {kept} in the other half ({trend})."
