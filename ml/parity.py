"""Whether people who are chosen are of the same gender, age and region as those they are chosen from.

Here belongs the comparison of shares. What a group is, comes with the rows; no model ever learns from these columns.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

PARITY_SCHEMA = {
    "attribute": pl.String,
    "group": pl.String,
    "base_people": pl.Int64,
    "base_share": pl.Float64,
    "seed_share": pl.Float64,
    "chosen_share": pl.Float64,
    "chosen_low": pl.Float64,
    "chosen_high": pl.Float64,
    "ratio": pl.Float64,
    "is_off": pl.Boolean,
}
OTHERS = "(others)"
UNKNOWN = "(unknown)"
FOUR_FIFTHS = 0.8
"""A share below four fifths of the base's, or above five fourths, is told (the rule of thumb of the US Uniform
Guidelines on Employee Selection Procedures, 1978, 29 CFR 1607.4 D; here a threshold to look, not a legal test)."""
STANDARD_ERRORS = 3.0


def parity(
    base: pl.DataFrame, is_seed: str, is_chosen: str, attributes: Sequence[str], minimum_people: int
) -> pl.DataFrame:
    """Compare the shares of groups among the chosen, the seed and everybody.

    Groups of fewer than `minimum_people` of the base, of the seed or of the chosen are told together as `(others)`, and
    where these are still too few, with the smallest other group, so that nobody is told by subtraction.

    Args:
        base: One row per person: the attributes as texts (null where unknown), and two truth values.
        is_seed: Column that says who is in the seed.
        is_chosen: Column that says who is chosen.
        attributes: The columns with groups.
        minimum_people: Fewest people of a group that is told.

    Returns:
        `PARITY_SCHEMA` by attribute and group. Shares are of everybody, of the seed (null where it has fewer than
        `minimum_people`) and of the chosen, with a 95 % interval; ratio is the chosen's share over everybody's; is_off
        where it is outside four fifths to five fourths and more than three standard errors from 1. An attribute with a
        single group, or of which nobody chosen is known, is left out.
    """
    rows = []
    for attribute in attributes:
        counts = _counts(base, attribute, is_seed, is_chosen, minimum_people)
        if counts is None:
            continue
        total = {name: int(counts[name].sum()) for name in ("people", "seed", "chosen")}
        for row in counts.sort("group").iter_rows(named=True):
            rows.append({"attribute": attribute, **_compared(row, total, minimum_people)})
    return pl.DataFrame(rows, schema=PARITY_SCHEMA)


def parity_in_words(found: pl.DataFrame) -> list[str]:
    """A sentence for each group that is chosen more or less often than it is there."""
    return [
        f"{row['attribute']} {row['group']}: {row['chosen_share']:.0%} of the look-alikes, {row['base_share']:.0%} of "
        "everybody" + (f", {row['seed_share']:.0%} of the seed" if row["seed_share"] is not None else "")
        for row in found.filter("is_off").iter_rows(named=True)
    ]


def _counts(
    base: pl.DataFrame, attribute: str, is_seed: str, is_chosen: str, minimum_people: int
) -> pl.DataFrame | None:
    counts = (
        base.select(
            pl.col(attribute).cast(pl.String).fill_null(UNKNOWN).alias("group"),
            pl.col(is_seed).alias("seed"),
            pl.col(is_chosen).alias("chosen"),
        )
        .group_by("group")
        .agg(pl.len().alias("people"), pl.col("seed").sum(), pl.col("chosen").sum())
        .sort("people", "group")
    )
    known = counts.filter(pl.col("group") != UNKNOWN)
    if known.is_empty() or not int(known["chosen"].sum()):
        return None
    is_small = pl.any_horizontal(
        (pl.col(name) > 0) & (pl.col(name) < minimum_people) for name in ("people", "seed", "chosen")
    )
    small, rest = counts.filter(is_small), counts.filter(~is_small)
    while small.height and rest.height and _too_few(small, minimum_people):
        small, rest = pl.concat([small, rest.head(1)]), rest.slice(1)
    if small.height:
        together = small.select(pl.lit(OTHERS).alias("group"), pl.col("people", "seed", "chosen").sum())
        counts = pl.concat([rest, together])
    return counts if counts.height > 1 and counts["people"].min() >= minimum_people else None  # type: ignore[operator]


def _too_few(rows: pl.DataFrame, minimum_people: int) -> bool:
    return any(0 < int(rows[name].sum()) < minimum_people for name in ("people", "seed", "chosen"))


def _compared(row: dict[str, int | str], total: dict[str, int], minimum_people: int) -> dict[str, object]:
    base = int(row["people"]) / total["people"]
    chosen = int(row["chosen"]) / total["chosen"]
    error = float(np.sqrt(base * (1 - base) / total["chosen"]))
    half = 1.96 * float(np.sqrt(chosen * (1 - chosen) / total["chosen"]))
    ratio = chosen / base
    is_far = ratio < FOUR_FIFTHS or ratio > 1 / FOUR_FIFTHS
    return {
        "group": row["group"],
        "base_people": row["people"],
        "base_share": base,
        "seed_share": int(row["seed"]) / total["seed"] if total["seed"] >= minimum_people else None,
        "chosen_share": chosen,
        "chosen_low": max(0.0, chosen - half),
        "chosen_high": min(1.0, chosen + half),
        "ratio": ratio,
        "is_off": bool(is_far and abs(chosen - base) > STANDARD_ERRORS * error),
    }
