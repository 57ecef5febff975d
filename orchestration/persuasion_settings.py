"""What a workspace says of persuasion: how messages are tagged, what answers them, defaults, and whom not to press.

What belongs here: settings, and what dbt's models read of them. What they lead to stands in `persuasion_week.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ml.persuasion import APPROACHES, MESSAGE_STYLES
from orchestration.mapping import Attribute
from orchestration.personas_file import DEFINED_PREFIX, DISCOVERED_ID
from orchestration.settings_file import Location, SettingsFile, nearest
from orchestration.special_categories import complaint_about_words

MESSAGE_PROPERTIES = ("content", "offer", "campaign", "channel", "treatment_group")
SEGMENT_TYPES = ("persona", "defined_persona", "adoption_class")
EVERY_SEGMENT = "*"
STYLE = re.compile(r"[a-z][a-z0-9_]{1,39}")
RESPONSES = ("clicked", "ordered", "opened")


class Part(BaseModel):
    """A part of `persuasion:`: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _check_approach(given: Any) -> Any:
    if given not in APPROACHES:
        raise ValueError(f"'{given}' is no approach; {nearest(given, APPROACHES)}")
    return given


def _one_is_a_list(given: Any) -> Any:
    return (given,) if isinstance(given, str | int | float) else given


def _as_texts(given: Any) -> Any:
    listed = _one_is_a_list(given)
    return tuple(_as_text(one) for one in listed) if isinstance(listed, list | tuple) else listed


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


Approach = Annotated[str, BeforeValidator(_check_approach)]
Order = Annotated[tuple[Approach, ...], BeforeValidator(_one_is_a_list), Field(min_length=1)]
Texts = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], BeforeValidator(_as_texts)]
Days = Annotated[int, Field(ge=1, le=730)]


class SparedPeople(Part):
    """A line of the block list: people whom no message presses, and why, in words that may be shown.

    Attributes:
        attribute: a declared attribute of contacts or accounts, with `values` (`is:`), `at_least` or `at_most`.
        event: names of events, within `within_days` before the week's end.
        ticket_type: categories of support tickets, within `within_days`.
        segment: a persona, defined persona or adoption class, by its id.
        because: the reason that is shown; neutral words.
    """

    attribute: str | None = None
    values: Annotated[Texts, Field(alias="is")] = ()
    at_least: float | None = None
    at_most: float | None = None
    event: Texts = ()
    ticket_type: Texts = ()
    segment: Texts = ()
    within_days: Days = 182
    because: Annotated[str, Field(min_length=3, max_length=120)]

    @model_validator(mode="after")
    def _says_who(self) -> SparedPeople:
        named = [bool(self.attribute), bool(self.event), bool(self.ticket_type), bool(self.segment)]
        if sum(named) != 1:
            raise ValueError("say who: one of `attribute:`, `event:`, `ticket_type:` and `segment:`")
        has_range = self.at_least is not None or self.at_most is not None
        if self.attribute and bool(self.values) == has_range:
            raise ValueError("of an attribute say which values: `is:`, or `at_least:`/`at_most:`")
        if not self.attribute and (self.values or has_range):
            raise ValueError("`is:`, `at_least:` and `at_most:` belong to an attribute")
        return self


class PressureSettings(Part):
    """Approaches that press people, and the people who are spared them.

    Attributes:
        approaches: what counts as pressure.
        spare: the block list.
    """

    approaches: Order = ("scarcity",)
    spare: tuple[SparedPeople, ...] = ()


