"""One backfill of three weeks, shared by the end-to-end tests."""

import pytest

from tests.end_to_end.demo_company import LAST_WEEK, WEEKS, DemoRun, make_demo
from tests.running import personae


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The demo company after one backfill."""
    folder = make_demo(tmp_path_factory.mktemp("demo") / "havelgrid")
    done = personae("run", folder, "--week", LAST_WEEK.key, "--weeks", WEEKS)
    assert done.returncode == 0, done.stdout + done.stderr
    return DemoRun(folder, done.stdout)
