import hashlib
import io
import json
import zipfile

import numpy as np
import polars as pl
import pytest
from planted_people import CATALOGUE, WEEK, planted_weeks

from activation.people import person_name
from ml.propensity import cross_fit_scores, fit_propensity
from ml.propensity_card import propensity_card
from ml.propensity_model import PropensitySettings
from ml.propensity_store import model_from_bytes, model_to_bytes


@pytest.fixture(scope="module")
def weeks():
    return planted_weeks(count=1_500, seed=9)


@pytest.fixture(scope="module")
def week(weeks):
    return weeks.filter(pl.col("as_of") == weeks["as_of"].max())


@pytest.fixture(scope="module")
def models(weeks):
    settings = PropensitySettings(monotonic={"events_28d": 1})
    return {
        "logistic": fit_propensity(weeks, CATALOGUE, settings, "logistic"),
        "boosting": fit_propensity(weeks, CATALOGUE, settings, "boosting"),
        "forest": fit_propensity(weeks, CATALOGUE, standing="forest"),
        "network": fit_propensity(weeks, CATALOGUE, standing="network"),
    }


EACH = pytest.mark.parametrize("name", ["logistic", "boosting", "forest", "network"])


@EACH
def test_a_model_comes_back_exactly(name, models, week):
    content = model_to_bytes(models[name])
    again = model_from_bytes(content, hashlib.sha256(content).hexdigest())
    assert again.score(week).equals(models[name].score(week))
    assert again.contributions(week.head(5)).equals(models[name].contributions(week.head(5)))
    for field in (
        "algorithm",
        "inputs",
        "calibration",
        "prior_shift",
        "importance",
        "suspects",
        "model_id",
        "settings",
    ):
        assert getattr(again, field) == getattr(models[name], field), field
    assert json.dumps(again.evaluation) == json.dumps(models[name].evaluation)


@EACH
def test_the_same_model_gives_the_same_bytes(name, models):
    content = model_to_bytes(models[name])
    assert model_to_bytes(models[name]) == content
    assert model_to_bytes(model_from_bytes(content)) == content


def test_nothing_in_a_saved_model_could_run(models):
    for model in models.values():
        with zipfile.ZipFile(io.BytesIO(model_to_bytes(model))) as archive:
            for name in archive.namelist():
                assert name.endswith((".json", ".npy"))
                if name.endswith(".npy"):
                    np.load(io.BytesIO(archive.read(name)), allow_pickle=False)


def test_nobody_is_in_a_saved_model(models, weeks):
    content = model_to_bytes(models["logistic"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        told = b"".join(archive.read(name) for name in archive.namelist())
    for person in weeks["person_id"].unique():
        assert person.to_bytes(8, "little") not in told and str(person).encode() not in told
        assert person_name(person).encode() not in told


def rewritten(content, change):
    """The archive with some parts changed, and the manifest as it was."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, part in change(parts).items():
            archive.writestr(name, part)
    return buffer.getvalue()


def test_a_changed_part_is_refused(models):
    content = model_to_bytes(models["boosting"])
    spoiled = rewritten(content, lambda parts: parts | {"model.json": parts["model.json"] + b" "})
    with pytest.raises(ValueError, match="damaged"):
        model_from_bytes(spoiled)
    with pytest.raises(ValueError, match="SHA-256 differs"):
        model_from_bytes(content, "0" * 64)
    with pytest.raises(ValueError, match="no saved propensity model"):
        model_from_bytes(b"something else")


def test_trees_of_another_version_are_refused(models):
    def older(parts):
        manifest = json.loads(parts["manifest.json"]) | {"scikit-learn": "0.1"}
        return parts | {"manifest.json": json.dumps(manifest).encode()}

    with pytest.raises(ValueError, match=r"trees of scikit-learn 0\.1"):
        model_from_bytes(rewritten(model_to_bytes(models["boosting"]), older))
    assert model_from_bytes(rewritten(model_to_bytes(models["logistic"]), older)).algorithm == "logistic"


def test_a_card_tells_what_a_model_is(models, weeks):
    snapshots = weeks["as_of"].unique().sort().to_list()
    card = propensity_card(models["boosting"], "an order within 30 days", snapshots, WEEK)
    assert json.loads(json.dumps(card)) == card
    assert card["data"]["snapshots"] == [str(each) for each in snapshots]
    assert card["data"]["rows"] == weeks.height
    assert card["method"] == {
        "algorithm": "boosting",
        "chosen_because": "boosting was chosen before, and a comparison was not due",
        "compared": None,
        "monotonic": {"events_28d": 1},
        "seed": 7,
    }
    for name in ("auc", "log_loss", "brier"):
        quality = card["quality"][name]
        assert quality["low"] < quality["value"] < quality["high"]
    assert len(card["limits"]) >= 3


def test_a_card_of_one_extract_says_that_time_was_not_tested(week):
    fitted = cross_fit_scores(week, CATALOGUE, standing="logistic")
    card = propensity_card(fitted, "churn", [WEEK], WEEK)
    assert "not measured out of time" in " ".join(card["limits"])
    assert model_from_bytes(model_to_bytes(fitted.model)).score(week).height == week.height
