"""A persona in prose and small pictures: one paragraph, its typical week, where its people stand, who is typical.

Here belong sentences about one persona. Each is made from figures of the same week; a figure that is not known is not
spoken of, and nothing is said that no figure says. Numbers decide between wordings, and the persona's mark between
those that mean the same, so that ten cards do not read like one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from activation.report.identity import Persona
from activation.report.report_data import ReportData
from activation.report.suppression import hidden_parts
from activation.report.words import capitalized, is_small, listed, percent, quantity

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = range(24)
_PEAK_HOURS = 3
STAGES = ("new", "active", "cooling", "dormant")
_STRIKING = 0.35  # standard deviations from which a trait is worth a sentence
_CLEARLY_MORE, _CLEARLY_LESS = 1.4, 0.7
_PREFERENCE_FAMILIES = ("messages", "product", "purchases")
_EVENT = re.compile(r"(.+) \(last (\d+) weeks\)")
_SHARE = re.compile(r"Share of (activity (?:in|at|during|on) .+)")
_COUNTED = re.compile(r"days since |active (?:days|weeks) |[a-z -]+s (?:in|of) (?:a year|\d+)")
_ALWAYS_A_PREFERENCE = ("mobile_events_share_91d",)
_PREFERENCES = 4


@dataclass(frozen=True)
class HeatCell:
    """One hour of one weekday.

    Attributes:
        moment: "Monday, 9 to 10".
        shade: 0 to 1, as a share of the busiest hour; None where too few people are in it to be shown.
        share: How much of their active hours this is, in words.
    """

    moment: str
    shade: float | None
    share: str


@dataclass(frozen=True)
class StagePart:
    """Where a part of the persona's people stand."""

    stage: str
    share: str
    width: float


@dataclass(frozen=True)
class Preference:
    """A channel or kind of content people use more, or less, than everybody."""

    label: str
    words: str
    is_more: bool


@dataclass(frozen=True)
class TypicalPerson:
    """Somebody in the middle of the persona, under a name that means nothing and changes every week."""

    pseudonym: str
    traits: list[tuple[str, str]]


@dataclass(frozen=True)
class Portrait:
    """Everything a card shows beyond figures and traits."""

    paragraph: str
    heat: list[tuple[str, list[HeatCell]]]
    stages: list[StagePart]
    preferences: list[Preference]
    typical: list[TypicalPerson]


def told_traits(data: ReportData, persona_id: str) -> pl.DataFrame:
    """A persona's characteristics but those that chance may explain: of which 100 lies within the index's interval."""
    may_be_chance = (pl.col("index_low") <= 100) & (pl.col("index_high") >= 100)
    return data.profiles.filter((pl.col("segment_id") == persona_id) & ~may_be_chance.fill_null(False))


def draw_portrait(row: dict, data: ReportData, persona: Persona, shown: Sequence[str] = ()) -> Portrait:
    """Draw one persona.

    Args:
        row: Its row of `data.kpis`.
        data: The week.
        persona: Its name and mark.
        shown: Labels of characteristics that the card shows already.
    """
    traits = told_traits(data, persona.persona_id)
    heat = _heat(data, persona)
    stages = _stages(data, persona)
    sentences = [
        _say_size(row, persona),
        _say_more(traits, persona, data.currency),
        _say_less(traits, persona, data.currency),
        _say_rhythm(data, persona),
        _say_stage(data, persona, row["people"]),
        _say_reach(row, data),
    ]
    return Portrait(
        paragraph=" ".join(sentence for sentence in sentences if sentence),
        heat=heat,
        stages=stages,
        preferences=_preferences(traits, shown, data.currency),
        typical=_typical(data, persona),
    )


def _turn(persona: Persona, *wordings: str) -> str:
    place = int(persona.mark) if persona.mark.isdigit() else 0
    return wordings[place % len(wordings)]