class PersuasionSettings(Part):
    """How messages persuade, and what to do where it is not known what works.

    Attributes:
        tags: per approach and property of a message (content, offer, campaign, channel, treatment_group, or a column
            that the workspace's contract adds) its values; `*` stands for any letters.
        responses: what answers a message. Clicks and orders count alike; opens only in weeks that know neither.
        order_days: days after a message within which an order answers it, if no tagged message came between.
        minimum_sends: fewest messages with an approach, of a segment; with fewer it is not judged.
        randomized: campaigns, with `*` for any letters, in which chance decided who got which approach. Where some are
            named, only their messages count as evidence.
        defaults: per kind of segment, or for every segment, the order of approaches where there is no evidence.
        message_styles: what the style of message is called whose first approach is this one.
        pressure: what presses people, and whom it is not aimed at.
    """

    tags: dict[str, dict[str, Texts]] = Field(default_factory=dict)
    responses: Annotated[
        tuple[Literal["clicked", "ordered", "opened"], ...], BeforeValidator(_one_is_a_list), Field(min_length=1)
    ] = ("clicked", "ordered", "opened")
    order_days: Annotated[int, Field(ge=1, le=28)] = 7
    minimum_sends: Annotated[int, Field(ge=20)] = 100
    randomized: Texts = ()
    defaults: dict[str, Order | dict[str, Order]] = Field(default_factory=dict)
    message_styles: dict[str, str] = Field(default_factory=dict)
    pressure: PressureSettings = PressureSettings()

    @field_validator("tags", "message_styles")
    @classmethod
    def _approaches_are_known(cls, given: dict[str, Any]) -> dict[str, Any]:
        for approach in given:
            _check_approach(approach)
        return given

    @field_validator("message_styles")
    @classmethod
    def _styles_are_words(cls, given: dict[str, str]) -> dict[str, str]:
        for style in given.values():
            if not STYLE.fullmatch(style):
                raise ValueError(f"'{style}' must be lower case letters, digits and underscores")
        return given

    @field_validator("defaults")
    @classmethod
    def _defaults_name_kinds_of_segments(cls, given: dict[str, Any]) -> dict[str, Any]:
        for kind, orders in given.items():
            if kind not in (*SEGMENT_TYPES, EVERY_SEGMENT):
                raise ValueError(f"'{kind}' is no kind of segment; {nearest(kind, (*SEGMENT_TYPES, EVERY_SEGMENT))}")
            if (kind == EVERY_SEGMENT) == isinstance(orders, dict):
                raise ValueError(f"'{EVERY_SEGMENT}' has one order, and each kind of segment one per segment")
            for order in orders.values() if isinstance(orders, dict) else [orders]:
                if len(set(order)) < len(order):
                    raise ValueError("an approach stands twice in an order")
        return given

    @property
    def is_declared(self) -> bool:
        """Whether any message is tagged."""
        return any(patterns for by_property in self.tags.values() for patterns in by_property.values())

    @property
    def styles(self) -> dict[str, str]:
        """What each style of message is called."""
        return MESSAGE_STYLES | self.message_styles

    def default_of(self, segment_type: str, segment_id: str) -> tuple[str, ...]:
        """The order of approaches of a segment without evidence; empty where none is set."""
        own = self.defaults.get(segment_type, {})
        every = self.defaults.get(EVERY_SEGMENT, ())
        if isinstance(own, dict) and segment_id in own:
            return own[segment_id]
        return every if isinstance(every, tuple) else ()


def check_persuasion(
    file: SettingsFile,
    settings: PersuasionSettings,
    attributes: Mapping[str, Sequence[Attribute]],
    message_columns: Iterable[str],
    entities: Collection[str],
    defined_personas: Collection[str],
) -> None:
    """Hold what `persuasion` names to what there is.

    Args:
        file: where it stands.
        settings: what it says.
        attributes: the declared attributes of contacts and accounts.
        message_columns: the columns that the workspace's contract adds to messages.
        entities: the entities that are delivered.
        defined_personas: ids of the personas that marketers defined.

    Raises:
        SettingsError: a name that is none, with the nearest one; or words that tell of a special category.
    """
    _check_tags(file, settings, (*MESSAGE_PROPERTIES, *message_columns), entities)
    for approach, style in settings.message_styles.items():
        if complaint := complaint_about_words(style, "a style of message"):
            raise file.error(("persuasion", "message_styles", approach), complaint)
    for kind, orders in settings.defaults.items():
        for segment in orders if isinstance(orders, dict) else ():
            _check_segment(file, ("persuasion", "defaults", kind, segment), kind, segment, defined_personas)
    for place, rule in enumerate(settings.pressure.spare):
        _check_spared(file, ("persuasion", "pressure", "spare", place), rule, attributes, entities, defined_personas)


def _check_tags(
    file: SettingsFile, settings: PersuasionSettings, properties: Sequence[str], entities: Collection[str]
) -> None:
    for approach, by_property in settings.tags.items():
        for name in by_property:
            if name not in properties:
                raise file.error(
                    ("persuasion", "tags", approach, name),
                    f"'{name}' is no property of a message; {nearest(name, properties)}",
                )
    if settings.is_declared and "messages" not in entities:
        raise file.error(("persuasion", "tags"), "no mapping delivers messages, so there is nothing to tag")


