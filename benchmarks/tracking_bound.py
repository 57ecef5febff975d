"""What can be known of who became somebody else in the demo company, from what people did, at all.

What belongs here: a Bayes filter that is told everything but who is who, on the extracts of the demo company; no run is
needed. What the pipeline finds stands in `tracking_demo`.

The filter knows how much of what each planted persona does in a week, on which weekday and at which hour it comes, and
who becomes whom how often. So what it does not find in the same week is not in the data of that week. A mover changes
everything at once, from the first day of a week; what limits the finding is how few events a week holds.

    python -m benchmarks.tracking_bound DIR [DIR ...]
"""

import argparse
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import nbinom

from benchmarks.tracking_measures import CAUGHT_WITHIN, Changes, PlantedWeek, count_changes
from examples.demo import company
from ml.persona_tracking import ODDS_TO_MOVE

FULL_WINDOWS = 13
"""Weeks of history that the longest windows of features look back on."""
BINS = {"nothing": (0, 0), "1": (1, 1), "2 or 3": (2, 3), "4 to 7": (4, 7), "8 or more": (8, 10**9)}
"""Events of a mover in the week of the move."""
EVENTS = """
    select
        user_id as contact_id, device_id, event as event_name, session as visit,
        timezone('Europe/Berlin', timezone('UTC', ts)) as local_at
    from read_json($folder || '/extracts/product/events_*.jsonl.gz', columns = {
        user_id: 'varchar', device_id: 'varchar', event: 'varchar', session: 'varchar', ts: 'timestamp'
    })
    union all
    select login, visitor, action, visit, visited_at
    from read_csv($folder || '/extracts/web/hits_*.csv.gz', header = true, all_varchar = false)
"""


@dataclass(frozen=True)
class Alive:
    """A week's truth, as `tracking_measures` wants it: no persona appears or ends in the demo."""

    truth: pl.DataFrame
    alive: int = len(company.PERSONAS)


@dataclass(frozen=True)
class Bound:
    """What can be known.

    Attributes:
        changes: Where people change when another persona is four times as probable, as in the pipeline.
        mature: The same from `FULL_WINDOWS` on.
        at_once: Where everybody is where they are most probable: nothing can be found sooner.
        movers: week; events, in the week of the move; caught, in that week; caught_at_once.
        accuracy: By week, people placed right.
    """

    changes: Changes
    mature: Changes
    at_once: Changes
    movers: pl.DataFrame
    accuracy: list[float]


def measure_bound(folder: Path) -> Bound:
    """Live through the weeks of a demo company as somebody would who knows its personas.

    Args:
        folder: Its workspace: `extracts`, and `truth` beside them.
    """
    personas = list(company.PERSONAS)
    truth, as_ofs = _planted(folder, personas)
    counts, visits = _done(folder, as_ofs)
    log_evidence = _log_evidence(truth, counts, visits)
    lived = [_lived(truth, week, personas) for week in range(len(as_ofs))]
    held, at_once = (_filtered(truth, log_evidence, odds) for odds in (ODDS_TO_MOVE, 1.0))
    told, told_at_once = (
        [{one: personas[place] for one, place in enumerate(week) if place >= 0} for week in labels]
        for labels in (held, at_once)
    )
    moved = _moved(truth)
    week, human = np.nonzero(moved[: len(as_ofs) - CAUGHT_WITHIN])
    movers = pl.DataFrame(
        {
            "week": week,
            "events": counts.sum(axis=2)[week, human],
            "caught": held[week, human] == truth[week, human],
            "caught_at_once": at_once[week, human] == truth[week, human],
        }
    )
    is_there = truth >= 0
    return Bound(
        count_changes(told, lived),
        count_changes(told[FULL_WINDOWS - 1 :], lived[FULL_WINDOWS - 1 :]),
        count_changes(told_at_once, lived),
        movers,
        [float((held[week] == truth[week])[is_there[week]].mean()) for week in range(len(as_ofs))],
    )


def _planted(folder: Path, personas: list[str]) -> tuple[NDArray[np.int64], list[date]]:
    """Persona of every human in every week, (weeks, humans), -1 where they are not there."""
    number = {human: place for place, human in enumerate(_humans(folder)["human_id"])}
    as_ofs = [date.fromisoformat(path.stem) for path in sorted((folder / "truth" / "weeks").glob("*.parquet"))]
    truth = np.full((len(as_ofs), len(number)), -1)
    for week, as_of in enumerate(as_ofs):
        frame = pl.read_parquet(folder / "truth" / "weeks" / f"{as_of}.parquet")
        truth[week, frame["human_id"].replace_strict(number).to_numpy()] = (
            frame["persona"].replace_strict(personas, range(len(personas)), return_dtype=pl.Int64).to_numpy()
        )
    return truth, as_ofs


def _humans(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "truth" / "people.parquet")


