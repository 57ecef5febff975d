"""Weeks of adoption over a small warehouse: cut points are set once, stand, and move nobody without evidence."""

import json
from datetime import date, timedelta

import duckdb
import numpy as np
import polars as pl
import pytest
from workspace_builder import WorkspaceBuilder

from activation.answers import first_row
from benchmarks.adoption_worlds import world
from orchestration.adoption_week import run_adoption_week
from orchestration.weeks import Week
from tests.people_by_name import person_ids

PEOPLE, OBSERVED = 600, 28
LAUNCHED = [date(2026, 1, 5) + timedelta(days=28 * number) for number in range(5)]
THIRD_CLOSES = Week(date(2026, 3, 23))
"""The week at whose end three launches are closed and the fourth begins."""


def settings(**adoption):
    launches = [
        {
            "id": f"l{number}",
            "name": f"Launch {number}",
            "date": str(day),
            "property": "account_plan",
            "is": [f"p{number}"],
        }
        for number, day in enumerate(LAUNCHED)
    ]
    return {"launches": launches, "adoption": {"observed_days": OBSERVED, **adoption}}


@pytest.fixture
def shop(tmp_path):
    builder = WorkspaceBuilder(tmp_path).orders()
    builder.mapping(
        "accounts",
        {
            "extract": {"files": "accounts*.csv"},
            "entities": {"accounts": {"columns": {"account_id": "id", "plan": "plan"}}},
        },
    )
    return builder.settings(**settings())


@pytest.fixture
def warehouse():
    with duckdb.connect() as connection:
        connection.execute(
            "create schema intermediate; create schema features; create schema ml;"
            "create table intermediate.int_launch_adoptions (as_of date, person_id ubigint, "
            + ", ".join(f"could_try_l{n} boolean, tried_l{n}_at timestamp" for n in range(len(LAUNCHED)))
            + ");"
            "create table intermediate.int_influence "
            "(as_of date, person_id ubigint, kind varchar, signal varchar, amount double);"
            "create table features.person_features (as_of date, person_id ubigint, products_365d bigint);"
            "create table ml.affinity_scores "
            "(as_of date, person_id ubigint, phrase_group varchar, phrase varchar, score double)"
        )
        yield connection


def live(connection, week, *, seed=1, reliability=0.5, breadth=1.0, left=0, influence=()):
    """What dbt would make of a week in a world of known people: one history, as far as it happened."""
    known = world(seed, people=PEOPLE, launches=len(LAUNCHED), reliability=reliability)
    ids = person_ids(PEOPLE - left, first=left)
    columns = {"as_of": week.as_of, "person_id": ids}
    for launch, day in enumerate(LAUNCHED):
        days = known.days[left:, launch] * OBSERVED / 91
        columns[f"could_try_l{launch}"] = day < week.as_of
        moments = np.datetime64(day, "us") + (np.nan_to_num(days) * 86_400e6).astype("timedelta64[us]")
        columns[f"tried_l{launch}_at"] = np.where(days < (week.as_of - day).days, moments, np.datetime64("NaT"))
    adoptions = pl.DataFrame(columns)  # noqa: F841 - DuckDB reads it
    used = pl.DataFrame(  # noqa: F841 - DuckDB reads both
        {
            "person_id": ids,
            "products_365d": np.rint(np.exp(breadth * known.expected_from["breadth"][left:])).astype(int),
        }
    )
    connection.execute("insert into intermediate.int_launch_adoptions by name select * from adoptions")
    connection.execute(f"insert into features.person_features select '{week.as_of}', * from used")
    for person, kind, signal, amount in influence:
        connection.execute(
            "insert into intermediate.int_influence values (?, ?, ?, ?, ?)", [week.as_of, person, kind, signal, amount]
        )


def classes(connection, week):
    return connection.sql(
        "select * exclude (as_of) from ml.adoption_scores where as_of = ? order by person_id", params=[week.as_of]
    ).pl()


