"""Look-alikes of the demo company: made every week where declared, found by a command where not."""

import json

import polars as pl
import pytest

from activation.people import person_name_sql
from tests.end_to_end.demo_company import LAST_WEEK, DemoRun
from tests.running import personae_here


def read(demo_run: DemoRun, query: str) -> pl.DataFrame:
    import duckdb

    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        return connection.sql(query).pl()


def test_the_list_of_every_week_is_published_with_its_card(demo_run: DemoRun) -> None:
    listed = demo_run.table("lookalikes")
    assert set(listed["lookalike"]) == {"like_api_builders"}
    assert 0 < listed.height <= 60
    seed = read(
        demo_run,
        f"select {person_name_sql('person_id')} as person_id from features.person_features "
        f"where as_of = '{LAST_WEEK.as_of}' and api_called_events_28d >= 3",
    )
    reachable = read(
        demo_run,
        f"select {person_name_sql('person_id')} as person_id from intermediate.int_contactability "
        f"where as_of = '{LAST_WEEK.as_of}' and is_allowed",
    )
    assert not set(listed["person_id"]) & set(seed["person_id"])
    assert set(listed["person_id"]) <= set(reachable["person_id"])
    card = json.loads((demo_run.published / "latest" / "lookalike_model_card_like_api_builders.json").read_text())
    assert card["seed_people"] == seed.height
    assert "api_called_events_28d" not in card["inputs"]
    weeks = read(demo_run, "select count(distinct as_of) as n from ml.lookalike_models where lookalike = 'too_few'")
    assert weeks["n"].item() == 3


def test_the_report_tells_of_the_list_and_of_the_seed_that_will_not_do(demo_run: DemoRun) -> None:
    page = (demo_run.published / "latest" / "report.html").read_text(encoding="utf-8")
    assert "Like api builders" in page and "How precision falls with size" in page
    assert "There is no list:" in page


def test_those_listed_have_an_activation_file_and_hashed_files_hold_only_consent_to_advertising(
    demo_run: DemoRun,
) -> None:
    audience = pl.read_csv(demo_run.state / "activation" / LAST_WEEK.key / "lookalike-like_api_builders.csv")
    assert set(audience["person_id"]) <= set(demo_run.table("lookalikes")["person_id"])
    folder = demo_run.state / "lookalikes" / LAST_WEEK.key
    allowed = read(
        demo_run,
        "select count(*) filter (is_allowed) as n from intermediate.int_advertising_permissions "
        f"where as_of = '{LAST_WEEK.as_of}'",
    )["n"].item()
    manifest = json.loads((folder / "manifest.json").read_text())
    files = manifest["lookalikes"]["like_api_builders"]
    assert {one["file"] for one in files["seed"]} == {
        f"like_api_builders-seed-{name}.csv" for name in ("google", "meta")
    }
    for one in (*files["seed"], *files["lookalikes"]):
        assert one["rows"] <= allowed
        assert "@" not in (folder / one["file"]).read_text()


@pytest.mark.parametrize("growing", [False, True])
def test_a_command_finds_look_alikes_of_a_persona_or_grows_it(demo_run: DemoRun, growing: bool) -> None:
    persona = read(
        demo_run, f"select persona_id from ml.personas where as_of = '{LAST_WEEK.as_of}' order by people limit 1"
    )
    options = ["--grow", "--on", "API,active_days_28d"] if growing else ["--method", "distance"]
    name = "grown" if growing else "found"
    done = personae_here(
        "lookalike", demo_run.folder, "--persona", persona["persona_id"].item(), "--size", 50, "--name", name, *options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "people like a seed of" in done.stdout
    assert "@" not in done.stdout
    folder = demo_run.state / "lookalikes" / name / LAST_WEEK.key
    assert (folder / "model_card.md").is_file()
    assert len(list(folder.glob("*.csv"))) == 8
    assert (folder / "audience" / f"lookalike-{name}.csv").is_file()


def test_a_wrong_name_is_answered_with_the_nearest(demo_run: DemoRun) -> None:
    done = personae_here("lookalike", demo_run.folder, "--seed", "propensity: {order_within_30_day: high}")
    assert done.returncode == 2
    assert "did you mean 'order_within_30_days'?" in done.stderr
