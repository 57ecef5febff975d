"""What a message is expected to bring about in each person of an experiment, where that can be told from chance.

Here belong the order of people and how far it can be believed. How uplift is learned and judged stands in `uplift`.

What a message brings about in one person can never be observed: they got it or not. So no interval is told of a single
person, but the place among all, and the effect that was observed, with its interval, among the fifth of people around.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PARTS = 5
PERSON_UPLIFT_SCHEMA = {
    "person_id": pl.UInt64,
    "learner": pl.String,
    "uplift": pl.Float64,
    "place": pl.Int64,
    "part": pl.Int64,
    "part_effect": pl.Float64,
    "part_effect_low": pl.Float64,
    "part_effect_high": pl.Float64,
    "abstained_reason": pl.String,
}


def nobodys_uplift(person_ids: pl.Series, reason: str) -> pl.DataFrame:
    """A row for each person that says why nothing is told of them.

    Args:
        person_ids: The people.
        reason: Why.

    Returns:
        `PERSON_UPLIFT_SCHEMA`.
    """
    return _as_told(pl.DataFrame({"person_id": person_ids}).with_columns(abstained_reason=pl.lit(reason)))


def everybodys_uplift(
    person_ids: pl.Series, learner: str, uplift: Floats, treated: Bools, outcome: Bools
) -> pl.DataFrame:
    """What is expected of each person, their place, and what was observed among those around them.

    Args:
        person_ids: The people.
        learner: What made the estimates.
        uplift: Expected difference of shares, of a model that did not see the person.
        treated: Whether the person got the message.
        outcome: Whether the outcome came about.

    Returns:
        `PERSON_UPLIFT_SCHEMA`: place 1 is who it works best in; part 1 the first fifth of all; part_effect its observed
        difference of shares, treated less control, with a 95 % interval.
    """
    order = pl.DataFrame({"person_id": person_ids, "uplift": uplift, "treated": treated, "outcome": outcome})
    order = order.sort("uplift", "person_id", descending=[True, False]).with_row_index("place", 1)
    order = order.with_columns(part=(pl.col("place").cast(pl.Int64) * PARTS - 1) // order.height + 1)
    order = order.with_columns(part=pl.col("part").clip(1, PARTS))
    z = float(norm.ppf(0.975))
    shares = {
        name: pl.col("outcome").filter(pl.col("treated") == is_treated).mean()
        for name, is_treated in (("with_it", True), ("without", False))
    }
    sizes = {name: (pl.col("treated") == is_treated).sum() for name, is_treated in (("sent", True), ("held", False))}
    spread = (
        pl.col("with_it") * (1 - pl.col("with_it")) / pl.col("sent")
        + pl.col("without") * (1 - pl.col("without")) / pl.col("held")
    ).sqrt()
    parts = (
        order.group_by("part")
        .agg(**shares, **sizes)
        .with_columns(part_effect=pl.col("with_it") - pl.col("without"), half=z * spread)
        .select(
            "part",
            "part_effect",
            part_effect_low=pl.col("part_effect") - pl.col("half"),
            part_effect_high=pl.col("part_effect") + pl.col("half"),
        )
    )
    return _as_told(order.join(parts, on="part", how="left").with_columns(learner=pl.lit(learner))).sort("person_id")


def _as_told(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, kind).alias(name)
        for name, kind in PERSON_UPLIFT_SCHEMA.items()
    )
