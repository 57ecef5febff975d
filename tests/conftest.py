"""What all tests share."""

from pathlib import Path

import pytest

from tests.running import PROJECT

SHARED_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public data sets are not here (../shared/data)")
    return SHARED_DATA
