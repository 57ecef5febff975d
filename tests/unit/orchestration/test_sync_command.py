"""`personae sync`: what it prints, what it ends with, and that nobody runs into anybody."""

from __future__ import annotations

import fcntl
import re

import duckdb
import pytest
from audience_company import FIRST, AudienceCompany
from typer.testing import CliRunner, Result

from activation.answers import first_row
from orchestration import warehouse
from orchestration.cli import EXIT_RUN_FAILED, EXIT_WRONG_SETTING, app
from orchestration.dagster_home import open_instance
from orchestration.sync_events import asset_key

SECOND = FIRST.back(-1)
DECLARED = """\
destinations:
  shelf: {kind: local_folder, folder: shelf, guards: {max_age_days: 36000, removal_floor: 3}}
audiences:
  winback:
    people: {propensity: {churn: high}}
    purpose: email_marketing
    destination: shelf
    attributes: {first_name: contact.first_name}
"""
LOCKED = "destinations:\n  locked: {kind: klaviyo, api_key: env:NOT_SET_ANYWHERE}\n" + DECLARED.partition("\n")[2]


@pytest.fixture
def company(tmp_path, monkeypatch):
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    return AudienceCompany(tmp_path).declares(DECLARED)


def sync(company: AudienceCompany, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["sync", str(company.builder.folder), *arguments])


def test_it_says_what_it_did_and_what_the_destination_holds(company):
    company.saves(FIRST)
    done = sync(company)

    assert done.exit_code == 0, done.output
    assert (
        "shelf (local_folder), week 2026-01-05: it holds whom the gate let through and nobody else of ours"
        in done.output
    )
    assert "winback (mirror): 10 people wanted, 0 are there; 10 join, 0 change, 0 leave" in done.output
    assert "personal attributes: first_name (contact.first_name)" in done.output
    assert "receipt    winback: as desired (10 as desired)" in done.output
    run_id = re.search(r"where run_id = '(\S+)'", done.output)
    with duckdb.connect(str(company.open().warehouse_file), read_only=True) as connection:
        rows = first_row(connection, "select count(*) from activation.sync_changelog where run_id = ?", [run_id[1]])
        assert rows[0] > 0
    assert "@example.com" not in done.output


def test_the_lineage_shows_what_was_sent_from_the_shell(company):
    sync(company.saves(FIRST))
    instance = open_instance(company.open())
    try:
        event = instance.get_latest_materialization_event(asset_key("shelf", "receipt"))
        assert event.asset_materialization.partition == FIRST.key
        assert event.asset_materialization.metadata["people that differ"].value == 0
    finally:
        instance.dispose()


def test_what_was_sent_counts_also_where_dagster_cannot_be_told(company, monkeypatch):
    def unavailable(*_):
        raise OSError("the disk of p000@example.com is full")

    monkeypatch.setattr("orchestration.sync_command.tell_dagster", unavailable)
    done = sync(company.saves(FIRST))
    assert done.exit_code == 0
    assert "Dagster could not be told of it (OSError)" in done.output and "@example.com" not in done.output


def test_a_plan_is_printed_and_nothing_is_sent(company):
    done = sync(company.saves(FIRST), "--plan")

    assert done.exit_code == 0, done.output
    assert "the plan is made, nothing was sent" in done.output and "10 rows" in done.output
    assert not (company.builder.folder / "shelf").exists()


def test_a_guard_ends_it_with_status_one_and_somebody_may_lift_it(company):
    sync(company.saves(FIRST))
    company.declares(DECLARED.replace("{propensity: {churn: high}}", "{features: {orders_91d: {at_least: 1000}}}"))
    stopped = sync(company)

    assert stopped.exit_code == EXIT_RUN_FAILED
    assert "a guard or the gate stopped it before anything was sent" in stopped.output
    assert "winback is empty, and 10 people are there" in stopped.output
    assert f"personae sync {company.builder.folder} --destination shelf --allow-mass-removal" in stopped.output

    lifted = sync(company, "--destination", "shelf", "--allow-mass-removal")
    assert lifted.exit_code == 0, lifted.output


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (DECLARED, ["--destination", "shlef"], "activation.yml: 'shlef' is no destination; did you mean 'shelf'?"),
        (LOCKED, [], "activation.yml:2: A credential is missing: the environment variable NOT_SET_ANYWHERE"),
        (DECLARED, ["--week", "2026-02-02"], "run that week again first"),
        (DECLARED.replace("local_folder", "local_foldr"), [], "activation.yml:2: 'local_foldr' is no kind of"),
        (
            "audiences:\n  news: {people: {persona: Night owls}, purpose: email_marketing}\n",
            [],
            "no destination is declared",
        ),
    ],
)
def test_a_wrong_setting_ends_it_with_status_two_in_one_line(company, text, arguments, message):
    company.saves(FIRST)
    company.declares(text.replace("destination: shelf", "destination: locked") if text == LOCKED else text)
    done = sync(company, *arguments)

    assert done.exit_code == EXIT_WRONG_SETTING, done.output
    assert message in done.output and len(done.output.strip().splitlines()) == 1


def test_a_destination_that_is_not_declared_any_more_and_holds_people_is_told_of(company):
    sync(company.saves(FIRST))
    company.declares(DECLARED.replace("shelf:", "board:").replace("destination: shelf", "destination: board"))
    done = sync(company, "--plan")
    assert "shelf is not declared any more and holds 10 people of ours" in done.output

    company.declares(
        DECLARED.replace("  shelf:", "  shelf: {kind: local_folder, folder: shelf}\n  board:").replace(
            "destination: shelf", "destination: board"
        )
    )
    assert sync(company, "--destination", "shelf", "--allow-mass-removal").exit_code == EXIT_RUN_FAILED  # a stale week
    company.declares(
        DECLARED.replace("  shelf:", "  board: {kind: local_folder, folder: board}\n  shelf:").replace(
            "destination: shelf", "destination: board"
        )
    )
    assert sync(company, "--destination", "shelf", "--allow-mass-removal").exit_code == 0
    company.declares(DECLARED.replace("shelf:", "board:").replace("destination: shelf", "destination: board"))
    assert "is not declared any more" not in sync(company, "--plan").output


def test_before_the_first_run_there_is_nothing_to_send(company):
    done = sync(company)
    assert (done.exit_code, done.output.strip()) == (2, "no week was run yet; `personae run DIR` first")


def test_a_week_older_than_the_one_that_was_sent_is_refused(company):
    sync(company.saves(FIRST, SECOND))
    done = sync(company, "--week", FIRST.key)
    assert done.exit_code == EXIT_WRONG_SETTING and "was given the week 2026-01-12 already" in done.output


def test_two_at_the_same_time_do_not_run_into_each_other(company):
    company.saves(FIRST)
    with (company.open().state_folder / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = sync(company)
    assert done.exit_code == EXIT_RUN_FAILED
    assert done.output.strip() == "another run or sync of this workspace is going on; try again when it is over"


def test_beside_a_run_that_dagster_started_it_waits_and_then_says_why_it_did_not_begin(company, monkeypatch):
    """DuckDB takes one writing process, and a run of Dagster's holds no lock but the warehouse's."""
    company.saves(FIRST)
    monkeypatch.setattr(warehouse, "WAIT_FOR_LOCK_SECONDS", 0.2)

    def locked(*_, **__):
        raise duckdb.IOException("Could not set lock on file: Conflicting lock is held")

    monkeypatch.setattr(duckdb, "connect", locked)
    done = sync(company)
    assert done.exit_code == EXIT_RUN_FAILED
    assert done.output.strip().endswith("another run is writing to this workspace's warehouse; try again")