def test_without_launches_there_are_no_rows(tmp_path, warehouse):
    done = run_adoption_week(warehouse, WorkspaceBuilder(tmp_path).orders().open(), THIRD_CLOSES)
    assert (done.people, done.withheld) == (0, None)
    assert first_row(warehouse, "select count(*) from ml.adoption_scores") == (0,)


def test_before_the_first_launch_and_without_people_nobody_is_placed(shop, warehouse):
    before = Week(date(2025, 12, 22))
    live(warehouse, before)
    done = run_adoption_week(warehouse, shop.open(), before)
    assert (done.people, done.placed, done.launches) == (PEOPLE, 0, 0)
    assert done.withheld is not None and done.withheld.startswith("0 of at least 2 launches")
    assert run_adoption_week(warehouse, shop.open(), THIRD_CLOSES).people == 0


def test_a_launch_that_nobody_tries_is_named(shop, warehouse):
    live(warehouse, THIRD_CLOSES)
    warehouse.execute("update intermediate.int_launch_adoptions set tried_l1_at = null")
    assert run_adoption_week(warehouse, shop.open(), THIRD_CLOSES).untried == ("l1",)


def test_cut_points_are_set_in_the_first_week_that_can_and_stand(shop, warehouse):
    workspace = shop.open()
    weeks = [THIRD_CLOSES.back(number) for number in (5, 4, 3, 0)]
    for week in weeks:
        live(warehouse, week)
    withheld = [run_adoption_week(warehouse, workspace, week).withheld for week in weeks]
    assert withheld[0] is not None and withheld[0].startswith("1 of at least 2 launches can be judged")
    assert withheld[1:] == [None, None, None]
    models = warehouse.execute("select as_of, model_id, people, launches, model from ml.adoption_models").fetchall()
    assert [(row[0], row[2], row[3]) for row in models] == [(weeks[1].as_of, PEOPLE, 2)]
    assert len(json.loads(models[0][4])["cuts"]) == 4
    assert set(classes(warehouse, weeks[3])["model_id"]) == {models[0][1]}
    shares = classes(warehouse, weeks[1])["adoption_class"].value_counts(normalize=True)
    for name, share in zip(("innovator", "early_adopter"), (0.025, 0.135), strict=True):
        assert shares.filter(adoption_class=name)["proportion"].item() == pytest.approx(share, abs=0.002)


def test_a_class_changes_only_with_evidence_of_ones_own(shop, warehouse):
    workspace = shop.open()
    first, second = THIRD_CLOSES, THIRD_CLOSES.back(-1)
    live(warehouse, first)
    # A week later breadth of use is quite different, fifty people have left, and some tried the fourth launch.
    live(warehouse, second, breadth=-1.0, left=50)
    run_adoption_week(warehouse, workspace, first)
    done = run_adoption_week(warehouse, workspace, second)
    both = classes(warehouse, first).join(classes(warehouse, second), on="person_id", suffix="_now")
    is_new = both["evidence"] != both["evidence_now"]
    assert 0 < is_new.sum() < 300
    moved = both["adoption_class"] != both["adoption_class_now"]
    assert moved.sum() == done.moved > 0 and not (moved & ~is_new).any()
    assert (both["innovativeness"] == both["innovativeness_now"]).filter(~is_new).all()
    moves = warehouse.execute(
        "select to_class is null as is_gone, sum(people) as people from ml.adoption_moves group by all"
    )
    assert dict(moves.fetchall()) == {False: PEOPLE - 50, True: 50}


