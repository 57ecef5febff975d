"""Every estimator of ml keeps scikit-learn's contract: those over arrays all of it, those over frames what applies."""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from functools import cache

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, planted_people
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import ml
from ml.catalogue import inputs_of
from ml.clustering import ALGORITHMS
from ml.decorrelation import Decorrelation
from ml.preparation import Preparation
from ml.seeded_mixture import SeededGroups
from tests.running import PROJECT

OVER_ARRAYS = [
    Decorrelation(),
    *(algorithm(n_clusters=3, starts=5) for algorithm in ALGORITHMS.values()),
    SeededGroups(),
]
OTHER_ARRAYS = "check_array_api_input"
"""A check that only runs where SCIPY_ARRAY_API was set before scipy was loaded, and is skipped elsewhere."""
RUN_WITH_OTHER_ARRAYS = """
from sklearn.utils.estimator_checks import check_array_api_input
from test_ml_estimator_contract import OVER_ARRAYS
for estimator in OVER_ARRAYS:
    check_array_api_input(type(estimator).__name__, estimator, array_namespace="numpy", expect_only_array_outputs=False)
"""


@parametrize_with_checks(OVER_ARRAYS)
def test_an_estimator_over_arrays_keeps_the_whole_contract(estimator, check):
    if getattr(check, "func", check).__name__ == OTHER_ARRAYS:
        assert with_other_arrays() == ""
    else:
        check(estimator)


@cache
def with_other_arrays():
    """What goes wrong where scikit-learn dispatches by the kind of array, in a process of its own."""
    paths = os.pathsep.join([str(PROJECT), os.path.dirname(__file__)])
    settings = os.environ | {"SCIPY_ARRAY_API": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-W", "ignore", "-c", RUN_WITH_OTHER_ARRAYS]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=300, check=False).stderr


def test_no_estimator_over_arrays_is_left_out():
    modules = [importlib.import_module(f"ml.{module.name}") for module in pkgutil.iter_modules(ml.__path__)]
    classes = {
        one
        for module in modules
        for name, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, BaseEstimator) and one.__module__ == module.__name__ and not name.startswith("_")
        if hasattr(one, "fit")  # what several of them share has none
    }
    over_arrays = {one for one in classes if "X" in inspect.signature(one.fit).parameters}
    assert over_arrays == {type(one) for one in OVER_ARRAYS}
    for one in classes - over_arrays:
        assert inspect.signature(one.fit).parameters["features"].annotation is pl.DataFrame


NEED_NO_DATA = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


@pytest.mark.parametrize("check", NEED_NO_DATA)
def test_the_preparation_of_frames_keeps_what_needs_no_data(check):
    getattr(estimator_checks, check)("Preparation", Preparation())


PEOPLE, _ = planted_people(600)
INPUTS = inputs_of(CATALOGUE, PEOPLE.columns, "is_persona_input")


def test_the_preparation_says_that_it_takes_no_arrays():
    assert not get_tags(Preparation()).input_tags.two_d_array


def test_the_preparation_knows_what_it_was_fitted_to():
    preparation = Preparation()
    assert preparation.fit(PEOPLE, INPUTS) is preparation
    assert preparation.feature_names_in_.tolist() == list(INPUTS)
    assert preparation.n_features_in_ == len(INPUTS)
    thawed = Preparation.from_dict(preparation.to_dict())
    assert thawed.feature_names_in_.tolist() == list(INPUTS)
    with pytest.raises(ValueError, match="lack columns that the model was fitted on: \\['events_28d'\\]"):
        preparation.transform(PEOPLE.drop("events_28d"))


@pytest.mark.parametrize("use", [lambda one: one.transform(PEOPLE), lambda one: one.n_columns_, Preparation.to_dict])
def test_a_preparation_that_was_not_fitted_says_so(use):
    with pytest.raises(NotFittedError):
        use(Preparation())


def test_the_preparation_leaves_its_settings_and_the_frame_alone():
    weights, people = {"purchases": 3.0}, PEOPLE.clone()
    preparation = Preparation(family_weights=weights, balance=0.25)
    settings = preparation.get_params()
    families = dict(CATALOGUE.select("feature", "family").iter_rows())
    preparation.fit(people, INPUTS, families).transform(people)
    assert preparation.get_params() == settings
    assert preparation.get_params()["family_weights"] is weights
    assert people.equals(PEOPLE)


def test_fitting_again_forgets_what_was_learned_before():
    once = Preparation().fit(PEOPLE, INPUTS)
    twice = clone(once).fit(PEOPLE.head(200), dict(list(INPUTS.items())[:3])).fit(PEOPLE, INPUTS)
    assert twice.to_dict() == once.to_dict()
    assert (twice.transform(PEOPLE) == once.transform(PEOPLE)).all()


def test_each_person_is_prepared_alone():
    preparation = Preparation().fit(PEOPLE, INPUTS)
    together = preparation.transform(PEOPLE)
    order = np.random.default_rng(0).permutation(PEOPLE.height)
    assert np.allclose(preparation.transform(PEOPLE[order]), together[order], atol=1e-5)
    alone = np.vstack([preparation.transform(PEOPLE[row : row + 1]) for row in range(20)])
    assert np.allclose(alone, together[:20], atol=1e-5)
