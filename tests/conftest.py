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
    """Where tests run on several cores, files that share something expensive stay together."""
    groups: dict[str, str] = {}
    for item in items:
        shared = [name for name in EXPENSIVE_FIXTURES if name in getattr(item, "fixturenames", ())]
        if shared:
            groups.setdefault(item.location[0], shared[0])
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups.get(item.location[0], item.location[0])))
