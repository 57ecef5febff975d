"""How well it is told which way of persuading a group answers to, and what that costs: writes `PERSUASION.md`.

python -m benchmarks.persuasion [--companies 60] [--people 1000000] [--skip-scale]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from math import isnan
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.persuasion_worlds import GROUPS, company, find
from ml.persuasion import APPROACHES
from orchestration.persuasion_week import run_persuasion_week
from orchestration.weeks import Week
from orchestration.workspace import Workspace

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "benchmarks" / "PERSUASION.md"
DBT_PROJECT = PROJECT / "dbt_project"
HEAD = f"""# How well it is told what persuades whom

Written by `make bench-persuasion`. {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()},
shared with other work, so that times are upper bounds. What is told and when not to believe it:
[docs/persuasion.md](../docs/persuasion.md).
"""
WORLDS: dict[str, dict] = {
    "no group has a best approach": {"with_best": 0},
    "none, 10,000 messages": {"with_best": 0, "sends": 10_000},
    "none, rate 2 %": {"with_best": 0, "base": 0.02},
    "none, approaches sent unevenly": {"with_best": 0, "uneven": True},
    "none, people differ": {"with_best": 0, "messages_per_person": 5, "readiness": 0.2},
    "half of the groups": {"with_best": GROUPS // 2},
    "one of six groups": {"with_best": 1},
    "every group, 500 messages": {"sends": 500},
    "every group": {},
    "every group, 2,000 messages": {"sends": 2_000},
    "every group, 5,000 messages": {"sends": 5_000},
    "every group, approaches sent unevenly": {"uneven": True},
    "every group, people differ": {"messages_per_person": 5, "readiness": 0.2},
}


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--companies", type=int, default=60)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--skip-scale", action="store_true")
    arguments = parser.parse_args()
    parts = [HEAD, _worlds(arguments.companies)]
    if not arguments.skip_scale:
        parts.append(_scale(arguments.people))
    RESULTS.write_text("\n".join(parts), encoding="utf-8")
    print(f"written to {RESULTS.relative_to(PROJECT)}")


def _worlds(companies: int) -> str:
    lines = [
        "## Found, or said not to be known",
        "",
        f"{companies} simulated companies per row, each with {GROUPS} groups and {len(APPROACHES)} approaches; 1,000 "
        "messages per group and approach, a rate of 10 % and a best approach with 1.3 times that, unless said "
        "otherwise. Required: groups without a best approach are told that there is no evidence in at least 95 %, and "
        "the best one is ranked first in at least 85 %.",
        "",
        "| which groups have a best approach | told that there is no evidence, of groups without | best ranked first "
        "| and told as observed | of those told as observed, wrong | rates inside their 90 % interval "
        "| of the best ones |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for place, (name, world) in enumerate(WORLDS.items()):
        rng = np.random.default_rng([7, place])
        settings = {"sends": 1_000} | world
        found = find([company(rng, **settings) for _ in range(companies)])
        shares = (found.null_told, found.first, found.told, found.wrong, found.covered, found.covered_best)
        lines.append(f"| {name} | " + " | ".join("–" if isnan(one) else f"{one:.1%}" for one in shares) + " |")
    lines += [
        "",
        "An approach that is ranked first is not yet told as observed: that takes a lead that groups without a "
        "best approach show in 3 of 100 cases, whatever else is true in the company. At 1,000 messages and a 1.3-fold "
        "effect that leaves some six in ten groups; the others keep their default and are told what leads so far.",
        "",
    ]
    return "\n".join(lines)


def _scale(people: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        seconds = _times(Path(folder), people)
    clock, processor = (sum(one[place] for one in seconds.values()) for place in (0, 1))
    rows = [f"| {name} | {on_clock:.1f} s | {used:.1f} s |" for name, (on_clock, used) in seconds.items()]
    return "\n".join(
        [
            "## What a week costs",
            "",
            f"{people:,} people in six personas, each with two tagged messages in the history ({2 * people:,}, as many "
            "as are read at most), a tenth of them answered; a block list by attribute and ticket. Seconds on the "
            "clock, and of the processor: two idle cores take half of the latter at best.",
            "",
            "| step | clock | processor |",
            "| --- | ---: | ---: |",
            *rows,
            f"| together | {clock:.1f} s | {processor:.1f} s |",
            "",
        ]
    )


def _times(folder: Path, people: int) -> dict[str, tuple[float, float]]:
    week = Week(date(2026, 2, 23))
    _write_workspace(folder)
    workspace = Workspace.open(folder)
    warehouse = folder / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        _fill(connection, people, week)
    compiled = _compiled(folder, workspace)
    file = folder / "person_persuasion.parquet"
    with duckdb.connect(str(warehouse), config={"threads": 2, "memory_limit": "4GB"}) as connection:
        times = {f"`{name}`": _timed(partial(connection.execute, query)) for name, query in compiled.items()}
        run_persuasion_week(connection, workspace, week)
        times["`persuasion_week.py`: estimates, and labels of everybody"] = _timed(
            lambda: run_persuasion_week(connection, workspace, week)
        )
        times["publishing `person_persuasion`"] = _timed(
            lambda: connection.execute(
                f"copy (from ml.persuasion_people order by person_id) to '{file}' (format parquet, compression zstd)"
            )
        )
    return times


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def _write_workspace(folder: Path) -> None:
    (folder / "mappings").mkdir()
    (folder / "personae.yml").write_text(
        "company: Scale\nfirst_week: 2026-01-05\npersuasion:\n"
        "  tags:\n"
        + "".join(f"    {approach}: {{content: 'text_{place}'}}\n" for place, approach in enumerate(APPROACHES))
        + "  defaults: {'*': [social_proof, authority]}\n"
        "  pressure:\n    spare:\n"
        "      - {attribute: dunning, is: [high], because: in arrears}\n"
        "      - {ticket_type: [complaint], within_days: 91, because: complained of late}\n",
        encoding="utf-8",
    )
    for entity, columns in (
        ("contacts", "contact_id: id"),
        ("messages", "contact_id: id\n      occurred_at: at\n      message_action: what\n      channel: channel"),
        ("tickets", "ticket_id: t\n      created_at: at\n      contact_id: id"),
        ("orders", "order_id: o\n      ordered_at: at\n      contact_id: id"),
    ):
        attributes = "    attributes: {dunning: sensitive}\n" if entity == "contacts" else ""
        (folder / "mappings" / f"{entity}.yml").write_text(
            f"extract: {{files: '{entity}.csv'}}\nentities:\n  {entity}:\n    columns:\n      {columns}\n{attributes}",
            encoding="utf-8",
        )


def _fill(connection: duckdb.DuckDBPyConnection, people: int, week: Week) -> None:
    """What the models before these leave: the people of a week, their messages, orders, tickets and personas."""
    as_of = week.as_of
    connection.execute("create schema raw; create schema staging; create schema intermediate; create schema ml")
    connection.execute("select setseed(0.5)")
    person = "cast('0x' || left(md5(i::varchar), 16) as ubigint)"
    ids = f"select {person} as person_id, 'c' || i as contact_id, i from range({people}) as t(i)"
    valid = "timestamp '2020-01-01' as valid_from, null::timestamp as valid_to"
    statements = [
        f"create table intermediate.int_weeks as select date '{as_of}' as as_of, timestamp '{as_of}' as as_of_at, "
        "true as is_scored, true as build_features",
        f"create table intermediate.int_message_history as select date '{as_of}' as as_of, "
        f"timestamp '{as_of}' as as_of_at, "
        f"date '{as_of}' - 182 as starts_on, timestamp '{as_of}' - interval 182 day as from_at",
        f"create table intermediate.int_people as select date '{as_of}' as as_of, person_id, contact_id from ({ids}) "
        "order by person_id",
        "create table intermediate.int_identities_resolved as select 'contact' as identity_kind, "
        f"contact_id as identity_id, person_id, {valid} from ({ids})",
        "create table intermediate.int_message_outcomes as select contact_id, sent_at, "
        "null::timestamp as known_from_at, 'email' as channel, 'c' || (i % 20) as campaign, null::varchar as offer, "
        "'text_' || (random() * 7)::int as content, "
        "null::timestamp as bounced_from_at, null::timestamp as opened_from_at, "
        "case when random() < 0.1 then sent_at + interval 1 hour end as clicked_from_at "
        f"from (select *, timestamp '{as_of}' - interval 20 day "
        "- interval 1 minute * (random() * 200000)::int as sent_at "
        f"from ({ids}) cross join range(2))",
        "create table intermediate.int_orders as select 'o' || i as order_id, contact_id, "
        f"timestamp '{as_of}' - interval 1 minute * (random() * 200000)::int as ordered_at, "
        f"true as is_purchase, {valid} from ({ids}) where i % 4 = 0",
        f"create table staging.stg_contacts as select contact_id, null::varchar as account_id, "
        f"case when random() < 0.02 then 'high' end as attr_dunning, {valid} from ({ids})",
        "create table staging.stg_tickets as select contact_id, 'complaint' as ticket_category, "
        f"timestamp '{as_of}' - interval 10 day as created_at, {valid} from ({ids}) where i % 50 = 0",
        f"create table ml.personas as select date '{as_of}' as as_of, 'persona' as persona_type, 'persona-0' || i as "
        "persona_id, 'Persona ' || i as persona_name from range(6) as t(i)",
        f"create table ml.persona_assignments as select date '{as_of}' as as_of, 'persona' as persona_type, person_id, "
        f"'persona-0' || (i % 6) as persona_id from ({ids})",
    ]
    for statement in statements:
        connection.execute(statement)


def _compiled(folder: Path, workspace: Workspace) -> dict[str, str]:
    """The statements that dbt runs for the two models of this area, by name."""
    models = ("int_persuasion_responses", "int_people_spared_pressure")
    subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")), "compile", "--select", *models,
            "--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT),
            "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"),
            "--vars", json.dumps(workspace.dbt_vars(), sort_keys=True),
        ],
        cwd=folder,
        env=os.environ
        | {"PERSONAE_WAREHOUSE": "warehouse.duckdb", "PERSONAE_TEMP": "spill", "PERSONAE_CODE": str(PROJECT)},
        capture_output=True,
        check=True,
    )  # fmt: skip
    found = folder / "target" / "compiled" / "personae" / "models" / "intermediate"
    queries = {name: (found / f"{name}.sql").read_text(encoding="utf-8") for name in models}
    return {name: f"create or replace table intermediate.{name} as {query}" for name, query in queries.items()}


if __name__ == "__main__":
    main()
