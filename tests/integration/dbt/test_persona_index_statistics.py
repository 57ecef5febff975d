"""What the index says of chance: intervals that hold, and few differences where there are none."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from rendered_models import rows_of
from scipy import stats

AS_OF = date(2026, 3, 2)
DRAWS = {
    "even": lambda chance, size: chance.normal(50, 10, size),
    "counts": lambda chance, size: chance.negative_binomial(0.3, 0.1, size).astype(float),
    "amounts": lambda chance, size: chance.lognormal(0, 1.2, size),
    "rare_amounts": lambda chance, size: chance.lognormal(3, 1, size) * (chance.random(size) < 0.05),
    "flag": lambda chance, size: (chance.random(size) < 0.3).astype(float),
    "rare_flag": lambda chance, size: (chance.random(size) < 0.03).astype(float),
}
FLAGS = ("flag", "rare_flag")


def measures(segment: str, values: dict[str, np.ndarray], week: int = 0) -> pl.DataFrame:
    """Rows of `segment_measures` as they follow from people's values."""
    rows = [
        {
            "as_of": AS_OF + timedelta(weeks=week),
            "segment_type": "persona" if segment else "everybody",
            "segment_id": segment,
            "characteristic": name,
            "label": name,
            "family": "engagement",
            "kind": "flag" if name.split("#")[0] in FLAGS else "number",
            "unit": "count",
            "is_persona_input": False,
            "people": len(known),
            "segment_value": known.mean(),
            "variance": known.var(),
            "skewness": skewness(known),
        }
        for name, known in values.items()
    ]
    return pl.DataFrame(rows)


def skewness(known: np.ndarray) -> float:
    spread = known.std()
    return float(np.mean(((known - known.mean()) / spread) ** 3)) if spread > 0 else 0.0


def index_of(*tables: pl.DataFrame, minimum_cell: int = 1) -> pl.DataFrame:
    """The index of all weeks at once; what has no segment is everybody."""
    told = pl.concat(tables)
    names = (
        told.filter(pl.col("segment_type") == "persona")
        .select("as_of", "segment_type", "segment_id")
        .unique()
        .with_columns(segment_name="segment_id", person_id=pl.lit(1, pl.UInt64))
    )
    weeks = told.select("as_of").unique().with_columns(is_scored=True)
    given = {"int_weeks": weeks, "segment_measures": told, "segment_memberships": names}
    return rows_of("persona_index", given, minimum_cell=minimum_cell).sort("as_of", "segment_id", "characteristic")


def segments_of(
    values: dict[str, np.ndarray], chance: np.random.Generator, sizes: list[int], week: int
) -> list[pl.DataFrame]:
    """Segments that chance drew: nothing sets them apart."""
    order = chance.permutation(len(next(iter(values.values()))))
    cuts = np.split(order, np.cumsum(sizes))[:-1]
    return [
        measures(f"s{number}", {name: known[cut] for name, known in values.items()}, week)
        for number, cut in enumerate(cuts)
    ]


def test_where_nothing_differs_hardly_a_week_tells_of_a_difference() -> None:
    # Weeks of four segments and 24 characteristics each: in at most one week of twenty anything is told at all.
    weeks, tables = 150, []
    for week in range(weeks):
        chance = np.random.default_rng(week)
        values = {f"{name}#{copy}": draw(chance, 1500) for name, draw in DRAWS.items() for copy in range(4)}
        tables += [measures("", values, week), *segments_of(values, chance, [12, 40, 150, 600], week)]
    rows = index_of(*tables)
    assert rows.height == weeks * 96
    told = rows.group_by("as_of").agg(pl.col("is_significant").any())["is_significant"].mean()
    assert told <= 0.05 + 2 * (0.05 * 0.95 / weeks) ** 0.5
    assert rows["is_significant"].mean() < 0.002


def test_of_what_is_told_at_most_one_in_twenty_is_chance_and_real_differences_are_found() -> None:
    weeks, tables, planted = 100, [], ("counts#0", "amounts#0", "even#0", "flag#0")
    for week in range(weeks):
        chance = np.random.default_rng(1000 + week)
        values = {f"{name}#{copy}": draw(chance, 1500) for name, draw in DRAWS.items() for copy in range(4)}
        segment = chance.permutation(1500)[:200]
        for name in planted[:3]:
            values[name][segment] = values[name][segment] * 1.6 + 0.6
        values["flag#0"][segment] = (chance.random(200) < 0.5).astype(float)
        tables += [
            measures("", values, week),
            measures("s", {name: known[segment] for name, known in values.items()}, week),
        ]
    found = index_of(*tables).filter("is_significant").with_columns(is_true=pl.col("characteristic").is_in(planted))
    chance_alone = found.group_by("as_of").agg((~pl.col("is_true")).mean())["is_true"]
    assert chance_alone.mean() <= 0.05 + 2 * chance_alone.std() / weeks**0.5
    assert found["is_true"].sum() / (weeks * len(planted)) > 0.9


