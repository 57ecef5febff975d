"""What a company changes of a contract: rules made stricter, columns of its own, and what it loosens, with a reason.

Here belongs what a company's partial ODCS file may say, and how it is laid over ours. Where such files are, and in
which line of one a mistake is, is known to whoever reads them: an error here carries the place within the document.

Laid over means: what the file states takes the place of ours, everything else stays. Columns are found by their names,
rules by theirs; the one list of allowed values and the one limit of missing values that a column has need no name. A
company may not change what our tables are made of: types, keys, and the columns that tell time and version.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeVar

from open_data_contract_standard.model import (
    CustomProperty,
    DataQuality,
    OpenDataContractStandard,
    Relationship,
    SchemaObject,
    SchemaProperty,
)
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.contract import ENTITIES, Contract, contract_document, contract_of, load_contract
from data_contracts.odcs_references import Reference
from data_contracts.odcs_rules import LOGICAL_TYPES, ContractError, Rule, quality_rule, read_bound
from data_contracts.rules import ATTRIBUTE_PREFIX

ATTRIBUTE_TYPES: Final = ("VARCHAR", "DOUBLE", "BOOLEAN")
COLUMN_NAME: Final = re.compile(r"[a-z](?:_?[a-z0-9]){0,48}")
LOOSENS: Final = "loosens"
RETENTION: Final = "retention"
"""Name of the promise that rows are kept no longer than the contract says, for `loosens`."""
_PROTECTION: Final = ("internal", "pseudonymous", "personal")

Location = tuple[str | int, ...]
Item = TypeVar("Item", bound=BaseModel)


class ContractChangeError(ContractError):
    """A company's contract file asks for what it may not have; `location` is the place within the document."""

    def __init__(self, location: Location, message: str):
        """Keep where and what."""
        self.location = location
        super().__init__(message)


class Part(BaseModel):
    """A part of a company's file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def stated(self) -> dict[str, Any]:
        """What the file states, by the standard's names; what it leaves out is not among it."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class DescriptionChange(Part):
    """Why the company holds the data, and what the data is not for."""

    purpose: str | None = None
    limitations: str | None = None
    usage: str | None = None


class RetentionChange(Part):
    """How long the company keeps the rows."""

    property: Literal["retention"]
    value: int = Field(ge=1)
    unit: Literal["d"]
    element: str | None = None
    driver: str | None = None
    description: str | None = None


class QualityChange(Part):
    """A rule: one of ours with other figures, or one of the company's own."""

    type: Literal["library", "sql"] | None = None
    metric: Literal["nullValues", "invalidValues", "duplicateValues"] | None = None
    name: str | None = None
    query: str | None = None
    arguments: dict[str, Any] | None = None
    mustBe: Literal[0] | None = None
    mustBeLessOrEqualTo: float | None = Field(default=None, ge=0, le=100)
    unit: str | None = None
    severity: Literal["critical", "warning"] | None = None
    dimension: str | None = None
    description: str | None = None


class ColumnPropertyChange(Part):
    """What is said of a column beyond the standard."""

    property: Literal["unit", "purpose", "retentionDays"]
    value: str | int
    description: str | None = None


class ToleranceChange(Part):
    """How many rows may point to nothing."""

    property: Literal["toleratedPercent"]
    value: float = Field(ge=0, le=100)
    description: str | None = None


class RelationshipChange(Part):
    """A reference to another entity."""

    to: str
    customProperties: tuple[ToleranceChange, ...] = ()


class ColumnChange(Part):
    """A column: one of ours, or one of the company's own."""

    name: str
    logicalType: str | None = None
    physicalType: str | None = None
    required: bool | None = None
    unique: bool | None = None
    classification: Literal["personal", "pseudonymous", "internal"] | None = None
    description: str | None = None
    logicalTypeOptions: dict[str, Any] | None = None
    relationships: tuple[RelationshipChange, ...] = ()
    customProperties: tuple[ColumnPropertyChange, ...] = ()
    quality: tuple[QualityChange, ...] = ()


