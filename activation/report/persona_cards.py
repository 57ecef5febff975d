"""Who they are: one card per persona, with what sets it apart from everybody else.

Here belongs the choice of traits and their bars. Names and colours are `identity`.
"""

from dataclasses import dataclass
from math import log2

import polars as pl

from activation.report.identity import Persona
from activation.report.portrait import Portrait, draw_portrait, told_traits
from activation.report.report_data import ReportData
from activation.report.sizes import Sparkline, draw_sparkline
from activation.report.words import (
    capitalized,
    change_words,
    is_small,
    money,
    people_words,
    percent,
    quantity,
)

_MORE, _LESS = 6, 4
_OF_ONE_FAMILY = 3
_NOTICEABLE = 0.1  # standard deviations; below it a difference is not worth a line
_BAR_ENDS_AT = 2.0  # log2 of the index: 25 on the left, 400 on the right
_BAR_ENDS_AT_EFFECT = 2.0  # standard deviations, where no index can be computed


@dataclass(frozen=True)
class Trait:
    """One characteristic of a persona beside everybody's; the bar is in percent of its box, 50 is the average."""

    label: str
    value: str
    base: str
    index: str
    bar_start: float
    bar_width: float
    is_more: bool
    interval: str = ""


@dataclass(frozen=True)
class Likelihood:
    """How likely a persona is to do what is predicted; `average` is empty where it would tell of too few people.

    Where nobody at all is in the high band, for one because it is one with the next, only the means are told.
    """

    label: str
    high_share: str
    high_people: str
    bar_width: float
    average_at: float
    average: str
    mean: str
    mean_of_all: str
    has_high_band: bool


@dataclass(frozen=True)
class PersonaCard:
    """One persona; `is_withheld` where it has so few people that nothing more is said of it."""

    persona: Persona
    is_withheld: bool
    people: str
    share: str
    share_width: float
    revenue: str
    revenue_share: str
    change: str
    direction: str
    reachable: str
    reachable_share: str
    description: str
    sparkline: Sparkline | None
    more: list[Trait]
    less: list[Trait]
    likelihoods: list[Likelihood]
    portrait: Portrait | None = None


def tell_personas(data: ReportData, personas: dict[str, Persona]) -> list[PersonaCard]:
    """Make the cards, the biggest persona first."""
    rows = data.kpis.sort(["people", "segment_id"], descending=[True, False], nulls_last=True)
    return [_tell_persona(row, data, personas[row["segment_id"]]) for row in rows.iter_rows(named=True)]


def _tell_persona(row: dict, data: ReportData, persona: Persona) -> PersonaCard:
    people, minimum = row["people"], data.minimum_cell
    withheld = people is None or is_small(people, minimum)
    traits = data.profiles.clear() if withheld else told_traits(data, persona.persona_id)
    change, direction = _tell_change(row, data)
    more, less = (_choose_traits(traits, *which, data.currency) for which in ((1, _MORE), (-1, _LESS)))
    reachable = row["reachable_people"]
    tells_share = bool(people) and reachable is not None and not is_small(reachable, minimum)
    return PersonaCard(
        persona=persona,
        is_withheld=withheld,
        people=people_words(people, minimum),
        share=percent(row["people_share"]),
        share_width=round(100 * (row["people_share"] or 0), 2),
        revenue=money(row["revenue"], data.currency) if row["revenue"] is not None else "",
        revenue_share=percent(row["revenue_share"]) if row["revenue_share"] is not None else "",
        change=change,
        direction=direction,
        reachable=people_words(reachable, minimum),
        reachable_share=percent(reachable / people) if tells_share else "",
        description=row["description"] or "",
        sparkline=None if withheld else draw_sparkline(data, persona.persona_id),
        more=more,
        less=less,
        likelihoods=[] if withheld else _tell_likelihoods(data, persona.persona_id, people),
        portrait=None if withheld else draw_portrait(row, data, persona, [trait.label for trait in (*more, *less)]),
    )


