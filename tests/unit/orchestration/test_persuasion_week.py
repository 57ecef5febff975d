"""Weeks of persuasion over a small warehouse: evidence, defaults, whom pressure is not aimed at, and chance checked."""

from __future__ import annotations

import itertools
from datetime import date

import duckdb
import numpy as np
import polars as pl
import pytest
from workspace_builder import WorkspaceBuilder

from activation.answers import first_row
from ml.persuasion import APPROACHES
from orchestration.persuasion_week import NOT_RANDOMIZED, run_persuasion_week
from orchestration.weeks import Week
from tests.people_by_name import person_ids

WEEK = Week(date(2026, 1, 5))
TAGS = {
    "social_proof": {"content": ["story_*"]},
    "scarcity": {"offer": "last_seats"},
    "authority": {"content": "expert"},
}
MESSAGES = {
    "extract": {"files": "messages.csv"},
    "entities": {
        "messages": {
            "columns": {
                "contact_id": "id",
                "occurred_at": "at",
                "message_action": "what",
                "channel": {"value": "email"},
            }
        }
    },
}
PEOPLE = 600
COUNTED = ("sends", "responses", "randomized_sends", "randomized_responses")


def persuasion(**more: object) -> dict[str, object]:
    return {"tags": TAGS, "minimum_sends": 50, **more}


@pytest.fixture
def shop(tmp_path):
    builder = WorkspaceBuilder(tmp_path).orders()
    return builder.mapping("messages", MESSAGES).settings(persuasion=persuasion())


@pytest.fixture
def warehouse():
    """600 people in each of two personas; those of the first answer to stories, the second's to nothing more."""
    rng = np.random.default_rng(3)
    with duckdb.connect() as connection:
        connection.execute(
            "create schema intermediate; create schema ml;"
            "create table intermediate.int_people (as_of date, person_id ubigint);"
            "create table intermediate.int_people_spared_pressure (as_of date, person_id ubigint, rule_number integer);"
            "create table intermediate.int_message_outcomes (content varchar, offer varchar);"
            "create table ml.personas (as_of date, persona_type varchar, persona_id varchar, persona_name varchar);"
            "create table ml.persona_assignments "
            "(as_of date, persona_type varchar, person_id ubigint, persona_id varchar);"
            "create table intermediate.int_persuasion_responses (as_of date, person_id ubigint, counted varchar)"
        )
        for approach, what in itertools.product(APPROACHES, COUNTED):
            connection.execute(
                f"alter table intermediate.int_persuasion_responses add column {approach}_{what} integer default 0"
            )
        connection.execute("insert into intermediate.int_message_outcomes values ('Story_1', 'Last_Seats')")
        connection.execute("insert into ml.personas values (?, 'persona', 'persona-01', 'Night owls')", [WEEK.as_of])
        ids = person_ids(2 * PEOPLE)
        persona = ["persona-01"] * PEOPLE + ["persona-02"] * PEOPLE
        people = pl.DataFrame({"as_of": WEEK.as_of, "person_id": ids, "persona_id": persona})
        connection.execute("insert into intermediate.int_people select as_of, person_id from people")
        connection.execute(
            "insert into ml.persona_assignments select as_of, 'persona', person_id, persona_id from people"
        )
        connection.execute(
            "insert into intermediate.int_persuasion_responses (as_of, person_id, counted) "
            "select as_of, person_id, 'clicks' from people"
        )
        for approach, first, second in (("social_proof", 0.3, 0.1), ("scarcity", 0.1, 0.1), ("authority", 0.1, 0.1)):
            answers = people.with_columns(answers=rng.binomial(3, np.repeat([first, second], PEOPLE)))  # noqa: F841
            connection.execute(
                f"update intermediate.int_persuasion_responses as r set {approach}_sends = 3, "
                f"{approach}_randomized_sends = 3, {approach}_responses = a.answers, "
                f"{approach}_randomized_responses = a.answers from answers as a where a.person_id = r.person_id"
            )
        yield connection


