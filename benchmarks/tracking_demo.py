"""How well the personas of the demo company stay themselves over the weeks it was run, against what was planted.

What belongs here: reading a warehouse that `personae run DIR --weeks 26` filled, and the truth that `personae demo`
wrote beside the extracts. What is counted, and how, stands in `tracking_measures`, what can be known in
`tracking_bound`, the page in `tracking`.

    python -m benchmarks.tracking_demo DIR
"""

import argparse
import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.tracking_bound import FULL_WINDOWS, Alive, measure_bound
from benchmarks.tracking_measures import NOBODY, Changes, Tracked, compare_with_truth, count_changes, labels_of
from ml.persona_tracking import place_people
from orchestration.persona_store import model_of_week, read_feature_columns
from orchestration.weeks import Week


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
    return connection.sql(
        "select person_id, persona_id, strength from ml.persona_assignments "
        "where as_of = ? and persona_type = 'persona' order by person_id",
        params=[as_of],
    ).pl()


def _unsmoothed(connection: duckdb.DuckDBPyConnection, as_of: date) -> pl.DataFrame:
    week = Week.ending(as_of)
    standing = model_of_week(connection, week)
    assert standing is not None
    features = read_feature_columns(connection, standing.model.preparation.features_, week)
    return place_people(standing.personas, features, NOBODY).select("person_id", "persona_id")


def _humans_of_people(connection: duckdb.DuckDBPyConnection, contacts: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """person_id and human_id of people who are one human; wrongly merged ones have no truth."""
    identities = connection.sql(
        "select person_id, identity_id from intermediate.int_identities_resolved where identity_kind = 'contact' "
        "and valid_from <= ?::timestamp and (valid_to is null or valid_to > ?::timestamp)",
        params=[as_of, as_of],
    ).pl()
    return (
        identities.join(contacts, on="identity_id")
        .select("person_id", "human_id")
        .unique()
        .filter(pl.len().over("person_id") == 1)
    )


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


def main() -> None:
    """Print what a demo company came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    result = track_demo(folder)
    bound = measure_bound(folder)
    told = {
        "id switches": result.id_switches,
        "events": result.events,
        "champions": result.refits,
        "rejected": result.rejected,
        "people placed right": [round(one, 3) for one in result.accuracy],
        "calibration error": round(result.calibration_error, 4),
        "spurious": [round(one, 4) for one in result.changes.spurious],
        "all weeks": [one.summary() for one in (result.changes, result.unsmoothed, bound.changes)],
        "full windows": [one.summary() for one in (result.mature, result.mature_unsmoothed, bound.mature)],
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
