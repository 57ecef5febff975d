"""The vocabulary of who is meant: what may be said, what is refused, and whom it selects in a real database."""

from datetime import date

import duckdb
import pytest
from pydantic import ValidationError

from activation.answers import first_row
from activation.selection import (
    RELATIONS,
    Names,
    Selection,
    compile_selection,
    complaints,
    needed_relations,
)

WEEK, OTHER_WEEK = date(2026, 11, 16), date(2026, 11, 9)
NAMES = Names(
    features={"revenue_91d": "number", "contact_country": "category", "is_customer": "flag"},
    special_categories=["contact_diet"],
    targets=["churn"],
    phrases=["API", "new job"],
    defined_personas=["champions", "Our champions"],
    lookalikes=["like_champions"],
    adoption_classes=["innovator", "laggard"],
)


def selection(**said):
    return Selection.model_validate(said)


def worded(**said):
    return [(one.location, one.message) for one in complaints(selection(**said), NAMES)]


@pytest.fixture(scope="module")
def marts():
    """Four people: ann and bob in a persona, bob a champion, eve scored, joe known for nothing."""
    with duckdb.connect() as connection:
        connection.execute(
            """
            create schema marts; create schema features;
            create table people (person_id varchar);
            insert into people values ('ann'), ('bob'), ('eve'), ('joe');
            create table marts.segment_memberships
                (as_of date, person_id varchar, segment_type varchar, segment_id varchar, segment_name varchar,
                membership_strength double);
            insert into marts.segment_memberships values
                ('2026-11-16', 'ann', 'persona', 'persona-01', 'Night owls', 0.9),
                ('2026-11-16', 'bob', 'persona', 'persona-01', 'Night owls', 0.5),
                ('2026-11-16', 'bob', 'defined_persona', 'defined-champions', 'Our champions', 0.7),
                ('2026-11-09', 'eve', 'persona', 'persona-01', 'Night owls', 1.0);
            create table marts.person_propensities
                (as_of date, person_id varchar, target varchar, probability double, band varchar);
            insert into marts.person_propensities values
                ('2026-11-16', 'ann', 'churn', 0.8, 'high'), ('2026-11-16', 'eve', 'churn', 0.1, 'low'),
                ('2026-11-16', 'joe', 'churn', null, null);
            create table marts.person_affinities
                (as_of date, person_id varchar, phrase_group varchar, phrase varchar, score double, percentile double);
            insert into marts.person_affinities values
                ('2026-11-16', 'bob', 'trigger', 'API', 0.6, 90), ('2026-11-16', 'bob', 'trigger', null, 0.7, 95),
                ('2026-11-16', 'eve', 'trigger', null, 0.2, 40), ('2026-11-16', 'joe', 'trigger', null, null, null);
            create table marts.adoption_classes (as_of date, person_id varchar, adoption_class varchar);
            insert into marts.adoption_classes values ('2026-11-16', 'eve', 'innovator');
            create table marts.person_persuasion (as_of date, person_id varchar, message_style varchar);
            insert into marts.person_persuasion values ('2026-11-16', 'bob', 'proof-seeking');
            create table marts.lookalikes (as_of date, person_id varchar, lookalike varchar, lookalike_rank bigint);
            insert into marts.lookalikes values
                ('2026-11-16', 'eve', 'like_champions', 1), ('2026-11-16', 'joe', 'like_champions', 2),
                ('2026-11-16', 'ann', 'like_owls', 1), ('2026-11-09', 'bob', 'like_champions', 1);
            create table features.person_features
                (as_of date, person_id varchar, revenue_91d double, contact_country varchar, is_customer boolean,
                "odd ""name" double);
            insert into features.person_features values
                ('2026-11-16', 'ann', 100, 'DE', true, 1), ('2026-11-16', 'bob', 300, 'at ', false, 2),
                ('2026-11-16', 'eve', null, null, true, 3), ('2026-11-09', 'joe', 500, 'DE', true, 4);
            """
        )
        yield connection


