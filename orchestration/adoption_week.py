"""The adoption curve of one week: who stands where on it, by which frozen cut points, and how well data bear that out.

What belongs here: reading the launches of a week, keeping the standing model, and writing `ADOPTION_TABLES`. The
arithmetic stands in `ml/adoption.py` and `ml/adoption_validity.py`, who could have tried what in dbt's
`int_launch_adoptions`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta

import duckdb
import numpy as np
import polars as pl

from activation.answers import first_row, read_frame
from ml.adoption import (
    AdoptionModel,
    AdoptionRules,
    Evidence,
    FloatArray,
    IntArray,
    Places,
    evidence_of_launches,
    fit_adoption_model,
    influencers,
    kept_where_nothing_is_new,
    place_people,
    signal_of,
    why_withheld,
)
from ml.adoption_validity import VALIDITY_SCHEMA, validity_of
from orchestration.adoption_settings import INFLUENCER, UNCLASSIFIED, AdoptionSettings, Launch
from orchestration.mapping import slug
from orchestration.sql import identifier
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week, local_midnight
from orchestration.workspace import Workspace

ADOPTION_TABLES = {
    "adoption_scores": {
        "as_of": pl.Date,
        "person_id": pl.UInt64,
        "adoption_class": pl.String,
        "adoption_class_name": pl.String,
        "curve_class": pl.String,
        "innovativeness": pl.Float64,
        "class_probability": pl.Float64,
        "launches_seen": pl.Int64,
        "launches_adopted": pl.Int64,
        "evidence": pl.UInt64,
        "abstained_reason": pl.String,
        "model_id": pl.String,
    },
    "adoption_models": {
        "as_of": pl.Date,
        "model_id": pl.String,
        "settings_fingerprint": pl.String,
        "people": pl.Int64,
        "launches": pl.Int64,
        "model": pl.String,
    },
    "adoption_validity": {
        "as_of": pl.Date,
        **{("adoption_class" if name == "position" else name): kind for name, kind in VALIDITY_SCHEMA.items()},
        "adoption_class": pl.String,
        "model_id": pl.String,
    },
    "adoption_moves": {
        "as_of": pl.Date,
        "previous_as_of": pl.Date,
        "from_class": pl.String,
        "to_class": pl.String,
        "people": pl.Int64,
    },
}
REPEATED_WORDS = ("adoption_class", "adoption_class_name", "curve_class", "abstained_reason", "model_id")
NO_CLASS_BEFORE = -2
SOON_TRIED_DAYS = 14
"""A launch that nobody has tried after so many days is probably seen in something else."""


@dataclass(frozen=True)
class AdoptionWeek:
    """What became of one week.

    Attributes:
        people: people of the week.
        placed: those with a class.
        launches: launches that had begun.
        untried: those open for at least `SOON_TRIED_DAYS` that nobody tried.
        moved: people whose class differs from the week before.
        withheld: why nobody is placed; None where people are, or where no launches are declared.
    """

    people: int = 0
    placed: int = 0
    launches: int = 0
    untried: tuple[str, ...] = ()
    moved: int = 0
    withheld: str | None = None


@dataclass(frozen=True)
class _People:
    """Everybody of the week in the order of their ids, with launches (people x launches) and last week's places."""

    ids: pl.Series
    days: FloatArray
    could_try: np.ndarray
    before: Places
    evidence_before: np.ndarray
    class_before: pl.Series


