import polars as pl
import pytest

from benchmarks.segment_worlds import planted_world
from ml.catalogue import inputs_of
from ml.persona_count import WEEKLY, choose_count, gather_evidence
from ml.preparation import Preparation


def evidence(**changed):
    columns = {
        "k": [3, 4, 5, 6],
        "stability": [0.95, 0.94, 0.90, 0.6],
        "prediction_strength": [0.95, 0.86, 0.5, 0.4],
        "gap": [1.0, 1.2, 1.15, 1.1],
        "gap_error": [0.01, 0.01, 0.01, 0.01],
        "bic": [9.0, 7.0, 8.0, 8.5],
        "smallest_share": [0.2, 0.1, 0.05, 0.01],
    }
    return pl.DataFrame(columns | changed)


def test_the_median_of_four_votes_wins_and_is_told_in_words():
    chosen, words = choose_count(evidence(), 0.0)
    assert chosen == 4
    assert words.startswith(
        "4 personas, the median of the votes (4 by prediction strength and the information criterion and the gap; "
        "5 by stability)."
    )
    assert words.endswith("With 5, the weakest group is not found again in the other half (0.50).")


def test_a_number_that_needs_a_small_persona_is_not_eligible():
    chosen, words = choose_count(evidence(bic=[9.0, 8.5, 8.0, 1.0], prediction_strength=[0.9] * 4), 0.07)
    assert chosen <= 4
    assert words.endswith("Not eligible: 5, 6, with a persona under 7.0% of the people.")


@pytest.mark.parametrize(("low", "high", "expected"), [(3, 5, 4), (3, 6, 4), (5, 6, 5)])
def test_where_the_votes_fall_apart_four_or_five_are_preferred(low, high, expected):
    strength = [0.9 if k <= high else 0.1 for k in (3, 4, 5, 6)]
    stability = [0.95 if k <= high else 0.1 for k in (3, 4, 5, 6)]
    gap = [2.0 if k == low else 0.0 for k in (3, 4, 5, 6)] if low == 3 else [0.0, 1.0, 3.0, 2.0]
    bic = [0.0 if k == low else 1.0 for k in (3, 4, 5, 6)]
    table = evidence(prediction_strength=strength, stability=stability, gap=gap, bic=bic)
    assert choose_count(table, 0.0)[0] == expected


def test_the_planted_number_is_found_and_its_evidence_tells_where_groups_come_from():
    world = planted_world(3, 6, 4)
    inputs = inputs_of(world.catalogue, world.people.columns, "is_persona_input")
    scores = Preparation().fit(world.people, inputs).transform(world.people).astype(float)
    counted = gather_evidence(scores, range(3, 9), WEEKLY, 7)
    assert choose_count(counted.table, 0.03)[0] == 6
    assert counted.origins["k"].unique().sort().to_list() == [4, 5, 6, 7, 8]
    assert counted.origins["origin"].is_between(0, 1).all()
    assert (counted.table["stability_low"] <= counted.table["stability_high"]).all()


@pytest.mark.parametrize(
    ("standing", "found_again", "expected"),
    [
        (None, [0.9, 0.5, 0.5, 0.5], 4),
        (3, [0.9, 0.5, 0.5, 0.5], 3),  # a fourth that the other half does not know is none
        (3, [0.9, 0.7, 0.5, 0.5], 4),  # a fourth that is found is born
        (3, [0.3, 0.5, 0.2, 0.2], 4),  # what stands is not found either
        (5, [0.9, 0.9, 0.8, 0.5], 5),  # all five are still found
        (5, [0.9, 0.9, 0.5, 0.5], 4),  # one of the five is found no more
        (5, [0.9, 0.9, 0.68, 0.5], 4),  # or hardly
        (8, [0.9, 0.9, 0.5, 0.5], 4),  # a number that may not be chosen holds nothing back
    ],
)
def test_the_standing_number_stays_unless_the_other_half_says_otherwise(standing, found_again, expected):
    votes = evidence(stability=[0.5, 0.9, 0.5, 0.5], prediction_strength=found_again, bic=[9.0, 1.0, 8.0, 8.0])
    chosen, words = choose_count(votes, 0.0, standing)
    assert chosen == expected
    assert ("as before, where the votes are for 4" in words) == (expected != 4)


def open_ended(**changed):
    """As rich behaviour looks: each further piece of a skewed shape gains, to the largest number there is."""
    rising = {"gap": [1.0, 1.1, 1.2, 1.3], "bic": [9.0, 8.0, 7.0, 6.0]}
    sure = {"stability": [0.5, 0.7, 0.99, 0.91], "prediction_strength": [0.5, 0.6, 0.97, 0.58]}
    return evidence(**(rising | sure | changed))


def test_a_criterion_that_finds_no_optimum_abstains_where_its_groups_are_not_found_again():
    chosen, words = choose_count(open_ended(), 0.0)
    assert chosen == 5
    assert words.startswith(
        "5 personas, stable and found again (5 by prediction strength; 6 by stability; none by the information "
        "criterion and the gap, still better with the most)."
    )


def test_the_largest_number_counts_where_its_groups_are_found_again():
    strength = [0.5, 0.6, 0.7, 0.95]
    assert choose_count(open_ended(prediction_strength=strength, stability=[0.5, 0.6, 0.7, 0.98]), 0.0)[0] == 6


def test_where_only_one_abstains_the_median_of_three_votes_wins():
    chosen, words = choose_count(open_ended(bic=[9.0, 1.0, 7.0, 6.0]), 0.0)
    assert chosen == 5
    assert words.startswith("5 personas, the median of the votes (4 by the information criterion; 5 by prediction")


@pytest.mark.parametrize(
    ("standing", "found_again", "expected"),
    [
        (None, [0.5, 0.7, 0.97, 0.9], 5),  # all but the first are found, and five can be acted on
        (4, [0.5, 0.97, 0.7, 0.5], 4),  # five are found less well than the four that stand
        (4, [0.5, 0.95, 0.97, 0.5], 5),  # a fifth that is found as well is born
        (6, [0.5, 0.7, 0.8, 0.7], 6),  # what stands and is found goes on
        (6, [0.5, 0.7, 0.97, 0.6], 5),  # what is found no more ends
    ],
)
def test_where_both_abstain_what_is_stable_and_found_again_is_equal(standing, found_again, expected):
    table = open_ended(
        k=[3, 4, 5, 6, 7],
        stability=[0.5, 0.95, 0.99, 0.95, 0.5],
        prediction_strength=[*found_again, 0.3],
        gap=[1.0, 1.1, 1.2, 1.3, 1.4],
        gap_error=[0.01] * 5,
        bic=[9.0, 8.0, 7.0, 6.0, 5.0],
        smallest_share=[0.1] * 5,
    )
    assert choose_count(table, 0.0, standing)[0] == expected
