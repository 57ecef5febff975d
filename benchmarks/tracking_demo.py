"""How well the personas of the demo company stay themselves over the weeks it was run, against what was planted.

What belongs here: reading a warehouse that `personae run DIR --weeks 26` filled, and the truth that `personae demo`
wrote beside the extracts. What is counted, and how, stands in `tracking_measures`; the page in `tracking`.

    python -m benchmarks.tracking_demo DIR
"""

import argparse
import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from scipy.stats import nbinom

from benchmarks.tracking_measures import NOBODY, Changes, Tracked, compare_with_truth, count_changes, labels_of
from examples.demo import company
from ml.persona_tracking import ODDS_TO_MOVE, place_people
from orchestration.persona_store import model_of_week, read_feature_columns
from orchestration.weeks import Week

FULL_WINDOWS = 13
"""Weeks of history that the longest windows of features look back on."""


@dataclass(frozen=True)
class LivedWeek:
    """One week as it was published, as it is without smoothing, and as it was planted.

    Attributes:
        number: 0, 1, ...
        placed: person_id, persona_id and strength as published.
        unsmoothed: The same with the same model, everybody where they are most probable.
        truth: person_id, persona, moved (truly changed persona this week).
    """

    number: int
    as_of: date
    placed: pl.DataFrame
    unsmoothed: pl.DataFrame
    truth: pl.DataFrame


