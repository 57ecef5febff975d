"""Who moved from one persona to another, and for whom only a boundary was drawn anew.

Here belongs comparing this week's placing with the one before; placing people stands in `persona_tracking`.
"""

from typing import Any

import polars as pl


def tell_movement(
    placed: pl.DataFrame, under_previous_model: pl.DataFrame | None, incumbents: pl.DataFrame
) -> pl.DataFrame:
    """Tell real movement from boundaries that were drawn anew.

    A person *moved* when last week's model, too, puts them elsewhere this week. Where only the new model does, the
    ruler moved and not the person: *redrawn*.

    Args:
        placed: As `place_people` returns it, with this week's model.
        under_previous_model: The same people with last week's model; None where it is the same one.
        incumbents: person_id, persona_id of the week before.

    Returns:
        `placed` with previous_model_persona_id (where last week's model puts the person this week) and movement:
        "moved", "redrawn", "stayed", or null where the person was in no persona the week before.
    """
    same = placed if under_previous_model is None else under_previous_model
    joined = placed.join(
        same.select("person_id", previous_model_persona_id="persona_id"),
        on="person_id",
        how="left",
        maintain_order="left",
    ).join(incumbents.select("person_id", __before="persona_id"), on="person_id", how="left", maintain_order="left")
    return joined.with_columns(
        movement=pl.when(pl.col("__before").is_null())
        .then(None)
        .when(pl.col("persona_id") == pl.col("__before"))
        .then(pl.lit("stayed"))
        .when(pl.col("previous_model_persona_id") == pl.col("__before"))
        .then(pl.lit("redrawn"))
        .otherwise(pl.lit("moved"))
    ).drop("__before")


def count_movement(tracked: pl.DataFrame) -> dict[str, Any]:
    """How many moved, were redrawn, and would have been moved by the new model alone.

    Args:
        tracked: As `tell_movement` returns it.

    Returns:
        moved, redrawn, stayed and joined as people; by_refit_alone, people whom this week's model puts elsewhere than
        last week's does.
    """
    counts = dict(tracked.group_by("movement").len().iter_rows())
    return {
        "moved": counts.get("moved", 0),
        "redrawn": counts.get("redrawn", 0),
        "stayed": counts.get("stayed", 0),
        "joined": counts.get(None, 0),
        "by_refit_alone": tracked.filter(pl.col("persona_id") != pl.col("previous_model_persona_id")).height,
    }
