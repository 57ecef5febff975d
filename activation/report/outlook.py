"""What is likely next: how many people will probably do what is predicted, who, and how far to believe it.

Here belongs the plain-word reading of a model's quality. The model itself is made elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from activation.report.curves import Chart
from activation.report.identity import Persona
from activation.report.outlook_charts import tell_charts
from activation.report.report_data import ReportData
from activation.report.words import capitalized, count, is_small, money, number, people_words, percent, short_day

_BANDS = ("high", "medium", "low")


@dataclass(frozen=True)
class Band:
    """The people of one band, and what it is expected to earn."""

    name: str
    people: str
    share: str
    bar_width: float
    mean: str
    lift: str
    observed: str = ""
    profit: str = ""


@dataclass(frozen=True)
class PersonaOutlook:
    """One persona's mean probability; the bar compares it with the highest."""

    persona: Persona
    mean: str
    bar_width: float
    high_people: str
    medium_people: str
    low_people: str


@dataclass(frozen=True)
class PastWeek:
    """What was said of one past week, and what came."""

    scored: str
    people: str
    predicted: str
    observed: str
    error: str
    auc: str
    verdict: str


@dataclass(frozen=True)
class GroupOutlook:
    """One group of people whose probabilities are compared with what was observed."""

    attribute: str
    group: str
    people: str
    predicted: str
    observed: str
    auc: str
    verdict: str


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
    action: str = ""
    not_eligible: list[str] = field(default_factory=list)
    band_notes: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    earnings: list[str] = field(default_factory=list)
    moved_by: list[tuple[str, float]] = field(default_factory=list)
    past: list[PastWeek] = field(default_factory=list)
    past_by_segment: list[PastWeek] = field(default_factory=list)
    groups: list[GroupOutlook] = field(default_factory=list)
    refit: str = ""


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
    action = (model["action"] or "") if model else ""
    notes = _of(data.propensity_notes, target).drop_nulls("words").sort("words")
    not_eligible = [
        f"{row['words']}: {people_words(row['people'], data.minimum_cell)} people"
        for row in notes.filter(pl.col("kind") == "not_eligible").iter_rows(named=True)
    ]
    suspects = notes.filter(pl.col("kind") == "suspect")["words"].to_list()
    past = _tell_past(target, data, {}, of_everybody=True)
    if reason or expected is None:
        return TargetView(
            label,
            reason or "no probabilities were delivered for this week",
            "",
            [],
            [],
            [],
            "",
            action,
            not_eligible,
            suspects=suspects,
            past=past,
        )
    everybody = int(data.propensity.filter(pl.col("target") == target)["people"].sum())
    expected_words = people_words(round(expected), data.minimum_cell)
    who = "people it is predicted of" if not_eligible else "people"
    return TargetView(
        label=label,
        abstained_reason="",
        expected=f"Expected: about {expected_words} of {everybody:,} {who}, the sum of everybody’s probability.",
        bands=_tell_bands(target, everybody, expected / everybody if everybody else 0.0, data),
        by_persona=_tell_personas(target, data, personas),
        quality=_tell_quality(model) if model else [],
        small_print=_tell_small_print(model) if model else "",
        action=action,
        not_eligible=not_eligible,
        band_notes=notes.filter(pl.col("kind") == "band")["words"].to_list(),
        suspects=suspects,
        drifted=notes.filter(pl.col("kind") == "drift")["words"].to_list(),
        charts=tell_charts(target, data, {one: persona.name for one, persona in personas.items()}),
        earnings=_tell_earnings(target, data),
        moved_by=_tell_moved_by(target, data),
        past=past,
        past_by_segment=_tell_past(target, data, personas, of_everybody=False),
        groups=_tell_groups(target, data),
        refit=(model["refit"] or "") if model else "",
    )


def _of(frame: pl.DataFrame, target: str) -> pl.DataFrame:
    return frame.filter(pl.col("target") == target)


def _tell_bands(target: str, everybody: int, mean: float, data: ReportData) -> list[Band]:
    rows = data.propensity.filter(pl.col("target") == target, pl.col("band").is_not_null())
    earned = {
        row["band"]: row
        for row in _of(data.propensity_gains, target).filter(pl.col("kind") == "band").iter_rows(named=True)
    }
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
        gain = {} if is_hidden else earned.get(row["band"], {})
        bands.append(
            Band(
                name=capitalized(row["band"]),
                people=people_words(people, data.minimum_cell),
                share="" if is_hidden else percent(share),
                bar_width=0.0 if is_hidden else round(100 * share, 2),
                mean="" if is_hidden else percent(probability),
                lift=f"{number(round(probability / mean, 1))} times the average" if tells_lift else "",
                observed=_interval(gain, "observed", percent),
                profit=_interval(gain, "profit", lambda amount: money(amount, data.currency)),
            )
        )
    return bands


