"""What suits whom and what it is worth, on the demo company: what was planted is found, and nothing is made up."""

import json

import polars as pl
import pytest

from examples.demo import company
from orchestration.preference_week import DIMENSIONS
from tests.end_to_end.demo_company import LAST_WEEK, DemoRun


@pytest.fixture(scope="module")
def planted(demo_run: DemoRun) -> dict[str, str]:
    """For each persona that was found, the planted one that most of its people are of."""
    import duckdb

    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        contacts = connection.sql(
            "select identity_id as contact_id, format('p_{:016x}', arg_max(person_id, valid_from)) as person_id "
            "from intermediate.int_identities_resolved where identity_kind = 'contact' "
            "group by identity_id order by all"
        ).pl()
    people = pl.read_parquet(demo_run.folder / "truth" / "people.parquet").explode("contact_ids")
    truth = pl.read_parquet(demo_run.folder / "truth" / "weeks" / f"{LAST_WEEK.as_of}.parquet")
    found = demo_run.table("segment_memberships").filter(pl.col("segment_type") == "persona")
    most = (
        found.join(contacts, on="person_id")
        .join(people.select("human_id", contact_id="contact_ids"), on="contact_id")
        .join(truth, on="human_id")
        .group_by("segment_id", "persona")
        .len()
        .sort("len")
        .unique("segment_id", keep="last", maintain_order=True)
    )
    return dict(most.select("segment_id", "persona").iter_rows())


def _told(demo_run: DemoRun, dimension: str) -> dict[str, str]:
    rows = demo_run.table("segment_preferences").filter(
        pl.col("dimension") == dimension, pl.col("segment_type") == "persona", pl.col("best_value").is_not_null()
    )
    return dict(rows.select("segment_id", "best_value").iter_rows())


def test_planted_offers_are_found(demo_run: DemoRun, planted: dict[str, str]) -> None:
    best = {}
    for number, persona in enumerate(company.PERSONAS):
        clicks = {offer: opens[number] * given[number] for _, offer, opens, given in company.CAMPAIGNS}
        best[persona] = max(clicks, key=clicks.__getitem__)
    told = _told(demo_run, "offer")
    right = [value == best[planted[segment]] for segment, value in told.items() if planted[segment] != "drifting_away"]
    assert len(right) >= 3 and sum(right) >= len(right) - 1


def test_planted_contents_are_never_told_the_wrong_way_round(demo_run: DemoRun, planted: dict[str, str]) -> None:
    likes_long = dict(zip(company.PERSONAS, company.LONG_TEXT_FACTOR, strict=True))
    for segment, value in _told(demo_run, "content").items():
        factor = likes_long[planted[segment]]
        assert factor == 1 or value == ("long_text" if factor > 1 else "short_text")


def test_planted_sales_channels_are_found(demo_run: DemoRun, planted: dict[str, str]) -> None:
    weights = dict(zip(company.PERSONAS, company.SALES_CHANNEL_WEIGHTS, strict=True))
    told = _told(demo_run, "purchase_channel")
    assert told
    for segment, value in told.items():
        by_channel = dict(zip(company.SALES_CHANNELS, weights[planted[segment]], strict=True))
        assert by_channel[value] > 30


def test_every_persona_has_a_row_per_dimension_with_a_value_or_a_reason(demo_run: DemoRun) -> None:
    rows = demo_run.table("segment_preferences")
    segments = rows["segment_id"].n_unique()
    assert rows.height == segments * len(DIMENSIONS) and segments >= 4
    assert (rows["best_value"].is_null() == rows["abstained_reason"].is_not_null()).all()
    channel = rows.filter(dimension="channel")
    assert channel["abstained_reason"].str.contains("nothing but 'email'").all()


def test_every_person_told_of_has_evidence(demo_run: DemoRun) -> None:
    rows = demo_run.table("person_preferences")
    members = demo_run.table("segment_memberships")["person_id"].unique()
    assert rows.height > 1000 and rows["person_id"].is_in(members.implode()).all()
    assert not rows.select("person_id", "dimension").is_duplicated().any()
    assert (rows["evidence"] > 0).all() and (rows["answers"] <= rows["evidence"]).all()
    assert (rows["best_value"].is_null() == rows["abstained_reason"].is_not_null()).all()


def test_value_adds_up_from_people_to_everybody(demo_run: DemoRun) -> None:
    people, segments = demo_run.table("person_values"), demo_run.table("segment_values")
    everybody = segments.filter(segment_type="everybody").row(0, named=True)
    assert people.height == everybody["buyers"] > 100
    assert people["expected_value"].sum() == pytest.approx(everybody["expected_value"], rel=1e-6)
    assert everybody["expected_value_low"] < everybody["expected_value"] < everybody["expected_value_high"]
    # Nobody is expected to buy much more often than people of the demo company do: one in ten within thirty days.
    assert 0.05 < people["expected_purchases"].mean() < 1.5
    assert people["rfm_segment"].null_count() == 0


def test_cut_points_of_scores_stay_from_week_to_week(demo_run: DemoRun) -> None:
    import duckdb

    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute("select distinct rfm_cuts, rfm_cuts_as_of from ml.value_models").fetchall()
    assert len(rows) == 1 and json.loads(rows[0][0])["frequency"]


def test_campaigns_with_too_few_people_are_refused_with_a_reason(demo_run: DemoRun) -> None:
    rows = demo_run.table("uplift_results")
    assert rows.height == 2
    assert rows["abstained_reason"].str.contains("fewer than 200 people").all()


def test_the_report_tells_it(demo_run: DemoRun) -> None:
    html = (demo_run.published / "latest" / "report.html").read_text(encoding="utf-8")
    for words in (
        "What suits whom",
        "What they will probably still buy",
        "What campaigns brought about",
        "20 percent off",
    ):
        assert words in html
