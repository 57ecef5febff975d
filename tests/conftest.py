"""What all tests share."""

from pathlib import Path

import pytest

from tests.running import PROJECT

# Made once per session; first come the ones that are made of others.
EXPENSIVE_FIXTURES = ("demo_run", "dbt_folder")
SHARED_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public data sets are not here (../shared/data)")
    return SHARED_DATA


@pytest.hookimpl(tryfirst=True)  # before the plugin reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run on several cores, those that share something expensive stay together; else a file does."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        shared = next((name for name in EXPENSIVE_FIXTURES if name in fixtures), None)
        item.add_marker(pytest.mark.xdist_group(shared or item.location[0]))
