"""`personas.yml`: the personas a marketer defines, and the names a marketer gives.

What belongs here: what the file may say, checked against the features there are. What is made of it stands in
`defined_persona_week.py`; turning back to an earlier model has a file of its own, `rollbacks.yml`, see `rollbacks.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml.persona_definitions import FeatureRule, PersonaDefinition
from orchestration.settings_file import SettingsFile, nearest
from orchestration.special_categories import complaint_about_words

PERSONAS_FILE = "personas.yml"
DEFINED_PREFIX = "defined-"
KEY = re.compile(r"[a-z][a-z0-9_-]{0,39}")
DISCOVERED_ID = re.compile(r"persona-\d{2,}")
FEATURE_DESCRIPTIONS = Path(__file__).resolve().parents[1] / "dbt_project/models/features/person_features.yml"


class Part(BaseModel):
    """A part of `personas.yml`: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Rule(Part):
    """What a persona's people are like in one feature: a range, a level, or some of a category's levels."""

    between: tuple[float, float] | None = None
    at_least: float | None = None
    at_most: float | None = None
    level: Literal["low", "medium", "high"] | None = None
    values: Annotated[tuple[str, ...], Field(alias="is")] = ()
    weight: Annotated[float, Field(gt=0, le=10)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _a_plain_word_is_a_level(cls, given: Any) -> Any:
        return {"level": given} if isinstance(given, str) else given

    @field_validator("values", mode="before")
    @classmethod
    def _one_value_is_a_list(cls, given: Any) -> Any:
        listed = given if isinstance(given, list | tuple) else [given]
        return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in listed)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Rule:
        is_range = self.at_least is not None or self.at_most is not None
        said = sum([self.between is not None, is_range, self.level is not None, bool(self.values)])
        if said != 1:
            raise ValueError("say one of `between:`, `at_least:`/`at_most:`, `level:` and `is:`")
        low, high = self.bounds()
        if low is not None and high is not None and low > high:
            raise ValueError(f"the range ends ({high:g}) before it begins ({low:g})")
        return self

    def bounds(self) -> tuple[float | None, float | None]:
        """Least and largest value, None where open."""
        return self.between if self.between else (self.at_least, self.at_most)

    def as_rule(self, feature: str) -> FeatureRule:
        """The rule as the models know it."""
        low, high = self.bounds()
        return FeatureRule(feature, low, high, self.level, self.values, self.weight)


