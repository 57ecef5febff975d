"""Limits of libraries' threads hold inside the block, for the calling thread, and are taken back."""

import numpy as np
import polars as pl
import pytest
from threadpoolctl import ThreadpoolController

from ml.library_threads import FEW_ROWS, one_core_for_few
from ml.tree_classifiers import BoostingClassifier


@pytest.fixture
def two_threads():
    """As where nobody limits them, which the tests' process does."""
    with ThreadpoolController().limit(limits=2, user_api="openmp"):
        yield


def threads() -> set[int]:
    return {each["num_threads"] for each in ThreadpoolController().info() if each["user_api"] == "openmp"}


def test_few_rows_keep_to_one_core_and_many_do_not(two_threads):
    assert threads() == {2}
    with one_core_for_few(FEW_ROWS):
        assert threads() == {1}
    assert threads() == {2}
    with one_core_for_few(FEW_ROWS + 1):
        assert threads() == {2}


def test_trees_are_the_same_on_one_core_and_on_two(two_threads, monkeypatch):
    random = np.random.default_rng(1)
    features = pl.DataFrame({"person_id": np.arange(3000, dtype=np.uint64), "visits": random.normal(size=3000)})
    outcomes = (features["visits"].to_numpy() + random.normal(size=3000) > 1).astype(float)
    said = []
    for few in (FEW_ROWS, 0):
        monkeypatch.setattr("ml.library_threads.FEW_ROWS", few)
        fitted = BoostingClassifier({"visits": "number"}).fit(features, outcomes)
        said.append(fitted.encoded_log_odds(fitted.encode(features)))
    assert np.array_equal(*said) and np.ptp(said[0]) > 0
