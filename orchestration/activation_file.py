"""`activation.yml`: which audiences a workspace wants, where they go, and what holds back whoever must not be reached.

What belongs here: reading the file and holding every name in it to what there is, before anything runs. What it may say
stands in `activation/audience.py`; what is made of it, in `audience_week.py`.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from activation.audience import FILES, UNKNOWN_MARKET, Activation, Audience
from activation.content import Template, read_template, template_complaints
from activation.fields import DEFAULT_FIELDS, Known, field_complaints, mapping_of
from activation.selection import Complaint, Location, Names, complaints
from activation.sync.payload import key_of
from activation.sync.protocol import FieldMapping
from orchestration.legal_basis import COUNTRIES
from orchestration.settings_file import SettingsError, SettingsFile, nearest
from orchestration.sync_kinds import KINDS
from orchestration.sync_settings import DestinationSettings
from orchestration.weeks import Week

ACTIVATION_FILE = "activation.yml"
CHANNELS = ("email", "sms", "push", "phone", "post", "whatsapp", "in_app", "web", "ads")
"""As the ledger of consent knows them (`known_channels` in `dbt_project/macros/consent.sql`)."""

SUPPRESSION_COLUMNS = ("identifier", "email", "contact_id")


@dataclass(frozen=True)
class ActivationFile:
    """What `activation.yml` says, with its texts read.

    Attributes:
        activation: What the file says; nothing where there is none.
        templates: By audience and block.
        known: What a mapping may name.
        destinations: Where audiences go, with the options of their kinds.
        fingerprint: A hash of the file and of the templates it names.
    """

    activation: Activation = field(default_factory=Activation)
    templates: Mapping[str, Mapping[str, Template]] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    fingerprint: str = ""
    destinations: Mapping[str, DestinationSettings] = field(default_factory=dict)

    def mapping_of(self, audience: Audience, relations: Collection[str]) -> FieldMapping:
        """Everything that goes out for an audience beside the identifier, content aside.

        Args:
            audience: One of the file's.
            relations: Tables that are there, as `schema.table`.
        """
        declared = self.activation.destinations.get(audience.destination)
        holds_personas = declared is None or KINDS[declared.kind].holds_personas
        return mapping_of(audience, self.known, relations, DEFAULT_FIELDS if holds_personas else ())


def read_activation_file(folder: Path, names: Names, known: Known, purposes: tuple[str, ...]) -> ActivationFile:
    """Read `activation.yml` of a workspace; an absent file declares nothing.

    Args:
        folder: The workspace.
        names: What selections may name.
        known: What mappings may name.
        purposes: For which people may be asked; others are mistakes.

    Raises:
        SettingsError: Anything a person has to mend, with file, line and the nearest valid name.
    """
    path = folder / ACTIVATION_FILE
    if not path.exists():
        return ActivationFile(known=known)
    file = SettingsFile(path)
    activation = file.parse(Activation)
    if not activation.audiences:
        raise file.error((), "no audience is declared; declare some under `audiences:`, or remove the file")
    purposes = (*purposes, *activation.purposes)
    destinations = _read_destinations(file, activation)
    _check_markets_and_caps(file, activation)
    templates = {}
    for key, audience in activation.audiences.items():
        here: Location = ("audiences", key)
        _check_audience(file, here, audience, activation, purposes)
        _complain(file, (*here, "people"), complaints(audience.people, names))
        _complain(file, here, field_complaints(audience, known))
        templates[key] = _read_templates(file, folder, here, audience)
    _check_experiments(file, activation)
    _check_pairs(file, activation)
    if activation.suppression_list is not None:
        read_suppression_list(folder, activation, file)
    texts = sorted((key, name, one.text) for key, blocks in templates.items() for name, one in blocks.items())
    content = path.read_bytes() + repr(texts).encode()
    fingerprint = hashlib.sha256(content).hexdigest()[:12]
    return ActivationFile(activation, templates, known, fingerprint, destinations)


def _complain(file: SettingsFile, here: Location, found: object) -> None:
    """Turn the first complaint into an error with its line."""
    for one in found:  # type: ignore[attr-defined]
        assert isinstance(one, Complaint)  # noqa: S101 - that is what is given
        hint = f"; {nearest(one.name, one.valid)}" if one.name else ""
        raise file.error((*here, *one.location), f"{one.message}{hint}")


def _read_destinations(file: SettingsFile, activation: Activation) -> dict[str, DestinationSettings]:
    """Every destination with the options of its kind."""
    read: dict[str, DestinationSettings] = {}
    for name, destination in activation.destinations.items():
        here: Location = ("destinations", name)
        if name == FILES:
            raise file.error(here, f"'{FILES}' is the workspace's own folder; call the destination otherwise")
        if destination.kind not in KINDS:
            raise file.error(
                (*here, "kind"), f"'{destination.kind}' is no kind of destination; {nearest(destination.kind, KINDS)}"
            )
        same = [other for other in read if other.replace("-", "_") == name.replace("-", "_")]
        if same:
            raise file.error(here, f"'{name}' and '{same[0]}' are one name where - stands for _")
        read[name] = file.parse(KINDS[destination.kind].settings, here)
    for key, audience in activation.audiences.items():
        if audience.destination in read:
            terms = read[audience.destination].terms()
            if terms is not None and terms != (audience.purpose, audience.channel):
                only = f"`purpose: {terms[0]}` and `channel: {terms[1]}` only"
                raise file.error(
                    ("audiences", key, "destination"), f"'{audience.destination}' takes audiences with {only}"
                )
            fields = [*DEFAULT_FIELDS, *audience.attributes, *audience.content]
            for option, named in read[audience.destination].fields_named():
                if named not in fields:
                    raise file.error(
                        ("destinations", audience.destination, option),
                        f"the audience '{key}' maps no field '{named}'; {nearest(named, fields)}",
                    )
    return read


def _check_audience(
    file: SettingsFile, here: Location, audience: Audience, activation: Activation, purposes: tuple[str, ...]
) -> None:
    destinations = [FILES, *activation.destinations]
    if audience.destination not in destinations:
        raise file.error(
            (*here, "destination"),
            f"'{audience.destination}' is no destination; {nearest(audience.destination, destinations)}",
        )
    if audience.channel not in CHANNELS:
        raise file.error(
            (*here, "channel"), f"'{audience.channel}' is no channel; {nearest(audience.channel, CHANNELS)}"
        )
    if audience.purpose not in purposes:
        raise file.error(
            (*here, "purpose"), f"'{audience.purpose}' is no purpose; {nearest(audience.purpose, purposes)}"
        )
    for name in audience.content:
        if name in audience.attributes or name in (*DEFAULT_FIELDS, "identifier"):
            raise file.error((*here, "content", name), f"'{name}' is a field already; call the text otherwise")


def _read_templates(file: SettingsFile, folder: Path, here: Location, audience: Audience) -> dict[str, Template]:
    fields = [*DEFAULT_FIELDS, *audience.attributes]
    templates = {}
    for name, block in audience.content.items():
        there = (*here, "content", name)
        text = block.template
        if text is None:
            path = _inside(file, folder, (*there, "file"), str(block.file))
            text = path.read_text(encoding="utf-8")
        for one in template_complaints(text, block, fields):
            location = ("file",) if block.file and one.location == ("template",) else one.location
            hint = f"; {nearest(one.name, one.valid)}" if one.name else ""
            raise file.error((*there, *location), f"{one.message}{hint}")
        templates[name] = read_template(text, block)
    return templates


def _inside(file: SettingsFile, folder: Path, location: Location, name: str) -> Path:
    """A file of the workspace that a setting names."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise file.error(location, f"'{name}' lies outside the workspace")
    if not path.is_file():
        siblings = [str(one.relative_to(folder)) for one in path.parent.glob("*")] if path.parent.is_dir() else []
        raise file.error(location, f"the file '{name}' is missing; {nearest(name, siblings)}")
    return path