def _say_size(row: dict, persona: Persona) -> str:
    people, share, revenue = row["people"], row["people_share"], row["revenue_share"]
    opening = _turn(
        persona,
        f"{people:,} people belong here, {percent(share)} of everybody",
        f"With {people:,} people, this persona holds {percent(share)} of everybody",
        f"{percent(share)} of everybody, {people:,} people, are of this kind",
    )
    if revenue is None or not share:
        return f"{opening}."
    weight = revenue / share
    told = f"{percent(revenue)} of the revenue"
    if weight >= _CLEARLY_MORE:
        return f"{opening}, and they bring in {told}: more than their number would suggest."
    if weight <= _CLEARLY_LESS:
        return f"{opening}, but only {told} comes from them."
    return f"{opening}, and about as much of the revenue ({percent(revenue)}) comes from them."


def _say_more(traits: pl.DataFrame, persona: Persona, currency: str) -> str:
    chosen = _striking(traits, 1)
    if not chosen:
        return "In everything that is measured they are close to the average."
    first, *others = chosen
    lead = _turn(
        persona,
        "What sets them apart most is",
        "They are known best by",
        "Nothing marks them as clearly as",
    )
    told = f"{lead} {_trait_words(first, currency)}"
    if others:
        told += _turn(persona, "; they also stand out by ", "; next come ", "; typical, too, are ")
        told += listed([_trait_words(other, currency) for other in others[:2]])
    return f"{told}."


def _say_less(traits: pl.DataFrame, persona: Persona, currency: str) -> str:
    chosen = _striking(traits, -1)[:2]
    if not chosen:
        return ""
    lead = _turn(persona, "They are below the average in", "Less is seen of them in", "They fall behind in")
    first, *others = chosen
    return f"{lead} {listed([_beside_everybody(first, currency), *(_label_words(one) for one in others)])}."


def _striking(traits: pl.DataFrame, direction: int) -> list[dict]:
    """Up to three traits, each of another family, so that a sentence does not say one thing three times."""
    ranked = (
        traits.drop_nulls("effect_size")
        .with_columns(strength=direction * pl.col("effect_size"))
        .filter(pl.col("strength") >= _STRIKING)
        .sort(["strength", "characteristic"], descending=[True, False])
        .unique("family", keep="first", maintain_order=True)
    )
    return ranked.head(3).rows(named=True)


def _label_words(row: dict) -> str:
    """A characteristic in the middle of a sentence; an abbreviation keeps its capital."""
    label = row["label"] or row["characteristic"]
    if event := _EVENT.fullmatch(label):
        return f"“{event[1]}”"
    if row["kind"] == "category" and ": " in label:
        what, level = label.split(": ", 1)
        return f"the {what[:1].lower()}{what[1:]} “{level}”"
    words = label if label[1:2].isupper() else label[:1].lower() + label[1:]
    return f"the {words}" if words.startswith(("mean ", "share ", "trend ")) else words


def _trait_words(row: dict, currency: str) -> str:
    """The same with figures: `9.1 active days in 4 weeks, twice everybody’s 4.5`."""
    label, value, base = row["label"] or row["characteristic"], row["segment_value"], row["base_value"]
    words = _label_words(row)
    if row["kind"] != "number" or row["unit"] == "share":
        if share := _SHARE.fullmatch(label):
            return f"their {share[1]} ({percent(value)} of all they do, against {percent(base)})"
        return f"{words} ({percent(value)} against {percent(base)})"
    own, everybody = (quantity(one, row, currency, says_unit=False) for one in (value, base))
    is_times = base and base > 0 and value / base >= 1.95
    beside = f"{_times(value / base)} everybody’s {everybody}" if is_times else f"against {everybody} of everybody"
    if event := _EVENT.fullmatch(label):
        return f"{words}, {own} times in {event[2]} weeks, {beside}"
    if _COUNTED.match(words):
        return f"{own} {words}, {beside}"
    return f"{words} ({own} on average, {beside})"


