"""The adoption curve of the demo company: planted innovativeness is found, and classes move only with evidence."""

import json

import duckdb
import polars as pl
from scipy.stats import spearmanr

from activation.people import person_name_sql
from tests.end_to_end.demo_company import LAST_WEEK, WEEKS, DemoRun


def read(demo_run: DemoRun, query: str) -> pl.DataFrame:
    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        return connection.sql(query).pl()


def with_truth(demo_run: DemoRun) -> pl.DataFrame:
    """The classes of the last week with what was planted."""
    persons = read(
        demo_run,
        "select identity_id as contact_ids, format('p_{:016x}', arg_max(person_id, valid_from)) as person_id "
        "from intermediate.int_identities_resolved where identity_kind = 'contact' group by all",
    )
    humans = pl.read_parquet(demo_run.folder / "truth" / "people.parquet").explode("contact_ids")
    truth = pl.read_parquet(demo_run.folder / "truth" / "adoption.parquet")
    return (
        humans.join(persons, on="contact_ids")
        .unique("person_id")
        .join(truth, on="human_id")
        .join(demo_run.table("adoption_classes"), on="person_id")
    )


def test_everybody_who_may_be_profiled_has_a_class_or_a_reason(demo_run: DemoRun) -> None:
    classes = demo_run.table("adoption_classes")
    people = read(
        demo_run,
        f"select {person_name_sql('person_id')} as person_id from intermediate.int_people "
        f"where as_of = '{LAST_WEEK.as_of}'",
    )
    assert set(classes["person_id"]) == set(people["person_id"])
    nowhere = pl.col("adoption_class") == "unclassified"
    assert classes.select((nowhere == pl.col("abstained_reason").is_not_null()).all()).item()
    assert 0.6 < classes.select((~nowhere).mean()).item() < 1
    placed = demo_run.table("segment_memberships").filter(segment_type="adoption_class")
    assert set(placed["person_id"]) == set(classes.filter(~nowhere)["person_id"])


def test_planted_innovativeness_and_influence_are_found(demo_run: DemoRun) -> None:
    known = with_truth(demo_run)
    placed = known.drop_nulls("innovativeness_right")
    assert spearmanr(placed["innovativeness"], placed["innovativeness_right"]).statistic >= 0.5
    influencers = known.filter(pl.col("adoption_class") == "influencer")
    assert influencers.height >= 5 and influencers["is_influencer"].mean() >= 0.8


def test_cut_points_stand_and_nobody_moves_without_evidence(demo_run: DemoRun) -> None:
    models = read(demo_run, "select as_of, model from ml.adoption_models")
    first, second = (demo_run.table("adoption_classes", LAST_WEEK.back(back).key) for back in (1, 0))
    assert models.height == 1 and models["as_of"][0] == LAST_WEEK.back(WEEKS - 1).as_of
    shares = json.loads(models["model"][0])["shares"]
    assert abs(shares[0] - 0.025) < 0.005 and abs(shares[1] - 0.135) < 0.01
    scores = read(
        demo_run, f"select as_of, {person_name_sql('person_id')} as person_id, evidence from ml.adoption_scores"
    )
    earlier, later = (
        scores.filter(pl.col("as_of") == LAST_WEEK.back(back).as_of).select("person_id", "evidence") for back in (1, 0)
    )
    both = first.join(second, on="person_id", suffix="_now").join(earlier, on="person_id")
    both = both.join(later, on="person_id", suffix="_now")
    same = both.filter(pl.col("evidence") == pl.col("evidence_now"))
    assert same.height > 300 and same["curve_class"].equals(same["curve_class_now"], null_equal=True)
    moves = demo_run.table("segment_migrations").filter(segment_type="adoption_class")
    changed = both.filter(pl.col("adoption_class") != pl.col("adoption_class_now")).height
    assert moves.drop_nulls(["from_segment_id", "to_segment_id"])["moved_people"].sum() == changed


def test_the_report_shows_classes_curves_and_what_speaks_for_them(demo_run: DemoRun) -> None:
    page = (demo_run.published / "latest" / "report.html").read_text(encoding="utf-8")
    assert "Who tries new things early" in page and "The classes are withheld" not in page
    assert "Earlier classes did try" in page and "Early Majority" in page
    figures = demo_run.table("adoption_validity")
    assert figures.filter(measure="log_rank_p")["value"].item() < 0.001
    assert figures.filter(measure="first_adopter_lift")["value"].item() > 1.5