def test_a_week_that_is_run_again_says_the_same(shop, warehouse):
    workspace = shop.open()
    for week in (THIRD_CLOSES, THIRD_CLOSES.back(-1)):
        live(warehouse, week)
        run_adoption_week(warehouse, workspace, week)
    tables = ("adoption_scores", "adoption_models", "adoption_validity", "adoption_moves")
    before = [warehouse.sql(f"select * from ml.{table} order by all").pl() for table in tables]
    for week in (THIRD_CLOSES, THIRD_CLOSES.back(-1)):
        run_adoption_week(warehouse, workspace, week)
    for table, rows in zip(tables, before, strict=True):
        assert warehouse.sql(f"select * from ml.{table} order by all").pl().equals(rows)


def test_where_trying_is_chance_everybody_is_told_so(shop, warehouse):
    live(warehouse, THIRD_CLOSES, reliability=0.0)
    done = run_adoption_week(warehouse, shop.open(), THIRD_CLOSES)
    assert done.withheld is not None and "says too little" in done.withheld and done.placed == 0
    rows = classes(warehouse, THIRD_CLOSES)
    assert set(rows["adoption_class"]) == {"unclassified"} and rows["innovativeness"].null_count() == PEOPLE
    assert set(rows["abstained_reason"]) == {f"classes are withheld: {done.withheld}"}
    verdict = first_row(warehouse, "select value, words from ml.adoption_validity where measure = 'verdict'")
    assert verdict == (0.0, done.withheld)


def test_cut_points_wait_for_the_reference_date(shop, warehouse):
    shop.settings(**settings(reference="2026-04-06"))
    workspace = shop.open()
    for week in (THIRD_CLOSES, THIRD_CLOSES.back(-1)):
        live(warehouse, week)
        done = run_adoption_week(warehouse, workspace, week)
        expected = None if week.as_of >= date(2026, 4, 6) else "cut points are to be set on 06 April 2026"
        assert done.withheld == expected


def test_an_influencer_overrides_the_curve_and_keeps_the_place_on_it(shop, warehouse):
    shop.settings(**settings())
    signals = {"reach": [{"event": "shared"}], "creation": [{"event": "reviewed"}]}
    shop.mapping(
        "events",
        {
            "extract": {"files": "events*.csv"},
            "entities": {
                "events": {"columns": {"occurred_at": "at", "contact_id": "who", "event_type": {"value": "other"}}}
            },
        },
    )
    shop.settings(**settings(influencer={"name": "Voice", **signals}))
    reach = [(number, "reach", "reach:shared", float(number + 1)) for number in range(100)]
    live(warehouse, THIRD_CLOSES, influence=[*reach, (99, "creation", "creation:reviewed", 1.0)])
    run_adoption_week(warehouse, shop.open(), THIRD_CLOSES)
    found = classes(warehouse, THIRD_CLOSES).filter(adoption_class="influencer")
    row = found.row(0, named=True)
    assert found.height == 1 and row["person_id"] == 99 and row["adoption_class_name"] == "Voice"
    assert row["curve_class"] is not None and row["innovativeness"] is not None and row["abstained_reason"] is None


def test_other_names_keep_the_cut_points_and_other_shares_set_them_anew(shop, warehouse):
    live(warehouse, THIRD_CLOSES)
    live(warehouse, THIRD_CLOSES.back(-1))
    run_adoption_week(warehouse, shop.open(), THIRD_CLOSES)
    halves = [{"id": "ahead", "name": "Ahead", "share": 50}, {"id": "behind", "name": "Behind", "share": 50}]
    shop.settings(**settings(unclassified_name="Unknown"))
    run_adoption_week(warehouse, shop.open(), THIRD_CLOSES.back(-1))
    assert first_row(warehouse, "select count(*) from ml.adoption_models") == (1,)
    shop.settings(**settings(classes=halves))
    run_adoption_week(warehouse, shop.open(), THIRD_CLOSES.back(-1))
    assert first_row(warehouse, "select count(*) from ml.adoption_models") == (2,)
    rows = classes(warehouse, THIRD_CLOSES.back(-1))
    assert dict(rows.group_by("adoption_class_name").len().iter_rows()) == {"Ahead": 300, "Behind": 300}
