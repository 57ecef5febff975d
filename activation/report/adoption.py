"""Who tries new things early: the classes of the adoption curve, how they moved, and whether they can be trusted.

Here belongs how these are told. Where the cut points lie, and whether anybody is placed, was decided where they were
made.
"""

from dataclasses import dataclass, field

import polars as pl

from activation.report.curves import Chart, Line, scale_of
from activation.report.report_data import ReportData
from activation.report.words import is_small, number, people_words, percent

# What a figure is called, and from when on it speaks for the classes.
FIGURES: dict[str, tuple[str, float | None]] = {
    "reliability": ("How much of the score is the person and not chance", 0.5),
    "launch_correlation": ("How much one launch says of another", None),
    "split_half_kappa": ("Agreement of every second launch with the others", 0.4),
    "test_retest_kappa": ("Agreement of earlier launches with later ones", 0.4),
    "first_adopter_lift": ("The earliest classes among the first to try the next launch", 1.5),
}
UNCLASSIFIED, INFLUENCER = "unclassified", "influencer"


@dataclass(frozen=True)
class ClassRow:
    """One class: how many people, the part of all, and the change since the first week of its cut points, in words."""

    name: str
    people: str
    share: str
    change: str
    bar_width: float
    tone: str


@dataclass(frozen=True)
class FigureRow:
    """One figure about the classes, in words, with its interval."""

    name: str
    value: str
    interval: str
    meaning: str
    state: str
    state_words: str


@dataclass(frozen=True)
class Key:
    """A line of a chart and what it stands for."""

    name: str
    tone: str


@dataclass(frozen=True)
class Adoption:
    """The whole section.

    Attributes:
        is_declared: whether the workspace declares launches; without, there is no section.
        withheld: why nobody is placed; empty where people are.
        rows: the classes, from the earliest on.
        moved: how many changed class, in a sentence.
        figures: how well the data bear the classes out.
        next_launch: the launch that earlier ones were held against, in a sentence; empty where there is none.
        curves: who tried that launch by when, and shares over the weeks.
        keys: the lines of the charts.
    """

    is_declared: bool = False
    withheld: str = ""
    rows: list[ClassRow] = field(default_factory=list)
    moved: str = ""
    figures: list[FigureRow] = field(default_factory=list)
    next_launch: str = ""
    curves: list[Chart] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)


def tell_adoption(data: ReportData) -> Adoption:
    """Tell the classes of the week, or why there are none."""
    figures = {row["measure"]: row for row in data.adoption_figures.iter_rows(named=True)}
    if "verdict" not in figures:
        return Adoption()
    verdict = figures["verdict"]
    charts = [chart for chart in (_tried(data), _shares(data)) if chart is not None]
    named = data.adoption_history.filter(pl.col("as_of") == data.as_of).sort("place")
    return Adoption(
        is_declared=True,
        withheld="" if verdict["value"] else verdict["words"],
        rows=_rows(data, named),
        moved=_moved(data),
        figures=[_figure(name, figures[name]) for name in FIGURES if name in figures],
        next_launch=_next_launch(figures),
        curves=charts,
        keys=[Key(row["class_name"], f"tone-{row['place']}") for row in named.iter_rows(named=True) if _on_curve(row)],
    )


def _on_curve(row: dict) -> bool:
    return row["adoption_class"] not in (UNCLASSIFIED, INFLUENCER)


def _rows(data: ReportData, now: pl.DataFrame) -> list[ClassRow]:
    since = data.adoption_history.filter(pl.col("model_id").is_in(now["model_id"].unique().implode())).sort("as_of")
    first = since.filter(pl.col("as_of") == since["as_of"].min()) if since.height else since
    before = dict(first.select("adoption_class", "share").iter_rows()) if first.height else {}
    is_first = first.height > 0 and first["as_of"][0] == data.as_of
    highest = now["share"].max() or 1
    rows = []
    for row in now.iter_rows(named=True):
        small = is_small(row["people"], data.minimum_cell) or row["share"] is None
        change = 0.0 if small else row["share"] - (before.get(row["adoption_class"]) or row["share"])
        rows.append(
            ClassRow(
                name=row["class_name"],
                people=people_words(row["people"], data.minimum_cell),
                share="" if small else percent(row["share"]),
                change="" if small or is_first else f"{100 * change:+.1f} points".replace("-", "−"),
                bar_width=0.0 if small else round(100 * row["share"] / highest, 2),
                tone=f"tone-{row['place']}" if _on_curve(row) else "tone-none",
            )
        )
    return rows


