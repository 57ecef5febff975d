"""`lookalikes:` in `personae.yml`: whose like are wanted, how many, how likeness is told, and for which ad platforms.

What belongs here: what a look-alike may say, held against the names of the workspace. The vocabulary of the seed stands
in `activation/selection.py`, what a week makes of it in `lookalike_week.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from activation.selection import PHRASE_GROUPS, Complaint, Names, Selection, complaints
from orchestration.settings_file import Location, SettingsError, SettingsFile, nearest

Platform = Literal["google", "meta", "linkedin", "tiktok"]
Source = Literal["feature", "propensity", "affinity"]


def _as_directions(given: Any) -> Any:
    """`a, b` and `[a, b: low]` are meant as `{a: high, b: low}`."""
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",") if part.strip()]
    if not isinstance(given, list | tuple):
        return given
    directions: dict[str, Any] = {}
    for one in given:
        if isinstance(one, dict):
            directions |= one
        else:
            name, _, direction = str(one).rpartition(":") if str(one).endswith((":high", ":low")) else (one, "", "high")
            directions[str(name)] = direction
    return directions


class LookalikeSettings(BaseModel):
    """One list of people who are like a seed.

    Attributes:
        seed: whose like are wanted.
        size: people to list at most.
        method: "classifiers" learns what sets the seed apart; "distance" ranks by closeness to the seed's centre.
        grow: in place of both: characteristics whose high (or low) values are wanted. Features, targets, phrases or
            groups of phrases.
        exclude: features that likeness is not learned from, beside those that the seed itself is chosen by.
        minimum_seed: fewest people to learn from; by default 50, by distance 20, to grow `minimum_cell`.
        platforms: ad platforms that files are written for, of the seed and of those listed.
        tiktok_phone: whether TikTok's telephone numbers are hashed with their +; its pages say both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: Selection
    size: Annotated[int, Field(ge=1, le=10_000_000)] = 1_000
    method: Literal["classifiers", "distance"] = "classifiers"
    grow: Annotated[dict[str, Literal["high", "low"]], BeforeValidator(_as_directions)] = Field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    minimum_seed: Annotated[int, Field(ge=10)] | None = None
    platforms: tuple[Platform, ...] = ("google", "meta", "linkedin", "tiktok")
    tiktok_phone: Literal["with_plus", "digits"] = "with_plus"

    @model_validator(mode="after")
    def _grows_by_what_is_said(self) -> LookalikeSettings:
        if self.grow and (self.method != "classifiers" or self.exclude):
            raise ValueError("`grow:` ranks by the characteristics it names; leave out `method:` and `exclude:`")
        return self

    @property
    def way(self) -> str:
        """How people are ranked: classifiers, distance or characteristics."""
        return "characteristics" if self.grow else self.method


@dataclass(frozen=True)
class Characteristic:
    """Something that people are high or low in."""

    name: str
    source: Source


def characteristic(name: str, names: Names) -> Characteristic | Complaint:
    """Look a characteristic up: a feature, else a target, else a phrase or a group of phrases.

    Args:
        name: as somebody wrote it; `feature:`, `propensity:` or `affinity:` before it says which is meant.
        names: what may be named.

    Returns:
        What it is, or what is wrong.
    """
    known: Mapping[Source, list[str]] = {
        "feature": [each for each, kind in names.features.items() if kind != "category"],
        "propensity": list(names.targets),
        "affinity": [*names.phrases, *(PHRASE_GROUPS if names.phrases else ())],
    }
    stated, _, rest = name.partition(":")
    if rest and stated in known:
        name, known = rest.strip(), {source: valid for source, valid in known.items() if source == stated}
    found = [source for source, valid in known.items() if name in valid]
    if len(found) == 1:
        return Characteristic(name, found[0])
    return _no_characteristic(name, found, known, names)


def _no_characteristic(name: str, found: list[Source], known: Mapping[Source, list[str]], names: Names) -> Complaint:
    where = ("grow", name)
    if found:
        ways = " or ".join(f"'{source}:{name}'" for source in found)
        return Complaint(where, f"'{name}' is more than one thing; say {ways}")
    if name in names.special_categories:
        return Complaint(where, f"'{name}' is of a special category (GDPR art. 9): nobody is selected by it")
    if name in names.features:
        return Complaint(where, f"'{name}' is a category: nobody is high or low in it; name it in the seed")
    valid = tuple(each for names_of_source in known.values() for each in names_of_source)
    return Complaint(where, f"'{name}' is no characteristic", name, valid)


def lookalike_complaints(settings: LookalikeSettings, names: Names) -> Iterator[Complaint]:
    """Hold a look-alike to the names there are; locations are from the look-alike down."""
    for location, part in settings.seed.parts():
        if part.lookalike:
            yield Complaint(("seed", *location, "lookalike"), "a list of look-alikes is no seed of another")
    for one in complaints(settings.seed, names):
        yield Complaint(("seed", *one.location), one.message, one.name, one.valid)
    for name in settings.grow:
        found = characteristic(name, names)
        if isinstance(found, Complaint):
            yield found
    for name in settings.exclude:
        if name not in names.features and name not in names.special_categories:
            yield Complaint(("exclude",), f"'{name}' is no feature", name, tuple(names.features))


def in_words(complaint: Complaint) -> str:
    """A complaint with the nearest valid name."""
    return f"{complaint.message}; {nearest(complaint.name, complaint.valid)}" if complaint.name else complaint.message


def check_lookalikes(file: SettingsFile, lookalikes: Mapping[str, LookalikeSettings], names: Names) -> None:
    """Hold all look-alikes of a workspace to the names there are.

    Raises:
        SettingsError: a name that is none, with its line and the nearest one.
    """
    for key, settings in lookalikes.items():
        for one in lookalike_complaints(settings, names):
            location: Location = ("lookalikes", key, *one.location)
            raise file.error(location, in_words(one))


def parse_lookalike(file: SettingsFile, names: Names) -> LookalikeSettings:
    """Read a look-alike that the command line puts together.

    Raises:
        SettingsError: anything that does not fit.
    """
    settings = file.parse(LookalikeSettings)
    for one in lookalike_complaints(settings, names):
        raise SettingsError(file.path, None, in_words(one))
    return settings