def _moved(truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    moved = np.zeros(truth.shape, dtype=bool)
    moved[1:] = (truth[1:] != truth[:-1]) & (truth[1:] >= 0) & (truth[:-1] >= 0)
    return moved


def _done(folder: Path, as_ofs: list[date]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Events by name (weeks, humans, names), and visits by hour, then weekday, (weeks, humans, 24 + 7)."""
    humans = _humans(folder)
    number = {human: place for place, human in enumerate(humans["human_id"])}
    owner = {}
    for listed in ("contact_ids", "device_ids"):
        owner |= dict(humans.explode(listed).drop_nulls(listed).select(listed, "human_id").iter_rows())
    with duckdb.connect() as connection:
        events = connection.sql(EVENTS, params={"folder": str(folder)}).pl()
    events = events.with_columns(
        human=pl.coalesce(
            pl.col(column).replace_strict(owner, default=None, return_dtype=pl.String)
            for column in ("contact_id", "device_id")
        ).replace_strict(number, default=None, return_dtype=pl.Int64),
        week=(pl.col("local_at").dt.date() - as_ofs[0]).dt.total_days() // 7 + 1,
    ).filter(pl.col("human").is_not_null() & pl.col("week").is_between(0, len(as_ofs) - 1))
    names = sorted(events["event_name"].unique().to_list())
    shape = (len(as_ofs), len(number))
    counts, visits = np.zeros((*shape, len(names))), np.zeros((*shape, 24 + 7))
    kind = events["event_name"].replace_strict(names, range(len(names)), return_dtype=pl.Int64)
    np.add.at(counts, (events["week"].to_numpy(), events["human"].to_numpy(), kind.to_numpy()), 1)
    begun = events.sort("local_at").unique(["week", "human", "visit"], keep="first", maintain_order=True)
    where = (begun["week"].to_numpy(), begun["human"].to_numpy())
    np.add.at(visits, (*where, begun["local_at"].dt.hour().to_numpy()), 1)
    np.add.at(visits, (*where, 23 + begun["local_at"].dt.weekday().to_numpy()), 1)
    return counts, visits


def _log_evidence(
    truth: NDArray[np.int64], counts: NDArray[np.float64], visits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How probable each week of each human is in each persona, (weeks, humans, personas), in logarithms."""
    often = visits[..., :24].sum(axis=2)
    evidence = np.zeros((*truth.shape, len(company.PERSONAS)))
    for place in range(len(company.PERSONAS)):
        own = truth == place
        mean, variance = often[own].mean(), often[own].var()
        size = mean**2 / max(variance - mean, 1e-3)
        evidence[..., place] = nbinom.logpmf(often, size, size / (size + mean))
        for parts in (counts, visits[..., :24], visits[..., 24:]):
            shares = parts[own].sum(axis=0) + 0.5
            evidence[..., place] += parts @ np.log(shares / shares.sum())
    return evidence


def _filtered(truth: NDArray[np.int64], log_evidence: NDArray[np.float64], odds: float) -> NDArray[np.int64]:
    """The persona everybody is put in, (weeks, humans); people move at these odds."""
    personas = log_evidence.shape[2]
    becomes = np.eye(personas) * (1 - company.CHANGES_PER_WEEK)
    becomes += company.CHANGES_PER_WEEK * np.array(company.CHANGES)
    believed, current = np.zeros(log_evidence.shape[1:]), np.full(truth.shape[1], -1)
    rows, labels = np.arange(truth.shape[1]), []
    for week, evidence in enumerate(log_evidence):
        is_there, was_there = truth[week] >= 0, believed.sum(axis=1) > 0
        expected = np.where(was_there[:, None], believed @ becomes, np.array(company.SHARE_AT_START))
        logs = np.log(np.maximum(expected, 1e-300)) + evidence
        likely = np.exp(logs - logs.max(axis=1, keepdims=True))
        best = likely.argmax(axis=1)
        held = (current >= 0) & (likely[rows, best] < odds * likely[rows, np.maximum(current, 0)])
        current = np.where(is_there, np.where(held, current, best), -1)
        believed = np.where(is_there[:, None], likely / likely.sum(axis=1, keepdims=True), 0.0)
        labels.append(current)
    return np.array(labels)


def _lived(truth: NDArray[np.int64], week: int, personas: list[str]) -> PlantedWeek:
    there = np.flatnonzero(truth[week] >= 0)
    return Alive(
        pl.DataFrame(
            {
                "person_id": pl.Series(there, dtype=pl.UInt64),
                "persona": [personas[truth[week, one]] for one in there],
                "moved": _moved(truth)[week, there],
            }
        )
    )


def tell_bound(bound: Bound) -> list[str]:
    """Say of movers by how much they did in the week of the move, as a table."""
    lines = [
        "| events in the week of the move | movers | can be known the same week |",
        "| --- | ---: | ---: |",
    ]
    for words, (low, high) in BINS.items():
        some = bound.movers.filter(pl.col("events").is_between(low, high))
        share = some.height / max(bound.movers.height, 1)
        caught = f"{some['caught'].mean():.0%}" if some.height else ""
        lines.append(f"| {words} | {share:.0%} | {caught} |")
    everybody, at_once = bound.movers["caught"].mean(), bound.movers["caught_at_once"].mean()
    lines.append(f"| all | 100% | {everybody:.1%}; {at_once:.1%} if nobody is held where they were |")
    return lines


def main() -> None:
    """Print what can be known in some demo companies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        bound = measure_bound(folder)
        print(f"{folder.name}: {bound.movers['events'].mean():.1f} events in the week of a move")
        print("\n".join(tell_bound(bound)))
        for words, changes in (("four to one", bound.changes), ("at once", bound.at_once)):
            print(words, {name: f"{value:.2%}" for name, value in changes.summary().items()})
        print("placed right", " ".join(f"{one:.3f}" for one in bound.accuracy), flush=True)


if __name__ == "__main__":
    main()
