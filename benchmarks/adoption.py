"""Measures how well the adoption curve is told, and what a later week of it costs, and writes ADOPTION.md.

    python -m benchmarks.adoption [--people 1000000] [--events 50000000] [--skip-scale]

How right it is is measured on simulated people of known innovativeness (`adoption_worlds.py`); what it costs, on a
warehouse filled with as many people and events as asked for, with dbt's own models. Exits with 1 where a floor is
missed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import yaml
from scipy.stats import spearmanr

from benchmarks.adoption_worlds import OBSERVED_DAYS, ROGERS, World, world
from ml.adoption import class_by_rank, place_people, signal_of, why_withheld
from ml.adoption_validity import first_adopter_lift, log_rank, weighted_kappa
from orchestration.adoption_week import ADOPTION_TABLES, run_adoption_week
from orchestration.dbt_runs import DBT_COMMAND, DBT_PROJECT_FOLDER, dbt_environment, vars_argument
from orchestration.ingest.tables import make_raw_tables
from orchestration.warehouse import make_tables
from orchestration.weeks import Week
from orchestration.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "ADOPTION.md"
WEEK = Week(date(2026, 11, 9))
WORLDS = 16
LAUNCHES = 9
EVENT_MODELS = ("int_weeks", "stg_events", "stg_order_lines", "stg_contacts", "stg_accounts", "int_adoption_signals")
VIEWS = ("int_launch_adoptions", "int_influence", "adoption_classes", "adoption_validity")


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=50_000_000)
    parser.add_argument("--skip-scale", action="store_true")
    arguments = parser.parse_args()
    missed: list[str] = []
    parts = [HEAD, _found(missed), _harder(), _nothing(missed), _drift()]
    if not arguments.skip_scale:
        parts.append(_scale(arguments.people, arguments.events))
    RESULTS.write_text("\n".join(parts), encoding="utf-8")
    print(f"written to {RESULTS.relative_to(PROJECT)}")
    for one in missed:
        print(f"missed: {one}")
    sys.exit(1 if missed else 0)


HEAD = f"""# How well the adoption curve is told

