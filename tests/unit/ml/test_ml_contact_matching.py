"""Contacts that share no identifier: found by what describes them, the same ones however they come."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ml.contact_matching import (
    FEWEST_CONTACTS,
    MatchingRules,
    comparable,
    train_matching,
    train_when_possible,
    update_matches,
)
from ml.identity_ledger import end_of_week

COLUMNS = {
    "given_name": "name",
    "surname": "name",
    "street_number": "code",
    "address_1": "text",
    "address_2": "text",
    "suburb": "text",
    "postcode": "code",
    "state": "category",
    "date_of_birth": "date",
}
RULES = MatchingRules(COLUMNS)
START = datetime(2026, 1, 5)


def read(shared_data: Path, dataset: int) -> pl.DataFrame:
    """Contacts that become known one an hour, in the order of the file."""
    frame = pl.read_csv(shared_data / "febrl" / f"dataset{dataset}.csv", infer_schema=False)
    frame = frame.rename({column: column.strip() for column in frame.columns}).drop("soc_sec_id")
    known = pl.Series([START + timedelta(hours=hour) for hour in range(frame.height)])
    return frame.rename({"rec_id": "contact_id"}).with_columns(record_key=pl.col("contact_id"), known_from_at=known)


@pytest.fixture(scope="module")
def contacts(shared_data: Path) -> pl.DataFrame:
    return read(shared_data, 1)


@pytest.fixture(scope="module")
def model(contacts: pl.DataFrame) -> dict:
    found = train_when_possible(contacts, RULES, "UTC", START + timedelta(weeks=6))
    assert found is not None
    return json.loads(json.dumps(found))


@pytest.fixture(scope="module")
def matches(contacts: pl.DataFrame, model: dict) -> pl.DataFrame:
    """All contacts compared at once."""
    return update_matches(contacts, model, RULES)


def test_text_is_compared_without_case_accents_and_spaces():
    frame = pl.DataFrame({"record_key": ["a"], "name": ["  Zoë Großmann-Łoś "], "born": ["1990-01-02"], "none": [" "]})
    rules = MatchingRules({"name": "name", "born": "date", "none": "text"})
    assert comparable(frame, rules).row(0) == ("a", "zoe grossmann łos", "19900102", None)


def test_neither_the_number_of_a_record_nor_the_order_of_arrival_has_a_say(contacts, model, matches):
    """FEBRL's `rec_id` names the human: with any other ids the same contacts are found, by the same weights."""
    ids = contacts["contact_id"]
    named = dict(
        zip(ids, [f"id-{place:04}" for place in ids.to_frame().with_row_index()["index"].shuffle(seed=3)], strict=True)
    )
    renamed = contacts.with_columns(pl.col("contact_id", "record_key").replace_strict(named))
    shuffled = renamed.sample(fraction=1.0, shuffle=True, seed=5)
    assert train_when_possible(shuffled, RULES, "UTC", START + timedelta(weeks=6)) == model

    def pairs(matches: pl.DataFrame, names: dict[str, str]) -> set[tuple[frozenset[str], float]]:
        found = matches.drop_nulls("other_contact_id").select("contact_id", "other_contact_id", "match_weight").rows()
        return {(frozenset((names[one], names[other])), round(weight, 6)) for one, other, weight in found}

    unnamed = {name: contact for contact, name in named.items()}
    as_they_are = pairs(matches, dict(zip(ids, ids, strict=True)))
    assert len(as_they_are) >= 500
    assert pairs(update_matches(renamed, model, RULES), unnamed) == as_they_are


def test_levels_of_agreement_weigh_more_the_closer_they_are(model):
    for comparison in model["splink"]["comparisons"]:
        levels = [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]
        exact, other = levels[0], levels[-1]
        assert exact["m_probability"] > exact["u_probability"]
        assert other["m_probability"] < other["u_probability"]


def test_comparing_bit_by_bit_equals_comparing_all_at_once(contacts, model, matches):
    so_far = None
    for known in (300, 301, 1000):
        so_far = update_matches(contacts.head(known), model, RULES, so_far)
    assert so_far is not None and so_far.equals(matches)


def test_a_contact_that_is_described_anew_keeps_its_earlier_match(contacts, model, matches):
    pair = matches.filter("is_match").row(0, named=True)
    moved = contacts.filter(contact_id=pair["contact_id"]).with_columns(
        record_key=pl.lit("moved"), suburb=pl.lit("elsewhere"), known_from_at=pl.lit(datetime(2027, 1, 1))
    )
    after = update_matches(pl.concat([contacts, moved], how="diagonal"), model, RULES, matches)
    found = after.filter(contact_id=pair["contact_id"], other_contact_id=pair["other_contact_id"])
    assert found.filter(record_key=pair["record_key"])["match_weight"].to_list() == [pair["match_weight"]]
    assert found.filter(record_key="moved")["matched_from_at"].to_list() == [datetime(2027, 1, 1)]


def test_a_match_is_known_when_both_contacts_and_the_model_are(contacts, model, matches):
    trained_at = datetime.fromisoformat(model["trained_on_contacts_before"])
    known = dict(contacts.select("contact_id", "known_from_at").rows())
    found = matches.drop_nulls("other_contact_id")
    for one, other, since in found.select("contact_id", "other_contact_id", "matched_from_at").rows():
        assert one < other and since == max(known[one], known[other], trained_at)


def test_the_weights_of_the_columns_and_the_prior_add_up(model, matches):
    found = matches.drop_nulls("other_contact_id")
    prior = model["splink"]["probability_two_random_records_match"]
    total = found.select(pl.sum_horizontal(f"weight_{column}" for column in COLUMNS)).to_series()
    rest = (found["match_weight"] - total).to_numpy()
    assert rest == pytest.approx(pl.Series([prior / (1 - prior)]).log(2)[0], abs=1e-6)


def test_training_waits_for_a_week_that_knows_enough_contacts(contacts):
    found = train_when_possible(contacts, RULES, "UTC", START)
    assert found is not None and found["contacts"] >= FEWEST_CONTACTS
    cutoff = datetime.fromisoformat(found["trained_on_contacts_before"])
    assert cutoff == end_of_week(cutoff - timedelta(seconds=1), "UTC")
    later = contacts.with_columns(surname=pl.when(pl.col("known_from_at") < cutoff).then("surname"))
    assert train_when_possible(later, RULES, "UTC", START) == found


def test_too_few_contacts_teach_nothing(contacts):
    assert train_matching(comparable(contacts.head(FEWEST_CONTACTS - 1), RULES), RULES) is None
    assert train_when_possible(contacts.head(50), RULES, "UTC", START) is None
