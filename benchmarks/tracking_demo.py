"""How well the personas of the demo company stay themselves over the weeks it was run, against what was planted.

What belongs here: reading a warehouse that `personae run DIR --weeks 26` filled, and the truth that `personae demo`
wrote beside the extracts. What is counted, and how, stands in `tracking_measures`; the page in `tracking`.

    python -m benchmarks.tracking_demo DIR
"""

import argparse
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.tracking_measures import NOBODY, Tracked, compare_with_truth, count_changes, labels_of
from ml.persona_tracking import place_people
from orchestration.persona_store import model_of_week, read_feature_columns
from orchestration.weeks import Week


@dataclass(frozen=True)
class LivedWeek:
    """One week as it was published, as it is without smoothing, and as it was planted.

    Attributes:
        number: 0, 1, ...
        placed: person_id, persona_id as published.
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
        "select person_id, persona_id from ml.persona_assignments where as_of = ? and persona_type = 'persona' "
        "order by person_id",
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


def track_demo(folder: Path) -> Tracked:
    """Measure a demo company that was run.

    Args:
        folder: Its workspace; `truth` stands beside the extracts, the warehouse below `.personae`.
    """
    result = Tracked()
    id_of_persona: dict[str, str] = {}
    weeks = read_weeks(folder)
    for week in weeks:
        compare_with_truth(result, week.truth, week.placed, id_of_persona)
        result.ids_ever |= set(week.placed["persona_id"])
    lived = [Alive(week.truth) for week in weeks]
    result.changes = count_changes([labels_of(week.placed) for week in weeks], lived)
    result.unsmoothed = count_changes([labels_of(week.unsmoothed) for week in weeks], lived)
    numbers = {week.as_of: week.number for week in weeks}
    with duckdb.connect(str(folder / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
        told = connection.execute(
            "select as_of, event, persona_id from ml.persona_ledger where event <> 'continuation' order by all"
        ).fetchall()
        status = connection.execute("select status, count(*) from ml.persona_models group by all").fetchall()
    result.events = [(numbers[as_of], event, persona) for as_of, event, persona in told]
    result.refits, result.rejected = dict(status).get("champion", 0), dict(status).get("rejected", 0)
    return result


def main() -> None:
    """Print what a demo company came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    result = track_demo(parser.parse_args().folder)
    print(
        json.dumps(
            {
                "id_switches": result.id_switches,
                "events": result.events,
                "ids_ever": sorted(result.ids_ever),
                "champions": result.refits,
                "rejected": result.rejected,
                "accuracy": [round(one, 3) for one in result.accuracy],
                "published": result.changes.summary(),
                "unsmoothed": result.unsmoothed.summary(),
                "movers": len(result.changes.caught_same_week),
                "spurious": [round(one, 4) for one in result.changes.spurious],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
