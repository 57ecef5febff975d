"""What an entity promises: its columns, its key and its rules, read from its ODCS file.

Here belongs what a contract *is* and how a file becomes one. What a rule is and how a file states it belongs in
`odcs_rules`; how a contract is shown, in `documentation`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard, SchemaObject, SchemaProperty

from data_contracts.odcs_references import Reference, read_reference
from data_contracts.odcs_rules import TYPE_WORDS, Bound, ContractError, Rule, promises, quality_rule, read_columns

ENTITIES: Final = (
    "contacts",
    "accounts",
    "events",
    "orders",
    "order_lines",
    "deals",
    "messages",
    "tickets",
    "survey_answers",
    "consents",
    "ad_costs",
)
"""Every entity there is, in the order the documentation names them."""


@dataclass(frozen=True)
class Column:
    """One canonical column.

    Attributes:
        name: Canonical name.
        type: DuckDB type, one of `TYPE_WORDS`.
        required: Whether a row without it is refused.
        description: One plain sentence.
        classification: `personal` (identifies a person, or is text they wrote), `pseudonymous` (a key), `internal`.
        unit: Unit of a quantity.
        purpose: What the column is used for: its own purpose, which every personal column states, or the contract's.
        retention_days: How long its values are kept unless a company decides otherwise.
        is_unique: Whether no two rows of a file have the same value.
        references: The rows of other entities that the column names.
        rules: The rules about this column alone.
    """

    name: str
    type: str
    required: bool
    description: str
    classification: str
    unit: str | None
    purpose: str
    retention_days: int
    is_unique: bool
    references: tuple[Reference, ...]
    rules: tuple[Rule, ...]

    @property
    def is_personal(self) -> bool:
        """Whether the column holds personal data; keys of people are personal data too."""
        return self.classification in ("personal", "pseudonymous")

    @property
    def allowed_values(self) -> tuple[str, ...]:
        """The values the column may have, or nothing where it may have any."""
        return next((rule.allowed_values for rule in self.rules if rule.kind == "allowed"), ())

    @property
    def minimum(self) -> Bound | None:
        """Lowest value the column may have."""
        return next((rule.minimum for rule in self.rules if rule.kind == "range"), None)

    @property
    def maximum(self) -> Bound | None:
        """Highest value the column may have."""
        return next((rule.maximum for rule in self.rules if rule.kind == "range"), None)

    @property
    def pattern(self) -> str | None:
        """Regular expression the whole value is expected to match."""
        return next((rule.pattern for rule in self.rules if rule.kind == "pattern"), None)


@dataclass(frozen=True)
class Contract:
    """What one entity promises.

    Attributes:
        entity: Name of the entity and of its table in `raw`.
        title: Its name in prose.
        version: Version of the contract.
        description: What the rows are.
        granularity: What one row is.
        purpose: What the data is used for.
        limitations: What it must not be taken for.
        retention_days: How long rows are kept unless a company decides otherwise.
        columns: Canonical columns, in the order of the table.
        row_rules: The rules about several columns.
        primary_key: Columns of the key; empty where the entity has none. A key may be absent from a row.
        time_column: When what the row tells of happened.
        version_columns: The first of these with a value says when a version becomes valid; empty where rows have
            no versions.
        allows_attributes: Whether a mapping may add columns `attr_<name>`.
    """

    entity: str
    title: str
    version: str
    description: str
    granularity: str
    purpose: str
    limitations: str
    retention_days: int
    columns: tuple[Column, ...]
    row_rules: tuple[Rule, ...]
    primary_key: tuple[str, ...]
    time_column: str
    version_columns: tuple[str, ...]
    allows_attributes: bool

    @property
    def is_versioned(self) -> bool:
        """Whether the same key may be delivered again and again, each time as a new version."""
        return bool(self.version_columns)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Names of the required columns, in order."""
        return tuple(column.name for column in self.columns if column.required)

    @property
    def references(self) -> tuple[Reference, ...]:
        """The columns that name rows of other entities, in order."""
        return tuple(reference for column in self.columns for reference in column.references)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule: first those about one column, in the order of the columns, then those about several."""
        return tuple(rule for column in self.columns for rule in column.rules) + self.row_rules

    def column(self, name: str) -> Column:
        """Return one column.

        Args:
            name: Canonical name.

        Raises:
            ContractError: The contract has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise ContractError(f"{self.entity} has no column {name!r}")


@cache
def load_contract(entity: str) -> Contract:
    """Read the contract of one entity.

    Args:
        entity: One of `ENTITIES`.

    Raises:
        ContractError: There is no such entity, or its file breaks the standard or our use of it.

    Examples:
        >>> load_contract("orders").time_column
        'ordered_at'
    """
    if entity not in ENTITIES:
        raise ContractError(f"There is no entity {entity!r}; there are {', '.join(ENTITIES)}")
    contract = contract_of(contract_document(entity))
    if contract.entity != entity:
        raise ContractError(f"{entity}.odcs.yaml is the contract of {contract.entity}")
    return contract


def contract_document(entity: str) -> OpenDataContractStandard:
    """Read the file of one entity as the standard's model; every call gives a document of its own.

    Args:
        entity: One of `ENTITIES`.
    """
    return _document((Path(__file__).parent / f"{entity}.odcs.yaml").read_text(encoding="utf-8"))


