"""A part of the graph of identities instead of all of it: what has to be known of its surroundings.

What belongs here: frames of some identities, for `identity_ledger.py`, which makes of them the very rows that it would
make of all. A part is closed: with an identity come all that links which ever count connect it with.
"""

from __future__ import annotations

import polars as pl


def with_rest_of_crowds(
    identities: pl.DataFrame, links: pl.DataFrame, max_people: dict[str, int], stand_in: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Let as many unknown people share what too many share as it takes, at the moment from which on they are too many.

    Who they are does not matter: whoever comes to a crowd is linked with nobody by it.

    Args:
        identities: as `identity_ledger` takes them, with `crowded_from_at` (UTC): since when too many share a login or
            a device; else null.
        links: as `identity_ledger` takes them, those that ever count, with `crowded_from_at` of what is shared.
        max_people: by kind of identifier (user, email, phone, device), how many may share one.
        stand_in: how the ids of the unknown people begin.

    Returns:
        Identities and links with those of the unknown people, and without `crowded_from_at`.
    """
    of_links = links.filter(pl.col("crowded_from_at").is_not_null()).select(
        "other_kind", "other_id", "crowded_from_at", known=pl.lit(1)
    )
    # A device may be everybody's from the moment on in which it is first anybody's.
    of_devices = identities.filter(pl.col("crowded_from_at").is_not_null(), identity_kind="device").select(
        pl.col("identity_kind").alias("other_kind"),
        pl.col("identity_id").alias("other_id"),
        "crowded_from_at",
        known=pl.lit(0),
    )
    crowds = (
        pl.concat([of_links, of_devices])
        .group_by("other_kind", "other_id", "crowded_from_at")
        .agg(pl.col("known").sum())
        .with_columns(most=pl.col("other_kind").replace_strict(max_people, return_dtype=pl.Int64, default=None))
        .with_columns(place=pl.int_ranges(pl.col("most") + 1 - pl.col("known")))
        .explode("place", empty_as_null=False)
        .select(
            "other_kind",
            "other_id",
            identity_kind=pl.lit("contact"),
            identity_id=pl.lit(f"{stand_in}others:") + pl.col("place").cast(pl.String),
            link_kind=pl.lit("same_") + pl.col("other_kind"),
            linked_from_at=pl.col("crowded_from_at"),
            match_weight=pl.lit(None, pl.Float64),
        )
    )
    people = crowds.group_by("identity_kind", "identity_id").agg(seen_from_at=pl.col("linked_from_at").min())
    identities, links = identities.drop("crowded_from_at"), links.drop("crowded_from_at")
    people = people.with_columns(own_person_id=pl.lit(None)).select(identities.columns).cast(identities.schema)
    return pl.concat([identities, people]), pl.concat([links, crowds.select(links.columns).cast(links.schema)])
