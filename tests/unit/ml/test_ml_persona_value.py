import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2_contingency, kruskal

from ml.persona_value import compare_personas, net_values, not_worth_separating
from tests.people_by_name import person_ids


def outcomes(seed=0, people=900, shift=0.0):
    random = np.random.default_rng(seed)
    persona = random.integers(0, 3, people)
    return pl.DataFrame(
        {
            "person_id": person_ids(people),
            "persona_id": [f"persona-0{number + 1}" for number in persona],
            "revenue_28d": random.exponential(10, people) + shift * (persona == 2),
            "clicked": random.random(people) < 0.2,
        }
    )


def test_the_test_is_that_of_scipy():
    told = outcomes(shift=3.0)
    found = compare_personas(told, ["revenue_28d", "clicked"]).filter(
        (pl.col("persona_id") == "persona-01") & (pl.col("other_id") == "persona-03")
    )
    one, other = (told.filter(pl.col("persona_id") == name) for name in ("persona-01", "persona-03"))
    expected = kruskal(one["revenue_28d"], other["revenue_28d"]).pvalue
    assert found.filter(pl.col("kpi") == "revenue_28d")["p_value"][0] == pytest.approx(expected, rel=1e-6)
    counts = [[group["clicked"].sum(), group.height - group["clicked"].sum()] for group in (one, other)]
    people = one.height + other.height
    cramer = chi2_contingency(counts, correction=False).statistic / people
    assert found.filter(pl.col("kpi") == "clicked")["effect"][0] == pytest.approx(cramer, rel=1e-6)


def test_personas_that_do_the_same_are_not_worth_separating():
    alike = not_worth_separating(compare_personas(outcomes(shift=8.0), ["revenue_28d", "clicked"]))
    assert alike == {"persona-01": "persona-02", "persona-02": "persona-01"}


def test_where_nothing_differs_one_figure_in_twenty_at_most_says_so():
    found = [compare_personas(outcomes(seed), ["revenue_28d", "clicked"])["is_different"].any() for seed in range(200)]
    assert np.mean(found) <= 0.05


def test_a_difference_without_size_is_no_difference():
    random = np.random.default_rng(0)
    persona = random.integers(0, 2, 60_000)
    many = pl.DataFrame({"persona_id": persona.astype(str), "revenue_28d": random.normal(size=60_000) + 0.05 * persona})
    found = compare_personas(many, ["revenue_28d"])
    assert found["q_value"][0] < 0.05 and not found["is_different"][0]


def test_twice_as_much_of_something_rare_is_a_difference():
    random = np.random.default_rng(0)
    persona = random.integers(0, 2, 8_000)
    rare = pl.DataFrame({"persona_id": persona.astype(str), "bought": random.random(8_000) < 0.02 * (1 + persona)})
    found = compare_personas(rare, ["bought"])
    assert found["effect"][0] < 0.01 and found["is_different"][0]
    assert found["ratio_low"][0] < 0.5 < found["ratio_high"][0]


def test_too_few_people_to_tell_are_neither_different_nor_alike():
    few = compare_personas(outcomes(people=90), ["clicked"])
    assert not few["is_different"].any() and not few["is_alike"].any()
    assert not_worth_separating(few) == {}


def test_unprofitable_is_below_zero_with_its_upper_bound():
    random = np.random.default_rng(0)
    people = pl.DataFrame(
        {
            "persona_id": ["loses"] * 200 + ["unsure"] * 200 + ["earns"] * 200,
            "net_value": np.concatenate([random.normal(centre, 5, 200) for centre in (-3, 0, 3)]),
        }
    )
    found = net_values(people)
    assert dict(found.select("persona_id", "is_unprofitable").iter_rows()) == {
        "earns": False,
        "loses": True,
        "unsure": False,
    }
    assert (found["net_value_high"] > found["net_value"]).all()


def test_nobody_compares_to_nobody():
    assert compare_personas(outcomes().clear(), ["revenue_28d"]).is_empty()
    assert net_values(pl.DataFrame(schema={"persona_id": pl.String, "net_value": pl.Float64})).is_empty()
