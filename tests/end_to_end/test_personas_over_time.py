"""Personas of the demo company over weeks: run again, run from nothing, turned back, defined, asked why."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from activation.answers import first_row
from activation.people import person_name, person_name_sql
from ml.persona_tracking import INCUMBENT_SCHEMA, place_people
from orchestration.feature_catalogue import read_catalogue
from orchestration.persona_store import PERSONA_TABLES, model_of_week, read_feature_columns
from orchestration.persona_week import run_persona_week
from orchestration.recent_behaviour import read_recent_behaviour
from orchestration.rollbacks import read_rollbacks
from orchestration.turning_back import NothingToTurnBackFrom, turn_back
from orchestration.why import NotFound, Question, explain
from orchestration.workspace import Workspace
from tests.end_to_end.demo_company import LAST_WEEK, DemoRun, published_hashes
from tests.running import personae_here

WEEKS = LAST_WEEK.back(2).until(LAST_WEEK)
# How many personas there are is asked elsewhere; each number more is a model more to be fitted in each of many weeks.
FEW_NUMBERS = {"k": (5, 6)}
DEFINITIONS = """
rename: {persona-01: Night owls}
personas:
  builders:
    name: Builders
    features:
      api_called_events_28d: {at_least: 1}
      automation_run_events_28d: {at_least: 1}
  regulars:
    name: Weekly regulars
    features: {active_weeks_91d: {at_least: 11, weight: 2}, revenue_91d: {at_most: 100}}
