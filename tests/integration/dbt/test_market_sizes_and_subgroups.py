"""How many can be reached, and who responds to what: figures counted by hand."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest
from rendered_models import rows_of
from scipy import stats

from tests.people_by_name import number

AS_OF = date(2026, 3, 2)
WEEKS = pl.DataFrame({"as_of": [AS_OF], "as_of_at": [datetime(2026, 3, 1, 23)], "is_scored": [True]})
ACTIVATION = {"activation": {"purpose": "email_marketing", "channel": "email"}}
EVERYTHING = {"delivered_entities": ("accounts", "contacts", "messages")}


def memberships(*rows: tuple[str, str, float, str | None, float]) -> pl.DataFrame:
    """Rows of persons in personas: person, persona, strength, runner-up, margin."""
    columns = ["person_id", "segment_id", "membership_strength", "runner_up_segment_id", "margin"]
    types = [pl.UInt64, pl.String, pl.Float64, pl.String, pl.Float64]
    numbered = [(number(person), *others) for person, *others in rows]
    frame = pl.DataFrame(numbered, schema=dict(zip(columns, types, strict=True)), orient="row")
    return frame.with_columns(
        as_of=pl.lit(AS_OF), segment_type=pl.lit("persona"), segment_name=pl.col("segment_id").str.to_uppercase()
    )


def contactable(*people: str) -> pl.DataFrame:
    columns = {"as_of": AS_OF, "channel": "email", "purpose": "email_marketing", "is_allowed": True}
    return pl.DataFrame({"person_id": [number(one) for one in people]}, schema={"person_id": pl.UInt64}).with_columns(
        **{name: pl.lit(value) for name, value in columns.items()}
    )


def sizes(
    members: pl.DataFrame, companies: dict[str, str], *may_be_contacted: str, **variables: object
) -> pl.DataFrame:
    accounts = pl.DataFrame({"account_id": ["a1", "a2"]}).with_columns(
        valid_from=pl.lit(datetime(2025, 1, 1)), valid_to=pl.lit(None, pl.Datetime)
    )
    ids = pl.Series([number(one) for one in companies], dtype=pl.UInt64)
    people = pl.DataFrame({"person_id": ids, "account_id": list(companies.values())}).with_columns(as_of=pl.lit(AS_OF))
    tables = {
        "int_weeks": WEEKS,
        "segment_memberships": members,
        "int_contactability": contactable(*may_be_contacted),
        "stg_accounts": accounts,
        "int_people": people,
    }
    return rows_of("market_sizes", tables, **(ACTIVATION | EVERYTHING | {"minimum_cell": 1} | variables))


def test_who_is_expected_to_belong_is_the_sum_of_probabilities_of_those_who_come_second_too() -> None:
    members = memberships(("p1", "k1", 0.9, "k2", 0.8), ("p2", "k1", 0.6, "k2", 0.2), ("p3", "k2", 1.0, None, 1.0))
    rows = sizes(members, {"p1": "a1", "p2": "a1", "p3": "a2"}, "p1").filter(audience="everyone")
    first, second = rows.sort("segment_id").to_dicts()
    assert (first["people"], first["expected_people"]) == (2, pytest.approx(1.5))
    error = stats.norm.ppf(0.975) * (0.9 * 0.1 + 0.6 * 0.4) ** 0.5
    assert (first["people_low"], first["people_high"]) == pytest.approx((1.5 - error, 1.5 + error), abs=1e-5)
    assert (second["people"], second["expected_people"]) == (1, pytest.approx(1.0 + 0.1 + 0.4))


def test_a_company_counts_once_and_is_expected_where_anybody_of_it_belongs() -> None:
    members = memberships(("p1", "k1", 0.9, None, 0.9), ("p2", "k1", 0.6, None, 0.6), ("p3", "k1", 1.0, None, 1.0))
    (row,) = sizes(members, {"p1": "a1", "p2": "a1", "p3": "gone"}, "p1").filter(audience="everyone").to_dicts()
    assert (row["people"], row["companies"]) == (3, 1)
    assert row["expected_companies"] == pytest.approx(1 - 0.1 * 0.4, abs=1e-5)


def test_only_those_who_may_be_contacted_are_contactable_and_a_segment_of_nobody_has_a_row() -> None:
    members = memberships(("p1", "k1", 1.0, None, 1.0), ("p2", "k1", 1.0, None, 1.0), ("p3", "k2", 1.0, None, 1.0))
    rows = sizes(members, {"p1": "a1"}, "p1").filter(audience="contactable").sort("segment_id")
    assert rows.select("segment_id", "people", "purpose", "channel").rows() == [
        ("k1", 1, "email_marketing", "email"),
        ("k2", 0, "email_marketing", "email"),
    ]


def test_few_people_are_not_counted_out_and_without_accounts_there_are_no_companies() -> None:
    members = memberships(*((f"p{number}", "k1", 1.0, None, 1.0) for number in range(12)))
    rows = sizes(members, {"p1": "a1"}, "p1", "p2", minimum_cell=10, delivered_entities=("contacts",))
    told = {row["audience"]: (row["people"], row["people_low"], row["companies"]) for row in rows.to_dicts()}
    assert told == {"everyone": (12, 12.0, None), "contactable": (None, None, None)}
    assert rows.filter("is_suppressed")["audience"].to_list() == ["contactable"]


def test_of_a_class_there_are_counts_and_no_estimate_for_its_people_are_in_it_by_a_rule() -> None:
    members = memberships(("p1", "laggard", 0.7, None, 0.4), ("p2", "laggard", 0.6, None, 0.2))
    (row,) = (
        sizes(members.with_columns(segment_type=pl.lit("adoption_class")), {"p1": "a1", "p2": "a2"})
        .filter(audience="everyone")
        .to_dicts()
    )
    assert (row["people"], row["companies"]) == (2, 2)
    assert all(row[name] is None for name in ("expected_people", "people_low", "people_high", "expected_companies"))


def test_an_interval_holds_as_often_as_it_says() -> None:
    chance = np.random.default_rng(1)
    held = []
    strengths = chance.uniform(0.3, 1, 300)
    members = memberships(*((f"p{number}", "k1", float(p), None, float(p)) for number, p in enumerate(strengths)))
    (row,) = sizes(members, {"p1": "a1"}).filter(audience="everyone").to_dicts()
    for _ in range(2000):
        belong = (chance.random(300) < strengths).sum()
        held.append(row["people_low"] <= belong <= row["people_high"])
    assert 0.93 < np.mean(held) < 0.975


def subgroups(minimum_cell: int = 3, **changed: pl.DataFrame) -> pl.DataFrame:
    """Ten people of one persona, five of whom respond to `security` and one to `pricing`."""
    people = [f"p{number}" for number in range(10)]
    members = memberships(*((person, "k1", 1.0, None, 1.0) for person in people))
    scores = pl.DataFrame(
        [
            {"person_id": number(person), "phrase": phrase, "score": score, "evidence_1": first, "evidence_2": second}
            for person, phrase, score, first, second in [
                *((f"p{n}", "security", 0.6, "page: sso guide", "ticket: my password") for n in range(4)),
                ("p4", "security", 0.9, "note: called us", "page: audit log"),
                ("p5", "security", 0.4, "page: sso guide", None),
                ("p6", "pricing", 0.8, "page: pricing", None),
            ]
        ]
    ).with_columns(as_of=pl.lit(AS_OF), phrase_group=pl.lit("trigger"), evidence_3=pl.lit(None, pl.String))
    features = pl.DataFrame(
        {
            "person_id": [number(one) for one in people],
            "messages_received_91d": [5] * 10,
            "messages_clicked_91d": [1, 1, 1, 0, 0, 1, 0, 0, 0, 0],
        }
    ).with_columns(as_of=pl.lit(AS_OF))
    index = pl.DataFrame(
        [
            {"characteristic": f"trigger={phrase}", "segment_value": share, "index_value": 200.0}
            for phrase, share in [("security", 0.5), ("pricing", 0.1)]
        ]
    ).with_columns(
        as_of=pl.lit(AS_OF),
        segment_type=pl.lit("persona"),
        segment_id=pl.lit("k1"),
        segment_name=pl.lit("K1"),
        index_low=pl.lit(150.0),
        index_high=pl.lit(250.0),
    )
    tables = {
        "int_weeks": WEEKS,
        "segment_memberships": members,
        "int_contactability": contactable("p0", "p1", "p2"),
        "person_features": features,
        "affinity_scores": scores,
        "persona_index": index,
    } | changed
    variables = ACTIVATION | EVERYTHING | {"affinity": {"enabled": True}, "minimum_cell": minimum_cell}
    return rows_of("trigger_subgroups", tables, **variables).sort("phrase")


def test_a_subgroup_is_who_responds_beside_everybody_and_beside_the_persona() -> None:
    row = subgroups().filter(phrase="security").row(0, named=True)
    assert (row["people"], row["people_share"], row["index_value"], row["contactable_people"]) == (5, 0.5, 200.0, 3)
    assert (row["clicked_share"], row["segment_clicked_share"]) == (0.6, 0.4)
    assert row["click_index"] == pytest.approx(150)
    assert row["click_index_low"] < 150 < row["click_index_high"] <= 200


def test_a_subgroup_is_told_what_enough_of_it_read_and_never_what_somebody_wrote() -> None:
    row = subgroups().filter(phrase="security").row(0, named=True)
    assert (row["content_1"], row["content_1_people"]) == ("page: sso guide", 4)
    assert (row["content_2"], row["content_3"]) == (None, None)


def test_a_subgroup_of_few_people_says_so_and_nothing_else() -> None:
    row = subgroups().filter(phrase="pricing").row(0, named=True)
    assert row["abstained_reason"] == "fewer than 3 people"
    kept = {"as_of", "segment_type", "segment_id", "segment_name", "phrase", "abstained_reason"}
    assert {name for name, value in row.items() if value is not None} == kept


def test_where_too_few_clicked_their_share_is_held_back() -> None:
    row = subgroups(minimum_cell=4).filter(phrase="security").row(0, named=True)
    assert (row["people"], row["clicked_share"], row["click_index"], row["contactable_people"]) == (5, None, None, None)


def test_a_workspace_without_phrases_has_an_empty_table_of_the_same_columns() -> None:
    variables = ACTIVATION | EVERYTHING | {"affinity": {"enabled": False}, "minimum_cell": 10}
    empty = rows_of("trigger_subgroups", {}, **variables)
    assert empty.height == 0
    assert empty.columns == subgroups().columns
