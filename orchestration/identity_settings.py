"""What a workspace says of identities: limits, matching, and the file of decisions.

What belongs here: settings and the decisions' file. What they lead to stands in `ml/identity_resolution.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import phonenumbers
from pydantic import BaseModel, ConfigDict, Field, field_validator

from orchestration.settings_file import SettingsError, SettingsFile, nearest
from orchestration.weeks import Week

DECISIONS_FILE = "identity_decisions.yml"
MODEL_FILE = "identity_model.json"
HEADER = """# Contacts that somebody decided to be two people. `personae unmerge` writes a line, `personae unmerge
# --undo` takes it away; every run obeys them, also after everything else was rebuilt. Keep this file with personae.yml.
apart:
"""

MostPeople = Annotated[int, Field(ge=1, le=1000)]
Kind = Literal["name", "date", "text", "code", "category", "email"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProbabilisticSettings(_Settings):
    """Whether and how contacts without a common identifier are matched; `columns` says what is compared, by kind."""

    enabled: bool = False
    columns: dict[str, Kind] = Field(default_factory=dict)
    match_probability: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    pairs_per_contact: Annotated[float, Field(gt=0, le=1000)] = 20.0
    seed: int = 7


class IdentitySettings(_Settings):
    """When two identities are one person; an identifier that more people share than its limit links nobody."""

    max_people_per_user: MostPeople = 3
    max_people_per_email: MostPeople = 3
    max_people_per_phone: MostPeople = 2
    max_people_per_device: MostPeople = 2
    phone_region: str | None = None
    include_anonymous: bool = False
    probabilistic: ProbabilisticSettings = ProbabilisticSettings()

    @field_validator("phone_region")
    @classmethod
    def _is_a_region(cls, region: str | None) -> str | None:
        if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"'{region}' is no country code; {nearest(region, phonenumbers.SUPPORTED_REGIONS)}")
        return region


def compared_columns(
    settings: ProbabilisticSettings, contract_columns: Iterable[str], identifiers: dict[str, str], file: SettingsFile
) -> dict[str, str]:
    """The columns of the contacts' table that are compared, by kind.

    Args:
        settings: what the workspace says.
        contract_columns: the contacts' columns every workspace has.
        identifiers: the declared attributes with the role identifier, by their name in the extract, and their columns.
        file: where the settings stand.

    Raises:
        SettingsError: a column that does not exist or may not be compared, or too few of them.
    """
    places = {name: name for name in contract_columns} | identifiers
    where = ("identity", "probabilistic", "columns")
    for name in settings.columns:
        if name not in places:
            raise file.error(
                (*where, name),
                f"'{name}' is neither a column of contacts nor an attribute with the role identifier; "
                + nearest(name, places),
            )
    if settings.enabled and len(settings.columns) < 4:
        raise file.error(where, "at least four columns must be compared to tell people apart")
    return {places[name]: kind for name, kind in sorted(settings.columns.items())}


class _Apart(_Settings):
    """One line of the decisions' file."""

    contacts: tuple[str, ...]
    from_week: date
    decided_on: date | None = None
    by: str | None = None
    why: str | None = None

    @field_validator("contacts")
    @classmethod
    def _are_two(cls, contacts: tuple[str, ...]) -> tuple[str, ...]:
        if len(contacts) != 2:
            raise ValueError("a decision names two contacts")
        if contacts[0] == contacts[1]:
            raise ValueError("a contact cannot be kept apart from itself")
        return contacts


class _Decisions(_Settings):
    apart: list[_Apart] | None = None


@dataclass(frozen=True)
class Decision:
    """Two contacts that are two people from a week on."""

    contacts: tuple[str, str]
    from_week: Week
    decided_on: date | None = None
    decided_by: str | None = None
    why: str | None = None

    def is_about(self, one: str, other: str) -> bool:
        """Whether it keeps these two apart, in any order."""
        return set(self.contacts) == {one, other}


def read_decisions(folder: Path) -> tuple[Decision, ...]:
    """The decisions of a workspace; none where it has no file of them.

    Raises:
        SettingsError: what a person has to mend, with file and line.
    """
    path = folder / DECISIONS_FILE
    if not path.is_file():
        return ()
    content = SettingsFile(path).parse(_Decisions)
    return tuple(
        Decision(
            (each.contacts[0], each.contacts[1]), Week.containing(each.from_week), each.decided_on, each.by, each.why
        )
        for each in content.apart or ()
    )


def add_decision(folder: Path, decision: Decision) -> Path:
    """Append a decision to the workspace's file; what stands there stays as it is."""
    path = folder / DECISIONS_FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else HEADER
    if not re.search(r"(?m)^apart:\s*$", text):
        raise SettingsError(path, None, "there is no line `apart:` to write the decision below")
    told: dict[str, Any] = {"contacts": list(decision.contacts), "from_week": decision.from_week.monday}
    told |= {"decided_on": decision.decided_on, "by": decision.decided_by, "why": decision.why}
    words = ", ".join(f"{name}: {_written(value)}" for name, value in told.items() if value is not None)
    path.write_text(f"{text.rstrip()}\n  - {{{words}}}\n", encoding="utf-8")
    return path


def remove_decisions(folder: Path, is_meant: Callable[[Decision], bool]) -> int:
    """Take decisions out of the workspace's file.

    Returns:
        How many were taken out.
    """
    path = folder / DECISIONS_FILE
    decisions = read_decisions(folder)
    if not decisions:
        return 0
    file = SettingsFile(path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    starts = [(file.line(("apart", place)) or 1) - 1 for place in range(len(decisions))] + [len(lines)]
    meant = [place for place, decision in enumerate(decisions) if is_meant(decision)]
    for place in reversed(meant):
        end = starts[place] + 1
        while end < starts[place + 1] and not re.match(r"\s*(-|#|$)", lines[end]):
            end += 1
        del lines[starts[place] : end]
    path.write_text("".join(lines), encoding="utf-8")
    return len(meant)


def _written(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)