class TableChange(Part):
    """The one table of the entity."""

    name: str
    description: str | None = None
    logicalType: Literal["object"] | None = None
    physicalType: Literal["table"] | None = None
    properties: tuple[ColumnChange, ...] = ()
    quality: tuple[QualityChange, ...] = ()


class LoosenedRule(Part):
    """A promise the company does not keep, and why."""

    rule: str
    reason: str = Field(min_length=10)


class Loosens(Part):
    """The list of promises that are loosened on purpose."""

    property: Literal["loosens"]
    value: tuple[LoosenedRule, ...]
    description: str | None = None


class ContractChanges(Part):
    """Everything a company's file may say; a part of the Open Data Contract Standard."""

    apiVersion: str = Field(pattern=r"^v3\.\d+\.\d+$")
    kind: Literal["DataContract"]
    id: str
    name: str | None = None
    version: str
    status: str
    domain: str | None = None
    description: DescriptionChange | None = None
    slaProperties: tuple[RetentionChange, ...] = Field(default=(), max_length=1)
    tables: tuple[TableChange, ...] = Field(alias="schema", min_length=1, max_length=1)
    customProperties: tuple[Loosens, ...] = Field(default=(), max_length=1)

    @model_validator(mode="after")
    def _loosens_each_rule_once(self) -> "ContractChanges":
        rules = [loosened.rule for each in self.customProperties for loosened in each.value]
        if len(set(rules)) < len(rules):
            raise ValueError("a rule is loosened twice")
        return self


@dataclass(frozen=True)
class Loosening:
    """A promise of ours that a company's contract does not keep.

    Attributes:
        rule: Name of our rule.
        is_critical: Whether the rule refuses rows, or protects people; such a promise needs a reason.
        how: What is looser, in words.
        reason: Why, in the company's words; empty where a warning is loosened without one.
    """

    rule: str
    is_critical: bool
    how: str
    reason: str = ""


@dataclass(frozen=True)
class ChangedContract:
    """A contract with a company's changes.

    Attributes:
        contract: The contract that holds.
        document: The same as an ODCS document.
        added_columns: The company's own columns.
        added_rules: Rules that are stricter than ours, or new; those of its own columns not among them.
        loosened: What it loosens.
    """

    contract: Contract
    document: OpenDataContractStandard
    added_columns: tuple[str, ...]
    added_rules: tuple[str, ...]
    loosened: tuple[Loosening, ...]


def changed_contract(entity: str, changes: ContractChanges) -> ChangedContract:
    """Lay a company's changes over our contract.

    Args:
        entity: The entity.
        changes: The company's file.

    Raises:
        ContractChangeError: It changes what our tables are made of, or loosens a critical rule without a reason.
    """
    ours = load_contract(entity)
    table = changes.tables[0]
    if table.name != entity:
        raise ContractChangeError(("schema", 0, "name"), f"this file is about {entity}, not about '{table.name}'")
    document, places = _laid_over(contract_document(entity), ours, changes)
    try:
        contract = contract_of(document)
    except ContractError as error:
        raise ContractChangeError(("schema", 0), str(error)) from error
    _check_references(contract, changes)
    reasons = {each.rule: each.reason for loosens in changes.customProperties for each in loosens.value}
    loosened = []
    for loosening in _loosened(ours, contract):
        reason = reasons.pop(loosening.rule, "")
        if loosening.is_critical and not reason:
            raise ContractChangeError(
                places.get(loosening.rule, ()),
                f"this loosens the critical rule '{loosening.rule}': {loosening.how}. Where that is meant, say why: "
                f"customProperties: [{{property: {LOOSENS}, value: [{{rule: '{loosening.rule}', reason: ...}}]}}]",
            )
        loosened.append(Loosening(loosening.rule, loosening.is_critical, loosening.how, reason))
    for place, rule in enumerate(each.rule for loosens in changes.customProperties for each in loosens.value):
        if rule in reasons:
            raise ContractChangeError(
                ("customProperties", 0, "value", place, "rule"), f"nothing here loosens a rule named '{rule}'"
            )
    own = tuple(name for name in contract.column_names if name not in ours.column_names)
    return ChangedContract(
        contract,
        document,
        added_columns=own,
        added_rules=tuple(_stricter(ours, contract, own)),
        loosened=tuple(loosened),
    )


