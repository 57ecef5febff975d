"""In which order to use the ways of persuading in each group: as observed, else by default, without what is withheld.

What belongs here: from estimates to what a marketer does with them. The estimates are made in `persuasion.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from ml.persuasion import APPROACHES, ESTIMATE_SCHEMA, MESSAGE_STYLES, OBSERVED

ORDER_SCHEMA = {
    **ESTIMATE_SCHEMA,
    "approach_rank": pl.Int64,
    "message_style": pl.String,
    "withheld_reason": pl.String,
}
Segment = tuple[str, str]


@dataclass(frozen=True)
class PersuasionOrders:
    """What is done where nothing is known, and what is not done at all.

    Attributes:
        defaults: Per group (its kind and id) the approaches to use where there is no evidence, the first one first.
        pressure: Approaches that press people.
        spared: Groups that are spared pressure, and why.
        message_styles: What the style of message is called, by the approach that comes first.
    """

    defaults: Mapping[Segment, tuple[str, ...]] = field(default_factory=dict)
    pressure: tuple[str, ...] = ()
    spared: Mapping[Segment, str] = field(default_factory=dict)
    message_styles: Mapping[str, str] = field(default_factory=lambda: MESSAGE_STYLES)


def order_approaches(estimates: pl.DataFrame, orders: PersuasionOrders) -> pl.DataFrame:
    """Say which approach to use first in each group.

    Args:
        estimates: `ESTIMATE_SCHEMA`, a row per group and approach.
        orders: Defaults, and what is withheld.

    Returns:
        `ORDER_SCHEMA`: the estimates with approach_rank, 1 first: by observed_rank where evidence is "observed",
        else the place in the group's default; null of withheld approaches and those without a place; message_style,
        named after the approach with rank 1, null where there is none; withheld_reason; and abstained_reason with
        what is done instead.
    """
    parts = [pl.DataFrame(schema=ORDER_SCHEMA)]
    for (kind, segment), rows in estimates.group_by("segment_type", "segment_id", maintain_order=True):
        key = (str(kind), str(segment))
        default = orders.defaults.get(key, ())
        withheld = set(orders.pressure) if key in orders.spared else set()
        is_observed = rows["evidence"][0] == OBSERVED
        order = _observed_order(rows) if is_observed else list(default)
        used = [approach for approach in order if approach not in withheld]
        instead = "default for this group" if default else "no default is set for this group"
        parts.append(
            rows.with_columns(
                approach_rank=pl.col("approach").replace_strict(
                    used, range(1, len(used) + 1), default=None, return_dtype=pl.Int64
                )
                if used
                else pl.lit(None, pl.Int64),
                message_style=pl.lit(orders.message_styles[used[0]] if used else None, pl.String),
                withheld_reason=pl.when(pl.col("approach").is_in(sorted(withheld))).then(
                    pl.lit(orders.spared.get(key), pl.String)
                ),
                abstained_reason=pl.lit(None, pl.String)
                if is_observed
                else pl.format("no evidence yet: {}; {}", "abstained_reason", pl.lit(instead)),
            ).select(list(ORDER_SCHEMA))
        )
    return pl.concat(parts)


def without_evidence(segments: pl.DataFrame, reason: str) -> pl.DataFrame:
    """The estimates of groups that got no tagged message at all.

    Args:
        segments: segment_type, segment_id.
        reason: Why there is nothing.

    Returns:
        `ESTIMATE_SCHEMA`, a row per group and approach.
    """
    rows = segments.select("segment_type", "segment_id").join(pl.DataFrame({"approach": APPROACHES}), how="cross")
    filled = rows.with_columns(
        sends=pl.lit(0), responses=pl.lit(0), evidence=pl.lit("default"), abstained_reason=pl.lit(reason)
    )
    missing = [name for name in ESTIMATE_SCHEMA if name not in filled.columns]
    return filled.with_columns(pl.lit(None).alias(name) for name in missing).select(
        pl.col(name).cast(kind) for name, kind in ESTIMATE_SCHEMA.items()
    )


def _observed_order(rows: pl.DataFrame) -> list[str]:
    return rows.drop_nulls("observed_rank").sort("observed_rank")["approach"].to_list()