def estimates(connection, segment_id, columns="approach, approach_rank, message_style, evidence, withheld_reason"):
    return connection.sql(
        f"select {columns} from ml.persuasion_estimates where segment_id = ? "
        "order by approach_rank nulls last, approach",
        params=[segment_id],
    ).pl()


def one(connection, person_id):
    return (
        connection.sql("select * from ml.persuasion_people where person_id = ?", params=[person_id])
        .pl()
        .row(0, named=True)
    )


def test_a_group_with_evidence_is_told_its_best_approach_and_another_that_there_is_none(shop, warehouse):
    done = run_persuasion_week(warehouse, shop.open(), WEEK)
    assert (done.segments, done.people, done.spared, done.counted) == (3, 2 * PEOPLE, 0, "clicks")
    first = estimates(warehouse, "persona-01").row(0, named=True)
    assert (first["approach"], first["message_style"], first["evidence"]) == (
        "social_proof",
        "proof_seeking",
        "observed",
    )
    second = estimates(warehouse, "persona-02", "segment_name, approach_rank, evidence, abstained_reason").row(0)
    assert second == (
        "Persona-02",
        None,
        "default",
        "no evidence yet: no approach is answered more than the others beyond chance; no default is set for this group",
    )
    assert estimates(warehouse, "persona-01", "segment_name, caution").row(0) == ("Night owls", NOT_RANDOMIZED)
    assert estimates(warehouse, "everybody").height == 7


def test_people_carry_their_groups_labels_and_their_own_history(shop, warehouse):
    warehouse.execute("update intermediate.int_persuasion_responses set authority_responses = 2 where person_id = 0")
    shop.settings(persuasion=persuasion(defaults={"*": ["authority", "scarcity"]}))
    run_persuasion_week(warehouse, shop.open(), WEEK)
    ann = one(warehouse, 0)
    told = ("message_style", "approach_1", "evidence", "segment_type", "segment_id", "abstained_reason")
    assert [ann[name] for name in told] == ["proof_seeking", "social_proof", "observed", "persona", "persona-01", None]
    assert (ann["authority_sends"], ann["authority_responses"], ann["unity_sends"]) == (3, 2, 0)
    bob = one(warehouse, PEOPLE)
    assert [bob[name] for name in told] == ["expertise_seeking", "authority", "default", "persona", "persona-02", None]
    assert (bob["approach_2"], bob["approach_3"]) == ("scarcity", None)


def test_people_without_a_group_carry_nothing_and_are_told_why(shop, warehouse):
    warehouse.execute("delete from ml.persona_assignments where person_id = 0")
    run_persuasion_week(warehouse, shop.open(), WEEK)
    nobody = one(warehouse, 0)
    assert (nobody["approach_1"], nobody["abstained_reason"]) == (None, "in no group with evidence or a default")


def test_pressure_is_not_aimed_at_people_on_the_block_list_and_it_is_shown_why(shop, warehouse):
    spare = [
        {"event": "hardship form", "because": "asked for a payment plan"},
        {"segment": "persona-02", "because": "in debt counselling"},
    ]
    mapping = {
        "extract": {"files": "events.csv"},
        "entities": {
            "events": {"columns": {"contact_id": "id", "occurred_at": "at", "event_type": {"value": "other"}}}
        },
    }
    shop.mapping("events", mapping)
    shop.settings(persuasion=persuasion(defaults={"*": ["scarcity", "authority"]}, pressure={"spare": spare}))
    warehouse.execute(
        "insert into intermediate.int_people_spared_pressure values (?, 0, 1), (?, 700, 1)", [WEEK.as_of] * 2
    )
    done = run_persuasion_week(warehouse, shop.open(), WEEK)
    assert done.spared == PEOPLE + 1
    assert one(warehouse, 0)["withheld_reason"] == "asked for a payment plan"
    both = one(warehouse, 700)
    assert both["withheld_reason"] == "asked for a payment plan; in debt counselling"
    assert (both["withheld_approaches"], both["approach_1"], both["approach_2"]) == ("scarcity", "authority", None)
    assert both["message_style"] == "expertise_seeking"
    group = estimates(warehouse, "persona-02").row(0, named=True)
    assert (group["approach"], group["message_style"]) == ("authority", "expertise_seeking")
    withheld = estimates(warehouse, "persona-02").filter(approach="scarcity").row(0, named=True)
    assert (withheld["approach_rank"], withheld["withheld_reason"]) == (None, "in debt counselling")
    everyone = first_row(
        warehouse,
        "select count(*) from ml.persuasion_people where withheld_reason is not null and "
        "'scarcity' in (approach_1, approach_2, approach_3)",
    )
    assert everyone == (0,)