def what_decides_rows(contract: Contract) -> str:
    """A short hash of everything that decides whether and how a row is loaded: types and critical rules.

    Args:
        contract: A contract.

    Returns:
        The same text for two contracts that load the same rows, whatever else they say.
    """
    decisive = [
        (
            rule.kind,
            rule.column,
            rule.allowed_values,
            rule.minimum,
            rule.maximum,
            rule.pattern,
            rule.condition,
            rule.name,
        )
        for rule in contract.rules
        if rule.severity == "critical"
    ]
    types = [(column.name, column.type) for column in contract.columns]
    return hashlib.sha256(repr((types, decisive)).encode()).hexdigest()[:16]


def _laid_over(
    document: OpenDataContractStandard, ours: Contract, changes: ContractChanges
) -> tuple[OpenDataContractStandard, dict[str, Location]]:
    """Our document with the changes, and where the changes touch each of our rules."""
    places: dict[str, Location] = {}
    table_change = changes.tables[0]
    table = (document.schema_ or [])[0]
    document.version = f"{document.version}+{changes.version}"
    document.id = changes.id
    if changes.description and document.description:
        document.description = document.description.model_copy(update=changes.description.stated())
    for sla in document.slaProperties or []:
        if sla.property == RETENTION and changes.slaProperties:
            sla.value = changes.slaProperties[0].value
            places[RETENTION] = ("slaProperties", 0, "value")
    if table_change.description:
        table.description = table_change.description
    for place, column in enumerate(table_change.properties):
        here: Location = ("schema", 0, "properties", place)
        prop = next((each for each in table.properties or [] if each.name == column.name), None)
        if prop is None:
            prop = _own_column(column, ours, here)
            table.properties = [*(table.properties or []), prop]
        _change_column(prop, column, ours, here, places)
    table.quality = _merged_rules(
        table.quality, table_change.quality, ours.entity, None, ("schema", 0, "quality"), places
    )
    _check_names_differ(table, ours)
    return document, places


def _own_column(column: ColumnChange, ours: Contract, here: Location) -> SchemaProperty:
    """A column that is none of ours, with what every column has to state."""
    for key in ("physicalType", "classification", "description"):
        if getattr(column, key) is None:
            words = f"'{column.name}' is no column of {ours.entity}; a column of your own states its {key}"
            raise ContractChangeError((*here, "name"), words)
    if not COLUMN_NAME.fullmatch(column.name):
        words = f"'{column.name}' must be lower case letters, digits and single underscores"
        raise ContractChangeError((*here, "name"), words)
    if column.physicalType not in LOGICAL_TYPES:
        words = f"the type '{column.physicalType}' is none of {', '.join(LOGICAL_TYPES)}"
        raise ContractChangeError((*here, "physicalType"), words)
    if column.name.startswith(ATTRIBUTE_PREFIX):
        if not ours.allows_attributes:
            raise ContractChangeError((*here, "name"), f"{ours.entity} has no attributes; name the column otherwise")
        if column.physicalType not in ATTRIBUTE_TYPES:
            words = f"an attribute is one of {', '.join(ATTRIBUTE_TYPES)}"
            raise ContractChangeError((*here, "physicalType"), words)
    return SchemaProperty(
        name=column.name, physicalType=column.physicalType, logicalType=LOGICAL_TYPES[column.physicalType]
    )


