"""Measures customer value, preferences and uplift, and writes DIMENSIONS.md.

    python -m benchmarks.dimensions [--people 1000000] [--skip-scale] [--data FOLDER]

How right they are is measured on simulated people whose truth is known, and on the public CDNOW sample; how long they
take, on a warehouse filled with as many people as asked for, with dbt's own models.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from benchmarks.preference_worlds import world
from ml.customer_value import FIT_SAMPLE, ValueModel, ValueSettings
from ml.uplift import TWO_MODELS, measure_uplift
from orchestration.dbt_runs import DBT_COMMAND
from orchestration.ingest.tables import make_raw_tables
from orchestration.preference_week import run_preference_week
from orchestration.uplift_week import run_uplift_week
from orchestration.value_week import run_value_week
from orchestration.weeks import Week
from orchestration.workspace import Workspace

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "DIMENSIONS.md"
WEEK = Week(date(2026, 11, 9))
NEW_MODELS = (
    *("int_message_history", "int_message_outcomes", "int_person_choices"),
    *("int_purchase_histories", "int_experiment_people"),
)
OTHER_MODELS = (
    *("int_weeks", "stg_messages", "stg_orders", "stg_order_lines", "stg_contacts", "stg_events"),
    *("int_orders", "int_identity_days", "int_sessions"),
)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--skip-scale", action="store_true")
    parser.add_argument("--data", type=Path, default=PROJECT.parent / "shared" / "data", help="the public data sets")
    arguments = parser.parse_args()
    parts = [HEAD, _value(arguments.data), _preferences(), _uplift()]
    if not arguments.skip_scale:
        parts.append(_scale(arguments.people))
    RESULTS.write_text("\n".join(parts), encoding="utf-8")
    print(f"written to {RESULTS.relative_to(PROJECT)}")


HEAD = """# How well value, preferences and uplift are told

