"""How one extract's columns become an entity's: what a file in `mappings/` may say.

What belongs here: reading and validating mappings. Which SQL they become stands in `ingest/harmonize.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from data_contracts.contract import ENTITIES, Contract
from data_contracts.rules import ATTRIBUTE_PREFIX
from orchestration.contracts import Contracts
from orchestration.settings_file import Location, SettingsError, SettingsFile, TimeZoneName, nearest
from orchestration.special_categories import (
    Category,
    Condition,
    check_category,
    complaint_about,
    complaint_about_words,
)
from orchestration.sql import check_date_format, check_expression, expression_columns

# Stands in a proposed mapping where a person has to say something.
TO_BE_NAMED = "TO_BE_NAMED"
ENTITIES_WITH_ATTRIBUTES = ("contacts", "accounts")
# Canonical columns that are features, or texts whose words become one.
COLUMNS_THAT_DESCRIBE = ("country", "language", "job_title", "industry", "plan")
FORMATS_BY_ENDING = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
TYPE_OF_ATTRIBUTE = {"text": "VARCHAR", "number": "DOUBLE"}
COMPRESSION_ENDINGS = (".gz", ".zst")
# Abbreviations in names, which a marketer reads in capitals.
SPELLED_OUT = frozenset(
    {"api", "b2b", "b2c", "crm", "csv", "erp", "faq", "nps", "pdf", "sdk", "sms", "sql", "sso", "ui", "url", "vat"}
)
# Formats of numbers since 1970, with the microseconds of one.
EPOCH_FORMATS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
# How numbers are written, shown on one, with what stands between thousands and before decimals.
NUMBER_FORMATS = {
    "1,234.56": (",", "."),
    "1.234,56": (".", ","),
    "1 234,56": (" ", ","),
    "1'234.56": ("'", "."),
    "1234,56": ("", ","),
}
NUMBER_TYPES = ("DOUBLE", "BIGINT")
FORMATTED_TYPES = (*NUMBER_TYPES, "TIMESTAMP", "DATE")
# Part of every content hash: raised when the same mapping comes to mean other rows.
INGEST_VERSION = 1


def slug(name: str) -> str:
    """A column name made of any name: lower case letters, digits and single underscores.

    Examples:
        >>> slug("MonthlyCharges"), slug("E-mail opened?")
        ('monthly_charges', 'e_mail_opened')
    """
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    column = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return f"n_{column}" if column[:1].isdigit() else column or "unnamed"


def words_of(name: str) -> str:
    """A name as a marketer would read it: blanks for underscores, and what is spelled out letter by letter in capitals.

    Examples:
        >>> words_of("api_called"), words_of("Support searched")
        ('API called', 'Support searched')
    """
    words = name.replace("_", " ").split(" ")
    return " ".join(word.upper() if word.lower() in SPELLED_OUT else word for word in words)


def _check_format(text: str) -> str:
    return text if text in {*EPOCH_FORMATS, *NUMBER_FORMATS, TO_BE_NAMED} else check_date_format(text)


Encoding = Literal["utf-8", "latin-1", "utf-16"]
Expression = Annotated[str, AfterValidator(check_expression)]
Format = Annotated[str, AfterValidator(_check_format)]


class Part(BaseModel):
    """A part of a mapping: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ColumnSource(Part):
    """Where a canonical column comes from: an extract's column, a constant, or a scalar SQL expression."""

    column: str | None = None
    value: str | int | float | bool | None = None
    sql: Expression | None = None
    sensitive: Literal[False] | None = None
    format: tuple[Format, ...] = ()
    values: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _a_plain_name_is_a_column(cls, given: Any) -> Any:
        return {"column": str(given)} if isinstance(given, str | int | float) else given

    @field_validator("format", mode="before")
    @classmethod
    def _one_format_is_a_list_of_one(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _exactly_one_origin(self) -> ColumnSource:
        if sum(origin is not None for origin in (self.column, self.value, self.sql)) != 1:
            raise ValueError("say exactly one of `column:`, `value:` and `sql:`")
        return self

    def source_columns(self) -> list[str]:
        """The extract's columns that it reads."""
        return [self.column] if self.column is not None else expression_columns(self.sql) if self.sql else []


class AttributeSettings(Part):
    """What a mapping says of an extra column."""

    role: Literal["feature", "label", "text", "identifier", "sensitive", "ignore"]
    sensitive: Annotated[Category | Literal[False] | None, BeforeValidator(check_category)] = None
    legal_basis: Condition | None = None
    type: Literal["text", "number"] | None = None
    label: str | None = None
    high_words: str | None = None
    low_words: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_plain_word_is_a_role(cls, given: Any) -> Any:
        return {"role": given} if isinstance(given, str) else given


class Attribute(AttributeSettings):
    """An extra column of contacts or accounts, and what it may be used for."""

    source: str

    @property
    def name(self) -> str:
        """The attribute's name, as a column name without prefix."""
        return slug(self.source)

    @property
    def column(self) -> str:
        """The attribute's column in the raw table."""
        return f"{ATTRIBUTE_PREFIX}{self.name}"

    @property
    def in_words(self) -> str:
        """What a marketer reads."""
        return self.label or words_of(self.name)

    def as_var(self) -> dict[str, str | bool]:
        """What dbt's models need to know."""
        told: dict[str, str | bool] = {"name": self.name, "role": self.role, "label": self.in_words}
        return told | ({"is_sensitive": True} if self.sensitive else {})


class EntitySettings(Part):
    """What a mapping says of one entity that its extract feeds."""

    where: Expression | None = None
    columns: dict[str, ColumnSource]
    attributes: dict[str, AttributeSettings] = Field(default_factory=dict)


class MappedEntity(Part):
    """One entity that an extract feeds."""

    entity: str
    where: str | None
    columns: dict[str, ColumnSource]
    attributes: tuple[Attribute, ...]

    def source_columns(self) -> dict[str, Location]:
        """Each extract column this entity reads, with the place in the mapping that names it."""
        found: dict[str, Location] = {}
        for canonical, source in self.columns.items():
            if source.column is not None:
                found.setdefault(source.column, ("entities", self.entity, "columns", canonical))
        for text, place in self.expressions().items():
            for column in expression_columns(text):
                found.setdefault(column, place)
        for attribute in self.attributes:
            if attribute.role != "ignore":
                found.setdefault(attribute.source, ("entities", self.entity, "attributes", attribute.source))
        return found

    def expressions(self) -> dict[str, Location]:
        """Each SQL expression, with the place in the mapping that holds it."""
        found: dict[str, Location] = {self.where: ("entities", self.entity, "where")} if self.where else {}
        for canonical, source in self.columns.items():
            if source.sql is not None:
                found.setdefault(source.sql, ("entities", self.entity, "columns", canonical))
        return found


class ExtractSettings(Part):
    """Which files, and how they are written.

    Where they come from a connector, they are all it has brought, unless `files` names some.
    """

    files: Annotated[str, Field(min_length=1)]
    connector: str | None = None
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: Encoding = "utf-8"
    timezone: TimeZoneName | None = None
    delivered_at: str | None = None
    largest_unpacked_gb: Annotated[float, Field(gt=0)] = 50
    largest_unpacked_ratio: Annotated[float, Field(gt=1)] = 200

    @model_validator(mode="before")
    @classmethod
    def _a_connector_says_where(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("connector") and "files" not in given:
            return {**given, "files": f"{given['connector']}/**/*"}
        return given

    @field_validator("files")
    @classmethod
    def _stays_below_the_data_folder(cls, files: str) -> str:
        parts = Path(files).parts
        if files.startswith(("/", "~")) or ".." in parts or "\0" in files:
            raise ValueError("the pattern must stay below the data folder (no leading /, no ..)")
        if any("**" in part and part != "**" for part in parts):
            raise ValueError("'**' stands for whole folders: '**/orders*.csv'")
        return files

    @field_validator("delivered_at")
    @classmethod
    def _pattern_has_one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"this is no regular expression: {error}") from None
            if groups != 1:
                raise ValueError("the pattern needs exactly one group, around the date: '(\\d{4}-\\d{2}-\\d{2})'")
        return pattern


class LookupSettings(ExtractSettings):
    """Another extract of the same source, of which each row of the first finds the one with its key."""

    key: ColumnSource
    equals: ColumnSource
    where: Expression | None = None

    @field_validator("key", "equals")
    @classmethod
    def _is_found_in_the_row(cls, key: ColumnSource) -> ColumnSource:
        if key.value is not None or key.format or key.values:
            raise ValueError("a key is a column, or `{sql: ...}` over the row's columns")
        return key


class Lookup(Part):
    """One lookup: its files, and which of their columns the mapping takes from it."""

    name: str
    extract: LookupSettings
    columns: dict[str, Location]

    def source_columns(self) -> dict[str, Location]:
        """Each column of the lookup's files that is read, with the place in the mapping that names it."""
        here: Location = ("lookups", self.name)
        found = {column: (*here, "key") for column in self.extract.key.source_columns()}
        for column in expression_columns(self.extract.where) if self.extract.where else ():
            found.setdefault(column, (*here, "where"))
        return self.columns | found


class MappingContent(Part):
    """What a mapping file says."""

    extract: ExtractSettings
    lookups: dict[str, LookupSettings] = Field(default_factory=dict)
    entities: Annotated[dict[str, EntitySettings], Field(min_length=1)]


class Mapping(Part):
    """One mapping file, read and validated."""

    name: str
    path: Path
    extract: ExtractSettings
    timezone: str
    lookups: tuple[Lookup, ...] = ()
    entities: tuple[MappedEntity, ...]
    content_hash: str

    def lookup_of(self, column: str) -> Lookup | None:
        """The lookup that a name such as `campaign.title` leads to, or None where it is the extract's own column."""
        prefix, dot, _ = column.partition(".")
        return next((lookup for lookup in self.lookups if dot and lookup.name == prefix), None)

    @property
    def connectors(self) -> dict[str, Location]:
        """The connectors that bring its extracts or its lookups, each with the place that names it."""
        named = {lookup.extract.connector: ("lookups", lookup.name, "connector") for lookup in self.lookups}
        found: dict[str | None, Location] = {**named, self.extract.connector: ("extract", "connector")}
        return {name: place for name, place in found.items() if name is not None}

    def of_lookup(self, lookup: Lookup) -> Mapping:
        """How the lookup's own files are read."""
        zone = lookup.extract.timezone or self.timezone
        return self.model_copy(update={"extract": lookup.extract, "timezone": zone, "lookups": ()})

    def file_format(self, file: Path) -> str:
        """csv, tsv, jsonl or parquet: as stated, or by the file's ending."""
        if self.extract.format:
            return self.extract.format
        endings = [ending.lower() for ending in file.suffixes if ending.lower() not in COMPRESSION_ENDINGS]
        return FORMATS_BY_ENDING.get(endings[-1] if endings else "", "csv")


def read_mappings(folder: Path, timezone: str, contracts: Contracts) -> tuple[Mapping, ...]:
    """All mappings of a workspace, by name.

    Args:
        folder: where the `*.yml` files are.
        timezone: the workspace's, for extracts that state none.
        contracts: the workspace's; they name the columns there are.

    Raises:
        SettingsError: a key, entity or column that does not exist, with the nearest valid one.
    """
    paths = sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]) if folder.is_dir() else []
    if not paths:
        raise SettingsError(folder, None, "no mapping is here; `personae init` writes examples")
    for path in paths:
        if path.suffix == ".yaml" and path.with_suffix(".yml") in paths:
            raise SettingsError(path, None, f"{path.stem}.yml is here too; a mapping is known by its name")
    return tuple(_read_mapping(path, timezone, contracts) for path in paths)


