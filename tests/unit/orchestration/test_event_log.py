"""The event log that stays open: Dagster's own storage reads what it wrote, and tables that come later are found."""

from pathlib import Path

import dagster as dg
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
