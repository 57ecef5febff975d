"""What an erasure prints: counts that a person can look over, and nobody's data."""

from __future__ import annotations

from orchestration.erasure import Erased
from orchestration.erasure_extracts import ExtractCount


def test_a_file_of_many_weeks_is_one_line() -> None:
    files = {"published/2026-08-31/labels.csv": 1, "published/2026-09-07/labels.csv": 2, "lookalikes/seed.csv": 1}
    told = Erased(people=1, contacts=2, files=files, extracts=(ExtractCount("contacts.csv", 1, 1),)).in_words()
    assert told[0] == "1 person with 2 contacts erased."
    assert "          3  published/*/labels.csv (of 2 weeks)" in told
    assert "          1  lookalikes/seed.csv" in told
    assert told[-1] == "          1 row, 1 line with an address  contacts.csv"