def _read_mapping(path: Path, timezone: str, contracts: Contracts) -> Mapping:
    file = SettingsFile(path)
    content = file.parse(MappingContent)
    for name in content.lookups:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise file.error(("lookups", name), f"the lookup's name '{name}' must be lower case letters, digits and _")
    for name, entity in content.entities.items():
        if name not in ENTITIES:
            raise file.error(("entities", name), f"'{name}' is no entity; {nearest(name, ENTITIES)}")
        _check_columns(file, contracts[name], entity)
        _check_attributes(file, contracts[name], entity)
    changed = {name: changes for name in content.entities if (changes := contracts.what_decides_rows(name))}
    meaning = [INGEST_VERSION, timezone, content.model_dump(mode="json"), *([changed] if changed else [])]
    canonical_content = json.dumps(meaning, sort_keys=True)
    entities = tuple(_mapped_entity(name, entity) for name, entity in content.entities.items())
    return Mapping(
        name=path.stem,
        path=path,
        extract=content.extract,
        timezone=content.extract.timezone or timezone,
        lookups=_lookups(file, content, entities),
        entities=entities,
        content_hash=hashlib.sha256(canonical_content.encode()).hexdigest()[:16],
    )


def _check_columns(file: SettingsFile, contract: Contract, entity: EntitySettings) -> None:
    """Each column exists, has a format only where its type has formats, and none that is required is missing."""
    name = contract.entity
    canonical = [column for column in contract.column_names if not column.startswith(ATTRIBUTE_PREFIX)]
    for column, origin in entity.columns.items():
        place = ("entities", name, "columns", column)
        if column not in canonical:
            raise file.error(place, f"'{column}' is no column of {name}; {nearest(column, canonical)}")
        type_ = contract.column(column).type
        if TO_BE_NAMED in origin.format:
            raise file.error((*place, "format"), f"say how the file writes {column}, in place of {TO_BE_NAMED}")
        for word, meant in origin.values.items():
            if meant == TO_BE_NAMED:
                hint = nearest(word, contract.column(column).allowed_values)
                raise file.error((*place, "values", word), f"say what '{word}' is in place of {TO_BE_NAMED}; {hint}")
        for given in origin.format:
            if (given in NUMBER_FORMATS) != (type_ in NUMBER_TYPES) or type_ not in FORMATTED_TYPES:
                raise file.error((*place, "format"), _no_format_of(given, column, type_))
    brought = {*entity.columns, *(f"{ATTRIBUTE_PREFIX}{slug(source)}" for source in entity.attributes)}
    missing = [column for column in contract.required_columns if column not in brought]
    if missing:
        raise file.error(("entities", name, "columns"), f"{name} needs the column '{missing[0]}'")
    for column in COLUMNS_THAT_DESCRIBE if name in ENTITIES_WITH_ATTRIBUTES else ():
        described = entity.columns.get(column)
        complaint = described and described.column and complaint_about(described.column, "feature", described.sensitive)
        if complaint:
            raise file.error(("entities", name, "columns", column), complaint)