@pytest.mark.parametrize("name", ["even", "counts", "amounts", "flag"])
@pytest.mark.parametrize("size", [60, 300])
def test_intervals_hold_in_about_nineteen_cases_of_twenty(name: str, size: int) -> None:
    chance = np.random.default_rng(7)
    far = np.random.default_rng(8)
    once = DRAWS[name](far, 1_000_000).mean()
    factor = 1.5
    expected = 100 * factor / (size / 2000 * factor + 1 - size / 2000)
    tables = []
    for number in range(400):
        others = DRAWS[name](chance, 2000 - size)
        segment = DRAWS[name](chance, size) * factor
        if name in FLAGS:
            segment = (chance.random(size) < once * factor).astype(float)
        tables.append((f"{name}#{number}", segment, np.concatenate([others, segment])))
    rows = index_of(
        measures("", {key: everybody for key, _, everybody in tables}),
        measures("s", {key: segment for key, segment, _ in tables}),
    ).drop_nulls("index_low")
    held = rows.select(((pl.col("index_low") <= expected) & (pl.col("index_high") >= expected)).mean()).item()
    assert rows.height > 100
    assert held > 0.925
    assert rows.select((pl.col("index_low") <= pl.col("index_value")).all()).item()
    assert rows.select((pl.col("index_high") >= pl.col("index_value")).all()).item()


def test_a_figure_too_uneven_for_so_few_people_has_no_interval() -> None:
    chance = np.random.default_rng(3)
    values = {"rare_amounts": DRAWS["rare_amounts"](chance, 5000)}
    few, many = (measures(f"s{size}", {"rare_amounts": values["rare_amounts"][:size]}) for size in (20, 2500))
    rows = index_of(measures("", values), few, many)
    assert rows["index_low"].is_null().to_list() == [True, False]
    assert rows["index_value"].is_not_null().all()


def test_an_index_lies_in_its_interval_and_the_interval_in_what_is_possible() -> None:
    chance = np.random.default_rng(4)
    segments, everybody = {}, {}
    for number in range(600):
        people, others = chance.integers(1, 400), chance.integers(1, 4000)
        having, others_having = chance.choice([0, 1, *chance.random(2)], 2)
        segments[f"flag#{number}"] = (np.arange(people) < round(people * having)).astype(float)
        rest = (np.arange(others) < round(others * others_having)).astype(float)
        everybody[f"flag#{number}"] = np.concatenate([segments[f"flag#{number}"], rest])
    rows = index_of(measures("", everybody), measures("s", segments))
    nobody = rows.filter(pl.col("base_value") == 0)
    assert nobody.height > 5 and nobody["index_value"].is_null().all() and not nobody["is_significant"].any()
    told = rows.filter(pl.col("base_value") > 0)
    most = 100 * pl.col("base_people") / pl.col("people")
    for low, high in [
        (pl.lit(0), "index_low"),
        ("index_low", "index_value"),
        ("index_value", "index_high"),
        ("index_high", most),
        ("value_low", "segment_value"),
        ("segment_value", "value_high"),
        ("p_value", "adjusted_p_value"),
        ("adjusted_p_value", pl.lit(1)),
    ]:
        ends = [pl.col(end) if isinstance(end, str) else end for end in (low, high)]
        assert told.select((ends[0] <= ends[1] + 1e-5).all()).item(), (low, high)


def test_probabilities_are_those_of_fishers_exact_test_or_a_little_higher() -> None:
    everybody = np.zeros(1000)
    everybody[:300] = 1
    have = (20, 24, 30, 40, 45)
    rows = index_of(
        measures("", {f"flag#{number}": everybody for number in have}),
        measures("s", {f"flag#{number}": (np.arange(100) < number).astype(float) for number in have}),
    )
    exact = [stats.fisher_exact([[number, 100 - number], [300 - number, 600 + number]]).pvalue for number in have]
    ratios = rows["p_value"].to_numpy() / np.array(exact)
    assert 0.9 < ratios.min() and ratios.max() < 1.7


def test_adjusted_values_are_those_of_benjamini_and_hochberg_over_all_rows_of_the_week() -> None:
    chance = np.random.default_rng(5)
    values = {f"{name}#{copy}": draw(chance, 800) for name, draw in DRAWS.items() for copy in range(5)}
    segments = [
        measures(f"s{n}", {key: np.sort(known)[n * 60 :][:200] for key, known in values.items()}) for n in (0, 4)
    ]
    rows = index_of(measures("", values), *segments).drop_nulls("p_value")
    expected = stats.false_discovery_control(rows["p_value"].to_numpy(), method="bh")
    assert np.allclose(rows["adjusted_p_value"].to_numpy(), expected, atol=1e-4)
    assert 0 < rows["is_significant"].sum() < rows.height


def test_few_people_are_held_back_and_only_the_direction_is_told() -> None:
    everybody = np.concatenate([np.ones(400), np.zeros(600)])
    few = np.concatenate([np.ones(4), np.zeros(196)])
    all_but_few = np.concatenate([np.ones(195), np.zeros(5)])
    rows = index_of(
        measures("", {"flag": everybody}),
        *(measures(name, {"flag": who}) for name, who in [("few", few), ("most", all_but_few), ("tiny", few[:9])]),
        minimum_cell=10,
    )
    told = {row["segment_id"]: (row["abstained_reason"], row["direction"]) for row in rows.to_dicts()}
    assert told == {
        "few": ("fewer than 10 people have it", "under"),
        "most": ("fewer than 10 people do not have it", "over"),
        "tiny": ("fewer than 10 people", None),
    }
    figures = ["segment_value", "value_low", "value_high", "index_value", "index_low", "index_high", "p_value"]
    assert rows.select(pl.col(figures).is_null().all()).row(0) == (True,) * len(figures)
    assert rows.filter(segment_id="tiny")["people"].item() is None
