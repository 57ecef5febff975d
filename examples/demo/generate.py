"""Generates Havelgrid, the demo company: a workspace with its extracts, and the truth that was planted in them.

What belongs here: the order in which a week of history happens, and the command line. What each system records stands
in its own module; numbers about the company stand in `company.py`.

    python -m examples.demo.generate FOLDER --people 10000 --weeks 26
"""

import argparse
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import get_args

import numpy as np

from examples.demo import company
from examples.demo.billing import Billing
from examples.demo.clock import DemoWeek, history, last_complete_week
from examples.demo.crm import Crm
from examples.demo.devices import Devices, draw_devices
from examples.demo.files import ExtractWriter, FileFormat
from examples.demo.helpdesk import Helpdesk
from examples.demo.lives import Lives
from examples.demo.mailing import Mailing
from examples.demo.people import People, draw_people
from examples.demo.preferences import Preferences
from examples.demo.product import Product
from examples.demo.releases import Releases
from examples.demo.truth import Truth, counts_of
from examples.demo.web import Web

TEMPLATES = Path(__file__).parent / "workspace"
FEWEST_PEOPLE = 50
FEWEST_WEEKS = 2


@dataclass(frozen=True)
class Request:
    """What is asked for; see `generate_demo`."""

    people: int
    weeks: int
    seed: int
    last_week: date
    file_format: FileFormat
    events_per_person: float

    def __post_init__(self) -> None:
        """Refuse what cannot be generated."""
        if self.people < FEWEST_PEOPLE:
            raise ValueError(f"people must be at least {FEWEST_PEOPLE}, not {self.people}")
        if self.weeks < FEWEST_WEEKS:
            raise ValueError(f"weeks must be at least {FEWEST_WEEKS}, not {self.weeks}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, not {self.seed}")
        if self.last_week.weekday() != 0:
            raise ValueError(f"last_week must be a Monday; {self.last_week} is none")
        if self.file_format not in get_args(FileFormat):
            raise ValueError(f"file_format must be one of {', '.join(get_args(FileFormat))}, not {self.file_format}")
        if not self.events_per_person > 0:
            raise ValueError(f"events_per_person must be positive, not {self.events_per_person}")


@dataclass(frozen=True)
class DemoSummary:
    """What was generated.

    Attributes:
        folder: the workspace.
        first_week, last_week: the Mondays that name the first and the last week of history.
        people, contacts, devices: how many humans, contacts (duplicates included) and devices (strangers' included).
        rows, files: per extract, the rows delivered in all files (repeated and late rows included) and the files.
        events: rows of product and web together.
        personas_at_start, personas_at_end: humans per true persona.
    """

    folder: Path
    first_week: date
    last_week: date
    people: int
    contacts: int
    devices: int
    rows: dict[str, int]
    files: dict[str, int]
    events: int
    personas_at_start: dict[str, int]
    personas_at_end: dict[str, int]


def generate_demo(
    folder: Path,
    people: int = 10_000,
    weeks: int = 26,
    seed: int = 7,
    last_week: date | None = None,
    *,
    file_format: FileFormat = "csv",
    events_per_person: float = 50.0,
) -> DemoSummary:
    """Write the demo workspace: the same arguments always give the same bytes.

    Args:
        folder: where the workspace goes; created if absent.
        people: how many humans the history has, at least 50; some 3 % more contacts stand for them.
        weeks: how long history is, at least 2.
        seed: the seed of all chance, 0 or more.
        last_week: the Monday that names the last week; by default the last week that is over today.
        file_format: "csv" writes each extract as its system would (CSV, JSON Lines, partly compressed), "parquet" all
            as Parquet.
        events_per_person: product and web events per human over the whole history, about.

    Returns:
        What was written; also in `truth/manifest.json`.

    Raises:
        ValueError: an argument is out of its range.
        FileExistsError: `folder` already holds extracts or settings; nothing is overwritten.
    """
    last_week = last_week or last_complete_week(date.today())
    request = Request(people, weeks, seed, last_week, file_format=file_format, events_per_person=events_per_person)
    if any((folder / name).exists() for name in ("extracts", "personae.yml", "truth")):
        raise FileExistsError(f"{folder} already holds a workspace; choose a new folder")

    past = history(last_week, weeks)
    humans = draw_people(people, past, seed)
    crm = Crm(humans, past[0], seed)
    devices = draw_devices(humans, crm.country, weeks, seed)
    lives = Lives(humans, seed)
    writer = ExtractWriter(folder, file_format)
    truth = Truth(folder, humans)
    systems = _Systems.of(crm, devices, _scale(humans, request), seed)
    _live_through(past, lives, systems, writer, truth)
    truth.write_people(lives, devices)
    truth.write_adoption(systems.releases)
    truth.write_angles()
    write_workspace(folder, past[0].monday, file_format)

    summary = DemoSummary(
        folder=folder,
        first_week=past[0].monday,
        last_week=last_week,
        people=people,
        contacts=len(humans.contact_id),
        devices=len(devices.device_id),
        rows=dict(writer.rows),
        files=dict(writer.files),
        events=writer.rows["events"] + writer.rows["hits"],
        personas_at_start=counts_of(humans.persona_at_start),
        personas_at_end=counts_of(lives.persona),
    )
    _write_manifest(truth.folder / "manifest.json", summary, request)
    return summary