def _check_markets_and_caps(file: SettingsFile, activation: Activation) -> None:
    for market, rule in activation.market_rules.items():
        if market != UNKNOWN_MARKET and market not in COUNTRIES:
            hint = nearest(market, COUNTRIES) if len(market) == 2 else "two letters of ISO 3166-1, such as NL"
            raise file.error(
                ("market_rules", market), f"'{market}' is neither a country nor \"{UNKNOWN_MARKET}\"; {hint}"
            )
        for channel in rule.channels:
            if channel not in CHANNELS:
                raise file.error(("market_rules", market), f"'{channel}' is no channel; {nearest(channel, CHANNELS)}")
    for channel in activation.frequency_caps:
        if channel not in CHANNELS:
            raise file.error(("frequency_caps", channel), f"'{channel}' is no channel; {nearest(channel, CHANNELS)}")


def _check_experiments(file: SettingsFile, activation: Activation) -> None:
    """One experiment has one share and one group: its audiences keep the same people out."""
    stated: dict[str, tuple[float, str | None, str]] = {}
    for key, audience in activation.audiences.items():
        name = audience.experiment(key)
        if audience.holdout is None or name is None:
            continue
        share, group, other = stated.setdefault(name, (audience.holdout.share, audience.holdout.exclusion_group, key))
        if (share, group) != (audience.holdout.share, audience.holdout.exclusion_group):
            raise file.error(
                ("audiences", key, "holdout"),
                f"the experiment '{name}' has another share or exclusion group here than in '{other}'",
            )


