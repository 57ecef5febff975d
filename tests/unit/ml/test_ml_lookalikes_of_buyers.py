"""On a public data set: from 100 buyers, hidden buyers are found far more often than by lot, and than by a centre."""

import numpy as np
import pytest

from benchmarks.lookalikes import hidden_buyers
from benchmarks.models import shoppers

DRAWS = 3


@pytest.fixture(scope="module")
def draws(shared_data):
    people = shoppers(shared_data)
    return [hidden_buyers(people, 100, 500 + draw, all_methods=False) for draw in range(DRAWS)]


def test_among_the_first_twentieth_five_times_as_many_hidden_buyers_stand_as_by_lot(draws):
    assert np.mean([one["classifiers (the default)"] for one in draws]) >= 5.0


def test_that_is_a_quarter_more_than_the_nearest_centroid_finds(draws):
    default, centroid = (
        np.mean([one[name] for one in draws]) for name in ("classifiers (the default)", "nearest centroid")
    )
    assert default >= 1.25 * centroid
