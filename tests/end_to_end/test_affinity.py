"""Brand affinity of the demo company: who cares for what shows in what they look for, read, write and are called."""

import polars as pl
import yaml

from activation.people import person_name_sql
from tests.end_to_end.demo_company import BRAND, LAST_WEEK, DemoRun
from tests.running import personae_here


def read(demo_run: DemoRun, query: str) -> pl.DataFrame:
    import duckdb

    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        return connection.sql(query).pl()


def test_everybody_who_may_be_profiled_has_a_score_or_a_reason_per_group(demo_run: DemoRun) -> None:
    affinities = demo_run.table("person_affinities")
    groups = affinities.filter(pl.col("phrase").is_null())
    people = read(
        demo_run,
        f"select {person_name_sql('person_id')} as person_id from intermediate.int_people "
        f"where as_of = '{LAST_WEEK.as_of}'",
    )
    assert groups.height == 4 * people.height
    assert set(affinities["person_id"]) == set(people["person_id"])
    assert (groups["score"].is_null() == groups["abstained_reason"].is_not_null()).all()
    assert groups["abstained_reason"].is_not_null().mean() < 0.5
    assert affinities.drop_nulls("phrase")["score"].is_between(0, 1, closed="right").all()


def test_bargain_seekers_care_for_prices_and_builders_for_the_api(demo_run: DemoRun) -> None:
    scores = demo_run.table("person_affinities").drop_nulls("phrase").pivot("phrase", index="person_id", values="score")
    truth = pl.read_parquet(demo_run.folder / "truth" / "weeks" / f"{LAST_WEEK.as_of}.parquet")
    contacts = pl.read_parquet(demo_run.folder / "truth" / "people.parquet").explode("contact_ids")
    persons = read(
        demo_run,
        "select identity_id as contact_ids, format('p_{:016x}', arg_max(person_id, valid_from)) as person_id "
        "from intermediate.int_identities_resolved where identity_kind = 'contact' group by all",
    )
    humans = contacts.join(persons, on="contact_ids").unique("person_id").join(truth, on="human_id")
    means = (
        humans.join(scores, on="person_id", how="left")
        .group_by("persona")
        .agg(pl.col("pricing", "API", "tutorial").fill_null(0).mean())
    )
    highest = {phrase: means.sort(phrase)["persona"][-1] for phrase in ("pricing", "API", "tutorial")}
    assert highest == {"pricing": "bargain_seeker", "API": "automation_builder", "tutorial": "learner"}


def test_job_titles_say_who_is_a_target_and_evidence_says_why(demo_run: DemoRun) -> None:
    engineers = demo_run.table("person_affinities").filter(pl.col("phrase") == "engineer")
    assert engineers.height > 20
    stated = engineers.filter(pl.col("evidence_1").str.contains("job title: (lead|software) engineer"))
    assert stated.height > 20
    assert (stated["score"] >= 0.5).all()


def test_evidence_names_nobody(demo_run: DemoRun) -> None:
    told = demo_run.table("person_affinities").select(pl.concat_str(pl.col("^evidence_.$"), ignore_nulls=True))
    assert not told.to_series().str.contains("@").any()


def test_texts_of_the_weeks_were_scored_once(demo_run: DemoRun) -> None:
    told = read(demo_run, "select count(*) as rows, count(distinct text_id) as texts from ml.scored_texts").row(0)
    assert told[0] == told[1] > 50
    assert read(demo_run, "select count(distinct model_id) as n from ml.phrase_models")["n"].item() == 1


def test_phrases_are_proposed_with_evidence_and_enter_nothing(demo_run: DemoRun) -> None:
    before = (demo_run.folder / "brand" / "phrases.yml").read_bytes()
    done = personae_here("suggest-phrases", demo_run.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    proposal = demo_run.folder / "brand" / "phrases.proposed.yml"
    proposed = yaml.safe_load(proposal.read_text(encoding="utf-8"))
    listed = yaml.safe_load((BRAND / "phrases.yml").read_text(encoding="utf-8"))
    assert set(proposed) == {"triggers", "events", "targets"}
    assert "havelgrid" not in proposed["triggers"]  # a name of the brief already
    assert not set(listed["triggers"][2:3]) & set(proposed["triggers"])
    assert len(proposed["triggers"]) >= 3
    assert "people say it" in done.stdout and "keyness" in done.stdout
    assert (demo_run.folder / "brand" / "phrases.yml").read_bytes() == before
    proposal.unlink()