def selected(marts, **said):
    compiled = compile_selection(selection(**said), WEEK)
    rows = marts.execute(
        f"select person_id from people as p where {compiled.sql} order by 1", compiled.parameters
    ).fetchall()
    return [person for (person,) in rows]


@pytest.mark.parametrize(
    ("said", "people"),
    [
        ({"persona": "persona-01"}, ["ann", "bob"]),
        ({"persona": "night OWLS"}, ["ann", "bob"]),
        ({"persona": {"is": "Night owls", "strength": {"at_least": 0.8}}}, ["ann"]),
        ({"defined_persona": "champions"}, ["bob"]),
        ({"defined_persona": ["Our champions"]}, ["bob"]),
        ({"propensity": {"churn": "high"}}, ["ann"]),
        ({"propensity": {"churn": ["high", "low"]}}, ["ann", "eve"]),
        ({"propensity": {"churn": {"at_most": 0.5}}}, ["eve"]),
        ({"affinity": {"API": {"at_least": 0.5}}}, ["bob"]),
        ({"affinity": {"trigger": {"percentile": {"at_most": 50}}}}, ["eve"]),
        ({"adoption_class": ["innovator", "laggard"]}, ["eve"]),
        ({"message_style": "proof-seeking"}, ["bob"]),
        ({"lookalike": "like_champions"}, ["eve", "joe"]),
        ({"lookalike": {"is": ["like_champions", "like_owls"], "rank": {"at_most": 1}}}, ["ann", "eve"]),
        ({"lookalike": "like_champions", "not": {"adoption_class": "innovator"}}, ["joe"]),
        ({"features": {"revenue_91d": {"at_least": 100}}}, ["ann", "bob"]),
        ({"features": {"revenue_91d": {"at_least": 100, "at_most": 200}}}, ["ann"]),
        ({"features": {"contact_country": ["DE", "AT"]}}, ["ann", "bob"]),
        ({"features": {"is_customer": True}}, ["ann", "eve"]),
        ({"features": {"revenue_91d": {"known": False}}}, ["eve"]),
        ({"features": {'odd "name': {"at_least": 2}}}, ["bob", "eve"]),
        ({"persona": "persona-01", "features": {"is_customer": True}}, ["ann"]),
        ({"all": [{"persona": "persona-01"}, {"not": {"defined_persona": "champions"}}]}, ["ann"]),
        ({"any": [{"adoption_class": "innovator"}, {"message_style": "proof-seeking"}]}, ["bob", "eve"]),
        ({"not": {"any": [{"persona": "persona-01"}, {"adoption_class": "innovator"}]}}, ["joe"]),
    ],
)
def test_whom_a_selection_selects(marts, said, people):
    assert selected(marts, **said) == people


def test_what_is_unknown_meets_no_condition_and_not_takes_it_in(marts):
    assert "joe" not in selected(marts, features={"contact_country": "DE"})
    assert selected(marts, **{"not": {"features": {"contact_country": "DE"}}}) == ["bob", "eve", "joe"]


def test_every_value_is_a_parameter_and_nothing_is_executed(marts):
    hostile = "x'); drop table people; --"
    compiled = compile_selection(selection(persona=hostile, features={"contact_country": [hostile]}), WEEK)
    assert "drop" not in compiled.sql
    assert hostile in compiled.parameters.values()
    assert selected(marts, persona=hostile) == []
    assert first_row(marts, "select count(*) from people") == (4,)


def test_a_truth_value_is_never_null(marts):
    compiled = compile_selection(selection(propensity={"churn": {"at_least": 0}}), WEEK)
    rows = marts.execute(f"select {compiled.sql} from people as p order by person_id", compiled.parameters).fetchall()
    assert rows == [(True,), (False,), (True,), (False,)]


