"""Uplift: the figures, what was planted, and the refusal to speak of it without chance."""

import itertools

import numpy as np
import polars as pl
import pytest

from ml.uplift import (
    CLASS_TRANSFORMATION,
    RESPONSE,
    RESULT_SCHEMA,
    TWO_MODELS,
    Uplift,
    measure_uplift,
    qini_coefficient,
    uplift_at,
)
from tests.people_by_name import person_ids


def experiment(
    people: int, seed: int, *, effect: float = 0.08, share: float = 0.5, biased: bool = False, differs: bool = True
) -> pl.DataFrame:
    """An experiment in which the readier half is moved by the message, by twice `effect`; who ordered before does it
    anyway."""
    rng = np.random.default_rng(seed)
    clicks = rng.poisson(1.0, people)
    orders = rng.poisson(0.6, people)
    responsive = rng.normal(0, 1, people)
    moved = responsive > np.median(responsive)
    chance = 1 / (1 + np.exp(-(orders - 1.0))) if biased else np.full(people, share)
    treated = rng.random(people) < chance
    base = 0.04 + 0.14 * np.minimum(orders, 3)
    gain = np.where(moved, 2 * effect, 0.0) if differs else np.full(people, effect)
    outcome = rng.random(people) < base + gain * treated
    return pl.DataFrame(
        {
            "person_id": person_ids(people),
            "is_treated": treated,
            "is_in_both": np.zeros(people, dtype=np.bool_),
            "outcome": outcome,
            "orders_before": orders,
            "clicks_before": clicks,
            "readiness": responsive,
            "days_since_order": np.where(orders > 0, rng.integers(1, 200, people), None),
        }
    )


def row(found: Uplift, learner: str) -> dict:
    return found.results.filter(learner=learner).row(0, named=True)


@pytest.fixture(scope="module")
def planted() -> Uplift:
    return measure_uplift(experiment(12_000, 1))


class TestPlanted:
    def test_the_effect_is_measured(self, planted: Uplift) -> None:
        found = row(planted, TWO_MODELS)
        assert found["effect_low"] <= 0.08 <= found["effect_high"]
        assert found["effect_high"] - found["effect_low"] < 0.04

    @pytest.mark.parametrize("learner", [TWO_MODELS, CLASS_TRANSFORMATION])
    def test_learners_find_in_whom_it_works(self, planted: Uplift, learner: str) -> None:
        found = row(planted, learner)
        assert found["qini_low"] > 0
        assert found["uplift_at_30"] == pytest.approx(0.16, abs=0.04)
        assert found["is_worth_targeting"]
        assert "choose by" in found["verdict"]

    def test_they_beat_a_model_of_who_responds(self, planted: Uplift) -> None:
        assert row(planted, TWO_MODELS)["qini"] > row(planted, RESPONSE)["qini"]

    def test_everybody_has_a_score_of_a_model_that_did_not_see_them(self, planted: Uplift) -> None:
        assert planted.people.height == 12_000 and planted.people["uplift"].null_count() == 0
        assert planted.results.schema == RESULT_SCHEMA

    def test_people_are_in_the_order_of_what_it_brings_about_in_them(self, planted: Uplift) -> None:
        told = planted.people.join(experiment(12_000, 1), on="person_id").sort("place")
        assert told["place"].to_list() == list(range(1, 12_001)) and told["uplift"].is_sorted(descending=True)
        # The readier half is moved: of the first fifth, surely; of the last, hardly anybody.
        moved = (told["readiness"] > told["readiness"].median()).cast(pl.Float64)
        assert moved.filter(told["part"] == 1).mean() > 0.9 and moved.filter(told["part"] == 5).mean() < 0.1
        assert (told.group_by("part").len()["len"] == 2_400).all()

    def test_the_interval_of_the_people_around_holds_what_was_planted(self, planted: Uplift) -> None:
        told = planted.people.join(experiment(12_000, 1), on="person_id")
        truth = pl.when(pl.col("readiness") > pl.col("readiness").median()).then(0.16).otherwise(0.0)
        parts = (
            told.with_columns(truth=truth)
            .group_by("part")
            .agg(pl.col("truth").mean(), pl.col("^part_effect.*$").first())
        )
        holds = parts.filter(pl.col("truth").is_between("part_effect_low", "part_effect_high"))
        assert parts.height == 5 and holds.height >= 4

    def test_who_was_in_both_groups_is_told_nothing(self) -> None:
        people = experiment(12_000, 1).with_columns(is_in_both=pl.int_range(pl.len()) % 50 == 0)
        told = measure_uplift(people).people.join(people, on="person_id")
        assert told.height == 12_000 and (told["uplift"].is_null() == told["is_in_both"]).all()
        assert told.filter("is_in_both")["abstained_reason"].str.starts_with("in both groups").all()

    def test_without_a_difference_nobody_is_told_an_uplift(self) -> None:
        told = 0
        for seed in range(15):
            people = measure_uplift(experiment(4_000, 200 + seed, differs=False)).people
            assert (people["uplift"].is_null() == people["abstained_reason"].is_not_null()).all()
            told += people["uplift"].count() > 0
        assert told <= 2

    def test_unequal_groups_give_the_same(self) -> None:
        found = row(measure_uplift(experiment(20_000, 2, share=0.85)), CLASS_TRANSFORMATION)
        assert found["qini_low"] > 0
        assert found["uplift_at_30"] == pytest.approx(0.16, abs=0.05)

    def test_the_same_effect_in_all_is_nothing_to_choose_by(self) -> None:
        found = measure_uplift(experiment(12_000, 3, differs=False)).results
        assert not found["is_worth_targeting"].any()
        assert "send it to all" in found["verdict"][0]

    def test_no_effect_is_not_made_up(self) -> None:
        told = [measure_uplift(experiment(3_000, seed, effect=0.0)).results for seed in range(10, 20)]
        assert sum(bool(one["is_worth_targeting"].any()) for one in told) <= 1


