"""Persuasion in the demo company: what was planted is found or not claimed, nobody in trouble is pressed, no traits."""

from __future__ import annotations

import json

import polars as pl

from tests.end_to_end.demo_company import DemoRun
from tests.trait_columns import TRAIT

APPROACH_OF = {
    "free_extra": "reciprocity",
    "next_step": "commitment",
    "customer_story": "social_proof",
    "expert_view": "authority",
    "personal_note": "liking",
    "last_seats": "scarcity",
    "our_community": "unity",
}


def test_every_persona_is_told_of_with_intervals_and_chance_is_seen_to_have_decided(demo_run: DemoRun) -> None:
    told = demo_run.table("segment_persuasion")
    personas = demo_run.table("segment_memberships").filter(segment_type="persona")["segment_id"].unique()
    assert set(personas) <= set(told["segment_id"])
    assert (told.group_by("segment_type", "segment_id").len()["len"] == 7).all()
    assert told["is_randomized"].all()
    assert told["caution"].null_count() == told.height
    sent = told.filter(pl.col("sends") > 0)
    assert (sent["rate_low"] <= sent["response_rate"]).all()
    assert (sent["response_rate"] <= sent["rate_high"]).all()
    everybody = told.filter(segment_type="everybody")
    assert everybody["sends"].sum() > 3_000


def test_what_is_told_as_observed_is_what_was_planted(demo_run: DemoRun) -> None:
    truth = json.loads((demo_run.folder / "truth" / "angles.json").read_text(encoding="utf-8"))
    planted = {APPROACH_OF[angle] for angle in truth["favourites"].values() if angle}
    observed = demo_run.table("segment_persuasion").filter(evidence="observed", observed_rank=1, segment_type="persona")
    assert observed.height >= 1
    assert set(observed["approach"]) <= planted
    default = demo_run.table("segment_persuasion").filter(evidence="default", approach_rank=1)
    firsts = {"innovator": "liking", "early_adopter": "authority", "laggard": "reciprocity"}
    assert all(
        approach == firsts.get(segment, "social_proof")
        for segment, approach in default.select("segment_id", "approach").iter_rows()
    )
    assert default["abstained_reason"].str.starts_with("no evidence yet: ").all()


def test_everybody_carries_the_groups_labels_and_nobody_in_trouble_is_pressed(demo_run: DemoRun) -> None:
    people = demo_run.table("person_persuasion")
    in_personas = demo_run.table("segment_memberships").filter(segment_type="persona")
    assert people["person_id"].is_unique().all()
    assert set(in_personas["person_id"]) <= set(people["person_id"])
    assert people["approach_1"].is_not_null().mean() > 0.9
    spared = people.drop_nulls("withheld_reason")
    assert spared.height > 10
    assert set(spared["withheld_approaches"]) == {"scarcity"}
    assert spared["withheld_reason"].str.contains("in the last 13 weeks").all()
    pressed = spared.filter(pl.any_horizontal(pl.col("approach_1", "approach_2", "approach_3") == "scarcity"))
    assert pressed.is_empty()
    assert people["social_proof_sends"].sum() > people["social_proof_responses"].sum() > 0


def test_no_published_file_has_a_column_for_a_trait(demo_run: DemoRun) -> None:
    files = sorted((demo_run.published / "latest").glob("*.parquet"))
    columns = {f"{file.stem}.{column}" for file in files for column in pl.read_parquet_schema(file)}
    assert len(columns) > 100
    assert [name for name in columns if TRAIT.search(name.split(".")[1])] == []


def test_the_report_tells_what_persuades_whom(demo_run: DemoRun) -> None:
    page = (demo_run.published / "latest" / "report.html").read_text(encoding="utf-8")
    assert "What persuades them" in page
    assert "Not a fair comparison." not in page
    assert "asked about a bill in the last 13 weeks" in page