Written by `make bench-dimensions`; two cores, shared with other work, so that times are upper bounds.
"""


def _value(data: Path) -> str:
    lines = ["## Customer value", ""]
    source = data / "cdnow" / "CDNOW_sample.txt"
    if source.is_file():
        lines += _cdnow(source)
    lines += [
        "",
        f"Why the models are fitted on at most {FIT_SAMPLE:,} people: parameters planted in simulated customers "
        "(r 0.8, α 6, a 0.8, b 2.5; 300,000 of them) against those found, and what is then expected of all together.",
        "",
        "| people fitted on | largest error of a parameter | error of everybody's expected purchases | seconds |",
        "| --- | --- | --- | --- |",
    ]
    everybody = _buyers(300_000, 1)
    truth = np.array([0.8, 6.0, 0.8, 2.5])
    whole = None
    for size in (300_000, 50_000, 10_000):
        started = time.perf_counter()
        model = ValueModel.fit(everybody.head(size), ValueSettings(), sample=size)
        took = time.perf_counter() - started
        assert isinstance(model, ValueModel)
        found = np.array([model.purchases.r, model.purchases.alpha, model.purchases.a, model.purchases.b])
        total = model.score(everybody)["expected_purchases"].sum()
        whole = whole or total
        lines.append(
            f"| {size:,} | {np.abs(found / truth - 1).max():.1%} | {abs(total / whole - 1):.2%} | {took:.1f} |"
        )
    return "\n".join([*lines, ""])


def _cdnow(source: Path) -> list[str]:
    rows = [line.split() for line in source.read_text().splitlines()]
    days = (
        pl.DataFrame(
            {
                "person_id": pl.Series([int(r[1]) for r in rows], dtype=pl.UInt64),
                "day": [r[2] for r in rows],
                "amount": [float(r[4]) for r in rows],
            }
        )
        .with_columns(pl.col("day").str.to_date("%Y%m%d"))
        .group_by("person_id", "day")
        .agg(pl.col("amount").sum())
        .sort("person_id", "day")
    )
    end = date(1997, 9, 30)
    known = (
        days.filter(pl.col("day") <= end)
        .group_by("person_id", maintain_order=True)
        .agg(
            frequency=pl.len() - 1,
            recency_days=(pl.col("day").max() - pl.col("day").min()).dt.total_days(),
            age_days=(pl.lit(end) - pl.col("day").min()).dt.total_days(),
            amount=pl.col("amount").slice(1).mean(),
            gap_variation=pl.lit(None, pl.Float64),
        )
    )
    model = ValueModel.fit(known, ValueSettings(horizon_days=273))
    assert isinstance(model, ValueModel) and model.amounts is not None
    later = days.filter(pl.col("day") > end).group_by("person_id").agg(happened=pl.len())
    both = model.score(known).join(later, on="person_id", how="left").with_columns(pl.col("happened").fill_null(0))
    error = (both["expected_purchases"] - both["happened"]).abs().mean()
    bought, paid = model.purchases, model.amounts
    return [
        "CDNOW, 2,357 customers, fitted on 39 weeks and compared with the 39 after them:",
        "",
        "| | found | published |",
        "| --- | --- | --- |",
        f"| r, α, a, b | {bought.r:.4f}, {bought.alpha:.4f}, {bought.a:.4f}, {bought.b:.4f} "
        "| .243, 4.414, .793, 2.426 |",
        f"| log-likelihood | {bought.log_likelihood:.2f} | −9582.4 |",
        f"| gamma-gamma p, q, v | {paid.p:.3f}, {paid.q:.3f}, {paid.v:.3f} | 6.25, 3.74, 15.44 |",
        f"| purchases of the holdout | {both['expected_purchases'].sum():,.0f} | {both['happened'].sum():,} happened |",
        f"| mean absolute error per customer | {error:.3f} | |",
    ]


def _buyers(people: int, seed: int) -> pl.DataFrame:
    """Customers who buy as the model says (r 0.8, alpha 6 weeks, a 0.8, b 2.5), observed for 20 to 60 weeks."""
    rng = np.random.default_rng(seed)
    rate, stop = rng.gamma(0.8, 1 / 6.0, people), rng.beta(0.8, 2.5, people)
    age = rng.uniform(20, 60, people)
    now, last, count = np.zeros(people), np.zeros(people), np.zeros(people, dtype=np.int64)
    buying = np.arange(people)
    while len(buying):
        now[buying] += rng.exponential(1 / rate[buying])
        buying = buying[now[buying] <= age[buying]]
        last[buying], count[buying] = now[buying], count[buying] + 1
        buying = buying[rng.random(len(buying)) >= stop[buying]]
    scale = rng.gamma(3.7, 1 / 15.0, people)
    amount = rng.gamma(6.25 * np.maximum(count, 1), 1 / scale) / np.maximum(count, 1)
    return pl.DataFrame(
        {
            "person_id": np.arange(people, dtype=np.uint64),
            "frequency": count,
            "recency_days": np.rint(last * 7).astype(np.int64),
            "age_days": np.rint(age * 7).astype(np.int64),
            "amount": amount,
            "gap_variation": pl.Series([None] * people, dtype=pl.Float64),
        }
    ).with_columns(pl.when(pl.col("frequency") > 0).then("amount").alias("amount"))


def _preferences() -> str:
    lines = [
        "## Best time to send",
        "",
        "4,000 people of five personas, 36 slots, messages at slots drawn by chance "
        "(`benchmarks/preference_worlds.py`); "
        "eight worlds each. The gap is that between everybody at the overall best time and everybody at their own.",
        "",
        "| messages a person | random | overall best | learned | everybody's own best | gap closed: mean (worst) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for sends in (5, 10, 20, 60):
        worlds = [world(seed, sends=sends) for seed in range(8)]
        closed = [(w.achieved() - w.overall_best) / (w.oracle - w.overall_best) for w in worlds]
        figures = (
            np.mean([w.rates.mean() for w in worlds]),
            np.mean([w.overall_best for w in worlds]),
            np.mean([w.achieved() for w in worlds]),
            np.mean([w.oracle for w in worlds]),
        )
        cells = " | ".join(f"{figure:.3f}" for figure in figures)
        lines.append(f"| {sends} | {cells} | {np.mean(closed):.0%} ({np.min(closed):.0%}) |")
    lost = [
        1 - (w := world(seed, differ=False, overall_peak=peak)).achieved() / w.overall_best
        for seed in range(8)
        for peak in (True, False)
    ]
    lines += ["", f"Where people do not differ, at 20 messages: lost {np.max(lost):.2%} at most (16 worlds)."]
    return "\n".join([*lines, ""])


def _experiment(people: int, seed: int, effect: float, differs: bool) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    orders, readiness = rng.poisson(0.6, people), rng.normal(0, 1, people)
    treated = rng.random(people) < 0.5
    gain = np.where(readiness > 0, 2 * effect, 0.0) if differs else np.full(people, effect)
    outcome = rng.random(people) < 0.04 + 0.14 * np.minimum(orders, 3) + gain * treated
    ids = np.arange(people, dtype=np.uint64)
    return pl.DataFrame(
        {
            "person_id": ids,
            "is_treated": treated,
            "outcome": outcome,
            "orders_before": orders,
            "readiness": readiness,
            "clicks_before": rng.poisson(1.0, people),
        }
    )


def _uplift() -> str:
    lines = [
        "## Uplift",
        "",
        "12,000 people, half of them treated; outcomes of 4 to 46 % without the message, by past orders. Twenty "
        "experiments each.",
        "",
        "| effect | interval holds the truth | told worth choosing by | effect in the first 30 % (truth) |",
        "| --- | --- | --- | --- |",
    ]
    for effect, differs, words in (
        (0.08, True, "8 points on average, all of it in one half"),
        (0.04, True, "4 points on average, all of it in one half"),
        (0.08, False, "8 points in everybody"),
        (0.0, False, "none"),
    ):
        found = [
            measure_uplift(_experiment(12_000, seed, effect, differs))
            .results.filter(learner=TWO_MODELS)
            .row(0, named=True)
            for seed in range(20)
        ]
        covered = np.mean([one["effect_low"] <= effect <= one["effect_high"] for one in found])
        chosen = np.mean([one["is_worth_targeting"] for one in found])
        top = np.mean([one["uplift_at_30"] for one in found])
        truth = 2 * effect if differs else effect
        lines.append(f"| {words} | {covered:.0%} | {chosen:.0%} | {top:+.3f} ({truth:+.3f}) |")
    alarms = [
        np.mean(
            [
                measure_uplift(_experiment(4_000, 1_000 + seed, effect, False)).results["is_worth_targeting"].any()
                for seed in range(150)
            ]
        )
        for effect in (0.0, 0.08)
    ]
    lines += [
        "",
        "Told worth choosing by any learner though there is nothing to choose by (150 experiments of 4,000 people): "
        f"{alarms[0]:.0%} without an effect, {alarms[1]:.0%} with the same effect in everybody.",
    ]
    return "\n".join([*lines, ""])


def _scale(people: int) -> str:
    """Times of dbt's new models and of the three assets for one week."""
    with tempfile.TemporaryDirectory(prefix="personae-dimensions-") as name:
        folder = Path(name)
        workspace = _workspace(folder)
        messages = _fill(workspace, people)
        seconds = _dbt_seconds(workspace)
        with duckdb.connect(str(workspace.warehouse_file), config={"memory_limit": "4GB"}) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for label, run in (
                ("ml: customer_values, segment_values", run_value_week),
                ("ml: person_preferences, segment_preferences", run_preference_week),
                ("ml: uplift_results", run_uplift_week),
            ):
                started = time.process_time()
                run(connection, workspace, WEEK)
                seconds[label] = time.process_time() - started
            for table, order in (("customer_values", "person_id"), ("person_preferences", "person_id, dimension")):
                started = time.process_time()
                connection.execute(
                    f"copy (select * from ml.{table} order by {order}) to '{folder}/{table}.parquet' "
                    "(format parquet, compression zstd)"
                )
                seconds[f"published: {table}"] = time.process_time() - started
        peak = _peak_gigabytes()
    lines = [
        "## How long a week takes",
        "",
        f"{people:,} people, {messages:,} messages sent within 26 weeks, answers, orders of a third of them, a "
        "control group in every campaign. Of dbt's models wall time, of the others CPU time. "
        f"Peak memory of the process, without dbt's: {peak:.1f} GB.",
        "",
        "| | seconds |",
        "| --- | --- |",
        *(f"| {label} | {took:.1f} |" for label, took in seconds.items()),
        f"| together | {sum(seconds.values()):.1f} |",
        "",
    ]
    return "\n".join(lines)


