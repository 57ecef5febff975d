"""The event log that stays open: Dagster's own storage reads what it wrote, and tables that come later are found."""

from pathlib import Path

import dagster as dg
from dagster import AssetRecordsFilter, DagsterEvent, DagsterEventType, EventLogEntry, EventRecordsResult
from dagster._core.events import StepMaterializationData
from dagster._core.storage.event_log import SqliteEventLogStorage

from orchestration.event_log import OpenSqliteEventLogStorage


@dg.asset(check_specs=[dg.AssetCheckSpec("is_there", asset="people")])
def people():
    return dg.MaterializeResult(
        metadata={"rows": 3}, check_results=[dg.AssetCheckResult(check_name="is_there", passed=True)]
    )


def test_dagsters_own_storage_reads_what_this_one_wrote(tmp_path: Path) -> None:
    storage = {
        "module": "orchestration.event_log",
        "class": "OpenSqliteEventLogStorage",
        "config": {"base_dir": str(tmp_path / "events")},
    }
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"event_log_storage": storage}) as instance:
        runs = [dg.materialize([people], instance=instance).run_id for _ in range(2)]
        written = {run: [event.dagster_event_type for event in instance.all_logs(run)] for run in runs}
    assert all(dg.DagsterEventType.ASSET_CHECK_EVALUATION in events for events in written.values())
    own = SqliteEventLogStorage(str(tmp_path / "events"))
    assert {run: [event.dagster_event_type for event in own.get_logs_for_run(run)] for run in runs} == written
    (record,) = own.get_asset_records([people.key])
    assert record.asset_entry.last_run_id == runs[-1]
    assert record.asset_entry.last_materialization is not None


def test_a_table_that_comes_later_is_found(tmp_path: Path) -> None:
    storage = OpenSqliteEventLogStorage(str(tmp_path))
    try:
        assert storage.has_table("asset_keys") and storage.has_table("asset_keys")
        assert not storage.has_table("later")
        with storage.index_connection() as connection:
            connection.exec_driver_sql("create table later (id integer)")
        assert storage.has_table("later")
    finally:
        storage.dispose()


def test_the_latest_event_of_a_week_is_the_one_that_dagsters_own_storage_finds(tmp_path: Path) -> None:
    weeks = ("2026-11-02", "2026-11-09")
    here, elsewhere = OpenSqliteEventLogStorage(str(tmp_path)), SqliteEventLogStorage(str(tmp_path))

    def store(storage: SqliteEventLogStorage, run_id: str, week: str) -> None:
        told = StepMaterializationData(dg.AssetMaterialization(people.key, partition=week))
        event = DagsterEvent(DagsterEventType.ASSET_MATERIALIZATION.value, "weekly", event_specific_data=told)
        storage.store_event(EventLogEntry(None, "INFO", "", run_id, 0.0, dagster_event=event))

    def latest(storage: SqliteEventLogStorage) -> list[EventRecordsResult]:
        return [storage.fetch_materializations(AssetRecordsFilter(people.key, [week]), limit=1) for week in weeks]

    try:
        store(here, "first", weeks[0])
        store(here, "second", weeks[0])
        assert [result.records and result.records[0].run_id for result in latest(here)] == ["second", []]
        assert latest(here) == latest(elsewhere)
        store(elsewhere, "another process", weeks[0])
        assert latest(here)[0].records[0].run_id == "another process"
        assert latest(here) == latest(elsewhere)
        store(here, "third", weeks[1])
        here.wipe_asset(people.key)
        assert latest(here) == latest(elsewhere)
    finally:
        here.dispose()