class DefinedPersona(Part):
    """A persona that a marketer defines."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    description: Annotated[str, Field(max_length=400)] = ""
    features: dict[str, Rule] = Field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @field_validator("examples", mode="before")
    @classmethod
    def _ids_are_text(cls, given: Any) -> Any:
        return tuple(str(one) for one in given) if isinstance(given, list | tuple) else given

    @model_validator(mode="after")
    def _says_who(self) -> DefinedPersona:
        if not self.features and not self.examples:
            raise ValueError("say who they are: `features:`, `examples:`, or both")
        return self


class PersonasFile(Part):
    """Everything `personas.yml` may say."""

    rename: dict[str, Annotated[str, Field(min_length=1, max_length=60)]] = Field(default_factory=dict)
    personas: dict[str, DefinedPersona] = Field(default_factory=dict)

    @field_validator("rename")
    @classmethod
    def _names_are_different(cls, rename: dict[str, str]) -> dict[str, str]:
        for persona in rename:
            if not DISCOVERED_ID.fullmatch(persona):
                raise ValueError(f"'{persona}' is no persona found in the data; write its id, such as persona-03")
        names = [name.casefold() for name in rename.values()]
        twice = next((name for name in rename.values() if names.count(name.casefold()) > 1), None)
        if twice:
            raise ValueError(f"'{twice}' stands for two personas")
        return rename

    @field_validator("personas")
    @classmethod
    def _keys_are_names(cls, personas: dict[str, DefinedPersona]) -> dict[str, DefinedPersona]:
        for key in personas:
            if not KEY.fullmatch(key):
                raise ValueError(f"'{key}' must be lower case letters, digits, - and _, beginning with a letter")
        return personas

    def definitions(self, people: Mapping[str, int] = MappingProxyType({})) -> list[PersonaDefinition]:
        """The defined personas as the models know them.

        Args:
            people: by example as it is written, a contact id or a person id, whom it means; others mean nobody.
        """
        return [
            PersonaDefinition(
                DEFINED_PREFIX + key,
                tuple(rule.as_rule(feature) for feature, rule in one.features.items()),
                tuple(dict.fromkeys(people[example] for example in one.examples if example in people)),
            )
            for key, one in self.personas.items()
        ]

    def names(self) -> dict[str, str]:
        """Name of each defined persona by its id."""
        return {DEFINED_PREFIX + key: one.name for key, one in self.personas.items()}

    def fingerprint(self) -> str:
        """A hash of what decides who is in a defined persona: not of names and descriptions."""
        deciding = {
            key: one.model_dump(mode="json", include={"features", "examples"}) for key, one in self.personas.items()
        }
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def read_personas_file(folder: Path, features: Mapping[str, str]) -> PersonasFile:
    """Read `personas.yml` of a workspace; an absent file says nothing.

    Args:
        folder: the workspace.
        features: the kind of every feature that a rule may name.

    Raises:
        SettingsError: anything a person has to mend, with file, line and the nearest valid name.
    """
    path = folder / PERSONAS_FILE
    if not path.exists():
        return PersonasFile()
    file = SettingsFile(path)
    settings = file.parse(PersonasFile)
    _check_words(file, settings)
    taken: dict[str, str] = {}
    for key, one in settings.personas.items():
        if (other := taken.setdefault(one.name.casefold(), key)) != key:
            raise file.error(("personas", key, "name"), f"'{one.name}' is the name of '{other}' already")
        for feature, rule in one.features.items():
            where = ("personas", key, "features", feature)
            if feature not in features:
                raise file.error(where, f"unknown feature '{feature}'; {nearest(feature, features)}")
            if features[feature] == "number" and rule.values:
                raise file.error(where, f"'{feature}' is a number; say `between:`, `at_least:`, `at_most:` or `level:`")
            if features[feature] != "number" and not rule.values:
                raise file.error(where, f"'{feature}' is no number; say `is:` and one or more of its values")
    return settings


def _check_words(file: SettingsFile, settings: PersonasFile) -> None:
    """No persona is called, described or defined by what tells of a special category of personal data."""
    for persona, name in settings.rename.items():
        if complaint := complaint_about_words(name, "a persona's name"):
            raise file.error(("rename", persona), complaint)
    for key, one in settings.personas.items():
        where = ("personas", key)
        for place, words in (("name", one.name), ("description", one.description)):
            if complaint := complaint_about_words(words, f"a persona's {place}"):
                raise file.error((*where, place), complaint)
        if complaint := complaint_about_words(key, "a persona's id"):
            raise file.error(where, complaint)
        for feature, rule in one.features.items():
            # What an account is in is no matter of the person: a pharmacist's trade says nothing of health.
            for value in () if feature.startswith("account_") else rule.values:
                if complaint := complaint_about_words(value, "what defines a persona"):
                    raise file.error((*where, "features", feature), complaint)


@cache
def _feature_descriptions() -> dict[str, dict[str, Any]]:
    content = yaml.load(FEATURE_DESCRIPTIONS.read_text(encoding="utf-8"), Loader=_SAFE_LOADER)  # noqa: S506 - safe
    told = {column["name"]: column.get("config", {}).get("meta", {}) for column in content["models"][0]["columns"]}
    return {name: meta for name, meta in told.items() if "family" in meta}


def described_features() -> dict[str, tuple[str, frozenset[str]]]:
    """Kind of each standard feature, and the entities of which one has to be delivered for it to be there."""
    return {
        name: (meta.get("kind", "number"), frozenset(meta.get("entities", ())))
        for name, meta in _feature_descriptions().items()
    }


def feature_families() -> list[str]:
    """The families of the features, those of events and attributes included."""
    return sorted({meta["family"] for meta in _feature_descriptions().values()} | {"product", "profile", "account"})


def standard_features(entities: Collection[str]) -> dict[str, str]:
    """Kind of each standard feature that these entities bring."""
    delivered = set(entities)
    return {name: kind for name, (kind, needs) in described_features().items() if not needs or needs & delivered}


_SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