def run_adoption_week(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> AdoptionWeek:
    """Place the people of `week` and write `ADOPTION_TABLES`; without launches there are no rows."""
    make_tables(connection, ADOPTION_TABLES)
    settings = workspace.settings.adoption
    launches = [launch for launch in workspace.settings.launches if launch.launched_on < week.as_of]
    if not workspace.settings.launches:
        _write(connection, week, {})
        return AdoptionWeek()
    model_id, model = _standing_model(connection, settings, week)
    people = _read_people(connection, launches, settings, week, model_id, workspace.settings.timezone)
    launched = np.array([launch.launched_on.toordinal() for launch in launches], dtype=np.int64)
    is_closed = launched + settings.observed_days <= week.as_of.toordinal()
    names = [launch.id for launch in launches]
    rules = _rules(settings)
    evidence = evidence_of_launches(people.days, people.could_try, is_closed, names)
    signal = signal_of(evidence, settings.minimum_launches)
    withheld = why_withheld(signal, evidence, rules, model is not None, settings.observed_days)
    if withheld is None and model is None and settings.reference is not None and week.as_of < settings.reference:
        withheld = f"cut points are to be set on {settings.reference:%d %B %Y}"
    influence = _influence(connection, people.ids, week)
    tables: dict[str, pl.DataFrame] = {}
    places = _nobody(len(people.ids))
    if withheld is None and signal is not None:
        if model is None:
            expected_from = _expected_from(connection, workspace, people.ids, week)
            model = fit_adoption_model(evidence, signal, expected_from, influence, rules)
            model_id, tables["adoption_models"] = _as_model_row(model, settings, week, evidence, signal.launches)
            places = place_people(model, evidence, expected_from, rules.minimum_launches, signal.typical_launches)
        else:
            is_new = (people.before.curve_class == NO_CLASS_BEFORE) | (evidence.fingerprint != people.evidence_before)
            expected_from = _expected_from(connection, workspace, people.ids, week, only=np.flatnonzero(is_new))
            places = place_people(model, evidence, expected_from, rules.minimum_launches, signal.typical_launches)
            places = kept_where_nothing_is_new(places, evidence.fingerprint, people.before, people.evidence_before)
    is_influencer = np.zeros(len(people.ids), dtype=np.bool_)
    if withheld is None and model is not None:
        is_influencer = influencers(influence, model.reach_cuts, settings.influencer.fewest_creations, len(people.ids))
    scores = _as_rows(people, places, is_influencer, evidence, settings, withheld, model_id, week)
    tables["adoption_scores"] = scores
    tables["adoption_moves"], moved = _moves(connection, people, scores, week)
    figures = validity_of(
        evidence, signal, people.days, people.could_try, launched, names, settings.observed_days, rules, withheld
    )
    tables["adoption_validity"] = _as_figures(figures, scores, settings, withheld, model_id, week)
    _write(connection, week, tables)
    placed = int((scores["adoption_class"] != UNCLASSIFIED).sum())
    is_untried = np.isnan(people.days).all(axis=0) & (launched + SOON_TRIED_DAYS <= week.as_of.toordinal())
    untried = tuple(names[place] for place in np.flatnonzero(is_untried))
    return AdoptionWeek(len(people.ids), placed, len(launches), untried, moved, withheld)


def _rules(settings: AdoptionSettings) -> AdoptionRules:
    return AdoptionRules(
        shares=tuple(one.share / 100 for one in settings.classes),
        minimum_launches=settings.minimum_launches,
        minimum_people=settings.minimum_people,
        minimum_reliability=settings.minimum_reliability,
        reach_percentile=settings.influencer.reach_percentile,
        fewest_creations=settings.influencer.fewest_creations,
    )


def _standing_model(
    connection: duckdb.DuckDBPyConnection, settings: AdoptionSettings, week: Week
) -> tuple[str | None, AdoptionModel | None]:
    """The cut points that stand since an earlier week with the same settings."""
    row = first_row(
        connection,
        "select model_id, model from ml.adoption_models where as_of < ? and settings_fingerprint = ? "
        "order by as_of desc limit 1",
        [week.as_of, settings.fingerprint],
    )
    return (row[0], AdoptionModel.from_plain(json.loads(row[1]))) if row else (None, None)


def _read_people(
    connection: duckdb.DuckDBPyConnection,
    launches: list[Launch],
    settings: AdoptionSettings,
    week: Week,
    model_id: str | None,
    timezone: str,
) -> _People:
    """People, what they tried after how many days, and where the latest week before placed them.

    Sorted and joined here and not by the query: a million ids cost a tenth of a million wide rows.
    """
    told = "".join(
        f", people.{identifier(f'could_try_{launch.id}')}, people.{identifier(f'tried_{launch.id}_at')}"
        for launch in launches
    )
    earlier = read_frame(
        connection,
        "select person_id, adoption_class, curve_class, innovativeness, class_probability, evidence, "
        "coalesce(model_id = ?, false) as is_same_model from ml.adoption_scores "
        "where as_of = (select max(as_of) from ml.adoption_scores where as_of < ?)",
        [model_id, week.as_of],
    )
    rows = (
        read_frame(
            connection,
            f"select people.person_id{told} from intermediate.int_launch_adoptions as people where as_of = ?",
            [week.as_of],
        )
        .sort("person_id")
        .join(earlier, on="person_id", how="left", maintain_order="left")
    )
    days = np.full((rows.height, len(launches)), np.nan)
    could_try = np.zeros((rows.height, len(launches)), dtype=np.bool_)
    for place, launch in enumerate(launches):
        could_try[:, place] = rows[f"could_try_{launch.id}"].to_numpy()
        begins = np.datetime64(local_midnight(launch.launched_on, timezone), "us")
        tried_at = rows[f"tried_{launch.id}_at"].cast(pl.Datetime("us")).to_numpy()
        days[:, place] = np.where(could_try[:, place], (tried_at - begins) / np.timedelta64(1, "D"), np.nan)
    position = {one.id: place for place, one in enumerate(settings.classes)}
    curve = pl.col("curve_class").replace_strict(position, default=None, return_dtype=pl.Int64)
    before = rows.select(pl.when("is_same_model").then(curve).fill_null(NO_CLASS_BEFORE))
    return _People(
        ids=rows["person_id"],
        days=days,
        could_try=could_try,
        before=Places(
            rows["innovativeness"].cast(pl.Float64).to_numpy(),
            before.to_series().to_numpy(),
            rows["class_probability"].cast(pl.Float64).to_numpy(),
        ),
        evidence_before=rows["evidence"].fill_null(0).to_numpy(),
        class_before=rows["adoption_class"],
    )


def _expected_from(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    ids: pl.Series,
    week: Week,
    only: IntArray | None = None,
) -> dict[str, FloatArray]:
    """Affinity and breadth of use per person; with `only`, of these alone: nobody else is placed anew."""
    groups = workspace.settings.adoption.affinity_groups
    wanted = np.arange(len(ids)) if only is None else only
    asked = pl.DataFrame({"place": wanted, "person_id": ids.gather(wanted)})
    affinity = "".join(f", max(case when phrase_group = '{group}' then score end) as {group}" for group in groups)
    there = {row[0] for row in connection.execute("describe features.person_features").fetchall()}
    tried = {launch.event for launch in workspace.settings.launches}
    counted = [f"{slug(name)}_events_28d" for name in workspace.settings.features.events if name not in tried]
    used = [f"(coalesce(f.{identifier(column)}, 0) > 0)::bigint" for column in counted if column in there]
    used += [f"coalesce(f.{column}, 0)" for column in ("products_365d",) if column in there]
    if not len(wanted) or not (used or (workspace.brand.is_declared and groups)):
        return {}
    breadth = f"ln(1 + {' + '.join(used)})" if used else "null::double"
    told = "".join(f", a.{group}" for group in groups) if groups else ""
    rows = read_frame(
        connection,
        f"select asked.place, {breadth} as breadth{told} from asked "
        "left join (select * from features.person_features where as_of = ?) as f on f.person_id = asked.person_id "
        f"left join (select person_id{affinity} from ml.affinity_scores where as_of = ? and phrase is null "
        "group by person_id) as a on a.person_id = asked.person_id order by asked.place",
        [week.as_of, week.as_of],
        asked=asked,
    )
    found = {}
    for name in ("breadth", *groups):
        values = np.full(len(ids), np.nan)
        values[rows["place"].to_numpy()] = rows[name].cast(pl.Float64).to_numpy()
        found[name if name == "breadth" else f"{name}_affinity"] = values
    return found


def _influence(connection: duckdb.DuckDBPyConnection, ids: pl.Series, week: Week) -> pl.DataFrame:
    rows = read_frame(
        connection,
        "select person_id, kind, signal, amount from intermediate.int_influence where as_of = ?",
        [week.as_of],
    )
    places = pl.DataFrame({"person_id": ids}).with_row_index("person").cast({"person": pl.Int64})
    return (
        rows.join(places, on="person_id", how="inner")
        .select("person", "kind", "signal", pl.col("amount").cast(pl.Float64))
        .sort("kind", "signal", "person")
    )


def _as_model_row(
    model: AdoptionModel, settings: AdoptionSettings, week: Week, evidence: Evidence, launches: int
) -> tuple[str, pl.DataFrame]:
    plain = json.dumps(model.as_plain(), sort_keys=True)
    model_id = "adoption-" + hashlib.sha256((settings.fingerprint + plain).encode()).hexdigest()[:12]
    row = {
        "as_of": week.as_of,
        "model_id": model_id,
        "settings_fingerprint": settings.fingerprint,
        "people": int((evidence.seen >= settings.minimum_launches).sum()),
        "launches": launches,
        "model": plain,
    }
    return model_id, pl.DataFrame([row], schema=ADOPTION_TABLES["adoption_models"])


def _nobody(people: int) -> Places:
    return Places(np.full(people, np.nan), np.full(people, -1, dtype=np.int64), np.full(people, np.nan))


def _as_rows(
    people: _People,
    places: Places,
    is_influencer: np.ndarray,
    evidence: Evidence,
    settings: AdoptionSettings,
    withheld: str | None,
    model_id: str | None,
    week: Week,
) -> pl.DataFrame:
    """Everybody's row: the class, or why there is none."""
    ids = [one.id for one in settings.classes]
    names = settings.names()
    curve = places.curve_class
    rows = pl.DataFrame(
        {
            "person_id": people.ids,
            "curve": curve,
            "position": np.where(is_influencer, len(ids), np.where(curve < 0, len(ids) + 1, curve)),
            "innovativeness": np.round(places.innovativeness, 6),
            "class_probability": np.round(np.clip(places.probability, 0, 1), 6),
            "launches_seen": evidence.seen,
            "launches_adopted": evidence.tried,
            "evidence": evidence.fingerprint,
        }
    )
    classes = pl.DataFrame({"position": range(len(ids) + 2), "adoption_class": [*ids, INFLUENCER, UNCLASSIFIED]})
    classes = classes.with_columns(
        adoption_class_name=pl.col("adoption_class").replace_strict(names), position=pl.col("position").cast(pl.Int64)
    )
    curves = pl.DataFrame({"curve": range(len(ids)), "curve_class": ids}).cast({"curve": pl.Int64})
    if withheld is not None:
        reason = pl.lit(f"classes are withheld: {withheld}")
    else:
        reason = pl.when(pl.col("position") == len(ids) + 1).then(
            pl.format(f"too little evidence: {{}} of {settings.minimum_launches} launches seen", "launches_seen")
        )
    return (
        rows.join(classes, on="position", how="left", maintain_order="left")
        .join(curves, on="curve", how="left", maintain_order="left")
        .with_columns(
            pl.col("innovativeness", "class_probability").fill_nan(None),
            abstained_reason=reason,
            as_of=pl.lit(week.as_of),
            model_id=pl.lit(model_id, dtype=pl.String),
        )
        .select(list(ADOPTION_TABLES["adoption_scores"]))
        .cast(ADOPTION_TABLES["adoption_scores"])  # type: ignore[arg-type]
    )


def _moves(
    connection: duckdb.DuckDBPyConnection, people: _People, scores: pl.DataFrame, week: Week
) -> tuple[pl.DataFrame, int]:
    """How many people went from which class to which since the week before; nothing where that week was not placed."""
    schema = ADOPTION_TABLES["adoption_moves"]
    previous = week.as_of - timedelta(days=7)
    earlier = read_frame(
        connection,
        "select adoption_class as from_class, count(*)::bigint as everybody from ml.adoption_scores where as_of = ? "
        "group by adoption_class",
        [previous],
    )
    if earlier.is_empty():
        return pl.DataFrame(schema=schema), 0
    here = (
        pl.DataFrame({"from_class": people.class_before, "to_class": scores["adoption_class"]})
        .group_by("from_class", "to_class")
        .agg(people=pl.len().cast(pl.Int64))
    )
    stayed = here.group_by("from_class").agg(pl.col("people").sum())
    gone = (
        earlier.join(stayed, on="from_class", how="left")
        .select(
            "from_class", to_class=pl.lit(None, pl.String), people=pl.col("everybody") - pl.col("people").fill_null(0)
        )
        .filter(pl.col("people") > 0)
    )
    moves = (
        pl.concat([here, gone])
        .with_columns(as_of=pl.lit(week.as_of), previous_as_of=pl.lit(previous))
        .select(list(schema))
        .cast(schema)  # type: ignore[arg-type]
        .sort("from_class", "to_class", nulls_last=True)
    )
    return moves, int(here.filter(pl.col("from_class") != pl.col("to_class"))["people"].sum())


def _as_figures(
    figures: pl.DataFrame,
    scores: pl.DataFrame,
    settings: AdoptionSettings,
    withheld: str | None,
    model_id: str | None,
    week: Week,
) -> pl.DataFrame:
    """The figures about the classes, with the part of all people in each class, influencers included."""
    ids = dict(enumerate(one.id for one in settings.classes))
    named = figures.with_columns(
        adoption_class=pl.col("position").replace_strict(ids, default=None, return_dtype=pl.String)
    ).drop("position")
    counts = dict(scores.group_by("adoption_class").len().iter_rows())
    shares = [
        {
            "measure": "class_share",
            "adoption_class": one,
            "value": round(counts.get(one, 0) / max(scores.height, 1), 6),
            "people": counts.get(one, 0),
            "words": f"part of all people who are: {name}",
        }
        for one, name in settings.names().items()
        if withheld is None
    ]
    schema = ADOPTION_TABLES["adoption_validity"]
    return (
        pl.concat([named, pl.DataFrame(shares, schema_overrides={"people": pl.Int64})], how="diagonal_relaxed")
        .with_columns(as_of=pl.lit(week.as_of), model_id=pl.lit(model_id, dtype=pl.String))
        .select(list(schema))
        .cast(schema)  # type: ignore[arg-type]
    )


def _write(connection: duckdb.DuckDBPyConnection, week: Week, tables: dict[str, pl.DataFrame]) -> None:
    """Put the week's rows in the place of those of an earlier run."""
    with transaction(connection):
        for name, schema in ADOPTION_TABLES.items():
            rows = tables.get(name, pl.DataFrame(schema=schema))
            # A few words over and over again: written as codes, a million of them take a third of the time.
            words = [column for column in REPEATED_WORDS if column in schema]
            rows = rows.with_columns(pl.col(words).cast(pl.Categorical)) if words else rows
            replace_weeks(connection, f"ml.{name}", rows, [week.as_of])
