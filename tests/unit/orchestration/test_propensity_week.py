"""Propensities week by week: who is scored, which model stands, what became of what was said, and the same again."""

from __future__ import annotations

import json
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from workspace_builder import WorkspaceBuilder

from activation.answers import first_row
from orchestration.ingest.tables import make_raw_tables
from orchestration.persona_store import PERSONA_TABLES
from orchestration.propensity_refits import Due, judge, what_is_due
from orchestration.propensity_store import PROPENSITY_TABLES, model_used
from orchestration.propensity_week import run_propensity_week
from orchestration.report_propensities import propensity_notes
from orchestration.rollbacks import Rollback, add_rollback
from orchestration.target_settings import ModelSettings
from orchestration.turning_back import NothingToTurnBackFrom, turn_back
from orchestration.warehouse import make_tables
from orchestration.weeks import Week
from orchestration.why_propensities import propensity_lines
from tests.people_by_name import person_ids

FIRST = Week(date(2026, 1, 5))
WEEKS = [FIRST.back(-step) for step in range(10)]
PEOPLE = 600
CATALOGUE = pl.DataFrame(
    {
        "feature": ["revenue_91d", "orders_total", "average_order_amount_365d", "contact_country", "noise"],
        "family": "f",
        "label": ["visits", "orders", "amount", "country", "noise"],
        "high_words": None,
        "low_words": None,
        "kind": ["number", "number", "number", "category", "number"],
        "is_persona_input": [True, True, True, True, False],
        "is_propensity_input": True,
    },
    schema_overrides={"high_words": pl.String, "low_words": pl.String},
)
# A declared direction leaves two algorithms to choose from: the tests are about weeks, not about algorithms.
TARGETS = {
    "soon": {
        "outcome": "order",
        "within_days": 14,
        "bands": {"cost": 1, "value": 5},
        "monotonic": {"revenue_91d": "increasing"},
    },
    "none": {
        "outcome": "no_order",
        "within_days": 14,
        "eligible": "has_ordered",
        "monotonic": {"revenue_91d": "decreasing"},
    },
    "luck": {"outcome": "order", "within_days": 7, "monotonic": {"revenue_91d": "increasing"}},
}


