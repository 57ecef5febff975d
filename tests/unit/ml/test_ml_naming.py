import polars as pl
import pytest
from planted_people import CATALOGUE, FIRST_PERSON, catalogue_of, planted_people
from polars.testing import assert_frame_equal

from ml.naming import describe_personas, name_personas, profile_personas, told_figure
from tests.people_by_name import person_ids


@pytest.fixture(scope="module")
def profiles():
    people, truth = planted_people()
    assigned = people.select("person_id", persona_id=pl.Series([f"persona-0{group + 1}" for group in truth]))
    return profile_personas(people, assigned, CATALOGUE)


def four_people(**columns):
    people = pl.DataFrame({"person_id": person_ids(4), **columns})
    assigned = pl.DataFrame({"person_id": person_ids(4), "persona_id": ["p1", "p1", "p2", "p2"]})
    return people, assigned


def test_a_profile_compares_a_persona_with_everybody():
    people, assigned = four_people(x=[1.0, 3.0, 5.0, None])
    row = profile_personas(people, assigned, catalogue_of(("x", "f", "the x", None, None, "number"))).row(0, named=True)
    assert row["persona_id"] == "p1"
    assert (row["people"], row["people_share"]) == (2, 0.5)
    assert (row["persona_value"], row["base_value"]) == (2.0, 3.0)
    assert row["index_value"] == pytest.approx(200 / 3)
    assert row["effect_size"] == pytest.approx(-1 / 1.633, rel=1e-2)


def test_a_category_is_compared_level_by_level():
    people, assigned = four_people(x=["de", "de", "fr", "de"])
    rows = profile_personas(people, assigned, catalogue_of(("x", "f", "country", None, None, "category")))
    first = rows.filter(pl.col("persona_id") == "p1")
    assert first["label"].to_list() == ["country: de", "country: fr"]
    assert first["persona_value"].to_list() == [1.0, 0.0]
    assert first["base_value"].to_list() == [0.75, 0.25]


def test_people_without_a_persona_are_not_in_the_base():
    people, assigned = four_people(x=[1.0, 3.0, 5.0, 100.0])
    rows = profile_personas(people, assigned[:3], catalogue_of(("x", "f", "x", None, None, "number")))
    assert rows["base_value"].unique().to_list() == [3.0]


def test_a_feature_nobody_of_a_persona_has_is_null_there():
    people, assigned = four_people(x=[1.0, 3.0, None, None])
    rows = profile_personas(people, assigned, catalogue_of(("x", "f", "x", None, None, "number")))
    assert rows["effect_size"].is_null().to_list() == [False, True]


def test_the_order_of_the_rows_has_no_say(profiles):
    people, truth = planted_people()
    assigned = people.select("person_id", persona_id=pl.Series([f"persona-0{group + 1}" for group in truth]))
    again = profile_personas(people.reverse(), assigned.sample(fraction=1.0, shuffle=True, seed=2), CATALOGUE)
    assert_frame_equal(again, profiles)


def test_names_say_what_sets_personas_apart(profiles):
    names = name_personas(profiles, CATALOGUE)
    assert "report readers" in names["persona-01"].lower()
    assert any(word in names["persona-02"].lower() for word in ("spenders", "buyers"))
    assert any(word in names["persona-03"].lower() for word in ("inactive", "quiet"))
    assert any(word in names["persona-04"].lower() for word in ("help seekers", "administrators"))


def test_names_are_kept_and_stay_unique(profiles):
    names = name_personas(profiles, CATALOGUE)
    swapped = name_personas(profiles, CATALOGUE, {"persona-03": names["persona-01"], "persona-99": "Gone"})
    assert swapped["persona-03"] == names["persona-01"]
    assert "persona-99" not in swapped
    assert len({name.casefold() for name in swapped.values()}) == len(swapped) == 4


def test_alike_personas_are_numbered(profiles):
    wordless = CATALOGUE.with_columns(
        pl.lit(None, pl.String).alias("high_words"), pl.lit(None, pl.String).alias("low_words")
    )
    assert list(name_personas(profiles, wordless).values()) == [
        "Average people",
        "Average people (2)",
        "Average people (3)",
        "Average people (4)",
    ]


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("very active", "report readers", "Very active report readers"),
        ("report readers", "very active", "Very active report readers"),
        ("very active", "thrifty", "Very active, thrifty people"),
        ("report readers", "frequent buyers", "Report readers and frequent buyers"),
        ("very active", None, "Very active people"),
        ("report readers", None, "Report readers"),
        ("generous", "ambitious", "Generous, ambitious people"),
    ],
)
def test_words_join_to_a_readable_name(first, second, name):
    catalogue = catalogue_of(("x", "f", "x", first, None, "number"), ("y", "g", "y", second, None, "number"))
    profiles = pl.DataFrame(
        {
            "persona_id": "persona-01",
            "feature": ["x", "y"],
            "level": pl.Series([None, None], dtype=pl.String),
            "family": ["f", "g"],
            "known_share": 1.0,
            "effect_size": [2.0, 1.0],
        }
    )
    assert name_personas(profiles, catalogue) == {"persona-01": name}


