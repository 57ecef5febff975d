from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, planted_people

from benchmarks.persona_worlds import WorldSettings, catalogue_of_world, simulate_weeks
from benchmarks.tracking_bound import Alive
from benchmarks.tracking_measures import count_changes, track_world
from ml.membership_reasons import deciding_features, evidence_for, learn_scales
from ml.persona_challenge import GateSettings, fit_challenger
from ml.persona_movement import count_movement, tell_movement
from ml.persona_tracking import (
    INCUMBENT_SCHEMA,
    ODDS_TO_MOVE,
    RIGHT_WHEN_MOVED,
    StandingPersonas,
    odds_for_week,
    odds_of_beliefs,
    place_people,
)
from ml.personas import PersonaSettings, fit_personas
from ml.typical_people import typical_people
from tests.people_by_name import person_ids

NOBODY = pl.DataFrame(schema=INCUMBENT_SCHEMA)
SETTINGS = PersonaSettings(k=4, k_range=(4, 4), starts=5)


@pytest.fixture(scope="module")
def people():
    return planted_people(1_500, seed=4)[0]


@pytest.fixture(scope="module")
def standing(people):
    return fit_challenger(people, CATALOGUE, SETTINGS, None, NOBODY).personas


@pytest.fixture(scope="module")
def placed(standing, people):
    return place_people(standing, people, NOBODY)


def test_without_a_past_everybody_is_where_it_is_most_probable(standing, people, placed):
    assigned = standing.model.assign(people)
    assert placed["person_id"].to_list() == assigned["person_id"].to_list()
    assert placed["persona_id"].to_list() == [standing.persona_ids[one] for one in assigned["cluster"]]
    assert (placed["margin"] >= 0).all() and placed["strength"].is_between(0, 1).all()


def test_people_stay_until_another_persona_is_four_times_as_probable(standing, people, placed):
    elsewhere = placed.with_columns(persona_id="runner_up_persona_id").select("person_id", "persona_id")
    again = place_people(standing, people, elsewhere)
    second = placed["strength"] - placed["margin"]
    stays = (placed["strength"] < ODDS_TO_MOVE * second).to_numpy()
    assert (again["persona_id"] == elsewhere["persona_id"]).to_numpy().tolist() == stays.tolist()
    assert (again.filter(pl.Series(stays))["margin"] <= 0).all()
    assert 0 < stays.mean() < 0.5


def test_a_persona_the_model_does_not_know_holds_nobody_back(standing, people, placed):
    ended = placed.select("person_id", persona_id=pl.lit("persona-99"))
    assert place_people(standing, people, ended).equals(placed)


def test_the_order_of_rows_does_not_matter(standing, people, placed):
    shuffled = people.sample(fraction=1.0, shuffle=True, seed=9)
    assert place_people(standing, shuffled, NOBODY).equals(placed)


def test_people_who_waver_more_move_at_longer_odds():
    def odds(persistence):
        world = WorldSettings(people=500, weeks=2, persistence=persistence)
        first, second = simulate_weeks(world, seed=1)
        fit = PersonaSettings(k=6, k_range=(6, 6), starts=5)
        standing = fit_challenger(first.features, catalogue_of_world(world), fit, None, NOBODY).personas
        return odds_for_week(standing, second.features, place_people(standing, first.features, NOBODY))

    calm, wavering = odds(0.999), odds(0.8)
    assert calm == ODDS_TO_MOVE
    assert wavering > 5 * ODDS_TO_MOVE


def beliefs_of(*strengths):
    """People of the first of two personas, and how probable the second has become."""
    second = np.array(strengths)
    return np.column_stack([1 - second, second]), np.zeros(len(second), dtype=np.int64)


def test_among_sure_changes_a_few_doubtful_ones_move_too():
    assert odds_of_beliefs(*beliefs_of(*[0.999] * 8, 0.6, 0.1)) == pytest.approx(0.6 / 0.4)


def test_where_most_changes_are_doubtful_it_takes_four_to_one():
    assert odds_of_beliefs(*beliefs_of(0.85, 0.6, 0.6, 0.55, 0.1)) == ODDS_TO_MOVE
    assert odds_of_beliefs(*beliefs_of(0.1, 0.4)) == ODDS_TO_MOVE, "nobody changes"
    assert odds_of_beliefs(*beliefs_of()) == ODDS_TO_MOVE


def test_those_who_move_below_four_to_one_are_expected_right_as_often_as_promised():
    random = np.random.default_rng(2)
    second = np.concatenate([random.beta(0.3, 20, 5_000), random.beta(20, 0.3, 60), random.beta(2, 2, 60)])
    believed, before = beliefs_of(*second)
    odds = odds_of_beliefs(believed, before)
    assert 1 < odds < ODDS_TO_MOVE
    moving = second[second >= odds * (1 - second) * (1 - 1e-9)]
    assert RIGHT_WHEN_MOVED <= moving.mean() < RIGHT_WHEN_MOVED + 0.02


def test_a_refit_among_the_same_people_keeps_ids_and_people(standing, people, placed):
    challenge = fit_challenger(people, CATALOGUE, replace(SETTINGS, seed=99), standing, placed)
    assert challenge.verdict.passed
    assert set(challenge.match.events["event"]) == {"continuation"}
    now = place_people(challenge.personas, people, placed)
    assert (now["persona_id"] == placed["persona_id"]).mean() > 0.97


