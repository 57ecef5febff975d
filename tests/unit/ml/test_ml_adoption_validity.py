"""Figures about the classes, held against published ones and against worlds whose truth is known."""

import numpy as np
import pytest
from scipy.stats import CensoredData, logrank
from sklearn.metrics import cohen_kappa_score

from benchmarks.adoption_worlds import APART_DAYS, OBSERVED_DAYS, ROGERS, world
from ml.adoption import signal_of
from ml.adoption_validity import (
    VALIDITY_SCHEMA,
    log_rank,
    next_launch,
    tried_by_day,
    validity_of,
    weighted_kappa,
)

# Weeks in remission of acute leukaemia, with 6-mercaptopurine and with placebo: Freireich et al., Blood 21 (1963); the
# example of Gehan (1965), Cox (1972) and most textbooks. The second list: weeks when people were last seen in it.
MERCAPTOPURINE = ([6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])
PLACEBO = ([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], [])


@pytest.fixture(scope="module")
def remission():
    weeks, happened, group = [], [], []
    for number, (ended, seen) in enumerate((MERCAPTOPURINE, PLACEBO)):
        weeks += ended + seen
        happened += [True] * len(ended) + [False] * len(seen)
        group += [number] * (len(ended) + len(seen))
    return np.array(weeks, dtype=float), np.array(happened), np.array(group)


class TestPublishedFigures:
    def test_kaplan_meier_of_the_leukaemia_trial(self, remission):
        weeks, happened, group = remission
        treated = group == 0
        value, low, high = tried_by_day(weeks[treated], happened[treated], [6, 7, 10, 13, 16, 22, 23])
        # Cox and Oakes, "Analysis of Survival Data" (1984), p. 49.
        published = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
        assert 1 - value == pytest.approx(published, abs=0.0006)
        assert (low < value).all() and (value < high).all()

    def test_log_rank_of_the_leukaemia_trial(self, remission):
        test = log_rank(*remission)
        assert test.chi_square == pytest.approx(16.79, abs=0.005)  # Kleinbaum and Klein, "Survival Analysis", ch. 2
        assert test.degrees == 1 and test.p < 0.0001
        # The second group relapses earlier: the opposite of what a later class would do.
        assert test.trend == pytest.approx(-np.sqrt(16.79), abs=0.001) and test.trend_p > 0.999

    def test_log_rank_is_that_of_scipy(self):
        chance = np.random.default_rng(4)
        days, happened, group = chance.integers(1, 40, 300).astype(float), chance.random(300) < 0.7, np.arange(300) % 2
        first, second = (
            CensoredData(uncensored=days[(group == one) & happened], right=days[(group == one) & ~happened])
            for one in (0, 1)
        )
        expected = logrank(first, second)
        assert log_rank(days, happened, group).chi_square == pytest.approx(expected.statistic**2)
        assert log_rank(days, happened, group).p == pytest.approx(expected.pvalue)

    def test_weighted_kappa_is_that_of_scikit_learn(self):
        chance = np.random.default_rng(4)
        first = chance.integers(0, 5, 500)
        second = np.clip(first + chance.integers(-1, 3, 500), 0, 4)
        expected = cohen_kappa_score(first, second, weights="quadratic")
        assert weighted_kappa(first, second, 5) == pytest.approx(expected)
        assert weighted_kappa(first, first, 5) == 1
        assert np.isnan(weighted_kappa(np.zeros(9, dtype=int), np.zeros(9, dtype=int), 5))


def launched(launches):
    return np.arange(launches) * APART_DAYS + 700_000


def figures(known, launches, withheld=None):
    evidence = known.evidence(launches)
    return validity_of(
        evidence,
        signal_of(evidence, 2),
        known.days[:, :launches],
        np.ones((len(known.days), launches), dtype=bool),
        launched(launches),
        [f"launch_{number}" for number in range(launches)],
        OBSERVED_DAYS,
        ROGERS,
        withheld,
    )


def value(rows, measure):
    return rows.filter(measure=measure)["value"].item()


class TestSimulatedPeople:
    def test_earlier_classes_try_the_next_launch_earlier(self):
        rows = figures(world(1), 9)
        assert dict(rows.schema) == VALIDITY_SCHEMA
        assert value(rows, "log_rank_p") < 1e-6 and value(rows, "log_rank_trend") > 10
        assert value(rows, "first_adopter_lift") > 2
        last = rows.filter(measure="tried_share", days=float(OBSERVED_DAYS)).sort("position")["value"].to_list()
        assert last == sorted(last, reverse=True) and len(last) == 5

    def test_separate_launches_agree(self):
        rows = figures(world(1, reliability=0.6), 8)
        assert value(rows, "test_retest_kappa") >= 0.6 and value(rows, "split_half_kappa") >= 0.6

    def test_reliability_is_the_squared_correlation_with_the_truth(self):
        known = world(1, people=20_000, known_before=0.0)
        placed = known.placed(8)
        truth = np.corrcoef(known.innovativeness, placed.places.innovativeness)[0, 1] ** 2
        assert placed.signal.reliability == pytest.approx(truth, abs=0.05)

    def test_where_trying_is_chance_nothing_agrees(self):
        for seed in range(5):
            rows = figures(world(seed, people=1_000, reliability=0.0), 8, withheld="chance")
            assert abs(value(rows, "split_half_kappa")) < 0.15 and abs(value(rows, "log_rank_trend")) < 4
            verdict = rows.filter(measure="verdict").row(0, named=True)
            assert (verdict["value"], verdict["words"]) == (0.0, "chance")

    def test_the_next_launch_is_judged_by_earlier_ones_alone(self):
        known = world(1)
        evidence, days = known.evidence(5), known.days[:, :5].copy()
        could_try = np.ones(days.shape, dtype=bool)
        later = next_launch(evidence, days, could_try, launched(5), OBSERVED_DAYS, 4.0, ROGERS)
        assert later is not None and later.launch == 4
        scores = evidence.scores.copy()
        scores[:, 4] = -scores[:, 4]
        turned = type(evidence)(scores, evidence.is_closed, evidence.seen, evidence.tried, evidence.fingerprint)
        again = next_launch(turned, days, could_try, launched(5), OBSERVED_DAYS, 4.0, ROGERS)
        assert again is not None and (again.position == later.position).all()
        # A launch that was still open when the next one came is not known by then.
        overlapping = np.array([700_000, 700_010, 700_020, 700_030, 700_040])
        assert next_launch(evidence, days, could_try, overlapping, OBSERVED_DAYS, 4.0, ROGERS) is None

    def test_a_workspace_with_nothing_yet_has_a_verdict_and_nothing_else(self):
        rows = figures(world(1), 1, withheld="1 of at least 2 launches")
        assert rows["measure"].to_list() == ["verdict"]

    def test_of_many_people_some_are_enough(self, monkeypatch):
        known = world(1, people=20_000)
        whole = figures(known, 6)
        monkeypatch.setattr("ml.adoption_validity.MOST_PEOPLE", 5_000)
        part = figures(known, 6)
        assert value(part, "verdict") == 1 and part.filter(measure="verdict")["people"].item() == 20_000
        assert value(part, "reliability") == value(whole, "reliability")
        assert value(part, "split_half_kappa") == pytest.approx(value(whole, "split_half_kappa"), abs=0.04)