def _check_pairs(file: SettingsFile, activation: Activation) -> None:
    for place, keys in enumerate(activation.never_together):
        for key in keys:
            if key not in activation.audiences:
                raise file.error(
                    ("never_together", place), f"'{key}' is no audience; {nearest(key, activation.audiences)}"
                )
    for place, accepted in enumerate(activation.accepted):
        if accepted.audience is not None and accepted.audience not in activation.audiences:
            raise file.error(
                ("accepted", place, "audience"),
                f"'{accepted.audience}' is no audience; {nearest(accepted.audience, activation.audiences)}",
            )


def check_personas(folder: Path, activation: Activation, known: Collection[str]) -> None:
    """Hold the names of personas found in the data to those that any week has seen.

    One that was there once and is not there this week is a matter for the publish gates: the run must not fail for it.

    Args:
        folder: The workspace.
        activation: What is declared.
        known: Ids and names of all weeks.

    Raises:
        SettingsError: A name that no week ever had, with the nearest one.
    """
    if not activation.is_declared or not known:
        return
    file = SettingsFile(folder / ACTIVATION_FILE)
    folded = {name.casefold() for name in known}
    for key, audience in activation.audiences.items():
        for location, kind, name in audience.people.segments():
            if kind == "persona" and name.casefold() not in folded:
                raise file.error(
                    ("audiences", key, "people", *location),
                    f"no week had a persona '{name}'; {nearest(name, known)}",
                )


def forbidden_pairs(activation: Activation) -> list[tuple[str, str]]:
    """Audiences that must not share anybody, each pair once."""
    return list(
        dict.fromkeys(
            pair for keys in activation.never_together for pair in itertools.combinations(sorted(set(keys)), 2)
        )
    )


def read_suppression_list(folder: Path, activation: Activation, file: SettingsFile | None = None) -> list[str]:
    """Keys of everybody on the workspace's own list of people who are not to be contacted.

    The list is a CSV file with a column `identifier`, `email` or `contact_id` (several are read), in UTF-8.

    Raises:
        SettingsError: The file is missing, is no such CSV, or lies outside the workspace.
    """
    if activation.suppression_list is None:
        return []
    file = file or SettingsFile(folder / ACTIVATION_FILE)
    path = _inside(file, folder, ("suppression_list",), activation.suppression_list)
    keys: set[str] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, strict=True)
            columns = [name for name in rows.fieldnames or () if name in SUPPRESSION_COLUMNS]
            if not columns:
                raise SettingsError(path, 1, f"no column says who is meant; {nearest('email', SUPPRESSION_COLUMNS)}")
            for row in rows:
                for name in columns:
                    identifier = (row[name] or "").strip()
                    if identifier:
                        keys |= {key_of(identifier), key_of(identifier.lower())}
    except (UnicodeDecodeError, csv.Error):
        raise SettingsError(path, None, "this is no CSV file in UTF-8") from None
    return sorted(keys)


def is_due(audience: Audience, week: Week, first_week: Week) -> bool:
    """Whether an audience is made anew in a week, by its schedule."""
    start = Week.containing(audience.schedule.starting) if audience.schedule.starting else first_week
    weeks = (week.monday - start.monday).days // 7
    return weeks >= 0 and weeks % audience.schedule.every_weeks == 0
