"""What was planted, written beside the extracts: no part of the pipeline reads it, tests and benchmarks do.

What belongs here: the true people behind contacts and devices, their true personas, their true chance to order, how
readily they try what is new.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl

from examples.demo import company
from examples.demo.clock import DemoWeek, utc
from examples.demo.columns import numbered
from examples.demo.devices import Devices
from examples.demo.lives import Lives
from examples.demo.people import People
from examples.demo.releases import Releases
from examples.demo.sampling import IntArray


class Truth:
    """Writes what was planted below `folder`/truth."""

    def __init__(self, folder: Path, people: People):
        """Write below `folder`."""
        self.folder = folder / "truth"
        (self.folder / "weeks").mkdir(parents=True, exist_ok=True)
        self._people = people
        self._human_id = numbered("H", 7, len(people))
        self._personas = pl.Series(company.PERSONAS)

    def write_week(self, week: DemoWeek, lives: Lives) -> None:
        """Write `weeks/<as_of>.parquet`: persona and chance to order of everybody who is a customer at `as_of`."""
        human = np.flatnonzero(lives.is_active(week))
        pl.DataFrame(
            {
                "human_id": self._human_id.gather(human),
                "persona": self._personas.gather(lives.persona[human]),
                "order_probability": lives.chance_ahead(week.later(1))[human],
            }
        ).with_columns(as_of=pl.lit(week.as_of)).write_parquet(self.folder / "weeks" / f"{week.as_of}.parquet")

    def write_people(self, lives: Lives, devices: Devices) -> None:
        """Write `people.parquet`, one row per human with lists of contact ids, device ids and persona changes."""
        people = self._people
        frame = pl.DataFrame(
            {
                "human": np.arange(len(people)),
                "human_id": self._human_id,
                "joined_at": utc(people.joined_at),
                "persona_at_start": self._personas.gather(people.persona_at_start),
                "persona_at_end": self._personas.gather(lives.persona),
            }
        )
        contacts = pl.DataFrame({"human": people.contact_human, "contact_ids": people.contact_id})
        owners = np.repeat(np.arange(len(people)), devices.count)
        own = pl.DataFrame({"human": owners, "device_ids": devices.device_id.head(len(owners))})
        for listed in (contacts, own, self._changes(lives)):
            lists = listed.group_by("human", maintain_order=True).all()
            frame = frame.join(lists, on="human", how="left", maintain_order="left")
        frame.drop("human").write_parquet(self.folder / "people.parquet")

    def write_adoption(self, releases: Releases) -> None:
        """Write `adoption.parquet`, one row per human: how readily new things are tried, and who is heard."""
        pl.DataFrame(
            {
                "human_id": self._human_id,
                "innovativeness": releases.innovativeness,
                "is_influencer": releases.is_influencer,
            }
        ).write_parquet(self.folder / "adoption.parquet")

    def write_angles(self) -> None:
        """Write `angles.json`: the angle that each persona clicks more often (null: none), and by what factor."""
        favourites = {
            persona: company.ANGLES[angle] if angle >= 0 else None
            for persona, angle in zip(company.PERSONAS, company.FAVOURITE_ANGLES.tolist(), strict=True)
        }
        told = {"factor": company.FAVOURITE_ANGLE_FACTOR, "favourites": favourites}
        (self.folder / "angles.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    def _changes(self, lives: Lives) -> pl.DataFrame:
        """One row per change of persona: the Monday it happened on, from which to which."""
        parts = [
            pl.DataFrame(
                {
                    "human": change.human,
                    "persona_changes": pl.DataFrame(
                        {
                            "monday": [change.week.monday] * len(change.human),
                            "from": self._personas.gather(change.before),
                            "to": self._personas.gather(change.after),
                        },
                        schema={"monday": pl.Date, "from": pl.String, "to": pl.String},
                    ).to_struct(),
                }
            )
            for change in lives.changes
        ]
        return pl.concat(parts)


def counts_of(personas: IntArray) -> dict[str, int]:
    """How many of `personas` (indexes) each persona has, by name."""
    counts = np.bincount(personas, minlength=len(company.PERSONAS))
    return dict(zip(company.PERSONAS, counts.tolist(), strict=True))