def _workspace(folder: Path) -> Workspace:
    source = PROJECT / "examples" / "demo" / "workspace"
    shutil.copytree(source, folder, dirs_exist_ok=True)
    workspace = Workspace.open(folder)
    workspace.state_folder.mkdir(parents=True, exist_ok=True)
    return workspace


def _fill(workspace: Workspace, people: int) -> int:
    """Raw messages and orders, and who is who; what else the models ask for is empty."""
    with duckdb.connect(str(workspace.warehouse_file)) as connection:
        attributes = {each.column: "VARCHAR" for each in workspace.attributes("contacts")}
        make_raw_tables(connection, {"contacts": attributes})
        connection.execute("set enable_progress_bar = false")
        as_of_at = WEEK.as_of_at(workspace.settings.timezone)
        connection.execute(
            "insert into raw.run_weeks values (?, ?, true, true, 'f')",
            [WEEK.as_of, as_of_at],
        )
        connection.execute(
            "create table sends as select 'c' || lpad((p % $people)::varchar, 8, '0') as contact_id, w, "
            "(p * 7919 + w * 104729) % 1000003 as r, timestamp '2026-05-11 06:00' + to_days(7 * w::integer) "
            "+ to_hours((((p * 7919 + w * 104729) % 1000003) % 154)::integer) as sent_at from range($people) as q(p), "
            "range(26) as v(w) where (p * 31 + w * 17) % 100 < 35",
            {"people": people},
        )
        connection.execute(
            "insert into raw.messages by name select contact_id, sent_at as occurred_at, "
            "case when r % 100 < 10 then 'withheld' else 'sent' end as message_action, 'email' as channel, "
            "'campaign' || w as campaign, 'offer' || (w % 4) as offer, "
            "case when r % 2 = 0 then 'long' else 'short' end as content, "
            "case when r % 100 < 10 then 'control' else 'treatment' end as treatment_group, false as is_machine, "
            "'mails' as _source, sent_at + interval 2 day as _delivered_at, 'f' as _file, 1 as _row_number from sends"
        )
        connection.execute(
            "insert into raw.messages by name select contact_id, "
            "sent_at + to_minutes((20 + r % 600)::integer) as occurred_at, unnest(case "
            "when r % 7 = 0 then ['delivered', 'opened', 'clicked'] when r % 3 = 0 then ['delivered', 'opened'] "
            "else ['delivered'] end) as message_action, 'email' as channel, 'campaign' || w as campaign, "
            "false as is_machine, 'mails' as _source, sent_at + interval 2 day as _delivered_at, 'f' as _file, "
            "1 as _row_number from sends where r % 100 >= 10"
        )
        connection.execute(
            "insert into raw.orders by name select 'o' || p || '-' || n as order_id, "
            "'c' || lpad(p::varchar, 8, '0') as contact_id, "
            "timestamp '2026-05-12 09:00' + to_days(((p * 131 + n * n * 37) % 180)::integer) as ordered_at, "
            "10.0 + (p * 17 + n * 91) % 190 as order_amount, 'completed' as order_status, "
            "case when (p + n) % 3 = 0 then 'web' else 'shop' end as order_channel, 'f' as _file, 1 as _row_number "
            "from range($people) as q(p), range(4) as v(n) where p % 3 = 0 and (n = 0 or (p * 7 + n * 13) % 10 < 4)",
            {"people": people},
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
            "create table intermediate.int_people as select $as_of::date as as_of, person_id, "
            "identity_id as contact_id, timestamp '2026-01-01' as created_at from intermediate.int_identities_resolved",
            {"as_of": WEEK.as_of},
        )
        connection.execute(
            "create table features.person_features as select as_of, person_id from intermediate.int_people "
            "order by person_id"
        )
        connection.execute(
            "create table ml.persona_assignments as select as_of, person_id, 'persona' as persona_type, "
            "'persona-0' || (1 + person_id % 5) as persona_id from intermediate.int_people"
        )
        count = connection.execute("select count(*) from sends").fetchall()[0][0]
        connection.execute("drop table sends")
        return int(count)


def _dbt_seconds(workspace: Workspace) -> dict[str, float]:
    """How long dbt took for each of the new models."""
    from orchestration.dbt_runs import DBT_PROJECT_FOLDER, dbt_environment, vars_argument

    command = [
        str(DBT_COMMAND),
        "run",
        "--project-dir",
        str(DBT_PROJECT_FOLDER),
        "--profiles-dir",
        str(DBT_PROJECT_FOLDER),
        "--target-path",
        str(workspace.dbt_target_folder),
        "--vars",
        vars_argument(workspace),
        "--select",
        *OTHER_MODELS,
        *NEW_MODELS,
    ]
    done = subprocess.run(
        command, env=os.environ | dbt_environment(workspace), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    results = json.loads((workspace.dbt_target_folder / "run_results.json").read_text())["results"]
    times = {one["unique_id"].rsplit(".", 1)[-1]: float(one["execution_time"]) for one in results}
    return {f"dbt: {name}": times[name] for name in NEW_MODELS}


def _peak_gigabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1e6
    return float("nan")


if __name__ == "__main__":
    main()
