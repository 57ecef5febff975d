"""Preferences of one week: when, over which channel, with what and where each person is best reached.

What belongs here: reading the evidence of a week, and writing what was learned. The estimators stand in
`ml/preferences.py`; what an answer, a human and local time are, in dbt's `int_message_outcomes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import duckdb
import numpy as np
import polars as pl

from activation.answers import read_frame
from ml.made_ahead import made_ahead
from ml.neighbouring_values import Circles
from ml.preference_models import LEARN_FROM
from ml.preferences import (
    PERSONA_SCHEMA,
    PREFERENCE_SCHEMA,
    PreferenceRules,
    Preferences,
    prefer_by_answers,
    prefer_by_choices,
)
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

_TOLD = {name: kind for name, kind in PREFERENCE_SCHEMA.items() if name != "person"}
PERSON_PREFERENCE_SCHEMA = {"as_of": pl.Date, "person_id": pl.UInt64, "dimension": pl.String, **_TOLD}
SEGMENT_PREFERENCE_SCHEMA = {
    "as_of": pl.Date,
    "segment_type": pl.String,
    "segment_id": pl.String,
    "dimension": pl.String,
    **_TOLD,
}
PREFERENCE_TABLES = {
    "person_preferences": PERSON_PREFERENCE_SCHEMA,
    "segment_preferences": SEGMENT_PREFERENCE_SCHEMA,
}

EVERYBODY = "everybody"
BY_OPENS, BY_CLICKS, BY_CHOICES = "opened or clicked", "clicked", "chosen"
# Each dimension, and what counts as an answer: what a message says shows only after it was opened, and over some
# channels nobody sees opens.
DIMENSIONS = {
    "send_time": BY_OPENS,
    "weekday": BY_OPENS,
    "channel": BY_CLICKS,
    "content": BY_CLICKS,
    "offer": BY_CLICKS,
    "purchase_channel": BY_CHOICES,
    "location": BY_CHOICES,
}
KINDS_OF_DAY = ("Monday to Thursday", "Friday", "weekend")
SLOTS = tuple(f"{kind} {2 * part:02d}:00-{2 * part + 2:02d}:00" for kind in KINDS_OF_DAY for part in range(12))
HOURS = Circles({slot: divmod(number, 12) for number, slot in enumerate(SLOTS)}, 12)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

PEOPLE = (
    "select f.person_id, a.persona_id from features.person_features as f left join ml.persona_assignments as a "
    "on a.as_of = f.as_of and a.person_id = f.person_id and a.persona_type = 'persona' "
    "where f.as_of = ? order by f.person_id"
)
MESSAGES = """
select
    people.person,
    m.slot,
    m.weekday,
    m.channel,
    m.content,
    m.offer,
    coalesce(m.opened_from_at < $as_of_at, false) as opened,
    coalesce(m.clicked_from_at < $as_of_at, false) as clicked
from intermediate.int_message_outcomes as m
inner join intermediate.int_identities_resolved as i
    on i.identity_kind = 'contact' and i.identity_id = m.contact_id
    and i.valid_from < $as_of_at and coalesce(i.valid_to, timestamp '9999-12-31') >= $as_of_at
inner join people on people.person_id = i.person_id
inner join intermediate.int_message_history as h on h.as_of = $as_of and m.sent_at >= h.from_at
where m.sent_at < $until
    and coalesce(m.known_from_at < $as_of_at, true) and coalesce(m.bounced_from_at >= $as_of_at, true)