"""


class Company:
    """A copy of the demo company's warehouse whose personas are found anew, without dbt."""

    def __init__(self, demo_run: DemoRun, folder: Path) -> None:
        self.folder, self.demo_run = folder, demo_run
        for name in ("personae.yml", "mappings", "contracts"):
            source = demo_run.folder / name
            if source.exists():
                (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        warehouse = folder / ".personae" / "warehouse.duckdb"
        warehouse.parent.mkdir()
        shutil.copy(demo_run.state / "warehouse.duckdb", warehouse)
        self.connection = duckdb.connect(str(warehouse))
        # Every fourth person is enough to tell weeks apart, and costs less than half.
        self.connection.execute("delete from features.person_features where person_id % 4 > 0")
        self.forget()

    def forget(self) -> None:
        for table in PERSONA_TABLES:
            self.connection.execute(f"drop table if exists ml.{table}")

    def open(self, **personas) -> Workspace:
        workspace = Workspace.open(self.folder, self.demo_run.folder)
        settings = workspace.settings.model_copy(
            update={"personas": workspace.settings.personas.model_copy(update=FEW_NUMBERS | personas)}
        )
        return replace(workspace, settings=settings)

    def run(self, workspace: Workspace, weeks=WEEKS) -> None:
        catalogue = read_catalogue(self.connection, workspace, self.demo_run.state / "dbt" / "manifest.json")
        for week in weeks:
            run_persona_week(self.connection, workspace, catalogue, week)

    def tables(self) -> dict[str, pl.DataFrame]:
        return {table: self.connection.sql(f"select * from ml.{table} order by all").pl() for table in PERSONA_TABLES}

    def read(self, query: str) -> pl.DataFrame:
        return self.connection.sql(query).pl()


@pytest.fixture
def company(demo_run: DemoRun, tmp_path: Path):
    one = Company(demo_run, tmp_path)
    yield one
    one.connection.close()


@pytest.fixture(scope="module")
def refitted(demo_run: DemoRun, tmp_path_factory: pytest.TempPathFactory):
    """The company whose model is fitted anew every week. What is run again on it has to leave it as it was."""
    one = Company(demo_run, tmp_path_factory.mktemp("refitted"))
    one.run(one.open(refit_every_weeks=1))
    yield one
    one.connection.close()


def assert_same(before: dict[str, pl.DataFrame], after: dict[str, pl.DataFrame]) -> None:
    for table, frame in before.items():
        assert_frame_equal(frame, after[table], check_exact=True)


def test_running_weeks_again_or_from_nothing_changes_nothing(refitted: Company) -> None:
    workspace = refitted.open(refit_every_weeks=1)
    before = refitted.tables()
    assert before["persona_models"].height == 3
    assert before["persona_weeks"]["code_version"].n_unique() == 1
    refitted.run(workspace, [WEEKS[1]])
    refitted.run(workspace, [WEEKS[0]])
    assert_same(before, refitted.tables())
    refitted.forget()
    for week in WEEKS:
        refitted.run(workspace, [week])
    assert_same(before, refitted.tables())


def test_everybody_moved_stayed_or_was_redrawn_and_ids_live_on(refitted: Company) -> None:
    told = refitted.read("select * from ml.persona_assignments where movement is not null")
    assert set(told["movement"]) <= {"moved", "redrawn", "stayed"}
    both = refitted.read(
        "select now.movement, now.persona_id = before.persona_id as is_same from ml.persona_assignments as now "
        "inner join ml.persona_assignments as before on before.as_of = now.as_of - 7 "
        "and before.person_id = now.person_id and before.persona_type = now.persona_type"
    )
    assert both.height == told.height
    assert (both["is_same"] == (both["movement"] == "stayed")).all()
    assert both["is_same"].mean() > 0.9
    adopted = refitted.read("select * from ml.persona_models where status = 'champion' order by as_of")
    for row in adopted.iter_rows(named=True):
        alive = set(json.loads(row["persona_ids"]).values())
        events = refitted.read(f"select * from ml.persona_ledger where as_of = date '{row['as_of']}'")
        ended = set(events.filter(pl.col("event").is_in(["death", "merge"]))["persona_id"])
        assert alive == set(events["persona_id"]) - ended
        assert (events["reason"].str.len_chars() > 10).all()


def test_a_model_somebody_turned_back_from_is_not_used_whatever_is_built_again(company: Company) -> None:
    open_gate = {"stability": 0.0, "validity": 0.0, "identity": 0.0}
    challenger = company.open().settings.personas.challenger.model_copy(update=open_gate)
    weeks = WEEKS[1:]
    company.run(company.open(refit_every_weeks=1, challenger=challenger), weeks)
    fitted = company.read("select fitted_as_of from ml.persona_weeks order by as_of")["fitted_as_of"].to_list()
    assert fitted == [week.as_of for week in weeks]

    turned = turn_back(company.connection, company.open(), None, "the names made no sense")
    assert (turned.fitted, turned.back_to, turned.weeks) == (WEEKS[2], WEEKS[1], 1)
    assert [one.reason for one in read_rollbacks(company.folder)] == ["the names made no sense"]

    workspace = company.open(refit_every_weeks=1, challenger=challenger)
    company.run(workspace, [WEEKS[2]])
    after = company.tables()
    last = after["persona_models"].filter(pl.col("as_of") == WEEKS[2].as_of).row(0, named=True)
    assert last["status"] == "rolled back" and "the names made no sense" in last["reason"]
    assert after["persona_weeks"]["fitted_as_of"].to_list()[-1] == WEEKS[1].as_of
    company.forget()
    company.run(workspace, weeks)
    again = company.tables()
    # The weeks before were first built under settings that knew of no turning back; all else is the same.
    assert after["persona_weeks"]["settings_hash"].n_unique() == 2
    for tables in (after, again):
        tables["persona_weeks"] = tables["persona_weeks"].drop("settings_hash")
    assert_same(after, again)
    with pytest.raises(NothingToTurnBackFrom, match="is the first one"):
        turn_back(company.connection, workspace, WEEKS[1], "")


def test_what_people_did_of_late_is_what_was_delivered_by_then(company: Company) -> None:
    """Counted from the raw events, not from the day table it is read from."""
    week = WEEKS[1]
    people = company.read(f"select person_id from features.person_features where as_of = date '{week.as_of}'")
    recent = read_recent_behaviour(company.connection, people["person_id"], week, "Europe/Berlin")
    expected = company.read(
        f"""
        select count(*) as events from raw.events as e
        inner join intermediate.int_identities_resolved as i
            on i.identity_kind = case when e.contact_id is not null then 'contact'
                when e.user_id is not null then 'user' else 'device' end
            and i.identity_id = coalesce(e.contact_id, e.user_id, e.device_id)
            and i.valid_from < timestamp '{week.as_of_at("Europe/Berlin")}'
            and coalesce(i.valid_to, timestamp '9999-12-31') >= timestamp '{week.as_of_at("Europe/Berlin")}'
        inner join features.person_features as f on f.person_id = i.person_id and f.as_of = date '{week.as_of}'
        where e.occurred_at >= timestamp '{week.back(1).as_of_at("Europe/Berlin")}'
            and e.occurred_at < timestamp '{week.as_of_at("Europe/Berlin")}'
            and e._delivered_at <= timestamp '{week.as_of_at("Europe/Berlin")}'
        """
    )["events"][0]
    assert recent is not None and recent.this_week["events"].sum() == expected > 500
    assert recent.this_week["person_id"].is_unique().all()
    assert set(recent.weeks_before["week"]) == {1, 2, 3, 4}
    for parts in recent.kinds.values():
        assert (recent.this_week.select(pl.sum_horizontal(list(parts))).to_series() == recent.this_week["events"]).all()


def test_membership_rests_on_what_people_did_and_without_events_on_the_model(company: Company) -> None:
    workspace = company.open()
    company.run(workspace)
    believed = company.tables()["persona_assignments"]
    company.forget()
    company.connection.execute("update intermediate.int_identity_days set event_day = event_day - 4000")
    company.run(workspace)
    unmoved = company.tables()["persona_assignments"]
    first = pl.col("as_of") == WEEKS[0].as_of
    assert_frame_equal(believed.filter(first), unmoved.filter(first))
    both = believed.filter(~first).join(unmoved, on=["as_of", "person_id"])
    assert (both["persona_id"] != both["persona_id_right"]).any()
    assert (company.read("select odds_to_move from ml.persona_weeks order by as_of")["odds_to_move"][1:] >= 4).all()


def test_a_refused_challenger_is_kept_with_the_reason_and_moves_nobody(company: Company) -> None:
    challenger = company.open().settings.personas.challenger.model_copy(update={"validity": 2.0})
    company.run(company.open(refit_every_weeks=1, challenger=challenger))
    models = company.read("select status, reason from ml.persona_models order by as_of")
    assert models["status"].to_list() == ["champion", "rejected", "rejected"]
    assert models["reason"].str.contains("as separate as the standing ones").to_list()[1:] == [True, True]
    assert company.read("select fitted_as_of from ml.persona_weeks")["fitted_as_of"].n_unique() == 1
    assert "redrawn" not in company.read("select movement from ml.persona_assignments")["movement"]


def test_defined_and_found_personas_stand_side_by_side(company: Company) -> None:
    (company.folder / "personas.yml").write_text(DEFINITIONS, encoding="utf-8")
    company.run(company.open())
    builders = company.read(
        "select a.persona_id from features.person_features as f left join ml.persona_assignments as a "
        "on a.as_of = f.as_of and a.person_id = f.person_id and a.persona_type = 'defined_persona' "
        f"where f.as_of = date '{LAST_WEEK.as_of}' and f.api_called_events_28d >= 1 "
        "and f.automation_run_events_28d >= 1 and not (f.active_weeks_91d >= 11 and f.revenue_91d <= 100)"
    )
    assert builders.height > 10
    assert set(builders["persona_id"]) == {"defined-builders"}
    personas = company.read(f"select * from ml.personas where as_of = date '{LAST_WEEK.as_of}' order by persona_id")
    names = dict(personas.select("persona_id", "persona_name").iter_rows())
    assert names["persona-01"] == "Night owls" and names["defined-builders"] == "Builders"
    assert personas["persona_name"].str.to_lowercase().is_unique().all()
    support = company.read(f"select * from ml.defined_persona_support where as_of = date '{LAST_WEEK.as_of}'")
    assert support["stability"].is_between(0, 1).all() and support["nearest_persona_id"].null_count() == 0
    assert company.read("select distinct as_of from ml.defined_persona_models")["as_of"].to_list() == [WEEKS[0].as_of]


def test_why_says_persona_likelihood_and_audience_and_names_nobody(demo_run: DemoRun) -> None:
    memberships = demo_run.table("segment_memberships").filter(pl.col("segment_type") == "persona")
    person, own = memberships.row(7, named=True)["person_id"], memberships.row(7, named=True)["segment_id"]
    done = personae_here("why", demo_run.folder, person)
    assert done.returncode == 0, done.stdout + done.stderr
    for part in (own, "what decided it", "What is likely", "Audiences"):
        assert part in done.stdout
    assert "be contacted over email for email_marketing" in done.stdout
    assert not re.search(r"[\w.+-]+@[\w-]+\.\w+", done.stdout)
    other = next(one for one in sorted(set(memberships["segment_id"])) if one != own)
    against = personae_here("why", demo_run.folder, person, "--not", other, "--week", LAST_WEEK.back(1).key)
    assert against.returncode == 0 and other in against.stdout


def test_why_finds_a_person_by_contact_id_and_says_who_is_unknown(demo_run: DemoRun) -> None:
    workspace = Workspace.open(demo_run.folder)
    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        catalogue = read_catalogue(connection, workspace, demo_run.state / "dbt" / "manifest.json")
        contact, person = first_row(
            connection,
            f"select i.identity_id, {person_name_sql('i.person_id')} "
            "from intermediate.int_identities_resolved as i "
            "inner join ml.persona_assignments as a on a.person_id = i.person_id and a.as_of = ? "
            "where i.identity_kind = 'contact' and i.valid_to is null order by 1 limit 1",
            [LAST_WEEK.as_of],
        )
        assert explain(connection, workspace, catalogue, Question(contact))[0].startswith(f"Person {person}, week")
        with pytest.raises(NotFound, match="nobody is known by this person id, contact id or address"):
            explain(connection, workspace, catalogue, Question("who"))
        with pytest.raises(NotFound, match="was not run; there are weeks from"):
            explain(connection, workspace, catalogue, Question(contact, LAST_WEEK.back(40)))
        with pytest.raises(NotFound, match="there is no persona 'persona-88'"):
            explain(connection, workspace, catalogue, Question(contact, not_in="persona-88"))


def test_why_says_where_the_model_alone_would_put_somebody(demo_run: DemoRun) -> None:
    workspace = Workspace.open(demo_run.folder)
    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        catalogue = read_catalogue(connection, workspace, demo_run.state / "dbt" / "manifest.json")
        standing = model_of_week(connection, LAST_WEEK)
        features = read_feature_columns(connection, standing.model.preparation.features_, LAST_WEEK)
        alone = place_people(standing.personas, features, pl.DataFrame(schema=INCUMBENT_SCHEMA))
        published = demo_run.table("segment_memberships").filter(pl.col("segment_type") == "persona")
        named = alone.with_columns(pl.col("person_id").map_elements(person_name, pl.String))
        both = named.join(published.select("person_id", "segment_id"), on="person_id").sort("person_id")
        for is_same in (True, False):
            some = both.filter((pl.col("persona_id") == pl.col("segment_id")) == is_same)
            told = explain(connection, workspace, catalogue, Question(some["person_id"][0]))
            assert any("the model alone" in line for line in told) != is_same


def test_a_published_week_says_what_it_was_made_from(demo_run: DemoRun) -> None:
    manifests = [
        json.loads((demo_run.published / week.key / "manifest.json").read_text(encoding="utf-8")) for week in WEEKS
    ]
    for manifest in manifests:
        made_from = manifest["made_from"]
        assert all(made_from[name] for name in ("model_id", "feature_fingerprint", "settings_hash", "code_version"))
    assert len({one["made_from"]["feature_fingerprint"] for one in manifests}) == len(WEEKS)
    hashes = published_hashes(demo_run.folder)
    assert len(hashes) >= 4 * 8
