"""Loads planted files and holds what became of them against what was planted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ingest_company import Company
from planted_files import PlantedFile

from orchestration.ingest.ledger import Load
from orchestration.ingest.load import ingest
from orchestration.ingest.reading import UnreadableExtract

KEY = re.compile(r"k[0-9a-z]+n\d+k")
LOADED = (
    "select order_id, (ordered_at::varchar, contact_id, order_amount, order_status, order_channel) "
    "from raw.orders where _file = ?"
)


def load_planted(company: Company, files: Sequence[PlantedFile]) -> Counter[str]:
    """Put the files into the workspace, load them, and check every one.

    Returns:
        How many files were refused, how many rows loaded and how many quarantined.

    Raises:
        AssertionError: a row or a file became something else than was planted.
    """
    for file in files:
        company.extract(file.name, file.content)
    loads, refusals = _load_all(company)
    outcomes: Counter[str] = Counter(files=len(files))
    for file in files:
        if file.name in refusals:
            assert file.refused is not None, (file, refusals[file.name])
            outcomes[f"refused: {refusals[file.name]}"] += 1
            rows = company.connection.execute(
                "select count(*) from (select _file from raw.orders union all select _file from quarantine.orders) "
                "where _file = ?",
                [file.name],
            ).fetchall()
            assert rows == [(0,)], file
        else:
            _check_loaded(company, file, loads[file.name])
            load = loads[file.name]
            outcomes += Counter(loaded=load.rows_loaded, quarantined=load.rows_quarantined + load.rows_unreadable)
    expected = {file.name for file in files}
    assert set(loads) | set(refusals) == expected
    total = company.values("select count(*) from raw.orders union all select count(*) from quarantine.orders")
    assert total == [outcomes["loaded"], outcomes["quarantined"]]
    return outcomes


def forget(company: Company) -> None:
    """Empty the tables and the data folder, which costs less than a new warehouse."""
    for path in company.data.rglob("*"):
        if path.is_file():
            path.unlink()
    for table in ("raw.ingested_files", "raw.orders", "quarantine.orders"):
        company.connection.execute(f"delete from {table}")


def _load_all(company: Company) -> tuple[dict[str, Load], dict[str, str]]:
    """What became of each file; a refused one is taken away, as its sender would, and the rest goes on."""
    refusals: dict[str, str] = {}
    while True:
        try:
            result = ingest(company.connection, company.open())
        except UnreadableExtract as error:
            name, _, reason = str(error).partition(": ")
            assert "\n" not in reason
            assert not KEY.search(reason)
            refusals[name] = re.sub(r"line \d+: ", "", reason)
            (company.data / name).unlink()
            continue
        known = company.rows(
            "select file, rows_read, rows_unreadable, rows_loaded, rows_quarantined from raw.ingested_files"
        )
        assert all(load.is_balanced for load in result.loads)
        return {
            row[0]: Load(
                row[0],
                "",
                "orders",
                "loaded",
                rows_read=row[1],
                rows_unreadable=row[2],
                rows_loaded=row[3],
                rows_quarantined=row[4],
            )
            for row in known
        }, refusals


def _check_loaded(company: Company, file: PlantedFile, load: Load) -> None:
    assert not file.refused, file
    assert load.rows_read + load.rows_unreadable == file.rows, (load, file)
    found = dict(company.connection.execute(LOADED, [file.name]).fetchall())
    if file.refused == "":  # what reads only in part is loaded as planted, and the rest is kept
        assert found.items() <= file.loaded.items(), file
        assert load.rows_quarantined + load.rows_unreadable + len(found) == file.rows, (load, file)
        return
    assert found == file.loaded, file
    refused = company.connection.execute(
        "select delivered_row, rules from quarantine.orders where _file = ?", [file.name]
    ).fetchall()
    keys = [KEY.findall(row) for row, _ in refused]
    assert all(rules for _, rules in refused), file
    assert {key for found_keys in keys for key in found_keys} == file.quarantined, (refused, file)
    assert len(refused) == len(file.quarantined), (refused, file)
