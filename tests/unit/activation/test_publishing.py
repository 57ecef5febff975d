import os
import shutil
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from activation.publishing import publish_folder

WEEK, NEXT_WEEK = "2026-11-09", "2026-11-16"


def writing(**files: str):
    def build(folder: Path) -> None:
        for name, text in files.items():
            (folder / f"{name}.txt").write_text(text)

    return build


def versions_of(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".versions").iterdir() if path.is_dir())


def test_a_week_and_latest_lead_to_the_files_just_built(tmp_path):
    version = publish_folder(writing(report="first"), tmp_path, WEEK, also_latest=True)

    assert (tmp_path / WEEK).resolve() == (tmp_path / "latest").resolve() == version.resolve()
    assert (tmp_path / "latest" / "report.txt").read_text() == "first"
    assert version.parent == tmp_path / ".versions"
    assert version.name.startswith(f"{WEEK}-")


def test_links_are_relative_so_that_the_whole_folder_can_be_moved(tmp_path):
    publish_folder(writing(report="first"), tmp_path / "published", WEEK, also_latest=True)
    (tmp_path / "published").rename(tmp_path / "moved")

    assert (tmp_path / "moved" / "latest" / "report.txt").read_text() == "first"


def test_without_also_latest_only_the_week_is_linked(tmp_path):
    publish_folder(writing(report="first"), tmp_path, WEEK, also_latest=False)

    assert (tmp_path / WEEK).is_symlink()
    assert not (tmp_path / "latest").exists()


def test_the_same_content_is_the_same_version_and_changes_nothing(tmp_path):
    first = publish_folder(writing(report="same"), tmp_path, WEEK, also_latest=True)
    before = {path: path.lstat().st_ino for path in [tmp_path / WEEK, tmp_path / "latest", first]}
    second = publish_folder(writing(report="same"), tmp_path, WEEK, also_latest=True)

    assert second == first
    assert {path: path.lstat().st_ino for path in before} == before


def test_latest_moves_only_forward(tmp_path):
    newest = publish_folder(writing(report="new"), tmp_path, NEXT_WEEK, also_latest=True)
    publish_folder(writing(report="old, again"), tmp_path, WEEK, also_latest=True)

    assert (tmp_path / "latest").resolve() == newest.resolve()
    assert (tmp_path / WEEK / "report.txt").read_text() == "old, again"


def test_the_two_most_recently_replaced_versions_stay_for_readers(tmp_path):
    publish_folder(writing(report="the version replaced last"), tmp_path, WEEK, also_latest=True)
    for text in ["a", "b", "c"]:
        publish_folder(writing(report=text), tmp_path, NEXT_WEEK, also_latest=False)
    replaced_last = (tmp_path / WEEK).resolve()
    publish_folder(writing(report="a newer one"), tmp_path, WEEK, also_latest=True)

    assert replaced_last.exists()
    assert len(versions_of(tmp_path)) == 2 + 2


def test_keeping_none_leaves_only_what_is_linked(tmp_path):
    for text in ["a", "b", "c"]:
        version = publish_folder(writing(report=text), tmp_path, WEEK, also_latest=True, keep_unlinked=0)

    assert versions_of(tmp_path) == [version.name]


@pytest.mark.parametrize("week", ["../evil", "2026-11-09/..", "latest", "2026-13-01", "2026-11-09\n", "", "٢٠٢٦-١١-٠٩"])
def test_a_week_that_is_no_date_is_refused_and_nothing_is_written(tmp_path, week):
    with pytest.raises(ValueError, match="named by its Monday"):
        publish_folder(writing(report="x"), tmp_path / "published", week, also_latest=True)
    assert list(tmp_path.iterdir()) == []


def test_a_link_among_the_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Only files and folders"):
        publish_folder(lambda folder: (folder / "way-out").symlink_to("/"), tmp_path, WEEK, also_latest=True)