def test_a_persona_is_not_named_by_what_most_of_its_people_have_no_value_for():
    people = pl.DataFrame(
        {
            "person_id": person_ids(200),
            "score": [10.0] * 40 + [None] * 60 + [2.0] * 100,
            "visits": [9] * 50 + [8] * 50 + [5] * 50 + [6] * 50,
        }
    )
    assigned = people.select("person_id", persona_id=pl.Series(["p1"] * 100 + ["p2"] * 100))
    catalogue = catalogue_of(
        ("score", "survey", "score", "promoters", "critics", "number"),
        ("visits", "web", "visits", "frequent visitors", "rare visitors", "number"),
    )
    profiles = profile_personas(people, assigned, catalogue)
    assert profiles.filter(feature="score")["known_share"].to_list() == [0.4, 1.0]
    assert name_personas(profiles, catalogue)["p1"] == "Frequent visitors"
    assert "score" not in describe_personas(profiles)["p1"]


def test_descriptions_are_figures(profiles):
    described = describe_personas(profiles)
    assert list(described) == ["persona-01", "persona-02", "persona-03", "persona-04"]
    assert described["persona-04"].startswith("11% of the people. What marks them: ")
    assert "administrators (everybody: " in described["persona-04"]
    assert all(str(FIRST_PERSON)[:8] not in sentence for sentence in described.values())


@pytest.mark.parametrize(
    ("traits", "name"),
    [
        # What people do, then when and on what: a second noun only where no adjective is strong.
        (
            {"prices": 1.7, "evening_events_share_91d": 0.9, "mobile_events_share_91d": 0.8},
            "Evening mobile bargain hunters",
        ),
        ({"prices": 1.7, "evening_events_share_91d": 0.9}, "Evening bargain hunters"),
        ({"prices": 1.7, "guides": 1.2}, "Bargain hunters and guide readers"),
        # How often somebody comes says less than what they do.
        ({"visits": 2.0, "prices": 1.7}, "Bargain hunters and frequent visitors"),
        # Words that cannot stand before a noun do not.
        ({"prices": 1.7, "site": 1.5}, "Bargain hunters"),
    ],
)
def test_a_name_says_who_and_how(traits, name):
    catalogue = catalogue_of(
        ("prices", "product", "Prices", "bargain hunters", None, "number"),
        ("guides", "product", "Guides", "guide readers", None, "number"),
        ("visits", "engagement", "Visits", "frequent visitors", None, "number"),
        ("site", "engagement", "Site", "recently on the site", None, "number"),
        ("evening_events_share_91d", "engagement", "Evening", "evening", None, "number"),
        ("mobile_events_share_91d", "engagement", "Mobile", "mobile", None, "number"),
    )
    families = dict(catalogue.select("feature", "family").iter_rows())
    profiles = pl.DataFrame(
        {
            "persona_id": "persona-01",
            "feature": list(traits),
            "level": pl.Series([None] * len(traits), dtype=pl.String),
            "family": [families[feature] for feature in traits],
            "known_share": 1.0,
            "effect_size": list(traits.values()),
        }
    )
    assert name_personas(profiles, catalogue) == {"persona-01": name}


@pytest.mark.parametrize(
    ("label", "kind", "own", "base", "words"),
    [
        (
            "dashboard viewed (last 4 weeks)",
            "number",
            3.68,
            1.08,
            "“dashboard viewed” 3.7 times in 4 weeks (everybody: 1.1)",
        ),
        ("Share of activity in the morning", "number", 0.27, 0.14, "27% of activity in the morning (everybody: 14%)"),
        ("Share of direct visits", "number", 0.29, 0.44, "a share of direct visits of 29% (everybody: 44%)"),
        ("Seniority: Executive", "category", 0.51, 0.2, "51% with seniority “Executive” (everybody: 20%)"),
        ("Days since last activity", "number", 30.2, 10.8, "30 days since last activity (everybody: 10.8)"),
        ("Mean order value", "number", 528.0, 322.0, "mean order value 528 (everybody: 322)"),
    ],
)
def test_a_figure_is_said_beside_everybodys(label, kind, own, base, words):
    assert told_figure(label, kind, own, base) == words
