"""Every kind of target at once in one small company: what is told, what becomes of it, and what reaches activation."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from activation.people import person_name_sql
from orchestration.target_settings import TEMPLATES
from tests.end_to_end.five_wishes_company import CAPACITY, LAST_WEEK, PEOPLE, PREDICTED, TARGETS, write_company
from tests.running import personae_here

WEEKS = 3
OUTCOMES = [name for name in PREDICTED if name != "left"]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The company after three weeks, so that the first week's predictions have come due in the last."""
    folder = write_company(tmp_path_factory.mktemp("wishes") / "five_wishes")
    done = personae_here("run", folder, "--week", LAST_WEEK.key, "--weeks", WEEKS)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def warehouse(company: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(company / ".personae" / "warehouse.duckdb"), read_only=True)


def table(company: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(company / ".personae" / "published" / "latest" / f"{name}.parquet")


def run_of(warehouse: duckdb.DuckDBPyConnection, target: str) -> dict[str, Any]:
    rows = warehouse.sql(
        "select * from ml.model_runs where as_of = ? and target = ?", params=[LAST_WEEK.as_of, target]
    ).pl()
    return rows.row(0, named=True)


def test_all_templates_are_asked_for() -> None:
    assert {target.get("template") for target in TARGETS.values()} == {*TEMPLATES, None}


def test_everybody_has_a_row_per_target_that_says_how_likely_or_why_not(company: Path) -> None:
    scores = table(company, "person_propensities")
    assert dict(scores.group_by("target").len().iter_rows()) == dict.fromkeys(TARGETS, PEOPLE)
    assert (scores["probability"].is_null() == scores["abstained_reason"].is_not_null()).all()
    assert (scores["probability"].is_null() == scores["band"].is_null()).all()
    told = scores.filter(pl.col("probability").is_not_null())
    assert set(told["target"]) == set(PREDICTED)
    assert told["probability"].is_between(0, 1).all()


def test_who_is_not_eligible_is_told_why(company: Path) -> None:
    scores = table(company, "person_propensities")
    reasons = {target: set(rows["abstained_reason"].drop_nulls()) for (target,), rows in scores.group_by("target")}
    assert reasons["conversion"] == {"not eligible: has ordered before"}
    assert reasons["left"] == set()
    for target in ("churn", "upsell", "export_interest", "reactivation"):
        assert reasons[target] and all(reason.startswith("not eligible: ") for reason in reasons[target])


def test_a_label_that_is_a_toss_of_a_coin_abstains_and_the_others_go_on(company: Path) -> None:
    coin = table(company, "person_propensities").filter(target="coin")
    assert coin["probability"].null_count() == coin["band"].null_count() == PEOPLE
    assert coin["abstained_reason"].n_unique() == 1
    assert "no better than chance" in coin["abstained_reason"][0] or "say less than" in coin["abstained_reason"][0]
    assert table(company, "propensity_gains").filter(target="coin").is_empty()


@pytest.mark.parametrize("target", PREDICTED)
def test_what_was_planted_is_found(warehouse: duckdb.DuckDBPyConnection, target: str) -> None:
    told = json.loads(run_of(warehouse, target)["evaluation"])
    assert told["auc"] > 0.6 and told["auc_low"] > 0.5
    assert told["log_loss"] < told["base_rate_log_loss"] or told["calibration_drift"]
    assert told["is_out_of_time"] is (target != "left")


@pytest.mark.parametrize("target", OUTCOMES)
def test_the_first_weeks_predictions_are_held_against_what_came(company: Path, target: str) -> None:
    past = table(company, "propensity_backtest").filter(target=target)
    assert set(past["scored_as_of"]) == {LAST_WEEK.back(WEEKS - 1).as_of}
    everybody = past.filter(segment_type="everybody").row(0, named=True)
    assert everybody["people"] > 30 and 0 < everybody["observed_share"] < 1
    # Within four standard errors: probabilities came true, as far as so few people can tell.
    share = everybody["observed_share"]
    error = (share * (1 - share) / everybody["people"]) ** 0.5
    assert abs(everybody["predicted_mean"] - share) < 4 * error + 0.02
    assert {"everybody", "persona"} <= set(past["segment_type"])


def test_a_label_has_no_past_to_be_held_against(company: Path) -> None:
    assert table(company, "propensity_backtest").filter(pl.col("target").is_in(["left", "coin"])).is_empty()


def test_bands_follow_probabilities_and_gains_say_what_they_earn(company: Path) -> None:
    scores, gains = table(company, "person_propensities"), table(company, "propensity_gains")
    for target in PREDICTED:
        means = (
            scores.filter(pl.col("target") == target)
            .drop_nulls("band")
            .group_by("band")
            .agg(pl.col("probability").min().alias("low"), pl.col("probability").max().alias("high"), pl.len())
        )
        by_band = {row["band"]: row for row in means.iter_rows(named=True)}
        ordered = [by_band[name] for name in ("high", "medium", "low") if name in by_band]
        assert all(upper["low"] >= lower["high"] for upper, lower in pairwise(ordered))
        of_bands = gains.filter(pl.col("target") == target, pl.col("kind") == "band")
        assert dict(of_bands.select("band", "people").iter_rows()) == {
            name: row["len"] for name, row in by_band.items()
        }
        curve = gains.filter(pl.col("target") == target, pl.col("kind") == "curve").sort("depth")
        assert curve["gain"][-1] == pytest.approx(1.0) and curve["gain"].is_sorted()
        has_cost = "cost" in TARGETS[target].get("bands", {})  # type: ignore[operator]
        assert curve["profit"].is_not_null().all() is has_cost or (not has_cost and curve["profit"].null_count() > 0)


def test_the_list_for_the_team_is_filled_with_people_who_may_be_written_to(
    company: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    allowed = warehouse.sql(
        f"select {person_name_sql('person_id')} as person_id from intermediate.int_contactability "
        "where as_of = ? and is_allowed",
        params=[LAST_WEEK.as_of],
    ).pl()["person_id"]
    churn = table(company, "person_propensities").filter(target="churn")
    high = churn.filter(band="high")
    assert high["person_id"].is_in(allowed.implode()).sum() == CAPACITY < high.height
    row = table(company, "propensity_gains").filter(target="churn", band="high").row(0, named=True)
    assert (row["people"], row["contactable_people"]) == (high.height, CAPACITY)


def test_each_model_has_a_card_and_its_features_are_tested_for_drift(
    company: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    latest = company / ".personae" / "published" / "latest"
    drift = warehouse.sql("select * from ml.propensity_drift where as_of = ?", params=[LAST_WEEK.as_of]).pl()
    assert set(drift["target"]) == set(PREDICTED)
    for target in PREDICTED:
        card = json.loads((latest / f"propensity_model_card_{target}.json").read_text(encoding="utf-8"))
        features = {one["feature"] for one in card["features"]}
        assert set(drift.filter(target=target)["feature"]) == features
        assert "attr_left" not in features and not any("coin" in name for name in features)  # labels are no features
    assert not (latest / "propensity_model_card_coin.json").exists()


def test_audiences_hold_probabilities_of_every_target_and_nobody_who_may_not_be_written_to(company: Path) -> None:
    rows = []
    for path in sorted((company / ".personae" / "activation" / LAST_WEEK.key).glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows += list(csv.DictReader(file))
    assert len(rows) == PEOPLE * 3 // 5  # the three in five who agreed
    scores = table(company, "person_propensities")
    told = {(row["person_id"], row["target"]): row["probability"] for row in scores.iter_rows(named=True)}
    for row in rows:
        for target in TARGETS:
            column = next(name for name in row if name.endswith(target))
            expected = told[row["person_id"], target]
            assert (row[column] == "") is (expected is None)
            assert expected is None or float(row[column]) == pytest.approx(expected, abs=1e-6)


def test_the_report_tells_of_every_target(company: Path) -> None:
    report = company / ".personae" / "published" / "latest" / "report.html"
    html = report.read_text(encoding="utf-8").lower()
    for words in (
        "no order for 14 days",
        "a first order within 14 days",
        "contact plan upgraded within 14 days",
        "active again within 14 days",
        "people on the list may be contacted over email",
    ):
        assert words in html