def test_two_selections_stand_in_one_query_by_different_prefixes(marts):
    one = compile_selection(selection(persona="persona-01"), WEEK, prefix="one")
    other = compile_selection(selection(persona="persona-01"), OTHER_WEEK, prefix="other")
    query = f"select person_id from people as p where {one.sql} or {other.sql} order by 1"
    assert marts.execute(query, one.parameters | other.parameters).fetchall() == [("ann",), ("bob",), ("eve",)]


def test_another_table_may_stand_for_a_relation(marts):
    relations = RELATIONS | {
        "adoption_classes": "(select as_of, 'joe' as person_id, adoption_class from marts.adoption_classes)"
    }
    compiled = compile_selection(selection(adoption_class="innovator"), WEEK, relations)
    rows = marts.execute(f"select person_id from people as p where {compiled.sql}", compiled.parameters).fetchall()
    assert rows == [("joe",)]


def test_a_selection_knows_what_it_is_looked_up_in_and_which_features_decide():
    one = selection(
        persona="x", any=[{"features": {"b": {"at_least": 1}}}, {"not": {"features": {"a": {"known": True}}}}]
    )
    assert needed_relations(one) == {"segment_memberships", "person_features"}
    assert one.feature_names() == ["a", "b"]
    assert list(one.segments()) == [(("persona",), "persona", "x")]


@pytest.mark.parametrize(
    ("said", "location", "message"),
    [
        ({"features": {"revenue": {"at_least": 1}}}, ("features", "revenue"), "'revenue' is no feature"),
        ({"features": {"revenue_91d": "many"}}, ("features", "revenue_91d"), "is a number"),
        ({"features": {"contact_country": {"at_least": 1}}}, ("features", "contact_country"), "is no number"),
        ({"features": {"contact_diet": "vegan"}}, ("features", "contact_diet"), "special category (GDPR art. 9)"),
        ({"propensity": {"chrun": "high"}}, ("propensity", "chrun"), "'chrun' is no target"),
        ({"affinity": {"apis": {"at_least": 0.1}}}, ("affinity", "apis"), "neither a phrase nor a group"),
        ({"lookalike": "like_champs"}, ("lookalike",), "'like_champs' is no list of look-alikes"),
        ({"defined_persona": "champs"}, ("defined_persona",), "'champs' is no defined persona"),
        ({"adoption_class": "inovator"}, ("adoption_class",), "'inovator' is no adoption class"),
        (
            {"all": [{"persona": "x"}, {"not": {"propensity": {"x": "low"}}}]},
            ("all", 1, "not", "propensity", "x"),
            "no target",
        ),
    ],
)
def test_a_wrong_name_is_told_with_its_place(said, location, message):
    [(where, words)] = worded(**said)
    assert where == location
    assert message in words


def test_a_wrong_name_brings_the_names_that_would_do():
    [one] = complaints(selection(propensity={"chrun": "high"}), NAMES)
    assert (one.name, one.valid) == ("chrun", ("churn",))


def test_personas_found_in_the_data_and_styles_that_are_not_known_yet_are_no_complaint():
    assert worded(persona="persona-99", message_style="anything") == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "say who is meant"),
        ({"persna": "x"}, "persna"),
        ({"persona": []}, "at least 1 item"),
        ({"propensity": {"churn": "hgih"}}, "'high', 'medium' or 'low'"),
        ({"propensity": {"churn": {"at_least": 1.5}}}, "less than or equal to 1"),
        ({"features": {"x": {"at_least": 2, "at_most": 1}}}, "ends .1. before it begins"),
        ({"features": {"x": {"at_least": 2, "is": ["a"]}}}, "say `at_least:`"),
        ({"features": {"x": {"at_least": float("nan")}}}, "finite"),
        ({"affinity": {"API": {}}}, "percentile"),
    ],
)
def test_what_says_nothing_or_too_much_is_refused(said, message):
    with pytest.raises(ValidationError, match=message):
        selection(**said)