def test_adoption_classes_are_groups_where_there_are_some(shop, warehouse):
    warehouse.execute(
        "create table ml.adoption_scores "
        "(as_of date, person_id ubigint, adoption_class varchar, adoption_class_name varchar)"
    )
    warehouse.execute(
        "insert into ml.adoption_scores select as_of, person_id, case when person_id < 900 then 'laggard' else "
        "'unclassified' end, case when person_id < 900 then 'Laggard' else 'Unclassified' end "
        "from intermediate.int_people"
    )
    shop.settings(persuasion=persuasion(defaults={"adoption_class": {"laggard": ["authority"], "inovator": ["unity"]}}))
    done = run_persuasion_week(warehouse, shop.open(), WEEK)
    assert done.unknown_segments == ("adoption_class 'inovator'; valid names: laggard",)
    assert estimates(warehouse, "laggard", "segment_name").row(0) == ("Laggard",)
    laggard = one(warehouse, 700)
    assert laggard["segment_type"] == "adoption_class"
    assert laggard["adoption_class_message_style"] == laggard["message_style"]
    assert one(warehouse, 1000)["approach_1"] is None


def test_only_randomized_messages_count_where_some_are_named_and_chance_is_checked(shop, warehouse):
    shop.settings(persuasion=persuasion(randomized="test *"))
    done = run_persuasion_week(warehouse, shop.open(), WEEK)
    assert (done.is_randomized, done.caution) == (True, None)
    # Stories go to the second persona hardly ever: then it was not chance.
    warehouse.execute(
        "update intermediate.int_persuasion_responses set social_proof_randomized_sends = 0, "
        "social_proof_randomized_responses = 0 where person_id >= 700"
    )
    done = run_persuasion_week(warehouse, shop.open(), WEEK)
    assert not done.is_randomized
    assert done.caution.startswith("stated as randomized, but groups got ")
    assert estimates(warehouse, "persona-01", "is_randomized").row(0) == (False,)
    sends = estimates(warehouse, "persona-02", "approach, sends").filter(approach="social_proof")["sends"][0]
    assert sends == 3 * 100


def test_tags_that_no_message_has_are_named_with_the_nearest_value(shop, warehouse):
    done = run_persuasion_week(warehouse, shop.open(), WEEK)
    assert done.unmatched_tags == ("authority, content 'expert'; valid names: Story_1",)


def test_a_workspace_that_tags_nothing_has_empty_tables(shop, warehouse):
    shop.settings(persuasion={})
    assert run_persuasion_week(warehouse, shop.open(), WEEK).people == 0
    tables = ("persuasion_estimates", "persuasion_models", "persuasion_people")
    assert [first_row(warehouse, f"select count(*) from ml.{name}") for name in tables] == [(0,)] * 3


def test_a_week_run_again_gives_the_same_rows(shop, warehouse):
    workspace = shop.open()
    run_persuasion_week(warehouse, workspace, WEEK)
    before = warehouse.sql("select * from ml.persuasion_estimates").pl()
    run_persuasion_week(warehouse, workspace, WEEK)
    assert warehouse.sql("select * from ml.persuasion_estimates").pl().equals(before)