def _interval(row: dict, name: str, words: Callable[[float], str]) -> str:
    if any(row.get(part) is None for part in (name, f"{name}_low", f"{name}_high")):
        return ""
    return f"{words(row[name])} ({words(row[f'{name}_low'])} to {words(row[f'{name}_high'])})"


def _tell_earnings(target: str, data: ReportData) -> list[str]:
    """What contacting the likeliest people is expected to bring, in sentences."""
    curve = _of(data.propensity_gains, target).filter(pl.col("kind") == "curve").sort("depth")
    tenth = next(curve.filter((pl.col("depth") - 0.1).abs() < 1e-9).iter_rows(named=True), None)
    sentences = []
    if tenth and None not in (tenth["gain"], tenth["lift"]) and not is_small(tenth["people"], data.minimum_cell):
        sentences.append(
            f"The likeliest tenth ({tenth['people']:,} people) holds {percent(tenth['gain'])} of those who do it, "
            f"{number(round(tenth['lift'], 1))} times as many as a tenth by chance."
        )

    def as_money(amount: float) -> str:
        return money(amount, data.currency)

    best = curve.drop_nulls(["profit", "profit_low", "profit_high"]).sort("profit", descending=True).head(1)
    for row in best.iter_rows(named=True):
        if row["profit"] <= 0:
            sentences.append("At the declared cost and value, contacting anybody is expected to lose money.")
        elif not is_small(row["people"], data.minimum_cell):
            sentences.append(
                f"Profit is highest when the likeliest {percent(row['depth'])} are contacted "
                f"({row['people']:,} people): {_interval(row, 'profit', as_money)} expected."
            )
    return sentences


def _tell_moved_by(target: str, data: ReportData) -> list[tuple[str, float]]:
    rows = _of(data.propensity_moved_by, target).drop_nulls()
    rows = rows.sort("log_loss_increase", "label", descending=[True, False])
    most = max(rows["log_loss_increase"].to_list(), default=0.0) or 1.0
    return [(row["label"], round(100 * row["log_loss_increase"] / most, 2)) for row in rows.iter_rows(named=True)]


def _tell_past(target: str, data: ReportData, personas: dict[str, Persona], of_everybody: bool) -> list[PastWeek]:
    needed = ["scored_as_of", "segment_type", "segment_id", "predicted_mean", "observed_share", "calibration_error"]
    rows = _of(data.propensity_backtest, target).drop_nulls(needed)
    if of_everybody:
        rows = rows.filter(pl.col("segment_type") == "everybody").sort("scored_as_of", descending=True).head(8)
    else:
        rows = rows.filter(pl.col("segment_type") != "everybody", pl.col("as_of") == data.as_of)
        rows = rows.filter(pl.col("people") >= data.minimum_cell).sort(
            "segment_type", "segment_id", descending=[True, False]
        )
    told = []
    for row in rows.iter_rows(named=True):
        persona = personas.get(row["segment_id"])
        named = persona.name if persona else row["segment_id"]
        told.append(
            PastWeek(
                scored=short_day(row["scored_as_of"]) if of_everybody else named,
                people=people_words(row["people"], data.minimum_cell),
                predicted=percent(row["predicted_mean"]),
                observed=percent(row["observed_share"]),
                error=number(round(100 * row["calibration_error"], 1)),
                auc="" if row["auc"] is None else f"{100 * row['auc']:.0f}",
                verdict=row["complaint"] or "came true",
            )
        )
    return told


def _tell_groups(target: str, data: ReportData) -> list[GroupOutlook]:
    return [
        GroupOutlook(
            attribute=row["attribute"],
            group=row["group"],
            people=people_words(row["people"], data.minimum_cell),
            predicted=percent(row["mean_probability"]),
            observed=percent(row["observed"]),
            auc="" if row["auc"] is None else f"{100 * row['auc']:.0f}",
            verdict="off" if row["is_off"] else "holds",
        )
        for row in _of(data.propensity_fairness, target)
        .drop_nulls(["attribute", "group", "mean_probability", "observed"])
        .sort("attribute", "group")
        .iter_rows(named=True)
    ]


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
            medium_people=people_words(row["medium_people"], data.minimum_cell),
            low_people=people_words(row["low_people"], data.minimum_cell),
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
    if model["calibration_drift"]:
        sentences.append(f"{capitalized(model['calibration_drift'])}.")
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
    if model["calibration_slope"] is not None:
        parts.append(f"calibration slope {model['calibration_slope']:.2f}")
    if model["measured_on"]:
        parts.append(f"measured on {model['measured_on']}")
    if model["base_rate"] is not None:
        parts.append(f"{percent(model['base_rate'])} did it in the weeks it was tested on")
    return "; ".join(parts) + "."