def happens(week: Week, visits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.random(len(visits)) < 1 / (1 + np.exp(2.0 - 1.1 * visits))


@cache
def planted() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Features, outcomes and personas of ten weeks of people whose next order depends on their visits.

    Of `luck` it depends on nothing.
    """
    people = person_ids(PEOPLE)
    features, outcomes, personas = [], [], []
    for number, week in enumerate(WEEKS):
        random = np.random.default_rng(number)
        visits = random.normal(0, 1.3, PEOPLE)
        orders = random.integers(0, 3, PEOPLE)
        features.append(
            pl.DataFrame(
                {
                    "as_of": week.as_of,
                    "person_id": people,
                    "revenue_91d": visits,
                    "orders_total": orders,
                    "average_order_amount_365d": np.where(orders > 0, random.gamma(4, 10, PEOPLE), np.nan),
                    "contact_country": np.array(["DE", "FR", "IS"])[
                        np.minimum(random.integers(0, 400, PEOPLE) // 150, 2)
                    ],
                    "noise": random.normal(0, 1, PEOPLE),
                }
            )
        )
        did = {"soon": happens(week, visits, random), "luck": random.random(PEOPLE) < 0.3}
        did["none"] = did["soon"]
        for target, happened in did.items():
            outcomes.append(
                pl.DataFrame({"person_id": people})
                .filter(pl.Series(happened))
                .with_columns(
                    target=pl.lit(target),
                    as_of=pl.lit(week.as_of),
                    outcome=pl.lit(target != "none"),
                    outcome_known_at=pl.lit(week.as_of + timedelta(days=3)).cast(pl.Datetime),
                )
            )
        personas.append(
            pl.DataFrame({"person_id": people}).with_columns(
                as_of=pl.lit(week.as_of),
                persona_type=pl.lit("persona"),
                persona_id=pl.Series(np.where(visits > 0, "persona-01", "persona-02")),
            )
        )
    return pl.concat(features), pl.concat(outcomes), pl.concat(personas)


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    """What a run of these weeks finds."""
    make_raw_tables(connection, {})
    make_tables(connection, PERSONA_TABLES)
    connection.execute("create schema features; create schema intermediate")
    all_features, all_outcomes, all_personas = planted()  # noqa: RUF059 - DuckDB reads them by name
    connection.execute("create table features.person_features as select * from all_features")
    connection.execute("create table features.person_outcomes as select * from all_outcomes")
    connection.execute("insert into ml.persona_assignments by name select * from all_personas")
    connection.execute(
        "insert into raw.orders (order_id, contact_id, ordered_at) "
        "select 'o' || person_id, 'c' || person_id, '2025-12-01' from features.person_features "
        "where as_of = ? order by person_id",
        [FIRST.as_of],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = WorkspaceBuilder(tmp_path_factory.mktemp("company") / "garden_tools")
    builder.orders().settings(targets=TARGETS)
    return builder.folder


@pytest.fixture(scope="module")
def warehouse(folder: Path) -> duckdb.DuckDBPyConnection:
    """Four weeks, run one after the other."""
    connection = duckdb.connect()
    fill(connection)
    run(connection, folder, WEEKS[5:9])
    return connection


def run(connection: duckdb.DuckDBPyConnection, folder: Path, weeks: list[Week]) -> None:
    builder = WorkspaceBuilder.__new__(WorkspaceBuilder)
    builder.folder = folder
    workspace = builder.open()
    for week in weeks:
        run_propensity_week(connection, workspace, CATALOGUE, week)


def tell_the_truth(connection: duckdb.DuckDBPyConnection, week: Week) -> None:
    """Put the planted probabilities in the place of what a week said of `soon`."""
    connection.execute(
        "update ml.propensity_scores as s set probability = 1 / (1 + exp(2.0 - 1.1 * f.revenue_91d)) "
        "from features.person_features as f where f.as_of = s.as_of and f.person_id = s.person_id "
        "and s.target = 'soon' and s.as_of = ?",
        [week.as_of],
    )


def rows(connection: duckdb.DuckDBPyConnection, table: str, where: str = "true") -> pl.DataFrame:
    return connection.sql(f"select * from ml.{table} where {where} order by all").pl()


def test_everybody_has_a_row_that_says_how_likely_or_why_not(warehouse: duckdb.DuckDBPyConnection) -> None:
    scores = rows(warehouse, "propensity_scores", f"as_of = '{WEEKS[8].as_of}'")
    assert scores.group_by("target").len().sort("target")["len"].to_list() == [PEOPLE] * 3
    assert ((scores["probability"].is_null()) == scores["abstained_reason"].is_not_null()).all()
    none = scores.filter(target="none")
    assert set(none["abstained_reason"].drop_nulls()) == {"not eligible: has never ordered"}
    told = rows(warehouse, "model_runs", f"as_of = '{WEEKS[8].as_of}' and target = 'none'").row(0, named=True)
    assert told["eligible_people"] == none["probability"].is_not_null().sum()
    assert json.loads(told["not_eligible"]) == {"not eligible: has never ordered": PEOPLE - told["eligible_people"]}


def test_a_target_nothing_predicts_abstains_and_the_others_go_on(warehouse: duckdb.DuckDBPyConnection) -> None:
    luck = rows(warehouse, "propensity_scores", "target = 'luck'")
    assert luck["probability"].null_count() == luck.height and luck["band"].null_count() == luck.height
    assert luck["abstained_reason"][0].startswith("no better than chance")
    assert rows(warehouse, "propensity_gains", "target = 'luck'").is_empty()
    assert rows(warehouse, "propensity_scores", "target = 'soon'")["probability"].null_count() == 0


def test_of_a_target_that_asks_for_nothing_to_happen_the_quiet_are_likely(warehouse: duckdb.DuckDBPyConnection) -> None:
    scores = rows(warehouse, "propensity_scores", f"as_of = '{WEEKS[8].as_of}' and probability is not null")
    features = warehouse.sql(f"select * from features.person_features where as_of = '{WEEKS[8].as_of}'").pl()
    both = (
        scores.join(features, on="person_id")
        .group_by("target")
        .agg(r=pl.corr("probability", "revenue_91d", method="spearman"))
    )
    correlation = dict(both.iter_rows())
    assert correlation["soon"] > 0.9 and correlation["none"] < -0.9


def test_bands_and_gains_are_those_of_the_measured_week(warehouse: duckdb.DuckDBPyConnection) -> None:
    told = rows(warehouse, "model_runs", f"as_of = '{WEEKS[8].as_of}' and target = 'soon'").row(0, named=True)
    assert told["high_from"] == pytest.approx(0.2)  # where a contact pays: 1 of 5
    gains = rows(warehouse, "propensity_gains", f"as_of = '{WEEKS[8].as_of}' and target = 'soon'")
    assert gains.filter(kind="curve", depth=1.0)["people"][0] == PEOPLE
    bands = gains.filter(kind="band")
    scores = rows(warehouse, "propensity_scores", f"as_of = '{WEEKS[8].as_of}' and target = 'soon'")
    assert dict(bands.select("band", "people").iter_rows()) == dict(scores.group_by("band").len().iter_rows())
    assert gains["profit"].null_count() == 0


def test_past_predictions_are_compared_once_their_outcomes_are_complete(warehouse: duckdb.DuckDBPyConnection) -> None:
    past = rows(warehouse, "propensity_backtest", "target = 'soon'")
    assert set(past.select("as_of", "scored_as_of").iter_rows()) == {
        (WEEKS[7].as_of, WEEKS[5].as_of),
        (WEEKS[8].as_of, WEEKS[6].as_of),
    }
    latest = past.filter(as_of=WEEKS[8].as_of)
    assert set(latest["segment_id"]) == {"everybody", "DE", "FR", "IS", "persona-01", "persona-02"}
    everybody = latest.filter(segment_type="everybody").row(0, named=True)
    assert everybody["people"] == PEOPLE
    happened = first_row(
        warehouse, f"select count(*) from features.person_outcomes where target = 'soon' and as_of = '{WEEKS[6].as_of}'"
    )
    assert everybody["positives"] == happened[0]
    assert everybody["auc_low"] > 0.6 and everybody["slope"] > 0.5
    none = rows(warehouse, "propensity_backtest", "target = 'none' and segment_type = 'everybody'").row(0, named=True)
    assert none["people"] < PEOPLE and none["observed_share"] > 0.5


def test_what_became_known_later_does_not_count_yet(tmp_path: Path) -> None:
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": TARGETS["soon"]})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, [WEEKS[5]])
    connection.execute(
        "update features.person_outcomes set outcome_known_at = ? where as_of = ?", [date(2027, 1, 1), WEEKS[5].as_of]
    )
    run(connection, builder.folder, [WEEKS[7]])
    everybody = rows(connection, "propensity_backtest", "segment_type = 'everybody'").row(0, named=True)
    assert everybody["positives"] == 0 and everybody["scored_as_of"] == WEEKS[5].as_of


def test_broken_calibration_is_told_and_brings_a_comparison(tmp_path: Path) -> None:
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": TARGETS["soon"]})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, [WEEKS[5], WEEKS[6], WEEKS[7]])
    tell_the_truth(connection, WEEKS[6])
    tell_the_truth(connection, WEEKS[7])
    connection.execute(
        "delete from features.person_outcomes where as_of = ? and target = 'soon' and md5(person_id::varchar) > '5'",
        [WEEKS[7].as_of],
    )
    run(connection, builder.folder, [WEEKS[8], WEEKS[9]])
    told = rows(connection, "propensity_backtest", "segment_type = 'everybody'")
    assert told.filter(scored_as_of=WEEKS[6].as_of)["complaint"][0] is None
    assert "probabilities were too high" in told.filter(scored_as_of=WEEKS[7].as_of)["complaint"][0]
    model = rows(connection, "propensity_models", f"as_of = '{WEEKS[9].as_of}'").row(0, named=True)
    assert (model["trigger"], model["compared_as_of"]) == ("backtest", WEEKS[9].as_of)


def test_every_week_is_refitted_and_its_model_kept_with_its_card(warehouse: duckdb.DuckDBPyConnection) -> None:
    models = rows(warehouse, "propensity_models", "target = 'soon'")
    assert models["status"].unique().to_list() == ["champion"]
    assert models["trigger"].to_list() == ["first", "refit", "refit", "refit"]
    assert models["compared_as_of"].unique().to_list() == [WEEKS[5].as_of]
    assert models["reason"][1].startswith("not surely worse than the standing model by more than 2%: log loss")
    used = model_used(warehouse, "soon", WEEKS[8])
    features = warehouse.sql(f"select * from features.person_features where as_of = '{WEEKS[8].as_of}'").pl()
    scores = rows(warehouse, "propensity_scores", f"as_of = '{WEEKS[8].as_of}' and target = 'soon'")
    again = used.model.score(features.drop("as_of")).sort("person_id")
    assert_frame_equal(
        again.select("person_id", "probability"), scores.select("person_id", "probability").sort("person_id")
    )
    assert models["markdown"][3].startswith(f"# Propensity model {models['model_id'][3]}: an order within 14 days")
    assert json.loads(models["card"][3])["model_id"] == models["model_id"][3]


def test_why_tells_what_moved_a_probability_and_of_whom_nothing_is_said(warehouse: duckdb.DuckDBPyConnection) -> None:
    likeliest = first_row(
        warehouse,
        "select person_id from ml.propensity_scores where target = 'soon' and as_of = ? "
        "order by probability desc limit 1",
        [WEEKS[8].as_of],
    )[0]
    labels = dict(CATALOGUE.select("feature", "label").iter_rows())
    told = "\n".join(propensity_lines(warehouse, WEEKS[8], likeliest, labels))
    assert "an order within 14 days: " in told and "in the band 'high': high begins at 20.0%" in told
    assert f"what moved it, against people on average (model of the week {WEEKS[8].key}):\n      + visits: " in told
    assert "an order within 7 days: nothing is said, because: no better than chance" in told
    stranger = first_row(
        warehouse,
        "select person_id from features.person_features where as_of = ? and orders_total = 0 limit 1",
        [WEEKS[8].as_of],
    )[0]
    told = "\n".join(propensity_lines(warehouse, WEEKS[8], stranger, labels))
    assert "no order for 14 days: it does not apply, because: has never ordered" in told


def test_the_same_weeks_again_give_the_same_rows(folder: Path, warehouse: duckdb.DuckDBPyConnection) -> None:
    before = {table: rows(warehouse, table) for table in PROPENSITY_TABLES}
    run(warehouse, folder, [WEEKS[6], WEEKS[8]])
    for table, frame in before.items():
        assert_frame_equal(rows(warehouse, table), frame)


@pytest.mark.parametrize("suspects", ["leave_out", "block"])
def test_a_planted_future_column_and_a_planted_clock_are_both_found(tmp_path: Path, suspects: str) -> None:
    target = TARGETS["soon"] | {"model": {"suspects": suspects}}
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": target})
    connection = duckdb.connect()
    fill(connection)
    # Orders counted a fortnight too late, for most people; and a number that grows with the calendar.
    connection.execute(
        "create or replace table features.person_features as select f.*, "
        "case when hash(f.person_id, f.as_of) % 25 = 0 then 0 else coalesce(o.outcome, false)::integer end "
        "* (1 + hash(f.person_id) % 3)::integer as later_orders, "
        f"datediff('week', date '{FIRST.as_of}', f.as_of) + (hash(f.person_id, 'x') % 100) / 300.0 as season "
        "from features.person_features as f left join features.person_outcomes as o "
        "on o.person_id = f.person_id and o.as_of = f.as_of and o.target = 'soon'"
    )
    planted = CATALOGUE.head(2).with_columns(
        feature=pl.Series(["later_orders", "season"]), label=pl.Series(["later orders", "season"])
    )
    [told] = run_propensity_week(connection, builder.open(), pl.concat([CATALOGUE, planted]), WEEKS[7])
    assert {words.split(":")[0] for words in told.suspects} == {"later_orders", "season"} or suspects == "block"
    run_row = rows(connection, "model_runs").row(0, named=True)
    reasons = {one["feature"]: one["reason"] for one in json.loads(run_row["suspects"])}
    assert set(reasons) == {"later_orders", "season"} and reasons["season"].startswith("it is a clock: ")
    if suspects == "block":
        assert told.abstained_reason is not None and "later_orders" in told.abstained_reason
        return
    model = model_used(connection, "soon", WEEKS[7])
    assert model is not None and model.inputs == set(CATALOGUE["feature"])
    assert run_row["abstained_reason"] is None


def test_a_model_that_was_turned_back_from_is_not_used(tmp_path: Path) -> None:
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": TARGETS["soon"]})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, [WEEKS[6], WEEKS[7]])
    connection.execute(
        "insert into ml.persona_weeks (as_of, people) values (?, 1), (?, 1)", [WEEKS[6].as_of, WEEKS[7].as_of]
    )
    with pytest.raises(NothingToTurnBackFrom, match="there is no target 'sooon'; did you mean 'soon'"):
        turn_back(connection, builder.open(), None, "", "sooon")
    turned = turn_back(connection, builder.open(), None, "too many", "soon")
    assert (turned.fitted, turned.back_to) == (WEEKS[7], WEEKS[6])
    run(connection, builder.folder, [WEEKS[7]])
    told = rows(connection, "model_runs", f"as_of = '{WEEKS[7].as_of}'").row(0, named=True)
    assert told["fitted_as_of"] == WEEKS[6].as_of
    assert told["refit"] == "rolled back (refit): turned back from by hand: too many"
    scores = rows(connection, "propensity_scores", f"as_of = '{WEEKS[7].as_of}'")
    assert scores["probability"].null_count() == 0
    gains = rows(connection, "propensity_gains", f"as_of = '{WEEKS[7].as_of}'")
    assert gains.filter(kind="curve", depth=1.0)["people"][0] == PEOPLE  # what stood, for this week's people
    with pytest.raises(NothingToTurnBackFrom, match="is the first one; there is none to go back to"):
        turn_back(connection, builder.open(), WEEKS[6], "", "soon")
    # The next week fits a model of its own again.
    run(connection, builder.folder, [WEEKS[8]])
    assert rows(connection, "model_runs", f"as_of = '{WEEKS[8].as_of}'")["fitted_as_of"].to_list() == [WEEKS[8].as_of]


def test_models_nothing_can_go_back_to_are_pruned_and_come_back_when_their_week_is_run_again(tmp_path: Path) -> None:
    target = TARGETS["soon"] | {"model": {"keep_weeks": 2}}
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": target})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, [WEEKS[4]])
    first = rows(connection, "propensity_models").row(0, named=True)
    run(connection, builder.folder, WEEKS[5:9])
    kept = "select as_of, pruned_as_of, model is null from ml.propensity_models order by 1"
    assert connection.execute(kept).fetchall() == [
        (WEEKS[4].as_of, WEEKS[7].as_of, True),
        (WEEKS[5].as_of, WEEKS[8].as_of, True),
        *((WEEKS[number].as_of, None, False) for number in (6, 7, 8)),
    ]
    pruned = rows(connection, "propensity_models", f"as_of = '{WEEKS[4].as_of}'").row(0, named=True)
    assert {**pruned, "model": first["model"], "pruned_as_of": None} == first  # all but the bytes is there
    likeliest = first_row(connection, "select person_id from ml.propensity_scores order by all limit 1")[0]
    assert "the model is not kept" in "\n".join(propensity_lines(connection, WEEKS[4], likeliest, {}))

    # Turning back finds the model before; of a week whose model before it is gone, it says what to do.
    connection.executemany(
        "insert into ml.persona_weeks (as_of, people) values (?, 1)", [[week.as_of] for week in WEEKS[4:9]]
    )
    with pytest.raises(NothingToTurnBackFrom, match=f"of week {WEEKS[4].key}, was pruned: run that week again"):
        turn_back(connection, builder.open(), WEEKS[5], "", "soon")
    scores = rows(connection, "propensity_scores", f"as_of <= '{WEEKS[5].as_of}'")
    run(connection, builder.folder, WEEKS[4:6])
    again = rows(connection, "propensity_models", f"as_of = '{WEEKS[4].as_of}'").row(0, named=True)
    assert again == first
    assert_frame_equal(rows(connection, "propensity_scores", f"as_of <= '{WEEKS[5].as_of}'"), scores)
    assert turn_back(connection, builder.open(), WEEKS[8], "", "soon").back_to == WEEKS[7]
    run(connection, builder.folder, [WEEKS[8]])
    told = rows(connection, "model_runs", f"as_of = '{WEEKS[8].as_of}'").row(0, named=True)
    assert told["fitted_as_of"] == WEEKS[7].as_of and told["abstained_reason"] is None


def test_a_week_run_again_without_the_bytes_of_the_model_before_says_the_same(tmp_path: Path) -> None:
    target = TARGETS["soon"] | {"model": {"keep_weeks": 0}}
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": target})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, WEEKS[4:8])
    before = {table: rows(connection, table, f"as_of = '{WEEKS[5].as_of}'") for table in PROPENSITY_TABLES}
    assert before["propensity_models"]["pruned_as_of"].to_list() == [WEEKS[7].as_of]
    run(connection, builder.folder, [WEEKS[5]])  # the model of the week before is gone
    for table, frame in before.items():
        left_out = ["model", "pruned_as_of"] if table == "propensity_models" else []
        assert_frame_equal(rows(connection, table, f"as_of = '{WEEKS[5].as_of}'").drop(left_out), frame.drop(left_out))


def test_a_rollback_of_a_target_leaves_personas_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    rollback = Rollback(fitted=WEEKS[5].monday, from_week=WEEKS[5].monday, target="soon")
    add_rollback(tmp_path / "shop", rollback)
    assert rollback.excludes(WEEKS[5].as_of, WEEKS[6], "soon")
    assert not rollback.excludes(WEEKS[5].as_of, WEEKS[6])
    assert not rollback.excludes(WEEKS[5].as_of, WEEKS[6], "other")


def test_a_target_of_another_meaning_starts_anew(tmp_path: Path) -> None:
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": TARGETS["soon"]})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, [WEEKS[6]])
    builder.settings(targets={"soon": TARGETS["soon"] | {"eligible": "has_ordered"}})
    run(connection, builder.folder, [WEEKS[7]])
    assert rows(connection, "propensity_models")["trigger"].to_list() == ["first", "first"]


def test_without_weeks_that_are_old_enough_the_reason_says_so(tmp_path: Path) -> None:
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": TARGETS["soon"]})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, [WEEKS[1]])
    reasons = rows(connection, "propensity_scores")["abstained_reason"].unique().to_list()
    assert reasons == [
        "no past week to learn from: what comes within 14 days is complete only for weeks up to 2026-01-05, and data "
        "that tell of behaviour, or eligible people, begin later"
    ]


CONTACTS_MAPPING = """
extract: {files: contacts*.csv}
entities:
  contacts:
    columns: {contact_id: id}
    attributes: {Left: label}
"""


def test_a_label_is_scored_by_folds_every_week_and_never_held_against_later_weeks(tmp_path: Path) -> None:
    target = {"outcome": "label", "label": "Left", "positive": "Yes", "monotonic": {"revenue_91d": "increasing"}}
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"left": target})
    builder.mapping("contacts", CONTACTS_MAPPING).extract("contacts.csv", "id,Left\n")
    connection = duckdb.connect()
    fill(connection)
    # Of the last hundred people nobody knows.
    connection.execute(
        "insert into features.person_outcomes select f.person_id, 'left', f.as_of, "
        "random_number < 1 / (1 + exp(2.0 - 1.1 * f.revenue_91d)), null from "
        "(select *, (hash(person_id, as_of) % 1000) / 1000.0 as random_number from features.person_features "
        "where person_id < 500) as f"
    )
    run(connection, builder.folder, [WEEKS[6], WEEKS[7]])
    scores = rows(connection, "propensity_scores", f"as_of = '{WEEKS[7].as_of}'")
    assert scores.height == PEOPLE and scores["probability"].null_count() == 0
    models = rows(connection, "propensity_models")
    assert models["trigger"].to_list() == ["first", "refit"] and models["status"].unique().to_list() == ["champion"]
    assert models["compared_as_of"].unique().to_list() == [WEEKS[6].as_of]
    measured = rows(connection, "propensity_gains", f"as_of = '{WEEKS[7].as_of}' and kind = 'curve' and depth = 1")
    assert (measured["people"][0], measured["measured_people"][0]) == (PEOPLE, 500)
    assert rows(connection, "propensity_backtest").is_empty()


def allow(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """Let the people of whom a condition holds be contacted, and refuse the others."""
    connection.execute(
        "create or replace table intermediate.int_contactability as select as_of, person_id, 'email' as channel, "
        f"'email_marketing' as purpose, {condition} as is_allowed from features.person_features "
        "union all select as_of, person_id, 'sms', 'email_marketing', true from features.person_features"
    )


def test_a_list_by_capacity_is_as_long_as_people_may_be_contacted(tmp_path: Path) -> None:
    bands = {"by": "capacity", "people": 60, "cost": 1, "value": 5}
    builder = (
        WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": TARGETS["soon"] | {"bands": bands}})
    )
    connection = duckdb.connect()
    fill(connection)
    allow(connection, "hash(person_id) % 3 <> 0")
    run(connection, builder.folder, [WEEKS[6]])
    people = connection.sql(
        "select s.*, c.is_allowed from ml.propensity_scores as s inner join intermediate.int_contactability as c "
        "on c.as_of = s.as_of and c.person_id = s.person_id and c.channel = 'email'"
    ).pl()
    high = people.filter(band="high")
    assert high["is_allowed"].sum() == 60 < high.height
    assert people.filter(band="medium")["is_allowed"].sum() == 120
    # Whoever may not be contacted stands where they would stand: bands are by probability still.
    assert high["probability"].min() >= people.filter(pl.col("band") != "high")["probability"].max()
    gains = rows(connection, "propensity_gains")
    told = gains.filter(kind="band", band="high").row(0, named=True)
    assert (told["people"], told["contactable_people"]) == (high.height, 60)
    assert told["profit"] == pytest.approx(60 * (5 * told["observed"] - 1))
    assert gains.filter(kind="curve", depth=1.0)["contactable_people"][0] == people["is_allowed"].sum()
    [note] = [one["words"] for one in propensity_notes(connection, WEEKS[6]) if "capacity for" in one["words"]]
    assert note.startswith(f"60 of the {high.height} people on the list may be contacted over email (email_marketing)")


def test_a_standing_list_counts_those_who_may_be_contacted_now(tmp_path: Path) -> None:
    target = {"bands": {"by": "capacity", "people": 60, "cost": 1, "value": 5}, "model": {"refit_every_weeks": 4}}
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": TARGETS["soon"] | target})
    connection = duckdb.connect()
    fill(connection)
    allow(connection, f"as_of <= '{WEEKS[6].as_of}' and hash(person_id) % 3 <> 0")
    run(connection, builder.folder, WEEKS[6:8])
    assert rows(connection, "propensity_models").height == 1
    first, nobody = (rows(connection, "propensity_gains", f"as_of = '{week.as_of}'") for week in WEEKS[6:8])
    assert first.filter(band="high")["profit"][0] > 0
    assert set(nobody["contactable_people"]) == {0} and set(nobody["profit"]) == {0.0}
    assert set(rows(connection, "propensity_scores", f"as_of = '{WEEKS[7].as_of}'")["band"]) == {"low"}
    words = [one["words"] for one in propensity_notes(connection, WEEKS[7])]
    assert "nobody may be contacted over email (email_marketing): nobody is on the list" in words
    allow(connection, "true")
    run(connection, builder.folder, [WEEKS[7]])
    again = rows(connection, "propensity_gains", f"as_of = '{WEEKS[7].as_of}'").filter(band="high").row(0, named=True)
    assert again["people"] == again["contactable_people"] == 60
    assert again["profit"] == pytest.approx(first.filter(band="high")["profit"][0])


def test_bands_by_each_persons_own_amount(tmp_path: Path) -> None:
    bands = {"by": "expected_value", "cost": 2, "amount": "average_order_amount_365d", "margin": 0.5}
    builder = WorkspaceBuilder(tmp_path / "shop").orders()
    builder.settings(targets={"soon": TARGETS["soon"] | {"bands": bands}})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, [WEEKS[6]])
    both = connection.sql(
        "select s.band, s.probability * f.average_order_amount_365d * 0.5 >= 2 as pays from ml.propensity_scores as s "
        "inner join features.person_features as f on f.as_of = s.as_of and f.person_id = s.person_id "
        "where f.orders_total > 0"
    ).pl()
    assert set(both.filter("pays")["band"]) == {"high"} and "low" in set(both.filter(~pl.col("pays"))["band"])


@pytest.mark.parametrize(
    ("weeks_since_fit", "weeks_since_comparison", "drifted", "complaint", "due"),
    [
        (1, 1, False, False, Due(True, False, "refit")),
        (1, 3, True, True, Due(True, False, "refit")),  # what broke needs some weeks to show
        (1, 4, True, False, Due(True, True, "drift")),
        (1, 4, False, True, Due(True, True, "backtest")),
        (1, 13, False, False, Due(True, True, "schedule")),
    ],
)
def test_when_a_model_is_refitted_and_algorithms_are_compared(
    weeks_since_fit: int, weeks_since_comparison: int, drifted: bool, complaint: bool, due: Due
) -> None:
    now = WEEKS[8].as_of
    fitted, compared = (now - timedelta(weeks=weeks) for weeks in (weeks_since_fit, weeks_since_comparison))
    assert what_is_due(now, fitted, compared, ModelSettings(), True, drifted, complaint) == due


def test_a_model_that_is_refitted_seldom_stands_in_between() -> None:
    now, settings = WEEKS[8].as_of, ModelSettings(refit_every_weeks=4)
    fitted = now - timedelta(weeks=2)
    assert what_is_due(now, fitted, fitted, settings, True, False, False) == Due(False, False, "")
    assert what_is_due(now, fitted, fitted, settings, False, False, False) == Due(True, True, "features")
    assert what_is_due(now, None, None, settings, False, False, False) == Due(True, True, "first")


def test_every_input_is_tested_against_the_weeks_it_was_learned_from(warehouse: duckdb.DuckDBPyConnection) -> None:
    drift = rows(warehouse, "propensity_drift", f"as_of = '{WEEKS[8].as_of}'")
    model = rows(warehouse, "model_runs", f"as_of = '{WEEKS[8].as_of}' and target = 'soon'").row(0, named=True)
    told = drift.filter(target="soon")
    assert set(told["feature"]) == set(CATALOGUE["feature"]) and set(told["model_id"]) == {model["model_id"]}
    assert not told["is_drifted"].any()  # nothing was moved
    assert drift.filter(target="luck").is_empty()  # it abstains: no model is in use


def test_a_feature_that_only_propensities_use_is_found_drifted_told_and_brings_a_comparison(tmp_path: Path) -> None:
    builder = WorkspaceBuilder(tmp_path / "shop").orders().settings(targets={"soon": TARGETS["soon"]})
    connection = duckdb.connect()
    fill(connection)
    run(connection, builder.folder, WEEKS[4:8])
    for moved in ("noise = noise + 1.5", "contact_country = 'DE'"):
        connection.execute(f"update features.person_features set {moved} where as_of = ?", [WEEKS[8].as_of])
    [told] = run_propensity_week(connection, builder.open(), CATALOGUE, WEEKS[8])
    drifted = rows(connection, "propensity_drift", f"as_of = '{WEEKS[8].as_of}' and is_drifted")
    words = dict(drifted.select("feature", "words").iter_rows())
    assert set(words) == {"noise", "contact_country"}
    assert words["noise"].startswith("higher than in the weeks it was learned from")
    assert words["contact_country"].startswith("'DE': 100% of people, 41%")
    assert told.drifted is not None and told.drifted.startswith("2 of 5 features, with ")
    model = rows(connection, "propensity_models", f"as_of = '{WEEKS[8].as_of}'").row(0, named=True)
    assert (model["trigger"], model["compared_as_of"]) == ("drift", WEEKS[8].as_of)
    assert {one["feature"] for one in json.loads(model["card"])["drift"]["drifted"]} == set(words)
    assert "2 of 5 features have drifted" in model["markdown"] and f"- noise: {words['noise']}" in model["markdown"]
    notes = propensity_notes(connection, WEEKS[8])
    assert {one["words"].split(":")[0] for one in notes if one["kind"] == "drift"} == {"noise", "country"}


def evaluation(log_loss: float, base: float = 0.4, low: float | None = None) -> dict[str, object]:
    told = {"log_loss": log_loss, "base_rate_log_loss": base, "measured_on": "a week"}
    return told | ({"log_loss_low": low} if low is not None else {})


def test_a_new_model_takes_over_unless_it_is_surely_worse() -> None:
    assert judge(evaluation(0.3), None, 0.02).passed
    assert judge(evaluation(0.303), evaluation(0.3), 0.02).passed
    assert not judge(evaluation(0.31), evaluation(0.3), 0.02).passed
    assert judge(evaluation(0.31, low=0.29), evaluation(0.3), 0.02).passed  # chance explains it
    assert judge(evaluation(0.6, base=0.8), evaluation(0.3), 0.02).passed  # more people do it this week
    assert "worse than the standing model by more than 2%" in judge(evaluation(0.35), evaluation(0.3), 0.02).reason
