"""Which weeks a run needs, and which of them have to be built again."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest
from workspace_builder import WorkspaceBuilder

from orchestration.ingest.load import ingest
from orchestration.target_settings import Target
from orchestration.weekly_plan import PlannedWeek, plan_weeks, training_weeks, write_plan
from orchestration.weeks import Week

SCORED = Week.parse("2026-03-16")
EARLIER = Week.parse("2026-02-23")
ORDER_TARGET = {"likely": {"outcome": "order", "within_days": 10, "training_weeks": 2}}


class Plan:
    """A workspace with a database in memory, planned again and again."""

    def __init__(self, workspace: WorkspaceBuilder) -> None:
        self.workspace = workspace
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'")

    def of(self, *weeks: Week, code: str = "code") -> dict[str, PlannedWeek]:
        opened = self.workspace.open()
        ingest(self.connection, opened)
        plan = plan_weeks(self.connection, opened, list(weeks), code)
        write_plan(self.connection, opened, plan)
        return {planned.week.key: planned for planned in plan}

    def build(self, plan: dict[str, PlannedWeek]) -> None:
        """What dbt would write."""
        self.connection.execute("create schema if not exists features")
        rows = [(planned.week.as_of, planned.feature_fingerprint) for planned in plan.values()]
        self.connection.execute(
            "create or replace table features.person_features (as_of date, feature_fingerprint varchar)"
        )
        self.connection.executemany("insert into features.person_features values (?, ?)", rows)


def orders(*days: str, first: int = 1) -> str:
    lines = [f"o{number},{day} 10:00:00,c{number},5" for number, day in enumerate(days, first)]
    return "\n".join(["order_id,ordered_at,contact_id,order_amount", *lines]) + "\n"


@pytest.fixture
def plan(workspace: WorkspaceBuilder) -> Plan:
    workspace.orders().extract("orders.csv", orders("2026-01-05", "2026-02-20"))
    return Plan(workspace)


@pytest.mark.parametrize("within_days", [1, 6, 7, 8, 30, 91])
def test_training_weeks_lie_a_whole_horizon_before_the_scored_week(within_days: int) -> None:
    target = Target(outcome="order", within_days=within_days, training_weeks=3)
    weeks = training_weeks(target, SCORED)
    horizon = timedelta(days=within_days)
    assert len(weeks) == 3
    assert weeks == sorted(weeks, reverse=True)
    assert all(week.as_of + horizon <= SCORED.as_of for week in weeks)
    assert weeks[0].as_of + horizon > SCORED.as_of - timedelta(days=7)


def test_a_label_is_learned_in_the_scored_week_itself() -> None:
    target = Target(outcome="label", label="Churned", positive="Yes", training_weeks=9)
    assert training_weeks(target, SCORED) == [SCORED]


def test_a_run_without_targets_needs_only_its_own_weeks(plan: Plan) -> None:
    found = plan.of(SCORED, SCORED.back(1))
    assert list(found) == [SCORED.back(1).key, SCORED.key]
    assert all(planned.is_scored and planned.build_features for planned in found.values())


def test_training_weeks_join_the_plan_unscored(plan: Plan) -> None:
    plan.workspace.settings(targets=ORDER_TARGET)
    found = plan.of(SCORED)
    assert [key for key, planned in found.items() if not planned.is_scored] == [SCORED.back(3).key, SCORED.back(2).key]
    written = plan.connection.execute("select as_of, as_of_at, is_scored from raw.run_weeks order by as_of").fetchall()
    assert [row[0] for row in written] == [planned.week.as_of for planned in found.values()]
    assert [row[2] for row in written] == [False, False, True]


def test_a_week_needs_two_weeks_of_history_before_it_can_teach(plan: Plan) -> None:
    plan.workspace.settings(targets={"likely": {**ORDER_TARGET["likely"], "training_weeks": 52}})
    found = plan.of(SCORED)
    earliest = min(planned.week.as_of for planned in found.values())
    assert earliest == date(2026, 1, 26)  # the first Monday at least 14 days after the first order, a Monday at 10:00


def test_a_plan_replaces_the_one_before(plan: Plan) -> None:
    plan.of(SCORED, SCORED.back(1))
    plan.of(SCORED)
    assert plan.connection.execute("select count(*) from raw.run_weeks").fetchall() == [(1,)]


def test_a_built_week_is_not_built_again(plan: Plan) -> None:
    plan.build(plan.of(EARLIER, SCORED))
    assert not any(planned.build_features for planned in plan.of(EARLIER, SCORED).values())
    assert all(planned.build_features for planned in plan.of(EARLIER, SCORED, code="changed").values())
    plan.workspace.settings(delivery_grace_hours=0)
    assert all(planned.build_features for planned in plan.of(EARLIER, SCORED).values())


def test_a_file_of_later_weeks_leaves_earlier_weeks_alone(plan: Plan) -> None:
    plan.build(plan.of(EARLIER, SCORED))
    plan.workspace.extract("orders_2.csv", orders("2026-03-18", first=10))
    found = plan.of(EARLIER, SCORED)
    assert (found[EARLIER.key].build_features, found[SCORED.key].build_features) == (False, True)


def test_a_file_that_reaches_back_changes_earlier_weeks(plan: Plan) -> None:
    plan.build(plan.of(EARLIER, SCORED))
    plan.workspace.extract("orders_2.csv", orders("2026-02-10", "2026-03-18", first=10))
    assert all(planned.build_features for planned in plan.of(EARLIER, SCORED).values())


def test_a_file_that_reached_back_and_does_no_more_changes_earlier_weeks_too(plan: Plan) -> None:
    plan.workspace.extract("orders_2.csv", orders("2026-02-10", first=10))
    plan.build(plan.of(EARLIER, SCORED))
    plan.workspace.extract("orders_2.csv", orders("2026-03-18", first=10))
    assert all(planned.build_features for planned in plan.of(EARLIER, SCORED).values())


def test_a_late_delivery_leaves_the_weeks_that_could_not_know_it_alone(plan: Plan) -> None:
    text = (plan.workspace.folder / "mappings" / "orders.yml").read_text()
    plan.workspace.mapping("late", text.replace("files: orders*.csv", "files: late_*.csv\n  delivered_at: '(\\d{8})'"))
    plan.workspace.extract("late_20260105.csv", orders("2026-01-05", first=5))
    plan.build(plan.of(EARLIER, SCORED))
    plan.workspace.extract("late_20260318.csv", orders("2026-02-10", first=10))
    found = plan.of(EARLIER, SCORED)
    assert (found[EARLIER.key].build_features, found[SCORED.key].build_features) == (False, True)


def test_a_row_that_holds_since_ever_changes_every_week(plan: Plan) -> None:
    plan.workspace.mapping(
        "contacts",
        {
            "extract": {"files": "contacts.csv"},
            "entities": {"contacts": {"columns": {"contact_id": "id", "created_at": "created"}}},
        },
    )
    plan.workspace.extract("contacts.csv", "id,created\nc1,2026-03-18\n")
    plan.build(plan.of(EARLIER, SCORED))
    plan.workspace.extract("contacts.csv", "id,created\nc1,2026-03-18\nc2,\n")
    assert all(planned.build_features for planned in plan.of(EARLIER, SCORED).values())
