"""What is likely next: how many people will probably do what is predicted, who, and how far to believe it.

Here belongs the plain-word reading of a model's quality. The model itself is made elsewhere.
"""

from dataclasses import dataclass

import polars as pl

from activation.report.identity import Persona
from activation.report.report_data import ReportData
from activation.report.words import capitalized, count, is_small, number, people_words, percent

_BANDS = ("high", "medium", "low")


@dataclass(frozen=True)
class Band:
    """The people of one band."""

    name: str
    people: str
    share: str
    bar_width: float
    mean: str
    lift: str


@dataclass(frozen=True)
class PersonaOutlook:
    """One persona's mean probability; the bar compares it with the highest."""

    persona: Persona
    mean: str
    bar_width: float
    high_people: str


@dataclass(frozen=True)
class TargetView:
    """One thing that is predicted."""

    label: str
    abstained_reason: str
    expected: str
    bands: list[Band]
    by_persona: list[PersonaOutlook]
    quality: list[str]
    small_print: str


def tell_outlook(data: ReportData, personas: dict[str, Persona]) -> list[TargetView]:
    """Tell every target, in order of its label."""
    named = pl.concat([data.propensity.select("target", "label"), data.propensity_models.select("target", "label")])
    labels = {target: label or target for target, label in named.drop_nulls("target").unique("target").iter_rows()}
    return [
        _tell_target(target, label, data, personas)
        for target, label in sorted(labels.items(), key=lambda item: (item[1], item[0]))
    ]


def expected_people(data: ReportData, target: str) -> float | None:
    """Add up everybody's probability for a target: how many will do it if the probabilities are true."""
    rows = data.propensity.filter(pl.col("target") == target).drop_nulls(["people", "mean_probability"])
    return None if rows.is_empty() else float((rows["people"] * rows["mean_probability"]).sum())


def _tell_target(target: str, label: str, data: ReportData, personas: dict[str, Persona]) -> TargetView:
    model = next(data.propensity_models.filter(pl.col("target") == target).iter_rows(named=True), None)
    reason = (model["abstained_reason"] or "") if model else ""
    expected = expected_people(data, target)
    if reason or expected is None:
        return TargetView(label, reason or "no probabilities were delivered for this week", "", [], [], [], "")
    everybody = int(data.propensity.filter(pl.col("target") == target)["people"].sum())
    expected_words = people_words(round(expected), data.minimum_cell)
    return TargetView(
        label=label,
        abstained_reason="",
        expected=f"Expected: about {expected_words} of {everybody:,} people, the sum of everybody’s probability.",
        bands=_tell_bands(target, everybody, expected / everybody if everybody else 0.0, data),
        by_persona=_tell_personas(target, data, personas),
        quality=_tell_quality(model) if model else [],
        small_print=_tell_small_print(model) if model else "",
    )


def _tell_bands(target: str, everybody: int, mean: float, data: ReportData) -> list[Band]:
    rows = data.propensity.filter(pl.col("target") == target, pl.col("band").is_not_null())
    ordered = sorted(
        rows.iter_rows(named=True),
        key=lambda row: (_BANDS.index(row["band"]) if row["band"] in _BANDS else len(_BANDS), row["band"]),
    )
    bands = []
    for row in ordered:
        people, probability = row["people"] or 0, row["mean_probability"]
        is_hidden = is_small(people, data.minimum_cell)
        share = people / everybody if everybody else 0.0
        tells_lift = not is_hidden and probability is not None and mean > 0
        bands.append(
            Band(
                name=capitalized(row["band"]),
                people=people_words(people, data.minimum_cell),
                share="" if is_hidden else percent(share),
                bar_width=0.0 if is_hidden else round(100 * share, 2),
                mean="" if is_hidden else percent(probability),
                lift=f"{number(round(probability / mean, 1))} times the average" if tells_lift else "",
            )
        )
    return bands


