"""`launches:` and `adoption:` in `personae.yml`: what was launched when, how trying it is seen, what the classes are.

What belongs here: what these settings may say, and checking them against what the workspace delivers. What a week makes
of them stands in `adoption_week.py`, the arithmetic in `ml/adoption.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestration.mapping import Attribute, slug
from orchestration.settings_file import Location, SettingsFile, nearest
from orchestration.special_categories import CATEGORIES, NEEDS_A_DECISION, complaint_about_words, looks_like

INFLUENCER, UNCLASSIFIED = "influencer", "unclassified"
AFFINITY_GROUPS = ("brand", "trigger", "event", "target")
# E. M. Rogers, "Diffusion of Innovations" (1962): shares of those who adopt one innovation, in percent, by how early.
ROGERS = (
    ("innovator", "Innovator", 2.5),
    ("early_adopter", "Early Adopter", 13.5),
    ("early_majority", "Early Majority", 34.0),
    ("late_adopter", "Late Adopter", 34.0),
    ("laggard", "Laggard", 16.0),
)

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,48}$")]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


def _texts(given: Any) -> Any:
    """One value is a list of one, and `yes` or 3 are meant as they are written."""
    listed = given if isinstance(given, list | tuple) else [given]
    return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in listed)


class Launch(_Settings):
    """Something new that people could try from a day on.

    Attributes:
        id: what tables call it.
        name: what people call it.
        launched_on: `date:`, the local day from which on it could be tried.
        event: trying it is doing this for the first time.
        products: `product:`, trying it is buying one of these product ids.
        attribute: `property:`, trying it is that a column or attribute of contacts or accounts (`contact_tier`,
            `account_plan`) takes one of the values `is:`.
        values: `is:`.
    """

    id: Id
    name: Name
    launched_on: Annotated[date, Field(alias="date")]
    event: Name | None = None
    products: Annotated[tuple[str, ...], Field(alias="product")] = ()
    attribute: Annotated[str | None, Field(alias="property")] = None
    values: Annotated[tuple[str, ...], Field(alias="is")] = ()

    @field_validator("products", "values", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return _texts(given)

    @model_validator(mode="after")
    def _trying_it_is_seen_in_one_way(self) -> Launch:
        if sum((self.event is not None, bool(self.products), self.attribute is not None)) != 1:
            raise ValueError("say how trying it is seen: exactly one of `event:`, `product:` and `property:`")
        if (self.attribute is not None) != bool(self.values):
            raise ValueError("`property:` and `is:` belong together: `property: account_plan`, `is: [Enterprise]`")
        return self


class AdoptionClass(_Settings):
    """A class of the curve: its id, its name and its share of people at the reference date, in percent."""

    id: Id
    name: Name
    share: Annotated[float, Field(gt=0, lt=100)]


class InfluenceSignal(_Settings):
    """Where influence is seen: an event, counted, or an attribute of contacts that is a number."""

    event: Name | None = None
    attribute: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> InfluenceSignal:
        if (self.event is None) == (self.attribute is None):
            raise ValueError("say exactly one of `event:` and `attribute:`")
        return self


class InfluencerSettings(_Settings):
    """Who is an influencer, whatever the place on the curve: reach and creation, both measured.

    Attributes:
        name: what people call the class.
        reach: how many hear of it: followers, shares, forwards, referrals.
        creation: what somebody made: reviews, posts, talks.
        reach_percentile: of those with any of a signal, who is above this at the reference date has reach.
        fewest_creations: how often something must have been made, over all signals of creation.
    """

    name: Name = "Influencer"
    reach: tuple[InfluenceSignal, ...] = ()
    creation: tuple[InfluenceSignal, ...] = ()
    reach_percentile: Annotated[float, Field(ge=50, lt=100)] = 95.0
    fewest_creations: Annotated[int, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _reach_and_creation(self) -> InfluencerSettings:
        if bool(self.reach) != bool(self.creation):
            raise ValueError(
                "an influencer needs both `reach:` and `creation:`; where one is not measured, there are none"
            )
        return self


class AdoptionSettings(_Settings):
    """How launches become classes.

    Attributes:
        classes: the classes of the curve, from the earliest to the latest, with their shares at the reference date.
        influencer: who overrides them.
        unclassified_name: what the class of those with too little evidence is called.
        observed_days: for how many days after a launch trying it counts; then the launch is evidence about everybody
            who could have tried it.
        minimum_launches: fewest launches somebody must have seen.
        minimum_people: fewest people with so many launches before cut points are set.
        minimum_reliability: the least that one set of launches must say about another (0 nothing, 1 all).
        affinity_groups: groups of phrases whose affinity may say something before there is evidence.
        reference: cut points are set in the first scored week that ends on or after this day and can set them.
        not_sensitive: names of launches and events that look like a special category of data and are none.
    """

    classes: tuple[AdoptionClass, ...] = tuple(
        AdoptionClass(id=one, name=name, share=share) for one, name, share in ROGERS
    )
    influencer: InfluencerSettings = InfluencerSettings()
    unclassified_name: Name = "Unclassified"
    observed_days: Annotated[int, Field(ge=7, le=365)] = 91
    minimum_launches: Annotated[int, Field(ge=2, le=50)] = 2
    minimum_people: Annotated[int, Field(ge=50)] = 200
    minimum_reliability: Annotated[float, Field(gt=0, lt=1)] = 0.3
    affinity_groups: tuple[str, ...] = ("brand", "trigger")
    reference: date | None = None
    not_sensitive: tuple[str, ...] = ()

    @field_validator("classes")
    @classmethod
    def _classes_make_a_whole(cls, classes: tuple[AdoptionClass, ...]) -> tuple[AdoptionClass, ...]:
        if not 2 <= len(classes) <= 9:
            raise ValueError("there must be 2 to 9 classes, from the earliest to the latest")
        ids = [one.id for one in classes]
        for one in ids:
            if one in (INFLUENCER, UNCLASSIFIED):
                raise ValueError(f"'{one}' is no part of the curve; it is always there")
            if ids.count(one) > 1:
                raise ValueError(f"the class '{one}' stands twice")
        if abs(sum(one.share for one in classes) - 100) > 0.01:
            raise ValueError(f"the shares add up to {sum(one.share for one in classes):g}, not to 100")
        return classes

    @field_validator("affinity_groups")
    @classmethod
    def _groups_are_known(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        for name in groups:
            if name not in AFFINITY_GROUPS:
                raise ValueError(f"'{name}' is no group of phrases; {nearest(name, AFFINITY_GROUPS)}")
        return groups

    @property
    def fingerprint(self) -> str:
        """A hash of what cut points depend on: with other settings they are set anew; names may change freely."""
        content = self.model_dump(mode="json", exclude={"unclassified_name", "not_sensitive"})
        content["classes"] = [[one.id, one.share] for one in self.classes]
        content["influencer"].pop("name")
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def names(self) -> dict[str, str]:
        """Every class id with its name: the curve from the earliest on, influencers, unclassified."""
        curve = {one.id: one.name for one in self.classes}
        return curve | {INFLUENCER: self.influencer.name, UNCLASSIFIED: self.unclassified_name}


def check_adoption(
    file: SettingsFile,
    launches: Sequence[Launch],
    adoption: AdoptionSettings,
    attributes: Mapping[str, Collection[Attribute]],
    entities: Collection[str],
) -> None:
    """What launches and influence are seen in must exist, and must not look like a special category of data.

    Args:
        file: `personae.yml`.
        launches: what was launched.
        adoption: the classes.
        attributes: the declared attributes of contacts and of accounts.
        entities: the entities that are delivered.

    Raises:
        SettingsError: the first thing to be mended, with its line and the nearest valid name.
    """
    for where, name in _shown_names(adoption):
        if complaint := complaint_about_words(name, "the name of a class"):
            raise file.error(("adoption", *where), complaint)
    ids: list[str] = []
    for place, launch in enumerate(launches):
        here: Location = ("launches", place)
        if launch.id in ids:
            raise file.error((*here, "id"), f"the launch '{launch.id}' stands twice")
        ids.append(launch.id)
        _check_name(file, (*here, "id"), launch.id, adoption)
        _check_name(file, (*here, "name"), launch.name, adoption)
        if launch.event is not None:
            _check_event(file, (*here, "event"), launch.event, adoption, entities)
        if launch.products and "order_lines" not in entities:
            raise file.error((*here, "product"), "no mapping delivers order_lines, which say who bought which product")
        if launch.attribute is not None:
            places = _categories(attributes, entities)
            if launch.attribute not in places:
                raise file.error(
                    (*here, "property"),
                    f"'{launch.attribute}' is no column or attribute with the role feature of contacts or accounts; "
                    + nearest(launch.attribute, places),
                )
    for kind in ("reach", "creation"):
        for place, signal in enumerate(getattr(adoption.influencer, kind)):
            here = ("adoption", "influencer", kind, place)
            if signal.event is not None:
                _check_event(file, (*here, "event"), signal.event, adoption, entities)
            elif slug(signal.attribute) not in (numbers := _numbers(attributes)):
                raise file.error(
                    (*here, "attribute"),
                    f"'{signal.attribute}' is no attribute of contacts with the role feature and the type number; "
                    + nearest(signal.attribute, numbers),
                )


def adoption_vars(
    launches: Sequence[Launch], adoption: AdoptionSettings, attributes: Mapping[str, Collection[Attribute]]
) -> dict[str, Any]:
    """What dbt's models read of these settings; without launches there is nothing to read."""
    if not launches:
        return {"launches": [], "reach": [], "creation": [], "observed_days": adoption.observed_days}
    places = _categories(attributes, ("contacts", "accounts"))
    return {
        "launches": [
            {
                "id": launch.id,
                "launched_on": launch.launched_on.isoformat(),
                "event": launch.event,
                "products": list(launch.products),
                "entity": places[launch.attribute][0] if launch.attribute else None,
                "column": places[launch.attribute][1] if launch.attribute else None,
                "values": list(launch.values),
            }
            for launch in launches
        ],
        "observed_days": adoption.observed_days,
        **{
            kind: [
                {"event": one.event, "column": f"attr_{slug(one.attribute)}" if one.attribute else None}
                for one in getattr(adoption.influencer, kind)
            ]
            for kind in ("reach", "creation")
        },
    }


