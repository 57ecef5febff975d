"""Who is called high, medium and low, and what that is expected to earn this week.

What belongs here: what bands need from the warehouse: people's amounts, and whether they may be contacted. The rules
stand in `ml/bands.py` and `ml/gains.py`.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from activation.answers import read_frame
from ml.bands import BandRule, Bands
from ml.gains import contactable_people, expected_gains
from orchestration.propensity_task import Asked, rows_of_table
from orchestration.sql import identifier
from orchestration.target_settings import Target


def rule_of(target: Target) -> BandRule:
    """The rule that a target declares."""
    told = target.bands
    return BandRule(
        told.by, told.high, told.medium, told.people, told.medium_people, told.cost, told.value, told.margin
    )


def with_amounts(asked: Asked, rows: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Each person's own amount beside them, where bands need it."""
    amount = asked.target.bands.amount
    if amount is None:
        return rows
    amounts = read_frame(
        asked.connection,
        f"select person_id, cast({identifier(amount)} as double) as amount from features.person_features "
        "where as_of = ?",
        [as_of],
    )
    return rows.join(amounts, on="person_id", how="left", maintain_order="left")


def counts_contactable(asked: Asked) -> bool:
    """Whether bands need to know who may be contacted: a team's capacity is that of contacting people."""
    return asked.target.bands.by == "capacity"


def with_contactable(asked: Asked, people: pl.DataFrame) -> pl.DataFrame:
    """The people with whether they may be contacted, over the channel and for the purpose that audiences are for."""
    audience = asked.workspace.settings.activation
    allowed = read_frame(
        asked.connection,
        "select person_id, true as may_be_contacted from intermediate.int_contactability "
        "where as_of = ? and channel = ? and purpose = ? and is_allowed",
        [asked.week.as_of, audience.channel, audience.purpose],
    )
    listed = people.join(allowed, on="person_id", how="left", maintain_order="left")
    return listed.with_columns(pl.col("may_be_contacted").fill_null(value=False))


def _list_notes(asked: Asked, scored: pl.DataFrame) -> list[str]:
    """Say of a list by capacity how many of it may be contacted."""
    high = scored.filter(pl.col("band") == "high")
    audience = asked.workspace.settings.activation
    allowed = f"may be contacted over {audience.channel} ({audience.purpose})"
    if not scored["may_be_contacted"].any():
        return [f"nobody {allowed}: nobody is on the list"]
    if high.is_empty():
        return []
    count = int(high["may_be_contacted"].sum())
    told = f"{count:,} of the {high.height:,} people on the list {allowed}"
    wanted = asked.target.bands.people or 0
    return [f"{told}; there is capacity for {wanted:,}, and the others as likely take up none of it"]


def banded(
    asked: Asked,
    scores: pl.DataFrame,
    bands: Bands,
    measured: pl.DataFrame | None,
    model_id: str,
    fitted_as_of: date,
) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Put people into bands.

    Args:
        asked: the target.
        scores: person_id and probability of everybody it is predicted of.
        bands: as they were decided.
        measured: the people the model was measured on, with their amounts; None where it stands from an earlier week.
        model_id: of the model.
        fitted_as_of: the week it was fitted in.

    Returns:
        The scores with their bands, what these are expected to earn, and what is to be said of a list.
    """
    people = with_amounts(asked, scores, asked.week.as_of)
    people = with_contactable(asked, people) if counts_contactable(asked) else people
    scored = scores.with_columns(band=bands.names(people), model_id=pl.lit(model_id))
    sizes = dict(scored["band"].value_counts().iter_rows())
    contactable, notes = None, []
    if counts_contactable(asked):
        listed = people.with_columns(scored["band"])
        contactable, notes = contactable_people(listed), _list_notes(asked, listed)
    if measured is not None:
        gains = expected_gains(measured, bands, sizes, asked.seed, contactable)
    else:
        gains = _gains_of(asked, fitted_as_of, sizes, contactable)
    return scored, rows_of_table("propensity_gains", asked, gains), notes


def _gains_of(
    asked: Asked, fitted_as_of: date, sizes: dict[str, int], contactable: pl.DataFrame | None
) -> pl.DataFrame:
    """What was expected when the model was fitted, for as many people as there are now."""
    gains = read_frame(
        asked.connection,
        "select * exclude (as_of, target) from ml.propensity_gains where as_of = ? and target = ? and people > 0 "
        "order by all",
        [fitted_as_of, asked.name],
    )
    now = pl.col("band").replace_strict(sizes, default=0, return_dtype=pl.Int64)
    people = pl.when(pl.col("kind") == "band").then(now).otherwise((pl.col("depth") * sum(sizes.values())).round())
    reached = pl.lit(None, pl.Int64)
    if contactable is not None:
        place = pl.coalesce("band", pl.col("depth").cast(pl.String))
        reach = dict(contactable.select(place, "contactable_people").iter_rows())
        reached = place.replace_strict(reach, default=0, return_dtype=pl.Int64)
    then = pl.col("contactable_people")
    factor = pl.coalesce(reached, people) / pl.coalesce(pl.when(then > 0).then(then), "people")
    return gains.with_columns(
        people=people.cast(pl.Int64),
        contactable_people=reached,
        **{name: pl.col(name) * factor for name in ("profit", "profit_low", "profit_high")},
    )