class TestRefusal:
    def test_no_control_group(self) -> None:
        people = experiment(1_000, 1).with_columns(is_treated=pl.lit(True))
        self._refuses(people, "no control group")

    def test_groups_that_differed_before(self) -> None:
        self._refuses(experiment(5_000, 1, biased=True), "chance did not decide alone")

    def test_too_few_people(self) -> None:
        self._refuses(experiment(300, 1), "fewer than 200 people")

    def test_people_in_both_groups(self) -> None:
        people = experiment(2_000, 1).with_columns(is_in_both=pl.int_range(pl.len()) % 10 == 0)
        self._refuses(people, "in both groups")

    def test_hardly_anybody_did_it(self) -> None:
        people = experiment(2_000, 1).with_columns(outcome=pl.int_range(pl.len()) < 15)
        self._refuses(people, "too few to learn")

    def test_fair_groups_are_rarely_refused(self) -> None:
        refused = 0
        for seed in range(60):
            people = experiment(600, 100 + seed).with_columns(outcome=pl.lit(False))
            reason = measure_uplift(people).results["abstained_reason"][0]
            refused += "chance did not decide" in reason
        assert refused <= 1

    @staticmethod
    def _refuses(people: pl.DataFrame, why: str) -> None:
        found = measure_uplift(people)
        assert found.results.height == 1 and found.people["uplift"].null_count() == found.people.height
        only = found.results.row(0, named=True)
        assert why in only["abstained_reason"]
        assert only["learner"] is None and only["qini"] is None


class TestFigures:
    def test_qini_by_hand(self) -> None:
        """Four people, best first: treated who did it, other who did not, treated who did not, other who did."""
        uplift = np.array([4.0, 3.0, 2.0, 1.0])
        treated = np.array([True, False, True, False])
        outcome = np.array([True, False, False, True])
        # Gained so far: 1, 1, 1, 0; by chance 0 throughout; the same order is also the best possible.
        assert qini_coefficient(uplift, treated, outcome) == pytest.approx(1.0)
        assert qini_coefficient(-uplift, treated, outcome) < 0

    def test_qini_equals_its_definition_counted_person_by_person(self) -> None:
        rng = np.random.default_rng(9)
        people = 400
        uplift = rng.integers(0, 60, people).astype(float)
        treated, outcome = rng.random(people) < 0.4, rng.random(people) < 0.3

        def area(order_by: np.ndarray) -> float:
            points = [(0.0, 0.0)]
            for threshold in sorted(set(order_by), reverse=True):
                chosen = order_by >= threshold
                sent, held = (chosen & treated).sum(), (chosen & ~treated).sum()
                lost = (chosen & ~treated & outcome).sum() * sent / held if held else 0.0
                points.append((float(chosen.sum()), float((chosen & treated & outcome).sum() - lost)))
            return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in itertools.pairwise(points))

        more_lost = (~treated & outcome).sum() > (treated & outcome).sum()
        best = 2.0 * (outcome == treated) + (outcome if more_lost else treated)
        final = (treated & outcome).sum() - (~treated & outcome).sum() * treated.sum() / (~treated).sum()
        chance = people * final / 2
        expected = (area(uplift) - chance) / (area(best) - chance)
        assert qini_coefficient(uplift, treated, outcome) == pytest.approx(expected, abs=1e-9)

    def test_weights_are_copies(self) -> None:
        rng = np.random.default_rng(10)
        uplift = rng.random(200)
        treated, outcome = rng.random(200) < 0.5, rng.random(200) < 0.4
        weight = rng.integers(0, 4, 200)
        copies = [np.repeat(values, weight) for values in (uplift, treated, outcome)]
        counted = qini_coefficient(uplift, treated, outcome, weight.astype(float))
        assert counted == pytest.approx(qini_coefficient(*copies), abs=1e-9)

    def test_uplift_among_the_first(self) -> None:
        treated = np.array([True, False, True, False, True, False, True, False, True, False])
        outcome = np.array([True, False, True, False, False, False, False, True, False, True])
        assert uplift_at(np.arange(10, 0, -1.0), treated, outcome, 0.4) == pytest.approx(1.0)