def test_a_challenger_that_would_move_most_people_is_refused_with_the_reason(standing, people, placed):
    strict = GateSettings(stability=0.0, validity=0.0, identity=1.01)
    verdict = fit_challenger(people, CATALOGUE, SETTINGS, standing, placed, gate=strict).verdict
    assert not verdict.passed and "would keep their persona" in verdict.reason
    assert 0 < verdict.figures["identity_kept"] <= 1


def test_a_challenger_that_is_less_stable_or_less_separate_is_refused(standing, people, placed):
    unreachable = GateSettings(stability=0.0, validity=5.0, identity=0.0)
    assert (
        "as separate as the standing ones"
        in fit_challenger(people, CATALOGUE, SETTINGS, standing, placed, gate=unreachable).verdict.reason
    )


def test_moves_are_told_from_boundaries_drawn_anew():
    ids = person_ids(4)
    before = pl.DataFrame({"person_id": ids[:3], "persona_id": ["p1", "p1", "p1"]})
    placed = pl.DataFrame({"person_id": ids, "persona_id": ["p1", "p2", "p2", "p2"]})
    with_last_weeks_model = pl.DataFrame({"person_id": ids, "persona_id": ["p1", "p2", "p1", "p2"]})
    tracked = tell_movement(placed, with_last_weeks_model, before)
    assert tracked["movement"].to_list() == ["stayed", "moved", "redrawn", None]
    assert count_movement(tracked) == {"moved": 1, "redrawn": 1, "stayed": 1, "joined": 1, "by_refit_alone": 1}


def test_with_last_weeks_model_nobody_is_redrawn():
    before = pl.DataFrame({"person_id": person_ids(1), "persona_id": ["p1"]})
    placed = pl.DataFrame({"person_id": person_ids(1), "persona_id": ["p2"]})
    assert tell_movement(placed, None, before)["movement"].to_list() == ["moved"]


def test_deciding_features_decide(standing, people, placed):
    """Where the three are set to what the runner-up's people have, more people change than where three others are."""
    told = deciding_features(standing.model.preparation, people, placed)
    names = [f"deciding_feature_{n}" for n in (1, 2, 3)]
    assert told.select(names).null_count().sum_horizontal()[0] == 0
    features = standing.model.preparation.features_
    means = {
        persona: people.join(placed.filter(pl.col("persona_id") == persona).select("person_id"), on="person_id")
        for persona in standing.persona_ids.values()
    }

    def changed(pick):
        count = 0
        for row in told.head(120).iter_rows(named=True):
            person = people.filter(pl.col("person_id") == row["person_id"])
            other = means[row["runner_up_persona_id"]]
            for name in pick([row[one] for one in names]):
                value = other[name].mode().sort()[0] if name in ("is_admin", "country") else other[name].median()
                person = person.with_columns(pl.lit(value).cast(people.schema[name]).alias(name))
            count += standing.persona_ids[standing.model.assign(person)["cluster"][0]] != row["persona_id"]
        return count

    assert changed(lambda best: best) > 2 * changed(lambda best: [one for one in features if one not in best][:3])


def test_evidence_against_the_rival_is_evidence_for_it_reversed(standing, people, placed):
    scales = learn_scales(standing.model.preparation, people, placed)
    some = people.head(20)
    ids = list(standing.persona_ids.values())
    one = evidence_for(standing.model.preparation, scales, some, [ids[0]] * 20, [ids[1]] * 20)
    other = evidence_for(standing.model.preparation, scales, some, [ids[1]] * 20, [ids[0]] * 20)
    np.testing.assert_allclose(one, -other)


def test_typical_people_are_members_near_the_middle(standing, people, placed):
    typical = typical_people(standing.model.preparation, people, placed)
    assert typical.group_by("persona_id").len()["len"].to_list() == [3] * 4
    members = typical.join(placed, on=["person_id", "persona_id"])
    assert members.height == typical.height
    assert members["strength"].mean() > placed["strength"].mean()


def test_in_a_living_world_ids_hold_and_birth_and_death_are_found():
    """A short version of `make bench-tracking`: one world, weekly refits, a birth and a death."""
    world = WorldSettings(people=700, weeks=5, birth_week=2, death_week=4)
    result = track_world(world, seed=3, starts=10)
    assert result.id_switches == 0
    told = [(week, {"split": "birth", "merge": "death"}.get(event, event)) for week, event, _ in result.events if week]
    assert told == [(2, "birth"), (4, "death")]
    assert len(result.ids_ever) == 7


def test_a_single_persona_is_nobodys_runner_up():
    few, _ = planted_people(8)
    model = fit_personas(few, CATALOGUE)
    placed = place_people(StandingPersonas(model, {0: "persona-01"}), few, NOBODY)
    assert placed["runner_up_persona_id"].null_count() == few.height
    assert deciding_features(model.preparation, few, placed)["deciding_feature_1"].null_count() == few.height


def test_a_correction_counts_as_churn_but_not_as_going_astray():
    planted = dict.fromkeys("abcde", "readers") | dict.fromkeys("fgh", "builders")
    truth = pl.DataFrame({"person_id": list(planted), "persona": list(planted.values()), "moved": False})
    right = {person: "persona-01" if persona == "readers" else "persona-02" for person, persona in planted.items()}
    labels = [right | {"a": "persona-02"}, right | {"b": "persona-02"}]
    changes = count_changes(labels, [Alive(truth), Alive(truth)])
    assert (changes.spurious, changes.astray) == ([2 / 8], [1 / 8])