def _check_spared(
    file: SettingsFile,
    where: Location,
    rule: SparedPeople,
    attributes: Mapping[str, Sequence[Attribute]],
    entities: Collection[str],
    defined_personas: Collection[str],
) -> None:
    if complaint := complaint_about_words(rule.because, "a reason that is shown"):
        raise file.error((*where, "because"), complaint)
    for segment in rule.segment:
        if segment.startswith(DEFINED_PREFIX):
            _check_segment(file, (*where, "segment"), "defined_persona", segment, defined_personas)
    if rule.attribute is not None:
        _check_attribute(file, (*where, "attribute"), rule.attribute, attributes)
    for entity, is_named in (("events", rule.event), ("tickets", rule.ticket_type)):
        if is_named and entity not in entities:
            raise file.error(where, f"no mapping delivers {entity}, so nobody is found by them")


def _check_segment(
    file: SettingsFile, where: Location, kind: str, segment: str, defined_personas: Collection[str]
) -> None:
    if kind == "persona" and not DISCOVERED_ID.fullmatch(segment):
        raise file.error(where, f"'{segment}' is no persona found in the data; write its id, such as persona-03")
    if kind == "defined_persona" and segment not in defined_personas:
        raise file.error(where, f"'{segment}' is no persona of personas.yml; {nearest(segment, defined_personas)}")


def _check_attribute(
    file: SettingsFile, where: Location, name: str, attributes: Mapping[str, Sequence[Attribute]]
) -> None:
    found = [each for declared in attributes.values() for each in declared if name in (each.source, each.name)]
    if not found:
        known = [each.source for declared in attributes.values() for each in declared]
        raise file.error(where, f"'{name}' is no attribute of contacts or accounts; {nearest(name, known)}")
    if found[0].role == "ignore":
        raise file.error(where, f"'{name}' has the role ignore and is not loaded; give it the role sensitive")
    if found[0].sensitive and found[0].legal_basis is None:
        raise file.error(
            where,
            f"'{name}' is a special category: to use it, even to spare people, the mapping states a condition of GDPR "
            "art. 9(2) for it (`legal_basis`)",
        )


def persuasion_vars(
    settings: PersuasionSettings, attributes: Mapping[str, Sequence[Attribute]], message_columns: Collection[str]
) -> dict[str, Any]:
    """What dbt's models read of these settings."""
    tags = [
        {"approach": approach, "property": name, "patterns": [_as_like(pattern) for pattern in patterns]}
        for approach, by_property in settings.tags.items()
        for name, patterns in by_property.items()
        if patterns
    ]
    tagged_by = [
        name for name in (*MESSAGE_PROPERTIES, *sorted(message_columns)) if any(t["property"] == name for t in tags)
    ]
    spared = [_spared(number, rule, attributes) for number, rule in enumerate(settings.pressure.spare, start=1)]
    read = {
        entity: sorted({each["name"] for each in spared if each["kind"] == entity})
        for entity in ("contacts", "accounts")
    }
    return {
        "enabled": settings.is_declared,
        "tags": tags,
        "tagged_by": tagged_by,
        "message_columns": [name for name in tagged_by if name in message_columns],
        "responses": list(settings.responses),
        "order_days": settings.order_days,
        "randomized": [_as_like(pattern) for pattern in settings.randomized],
        "spared": [each for each in spared if each["kind"] != "segment"],
        "attributes": read,
    }


def _spared(number: int, rule: SparedPeople, attributes: Mapping[str, Sequence[Attribute]]) -> dict[str, Any]:
    told: dict[str, Any] = {"number": number, "within_days": rule.within_days}
    if rule.attribute is not None:
        entity, attribute = next(
            (entity, each)
            for entity, declared in attributes.items()
            for each in declared
            if rule.attribute in (each.source, each.name)
        )
        return told | {
            "kind": entity,
            "name": attribute.name,
            "column": attribute.column,
            "values": list(rule.values),
            "numbers": [float(value) for value in rule.values if re.fullmatch(r"-?\d+(\.\d+)?", value)],
            "at_least": rule.at_least,
            "at_most": rule.at_most,
        }
    if rule.event:
        return told | {"kind": "event", "name": None, "values": list(rule.event)}
    return told | {"kind": "ticket" if rule.ticket_type else "segment", "name": None, "values": list(rule.ticket_type)}


def _as_like(pattern: str) -> str:
    """A pattern with `*` as SQL's LIKE has it, in lower case."""
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern.lower())
    return escaped.replace("*", "%")
