"""Probabilities hold alike for groups of people, or the gap is told; small groups are not."""

from __future__ import annotations

import numpy as np
import polars as pl

from ml.fairness import OTHERS, UNKNOWN, age_band, gaps_in_words, group_gaps


def measured(people: int = 20_000) -> pl.DataFrame:
    """French speakers act half as often as predicted; everybody else as predicted."""
    random = np.random.default_rng(8)
    probability = random.beta(2, 12, people)
    language = np.array(["de", "en", "fr"])[random.integers(0, 3, people)]
    truth = np.where(language == "fr", probability / 2, probability)
    return pl.DataFrame(
        {
            "probability": probability,
            "outcome": (random.random(people) < truth).astype(int),
            "language": language,
            "gender": np.where(random.random(people) < 0.5, "f", "m"),
        }
    )


def test_a_group_whose_probabilities_are_off_is_named_and_others_are_not():
    gaps = group_gaps(measured(), ["language", "gender"], 10)
    women, men = gaps.filter(attribute="gender")["calibration_gap"]
    assert abs(women - men) < 0.015
    gaps = gaps.filter(attribute="language")
    assert gaps.filter("is_off").select("attribute", "group").rows() == [("language", "fr")]
    assert gaps_in_words(gaps)[0].startswith("language fr: 14.")
    french = gaps.filter(group="fr").row(0, named=True)
    assert french["calibration_gap"] == french["mean_probability"] - french["observed"]
    assert french["auc_low"] < french["auc"] < french["auc_high"]


def test_small_groups_are_told_together_and_never_alone():
    rows = measured(1_000).with_columns(
        language=pl.when(pl.int_range(pl.len()) < 4).then(pl.lit("is")).otherwise("language")
    )
    groups = group_gaps(rows, ["language"], 10)
    # Four Icelanders alone would follow from the total: the smallest other group is told with them.
    assert OTHERS in groups["group"] and "is" not in groups["group"] and groups.height == 3
    assert groups["people"].sum() == 1_000 and groups["people"].min() >= 10


def test_an_attribute_with_one_group_says_nothing():
    rows = measured(100).with_columns(language=pl.lit(None, pl.String))
    assert group_gaps(rows, ["language"], 10).is_empty()
    known = rows.with_columns(language=pl.when(pl.int_range(pl.len()) < 50).then(pl.lit("de")))
    assert group_gaps(known, ["language"], 10)["group"].to_list() == [UNKNOWN, "de"]


def test_ages_are_bands_of_ten_years():
    ages = pl.DataFrame({"age": [18.0, 24.9, 25.0, 64.0, 65.0, None]})
    assert ages.select(age_band(pl.col("age")))["literal"].to_list() == [
        "under 25",
        "under 25",
        "25 to 34",
        "55 to 64",
        "65 and over",
        None,
    ]
