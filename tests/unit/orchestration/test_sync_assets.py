"""A destination in Dagster: plan, sync and receipt with their checks, and which weeks are sent at all."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest
from audience_company import FIRST, AudienceCompany

from activation.destinations.file_drop import FileDrop
from orchestration.defs.sync import sync_assets
from orchestration.sync_events import asset_key
from orchestration.warehouse import Warehouse
from orchestration.weeks import Week

SECOND = FIRST.back(-1)
LONG_AGO = "guards: {max_age_days: 36000}"
DECLARED = f"""\
destinations:
  shelf: {{kind: local_folder, folder: shelf, sync: weekly, {LONG_AGO}}}
  drawer: {{kind: local_folder, folder: drawer, {LONG_AGO}}}
  locked: {{kind: klaviyo, api_key: env:NOT_SET_ANYWHERE, sync: weekly}}
audiences:
  winback:
    people: {{propensity: {{churn: high}}}}
    purpose: email_marketing
    destination: shelf
    attributes: {{first_name: contact.first_name}}
  owls:
    people: {{persona: Night owls}}
    purpose: email_marketing
    destination: drawer
  early:
    people: {{persona: Early birds}}
    purpose: email_marketing
    destination: locked
"""


class Scheduled:
    """The company, with its warehouse in a file, as a run finds it."""

    def __init__(self, company: AudienceCompany) -> None:
        self.company = company.declares(DECLARED)

    def runs(self, *weeks: Week) -> Scheduled:
        self.company.saves(*weeks)
        return self

    def materializes(
        self, name: str, weeks: list[Week], parts: tuple[str, ...] = ("plan", "sync", "receipt"), **config: object
    ) -> dg.ExecuteInProcessResult:
        workspace = self.company.open()
        assets = [one for one in sync_assets(workspace) if asset_key(name, "plan") in one.keys]
        tags = (
            {"dagster/partition": weeks[0].key}
            if len(weeks) == 1
            else {
                "dagster/asset_partition_range_start": weeks[0].key,
                "dagster/asset_partition_range_end": weeks[-1].key,
            }
        )
        run_config = {"ops": {f"sync_{name}": {"config": config}}} if config else None
        return dg.materialize(
            assets,
            selection=[asset_key(name, part) for part in parts],
            resources={"warehouse": Warehouse.of(workspace)},
            tags=tags,
            run_config=run_config,
        )

    @property
    def delivered(self) -> list[str]:
        return sorted(path.name for path in self.company.builder.folder.glob("shelf/*.csv"))


def metadata(done: dg.ExecuteInProcessResult, name: str, part: str) -> dict[str, object]:
    """Of the newest event of an asset."""
    events = done.asset_materializations_for_node(f"sync_{name}")
    found = [one for one in events if one.asset_key == asset_key(name, part)]
    return {key: value.value for key, value in found[-1].metadata.items()}


def made(done: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.path[-1] for event in done.get_asset_materialization_events()}


def checks(done: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {one.check_name: one.passed for one in done.get_asset_check_evaluations()}


@pytest.fixture
def scheduled(tmp_path, monkeypatch):
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    return Scheduled(AudienceCompany(tmp_path))


def test_a_workspace_of_files_alone_has_no_such_assets(tmp_path):
    company = AudienceCompany(tmp_path)
    assert sync_assets(company.open()) == []


def test_a_weekly_destination_is_planned_sent_and_asked_in_the_run(scheduled):
    done = scheduled.runs(FIRST).materializes("shelf", [FIRST])

    assert done.success and made(done) == {"plan", "sync", "receipt"}
    assert checks(done) == {
        "no_guard_speaks_against_it": True,
        "is_brought_up_to_date": True,
        "held_equals_desired": True,
    }
    assert len(scheduled.delivered) == 1
    plan, sent, receipt = (metadata(done, "shelf", part) for part in ("plan", "sync", "receipt"))
    assert plan["operations"] == {"join": 10, "upsert": 0, "leave": 0, "delete": 0}
    assert plan["personal attributes"] == {"winback": ["first_name (contact.first_name)"]}
    assert plan["audiences"]["winback"] == {
        "state": "published",
        "considered": 10,
        "approved": 10,
        "held back by the gate": {},
    }
    assert (sent["state"], sent["dagster/row_count"], sent["refused"]) == ("done", 10, 0)
    assert "sync_changelog where run_id = " in sent["rows"] and sent["run id"] in sent["rows"]
    assert receipt["receipts"] == {"winback": {"as desired": 10}}
    assert "@example.com" not in repr((plan, sent, receipt))


def test_a_destination_that_is_sent_by_hand_has_its_plan_made_and_nothing_sent(scheduled):
    done = scheduled.runs(FIRST).materializes("drawer", [FIRST])

    assert made(done) == {"plan"}
    assert metadata(done, "drawer", "plan")["sent"] == "no; personae sync DIR --destination drawer does"
    assert not (scheduled.company.builder.folder / "drawer").exists()

    assert made(scheduled.materializes("drawer", [FIRST], send=True)) == {"plan", "sync", "receipt"}


def test_who_asks_for_the_plan_alone_gets_the_plan_alone(scheduled):
    done = scheduled.runs(FIRST).materializes("shelf", [FIRST], parts=("plan",))
    assert made(done) == {"plan"} and scheduled.delivered == []


def test_a_check_may_be_asked_for_alone_and_sends_nothing(scheduled):
    workspace = scheduled.runs(FIRST).company.open()
    assets = [one for one in sync_assets(workspace) if asset_key("shelf", "plan") in one.keys]
    check = dg.AssetCheckKey(asset_key("shelf", "plan"), "no_guard_speaks_against_it")
    done = dg.materialize(
        assets,
        selection=dg.AssetSelection.checks(check),
        resources={"warehouse": Warehouse.of(workspace)},
        tags={"dagster/partition": FIRST.key},
    )
    assert checks(done) == {"no_guard_speaks_against_it": True}
    assert made(done) == set() and scheduled.delivered == []


def test_of_a_backfill_the_newest_week_alone_is_sent(scheduled):
    done = scheduled.runs(FIRST, SECOND).materializes("shelf", [FIRST, SECOND])

    assert [name.split("_")[1] for name in scheduled.delivered] == [str(SECOND.as_of)]
    assert metadata(done, "shelf", "sync")["weeks of this run that are not sent"] == FIRST.key


def test_a_week_gone_by_that_is_run_again_is_not_sent(scheduled):
    done = scheduled.runs(FIRST, SECOND).materializes("shelf", [FIRST])

    assert done.success and made(done) == {"plan"} and scheduled.delivered == []
    assert "older than 2026-01-12" in metadata(done, "shelf", "plan")["state"]


def test_a_guard_that_stops_a_sync_fails_the_check_and_not_the_run(scheduled):
    scheduled.runs(FIRST).materializes("shelf", [FIRST])
    scheduled.company.declares(DECLARED.replace("max_age_days: 36000", "max_age_days: 3"))
    done = scheduled.materializes("shelf", [FIRST])

    assert done.success and made(done) == {"plan", "sync"}
    assert checks(done) == {"no_guard_speaks_against_it": False, "is_brought_up_to_date": False}
    told = metadata(done, "shelf", "sync")
    assert told["state"] == "blocked" and "winback is stale" in told["in words"]


def test_a_receipt_that_differs_fails_its_check(scheduled, monkeypatch):
    """Somebody at the destination writes another first name over ours, time and again."""
    scheduled.runs(FIRST)
    read_back = FileDrop.read_back

    def altered(drop, segment):
        for page in read_back(drop, segment):
            yield [replace(one, payload={**one.payload, "first_name": "Nobody"}) for one in page]

    monkeypatch.setattr(FileDrop, "read_back", altered)
    done = scheduled.materializes("shelf", [FIRST])

    assert done.success and made(done) == {"plan", "sync", "receipt"}
    assert checks(done) == {
        "no_guard_speaks_against_it": True,
        "is_brought_up_to_date": False,
        "held_equals_desired": False,
    }
    assert metadata(done, "shelf", "receipt")["receipts"] == {"winback": {"fields differ": 10}}


def test_a_missing_credential_keeps_its_destination_from_being_sent_and_nothing_else(scheduled):
    done = scheduled.runs(FIRST).materializes("locked", [FIRST])

    assert done.success and made(done) == {"plan"}
    assert checks(done) == {"no_guard_speaks_against_it": False}
    assert "the environment variable NOT_SET_ANYWHERE" in str(metadata(done, "locked", "plan"))
