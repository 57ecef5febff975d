"""When the weekly job starts by itself: on Mondays in the workspace's time zone, and when extracts have landed."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from orchestration.defs.schedule import RUN_TAGS, monday_schedule, new_extracts_sensor, weekly_job
from orchestration.workspace import Workspace

SETTINGS = "company: Acme\ntimezone: Europe/Berlin\nfirst_week: 2026-09-07\nschedule: {hour: 5, minute: 30}\n"
MAPPING = "extract: {files: 'orders_*.csv'}\nentities: {orders: {columns: {order_id: id, ordered_at: at}}}\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "personae.yml").write_text(SETTINGS)
    (tmp_path / "mappings" / "orders.yml").write_text(MAPPING)
    (tmp_path / "orders_1.csv").write_text("id,at\n1,2026-10-01\n")
    return Workspace.open(tmp_path)


def test_on_a_monday_the_week_that_has_just_ended_is_run(workspace: Workspace) -> None:
    schedule = monday_schedule(workspace, weekly_job())
    assert schedule.cron_schedule == "30 5 * * 1" and schedule.execution_timezone == "Europe/Berlin"
    early_monday = datetime(2026, 11, 9, 4, 30, tzinfo=UTC)
    request = schedule(dg.build_schedule_context(scheduled_execution_time=early_monday))
    assert isinstance(request, dg.RunRequest) and request.partition_key == "2026-11-02"


def test_before_the_first_week_nothing_is_run(workspace: Workspace) -> None:
    schedule = monday_schedule(workspace, weekly_job())
    skipped = schedule(dg.build_schedule_context(scheduled_execution_time=datetime(2026, 9, 7, 4, 30, tzinfo=UTC)))
    assert isinstance(skipped, dg.SkipReason)


def test_only_new_or_changed_extracts_start_a_run(workspace: Workspace) -> None:
    sensor = new_extracts_sensor(workspace, weekly_job())

    def look(cursor: str | None) -> tuple[object, str | None]:
        context = dg.build_sensor_context(cursor=cursor)
        return sensor(context), context.cursor

    first, cursor = look(None)
    assert isinstance(first, dg.SkipReason)
    assert isinstance(look(cursor)[0], dg.SkipReason)
    (workspace.folder / "orders_2.csv").write_text("id,at\n2,2026-10-08\n")
    landed, cursor = look(cursor)
    assert isinstance(landed, dg.RunRequest)
    assert isinstance(look(cursor)[0], dg.SkipReason)


def test_failed_runs_are_tried_again() -> None:
    assert RUN_TAGS == {"dagster/max_retries": "2"}