"""
CHOICES = (
    "select c.dimension, people.person, c.value, c.choices::bigint as choices "
    "from intermediate.int_person_choices as c inner join people on people.person_id = c.person_id where c.as_of = ?"
)


@dataclass(frozen=True)
class PreferenceWeek:
    """What became of one week: how many people have a preference, or why nothing is said, per dimension."""

    told: dict[str, int]
    abstained: dict[str, str]
    rows: int


def run_preference_week(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> PreferenceWeek:
    """Learn every dimension of `week` and write `PREFERENCE_TABLES`."""
    make_tables(connection, PREFERENCE_TABLES)
    people = read_frame(connection, PEOPLE, [week.as_of])
    names = people["persona_id"].drop_nulls().unique().sort()
    personas = (
        people["persona_id"].replace_strict(names, np.arange(len(names)), default=-1, return_dtype=pl.Int64).to_numpy()
    )
    learned = _learn(connection, workspace, week, people.select("person_id"), personas)
    told, abstained, parts, segments = {}, {}, [], []
    for dimension, one in learned.items():
        told[dimension] = one.people["best_value"].count()
        if one.reason:
            abstained[dimension] = one.reason
        parts.append(one.people.with_columns(dimension=pl.lit(dimension)))
        segments.append(_segments(one, names).with_columns(dimension=pl.lit(dimension)))
    of_all = pl.concat(parts)
    by_person = (
        of_all.with_columns(person_id=people["person_id"].gather(of_all["person"]), as_of=pl.lit(week.as_of))
        .pipe(_rounded)
        .select(list(PERSON_PREFERENCE_SCHEMA))
    )
    by_segment = (
        pl.concat(segments)
        .with_columns(as_of=pl.lit(week.as_of))
        .pipe(_rounded)
        .select(list(SEGMENT_PREFERENCE_SCHEMA))
    )
    with transaction(connection):
        replace_weeks(connection, "ml.person_preferences", by_person, [week.as_of])
        replace_weeks(connection, "ml.segment_preferences", by_segment, [week.as_of])
    return PreferenceWeek(told, abstained, by_person.height)


def _learn(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    week: Week,
    ids: pl.DataFrame,
    personas: np.ndarray,
) -> dict[str, Preferences]:
    settings = workspace.settings.preferences
    rules = PreferenceRules(settings.minimum_trials, settings.minimum_people, settings.confidence)
    # People come in the order of their ids, which are hashes: the first of them are a sample.
    in_sample = np.arange(len(personas)) < LEARN_FROM
    connection.register("people", ids.with_row_index("person").to_arrow())
    try:
        messages = _messages(connection, workspace, week)
        choices = read_frame(connection, CHOICES, [week.as_of]).sort("person")
    finally:
        connection.unregister("people")
    nobody_clicks = not messages["clicked"].any()

    def learn(dimension: str) -> Preferences:
        answer = DIMENSIONS[dimension]
        if answer == BY_CHOICES:
            rows = choices.filter(dimension=dimension).select("person", "value", "choices")
            return prefer_by_choices(rows, personas, in_sample, rules)
        answered = pl.col("opened") | pl.col("clicked") if answer == BY_OPENS or nobody_clicks else pl.col("clicked")
        rows = messages.select("person", pl.col(dimension).alias("value"), answered.alias("answered"))
        return prefer_by_answers(rows, personas, in_sample, rules, HOURS if dimension == "send_time" else None)

    return dict(zip(DIMENSIONS, made_ahead(learn, DIMENSIONS), strict=True))


def _messages(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> pl.DataFrame:
    """A row per message that people got so early that answers to it are complete, person after person."""
    settings, timezone = workspace.settings.preferences, workspace.settings.timezone
    as_of_at = week.as_of_at(timezone)
    frame = read_frame(
        connection,
        MESSAGES,
        {
            "as_of": week.as_of,
            "as_of_at": as_of_at,
            "until": as_of_at - timedelta(hours=settings.response_hours),
        },
    )
    return frame.with_columns(
        pl.col("channel", "content", "offer").cast(pl.Categorical),
        send_time=_named(frame["slot"], SLOTS),
        weekday=_named(frame["weekday"] - 1, WEEKDAYS),
    ).sort("person")


def _named(numbers: pl.Series, names: tuple[str, ...]) -> pl.Series:
    """Numbers from 0 on as the names they stand for, without a text per row."""
    return numbers.cast(pl.UInt8).cat.to(pl.Enum(names))


def _segments(learned: Preferences, names: pl.Series) -> pl.DataFrame:
    """A row per persona and one for everybody; where nothing is said, the reason."""
    ids = pl.DataFrame(
        {
            "persona": [*range(len(names)), -1],
            "segment_type": ["persona"] * len(names) + [EVERYBODY],
            "segment_id": [*names.to_list(), EVERYBODY],
        },
        schema_overrides={"persona": pl.Int64},
    )
    told = ids.join(learned.personas, on="persona", how="left", maintain_order="left")
    return told.with_columns(
        pl.col("evidence", "answers").fill_null(0),
        abstained_reason=pl.when(pl.col("best_value").is_null()).then(
            pl.coalesce(pl.lit(learned.reason, pl.String), "abstained_reason", pl.lit("nothing is known of it"))
        ),
    ).select("segment_type", "segment_id", *(name for name in PERSONA_SCHEMA if name != "persona"))


def _rounded(frame: pl.DataFrame) -> pl.DataFrame:
    """Six digits: what threads may add up in another order does not show."""
    return frame.with_columns(pl.selectors.float().round(6))
