"""Many planted files, and the huge and the hostile ones: what ingest does with them, as figures.

    make fuzz-ingest                                   10,000 planted files, then the others
    python -m benchmarks.fuzz_ingest --files 2000 --seed 3 --only planted

What belongs here: what takes too long for `make test`. How a planted file is made, and what must become of it, stands
in `tests/integration/ingest/planted_files.py`. The figures are kept in `docs/reliability.md`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "integration" / "ingest"), str(TESTS / "unit" / "orchestration")]

import pyarrow.parquet as pq  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from ingest_company import Company  # noqa: E402
from planted_files import PlantedFile, map_planted_files, planted_files  # noqa: E402
from planted_outcomes import forget, load_planted  # noqa: E402

from orchestration.ingest.load import ingest  # noqa: E402
from orchestration.ingest.reading import UnreadableExtract  # noqa: E402

FILES_AT_ONCE = 25
HEADER = b"id,at,customer,amount,status\n"
MEGABYTE = 10**6


def planted(files: int, first_seed: int) -> None:
    """Load planted files, some at once, and count what became of them; one that became something else ends it."""
    outcomes: Counter[str] = Counter()
    with _company(":memory:") as company:
        map_planted_files(company).ingest()

        @seed(first_seed)
        @settings(
            max_examples=files // FILES_AT_ONCE,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(files=st.tuples(*(planted_files(f"{number:02}") for number in range(FILES_AT_ONCE))))
        def load(files: tuple[PlantedFile, ...]) -> None:
            forget(company)
            outcomes.update(load_planted(company, files))

        started = time.perf_counter()
        load()
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:>10,}  {outcome}")
    print(f"{time.perf_counter() - started:10.0f}  seconds")


def _rows(path: Path, megabytes: int) -> int:
    """A CSV of about this size."""
    rows = 0
    with path.open("wb") as stream:
        stream.write(HEADER)
        while stream.tell() < megabytes * MEGABYTE:
            stream.write(
                b"".join(
                    b"o%d,2026-01-%02d 10:00:00,c%d,%d.5,completed\n" % (n, 1 + n % 28, n % 500_000, n % 1000)
                    for n in range(rows, rows + 200_000)
                )
            )
            rows += 200_000
    return rows


def huge_csv(company: Company) -> int:
    """2 GB of CSV."""
    return _rows(company.data / "orders.csv", 2000)


def gzip_bomb(company: Company) -> int:
    """100 MB of gzip that unpack to 100 GB."""
    member = gzip.compress(b"0" * (1000 * MEGABYTE), compresslevel=9)
    with (company.data / "orders.csv.gz").open("wb") as stream:
        stream.write(gzip.compress(HEADER))
        for _ in range(100):
            stream.write(member)
    return 0


def zstandard_bomb(company: Company) -> int:
    """Runs of one byte: 1 GB of zeros in some 32 KB, a hundred times."""
    run = b"".join((kind | 1 << 1 | 131_072 << 3).to_bytes(3, "little") + b"0" for kind in [0] * 7_999 + [1])
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0x38]) + run
    with (company.data / "orders.csv.zst").open("wb") as stream:
        for _ in range(100):
            stream.write(frame)
    return 0


def parquet_bomb(company: Company) -> int:
    """A hundred billion equal values."""
    company.connection.execute(
        f"copy (select 'o' as id, date '2026-01-05' as at, 'c' as customer, 1 as amount, 'completed' as status "
        f"from range(2000000)) to '{company.data}/part.parquet' (row_group_size 2000000)"
    )
    table = pq.read_table(company.data / "part.parquet")
    with pq.ParquetWriter(company.data / "orders.parquet", table.schema) as writer:
        for _ in range(60):
            writer.write_table(table, row_group_size=2_000_000)
    (company.data / "part.parquet").unlink()
    return 0


def column_of_nuls(company: Company) -> int:
    """A million rows whose customer is a NUL byte."""
    lines = b"".join(b"o%d,2026-01-05,\0,1,completed\n" % number for number in range(1_000_000))
    (company.data / "orders.csv").write_bytes(HEADER + lines)
    return 1_000_000


def long_fields(company: Company) -> int:
    """A thousand fields of a million characters."""
    with (company.data / "orders.csv").open("wb") as stream:
        stream.write(HEADER)
        for number in range(1000):
            stream.write(b"o%d,2026-01-05,%s,1,completed\n" % (number, b"x" * MEGABYTE))
    return 1000


def long_json(company: Company) -> int:
    """JSON Lines with objects of a million characters."""
    row = {"id": "o1", "at": "2026-01-05", "customer": "x" * MEGABYTE, "amount": 1, "status": "completed"}
    with (company.data / "orders.jsonl").open("w") as stream:
        stream.writelines(json.dumps({**row, "id": f"o{number}"}) + "\n" for number in range(300))
    return 300


OTHERS: dict[str, tuple[Callable[[Company], int], dict[str, object]]] = {
    "2 GB of CSV": (huge_csv, {}),
    "a million NULs": (column_of_nuls, {}),
    "1,000 fields of a million characters": (long_fields, {}),
    "300 JSON objects of a million characters": (long_json, {}),
    "gzip of 100 GB, over the ratio": (gzip_bomb, {}),
    "gzip of 100 GB, ratio allowed": (gzip_bomb, {"largest_unpacked_ratio": 5000, "largest_unpacked_gb": 10}),
    "zstd of 100 GB, over the ratio": (zstandard_bomb, {}),
    "zstd of 100 GB, ratio allowed": (zstandard_bomb, {"largest_unpacked_ratio": 1e9}),
    "Parquet of 600 million cells, 0.5 GB allowed": (parquet_bomb, {"largest_unpacked_gb": 0.5}),
}


def others() -> None:
    """Load each, and say what became of it, how long it took and the process's largest memory so far."""
    for name, (make, extract) in OTHERS.items():
        with _company("warehouse.duckdb") as company:
            rows = make(company)
            company.map_orders("orders.*", **extract)
            company.connection.execute("set memory_limit = '4GB'")
            size = sum(path.stat().st_size for path in company.data.iterdir())
            started = time.perf_counter()
            try:
                (load,) = ingest(company.connection, company.open()).loads
                assert load.rows_read + load.rows_unreadable == rows, load
                outcome = f"{load.rows_loaded:,} of {rows:,} rows {load.status}"
            except UnreadableExtract as error:
                outcome = f"refused: {error}"
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(
                f"{name} ({size / MEGABYTE:,.1f} MB): {outcome}; {time.perf_counter() - started:.1f} s, "
                f"memory up to {memory:.1f} GB",
                flush=True,
            )


@contextmanager
def _company(database: str) -> Iterator[Company]:
    folder = Path(tempfile.mkdtemp(prefix="personae-fuzz-"))
    try:
        file = database if database == ":memory:" else str(folder / database)
        company = Company(folder / "company", file)
        yield company
        company.connection.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["planted", "others"])
    arguments = parser.parse_args()
    if arguments.only != "others":
        planted(arguments.files, arguments.seed)
    if arguments.only != "planted":
        others()


if __name__ == "__main__":
    main()