def _shown_names(adoption: AdoptionSettings) -> Iterator[tuple[Location, str]]:
    """What people are called by their class, with where it stands."""
    for place, one in enumerate(adoption.classes):
        yield ("classes", place, "id"), one.id.replace("_", " ")
        yield ("classes", place, "name"), one.name
    yield ("influencer", "name"), adoption.influencer.name
    yield ("unclassified_name",), adoption.unclassified_name


def _check_event(
    file: SettingsFile, place: Location, event: str, adoption: AdoptionSettings, entities: Collection[str]
) -> None:
    if "events" not in entities:
        raise file.error(place, "no mapping delivers events")
    _check_name(file, place, event, adoption)


def _check_name(file: SettingsFile, place: Location, name: str, adoption: AdoptionSettings) -> None:
    """What looks like a special category of data places nobody, until somebody decided that it is none."""
    if name not in adoption.not_sensitive and (category := looks_like(name)) is not None:
        raise file.error(
            place,
            f"'{name}' looks like {CATEGORIES[category]} (rule {NEEDS_A_DECISION}, GDPR art. 9): take it out, or state "
            f"that it is none with `adoption: {{not_sensitive: [{name}]}}`",
        )


def _categories(
    attributes: Mapping[str, Collection[Attribute]], entities: Collection[str]
) -> dict[str, tuple[str, str]]:
    """What a launch's property may be called, with its staged entity and column."""
    standard = {"contacts": ("country", "language", "job_title"), "accounts": ("industry", "plan", "country")}
    found: dict[str, tuple[str, str]] = {}
    for entity, columns in standard.items():
        if entity not in entities:
            continue
        prefix = entity.removesuffix("s")
        found |= {f"{prefix}_{column}": (entity, column) for column in columns}
        for one in attributes.get(entity, ()):
            if one.role == "feature" and one.type != "number":
                found[f"{prefix}_{one.name}"] = (entity, one.column)
    return found


def _numbers(attributes: Mapping[str, Collection[Attribute]]) -> list[str]:
    return [one.name for one in attributes.get("contacts", ()) if one.role == "feature" and one.type == "number"]
