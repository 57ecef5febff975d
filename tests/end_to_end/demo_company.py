"""The demo company of the end-to-end tests, and what is read of its published weeks."""

import hashlib
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from examples.demo import generate
from examples.demo.generate import generate_demo
from orchestration.weeks import Week

LAST_WEEK = Week(date(2026, 10, 26))
PEOPLE, HISTORY, WEEKS = 1500, 22, 3
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
    with (folder / "personae.yml").open("a", encoding="utf-8") as settings:
        settings.write(LOOKALIKES)
    return folder


def published_hashes(folder: Path) -> dict[str, str]:
    """A hash of every published file of every week."""
    published = folder / ".personae" / "published"
    return {
        f"{link.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for link in sorted(published.iterdir())
        if link.is_symlink()
        for path in sorted(link.iterdir())
    }
