"""Numpy works on one core: many small products on several threads take longer, and differ in the last digit."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    with threadpool_limits(limits=1):
        yield