def _moved(data: ReportData) -> str:
    """How many people changed class since the week before; nobody does without evidence of their own."""
    moves = data.adoption_moves
    if moves.is_empty():
        return ""
    stayed = moves.filter(pl.col("from_class").is_not_null() & pl.col("to_class").is_not_null())
    changed = int(stayed.filter(pl.col("from_class") != pl.col("to_class"))["people"].sum())
    if changed == 0:
        return "Nobody changed class since the week before."
    return (
        f"{people_words(changed, data.minimum_cell).capitalize()} of {people_words(int(stayed['people'].sum()), 0)} "
        f"people "
        "changed class since the week before: they tried something new, or a launch they had not tried closed."
    )


def _figure(name: str, row: dict) -> FigureRow:
    title, enough = FIGURES[name]
    is_ratio = name == "first_adopter_lift"

    def told(value: float | None) -> str:
        return "" if value is None else f"{value:.1f} times" if is_ratio else f"{value:.2f}"

    low, high = told(row["value_low"]), told(row["value_high"])
    state, words = ("", "")
    if enough is not None and row["value"] is not None:
        surely = row["value_low"] if row["value_low"] is not None else row["value"]
        if surely >= enough:
            state, words = "kept", "good"
        elif row["value"] >= enough:
            state, words = "warned", "probably good"
        else:
            state, words = "broken", "weak"
    return FigureRow(title, told(row["value"]), f"{low} to {high}" if low and high else "", row["words"], state, words)


def _next_launch(figures: dict[str, dict]) -> str:
    if "log_rank_trend" not in figures or "log_rank_p" not in figures:
        return ""
    trend, chance = figures["log_rank_trend"]["value"], figures["log_rank_p"]["value"]
    if trend is None or chance is None:
        return ""
    launch = figures["log_rank_trend"]["launch"]
    by_chance = "below 0.001" if chance < 0.001 else f"= {chance:.3f}"
    how = f"log-rank test: {number(round(trend, 1))} standard errors, p {by_chance}"
    if trend > 1.645 and chance < 0.05:
        return f"Earlier classes did try {launch} earlier ({how})."
    return f"Earlier classes did not surely try {launch} earlier ({how}): be careful with the classes."


def _tried(data: ReportData) -> Chart | None:
    """Who tried the latest closed launch by when, classes made of the launches before it."""
    drawn = data.adoption_curves.drop_nulls(["place", "days", "value"])
    told = drawn.filter(pl.col("people") >= data.minimum_cell).sort("place", "days")
    if told.is_empty():
        return None
    scale = scale_of(told["days"].to_list(), told["value"].to_list())
    lines = [
        Line(scale.line(list(rows.select("days", "value").iter_rows())).points, f"tone-{place}")
        for (place,), rows in told.group_by("place", maintain_order=True)
    ]
    return Chart(
        title=f"Who tried {told['launch'][0]}, by when",
        caption="People placed by launches that had closed before it; the share of each class that had tried it by a "
        "day (Kaplan-Meier). The further the lines lie apart, in order, the more the classes mean.",
        x_label="days since the launch",
        y_label="have tried it",
        x_ticks=scale.x_ticks(number),
        y_ticks=scale.y_ticks(percent),
        lines=lines,
    )


def _shares(data: ReportData) -> Chart | None:
    """Shares of the classes over the weeks: the cut points stand, so that a change means something."""
    told = (
        data.adoption_history.drop_nulls(["place", "share"])
        .filter(
            pl.col("adoption_class").is_in([UNCLASSIFIED, INFLUENCER]).not_() & (pl.col("people") >= data.minimum_cell)
        )
        .sort("place", "as_of")
    )
    weeks = told["as_of"].unique().sort().to_list()
    if len(weeks) < 2:
        return None
    place_of = {week: place - len(weeks) + 1 for place, week in enumerate(weeks)}
    told = told.with_columns(week=pl.col("as_of").replace_strict(place_of, return_dtype=pl.Float64))
    scale = scale_of([float(1 - len(weeks)), 0.0], told["share"].to_list())
    lines = [
        Line(scale.line(list(rows.select("week", "share").iter_rows())).points, f"tone-{place}")
        for (place,), rows in told.group_by("place", maintain_order=True)
    ]
    return Chart(
        title="Shares of the classes, week by week",
        caption="Of all people. The cut points stand still, so a share that moves says that people did.",
        x_label="weeks before this one",
        y_label="of all people",
        x_ticks=scale.x_ticks(lambda value: number(abs(value))) if len(weeks) > 2 else [],
        y_ticks=scale.y_ticks(percent),
        lines=lines,
    )