def _check_attributes(file: SettingsFile, contract: Contract, entity: EntitySettings) -> None:
    """Only entities that describe have attributes, each under a name of its own, and none of a special category."""
    place = ("entities", contract.entity, "attributes")
    if entity.attributes and contract.entity not in ENTITIES_WITH_ATTRIBUTES:
        raise file.error(place, f"only {' and '.join(ENTITIES_WITH_ATTRIBUTES)} have attributes")
    for source, attribute in entity.attributes.items():
        for name in (source, attribute.label):
            complaint = name and complaint_about(name, attribute.role, attribute.sensitive, attribute.legal_basis)
            if complaint:
                raise file.error((*place, source), complaint)
        for words in (attribute.high_words, attribute.low_words):
            if complaint := complaint_about_words(words or "", "a name that people get"):
                raise file.error((*place, source), complaint)
    by_column: dict[str, str] = {}
    for source in entity.attributes:
        other = by_column.setdefault(slug(source), source)
        if other != source:
            raise file.error((*place, source), f"'{source}' and '{other}' are the same name in SQL")
        _check_declared_attribute(file, contract, source, entity.attributes[source])


def _check_declared_attribute(
    file: SettingsFile, contract: Contract, source: str, attribute: AttributeSettings
) -> None:
    """What the contract says of an attribute holds: its type, and that personal data is no input of a model."""
    name = f"{ATTRIBUTE_PREFIX}{slug(source)}"
    if name not in contract.column_names:
        return
    declared = contract.column(name)
    if attribute.type and TYPE_OF_ATTRIBUTE[attribute.type] != declared.type:
        raise file.error(
            ("entities", contract.entity, "attributes", source),
            f"the contract of {contract.entity} says that {name} is {declared.type}; leave out `type:`",
        )
    if declared.is_personal and attribute.role in ("feature", "label", "text"):
        raise file.error(
            ("entities", contract.entity, "attributes", source),
            f"{name} is {declared.classification} data by the contract of {contract.entity}: no {attribute.role}",
        )


