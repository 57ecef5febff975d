"""What the persona report is made from: one frame per question, aggregates, and a few people under pseudonyms.

Here belong the frames' columns and their types. How they are told belongs to the modules of the sections.
"""

from dataclasses import dataclass, field, fields
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

_KPIS: dict[str, type[pl.DataType] | pl.DataType] = {
    "as_of": pl.Date,
    "segment_id": pl.String,
    "segment_name": pl.String,
    "description": pl.String,
    "people": pl.Int64,
    "people_share": pl.Float64,
    "previous_people": pl.Int64,
    "revenue": pl.Float64,
    "revenue_share": pl.Float64,
    "reachable_people": pl.Int64,
    "mean_probability": pl.Float64,
}

REPORT_FRAMES: dict[str, dict[str, type[pl.DataType] | pl.DataType]] = {
    "kpis": _KPIS,
    "history": _KPIS,
    "profiles": {
        "segment_id": pl.String,
        "characteristic": pl.String,
        "label": pl.String,
        "family": pl.String,
        "kind": pl.String,
        "unit": pl.String,
        "segment_value": pl.Float64,
        "base_value": pl.Float64,
        "index_value": pl.Float64,
        "effect_size": pl.Float64,
        "people": pl.Int64,
        "index_low": pl.Float64,
        "index_high": pl.Float64,
    },
    "index": {
        "segment_type": pl.String,
        "segment_id": pl.String,
        "segment_name": pl.String,
        "characteristic_type": pl.String,
        "characteristic": pl.String,
        "label": pl.String,
        "family": pl.String,
        "kind": pl.String,
        "unit": pl.String,
        "is_persona_input": pl.Boolean,
        "segment_value": pl.Float64,
        "value_low": pl.Float64,
        "value_high": pl.Float64,
        "base_value": pl.Float64,
        "index_value": pl.Float64,
        "index_low": pl.Float64,
        "index_high": pl.Float64,
        "adjusted_p_value": pl.Float64,
        "direction": pl.String,
        "abstained_reason": pl.String,
    },
    "market": {
        "segment_type": pl.String,
        "segment_id": pl.String,
        "segment_name": pl.String,
        "audience": pl.String,
        "purpose": pl.String,
        "channel": pl.String,
        "people": pl.Int64,
        "people_low": pl.Float64,
        "people_high": pl.Float64,
        "companies": pl.Int64,
        "companies_low": pl.Float64,
        "companies_high": pl.Float64,
        "is_suppressed": pl.Boolean,
    },
    "subgroups": {
        "segment_type": pl.String,
        "segment_id": pl.String,
        "segment_name": pl.String,
        "phrase": pl.String,
        "people": pl.Int64,
        "people_share": pl.Float64,
        "index_value": pl.Float64,
        "index_low": pl.Float64,
        "index_high": pl.Float64,
        "contactable_people": pl.Int64,
        "clicked_share": pl.Float64,
        "click_index": pl.Float64,
        "click_index_low": pl.Float64,
        "click_index_high": pl.Float64,
        **{
            f"content_{place}{suffix}": kind
            for place in (1, 2, 3)
            for suffix, kind in (("", pl.String), ("_people", pl.Int64))
        },
    },
    "migrations": {
        "previous_as_of": pl.Date,
        "as_of": pl.Date,
        "from_segment_id": pl.String,
        "from_segment_name": pl.String,
        "to_segment_id": pl.String,
        "to_segment_name": pl.String,
        "people": pl.Int64,
        "redrawn_people": pl.Int64,
    },
    "propensity": {
        "target": pl.String,
        "label": pl.String,
        "band": pl.String,
        "people": pl.Int64,
        "mean_probability": pl.Float64,
    },
    "propensity_models": {
        "target": pl.String,
        "label": pl.String,
        "algorithm": pl.String,
        "auc": pl.Float64,
        "auc_low": pl.Float64,
        "auc_high": pl.Float64,
        "log_loss": pl.Float64,
        "brier": pl.Float64,
        "calibration_error": pl.Float64,
        "base_rate": pl.Float64,
        "training_rows": pl.Int64,
        "abstained_reason": pl.String,
        "action": pl.String,
        "eligible_people": pl.Int64,
        "calibration_slope": pl.Float64,
        "measured_on": pl.String,
        "chosen_because": pl.String,
        "refit": pl.String,
        "calibration_drift": pl.String,
    },
    "propensity_by_segment": {
        "target": pl.String,
        "segment_id": pl.String,
        "mean_probability": pl.Float64,
        "high_people": pl.Int64,
        "medium_people": pl.Int64,
        "low_people": pl.Int64,
    },
    "propensity_notes": {"target": pl.String, "kind": pl.String, "words": pl.String, "people": pl.Int64},
    "propensity_moved_by": {"target": pl.String, "label": pl.String, "log_loss_increase": pl.Float64},
    "propensity_reliability": {
        "target": pl.String,
        "mean_probability": pl.Float64,
        "observed_share": pl.Float64,
        "observed_low": pl.Float64,
        "observed_high": pl.Float64,
        "people": pl.Int64,
    },
    "propensity_gains": {
        "target": pl.String,
        "kind": pl.String,
        "band": pl.String,
        "depth": pl.Float64,
        "people": pl.Int64,
        "observed": pl.Float64,
        "observed_low": pl.Float64,
        "observed_high": pl.Float64,
        "lift": pl.Float64,
        "gain": pl.Float64,
        "profit": pl.Float64,
        "profit_low": pl.Float64,
        "profit_high": pl.Float64,
    },
    "propensity_backtest": {
        "as_of": pl.Date,
        "scored_as_of": pl.Date,
        "target": pl.String,
        "segment_type": pl.String,
        "segment_id": pl.String,
        "people": pl.Int64,
        "predicted_mean": pl.Float64,
        "observed_share": pl.Float64,
        "observed_low": pl.Float64,
        "observed_high": pl.Float64,
        "calibration_error": pl.Float64,
        "auc": pl.Float64,
        "complaint": pl.String,
    },
    "propensity_fairness": {
        "target": pl.String,
        "attribute": pl.String,
        "group": pl.String,
        "people": pl.Int64,
        "mean_probability": pl.Float64,
        "observed": pl.Float64,
        "auc": pl.Float64,
        "is_off": pl.Boolean,
    },
    "k_evidence": {"k": pl.Int64, "silhouette": pl.Float64, "stability": pl.Float64, "is_chosen": pl.Boolean},
    "deliveries": {
        "entity": pl.String,
        "files": pl.Int64,
        "rows_read": pl.Int64,
        "rows_loaded": pl.Int64,
        "rows_quarantined": pl.Int64,
        "rows_duplicate": pl.Int64,
        "latest_row_at": pl.Datetime("us"),
    },
    "checks": {"entity": pl.String, "passed": pl.Int64, "failed": pl.Int64, "warnings": pl.Int64},
    "rhythms": {
        "segment_id": pl.String,
        "weekday": pl.Int64,
        "hour": pl.Int64,
        "active_hours": pl.Int64,
        "people": pl.Int64,
    },
    "stages": {"segment_id": pl.String, "stage": pl.String, "people": pl.Int64},
    "typical": {
        "segment_id": pl.String,
        "pseudonym": pl.String,
        "place": pl.Int64,
        "label": pl.String,
        "kind": pl.String,
        "unit": pl.String,
        "value": pl.Float64,
    },
    "ledger": {"persona_id": pl.String, "event": pl.String, "reason": pl.String},
    "defined": {
        "segment_id": pl.String,
        "segment_name": pl.String,
        "description": pl.String,
        "people": pl.Int64,
        "share": pl.Float64,
        "reachable_people": pl.Int64,
        "mean_fit": pl.Float64,
        "separation": pl.Float64,
        "stability": pl.Float64,
        "nearest_id": pl.String,
        "nearest_overlap": pl.Float64,
        "unfit_reason": pl.String,
    },
    "lookalikes": {
        "lookalike": pl.String,
        "method": pl.String,
        "seed_people": pl.Int64,
        "candidates": pl.Int64,
        "people": pl.Int64,
        "abstained_reason": pl.String,
    },
    "lookalike_precision": {
        "lookalike": pl.String,
        "people": pl.Int64,
        **{f"{name}{end}": pl.Float64 for name in ("recall", "lift", "precision") for end in ("", "_low", "_high")},
    },
    "lookalike_parity": {
        "lookalike": pl.String,
        "attribute": pl.String,
        "group": pl.String,
        "base_share": pl.Float64,
        "seed_share": pl.Float64,
        "chosen_share": pl.Float64,
        "chosen_low": pl.Float64,
        "chosen_high": pl.Float64,
        "is_off": pl.Boolean,
    },
    "lookalike_notes": {"lookalike": pl.String, "place": pl.Int64, "words": pl.String},
    "range_suggestions": {
        "segment_id": pl.String,
        "label": pl.String,
        "low": pl.Float64,
        "high": pl.Float64,
        "reason": pl.String,
    },
    "suggestions": {"name": pl.String, "description": pl.String, "people": pl.Int64, "share": pl.Float64},
    "left_out": {"reason": pl.String, "people": pl.Int64},
    "audiences": {
        "audience": pl.String,
        "description": pl.String,
        "destination": pl.String,
        "state": pl.String,
        "state_reason": pl.String,
        "values_as_of": pl.Date,
        "people": pl.Int64,
    },
    "values": {
        "segment_id": pl.String,
        "horizon_days": pl.Int64,
        "buyers": pl.Int64,
        "expected_purchases": pl.Float64,
        "expected_value": pl.Float64,
        "expected_value_low": pl.Float64,
        "expected_value_high": pl.Float64,
    },
    "preferences": {
        "segment_id": pl.String,
        "dimension": pl.String,
        "best_value": pl.String,
        "probability": pl.Float64,
        "lift": pl.Float64,
        "evidence": pl.Int64,
        "abstained_reason": pl.String,
    },
    "persuasion": {
        "segment_type": pl.String,
        "segment_id": pl.String,
        "segment_name": pl.String,
        "approach": pl.String,
        "approach_rank": pl.Int64,
        "observed_rank": pl.Int64,
        "sends": pl.Int64,
        "responses": pl.Int64,
        "response_rate": pl.Float64,
        "rate_low": pl.Float64,
        "rate_high": pl.Float64,
        "probability_best": pl.Float64,
        "evidence": pl.String,
        "message_style": pl.String,
        "withheld_reason": pl.String,
        "counted_responses": pl.String,
        "caution": pl.String,
        "abstained_reason": pl.String,
    },
    "spared_pressure": {"reason": pl.String, "people": pl.Int64},
    "uplift": {
        "campaign": pl.String,
        "outcome": pl.String,
        "learner": pl.String,
        "treated": pl.Int64,
        "control": pl.Int64,
        "effect": pl.Float64,
        "effect_low": pl.Float64,
        "effect_high": pl.Float64,
        "qini": pl.Float64,
        "qini_low": pl.Float64,
        "qini_high": pl.Float64,
        "uplift_at_30": pl.Float64,
        "verdict": pl.String,
        "abstained_reason": pl.String,
    },
    "adoption_history": {
        "as_of": pl.Date,
        "adoption_class": pl.String,
        "class_name": pl.String,
        "place": pl.Int64,
        "people": pl.Int64,
        "share": pl.Float64,
        "model_id": pl.String,
    },
    "adoption_moves": {"from_class": pl.String, "to_class": pl.String, "people": pl.Int64},
    "adoption_figures": {
        "measure": pl.String,
        "launch": pl.String,
        "value": pl.Float64,
        "value_low": pl.Float64,
        "value_high": pl.Float64,
        "words": pl.String,
    },
    "adoption_curves": {
        "place": pl.Int64,
        "launch": pl.String,
        "days": pl.Float64,
        "value": pl.Float64,
        "people": pl.Int64,
    },
}
"""The columns of each frame of `ReportData`; further columns are ignored."""