def test_publishing_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to publish"):
        publish_folder(lambda folder: None, tmp_path, WEEK, also_latest=True)


def test_a_build_that_fails_leaves_the_old_state(tmp_path):
    old = publish_folder(writing(report="old"), tmp_path, WEEK, also_latest=True)

    def failing(folder: Path) -> None:
        (folder / "report.txt").write_text("half")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        publish_folder(failing, tmp_path, WEEK, also_latest=True)
    assert (tmp_path / "latest").resolve() == old.resolve()
    assert versions_of(tmp_path) == [old.name]


def run_and_die_at(step: int, publish) -> bool:
    """Run `publish` in a process that stops dead at its `step`-th file operation; true if it did not get that far."""
    child = os.fork()
    if child == 0:
        seen = 0

        def die(event: str, arguments: tuple) -> None:
            nonlocal seen
            if event == "open" or event.startswith(("os.", "shutil.", "fcntl.")):
                seen += 1
                if seen == step:
                    os._exit(9)

        sys.addaudithook(die)
        publish()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_killed_at_any_step_readers_see_the_old_week_or_the_new_one_and_the_next_run_heals(tmp_path):
    old, new = {"a": "old", "b": "old"}, {"a": "new", "b": "new"}
    before = tmp_path / "before"
    for text in ["older", "oldest", "old"]:
        publish_folder(writing(a=text, b=text), before, WEEK, also_latest=True, keep_unlinked=1)
    survived, step, seen = False, 0, set()
    while not survived:
        step += 1
        root = shutil.copytree(before, tmp_path / str(step), symlinks=True)
        survived = run_and_die_at(
            step, lambda root=root: publish_folder(writing(**new), root, WEEK, also_latest=True, keep_unlinked=1)
        )
        for link in [root / WEEK, root / "latest"]:
            read = {name: (link / f"{name}.txt").read_text() for name in "ab"}
            assert read in (old, new), f"killed at step {step}: {read}"
            seen.add(read["a"])

        publish_folder(writing(**new), root, WEEK, also_latest=True, keep_unlinked=1)
        assert (root / "latest" / "b.txt").read_text() == (root / WEEK / "a.txt").read_text() == "new"
        assert len(versions_of(root)) == 2
        assert not list(root.rglob(".unfinished-*"))
    assert seen == {"old", "new"}
    assert step > 20


def test_a_reader_that_resolves_latest_once_reads_one_week_in_both_tables(tmp_path):
    def week_of(number: int):
        def build(folder: Path) -> None:
            for table in ["memberships", "profiles"]:
                pl.DataFrame({"week": [number] * 100}).write_parquet(folder / f"{table}.parquet")

        return build

    publish_folder(week_of(0), tmp_path, WEEK, also_latest=True)
    finished = threading.Event()
    reads: list[tuple[int, int]] = []
    problems: list[BaseException] = []

    def read() -> None:
        try:
            while not finished.is_set():
                folder = (tmp_path / "latest").resolve(strict=True)
                first = pl.read_parquet(folder / "memberships.parquet")["week"].unique().item()
                time.sleep(0.002)
                second = pl.read_parquet(folder / "profiles.parquet")["week"].unique().item()
                reads.append((first, second))
        except BaseException as problem:
            problems.append(problem)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 60):
        publish_folder(week_of(number), tmp_path, WEEK, also_latest=True, keep_unlinked=60)
    finished.set()
    reader.join()

    assert problems == []
    assert len(reads) > 5
    assert all(first == second for first, second in reads)


def test_two_publications_at_once_both_land_whole(tmp_path):
    threads = [
        threading.Thread(target=publish_folder, args=(writing(a=str(n), b=str(n)), tmp_path, WEEK, True))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    latest = (tmp_path / "latest").resolve(strict=True)
    assert (latest / "a.txt").read_text() == (latest / "b.txt").read_text()
    assert (tmp_path / WEEK).resolve() == latest