Written by `make bench-adoption`; two cores, shared with other work. Simulated people of known innovativeness
(`benchmarks/adoption_worlds.py`), 4,000 in each of {WORLDS} worlds: how long somebody takes to try a launch is
exponential, with a rate that depends on innovativeness; 25 to 65 % try a launch while it is observed
({OBSERVED_DAYS} days), all others are censored.
"""


def _found(missed: list[str]) -> str:
    """The acceptance figures: innovativeness is 40 % of what makes the time until a launch is tried."""
    lines = [
        "## Known innovativeness, found again",
        "",
        "Innovativeness is 40 % of the variance of the logarithm of the time; affinity and breadth of use go with it "
        "at 0.3 each. "
        "Mean over the worlds, the worst in brackets.",
        "",
        "| launches | Spearman | floor | weighted κ with the true class | floor | largest error of a share, points | "
        "floor |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    worlds = [world(seed, launches=LAUNCHES) for seed in range(WORLDS)]
    for launches, floor in ((2, None), (3, 0.6), (5, None), (8, 0.75)):
        figures = np.array([_figures(one, launches) for one in worlds])
        rank, kappa, share = figures.T
        told = f"{floor:.2f}" if floor else ""
        lines.append(
            f"| {launches} | {rank.mean():.3f} ({rank.min():.3f}) | {told} | {kappa.mean():.3f} ({kappa.min():.3f}) | "
            f"{'0.60' if floor else ''} | {share.mean() * 100:.3f} ({share.max() * 100:.3f}) | "
            f"{'0.2' if floor else ''} |"
        )
        if floor and (rank.min() < floor or kappa.min() < 0.6 or share.max() > 0.002):
            missed.append(f"{launches} launches: Spearman {rank.min():.3f}, kappa {kappa.min():.3f}")
    lines += [
        "",
        "Innovators and Early Adopters by so many launches, among the first tenth of those who try the next one, "
        "against all:",
        "",
        "| launches | times the base rate (95 %) | floor | log-rank chi-square of the five classes | more than "
        "chance (p < 0.01) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for launches in (2, 3, 5, 8):
        lift, tests = _next(worlds, launches)
        lines.append(
            f"| {launches} | {lift[0]:.2f} ({lift[1]:.2f} to {lift[2]:.2f}) | {'2.5' if launches == 8 else ''} | "
            f"{np.mean([one.chi_square for one in tests]):.0f} | {sum(one.p < 0.01 for one in tests)} of "
            f"{len(tests)} worlds |"
        )
        if launches == 8 and lift[0] < 2.5:
            missed.append(f"first adopters of the next launch: {lift[0]:.2f} times the base rate")
    return "\n".join([*lines, ""])


def _figures(one: World, launches: int) -> tuple[float, float, float]:
    placed = one.placed(launches)
    truth = class_by_rank(one.innovativeness, ROGERS.shares)
    shares = np.bincount(placed.places.curve_class, minlength=5) / len(truth)
    return (
        float(spearmanr(one.innovativeness, placed.places.innovativeness).statistic),
        weighted_kappa(truth, placed.places.curve_class, 5),
        float(np.abs(shares - ROGERS.shares).max()),
    )


def _next(worlds: list[World], launches: int):  # type: ignore[no-untyped-def]
    """Over all worlds together, who tries the next launch first; and in each, the log-rank test."""
    position = [one.placed(launches).places.curve_class for one in worlds]
    days = [one.days[:, launches] for one in worlds]
    tests = [
        log_rank(np.nan_to_num(when, nan=OBSERVED_DAYS), ~np.isnan(when), where)
        for when, where in zip(days, position, strict=True)
    ]
    lifts = np.array(
        [
            first_adopter_lift(where, np.nan_to_num(when, nan=OBSERVED_DAYS), ~np.isnan(when), 2)
            for when, where in zip(days, position, strict=True)
        ]
    )
    together = lifts[:, 0].mean()
    error = lifts[:, 0].std(ddof=1) / np.sqrt(len(lifts))
    return (together, together - 1.96 * error, together + 1.96 * error), tests


def _harder() -> str:
    """Worlds in which less of the time is innovativeness, and where nothing is known before."""
    lines = [
        "## Where it is harder",
        "",
        "The part of the variance that is innovativeness, with and without affinity and breadth of use; eight worlds "
        "each. "
        "Placed: worlds in which classes are not withheld (reliability surely at least 0.3).",
        "",
        "| part | known before | launches | Spearman | weighted κ | times the base rate | placed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part in (0.1, 0.2, 0.3, 0.5):
        for known in (0.3, 0.0):
            worlds = [world(seed, launches=LAUNCHES, reliability=part, known_before=known) for seed in range(8)]
            for launches in (3, 8):
                figures = np.array([_figures(one, launches) for one in worlds]).mean(axis=0)
                lift, _ = _next(worlds, launches)
                placed = sum(_withheld(one, launches) is None for one in worlds)
                lines.append(
                    f"| {part:.0%} | {'0.3 each' if known else 'nothing'} | {launches} | {figures[0]:.2f} | "
                    f"{figures[1]:.2f} | "
                    f"{lift[0]:.2f} | {placed} of 8 |"
                )
    return "\n".join([*lines, ""])


def _withheld(one: World, launches: int) -> str | None:
    evidence = one.evidence(launches)
    return why_withheld(signal_of(evidence, 2), evidence, ROGERS, False, OBSERVED_DAYS)


def _nothing(missed: list[str]) -> str:
    """Worlds in which early trying is chance."""
    worlds = [
        (people, launches)
        for people in (400, 4_000)
        for launches in (2, 3, 8)
        for seed in range(50)
        if _withheld(world(seed, people=people, launches=launches, reliability=0.0), launches) is None
    ]
    if worlds:
        missed.append(f"classes in {len(worlds)} worlds without signal")
    return (
        "## Where there is nothing to tell\n\n"
        f"In 300 worlds in which early trying is chance (400 and 4,000 people; 2, 3 and 8 launches), classes are "
        f"withheld in "
        f"{300 - len(worlds)}.\n"
    )


def _drift() -> str:
    """Shares as launches come, by cut points set at the third."""
    one = world(6, people=50_000, launches=16)
    model = one.placed(3).model
    lines = [
        "## Do shares move by themselves?",
        "",
        "Cut points set after three launches, and the same 50,000 people, whose innovativeness never changes, placed "
        "by "
        "ever more launches; percent of people. Without the factor that grows with the launches seen, more evidence "
        "alone "
        "would enlarge both ends.",
        "",
        "| launches | Innovator | Early Adopter | Early Majority | Late Adopter | Laggard | Innovator without the "
        "factor |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for launches in (3, 5, 8, 12, 16):
        evidence = one.evidence(launches)
        places = place_people(model, evidence, one.expected_from, 2, launches)
        fixed = place_people(model, evidence, one.expected_from, 2, model.typical_launches)
        shares = np.bincount(places.curve_class, minlength=5) / 50_000
        cells = " | ".join(f"{share:.1%}" for share in shares)
        lines.append(f"| {launches} | {cells} | {(fixed.curve_class == 0).mean():.1%} |")
    return "\n".join([*lines, ""])


def _scale(people: int, events: int) -> str:
    """What a later week costs."""
    with tempfile.TemporaryDirectory(prefix="personae-adoption-") as name:
        workspace = _workspace(Path(name))
        rows = _fill(workspace, people, events)
        _dbt(workspace)
        figures: dict[str, tuple[float, float]] = {}
        compiled = workspace.dbt_target_folder / "compiled" / "personae" / "models" / "intermediate"
        signals = (compiled / "int_adoption_signals.sql").read_text()
        with duckdb.connect(str(workspace.warehouse_file), config={"memory_limit": "4GB"}) as connection:
            connection.execute("set TimeZone = 'UTC'")
            run_adoption_week(connection, workspace, WEEK.back(1))
            for label, what in (
                (
                    "dbt: int_adoption_signals",
                    lambda: connection.execute(f"create or replace table signals as {signals}"),
                ),
                ("ml: adoption (reads the two views)", lambda: run_adoption_week(connection, workspace, WEEK)),
                ("dbt: rows of segment_memberships", lambda: connection.execute(MEMBERSHIPS, [WEEK.as_of])),
                (
                    "dbt: tests of adoption_classes",
                    lambda: connection.execute(TESTS, [WEEK.as_of, WEEK.as_of]).fetchall(),
                ),
                (
                    "published: adoption_classes",
                    lambda: connection.execute(PUBLISHED.format(folder=name), [WEEK.as_of]),
                ),
            ):
                wall, cpu = time.perf_counter(), time.process_time()
                what()
                figures[label] = (time.perf_counter() - wall, time.process_time() - cpu)
        peak = _peak_gigabytes()
    together = np.array(list(figures.values())).sum(axis=0)
    return "\n".join(
        [
            "## What a later week costs",
            "",
            f"{people:,} people, {events:,} events of two years in the warehouse, {rows:,} of them uses of what was "
            f"launched "
            f"in {LAUNCHES} launches, the last of them open. Queries within DuckDB's 4 GB; peak memory of the "
            f"process {peak:.1f} GB.",
            "",
            "| | seconds (wall) | CPU seconds |",
            "| --- | --- | --- |",
            *(f"| {label} | {wall:.1f} | {cpu:.1f} |" for label, (wall, cpu) in figures.items()),
            f"| together | {together[0]:.1f} | {together[1]:.1f} |",
            "",
        ]
    )


MEMBERSHIPS = (
    "create or replace table memberships as select as_of, person_id, 'adoption_class' as segment_type, "
    "adoption_class as segment_id, adoption_class_name as segment_name, class_probability as membership_strength, "
    "model_id from ml.adoption_scores where as_of = ? and adoption_class <> 'unclassified'"
)
TESTS = (
    "select count(*) from marts.adoption_classes where as_of = ? and (person_id is null or adoption_class is null or "
    "class_probability not between 0 and 1 or launches_seen is null or launches_adopted is null) union all "
    "select count(*) from (select person_id from marts.adoption_classes where as_of = ? group by person_id having "
    "count(*) > 1)"
)
PUBLISHED = (
    "copy (select * from marts.adoption_classes where as_of = ? order by person_id) to "
    "'{folder}/adoption_classes.parquet' (format parquet, compression zstd)"
)


def _workspace(folder: Path) -> Workspace:
    (folder / "mappings").mkdir(parents=True)
    first = WEEK.as_of - timedelta(days=90 * LAUNCHES - 60)
    settings = {
        "company": "Large",
        "first_week": "2024-11-04",
        "launches": [
            {"id": f"l{n}", "name": f"Launch {n}", "date": first + timedelta(days=90 * n), "event": f"used launch {n}"}
            for n in range(LAUNCHES)
        ],
    }
    (folder / "personae.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    columns = {"occurred_at": "at", "contact_id": "who", "event_type": {"value": "other"}, "event_name": "name"}
    mapping = {"extract": {"files": "events*.csv"}, "entities": {"events": {"columns": columns}}}
    (folder / "mappings" / "events.yml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    workspace = Workspace.open(folder)
    workspace.state_folder.mkdir(parents=True, exist_ok=True)
    return workspace


def _fill(workspace: Workspace, people: int, events: int) -> int:
    """Raw events, and who is who; what else the models ask for is empty."""
    known = world(1, people=people, launches=LAUNCHES)
    begin = WEEK.as_of - timedelta(days=730)
    with duckdb.connect(str(workspace.warehouse_file), config={"memory_limit": "4GB"}) as connection:
        connection.execute("set enable_progress_bar = false")
        make_raw_tables(connection, {})
        for week, is_built in ((WEEK.back(1), False), (WEEK, True)):
            as_of_at = week.as_of_at(workspace.settings.timezone)
            connection.execute(
                "insert into raw.run_weeks values (?, ?, true, ?, 'f')", [week.as_of, as_of_at, is_built]
            )
        uses = 0
        months = 24
        for month in range(months):
            connection.execute(
                "insert into raw.events by name select 'c' || lpad((hash(i) % $people)::varchar, 8, '0') as "
                "contact_id, "
                "$begin::timestamp + to_days(30 * $month + (i * 30 // $each)::integer) + to_seconds((i % "
                "86400)::double) "
                "as occurred_at, 'product_use' as event_type, 'event ' || (hash(i + 7) % 12) as event_name, "
                "'events' as _source, 'f' as _file, i as _row_number from range($each) as q(i)",
                {"people": people, "begin": begin, "month": month, "each": events // months},
            )
        for number, launch in enumerate(workspace.settings.launches):
            days = known.days[:, number]
            days = np.where(
                (days < (WEEK.as_of - launch.launched_on).days) & (np.arange(people) % 10 < 9), days, np.nan
            )
            first = np.flatnonzero(~np.isnan(days))
            uses += 2 * len(first)
            frame = {"who": first, "days": days[first]}
            told = pl.DataFrame(frame).sort("days")  # noqa: F841 - DuckDB reads it by name
            connection.execute(
                "insert into raw.events by name select 'c' || lpad(who::varchar, 8, '0') as contact_id, "
                "$day::timestamp + to_seconds((days + again * 3) * 86400) as occurred_at, 'product_use' as event_type, "
                "$event as event_name, 'events' as _source, 'f' as _file, 1 as _row_number "
                "from told cross join range(2) as q(again)",
                {"day": launch.launched_on, "event": launch.event},
            )
        connection.execute("create schema if not exists intermediate")
        connection.execute("create schema if not exists features")
        connection.execute("create schema if not exists ml")
        connection.execute(
            "create table intermediate.int_identities_resolved as select 'contact' as identity_kind, "
            "'c' || lpad(p::varchar, 8, '0') as identity_id, "
            "cast('0x' || left(md5(p::varchar), 16) as ubigint) as person_id, "
            "timestamp '2020-01-01' as valid_from, null::timestamp as valid_to, true as makes_person, true as is_first "
            "from range($people) as q(p)",
            {"people": people},
        )
        connection.execute(
            "create table intermediate.int_people as select as_of, person_id, identity_id as contact_id, "
            "null::varchar as account_id, timestamp '2024-01-01' + to_days((hash(person_id) % 800)::integer) as "
            "created_at "
            "from intermediate.int_identities_resolved cross join raw.run_weeks"
        )
        connection.execute(
            "create table features.person_features as select as_of, person_id, (hash(person_id) % 9)::bigint "
            "as products_365d from intermediate.int_people order by as_of, person_id"
        )
        connection.execute(
            "create table ml.affinity_scores (as_of date, person_id ubigint, phrase_group varchar, phrase varchar, "
            "score double)"
        )
        make_tables(connection, ADOPTION_TABLES)
        return uses


def _dbt(workspace: Workspace) -> None:
    """Build the models with dbt, so that they stand, and are compiled."""
    command = [
        str(DBT_COMMAND),
        "run",
        *("--project-dir", str(DBT_PROJECT_FOLDER), "--profiles-dir", str(DBT_PROJECT_FOLDER)),
        *("--target-path", str(workspace.dbt_target_folder), "--vars", vars_argument(workspace)),
        *("--select", *EVENT_MODELS, *VIEWS),
    ]
    done = subprocess.run(
        command, env=os.environ | dbt_environment(workspace), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)


def _peak_gigabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1e6
    return float("nan")


if __name__ == "__main__":
    main()
