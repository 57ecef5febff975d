"""A run that dies at any moment is repaired by running again; weeks run one by one, together or twice are the same."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from orchestration.weeks import Week
from orchestration.workspace import Workspace
from tests.end_to_end.demo_company import LAST_WEEK, WEEKS, DemoRun, published_hashes
from tests.running import begin_copy, personae_copy

FIRST_WEEK, SECOND_WEEK = LAST_WEEK.back(WEEKS - 1), LAST_WEEK.back(WEEKS - 2)


class Reader(threading.Thread):
    """Opens `published/latest` again and again, and notes whether it ever saw half a week.

    Files are read when anything of them changed since the last look; else the answer would be the same.
    """

    def __init__(self, published: Path) -> None:
        super().__init__(daemon=True)
        self.published, self.stopped, self.looks = published, threading.Event(), 0
        self.mixed: list[set[object]] = []

    def run(self) -> None:
        seen: list[object] = []
        while not self.stopped.wait(0.02):
            latest = self.published / "latest"
            if not latest.exists():
                continue
            folder = latest.resolve()
            files = sorted((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in os.scandir(folder))
            self.looks += 1
            if [folder, *files] == seen:
                continue
            seen = [folder, *files]
            weeks = {
                as_of
                for name in ("segment_memberships", "segment_kpis", "person_propensities")
                for as_of in pl.read_parquet(folder / f"{name}.parquet")["as_of"].unique().to_list()
            }
            if len(weeks) != 1 or not (folder / "report.html").is_file():
                self.mixed.append(weeks)


def kill_when(folder: Path, arguments: list[object], is_time: Callable[[str], bool]) -> str:
    """Start a run, and kill -9 it as soon as `is_time` says so of what it printed; returns that."""
    with tempfile.NamedTemporaryFile() as printed:
        process = begin_copy("run", folder, *arguments, output=printed)
        output, deadline = "", time.monotonic() + 900
        while time.monotonic() < deadline:
            output = Path(printed.name).read_text(encoding="utf-8")
            if is_time(output):
                break
            assert not process.has_ended(), f"the run ended before it was killed:\n{output}"
            time.sleep(0.03)
        process.kill()
        assert process.wait() == 128 + signal.SIGKILL
    return output


def _loading_has_begun(folder: Path) -> Callable[[str], bool]:
    log = folder / ".personae" / "warehouse.duckdb.wal"
    return lambda _: log.exists() and log.stat().st_size > 200_000


@dataclass(frozen=True)
class Crashed:
    """The company after three runs that died and one that did not."""

    folder: Path
    reader: Reader
    outputs: list[str]
    first_week_alone: dict[str, str]


@pytest.fixture(scope="module")
def crashed(never_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Crashed:
    """The demo company: the first week alone, killed while loading, after dbt and while publishing; then with the next.

    The last death is at the first moment at which `latest` leads to the week: then its files have to be whole, and
    those that an undisturbed run publishes. Deaths between its links are those of `test_publishing.py`.
    """
    folder = shutil.copytree(never_run, tmp_path_factory.mktemp("crashed") / "havelgrid")
    published = folder / ".personae" / "published"
    reader = Reader(published)
    reader.start()
    first = ["--week", FIRST_WEEK.key]
    outputs = [
        kill_when(folder, first, _loading_has_begun(folder)),
        kill_when(folder, first, lambda output: "features/person_features" in output),
        kill_when(folder, first, lambda _: (published / "latest").exists()),
    ]
    first_week_alone = published_hashes(folder)
    finished = personae_copy("run", folder, "--week", SECOND_WEEK.key, "--weeks", 2)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    reader.stopped.set()
    reader.join()
    return Crashed(folder, reader, outputs, first_week_alone)


def test_the_runs_died_where_they_should(crashed: Crashed) -> None:
    during_ingest, between_dbt_and_ml, during_publish = crashed.outputs
    assert "raw/contacts" not in during_ingest
    assert "features/person_features" in between_dbt_and_ml and "ml/propensity_scores" not in between_dbt_and_ml
    assert "report/persona_report" in during_publish and "Done" not in during_publish


def test_a_week_run_alone_and_killed_when_it_was_there_is_that_of_an_undisturbed_backfill(
    crashed: Crashed, demo_run: DemoRun
) -> None:
    alone, together = _of_weeks(crashed.first_week_alone, FIRST_WEEK), published_hashes(demo_run.folder)
    assert len(alone) > 20 and alone == _of_weeks(together, FIRST_WEEK)


def test_after_three_crashes_the_published_weeks_are_those_of_an_undisturbed_backfill(
    crashed: Crashed, demo_run: DemoRun
) -> None:
    repaired, undisturbed = (
        _of_weeks(published_hashes(folder), FIRST_WEEK, SECOND_WEEK) for folder in (crashed.folder, demo_run.folder)
    )
    assert len(repaired) > 40 and repaired == undisturbed
    assert _weeks_of(published_hashes(crashed.folder)) == {FIRST_WEEK.key, SECOND_WEEK.key, "latest"}
    assert not (crashed.folder / ".personae" / "table_files").exists()


def test_a_second_run_of_a_published_week_changes_nothing(crashed: Crashed) -> None:
    before, after = (
        _of_weeks(hashes, FIRST_WEEK) for hashes in (crashed.first_week_alone, published_hashes(crashed.folder))
    )
    assert before and before == after


def test_published_tables_asked_for_alone_are_written_and_the_same(crashed: Crashed) -> None:
    import dagster as dg

    from orchestration.definitions import definitions_for

    before = published_hashes(crashed.folder)
    (crashed.folder / ".personae" / "published" / FIRST_WEEK.key).unlink()
    definitions = definitions_for(Workspace.open(crashed.folder))
    published = [key for key in definitions.resolve_asset_graph().get_all_asset_keys() if key.path[0] == "published"]
    with dg.DagsterInstance.ephemeral() as instance:
        ran = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            partition_key=FIRST_WEEK.key, asset_selection=published, instance=instance
        )
    assert ran.success and len(published) > 20
    assert published_hashes(crashed.folder) == before


def test_whoever_reads_latest_meanwhile_sees_whole_weeks_only(crashed: Crashed) -> None:
    assert crashed.reader.looks > 50
    assert crashed.reader.mixed == []


def test_killed_runs_do_not_count_as_running(crashed: Crashed) -> None:
    import dagster as dg

    instance = dg.DagsterInstance.from_config(str(crashed.folder / ".personae" / "dagster"))
    try:
        statuses = [run.status.value for run in instance.get_runs()]
    finally:
        instance.dispose()
    assert sorted(statuses) == ["FAILURE"] * 3 + ["SUCCESS"]


def _of_weeks(hashes: dict[str, str], *weeks: Week) -> dict[str, str]:
    keys = {week.key for week in weeks}
    return {name: digest for name, digest in hashes.items() if name.split("/")[0] in keys}


def _weeks_of(hashes: dict[str, str]) -> set[str]:
    return {name.split("/")[0] for name in hashes}