def load_contracts() -> dict[str, Contract]:
    """Read the contracts of all entities, in the order of `ENTITIES`."""
    return {entity: load_contract(entity) for entity in ENTITIES}


def read_contract(text: str) -> Contract:
    """Make a contract of the text of an ODCS file.

    Args:
        text: YAML of the Open Data Contract Standard, with one schema object.

    Raises:
        ContractError: Something a contract needs is missing, or a rule is of no kind we know.
    """
    return contract_of(_document(text))


def _document(text: str) -> OpenDataContractStandard:
    """The standard's own `from_string` with the parser in C: eleven contracts are read in every command."""
    return OpenDataContractStandard(**yaml.load(text, Loader=_SAFE_LOADER))  # noqa: S506 - a safe one


_SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def contract_of(odcs: OpenDataContractStandard) -> Contract:
    """Make a contract of an ODCS document.

    Args:
        odcs: The document, with one schema object.

    Raises:
        ContractError: Something a contract needs is missing, or a rule is of no kind we know.
    """
    table = _one_table(odcs)
    entity = str(table.name)
    purpose = (odcs.description and odcs.description.purpose) or ""
    retention_days = _retention_days(odcs)
    columns = tuple(_column(prop, entity, purpose, retention_days) for prop in table.properties or [])
    custom = _custom(table.customProperties)
    contract = Contract(
        entity=entity,
        title=odcs.name or entity,
        version=odcs.version or "",
        description=table.description or "",
        granularity=table.dataGranularityDescription or "",
        purpose=purpose,
        limitations=(odcs.description and odcs.description.limitations) or "",
        retention_days=retention_days,
        columns=columns,
        row_rules=tuple(quality_rule(quality, entity, None) for quality in table.quality or []),
        primary_key=_primary_key(table),
        time_column=str(custom.get("timeColumn", "")),
        version_columns=tuple(custom.get("versionColumns", ())),
        allows_attributes=bool(custom.get("allowsAttributes", False)),
    )
    problems = list(_problems(contract))
    if problems:
        raise ContractError(f"Contract of {entity}: " + "; ".join(problems))
    return contract


def _problems(contract: Contract) -> Iterator[str]:
    names = contract.column_names
    if len(set(names)) < len(names):
        yield "a column is declared twice"
    if contract.time_column not in names:
        yield "its customProperty timeColumn names no column"
    rule_names = [rule.name for rule in contract.rules]
    yield from (f"two rules are named {name!r}" for name in sorted(set(rule_names)) if rule_names.count(name) > 1)
    yield from (f"a rule is named like the column {name}" for name in names if name in rule_names)
    for column in contract.columns:
        if column.type not in TYPE_WORDS:
            yield f"{column.name} has the unknown type {column.type}"
        if not column.description:
            yield f"{column.name} has no description"
        if column.classification not in ("personal", "pseudonymous", "internal"):
            yield f"{column.name} has no known classification"
        if column.classification == "personal" and not column.purpose:
            yield f"{column.name} is personal but states no purpose"
        if not 0 < column.retention_days <= contract.retention_days:
            yield f"{column.name} is kept longer than its row"
    for rule in contract.rules:
        used = read_columns(rule.condition) if rule.condition else set(rule.unique_columns)
        yield from (f"rule {rule.name!r} reads the unknown column {name}" for name in sorted(used - set(names)))


def _one_table(odcs: OpenDataContractStandard) -> SchemaObject:
    if odcs.schema_ is None or len(odcs.schema_) != 1 or not odcs.schema_[0].name:
        raise ContractError("A contract file describes exactly one named table")
    return odcs.schema_[0]


def _column(prop: SchemaProperty, entity: str, purpose: str, retention_days: int) -> Column:
    name, type_ = str(prop.name), str(prop.physicalType)
    custom = _custom(prop.customProperties)
    is_personal_data = prop.classification == "personal"
    return Column(
        name=name,
        type=type_,
        required=bool(prop.required),
        description=prop.description or "",
        classification=prop.classification or "",
        unit=custom.get("unit"),
        # Why identifying data is kept has to be said of each column; the purpose of the whole is none.
        purpose=str(custom.get("purpose") or ("" if is_personal_data else purpose)),
        retention_days=int(custom.get("retentionDays") or retention_days),
        is_unique=bool(prop.unique),
        references=tuple(read_reference(each, name, entity) for each in prop.relationships or []),
        rules=(
            *promises(prop, name, type_),
            *(quality_rule(quality, entity, name) for quality in prop.quality or []),
        ),
    )


def _retention_days(odcs: OpenDataContractStandard) -> int:
    for sla in odcs.slaProperties or []:
        if sla.property == "retention" and sla.unit == "d" and isinstance(sla.value, int | float | str):
            return int(sla.value)
    raise ContractError("A contract needs an slaProperty retention, in days (unit d)")


def _primary_key(table: SchemaObject) -> tuple[str, ...]:
    key = [prop for prop in table.properties or [] if prop.primaryKey]
    return tuple(str(prop.name) for prop in sorted(key, key=lambda prop: prop.primaryKeyPosition or 0))


def _custom(properties: list[CustomProperty] | None) -> dict[str, Any]:
    return {str(item.property): item.value for item in properties or []}
