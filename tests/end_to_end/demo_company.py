"""The demo company of the end-to-end tests, and what is read of its published weeks."""

import gzip
import hashlib
import shutil
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from examples.demo import generate
from examples.demo.generate import generate_demo
from orchestration.weeks import Week

LAST_WEEK = Week(date(2026, 10, 26))
PEOPLE, HISTORY, WEEKS = 1500, 22, 3
# Before the first week that any model learns from.
DELIVERED_TOGETHER = ("2026-06-08", "2026-08-10")
# Rows that say themselves when they happened mean the same in the file of a month.
LOGS = ("events", "hits", "invoices", "mailings", "releases", "survey", "tickets")
LOGS_DELIVERED_TOGETHER = (("2026-08-17", "2026-09-07"), ("2026-09-14", "2026-10-05"))
BRAND = Path(generate.__file__).parent / "brand"

# Found by distance, which costs a run next to nothing.
LOOKALIKES = """
lookalikes:
  like_api_builders:
    seed: {features: {api_called_events_28d: {at_least: 3}}}
    method: distance
    size: 60
    platforms: [google, meta]
  too_few:
    seed: {features: {api_called_events_28d: {at_least: 100000}}}
"""


@dataclass(frozen=True)
class DemoRun:
    """A workspace whose last three weeks were run."""

    folder: Path
    output: str

    @property
    def state(self) -> Path:
        return self.folder / ".personae"

    @property
    def published(self) -> Path:
        return self.state / "published"

    def table(self, name: str, week: str = "latest") -> pl.DataFrame:
        return pl.read_parquet(self.published / week / f"{name}.parquet")


def make_demo(folder: Path) -> Path:
    """The same company every time, with the brand that its examples describe."""
    generate_demo(folder, people=PEOPLE, weeks=HISTORY, seed=11, last_week=LAST_WEEK.monday)
    shutil.copytree(BRAND, folder / "brand")
    settings = (folder / "personae.yml").read_text(encoding="utf-8")
    assert "k: [3, 8]" in settings
    # Each number of personas more is a model more; the examples on public data choose among all of them.
    (folder / "personae.yml").write_text(settings.replace("k: [3, 8]", "k: [4, 6]") + LOOKALIKES, encoding="utf-8")
    # Each file costs a twentieth of a second.
    _deliver_together(folder / "extracts", *DELIVERED_TOGETHER)
    for month in LOGS_DELIVERED_TOGETHER:
        _deliver_together(folder / "extracts", *month, LOGS)
    return folder


def _deliver_together(extracts: Path, first: str, last: str, only: tuple[str, ...] = ()) -> None:
    """Put the files of some weeks together, kind by kind, as one of the last of these weeks."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(extracts.rglob("*_*")):
        name, _, delivered = path.name.split(".")[0].rpartition("_")
        if first <= delivered <= last and (not only or name in only):
            kinds[name].append(path)
    for paths in kinds.values():
        is_packed, has_header = paths[0].suffix == ".gz", ".csv" in paths[0].suffixes
        together = b""
        for path in paths:
            content = gzip.decompress(path.read_bytes()) if is_packed else path.read_bytes()
            together += content.split(b"\n", 1)[1] if has_header and together else content
            path.unlink()
        paths[-1].write_bytes(gzip.compress(together, mtime=0) if is_packed else together)


def published_hashes(folder: Path) -> dict[str, str]:
    """A hash of every published file of every week."""
    published = folder / ".personae" / "published"
    return {
        f"{link.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for link in sorted(published.iterdir())
        if link.is_symlink()
        for path in sorted(link.iterdir())
    }