def read_weeks(folder: Path) -> list[LivedWeek]:
    """Every published week of a demo company, the earliest first."""
    humans = pl.read_parquet(folder / "truth" / "people.parquet")
    contacts = humans.explode("contact_ids").select("human_id", identity_id="contact_ids").drop_nulls()
    weeks: list[LivedWeek] = []
    before: pl.DataFrame | None = None
    with duckdb.connect(str(folder / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
        as_ofs = connection.execute("select as_of from ml.persona_weeks where people > 0 order by as_of").fetchall()
        for number, (as_of,) in enumerate(as_ofs):
            placed = _placed(connection, as_of)
            truth = pl.read_parquet(folder / "truth" / "weeks" / f"{as_of}.parquet").select("human_id", "persona")
            planted = (
                _humans_of_people(connection, contacts, as_of)
                .join(truth, on="human_id")
                .join(placed.select("person_id"), on="person_id", how="semi")
            )
            moved = pl.lit(False) if before is None else (pl.col("persona") != pl.col("before")).fill_null(False)
            known = before if before is not None else truth
            planted = planted.join(known.rename({"persona": "before"}), on="human_id", how="left").select(
                "person_id", "persona", moved=moved
            )
            before = truth
            weeks.append(LivedWeek(number, as_of, placed, _unsmoothed(connection, as_of), planted.sort("person_id")))
    return weeks


def _placed(connection: duckdb.DuckDBPyConnection, as_of: date) -> pl.DataFrame:
    return connection.execute(
        "select person_id, persona_id, strength from ml.persona_assignments "
        "where as_of = ? and persona_type = 'persona' order by person_id",
        [as_of],
    ).pl()


def _unsmoothed(connection: duckdb.DuckDBPyConnection, as_of: date) -> pl.DataFrame:
    week = Week.ending(as_of)
    standing = model_of_week(connection, week)
    assert standing is not None
    features = read_feature_columns(connection, standing.model.preparation.features_, week)
    return place_people(standing.personas, features, NOBODY).select("person_id", "persona_id")


def _humans_of_people(connection: duckdb.DuckDBPyConnection, contacts: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """person_id and human_id of people who are one human; wrongly merged ones have no truth."""
    identities = connection.execute(
        "select person_id, identity_id from intermediate.int_identities_resolved where identity_kind = 'contact' "
        "and valid_from <= ?::timestamp and (valid_to is null or valid_to > ?::timestamp)",
        [as_of, as_of],
    ).pl()
    return (
        identities.join(contacts, on="identity_id")
        .select("person_id", "human_id")
        .unique()
        .filter(pl.len().over("person_id") == 1)
    )


@dataclass(frozen=True)
class Alive:
    """A week's truth, as `tracking_measures` wants it: no persona appears or ends in the demo."""

    truth: pl.DataFrame
    alive: int = 5


@dataclass
class TrackedDemo(Tracked):
    """What the demo came to.

    Attributes:
        mature: The changes once a quarter of history is there.
        mature_unsmoothed: The same without smoothing.
        calibration_error: How far published probabilities are from the share that is right, in the last week, 0..1.
    """

    mature: Changes = field(default_factory=Changes)
    mature_unsmoothed: Changes = field(default_factory=Changes)
    calibration_error: float = 0.0


def track_demo(folder: Path) -> TrackedDemo:
    """Measure a demo company that was run.

    Args:
        folder: Its workspace; `truth` stands beside the extracts, the warehouse below `.personae`.
    """
    result = TrackedDemo()
    id_of_persona: dict[str, str] = {}
    weeks = read_weeks(folder)
    for week in weeks:
        compare_with_truth(result, week.truth, week.placed, id_of_persona)
        result.ids_ever |= set(week.placed["persona_id"])
    lived = [Alive(week.truth) for week in weeks]
    placed, unsmoothed = ([labels_of(getattr(week, name)) for week in weeks] for name in ("placed", "unsmoothed"))
    result.changes, result.unsmoothed = count_changes(placed, lived), count_changes(unsmoothed, lived)
    result.mature, result.mature_unsmoothed = (
        count_changes(labels[FULL_WINDOWS - 1 :], lived[FULL_WINDOWS - 1 :]) for labels in (placed, unsmoothed)
    )
    result.calibration_error = _calibration_error(weeks[-1], id_of_persona)
    numbers = {week.as_of: week.number for week in weeks}
    with duckdb.connect(str(folder / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
        told = connection.execute(
            "select as_of, event, persona_id from ml.persona_ledger where event <> 'continuation' order by all"
        ).fetchall()
        status = connection.execute("select status, count(*) from ml.persona_models group by all").fetchall()
    result.events = [(numbers[as_of], event, persona) for as_of, event, persona in told]
    result.refits, result.rejected = dict(status).get("champion", 0), dict(status).get("rejected", 0)
    return result


def _calibration_error(week: LivedWeek, id_of_persona: dict[str, str]) -> float:
    """Expected calibration error over ten bins of probability."""
    both = week.placed.join(week.truth, on="person_id").with_columns(
        is_right=pl.col("persona_id") == pl.col("persona").replace_strict(id_of_persona, default=None),
        bin=(pl.col("strength") * 10).floor().clip(0, 9),
    )
    bins = both.group_by("bin").agg(pl.len(), pl.col("strength").mean(), pl.col("is_right").mean())
    return float((bins["len"] * (bins["strength"] - bins["is_right"]).abs()).sum() / both.height)


def measure_ceiling(folder: Path) -> tuple[Changes, Changes]:
    """What can be known of the movers at all, from what people did.

    A Bayes filter that was told how often who becomes whom, and how much of what each planted persona does in a week,
    puts everybody where they are most probable, and moves them at odds of four to one, as the pipeline does. It sees
    the same events; what it does not find in the same week cannot be found.

    Returns:
        All weeks, and those from `FULL_WINDOWS` on.
    """
    personas = list(company.PERSONAS)
    humans = pl.read_parquet(folder / "truth" / "people.parquet")
    number = {human: place for place, human in enumerate(humans["human_id"])}
    as_ofs = [date.fromisoformat(path.stem) for path in sorted((folder / "truth" / "weeks").glob("*.parquet"))]
    truth = np.full((len(as_ofs), len(number)), -1)
    for week, as_of in enumerate(as_ofs):
        frame = pl.read_parquet(folder / "truth" / "weeks" / f"{as_of}.parquet")
        people, planted = frame["human_id"], frame["persona"]
        truth[week, people.replace_strict(number).to_numpy()] = planted.replace_strict(
            personas, range(len(personas)), return_dtype=pl.Int64
        ).to_numpy()
    counts = _planted_counts(folder, humans, number, as_ofs)
    log_evidence = np.zeros((*truth.shape, len(personas)))
    for place in range(len(personas)):
        visits, events = counts[..., -1], counts[..., :-1]
        own = truth == place
        mean, variance = visits[own].mean(), visits[own].var()
        size = mean**2 / max(variance - mean, 1e-3)
        shares = events[own].sum(axis=0) + 0.5
        log_evidence[..., place] = nbinom.logpmf(visits, size, size / (size + mean))
        log_evidence[..., place] += events @ np.log(shares / shares.sum())
    becomes = np.eye(len(personas)) * (1 - company.CHANGES_PER_WEEK)
    becomes += company.CHANGES_PER_WEEK * np.array(company.CHANGES)
    labels, believed, current = [], np.zeros(log_evidence.shape[1:]), np.full(len(number), -1)
    rows = np.arange(len(number))
    for week in range(len(as_ofs)):
        is_there, was_there = truth[week] >= 0, believed.sum(axis=1) > 0
        expected = np.where(was_there[:, None], believed @ becomes, np.array(company.SHARE_AT_START))
        logs = np.log(np.maximum(expected, 1e-300)) + log_evidence[week]
        odds = np.exp(logs - logs.max(axis=1, keepdims=True))
        best = odds.argmax(axis=1)
        held = (current >= 0) & (odds[rows, best] < ODDS_TO_MOVE * odds[rows, np.maximum(current, 0)])
        current = np.where(is_there, np.where(held, current, best), -1)
        believed = np.where(is_there[:, None], odds / odds.sum(axis=1, keepdims=True), 0.0)
        labels.append({str(one): personas[current[one]] for one in np.flatnonzero(is_there)})
    lived = []
    for week in range(len(as_ofs)):
        there = np.flatnonzero(truth[week] >= 0)
        moved = (truth[week] != truth[week - 1]) & (truth[week - 1] >= 0) if week else np.zeros(len(number), dtype=bool)
        lived.append(
            Alive(
                pl.DataFrame(
                    {
                        "person_id": [str(one) for one in there],
                        "persona": [personas[truth[week, one]] for one in there],
                        "moved": moved[there],
                    }
                )
            )
        )
    return count_changes(labels, lived), count_changes(labels[FULL_WINDOWS - 1 :], lived[FULL_WINDOWS - 1 :])


def _planted_counts(folder: Path, humans: pl.DataFrame, number: dict[str, int], as_ofs: list[date]) -> np.ndarray:
    """Events by name, and visits, of every human in every week: (weeks, humans, names + 1)."""
    with duckdb.connect(str(folder / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
        events = connection.execute(
            "select contact_id, device_id, event_name, session_id, cast(occurred_at + interval 2 hour as date) as day "
            "from raw.events"
        ).pl()
    owner = {}
    for listed in ("contact_ids", "device_ids"):
        owner |= dict(humans.explode(listed).drop_nulls(listed).select(listed, "human_id").iter_rows())
    first = as_ofs[0]
    events = events.with_columns(
        human=pl.coalesce(
            pl.col("contact_id").replace_strict(owner, default=None, return_dtype=pl.String),
            pl.col("device_id").replace_strict(owner, default=None, return_dtype=pl.String),
        ),
        week=(pl.col("day") - first).dt.total_days() // 7 + 1,
    ).filter(pl.col("human").is_not_null() & pl.col("week").is_between(0, len(as_ofs) - 1))
    names = sorted(events["event_name"].unique().to_list())
    counts = np.zeros((len(as_ofs), len(number), len(names) + 1))
    visits = events.unique(["week", "human", "session_id"])
    for frame, place in ((events, events["event_name"].replace_strict(names, range(len(names)))), (visits, None)):
        where = (frame["week"].to_numpy(), frame["human"].replace_strict(number).to_numpy())
        np.add.at(counts, (*where, len(names) if place is None else place.to_numpy()), 1)
    return counts


def main() -> None:
    """Print what a demo company came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    result = track_demo(folder)
    ceiling, mature_ceiling = measure_ceiling(folder)
    told = {
        "id switches": result.id_switches,
        "events": result.events,
        "champions": result.refits,
        "rejected": result.rejected,
        "people placed right": [round(one, 3) for one in result.accuracy],
        "calibration error": round(result.calibration_error, 4),
        "spurious": [round(one, 4) for one in result.changes.spurious],
        "all weeks": [one.summary() for one in (result.changes, result.unsmoothed, ceiling)],
        "full windows": [one.summary() for one in (result.mature, result.mature_unsmoothed, mature_ceiling)],
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