@dataclass(frozen=True)
class _Systems:
    """Everything that delivers extracts."""

    crm: Crm
    product: Product
    releases: Releases
    web: Web
    billing: Billing
    mailing: Mailing
    helpdesk: Helpdesk
    preferences: Preferences

    @classmethod
    def of(cls, crm: Crm, devices: Devices, sessions_per_week: float, seed: int) -> "_Systems":
        people = crm.people
        return cls(
            crm=crm,
            product=Product(people, devices, sessions_per_week, seed),
            releases=Releases(people, seed),
            web=Web(people, devices, sessions_per_week, seed),
            billing=Billing(crm, seed),
            mailing=Mailing(people, seed),
            helpdesk=Helpdesk(people, seed),
            preferences=Preferences(people, seed),
        )


def _live_through(past: list[DemoWeek], lives: Lives, systems: _Systems, writer: ExtractWriter, truth: Truth) -> None:
    """Let history happen, one week after the other, each system delivering its file on the Monday after."""
    crm, preferences = systems.crm, systems.preferences
    first = past[0]
    writer.write("contacts", first.monday, crm.contacts_snapshot(first.start))
    writer.write("accounts", first.monday, crm.accounts_snapshot(first.start))
    writer.write("consents", first.monday, preferences.snapshot())
    for week in past:
        lives.begin(week)
        contacts, accounts = crm.live(week)
        writer.write("contacts", week.as_of, contacts)
        writer.write("accounts", week.as_of, accounts)
        writer.write("invoices", week.as_of, systems.billing.live(week, lives))
        mails = systems.mailing.live(week, lives, preferences.may_be_mailed)
        writer.write("mailings", week.as_of, mails.rows)
        consents = preferences.live(week, mails.unsubscribed, mails.unsubscribed_at)
        writer.write("consents", week.as_of, consents)
        writer.write("tickets", week.as_of, systems.helpdesk.tickets(week, lives))
        writer.write("survey", week.as_of, systems.helpdesk.survey(week, lives))
        visits = systems.web.live(week, lives)
        writer.write("hits", week.as_of, visits.rows)
        usage = systems.product.live(week, lives)
        writer.write("events", week.as_of, usage.rows)
        writer.write("releases", week.as_of, systems.releases.live(week, usage.visits))
        lives.remember(
            {
                "usage": usage.usage,
                "building": usage.building,
                "interest": usage.interest + visits.interest,
                "clicks": mails.clicks,
            }
        )
        truth.write_week(week, lives)


def write_workspace(folder: Path, first_week: date, file_format: FileFormat) -> None:
    """Copy `workspace/`: its settings, with dates moved to this history, mappings with other endings, and contracts."""
    (folder / "mappings").mkdir(parents=True, exist_ok=True)
    shutil.copytree(TEMPLATES / "contracts", folder / "contracts", dirs_exist_ok=True)
    settings = (TEMPLATES / "personae.yml").read_text(encoding="utf-8")
    later = first_week - date.fromisoformat(re.findall(r"(?m)^first_week: (\S+)", settings)[0])
    settings = re.sub(
        r"(?m)(^  - \{id: .*date: )(\S+)(,)",
        lambda found: f"{found[1]}{date.fromisoformat(found[2]) + later}{found[3]}",
        settings,
    )
    settings = re.sub(r"(?m)^first_week: \S+", f"first_week: {first_week}", settings)
    (folder / "personae.yml").write_text(settings, encoding="utf-8")
    for template in sorted(TEMPLATES.glob("mappings/*.yml")):
        mapping = template.read_text(encoding="utf-8")
        if file_format == "parquet":
            mapping = re.sub(r"(?m)^(  files: extracts/\w+/\w+_\*)[.\w]+", r"\1.parquet", mapping)
            mapping = re.sub(r"(?m)^  delimiter: .*\n", "", mapping)
        (folder / "mappings" / template.name).write_text(mapping, encoding="utf-8")


def _scale(people: People, request: Request) -> float:
    """The factor on everybody's sessions that brings about `events_per_person`, from who is there for how long."""
    weeks_present = np.minimum(request.weeks - people.joined_week, request.weeks)
    sessions = (company.PRODUCT_SESSIONS + company.WEB_SESSIONS)[people.persona_at_start]
    return request.events_per_person * len(people) / float(weeks_present @ sessions * company.EVENTS_PER_SESSION)


def _write_manifest(path: Path, summary: DemoSummary, request: Request) -> None:
    content = {"company": company.COMPANY} | asdict(request) | asdict(summary)
    del content["folder"]  # the same arguments must give the same bytes wherever they are written
    path.write_text(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m examples.demo.generate --help`."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo.generate", description="Generate the demo company.")
    parser.add_argument("folder", type=Path, help="where the workspace goes")
    parser.add_argument("--people", type=int, default=10_000, help="how many humans (default: 10000)")
    parser.add_argument("--weeks", type=int, default=26, help="how many weeks of history (default: 26)")
    parser.add_argument("--seed", type=int, default=7, help="seed of all chance (default: 7)")
    parser.add_argument("--last-week", type=date.fromisoformat, help="Monday of the last week (default: the last one)")
    parser.add_argument("--format", dest="file_format", choices=get_args(FileFormat), default="csv")
    parser.add_argument("--events-per-person", type=float, default=50.0, help="over all weeks (default: 50)")
    given = parser.parse_args(arguments)
    try:
        summary = generate_demo(**vars(given))
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
    print(
        f"{company.COMPANY} is in {summary.folder}: {summary.people:,} people, {summary.events:,} events, "
        f"{sum(summary.rows.values()):,} rows in {sum(summary.files.values()):,} files, "
        f"weeks {summary.first_week} to {summary.last_week}."
    )


if __name__ == "__main__":
    main()
