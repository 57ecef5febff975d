"""Persuasion: what is planted is ranked first, groups without a best are told so, intervals hold, chance is checked."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ml.persuasion import (
    APPROACHES,
    BY_CHANCE,
    COUNT_SCHEMA,
    MESSAGE_STYLES,
    NO_ANSWERS,
    TOO_FEW,
    PersuasionRules,
    assignment_reason,
    estimate_persuasion,
)
from ml.persuasion_orders import PersuasionOrders, order_approaches, without_evidence

RULES = PersuasionRules()


def counted(sends: np.ndarray, responses: np.ndarray, kind: str = "persona") -> pl.DataFrame:
    """Counts of groups (rows) and approaches (columns); every message goes to a person of its own."""
    rows = [
        (kind, f"g{group:02}", approach, int(n), int(r), int(n), int(r), int(r))
        for group in range(sends.shape[0])
        for approach, n, r in zip(APPROACHES, sends[group], responses[group], strict=True)
    ]
    return pl.DataFrame(rows, schema=COUNT_SCHEMA, orient="row")


def drawn(rates: np.ndarray, sends: int, seed: int = 1) -> pl.DataFrame:
    answers = np.random.default_rng(seed).binomial(sends, rates)
    return counted(np.full(rates.shape, sends), answers)


def heads(estimates: pl.DataFrame) -> pl.DataFrame:
    return estimates.unique("segment_id").sort("segment_id")


def test_a_clearly_better_approach_is_ranked_first_with_evidence_and_others_are_not_called_best() -> None:
    rates = np.full((4, 7), 0.1)
    rates[0, 2], rates[1, 5] = 0.16, 0.17
    estimates = estimate_persuasion(drawn(rates, 2_000), RULES).estimates
    best = dict(estimates.filter(observed_rank=1).select("segment_id", "approach").iter_rows())
    evidence = dict(heads(estimates).select("segment_id", "evidence").iter_rows())
    assert (best["g00"], best["g01"]) == ("social_proof", "scarcity")
    assert evidence == {"g00": "observed", "g01": "observed", "g02": "default", "g03": "default"}
    assert set(estimates.filter(evidence="default")["abstained_reason"]) == {BY_CHANCE}
    sums = estimates.group_by("segment_id").agg(pl.col("probability_best").sum())["probability_best"]
    assert sums.to_list() == pytest.approx([1.0] * 4)


def test_groups_without_a_difference_are_told_so_in_at_least_95_percent() -> None:
    told = [
        row
        for seed in range(12)
        for row in heads(estimate_persuasion(drawn(np.full((20, 7), 0.1), 800, seed), RULES).estimates)["evidence"]
    ]
    assert np.mean(np.array(told) == "default") >= 0.95


def test_the_best_of_seven_is_ranked_first_in_at_least_85_percent() -> None:
    best = np.random.default_rng(5).integers(0, 7, size=(12, 20))
    right = []
    for seed, places in enumerate(best):
        rates = np.full((20, 7), 0.1)
        rates[np.arange(20), places] = 0.13
        first = estimate_persuasion(drawn(rates, 1_000, 50 + seed), RULES).estimates.filter(observed_rank=1)
        right += (first.sort("segment_id")["approach"] == pl.Series([APPROACHES[place] for place in places])).to_list()
    assert np.mean(right) >= 0.85


@pytest.mark.parametrize("people_differ", [False, True])
def test_intervals_hold_nine_times_in_ten_also_where_people_differ(people_differ: bool) -> None:
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(8):
        true = rng.beta(60, 440, size=(12, 7))
        rows = []
        for group, approach in np.ndindex(true.shape):
            rate = true[group, approach]
            own = rng.beta(2 * rate, 2 * (1 - rate), 150) if people_differ else np.full(150, rate)
            answers = rng.binomial(6, own)
            rows.append(
                ("persona", f"g{group:02}", APPROACHES[approach], 900, int(answers.sum()), 36 * 150,
                 int((answers**2).sum()), int(6 * answers.sum()))
            )  # fmt: skip
        done = estimate_persuasion(pl.DataFrame(rows, schema=COUNT_SCHEMA, orient="row"), RULES)
        assert (done.models["design_effect"][0] > 2) == people_differ
        low, high = (done.estimates[name].to_numpy().reshape(12, 7) for name in ("rate_low", "rate_high"))
        covered.append((low <= true) & (true <= high))
    assert 0.84 <= np.mean(covered) <= 0.96


def test_where_approaches_do_not_differ_their_rates_are_drawn_together() -> None:
    alike = estimate_persuasion(drawn(np.full((10, 7), 0.1), 500), RULES)
    raw = alike.estimates["responses"] / alike.estimates["sends"]
    assert alike.estimates["response_rate"].std() < 0.5 * raw.std()
    rates = np.tile(np.linspace(0.05, 0.35, 7), (10, 1))
    unlike = estimate_persuasion(drawn(rates, 500), RULES)
    assert unlike.models["approach_strength"][0] < alike.models["approach_strength"][0]


def test_approaches_that_were_hardly_sent_are_not_judged() -> None:
    sends = np.array([[500, 500, 30, 0, 0, 0, 0]])
    estimates = estimate_persuasion(counted(sends, sends // 5), RULES).estimates
    ranks = dict(estimates.select("approach", "observed_rank").iter_rows())
    assert {name for name, rank in ranks.items() if rank} == {"reciprocity", "commitment"}
    told = estimates.filter(approach="social_proof").row(0, named=True)
    assert (told["probability_best"], told["response_rate"] is None) == (None, False)
    assert estimates.filter(approach="unity")["response_rate"][0] is None


@pytest.mark.parametrize(("sends", "reason"), [([500, 20, 0, 0, 0, 0, 0], TOO_FEW), ([500] * 7, NO_ANSWERS)])
def test_too_little_is_said_to_be_too_little(sends: list[int], reason: str) -> None:
    estimates = estimate_persuasion(counted(np.array([sends]), np.zeros((1, 7))), RULES).estimates
    assert set(estimates["abstained_reason"]) == {reason}
    assert set(estimates["evidence"]) == {"default"}


def test_the_order_of_rows_does_not_matter_and_nothing_in_gives_nothing_out() -> None:
    counts = drawn(np.full((3, 7), 0.1), 300)
    one, other = (estimate_persuasion(frame, RULES).estimates for frame in (counts, counts.reverse()))
    assert one.equals(other)
    assert estimate_persuasion(counts.clear(), RULES).estimates.is_empty()


def test_few_busy_people_are_no_evidence() -> None:
    """Ten people who click everything with one approach are not a thousand answers."""
    counts = counted(np.full((1, 7), 1_000), np.array([[100, 100, 160, 100, 100, 100, 100]]))
    assert heads(estimate_persuasion(counts, RULES).estimates)["evidence"][0] == "observed"
    busy = counts.with_columns(
        sends_squared=pl.col("sends") * 50,
        responses_squared=pl.col("responses") * 50,
        sends_by_responses=pl.col("responses") * 50,
    )
    assert heads(estimate_persuasion(busy, RULES).estimates)["evidence"][0] == "default"


def shares(rng: np.random.Generator, bias: float, per_person: bool) -> pl.DataFrame:
    """Two groups of 400 people, five messages each; `bias` more of the first approach in the second group."""
    rows = []
    for group, chance in (("a", 0.5), ("b", 0.5 + bias)):
        draws = rng.binomial(5, chance, 400) if not per_person else 5 * rng.binomial(1, chance, 400)
        for approach, sends in (("liking", draws), ("unity", 5 - draws)):
            rows.append(
                (group, approach, int(sends.sum()), int((sends**2).sum()), int((sends * 5).sum()), 2_000, 25 * 400)
            )
    names = ("segment_id", "approach", "sends", "sends_squared", "sends_by_all", "all_sends", "all_sends_squared")
    return pl.DataFrame(rows, schema=names, orient="row")


@pytest.mark.parametrize("per_person", [False, True])
def test_chance_is_recognized_per_message_and_per_person(per_person: bool) -> None:
    rng = np.random.default_rng(4)
    assert [assignment_reason(shares(rng, 0.0, per_person)) for _ in range(100)].count(None) >= 99
    found = assignment_reason(shares(rng, 0.2, per_person))
    assert found == "groups got liking and unity more or less often than chance would give it"


def test_one_group_alone_tells_nothing_of_chance() -> None:
    one = shares(np.random.default_rng(4), 0.2, False).filter(segment_id="a")
    assert assignment_reason(one) is None


def test_a_group_without_evidence_gets_its_default_and_a_spared_one_no_pressure() -> None:
    estimates = estimate_persuasion(drawn(np.full((2, 7), 0.1), 300), RULES).estimates
    orders = PersuasionOrders(
        defaults={("persona", "g00"): ("scarcity", "authority"), ("persona", "g01"): ("scarcity", "authority")},
        pressure=("scarcity",),
        spared={("persona", "g01"): "in debt counselling"},
    )
    told = order_approaches(estimates, orders).drop_nulls("approach_rank").sort("segment_id", "approach_rank")
    assert told.select("segment_id", "approach", "approach_rank", "message_style").rows() == [
        ("g00", "scarcity", 1, "novelty_seeking"),
        ("g00", "authority", 2, "novelty_seeking"),
        ("g01", "authority", 1, "expertise_seeking"),
    ]
    assert set(told["abstained_reason"]) == {f"no evidence yet: {BY_CHANCE}; default for this group"}


def test_an_observed_order_leaves_out_what_is_withheld() -> None:
    rates = np.full((1, 7), 0.1)
    rates[0, APPROACHES.index("scarcity")] = 0.2
    estimates = estimate_persuasion(drawn(rates, 2_000), RULES).estimates
    free = order_approaches(estimates, PersuasionOrders(pressure=("scarcity",)))
    assert free.filter(approach_rank=1)["approach"][0] == "scarcity"
    spared = order_approaches(
        estimates, PersuasionOrders(pressure=("scarcity",), spared={("persona", "g00"): "minors"})
    )
    assert spared.filter(approach="scarcity").select("approach_rank", "withheld_reason").row(0) == (None, "minors")
    assert spared["approach_rank"].drop_nulls().sort().to_list() == [1, 2, 3, 4, 5, 6]
    assert set(spared["message_style"]) == {MESSAGE_STYLES[spared.filter(approach_rank=1)["approach"][0]]}


def test_groups_that_got_nothing_have_rows_without_figures() -> None:
    rows = without_evidence(pl.DataFrame({"segment_type": ["persona"], "segment_id": ["g09"]}), "no message")
    assert rows["approach"].to_list() == list(APPROACHES)
    assert rows["response_rate"].null_count() == 7
    assert order_approaches(rows, PersuasionOrders())["message_style"].null_count() == 7
