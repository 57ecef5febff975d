"""Whether the people a propensity is scored for are still like those it was learned from, feature by feature.

Here belong the sample that stands for the weeks a model was fitted on, and what is told of the tests in words. The
tests themselves stand in `drift`; what a drift leads to is decided where weeks are run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from ml.catalogue import Kind
from ml.drift import ColumnReference, column_counts, learn_references, test_columns
from ml.people_order import hash_sample, person_hash

SAMPLE = 20_000
"""Most people of either side. Two such samples show a Jensen-Shannon distance of 0.03; one of 0.05 is told."""
FEWEST_TOLD = 20
"""People of a level below which it is not named."""
MOST_TOLD = 5
"""Drifted features that are named in one sentence."""
MATTERS_FROM = 0.2
"""Share of a model's features, or of what it leans on, that has to drift to matter for the whole model."""
DRIFT_SCHEMA = {
    "feature": pl.String,
    "kind": pl.String,
    "psi": pl.Float64,
    "psi_limit": pl.Float64,
    "p_value": pl.Float64,
    "js_distance": pl.Float64,
    "importance_share": pl.Float64,
    "is_drifted": pl.Boolean,
    "words": pl.String,
}


def training_references(training: pl.DataFrame, inputs: Mapping[str, Kind], seed: int) -> list[ColumnReference]:
    """Keep how each input was distributed in the weeks a model was fitted on: counts, and nobody's value.

    Of every person one week, drawn by hash among all weeks, because the tests take people for independent; and of the
    outcome that was not thinned out as large a part as of the one that was, because the outcome decides who was drawn.

    Args:
        training: At (person_id, as_of): the inputs, outcome, and sampled_at if rows were drawn.
        inputs: Kind by feature the model reads.
        seed: Seed of the hashes.

    Returns:
        One per input, of `SAMPLE` people at most.
    """
    told = [name for name in ("person_id", "as_of", "outcome", "sampled_at") if name in training.columns]
    sample = hash_sample(_as_if_not_drawn(training.select(told).with_row_index("__row"), seed), SAMPLE, seed)
    return learn_references(training.select(list(inputs))[sample["__row"]], inputs)


def _as_if_not_drawn(training: pl.DataFrame, seed: int) -> pl.DataFrame:
    known = training.filter(pl.col("outcome").is_not_null())
    if "as_of" in known.columns and known["as_of"].n_unique() > 1:
        place = known["as_of"].rank("dense").cast(pl.Int64).to_numpy() - 1
        own = (person_hash(known["person_id"], seed + 1) % np.uint64(place.max() + 1)).astype(np.int64)
        known = known.filter(pl.Series(place == own))
    if "sampled_at" in known.columns and known.height:
        rates = known["sampled_at"].cast(pl.Float64).to_numpy()
        drawn = person_hash(known["person_id"], seed + 2).astype(np.float64) / 2.0**64
        known = known.filter(pl.Series(drawn < rates.min() / rates))
    return known


def feature_drift(
    references: Sequence[ColumnReference], people: pl.DataFrame, importance: Sequence[Mapping[str, Any]], seed: int
) -> pl.DataFrame:
    """Test each input of a model against the weeks it was fitted on.

    Args:
        references: As `training_references` gave them.
        people: Who is scored: person_id and the inputs.
        importance: Of the model: feature and log_loss_increase.
        seed: Seed of the sample.

    Returns:
        At (feature), `DRIFT_SCHEMA`: as `test_columns` gives; importance_share 0..1, of what the model leans on; words
        where it drifted.
    """
    sample = hash_sample(people.select("person_id", *(one.feature for one in references)), SAMPLE, seed)
    tested = test_columns(sample, list(references))
    leaned_on = {one["feature"]: max(0.0, float(one["log_loss_increase"])) for one in importance}
    total = sum(leaned_on.values()) or 1.0
    by_feature = {one.feature: one for one in references}
    rows = [
        {
            **{name: row[name] for name in ("feature", "psi", "p_value", "js_distance", "is_drifted")},
            "psi_limit": row["limit"],
            "kind": by_feature[row["feature"]].kind,
            "importance_share": leaned_on.get(row["feature"], 0.0) / total,
            "words": _words(by_feature[row["feature"]], sample[row["feature"]]) if row["is_drifted"] else None,
        }
        for row in tested.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=DRIFT_SCHEMA)


def drifted_share(drift: pl.DataFrame) -> float:
    """How much of a model has drifted, 0..1: of its features or of what it leans on, whichever is more."""
    if drift.is_empty():
        return 0.0
    of_features = float(drift["is_drifted"].cast(pl.Float64).mean())  # type: ignore[arg-type]
    return max(of_features, float(drift.filter("is_drifted")["importance_share"].sum()))


def drift_in_words(drift: pl.DataFrame) -> str | None:
    """Say what of a model has drifted, the feature it leans on most first.

    Args:
        drift: As `feature_drift` gives it, with label.

    Returns:
        One sentence; None where too little has drifted for it to matter.
    """
    share = drifted_share(drift)
    if share < MATTERS_FROM:
        return None
    drifted = drift.filter("is_drifted").sort(
        "importance_share", "js_distance", "feature", descending=[True, True, False]
    )
    told = [f"{label} ({words})" for label, words in drifted.select("label", "words").head(MOST_TOLD).iter_rows()]
    more = f", and {drifted.height - MOST_TOLD} more" if drifted.height > MOST_TOLD else ""
    leaned_on = float(drifted["importance_share"].sum())
    return (
        f"{drifted.height} of {drift.height} features, with {leaned_on:.0%} of what the model leans on, have drifted "
        f"since the weeks it was fitted on: {'; '.join(told)}{more}"
    )


def _words(reference: ColumnReference, now: pl.Series) -> str:
    """How a column is distributed otherwise, in words: what is missing, which level, or the direction."""
    before, after = (np.asarray(counts, np.float64) for counts in (reference.counts, column_counts(now, reference)))
    p, q = before / max(before.sum(), 1), after / max(after.sum(), 1)
    changes = q - p
    if abs(changes[-1]) >= np.abs(changes[:-1]).max(initial=0.0):
        return f"missing for {q[-1]:.0%} of people, for {p[-1]:.0%} in the weeks it was learned from"
    if reference.kind == "category":
        place = int(np.abs(changes[:-1]).argmax())
        is_named = place < len(reference.levels) and min(before[place], after[place]) >= FEWEST_TOLD
        level = repr(reference.levels[place]) if is_named else "levels that are rare or new"
        return f"{level}: {q[place]:.0%} of people, {p[place]:.0%} in the weeks it was learned from"
    places = np.arange(len(p) - 1)
    present_p, present_q = max(p[:-1].sum(), 1e-12), max(q[:-1].sum(), 1e-12)
    moved = (places * q[:-1]).sum() / present_q - (places * p[:-1]).sum() / present_p
    share = np.abs(changes).sum() / 2
    direction = "higher" if moved > 0 else "lower"
    return f"{direction} than in the weeks it was learned from; {share:.0%} of people lie elsewhere"
