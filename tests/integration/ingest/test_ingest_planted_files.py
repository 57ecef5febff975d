"""Every planted row is loaded with its exact values, or stands in quarantine, or its file is refused whole with a
reason; nothing else appears. `make fuzz-ingest` plants 10,000 files instead of 150.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_company import Company
from planted_files import PlantedFile, map_planted_files, planted_files
from planted_outcomes import forget, load_planted

FILES_AT_ONCE = 10


@pytest.fixture(scope="module")
def planted_company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    company = Company(tmp_path_factory.mktemp("planted") / "company")
    map_planted_files(company).ingest()
    return company


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(files=st.tuples(*(planted_files(f"{number:02}") for number in range(FILES_AT_ONCE))))
def test_what_was_planted_is_what_is_found(planted_company: Company, files: tuple[PlantedFile, ...]) -> None:
    forget(planted_company)
    load_planted(planted_company, files)
