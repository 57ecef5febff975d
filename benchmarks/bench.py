"""Times the weekly job on the demo company beside a notebook-like script, and writes RESULTS.md.

    python -m benchmarks.bench [--people 10000 100000 1000000] [--folder FOLDER] [--skip-baseline]

For each size: the first run over all history but the last week, then a later week with one week of new data, then
`baseline_pandas.py` over the same extracts. Wall time is of the whole process, peak memory the resident memory of the
process and its children together, looked at five times a second.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from examples.demo.generate import generate_demo

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "RESULTS.md"
LAST_WEEK = date(2026, 11, 9)
HISTORY_WEEKS = 26
ASSET_LINE = re.compile(r"^✓ (\S+) .*?([\d.]+) s$", re.MULTILINE)


@dataclass
class Measured:
    """One command: how long, how much memory, what it printed."""

    seconds: float
    peak_bytes: int
    output: str
    assets: list[tuple[str, float]] = field(default_factory=list)


def main() -> None:
    """Run the benchmark for each size and write the results."""
    arguments = _arguments()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="personae-bench-"))
    sections = []
    for people in arguments.people:
        print(f"{people:,} people", flush=True)
        sections.append(_measure_size(folder / f"people_{people}", people, arguments.skip_baseline))
        RESULTS.write_text(_page(sections), encoding="utf-8")
    print(f"written to {RESULTS.relative_to(PROJECT)}")
    if arguments.folder is None:
        shutil.rmtree(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="keep the generated companies here, and use those that are here")
    parser.add_argument("--skip-baseline", action="store_true")
    return parser.parse_args()


def _measure_size(workspace: Path, people: int, skip_baseline: bool) -> str:
    if not (workspace / "personae.yml").is_file():
        started = time.perf_counter()
        generate_demo(workspace, people=people, weeks=HISTORY_WEEKS, seed=7, last_week=LAST_WEEK, file_format="parquet")
        print(f"  generated in {time.perf_counter() - started:.0f} s", flush=True)
    shutil.rmtree(workspace / ".personae", ignore_errors=True)
    held_back = _hold_back_last_week(workspace)
    week_before = date.fromordinal(LAST_WEEK.toordinal() - 7)
    try:
        first = _run(["-m", "orchestration", "run", str(workspace), "--week", str(week_before)])
    finally:
        for hidden, place in held_back:
            hidden.rename(place)
    later = _run(["-m", "orchestration", "run", str(workspace), "--week", str(LAST_WEEK)])
    baseline = None
    if not skip_baseline:
        as_of = date.fromordinal(LAST_WEEK.toordinal() + 7)
        out = workspace / "baseline.csv"
        script = str(PROJECT / "benchmarks" / "baseline_pandas.py")
        baseline = _run([script, str(workspace), "--as-of", str(as_of), "--out", str(out)])
    return _section(workspace, people, first, later, baseline)


def _hold_back_last_week(workspace: Path) -> list[tuple[Path, Path]]:
    """Take the last week's deliveries away, as if they had not come yet."""
    delivered = str(date.fromordinal(LAST_WEEK.toordinal() + 7))
    moved = []
    for path in sorted((workspace / "extracts").rglob(f"*{delivered}*")):
        hidden = path.with_name(f"held_back_{path.name}.hidden")
        path.rename(hidden)
        moved.append((hidden, path))
    return moved


def _run(arguments: list[str]) -> Measured:
    started = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{output}")
    assets = [(name, float(took)) for name, took in ASSET_LINE.findall(output)]
    print(f"  {' '.join(arguments[:3])}: {seconds:.0f} s, {peak[0] / 1e9:.2f} GB", flush=True)
    return Measured(seconds, peak[0], output, assets)


def _watch(process: subprocess.Popen[str], peak: list[int]) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    while process.poll() is None:
        parents = {}
        resident = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    resident[int(entry.name)] = int((entry / "statm").read_text().split()[1]) * page
                except OSError:
                    continue
        family, grown = {process.pid}, True
        while grown:
            children = {child for child, parent in parents.items() if parent in family} - family
            family |= children
            grown = bool(children)
        peak[0] = max(peak[0], sum(resident.get(member, 0) for member in family))
        time.sleep(0.2)


def _section(workspace: Path, people: int, first: Measured, later: Measured, baseline: Measured | None) -> str:
    import duckdb

    with duckdb.connect(str(workspace / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
        events = connection.execute("select count(*) from raw.events").fetchall()[0][0]
    lines = [
        f"## {people:,} people, {events:,} events",
        "",
        "| | seconds | peak memory |",
        "| --- | ---: | ---: |",
        f"| first run, {HISTORY_WEEKS - 1} weeks of history | {first.seconds:.0f} | {first.peak_bytes / 1e9:.2f} GB |",
        f"| a later week, one week of new data | {later.seconds:.0f} | {later.peak_bytes / 1e9:.2f} GB |",
    ]
    if baseline is not None:
        lines.append(f"| notebook-like script | {baseline.seconds:.0f} | {baseline.peak_bytes / 1e9:.2f} GB |")
    lines += ["", "Where the seconds go (the ten longest; the rest is start-up, lineage and small tables):", ""]
    lines += ["| first run | s | later week | s |", "| --- | ---: | --- | ---: |"]
    tops = [sorted(each.assets, key=lambda asset: -asset[1])[:10] for each in (first, later)]
    for (name, took), (later_name, later_took) in zip(*tops, strict=False):
        lines.append(f"| {name} | {took:.1f} | {later_name} | {later_took:.1f} |")
    if baseline is not None:
        steps = json.loads(baseline.output.strip().splitlines()[-1])
        lines += ["", f"The script says of itself: `{json.dumps(steps)}`"]
    return "\n".join(lines) + "\n"


def _page(sections: list[str]) -> str:
    head = [
        "# Results",
        "",
        "Written by `make bench` (`python -m benchmarks.bench`). The weekly job ingests, checks contracts, resolves",
        "people, computes features as of the scored week and of two to four training weeks, finds personas with a",
        "choice of their number, trains and scores a propensity, and publishes tables, activation files and a report.",
        "The script (`benchmarks/baseline_pandas.py`) reads Parquet and does the features of two weeks, one clustering",
        "and one propensity; it ingests nothing, checks nothing, resolves nobody and starts from zero every week.",
        "",
        f"Machine: {_machine()}.",
        "",
    ]
    return "\n".join([*head, *sections])


def _machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GB, {versions}; shared with other work, so read ratios"


if __name__ == "__main__":
    main()
