"""One backfill of three weeks, shared by the end-to-end tests, and one run of its copy after an erasure."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.demo_company import LAST_WEEK, WEEKS, DemoRun, make_demo
from tests.end_to_end.later_company import Company, Erased, erase_somebody, sending
from tests.running import personae, personae_copy


@pytest.fixture(scope="session")
def never_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo company before its first run; whoever runs it runs a copy."""
    return make_demo(tmp_path_factory.mktemp("made") / "havelgrid")


@pytest.fixture(scope="session")
def demo_run(never_run: Path, tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The demo company after one backfill."""
    folder = shutil.copytree(never_run, tmp_path_factory.mktemp("demo") / "havelgrid")
    done = personae("run", folder, "--week", LAST_WEEK.key, "--weeks", WEEKS)
    assert done.returncode == 0, done.stdout + done.stderr
    return DemoRun(folder, done.stdout)


@pytest.fixture(scope="session")
def erased(demo_run: DemoRun, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    """A copy of the company in which one person with two contacts was erased, by one of the contacts."""
    return erase_somebody(demo_run, tmp_path_factory.mktemp("later") / "havelgrid")


@pytest.fixture(scope="session")
def sent(erased: Erased) -> Iterator[Company]:
    """That copy after its last two weeks were run again, with destinations."""
    with sending(erased.folder) as company:
        yield company


@pytest.fixture(scope="session")
def ran_again(erased: Erased, request: pytest.FixtureRequest) -> None:
    """The last two weeks were run again; where vendors' descriptions are not here, without destinations."""
    try:
        request.getfixturevalue("sent")
    except pytest.skip.Exception:
        done = personae_copy("run", erased.folder, "--week", LAST_WEEK.key, "--weeks", 2)
        assert done.returncode == 0, done.stdout + done.stderr