def _tell_personas(target: str, data: ReportData, personas: dict[str, Persona]) -> list[PersonaOutlook]:
    withheld = {
        persona_id
        for persona_id, people in data.kpis.select("segment_id", "people").iter_rows()
        if is_small(people, data.minimum_cell)
    }
    rows = (
        data.propensity_by_segment.filter(pl.col("target") == target, ~pl.col("segment_id").is_in(withheld))
        .drop_nulls(["segment_id", "mean_probability"])
        .sort(["mean_probability", "segment_id"], descending=[True, False])
    )
    highest = max(rows["mean_probability"].to_list(), default=0.0) or 1.0
    return [
        PersonaOutlook(
            persona=personas[row["segment_id"]],
            mean=percent(row["mean_probability"]),
            bar_width=round(100 * row["mean_probability"] / highest, 2),
            high_people=people_words(row["high_people"], data.minimum_cell),
        )
        for row in rows.iter_rows(named=True)
        if row["segment_id"] in personas
    ]


def _tell_quality(model: dict) -> list[str]:
    sentences = []
    if model["auc"] is not None:
        sentences.append(f"{_verdict(model)} {auc_words(model['auc'], model['auc_low'], model['auc_high'])}")
    if model["calibration_error"] is not None:
        sentences.append(calibration_words(model["calibration_error"], model["base_rate"]))
    skill = _brier_skill(model)
    if skill is not None and skill > 0:
        sentences.append(f"Its squared error is {percent(skill)} smaller than that of giving everybody the average.")
    elif skill is not None:
        sentences.append("Its squared error is no smaller than that of giving everybody the average.")
    return sentences


def auc_words(auc: float, low: float | None, high: float | None) -> str:
    """Say what an area under the ROC curve means: the chance that a pair of people is put in the right order."""
    interval = f" (between {100 * low:.0f} and {100 * high:.0f}, with 95% confidence)" if low and high else ""
    return (
        "Put somebody who did it beside somebody who did not: the model gives the first one the higher probability in "
        f"{100 * auc:.0f} of 100 such pairs{interval}. Guessing gets 50."
    )


def calibration_words(error: float, base_rate: float | None) -> str:
    """Say how far stated probabilities were from what happened, and what they may be used for.

    Args:
        error: Mean absolute difference between stated and observed share, 0 to 1.
        base_rate: Share of people who did it, 0 to 1; an error means more where few do.
    """
    relative = error / base_rate if base_rate else None
    off = f"What it states was off by {number(round(100 * error, 1))} in 100 on average"
    if relative is None or relative < 0.15:
        return f"{off}: its probabilities can be read as shares, so sums of them can be planned with."
    if relative < 0.4:
        return f"{off}: its probabilities are roughly right, sums of them are good to plan with."
    return f"{off}, much for something that {percent(base_rate)} do: trust its order of people more than its numbers."


def _verdict(model: dict) -> str:
    if (model["auc_low"] or model["auc"]) <= 0.5:
        return "The model may be no better than guessing."
    for floor, words in ((0.9, "very well"), (0.8, "well"), (0.7, "fairly well"), (0.6, "a little")):
        if model["auc"] >= floor:
            return f"The model tells people apart {words}."
    return "The model hardly tells people apart."


def _brier_skill(model: dict) -> float | None:
    brier, rate = model["brier"], model["base_rate"]
    if brier is None or rate is None or not 0 < rate < 1:
        return None
    return 1 - brier / (rate * (1 - rate))


def _tell_small_print(model: dict) -> str:
    parts = [f"Model: {(model['algorithm'] or 'not stated').replace('_', ' ')}"]
    if model["training_rows"] is not None:
        parts.append(f"learned from {count(model['training_rows'])} rows")
    figures = {
        "AUC": "auc",
        "log loss": "log_loss",
        "Brier score": "brier",
        "calibration error": "calibration_error",
    }
    parts += [f"{name} {model[key]:.3f}" for name, key in figures.items() if model[key] is not None]
    if model["base_rate"] is not None:
        parts.append(f"{percent(model['base_rate'])} did it in the weeks it was tested on")
    return "; ".join(parts) + "."