@dataclass(frozen=True)
class Picture:
    """A drawing for the report.

    Attributes:
        title: What it shows.
        caption: How to read it.
        svg: The `<svg>` element; drawn by us, of aggregates only, every text in it escaped.
    """

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class ReportData:
    """Everything one week's report says, as aggregates.

    Any frame may be empty, even without columns; the section then says so. Columns and types: `REPORT_FRAMES`.

    Attributes:
        company: The company's name.
        as_of: The week's exclusive end, a date in `timezone`.
        week_start: The week's first day.
        timezone: The workspace's IANA time zone.
        currency: ISO 4217 code of every amount.
        k_choice: Why this number of personas, in words.
        model_id: The persona model that assigned people this week.
        kpis: One row per persona, this week; revenue of the last 91 days.
        history: The same for all weeks; those after `as_of` are ignored.
        profiles: Per persona and characteristic: its value and everybody's; 100 is the average of `index_value`,
            `effect_size` is the difference in standard deviations. `kind` number, or anything else for shares 0 to 1.
            `index_low` and `index_high` are the index's interval, null where none holds.
        index: Per persona, defined persona and adoption class: each characteristic against everybody, with intervals
            and whether chance would explain it; the figures are null where they would tell of too few people.
        market: Per segment and audience (`everyone`, `contactable`): people and companies, and how many are expected.
        subgroups: Per persona and trigger: those who respond to it, against everybody and against their persona.
        migrations: People from persona to persona since the week before; null stands for joined and left.
        propensity: People per target and band; probabilities 0 to 1.
        propensity_models: Per target how good its model is, measured forward in time, or why it abstained.
        propensity_by_segment: Per target and persona.
        propensity_notes: Sentences on a target; kind `not_eligible` (with people), `band`, `suspect` or
            `drift`.
        propensity_moved_by: Per target what its probabilities depend on most: how much worse they are without it.
        propensity_reliability: Per target and tenth of the people measured on: predicted and observed share.
        propensity_gains: Per target what contacting the likeliest people (`curve`), or a band, is expected to earn.
        propensity_backtest: Past predictions against what has happened since, of all weeks up to this one.
        propensity_fairness: Per target and group of people: predicted and observed.
        k_evidence: Per number of personas tried: silhouette (-1 to 1) and stability (0 to 1).
        deliveries: Rows received per entity; `latest_row_at` in UTC.
        checks: Contract rules per entity; each is counted once, as passed, failed or a warning.
        rhythms: Per persona, weekday (1 Monday) and hour (0 to 23): active hours of its people, and how many had one.
        stages: Per persona: how many people are new, active, cooling and dormant.
        typical: Per persona a few people in its middle under a pseudonym, with values of what sets the persona apart.
        ledger: What became of personas this week; continuations are not told.
        defined: Personas that marketers defined, and how well the data bear them out.
        lookalikes: Lists of people like a seed, or why there is none.
        lookalike_precision: Per list and size, how many of a hidden seed are found, with intervals.
        lookalike_parity: Per list and group, shares among everybody, the seed and those listed.
        lookalike_notes: Per list, what to know before using it.
        range_suggestions: Per defined persona the ranges that would suit its people better.
        suggestions: Groups of people whom no definition names.
        refit: What became of a model that was fitted this week, in words; empty where none was.
        moved_by_refit_alone: People whom the new model alone puts elsewhere; null without a new model.
        minimum_cell: Groups of fewer people are not counted out, nor described.
        solution_words: Whether the personas are natural segments or constructed cuts, in a sentence.
        k_notes: What else a reader has to know of the model, in sentences.
        pictures: Drawings of the evidence for the personas.
        values: Per persona, and of `everybody`: what those who have bought will probably still buy within the horizon.
        value_words: Why no value is told, in a sentence; empty where it is.
        preferences: Per persona, and of `everybody`, and dimension: the value that is answered or chosen most, or why
            none is told; `lift` compares it with the usual mix.
        persuasion: Per group and way of persuading: messages, answers, the rate with its interval, and the order of
            use; empty where no message is tagged.
        spared_pressure: How many people pressure is not aimed at, by reason.
        uplift: What campaigns with a control group brought about, a row per learner, or why nothing is told.
        adoption_history: Per week up to this one and adoption class: people and their part of all; `place` counts the
            classes from the earliest on, then influencers and the unclassified.
        adoption_moves: People from class to class since the week before; null stands for joined and left.
        adoption_figures: How well launches bear the classes out this week; none where no launches are declared.
        adoption_curves: Per class and day the share that had tried the latest closed launch by then.
        left_out: Known people who are in nothing else here, by reason; people is null where they are fewer than that.
        audiences: What became of each audience that the workspace declares: published, blocked or not_due; in the
        file's order.

    Raises:
        ValueError: A frame lacks a column or holds one of the wrong type, the time zone is unknown, or the week does
            not end after it starts.
    """

    company: str
    as_of: date
    week_start: date
    timezone: str
    currency: str
    k_choice: str
    model_id: str
    kpis: pl.DataFrame
    history: pl.DataFrame
    profiles: pl.DataFrame
    migrations: pl.DataFrame
    propensity: pl.DataFrame
    propensity_models: pl.DataFrame
    propensity_by_segment: pl.DataFrame
    k_evidence: pl.DataFrame
    deliveries: pl.DataFrame
    checks: pl.DataFrame
    minimum_cell: int = 10
    rhythms: pl.DataFrame = field(default_factory=pl.DataFrame)
    stages: pl.DataFrame = field(default_factory=pl.DataFrame)
    typical: pl.DataFrame = field(default_factory=pl.DataFrame)
    ledger: pl.DataFrame = field(default_factory=pl.DataFrame)
    defined: pl.DataFrame = field(default_factory=pl.DataFrame)
    range_suggestions: pl.DataFrame = field(default_factory=pl.DataFrame)
    lookalikes: pl.DataFrame = field(default_factory=pl.DataFrame)
    lookalike_precision: pl.DataFrame = field(default_factory=pl.DataFrame)
    lookalike_parity: pl.DataFrame = field(default_factory=pl.DataFrame)
    lookalike_notes: pl.DataFrame = field(default_factory=pl.DataFrame)
    suggestions: pl.DataFrame = field(default_factory=pl.DataFrame)
    refit: str = ""
    moved_by_refit_alone: int | None = None
    solution_words: str = ""
    k_notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    left_out: pl.DataFrame = field(default_factory=pl.DataFrame)
    audiences: pl.DataFrame = field(default_factory=pl.DataFrame)
    values: pl.DataFrame = field(default_factory=pl.DataFrame)
    value_words: str = ""
    preferences: pl.DataFrame = field(default_factory=pl.DataFrame)
    persuasion: pl.DataFrame = field(default_factory=pl.DataFrame)
    spared_pressure: pl.DataFrame = field(default_factory=pl.DataFrame)
    uplift: pl.DataFrame = field(default_factory=pl.DataFrame)
    propensity_notes: pl.DataFrame = field(default_factory=pl.DataFrame)
    propensity_moved_by: pl.DataFrame = field(default_factory=pl.DataFrame)
    propensity_reliability: pl.DataFrame = field(default_factory=pl.DataFrame)
    propensity_gains: pl.DataFrame = field(default_factory=pl.DataFrame)
    propensity_backtest: pl.DataFrame = field(default_factory=pl.DataFrame)
    propensity_fairness: pl.DataFrame = field(default_factory=pl.DataFrame)
    index: pl.DataFrame = field(default_factory=pl.DataFrame)
    market: pl.DataFrame = field(default_factory=pl.DataFrame)
    subgroups: pl.DataFrame = field(default_factory=pl.DataFrame)
    adoption_history: pl.DataFrame = field(default_factory=pl.DataFrame)
    adoption_moves: pl.DataFrame = field(default_factory=pl.DataFrame)
    adoption_figures: pl.DataFrame = field(default_factory=pl.DataFrame)
    adoption_curves: pl.DataFrame = field(default_factory=pl.DataFrame)

    def __post_init__(self) -> None:
        """Hold every frame to its columns and keep only the weeks the report may know of."""
        if self.week_start >= self.as_of:
            raise ValueError(f"The week starts on {self.week_start}, not before its end {self.as_of}")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"Unknown time zone {self.timezone!r}") from None
        frames = {each.name for each in fields(self)} & REPORT_FRAMES.keys()
        for name in sorted(frames):
            object.__setattr__(self, name, _conform(name, getattr(self, name)))
        object.__setattr__(self, "history", self.history.filter(pl.col("as_of") <= self.as_of))
        object.__setattr__(self, "migrations", self.migrations.filter(pl.col("as_of") == self.as_of))


def _conform(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    columns = REPORT_FRAMES[name]
    if frame.is_empty():
        return pl.DataFrame(schema=columns)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"The frame {name} lacks the columns {', '.join(missing)}")
    frame = frame.select(*columns)
    zoned = [column for column, kind in frame.schema.items() if getattr(kind, "time_zone", None)]
    frame = frame.with_columns(pl.col(zoned).dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    try:
        return frame.cast(columns)  # type: ignore[arg-type]
    except pl.exceptions.PolarsError:
        raise ValueError(f"The frame {name} holds a column of the wrong type") from None
