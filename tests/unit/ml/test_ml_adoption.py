"""The adoption curve: what launches say of people, frozen cut points, and classes that move only with evidence."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from benchmarks.adoption_worlds import OBSERVED_DAYS, ROGERS, world
from ml.adoption import (
    INFLUENCE_SCHEMA,
    AdoptionModel,
    AdoptionRules,
    Places,
    class_by_rank,
    evidence_of_launches,
    fit_adoption_model,
    influencers,
    kept_where_nothing_is_new,
    place_people,
    signal_of,
    why_withheld,
)
from ml.adoption_validity import first_adopter_lift, weighted_kappa

NAN = np.nan
NO_INFLUENCE = pl.DataFrame(schema=INFLUENCE_SCHEMA)


def launches_of(days, is_closed=None, could_try=None):
    days = np.asarray(days, dtype=float)
    launches = days.shape[1]
    return evidence_of_launches(
        days,
        np.ones(days.shape, dtype=bool) if could_try is None else could_try,
        np.ones(launches, dtype=bool) if is_closed is None else np.array(is_closed),
        [f"l{number}" for number in range(launches)],
    )


def one_launch(people=100, tried=40):
    days = np.full((people, 1), NAN)
    days[:tried, 0] = np.arange(tried)
    return days


class TestEvidence:
    def test_earlier_is_higher_and_whoever_has_not_tried_it_comes_after_all_who_have(self):
        scores = launches_of(one_launch()).scores[:, 0]
        assert (np.diff(scores[:40]) < 0).all()
        assert (scores[40:] == scores[40]).all() and scores[40] < scores[39]

    def test_a_launch_favours_nobody_on_average(self):
        scores = launches_of(one_launch(people=1000, tried=400)).scores[:, 0]
        assert scores.mean() == pytest.approx(0, abs=0.002)

    def test_whoever_tried_it_at_the_same_moment_has_the_same_score(self):
        days = np.full((100, 1), NAN)
        days[:30, 0] = 3.0
        scores = launches_of(days).scores[:, 0]
        assert len(set(scores[:30])) == 1

    def test_an_open_launch_says_nothing_of_those_who_may_still_try_it(self):
        evidence = launches_of(one_launch(), is_closed=[False])
        assert np.isnan(evidence.scores[40:]).all() and not np.isnan(evidence.scores[:40]).any()
        assert (evidence.seen[:40] == 1).all() and (evidence.seen[40:] == 0).all()
        # And what it says does not change when it closes.
        assert (launches_of(one_launch()).scores[:40] == evidence.scores[:40]).all()

    def test_whoever_came_after_the_launch_is_not_judged_by_it(self):
        could_try = np.ones((100, 1), dtype=bool)
        could_try[:10] = could_try[90:] = False
        evidence = launches_of(one_launch(), could_try=could_try)
        assert (evidence.seen == could_try[:, 0]).all() and (evidence.tried[:10] == 0).all()

    def test_a_launch_that_hardly_anybody_tried_says_nothing(self):
        evidence = launches_of(one_launch(tried=19))
        assert (evidence.seen == 0).all() and np.isnan(evidence.scores).all()

    def test_the_fingerprint_is_of_ones_own_evidence(self):
        days = one_launch()
        before = launches_of(days).fingerprint
        days[5] = 5.5
        days[60] = 39.5
        changed = np.flatnonzero(launches_of(days).fingerprint != before)
        assert list(changed) == [5, 60]


class TestSignal:
    def test_launches_that_have_nothing_to_do_with_each_other_are_told_so(self):
        evidence = world(1, reliability=0.0).evidence(8)
        signal = signal_of(evidence, 2)
        assert signal is not None and abs(signal.correlation) < 0.02
        words = why_withheld(signal, evidence, ROGERS, is_standing=False, observed_days=OBSERVED_DAYS)
        assert words is not None and "says too little about who tries another early" in words

    def test_the_interval_holds_what_many_people_show(self):
        truth = signal_of(world(99, people=60_000).evidence(5), 2)
        assert truth is not None
        inside = 0
        for seed in range(40):
            signal = signal_of(world(seed, people=1_000).evidence(5), 2)
            assert signal is not None
            inside += signal.correlation_low <= truth.correlation <= signal.correlation_high
        assert inside >= 34

    def test_no_signal_is_withheld_in_every_world_and_a_clear_one_in_none(self):
        for seed in range(20):
            for reliability, is_withheld in ((0.0, True), (0.4, False)):
                evidence = world(seed, people=1_000, reliability=reliability).evidence(4)
                words = why_withheld(signal_of(evidence, 2), evidence, ROGERS, False, OBSERVED_DAYS)
                assert (words is not None) == is_withheld

    def test_a_single_launch_and_few_people_are_told_so(self):
        evidence = launches_of(one_launch())
        assert signal_of(evidence, 2) is None
        words = why_withheld(None, evidence, ROGERS, False, OBSERVED_DAYS)
        assert words is not None and words.startswith("1 of at least 2 launches can be judged")
        few = world(1, people=150).evidence(4)
        words = why_withheld(signal_of(few, 2), few, ROGERS, False, OBSERVED_DAYS)
        assert words == "150 of at least 200 people have seen 2 launches"

    def test_what_stands_is_withheld_only_where_launches_surely_say_too_little(self):
        evidence = world(3, people=300, reliability=0.2).evidence(3)
        signal = signal_of(evidence, 2)
        assert signal is not None and signal.reliability_low < 0.3 < signal.reliability_high
        assert why_withheld(signal, evidence, ROGERS, False, OBSERVED_DAYS) is not None
        assert why_withheld(signal, evidence, ROGERS, True, OBSERVED_DAYS) is None


class TestPlaces:
    @pytest.mark.parametrize(("launches", "rank_correlation"), [(3, 0.6), (8, 0.75)])
    def test_known_innovativeness_is_found(self, launches, rank_correlation):
        for seed in range(4):
            known = world(seed)
            placed = known.placed(launches)
            found = spearmanr(known.innovativeness, placed.places.innovativeness).statistic
            assert found >= rank_correlation
            truth = class_by_rank(known.innovativeness, ROGERS.shares)
            assert weighted_kappa(truth, placed.places.curve_class, 5) >= 0.6

    def test_early_classes_are_among_the_first_to_try_the_next_launch(self):
        position, days = [], []
        for seed in range(4):
            known = world(seed)
            position.append(known.placed(8).places.curve_class)
            days.append(known.days[:, 8])
        tried = ~np.isnan(np.concatenate(days))
        lift, low, _ = first_adopter_lift(
            np.concatenate(position), np.nan_to_num(np.concatenate(days), nan=OBSERVED_DAYS), tried, 2
        )
        assert lift >= 2.5 and low > 2

    def test_shares_are_those_of_the_settings_at_the_reference_date(self):
        for launches in (3, 8):
            placed = world(1).placed(launches)
            shares = np.bincount(placed.places.curve_class, minlength=5) / 4_000
            assert np.abs(shares - ROGERS.shares).max() <= 0.002
            assert placed.model.shares == pytest.approx(shares)

    def test_equal_people_are_never_told_apart_by_chance(self):
        known = world(1)
        evidence = known.evidence(3)
        signal = signal_of(evidence, 2)
        assert signal is not None
        model = fit_adoption_model(evidence, signal, {}, NO_INFLUENCE, ROGERS)
        places = place_people(model, evidence, {}, 2, 3)
        never = evidence.tried == 0
        assert never.sum() > 400
        assert len(set(places.curve_class[never])) == 1

    def test_a_frozen_model_gives_the_same_places_after_it_was_written_down(self):
        known = world(2)
        placed = known.placed(5)
        again = AdoptionModel.from_plain(placed.model.as_plain())
        assert again == placed.model
        places = place_people(again, placed.evidence, known.expected_from, 2, placed.signal.typical_launches)
        assert (places.innovativeness == placed.places.innovativeness).all()

    def test_too_few_launches_place_nobody(self):
        known = world(2)
        could_try = np.ones(known.days[:, :4].shape, dtype=bool)
        could_try[:500, 1:] = False
        evidence = launches_of(known.days[:, :4], could_try=could_try)
        model = known.placed(4).model
        places = place_people(model, evidence, known.expected_from, 2, 4)
        assert (places.curve_class[:500] == -1).all() and np.isnan(places.innovativeness[:500]).all()
        assert (places.curve_class[500:] >= 0).all()

    def test_few_launches_move_people_less_than_many(self):
        known = world(2)
        model = known.placed(8).model
        few = place_people(model, known.evidence(2), {}, 2, 2).innovativeness
        many = place_people(model, known.evidence(8), {}, 2, 8).innovativeness
        assert few.std() < 0.8 * many.std()

    def test_what_is_expected_counts_less_the_more_launches_there_are(self):
        known = world(2)
        model = known.placed(8).model
        weights = []
        for launches in (2, 8):
            evidence = known.evidence(launches)
            expected = {name: np.where(values > 0, 3.0, -3.0) for name, values in known.expected_from.items()}
            high = place_people(model, evidence, expected, 2, launches).innovativeness
            low = place_people(model, evidence, {n: -v for n, v in expected.items()}, 2, launches).innovativeness
            weights.append(np.abs(high - low).mean())
        assert weights[1] < 0.6 * weights[0]

    def test_what_goes_with_nothing_is_not_expected_from(self):
        known = world(2)
        noise = {"brand_affinity": np.random.default_rng(0).normal(size=4_000), "breadth": -known.innovativeness}
        evidence = known.evidence(5)
        signal = signal_of(evidence, 2)
        assert signal is not None
        # Breadth that goes the wrong way is no reason to expect anything either.
        assert fit_adoption_model(evidence, signal, noise, NO_INFLUENCE, ROGERS).prior == {}
        assert set(known.placed(5).model.prior) == {"brand_affinity", "breadth"}

    def test_people_without_affinity_are_expected_to_be_as_everybody(self):
        known = world(2)
        evidence, model = known.evidence(5), known.placed(5).model
        unknown = {name: np.full(4_000, NAN) for name in known.expected_from}
        nothing = place_people(model, evidence, unknown, 2, 5)
        assert (nothing.innovativeness == place_people(model, evidence, {}, 2, 5).innovativeness).all()

    def test_probability_is_that_the_class_is_right(self):
        known = world(5, people=20_000)
        placed = known.placed(8)
        right = placed.places.curve_class == class_by_rank(known.innovativeness, ROGERS.shares)
        assert placed.places.probability.mean() == pytest.approx(right.mean(), abs=0.04)

    def test_shares_do_not_drift_by_themselves_as_launches_come(self):
        known = world(6, people=20_000, launches=16)
        model = known.placed(3).model
        for launches in (6, 10, 16):
            places = place_people(model, known.evidence(launches), known.expected_from, 2, launches)
            shares = np.bincount(places.curve_class, minlength=5) / 20_000
            assert np.abs(shares - ROGERS.shares).max() < 0.04
            assert shares[0] < 0.04


class TestNothingNew:
    def test_a_class_stands_until_the_persons_own_evidence_changes(self):
        known = world(7)
        placed = known.placed(4)
        days = known.days[:, :5].copy()
        # In the week after, a fifth launch is open: some tried it, and everybody's affinity is another.
        late = np.flatnonzero(~np.isnan(days[:, 4]) & (days[:, 4] > 7))
        days[late, 4] = NAN
        evidence = launches_of(days, is_closed=[True] * 4 + [False])
        other = {name: -values for name, values in known.expected_from.items()}
        before = evidence_of_launches(
            known.days[:, :4], np.ones((4_000, 4), dtype=bool), np.ones(4, dtype=bool), [f"l{n}" for n in range(4)]
        )
        places = place_people(placed.model, evidence, other, 2, 4)
        kept = kept_where_nothing_is_new(places, evidence.fingerprint, placed.places, before.fingerprint)
        tried = ~np.isnan(days[:, 4])
        same = ~tried
        assert (kept.curve_class[same] == placed.places.curve_class[same]).all()
        assert (kept.innovativeness[same] == placed.places.innovativeness[same]).all()
        assert (places.curve_class[same] != placed.places.curve_class[same]).any()
        assert (kept.innovativeness[tried] == places.innovativeness[tried]).all()

    def test_whoever_had_no_place_gets_one(self):
        now = Places(np.array([0.5, 0.5]), np.array([1, 1]), np.array([0.6, 0.6]))
        before = Places(np.array([NAN, 0.1]), np.array([-2, 3]), np.array([NAN, 0.4]))
        same = np.array([7, 7], dtype=np.uint64)
        kept = kept_where_nothing_is_new(now, same, before, same)
        assert list(kept.curve_class) == [1, 3]


def influence(*rows):
    return pl.DataFrame(rows, schema=INFLUENCE_SCHEMA, orient="row")


class TestInfluencers:
    def test_it_takes_both_reach_and_creation(self):
        found = influencers(
            influence(
                (0, "reach", "followers", 900.0),
                (0, "creation", "review", 1.0),
                (1, "reach", "followers", 900.0),
                (2, "creation", "review", 5.0),
                (3, "reach", "followers", 100.0),
                (3, "creation", "review", 1.0),
            ),
            {"followers": 500.0},
            fewest_creations=1,
            people=5,
        )
        assert list(found) == [True, False, False, False, False]

    def test_what_is_made_adds_up_over_signals(self):
        rows = influence((0, "reach", "shares", 9.0), (0, "creation", "review", 1.0), (0, "creation", "talk", 1.0))
        assert influencers(rows, {"shares": 5.0}, 2, 1).all() and not influencers(rows, {"shares": 5.0}, 3, 1).any()

    def test_reach_is_the_percentile_of_those_with_any_at_the_reference_date(self):
        known = world(1)
        evidence = known.evidence(3)
        signal = signal_of(evidence, 2)
        assert signal is not None
        followers = [(person, "reach", "followers", float(person + 1)) for person in range(100)]
        rare = [(person, "reach", "talks", 9.0) for person in range(5)]
        alike = [(person, "reach", "shares", 1.0) for person in range(100)]
        rules = AdoptionRules(ROGERS.shares, reach_percentile=95.0)
        model = fit_adoption_model(evidence, signal, {}, influence(*followers, *rare, *alike), rules)
        assert model.reach_cuts == {"followers": 95.0, "shares": 1.0}
        made = [(person, "creation", "review", 1.0) for person in range(100)]
        found = influencers(influence(*followers, *alike, *made), model.reach_cuts, 1, 4_000)
        assert list(np.flatnonzero(found)) == [95, 96, 97, 98, 99]