def _beside_everybody(row: dict, currency: str) -> str:
    """A characteristic with both figures in brackets: `page views in 13 weeks (2.5 against 5.8)`."""
    own, everybody = (quantity(row[name], row, currency, says_unit=False) for name in ("segment_value", "base_value"))
    return f"{_label_words(row)} ({own} against {everybody})"


def _times(ratio: float) -> str:
    rounded = round(ratio, 1) if ratio < 10 else round(ratio)
    return "twice" if 1.95 <= ratio < 2.05 else f"{rounded:g} times"


def _week(data: ReportData, persona: Persona) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Active hours by weekday and hour of the day, (7, 24), and which of them too few people are in to be shown.

    Those are 0 in the first; nothing is made of a part of the week whose hours are hidden.
    """
    cells = data.rhythms.filter(
        (pl.col("segment_id") == persona.persona_id)
        & pl.col("weekday").is_between(1, len(WEEKDAYS))
        & pl.col("hour").is_in(HOURS)
    )
    active, people = np.zeros((2, len(WEEKDAYS), len(HOURS)))
    places = (cells["weekday"].to_numpy() - 1, cells["hour"].to_numpy())
    active[places], people[places] = cells["active_hours"].to_numpy(), cells["people"].to_numpy()
    is_hidden = (people > 0) & (people < data.minimum_cell)
    return np.where(is_hidden, 0.0, active), is_hidden


def _heat(data: ReportData, persona: Persona) -> list[tuple[str, list[HeatCell]]]:
    if data.rhythms.is_empty():
        return []
    active, is_hidden = _week(data, persona)
    most, total = active.max(), active.sum()
    if not most or is_hidden.sum() > np.count_nonzero(active):  # a few hours among hatched ones are no week
        return []

    def cell(day: int, hour: int) -> HeatCell:
        moment = f"{WEEKDAYS[day]}, {hour} to {hour + 1}"
        if is_hidden[day, hour]:
            return HeatCell(moment, None, "too few people")
        return HeatCell(moment, round(float(active[day, hour] / most), 3), percent(active[day, hour] / total))

    return [(weekday, [cell(day, hour) for hour in HOURS]) for day, weekday in enumerate(WEEKDAYS)]


def _say_rhythm(data: ReportData, persona: Persona) -> str:
    """Say when the busiest three hours of the week are, of those of which every hour may be shown."""
    if data.rhythms.is_empty():
        return ""
    active, is_hidden = _week(data, persona)
    if is_hidden.sum() > np.count_nonzero(active):
        return ""
    total = active.sum()
    windows = np.lib.stride_tricks.sliding_window_view(active, _PEAK_HOURS, axis=1).sum(axis=2)
    is_open = ~np.lib.stride_tricks.sliding_window_view(is_hidden, _PEAK_HOURS, axis=1).any(axis=2)
    windows = np.where(is_open, windows, 0.0)
    if not windows.max():
        return ""
    day, hour = np.unravel_index(windows.argmax(), windows.shape)
    moment = f"{WEEKDAYS[int(day)]} between {hour} and {hour + _PEAK_HOURS} o’clock"
    weekend = float(active[5:].sum() / total)
    late = float((active[:, :6].sum() + active[:, 18:].sum()) / total)
    told = _turn(
        persona,
        f"Their week peaks on {moment}",
        f"The busiest time of their week is {moment}",
        f"They are met most on {moment}",
    )
    if weekend < 0.33 and late >= 0.45:
        return f"{told}, and {percent(late)} of their active hours lie after six in the evening or at night."
    if 2 * is_hidden[5:].sum() > is_hidden[5:].size:
        return f"{told}; on the weekend too few of them are active to tell more."
    beside = ", and" if weekend >= 0.33 else ";"
    return f"{told}{beside} {percent(weekend)} of their active hours fall on the weekend."


def _stage_counts(data: ReportData, persona_id: str | None = None) -> dict[str, int]:
    rows = data.stages if persona_id is None else data.stages.filter(pl.col("segment_id") == persona_id)
    counts = dict(rows.group_by("stage").agg(pl.col("people").sum()).iter_rows())
    return {stage: int(counts.get(stage, 0)) for stage in STAGES if rows.height}


def _stages(data: ReportData, persona: Persona) -> list[StagePart]:
    counts = _stage_counts(data, persona.persona_id)
    total = sum(counts.values())
    if not total:
        return []
    hidden = hidden_parts(counts, data.minimum_cell)
    return [
        StagePart(
            stage,
            "too few to tell" if stage in hidden else percent(people / total),
            0.0 if stage in hidden else round(100 * people / total, 2),
        )
        for stage, people in counts.items()
        if people
    ]


def _say_stage(data: ReportData, persona: Persona, people: int) -> str:
    """Say the stage in which the persona differs most from everybody."""
    counts, everybody = _stage_counts(data, persona.persona_id), _stage_counts(data)
    total, total_of_all = sum(counts.values()), sum(everybody.values())
    if not total or not total_of_all:
        return ""
    hidden = hidden_parts(counts, data.minimum_cell)
    gaps = [
        (abs(counts[stage] / total - everybody[stage] / total_of_all), stage)
        for stage in counts
        if stage not in hidden and counts[stage] > 0
    ]
    if not gaps:
        return ""
    _, stage = max(gaps, key=lambda gap: (gap[0], -STAGES.index(gap[1])))
    share, of_all = percent(counts[stage] / total), percent(everybody[stage] / total_of_all)
    said = {
        "new": f"{share} of them are new, against {of_all} of everybody",
        "active": f"{share} of them were active of late, against {of_all} of everybody",
        "cooling": f"{share} of them are cooling down, against {of_all} of everybody",
        "dormant": f"{share} of them are dormant, against {of_all} of everybody",
    }[stage]
    return f"{said}."


def _say_reach(row: dict, data: ReportData) -> str:
    people, reachable = row["people"], row["reachable_people"]
    if not people or reachable is None or is_small(reachable, data.minimum_cell):
        return ""
    if is_small(people - reachable, data.minimum_cell):
        return "Nearly all of them may be contacted."
    return f"{percent(reachable / people)} of them may be contacted."


def _preferences(traits: pl.DataFrame, shown: Sequence[str], currency: str) -> list[Preference]:
    wanted = traits.filter(
        pl.col("family").is_in(_PREFERENCE_FAMILIES) | pl.col("characteristic").is_in(_ALWAYS_A_PREFERENCE)
    ).drop_nulls("effect_size")
    ranked = (
        wanted.filter(pl.col("effect_size").abs() >= 0.2)
        .with_columns(strength=pl.col("effect_size").abs())
        .sort(["strength", "characteristic"], descending=[True, False])
    )
    found = []
    for row in ranked.iter_rows(named=True):
        label = capitalized(row["label"] or row["characteristic"])
        if label not in shown:
            value, base = (
                quantity(row[name], row, currency, says_unit=False) for name in ("segment_value", "base_value")
            )
            found.append(Preference(label, f"{value} against {base}", row["effect_size"] > 0))
    return found[:_PREFERENCES]


def _typical(data: ReportData, persona: Persona) -> list[TypicalPerson]:
    rows = data.typical.filter(pl.col("segment_id") == persona.persona_id).sort("pseudonym", "place")
    people: dict[str, list[tuple[str, str]]] = {}
    for pseudonym, label, kind, unit, value in rows.select("pseudonym", "label", "kind", "unit", "value").iter_rows():
        coarse = value if kind != "number" or unit == "share" else _coarse(value)
        shown = quantity(coarse, {"kind": kind, "unit": unit}, data.currency, says_unit=False)
        people.setdefault(pseudonym, []).append((label, shown))
    return [TypicalPerson(pseudonym, traits) for pseudonym, traits in people.items()]


def _coarse(value: float | None) -> float | None:
    """Two significant digits: enough for a picture, too few to look somebody up by."""
    return None if value is None else float(f"{value:.2g}")
