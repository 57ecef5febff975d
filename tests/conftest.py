"""What all tests share."""

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

# Each core runs tests of its own. Of two threads that share a core one waits for the other most of the time, which cost
# boosting on a few thousand rows twice its time. What starts as a person would start it knows nothing of this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

from orchestration.garbage import LOOK_AFTER
from tests.one_thread import one_thread_per_database
from tests.running import PROJECT

one_thread_per_database()

SHARED_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public data sets are not here (../shared/data)")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def environment_is_left_as_it_was() -> Iterator[None]:
    """A command that is called in this process sets variables of its own, which are nothing to the next test."""
    before = dict(os.environ)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


def pytest_collection_finish() -> None:
    """All that was imported and collected stays: nobody looks through it for garbage again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*LOOK_AFTER)


# What takes longest goes first, minutes at the head, so that neither core waits for the other at the end.
LONGEST_FIRST = (
    "demo_run",
    "tests/end_to_end/test_all_targets.py",
    "tests/end_to_end/test_examples.py",
    "dbt",
    "tests/end_to_end/test_consent.py",
    "tests/unit/orchestration/test_propensity_week.py",
    "tests/unit/ml/test_ml_propensity.py",
    "tests/integration/identity/test_identity_decisions_and_matches.py",
    "tests/unit/activation/test_report.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Brings tests into the order in which they are dealt out; who runs tests by hand keeps theirs."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.nodeid.split("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deals tests out to the cores by file, and files that share something expensive together."""
    from xdist.scheduler import LoadScopeScheduling

    class TogetherWhatSharesSomethingExpensive(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _shares(nodeid.split("::")[0])

    config.option.loadscopereorder = False  # xdist would take many tests for long ones
    return TogetherWhatSharesSomethingExpensive(config, log)


@cache
def _place(file: str) -> int:
    """Where a file's tests stand in the order: what takes minutes, other integration tests, everything else."""
    shared = _shares(file)
    if shared in LONGEST_FIRST:
        return LONGEST_FIRST.index(shared)
    return len(LONGEST_FIRST) + (not file.startswith("tests/integration/"))


@cache
def _shares(file: str) -> str:
    """What a file's tests share with other files: a build by dbt, or a run of the demo company; else itself."""
    if file.startswith("tests/integration/dbt/"):
        return "dbt"
    return "demo_run" if "demo_run" in (PROJECT / file).read_text(encoding="utf-8") else file