def _tell_change(row: dict, data: ReportData) -> tuple[str, str]:
    before = row["previous_people"]
    if is_small(before, data.minimum_cell):
        return f"{people_words(before, data.minimum_cell)} last week", "up"
    if before is None:
        weeks_before = data.history.filter(pl.col("as_of") < data.as_of)
        is_new = weeks_before.height > 0 and row["segment_id"] not in weeks_before["segment_id"]
        return ("new this week", "new") if is_new else ("no earlier week to compare with", "unknown")
    moved = (row["people"] or 0) - before
    words = f"{change_words(row['people'] or 0, before)} than last week" if moved else "unchanged since last week"
    return words, "up" if moved > 0 else "down" if moved < 0 else "flat"


def _choose_traits(traits: pl.DataFrame, direction: int, wanted: int, currency: str) -> list[Trait]:
    """Choose what sets a persona apart most, by effect size, at most three of one family unless too few are left."""
    log_index = pl.when(pl.col("index_value") > 0).then((pl.col("index_value") / 100).log(2))
    ranked = (
        traits.with_columns(strength=direction * pl.coalesce("effect_size", log_index).fill_nan(0))
        .filter(pl.col("strength") >= _NOTICEABLE)
        .sort(["strength", "characteristic", "label"], descending=[True, False, False])
        .with_columns(place=pl.int_range(pl.len()).over("family"))
    )
    chosen = pl.concat(
        [ranked.filter(pl.col("place") < _OF_ONE_FAMILY), ranked.filter(pl.col("place") >= _OF_ONE_FAMILY)]
    ).head(wanted)
    return [_tell_trait(row, currency) for row in chosen.sort("strength", descending=True).iter_rows(named=True)]


def _tell_trait(row: dict, currency: str) -> Trait:
    index, effect = row["index_value"], row["effect_size"]
    if index is not None and index >= 0:
        reach = log2(index / 100) / _BAR_ENDS_AT if index > 0 else -1.0
    else:
        reach = effect / _BAR_ENDS_AT_EFFECT
    width = 50 * min(abs(reach), 1.0)
    return Trait(
        label=capitalized(row["label"] or row["characteristic"]),
        value=quantity(row["segment_value"], row, currency),
        base=quantity(row["base_value"], row, currency),
        index="" if index is None else f"{index:,.0f}",
        bar_start=round(50 if reach > 0 else 50 - width, 2),
        bar_width=round(width, 2),
        is_more=reach > 0,
        interval=_interval(row),
    )


def _interval(row: dict) -> str:
    """What chance leaves open of the index (95 %)."""
    low, high = row["index_low"], row["index_high"]
    return "" if low is None or high is None else f"{low:,.0f} to {high:,.0f}"


def _tell_likelihoods(data: ReportData, persona_id: str, people: int) -> list[Likelihood]:
    likelihoods = []
    rows = data.propensity_by_segment.filter(pl.col("segment_id") == persona_id).sort("target")
    for row in rows.iter_rows(named=True):
        target = data.propensity.filter(pl.col("target") == row["target"])
        high = row["high_people"]
        if target.is_empty() or row["mean_probability"] is None or high is None:
            continue
        everybody = int(target["people"].sum())
        high_of_all = int(target.filter(pl.col("band") == "high")["people"].sum())
        tells_average = everybody > 0 and not is_small(high_of_all, data.minimum_cell)
        average = high_of_all / everybody if tells_average else 0.0
        is_hidden = is_small(high, data.minimum_cell)
        mean_of_all = float((target["mean_probability"] * target["people"]).sum()) / everybody if everybody else 0.0
        share = high / people if people else 0.0
        likelihoods.append(
            Likelihood(
                label=target["label"][0] or row["target"],
                high_share="" if is_hidden else percent(share),
                high_people=people_words(high, data.minimum_cell),
                bar_width=0.0 if is_hidden else round(100 * min(share, 1.0), 2),
                average_at=round(100 * min(average, 1.0), 2),
                average=percent(average) if tells_average else "",
                mean=percent(row["mean_probability"]),
                mean_of_all=percent(mean_of_all),
                has_high_band=high_of_all > 0,
            )
        )
    return likelihoods
