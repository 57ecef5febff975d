"""Times, channels and contents per person: what is gained where people differ, and nothing lost where they do not."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.preference_worlds import World, world
from ml.preferences import PREFERENCE_SCHEMA, PreferenceRules, Preferences, prefer_by_answers, prefer_by_choices

RULES = PreferenceRules()


def learn(person: np.ndarray, value: np.ndarray, answered: np.ndarray, personas: np.ndarray) -> Preferences:
    messages = pl.DataFrame(
        {"person": person.astype(np.uint32), "value": pl.Series(value).cast(pl.String), "answered": answered}
    )
    return prefer_by_answers(messages, personas, np.ones(len(personas), dtype=np.bool_), RULES)


class TestBestTime:
    @pytest.mark.parametrize("seed", range(8))
    def test_closes_three_quarters_of_the_gap_at_twenty_messages(self, seed: int) -> None:
        simulated = world(seed, sends=20)
        gap = simulated.oracle - simulated.overall_best
        assert gap > 0.1
        assert (simulated.achieved() - simulated.overall_best) / gap >= 0.75

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("overall_peak", [True, False])
    def test_loses_at_most_one_percent_where_people_do_not_differ(self, seed: int, overall_peak: bool) -> None:
        simulated = world(seed, sends=20, differ=False, overall_peak=overall_peak)
        assert simulated.achieved() >= 0.99 * simulated.overall_best

    def test_says_nothing_where_no_time_is_better(self) -> None:
        told = world(1, differ=False, overall_peak=False).learned()
        assert told.reason == "no value is answered more than another"
        assert told.people.is_empty()

    def test_the_stated_probability_is_near_the_true_rate_and_does_not_promise_more(self) -> None:
        simulated = world(2, sends=20, own_spread=0.0)
        told = simulated.learned().people
        slots = told["best_value"].cast(pl.Int64).to_numpy()
        truth = simulated.rates[told["person"].to_numpy(), slots]
        assert truth.mean() - 0.05 <= told["probability"].mean() <= truth.mean() + 0.01


class TestPeople:
    def test_what_a_person_alone_prefers_is_found_where_there_is_evidence(self) -> None:
        rng = np.random.default_rng(3)
        people, sends, values = 3_000, 40, 4
        logits = rng.normal(-1.2, 0.8, (people, values)) + rng.normal(0, 0.5, (people, 1))
        rates = 1 / (1 + np.exp(-logits))
        person = np.repeat(np.arange(people), sends)
        value = rng.integers(0, values, len(person))
        told = learn(person, value, rng.random(len(person)) < rates[person, value], np.zeros(people, dtype=np.int64))
        own = told.people.filter(decided_by="person")
        assert own.height > 0.2 * people
        chosen = rates[own["person"].to_numpy(), own["best_value"].cast(pl.Int64).to_numpy()]
        at_best_of_all = rates[own["person"].to_numpy(), rates.mean(axis=0).argmax()]
        assert chosen.mean() > 1.2 * at_best_of_all.mean()

    def test_readiness_to_answer_is_no_preference(self) -> None:
        """Eager people who only ever got the worse value do not make it the better one."""
        rng = np.random.default_rng(4)
        people, sends = 2_000, 20
        eager = np.arange(people) < 1_000
        rates = np.where(eager, 0.5, 0.1)[:, None] * np.array([1.0, 0.7])
        person = np.repeat(np.arange(people), sends)
        value = np.where(rng.random(len(person)) < np.where(eager, 0.1, 0.9)[person], 0, 1)
        answered = rng.random(len(person)) < rates[person, value]
        raw = [answered[value == one].mean() for one in (0, 1)]
        assert raw[1] > raw[0]
        told = learn(person, value, answered, np.full(people, -1))
        everybody = told.personas.filter(persona=-1).row(0, named=True)
        assert everybody["best_value"] == "0"

    def test_every_row_says_how_much_it_rests_on(self) -> None:
        simulated = world(5, people=1_000)
        told = simulated.learned()
        assert told.people.schema == PREFERENCE_SCHEMA
        assert (told.people["evidence"] == 20).all()
        assert told.people["confidence"].is_between(0, 1).all()
        spoken = told.people.filter(pl.col("best_value").is_not_null())
        assert (spoken["probability_low"] <= spoken["probability"]).all()
        assert (spoken["probability"] <= spoken["probability_high"]).all()
        assert (spoken["confidence"] >= RULES.confidence).all()
        silent = told.people.filter(pl.col("best_value").is_null())
        assert silent["abstained_reason"].null_count() == 0 and silent["probability"].null_count() == silent.height

    def test_the_order_of_messages_changes_nothing(self) -> None:
        simulated = world(6, people=800)
        turned = World(simulated.rates, simulated.personas, simulated.messages.reverse())
        assert_frame_equal(simulated.learned().people, turned.learned().people)

    def test_a_sample_for_the_strengths_gives_everybody_an_answer(self) -> None:
        simulated = world(7)
        some = np.arange(len(simulated.personas)) < 2_000
        told = prefer_by_answers(simulated.messages, simulated.personas, some, RULES)
        assert told.people.height == len(simulated.personas)
        whole = simulated.learned().people
        same = (told.people["best_value"] == whole["best_value"]).mean()
        assert same is not None and same > 0.7


class TestAbstention:
    def test_one_value_only(self) -> None:
        told = learn(np.arange(600) % 100, np.zeros(600, dtype=np.int64), np.ones(600, dtype=bool), np.zeros(100, int))
        assert told.reason is not None and "nothing but '0' was tried often enough" in told.reason

    def test_nothing_known(self) -> None:
        told = prefer_by_answers(
            pl.DataFrame(schema={"person": pl.UInt32, "value": pl.String, "answered": pl.Boolean}),
            np.zeros(3, dtype=np.int64),
            np.ones(3, dtype=np.bool_),
            RULES,
        )
        assert told.reason == "nothing is known of it"

    def test_nobody_answers(self) -> None:
        value = np.arange(2_000) % 2
        told = learn(np.arange(2_000) % 100, value, np.zeros(2_000, dtype=bool), np.zeros(100, dtype=np.int64))
        assert told.reason == "nobody answered"

    def test_values_of_few_people_are_not_named(self) -> None:
        """A place that few people come from might tell who they are."""
        person = np.concatenate([np.arange(1_000) % 200, np.arange(1_000) % 200, np.full(500, 3)])
        value = np.array(["DE"] * 1_000 + ["AT"] * 1_000 + ["LI"] * 500)
        choices = (
            pl.DataFrame({"person": person.astype(np.uint32), "value": value})
            .group_by("person", "value")
            .agg(choices=pl.len().cast(pl.Int64))
        )
        told = prefer_by_choices(choices, np.zeros(200, dtype=np.int64), np.ones(200, dtype=np.bool_), RULES)
        assert told.values == ("AT", "DE")


def test_what_people_choose_themselves_is_theirs() -> None:
    rng = np.random.default_rng(8)
    people = 1_000
    favourite = rng.integers(0, 3, people)
    chosen = np.where(rng.random((people, 12)) < 0.8, favourite[:, None], rng.integers(0, 3, (people, 12)))
    rows = pl.DataFrame({"person": np.repeat(np.arange(people), 12).astype(np.uint32), "value": chosen.ravel()})
    choices = rows.with_columns(pl.col("value").cast(pl.String)).group_by("person", "value").agg(choices=pl.len())
    told = prefer_by_choices(choices, np.zeros(people, dtype=np.int64), np.ones(people, dtype=np.bool_), RULES)
    right = told.people["best_value"].cast(pl.Int64).to_numpy() == favourite[told.people["person"].to_numpy()]
    assert right.mean() > 0.95
    assert told.people["decided_by"].value_counts(normalize=True).filter(decided_by="person")["proportion"][0] > 0.5