def _change_column(
    prop: SchemaProperty, column: ColumnChange, ours: Contract, here: Location, places: dict[str, Location]
) -> None:
    for key in ("physicalType", "logicalType"):
        wanted = getattr(column, key)
        if wanted is not None and wanted != getattr(prop, key):
            words = f"the {key} of {column.name} is {getattr(prop, key)}, and stays so"
            raise ContractChangeError((*here, key), words)
    if column.classification is not None:
        if prop.classification and _PROTECTION.index(column.classification) < _PROTECTION.index(prop.classification):
            words = f"{column.name} is {prop.classification} data, whatever a file says"
            raise ContractChangeError((*here, "classification"), words)
        prop.classification = column.classification
    if column.description is not None:
        prop.description = column.description
    if column.required is not None:
        prop.required = column.required
    if column.unique is not None:
        prop.unique = column.unique
    if column.logicalTypeOptions is not None:
        _check_bounds(column.logicalTypeOptions, str(prop.physicalType), (*here, "logicalTypeOptions"))
        options = {**(prop.logicalTypeOptions or {}), **column.logicalTypeOptions}
        prop.logicalTypeOptions = {key: value for key, value in options.items() if value is not None} or None
    for each in column.customProperties:
        stated = CustomProperty(**each.stated())
        others = [item for item in prop.customProperties or [] if item.property != each.property]
        prop.customProperties = [*others, stated]
    for relationship in column.relationships:
        pointing = [item for item in prop.relationships or [] if item.to != relationship.to]
        prop.relationships = [*pointing, Relationship(**relationship.stated())]
    prop.quality = _merged_rules(prop.quality, column.quality, ours.entity, column.name, (*here, "quality"), places)
    for rule in ours.rules:
        if rule.column == column.name and rule.kind in _KEY_OF_KIND:
            places.setdefault(rule.name, (*here, _KEY_OF_KIND[rule.kind]))


_KEY_OF_KIND: Final = {"required": "required", "range": "logicalTypeOptions", "unique": "unique"}


def _check_bounds(options: dict[str, Any], type_: str, here: Location) -> None:
    for key, value in options.items():
        if key not in ("minimum", "maximum", "format", "defaultTimezone"):
            raise ContractChangeError((*here, key), f"'{key}' is not checked here; say minimum or maximum")
        try:
            if key in ("minimum", "maximum"):
                read_bound(value, type_)
        except ContractError as error:
            raise ContractChangeError((*here, key), str(error)) from error


def _merged_rules(
    ours: list[DataQuality] | None,
    changes: Iterable[QualityChange],
    entity: str,
    column: str | None,
    here: Location,
    places: dict[str, Location],
) -> list[DataQuality] | None:
    """Our rules, changed where one of the company's has the same name or is of the kind a column has once."""
    merged = list(ours or [])
    for place, change in enumerate(changes):
        found = next((i for i, each in enumerate(merged) if _is_same_rule(each, change, entity, column)), None)
        if found is None:
            merged.append(DataQuality(**change.stated()))
        else:
            places[quality_rule(merged[found], entity, column).name] = (*here, place)
            stated = change.stated()
            if "mustBeLessOrEqualTo" in stated:  # a rule promises one or the other
                stated.setdefault("mustBe", None)
            elif "mustBe" in stated:
                stated |= {"mustBeLessOrEqualTo": None, "unit": None}
            merged[found] = merged[found].model_copy(update=stated)
        try:
            quality_rule(merged[len(merged) - 1 if found is None else found], entity, column)
        except ContractError as error:
            raise ContractChangeError((*here, place), str(error)) from error
    return merged or None


def _is_same_rule(ours: DataQuality, change: QualityChange, entity: str, column: str | None) -> bool:
    if change.name is not None:
        return quality_rule(ours, entity, column).name == change.name
    if column is None or ours.metric != change.metric:
        return False
    return change.metric == "nullValues" or ("validValues" in (ours.arguments or {}).keys() & (change.arguments or {}))


