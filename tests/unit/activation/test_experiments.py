"""Whom chance keeps out: the same people every week, as many of each persona, nobody in two of a group."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from gate_world import AS_OF, AS_OF_AT, TABLES, World, audience
from hypothesis import given, settings
from hypothesis import strategies as st

from activation.answers import first_row
from activation.experiments import ANOTHER_EXPERIMENT, HOLDOUT, Experiment
from activation.gate import Gate
from tests.people_by_name import number


def names(number: int, first: int = 0) -> list[str]:
    return [f"p{place:04}" for place in range(first, first + number)]


def world_of(people: list[str]) -> World:
    world = World()
    values = ", ".join(
        f"(date '{AS_OF}', {number(one)}, 'email_marketing', 'email', 'c-{one}', '{one}@example.com', true, false, "
        "'granted', timestamp '2026-03-01')"
        for one in people
    )
    world.connection.execute(f"insert into contactability values {values}")
    return world


def next_week(world: World, as_of: date = AS_OF) -> date:
    """The same decisions a week later."""
    later = as_of + timedelta(days=7)
    world.connection.execute(
        "insert into contactability by name select * replace (? as as_of) from contactability where as_of = ?",
        [later, as_of],
    )
    return later


def run(world, *terms, as_of=AS_OF, personas=None, condition="true"):
    gate = Gate(world.connection, as_of, AS_OF_AT, None, TABLES)
    if personas:
        frame = ", ".join(f"({number(one)}, '{persona}')" for one, persona in personas.items())
        gate.know(f"select * from (values {frame}) as t (person_id, persona_id)")
    for one in terms:
        gate.consider(one, condition)
    gate.judge()
    gate.tell()
    return world.told(as_of)


def kept_out(told, key):
    return {one for one, reason in told.get(key, {}).items() if reason == HOLDOUT}


def held(key, share=0.2, group=None, name=None, **changed):
    return audience(key, experiment=Experiment(name or key, share, group), **changed)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    share=st.sampled_from([0.05, 0.1, 0.25, 0.5]),
    key=st.sampled_from(["a", "b", "c"]),
)
def test_of_each_persona_the_share_is_kept_out_to_less_than_one_person(sizes, share, key):
    people = names(sum(sizes))
    of = [f"persona-{place:02}" for place, size in enumerate(sizes) for _ in range(size)]
    personas = dict(zip(people, of, strict=True))

    out = kept_out(run(world_of(people), held(key, share), personas=personas), key)

    for place, size in enumerate(sizes):
        kept = sum(personas[one] == f"persona-{place:02}" for one in out)
        assert abs(kept - share * size) < 1


def test_the_share_stays_while_people_come_in_week_by_week():
    people = names(400)
    world, as_of = world_of(people), AS_OF
    for known in range(50, 401, 50):
        told = run(world, held("news", 0.1), as_of=as_of, condition=f"p.person_id < person('p{known:04}')")
        assert abs(len(kept_out(told, "news")) - 0.1 * known) < 1
        as_of = next_week(world, as_of)


def test_the_same_people_are_kept_out_every_week_whatever_becomes_of_their_persona():
    people = names(100)
    world = world_of(people)
    first = run(world, held("news"), personas=dict.fromkeys(people, "persona-01"))
    later = next_week(world)
    second = run(world, held("news"), as_of=later, personas=dict.fromkeys(people, "persona-02"))

    assert kept_out(first, "news") == kept_out(second, "news")
    assert len(kept_out(first, "news")) in (19, 20, 21)


def test_who_leaves_and_comes_back_is_where_they_were():
    people = names(60)
    world = world_of(people)
    first = kept_out(run(world, held("news")), "news")
    later = next_week(world)
    run(world, held("news"), as_of=later, condition="p.person_id < person('p0010')")
    again = next_week(world, later)

    assert kept_out(run(world, held("news"), as_of=again), "news") == first


def test_judging_a_week_again_draws_nobody_anew():
    world = world_of(names(80))
    assert run(world, held("news")) == run(world, held("news"))
    drawn = "select count(*), count(distinct person_id) from activation.experiment_people"
    assert first_row(world.connection, drawn) == (80, 80)


def test_a_person_merged_into_another_id_stays_where_their_contact_was():
    world = world_of(names(50))
    before = kept_out(run(world, held("news")), "news")
    later = next_week(world)
    world.connection.execute(
        "update contactability set person_id = person('q' || called(person_id)) where as_of = ?", [later]
    )

    assert kept_out(run(world, held("news"), as_of=later), "news") == {f"q{one}" for one in before}


def test_the_draw_is_a_hash_of_experiment_and_person_so_experiments_are_independent():
    world = world_of(names(400))
    told = run(world, held("one", 0.25), held("two", 0.25))
    both = kept_out(told, "one") & kept_out(told, "two")

    assert len(kept_out(told, "one")) in (99, 100, 101)
    assert 10 <= len(both) <= 42  # 25 expected, 4 standard deviations
    assert kept_out(run(world_of(names(400)), held("one", 0.25)), "one") == kept_out(told, "one")


def test_audiences_of_one_experiment_keep_the_same_people_out():
    told = run(world_of(names(100)), held("mail", name="spring"), held("post", name="spring"))

    assert kept_out(told, "mail") == kept_out(told, "post") != set()


def test_nobody_is_in_two_experiments_of_one_exclusion_group():
    world = world_of(names(200))
    told = run(world, held("one", group="spring"), held("two", group="spring"), held("free"))

    for one in names(200):
        elsewhere = [key for key in ("one", "two") if told[key][one] == ANOTHER_EXPERIMENT]
        assert len(elsewhere) == 1
    shares = [sum(told[key][one] != ANOTHER_EXPERIMENT for one in names(200)) for key in ("one", "two")]
    assert min(shares) > 70  # by chance, about half each
    drawn = first_row(
        world.connection,
        "select max(experiments) from (select count(distinct experiment) as experiments "
        "from activation.experiment_people where exclusion_group = 'spring' group by person_id)",
    )
    assert drawn == (1,)


def test_who_is_in_an_experiment_of_a_group_stays_in_it_when_another_wants_them():
    world = world_of(names(100))
    run(world, held("one", group="spring"))
    later = next_week(world)
    told = run(world, held("one", group="spring"), held("two", group="spring"), as_of=later)

    assert set(told["two"].values()) == {ANOTHER_EXPERIMENT}
    assert ANOTHER_EXPERIMENT not in told["one"].values()


def test_when_an_experiment_ends_its_people_are_free():
    world = world_of(names(40))
    run(world, held("one", group="spring"))
    later = next_week(world)

    assert ANOTHER_EXPERIMENT not in run(world, held("two", group="spring"), as_of=later)["two"].values()


def test_only_people_who_may_be_contacted_are_drawn():
    world = world_of(names(40))
    world.connection.execute(
        "update contactability set is_allowed = false, decision_reason = 'withdrawn' where person_id < person('p0020')"
    )
    run(world, held("news", 0.5))

    drawn = first_row(world.connection, "select called(min(person_id)), count(*) from activation.experiment_people")
    assert drawn == ("p0020", 20)


def test_an_audience_that_reached_nobody_drew_nobody():
    world = world_of(names(10))
    run(world, held("news", minimum_size=50))

    assert first_row(world.connection, "select count(*) from activation.experiment_people") == (0,)


def test_an_audience_that_stands_draws_nobody_and_keeps_out_whom_it_kept_out():
    world = world_of(names(50))
    before = kept_out(run(world, held("news"), condition="p.person_id < person('p0040')"), "news")
    later = next_week(world)
    told = run(world, held("news", is_standing=True), as_of=later)

    assert kept_out(told, "news") == before
    assert first_row(world.connection, "select count(*) from activation.experiment_people") == (40,)


@pytest.mark.parametrize("column", ["experiment", "audience", "person_id", "contact_id", "persona_id", "is_control"])
def test_who_was_drawn_is_told_with_all_that_uplift_needs(column):
    world = world_of(names(20))
    run(world, held("news", name="spring", group="g"), personas=dict.fromkeys(names(20), "persona-01"))
    row = first_row(
        world.connection,
        f"select {column} from (select * replace (called(person_id) as person_id) "
        "from activation.experiment_people) where person_id = 'p0003'",
    )
    assert row is not None
    assert row[0] in ("spring", "news", "p0003", "c-p0003", "persona-01", True, False)