def _no_format_of(given: str, column: str, type_: str) -> str:
    if type_ in NUMBER_TYPES:
        return f"'{given}' is no format of numbers; {nearest(given, NUMBER_FORMATS)}"
    if type_ in FORMATTED_TYPES:
        return f"'{given}' is no date format; write it like %d.%m.%Y %H:%M:%S"
    return f"{column} is neither a time nor a number; it has no format"


def _lookups(file: SettingsFile, content: MappingContent, entities: tuple[MappedEntity, ...]) -> tuple[Lookup, ...]:
    """The lookups in the file's order, each with the columns that entities and later lookups take from it."""
    named = {column: place for entity in entities for column, place in entity.source_columns().items()}
    for name, lookup in content.lookups.items():
        named |= {column: ("lookups", name, "equals") for column in lookup.equals.source_columns()}
    lookups = []
    for place, (name, lookup) in enumerate(content.lookups.items()):
        for column in lookup.equals.source_columns():
            prefix, dot, _ = column.partition(".")
            if dot and prefix in list(content.lookups)[place:]:
                raise file.error(("lookups", name, "equals"), f"'{column}' is looked up only later; change the order")
        taken = sorted(column for column in named if column.startswith(f"{name}."))
        columns = {column.removeprefix(f"{name}."): named[column] for column in taken}
        if not columns:
            raise file.error(("lookups", name), f"no column is taken from it; name one as '{name}.<column>'")
        lookups.append(Lookup(name=name, extract=lookup, columns=columns))
    return tuple(lookups)


def _mapped_entity(name: str, entity: EntitySettings) -> MappedEntity:
    attributes = tuple(
        Attribute(source=source, **attribute.model_dump()) for source, attribute in entity.attributes.items()
    )
    return MappedEntity(entity=name, where=entity.where, columns=entity.columns, attributes=attributes)
