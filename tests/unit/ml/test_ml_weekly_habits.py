"""What a week of behaviour says of the persona somebody is in: two personas that differ in what they do, when, and how
much, and people who become somebody else."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import dirichlet_multinomial, nbinom

from ml.persona_tracking import StandingPersonas, place_people
from ml.weekly_habits import (
    MOVING,
    PRIOR_COUNT,
    PRIOR_WEEKS,
    RecentBehaviour,
    learn_habits,
    update_beliefs,
    weekly_evidence,
)
from tests.people_by_name import person_ids

PEOPLE = 2_000
KINDS = {"what": ("reads", "builds"), "time of day": ("mornings", "evenings")}
LABELS = np.repeat([0, 1], PEOPLE // 2)
READER, BUILDER = 0, 1


def week_of(random: np.random.Generator, labels: np.ndarray, number: int = 0) -> pl.DataFrame:
    """Readers come twice a week and read in the morning, builders four times and build in the evening."""
    visits = random.poisson(np.where(labels == READER, 2.0, 4.0))
    reads = random.binomial(visits, np.where(labels == READER, 0.8, 0.2))
    mornings = random.binomial(visits, np.where(labels == READER, 0.6, 0.4))
    columns = {"visits": visits, "reads": reads, "builds": visits - reads, "mornings": mornings}
    columns["evenings"] = visits - mornings
    frame = pl.DataFrame({"person_id": person_ids(len(labels)), "week": number, **columns})
    return frame.filter(pl.col("visits") > 0)


@pytest.fixture(scope="module")
def random():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def recent(random):
    before = pl.concat([week_of(random, LABELS, number) for number in (1, 2, 3)])
    return RecentBehaviour(week_of(random, LABELS), before, person_ids(PEOPLE), 3, "visits", KINDS)


@pytest.fixture(scope="module")
def habits(recent):
    return learn_habits(recent, LABELS, 2)


def test_the_evidence_is_what_the_distributions_say(recent, habits):
    """Negative binomial and Dirichlet multinomial of SciPy, with the parameters the definition gives."""
    rows = recent.weeks_before.with_columns(
        label=pl.col("person_id").replace_strict(dict(zip(person_ids(PEOPLE), LABELS.tolist(), strict=True)))
    )
    own = rows.filter(pl.col("label") == READER)
    weeks = 3 * PEOPLE / 2
    mean, square = (
        (own["visits"].pow(power).sum() + PRIOR_WEEKS * rows["visits"].pow(power).sum() / (2 * weeks))
        / (weeks + PRIOR_WEEKS)
        for power in (1, 2)
    )
    size = mean**2 / max(square - mean**2 - mean, 0.01 * mean)
    readers_amount = habits.amount[:, READER]
    seven, two = (nbinom.logpmf(count, size, size / (size + mean)) for count in (7, 2))
    assert readers_amount[7] + np.log(1.0 / 5040) - (readers_amount[2] + np.log(1.0 / 2)) == pytest.approx(seven - two)
    share = (own["reads"].sum() + PRIOR_COUNT * (rows["reads"].sum() + 1) / (rows["visits"].sum() + 2)) / (
        own["visits"].sum() + PRIOR_COUNT
    )
    by_column, by_sum = habits.kinds["what"]
    # Everybody's taste is alike here, so that the precision is at its bound.
    expected = dirichlet_multinomial.logpmf([3, 1], np.array([share, 1 - share]) * 999.0, 4)
    told = by_column[0, 3, READER] + by_column[1, 1, READER] + by_sum[4, READER] + np.log(4)
    assert told == pytest.approx(expected, abs=1e-3)


def test_a_week_speaks_for_the_persona_it_was_drawn_from(recent, habits):
    evidence = weekly_evidence(habits, recent, person_ids(PEOPLE))
    speaks_for = evidence[:, BUILDER] - evidence[:, READER]
    assert speaks_for[LABELS == BUILDER].mean() > 1 and speaks_for[LABELS == READER].mean() < -1


def test_silence_is_evidence_for_whoever_does_less(recent, habits):
    silent = weekly_evidence(habits, recent, person_ids(1, first=10**6))
    assert silent[0, READER] - silent[0, BUILDER] == pytest.approx(2.0, abs=0.5)  # P(0 | 2 visits) / P(0 | 4 visits)


def test_the_order_of_people_does_not_matter(recent, habits):
    order = np.random.default_rng(1).permutation(PEOPLE)
    people = np.array(person_ids(PEOPLE))
    straight = weekly_evidence(habits, recent, pl.Series(people))
    np.testing.assert_array_equal(weekly_evidence(habits, recent, pl.Series(people[order])), straight[order])


def test_one_who_has_a_taste_of_their_own_says_little_by_it(random):
    """Where people differ in taste within a persona, ten of the same in one week are no ten pieces of evidence."""
    taste = random.beta(0.5, 0.5, PEOPLE)
    visits = np.full(PEOPLE, 10)
    weeks = []
    for number in (1, 2, 3):
        reads = random.binomial(visits, taste)
        counts = {"visits": visits, "reads": reads, "builds": visits - reads}
        weeks.append(pl.DataFrame({"person_id": person_ids(PEOPLE), "week": number, **counts}))
    recent = RecentBehaviour(weeks[0], pl.concat(weeks), person_ids(PEOPLE), 3, "visits", {"what": KINDS["what"]})
    labels = (taste > 0.5).astype(np.int64)
    tasteful = weekly_evidence(learn_habits(recent, labels, 2), recent, person_ids(PEOPLE))
    assert np.abs(np.diff(tasteful)).max() < 10 * np.log(taste[labels == 1].mean() / taste[labels == 0].mean())


def test_with_few_people_nothing_is_learned(recent):
    few = LABELS.copy()
    few[100:] = -1
    assert learn_habits(recent, few, 2) is None


def test_beliefs_add_up_and_one_week_cannot_say_everything():
    before = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    standing = np.full((3, 2), 0.5)
    evidence = np.array([[0.0, 0.0], [0.0, 3.0], [50.0, 0.0]])
    believed = update_beliefs(standing, before, np.array([True, True, False]), evidence)
    np.testing.assert_allclose(believed.sum(axis=1), 1)
    assert believed[0].tolist() == pytest.approx([1 - MOVING / 2, MOVING / 2])
    assert believed[1, 1] == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert believed[2].tolist() == [0.5, 0.5], "who has no past is where the model puts them"


class Undecided:
    """A model that cannot tell its two personas apart, as features over many weeks hardly can right after a move."""

    k = 2

    def probabilities(self, features):
        people = features["person_id"].sort()
        return people, np.full((len(people), 2), 0.5)


def test_movers_are_found_by_what_they_do_and_those_who_waver_are_held(random):
    standing = StandingPersonas(Undecided(), {0: "persona-01", 1: "persona-02"})
    people = pl.DataFrame({"person_id": person_ids(PEOPLE)})
    placed = people.with_columns(
        persona_id=pl.Series(np.where(LABELS == 0, "persona-01", "persona-02")),
        strength=0.9,
        runner_up_persona_id=pl.Series(np.where(LABELS == 0, "persona-02", "persona-01")),
        margin=0.8,
    )
    truth = LABELS.copy()
    truth[:100] = BUILDER
    for _ in range(3):
        before = pl.concat([week_of(random, LABELS, number) for number in (1, 2, 3)])
        week = RecentBehaviour(week_of(random, truth), before, people["person_id"], 3, "visits", KINDS)
        placed = place_people(standing, people, placed, recent=week)
    found = (placed.sort("person_id")["persona_id"] == "persona-02").to_numpy()
    assert found[:100].mean() > 0.85
    assert (found[100:] == (truth[100:] == BUILDER)).mean() > 0.97
    assert placed["strength"].is_between(0, 1).all() and placed["margin"].is_between(-1, 1).all()
