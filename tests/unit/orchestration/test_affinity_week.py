"""Weeks of affinity over a small warehouse: only new texts are scored, models stand, no phrases mean no scores."""

from datetime import date, timedelta

import duckdb
import pytest
from workspace_builder import WorkspaceBuilder

from activation.answers import first_row
from orchestration.affinity_week import forget_texts_of_nobody, run_affinity_week
from orchestration.weeks import Week
from tests.people_by_name import MACROS, number

FIRST = Week(date(2026, 1, 5))
SECOND = Week(date(2026, 1, 12))
TEXTS = {1: "new job at acme", 2: "saves time", 3: "hello there", 4: "good morning"}


@pytest.fixture
def shop(tmp_path):
    builder = WorkspaceBuilder(tmp_path).orders()
    (builder.folder / "brand").mkdir()
    (builder.folder / "brand" / "phrases.yml").write_text(
        "events: [new job]\ntriggers: [save time]\n", encoding="utf-8"
    )
    return builder


@pytest.fixture
def warehouse():
    with duckdb.connect() as connection:
        connection.execute(
            MACROS + "create schema intermediate; create table intermediate.int_people (as_of date, person_id ubigint);"
            "create table intermediate.int_texts (text_id ubigint, text varchar, delivered_text varchar);"
            "create table intermediate.int_contact_texts "
            "(as_of date, person_id ubigint, source varchar, text_id ubigint, seen_on date, weight double)"
        )
        for number, text in TEXTS.items():
            connection.execute("insert into intermediate.int_texts values (?, ?, ?)", [number, text, text.upper()])
        yield connection


def say(connection, week, **people):
    """People of a week, and the texts of each."""
    for person, texts in people.items():
        connection.execute("insert into intermediate.int_people values (?, ?)", [week.as_of, number(person)])
        for text in texts:
            connection.execute(
                "insert into intermediate.int_contact_texts values (?, ?, 'ticket', ?, ?, 1.0)",
                [week.as_of, number(person), text, week.as_of - timedelta(days=1)],
            )


def scores(connection, week):
    return connection.sql(
        "select called(person_id) as person_id, phrase_group, phrase, score, abstained_reason, evidence_1 "
        "from ml.affinity_scores where as_of = ? order by all",
        params=[week.as_of],
    ).pl()


def test_people_are_scored_with_the_text_that_says_so(shop, warehouse):
    say(warehouse, FIRST, ann=[1, 3, 4], bob=[2, 3])
    done = run_affinity_week(warehouse, shop.open(), FIRST)
    assert (done.people, done.judged, done.texts, done.new_texts, done.phrases_found) == (2, 1, 4, 4, 1)
    rows = scores(warehouse, FIRST)
    ann = rows.filter(person_id="ann", phrase="new job").row(0, named=True)
    assert (ann["score"], ann["evidence_1"]) == (0.5, "ticket: new job at acme")
    bob = rows.filter(person_id="bob")
    assert bob["score"].null_count() == bob.height == 4
    assert set(bob["abstained_reason"]) == {"too little text: 2 of 3 texts"}


def test_unchanged_texts_cost_nothing_the_next_week_and_the_model_stands(shop, warehouse):
    say(warehouse, FIRST, ann=[1, 3, 4])
    say(warehouse, SECOND, ann=[1, 3, 4], bob=[2, 3, 4])
    workspace = shop.open()
    assert run_affinity_week(warehouse, workspace, FIRST).new_texts == 3
    assert run_affinity_week(warehouse, workspace, SECOND).new_texts == 1
    assert run_affinity_week(warehouse, workspace, SECOND).new_texts == 0
    models = warehouse.execute("select as_of, texts from ml.phrase_models").fetchall()
    assert models == [(FIRST.as_of, 3)]


def test_a_week_run_again_gives_the_same_rows(shop, warehouse):
    say(warehouse, FIRST, ann=[1, 2, 3, 4], bob=[2, 3, 4], eve=[])
    workspace = shop.open()
    run_affinity_week(warehouse, workspace, FIRST)
    before = warehouse.sql("select * from ml.affinity_scores").pl()
    run_affinity_week(warehouse, workspace, FIRST)
    assert warehouse.sql("select * from ml.affinity_scores").pl().equals(before)


def test_other_phrases_make_another_model_and_the_old_hits_are_forgotten(shop, warehouse):
    say(warehouse, FIRST, ann=[1, 3, 4])
    run_affinity_week(warehouse, shop.open(), FIRST)
    (shop.folder / "brand" / "phrases.yml").write_text("events: [morning]\n", encoding="utf-8")
    say(warehouse, SECOND, ann=[1, 3, 4])
    assert run_affinity_week(warehouse, shop.open(), SECOND).new_texts == 3
    forget_texts_of_nobody(warehouse)
    assert first_row(warehouse, "select count(distinct model_id) from ml.scored_texts") == (1,)
    assert scores(warehouse, SECOND).drop_nulls("phrase")["phrase"].to_list() == ["morning"]


def test_a_text_that_nobody_delivers_any_more_is_forgotten(shop, warehouse):
    say(warehouse, FIRST, ann=[1, 3, 4])
    run_affinity_week(warehouse, shop.open(), FIRST)
    warehouse.execute("delete from intermediate.int_texts where text_id = 1")
    forget_texts_of_nobody(warehouse)
    assert warehouse.execute("select text_id from ml.scored_texts order by 1").fetchall() == [(3,), (4,)]
    assert first_row(warehouse, "select count(*) from ml.text_phrase_hits where text_id = 1") == (0,)


def test_without_phrases_nothing_is_computed_and_earlier_scores_of_the_week_go(shop, warehouse):
    say(warehouse, FIRST, ann=[1, 3, 4])
    run_affinity_week(warehouse, shop.open(), FIRST)
    (shop.folder / "brand" / "phrases.yml").unlink()
    assert run_affinity_week(warehouse, shop.open(), FIRST).rows == 0
    assert scores(warehouse, FIRST).height == 0


def test_a_week_without_people_has_no_rows(shop, warehouse):
    assert run_affinity_week(warehouse, shop.open(), FIRST).rows == 0


def test_scores_do_not_depend_on_how_many_people_are_scored_at_a_time(shop, warehouse, monkeypatch):
    say(
        warehouse,
        FIRST,
        **{f"p{number}": [1 + number % 4, 1 + (number + 1) % 4, 1 + (number + 2) % 4] for number in range(9)},
    )
    workspace = shop.open()
    run_affinity_week(warehouse, workspace, FIRST)
    together = scores(warehouse, FIRST)
    monkeypatch.setattr("orchestration.affinity_week.PEOPLE_AT_A_TIME", 2)
    run_affinity_week(warehouse, workspace, FIRST)
    assert scores(warehouse, FIRST).equals(together)