def _check_names_differ(table: SchemaObject, ours: Contract) -> None:
    if len({prop.name for prop in table.properties or []}) < len(table.properties or []):
        raise ContractChangeError(("schema", 0, "properties"), f"a column of {ours.entity} stands twice")


def _check_references(contract: Contract, changes: ContractChanges) -> None:
    """A reference names a column there is."""
    for place, column in enumerate(changes.tables[0].properties):
        for reference in contract.column(column.name).references if column.relationships else ():
            columns = load_contract(reference.entity).column_names if reference.entity in ENTITIES else ()
            if reference.entity_column not in columns:
                here = ("schema", 0, "properties", place, "relationships")
                raise ContractChangeError(here, f"there is no column {reference.entity}.{reference.entity_column}")


def _loosened(ours: Contract, theirs: Contract) -> Iterator[Loosening]:
    """Every promise of ours that the other contract does not make."""
    if theirs.retention_days > ours.retention_days:
        yield Loosening(RETENTION, True, f"{ours.retention_days} days becomes {theirs.retention_days} days")
    for rule in ours.rules:
        how = _looser_by(rule, _counterpart(rule, theirs.rules))
        if how:
            yield Loosening(rule.name, rule.severity == "critical", how)
    for reference in ours.references:
        how = _tolerates_more(reference, theirs.references)
        if how:
            yield Loosening(reference.name, False, how)


def _stricter(ours: Contract, theirs: Contract, own_columns: tuple[str, ...]) -> Iterator[str]:
    """Names of the rules and references that the other contract has beyond ours, or has sharper."""
    pairs = [(rule, _counterpart(rule, theirs.rules)) for rule in ours.rules]
    known = [_without_words(rule) for rule in ours.rules]
    known += [_without_words(other) for rule, other in pairs if other and _looser_by(rule, other)]
    for rule in theirs.rules:
        if rule.column not in own_columns and _without_words(rule) not in known:
            yield rule.name
    looser = {reference.name for reference in ours.references if _tolerates_more(reference, theirs.references)}
    for reference in theirs.references:
        if reference.column not in own_columns and reference not in ours.references and reference.name not in looser:
            yield reference.name


def _without_words(rule: Rule) -> Rule:
    return replace(rule, description="")


def _counterpart(rule: Rule, others: Iterable[Rule]) -> Rule | None:
    """The rule of the other contract that stands in this one's place; names may tell figures, so kinds count."""
    by_name = rule.kind in ("pattern", "condition", "unique")
    for other in others:
        if (other.column, other.kind) == (rule.column, rule.kind) and (not by_name or other.name == rule.name):
            return other
    return None


def _looser_by(rule: Rule, other: Rule | None) -> str | None:
    """What the other rule lets pass that this one does not; None where it is as strict."""
    if other is None:
        return "the rule is gone"
    if rule.severity == "critical" and other.severity == "warning":
        return "critical becomes warning"
    if other.tolerated_percent > rule.tolerated_percent:
        return f"{rule.tolerated_percent:g} % becomes {other.tolerated_percent:g} %"
    if (rule.condition, rule.pattern, rule.unique_columns) != (other.condition, other.pattern, other.unique_columns):
        return "what it asks for is another thing"
    is_wider = (
        (rule.kind == "allowed" and not set(other.allowed_values) <= set(rule.allowed_values))
        or (rule.minimum is not None and (other.minimum is None or other.minimum < rule.minimum))  # type: ignore[operator]
        or (rule.maximum is not None and (other.maximum is None or other.maximum > rule.maximum))  # type: ignore[operator]
    )
    return f"'{rule.name}' becomes '{other.name}'" if is_wider else None


def _tolerates_more(reference: Reference, others: Iterable[Reference]) -> str | None:
    same = [other for other in others if (other.column, other.entity) == (reference.column, reference.entity)]
    if not same:
        return "the reference is gone"
    if same[0].tolerated_percent > reference.tolerated_percent:
        return f"{reference.tolerated_percent:g} % becomes {same[0].tolerated_percent:g} %"
    return None
