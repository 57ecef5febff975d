"""References between entities, and how the Open Data Contract Standard (v3.1) states them.

Here belongs reading a `relationships` entry. Whether the rows that are pointed to are there is asked set-wise of the
loaded tables, by ingestion: such a row often arrives later, so a reference never refuses one.
"""

import re
from dataclasses import dataclass
from typing import Final

from open_data_contract_standard.model import Relationship

from data_contracts.odcs_rules import ContractError

TOLERATED_PERCENT: Final = "toleratedPercent"
_TARGET = re.compile(r"(?P<entity>\w+)\.odcs\.yaml#/schema/(?P=entity)/properties/(?P<column>\w+)")


@dataclass(frozen=True)
class Reference:
    """A column that names rows of another entity.

    Attributes:
        column: The column that points.
        entity: Entity that is pointed to.
        entity_column: Its column; a key of it.
        tolerated_percent: Share, 0 to 100, of the rows with a value that may point to nothing.
    """

    column: str
    entity: str
    entity_column: str
    tolerated_percent: float

    @property
    def name(self) -> str:
        """Says what is wrong with a row that points to nothing."""
        return f"{self.column} is not among the {self.entity}"


def read_reference(relationship: Relationship, column: str, where: str) -> Reference:
    """Read one entry of a column's `relationships` list.

    Args:
        relationship: The entry.
        column: Column it stands in.
        where: Entity it stands in, for messages.

    Raises:
        ContractError: It names no column of another contract file, or tolerates no percentage.
    """
    target = _TARGET.fullmatch(relationship.to) if isinstance(relationship.to, str) else None
    if target is None:
        raise ContractError(
            f"The relationship of {where}.{column} must name <entity>.odcs.yaml#/schema/<entity>/properties/<column>"
        )
    stated = [item.value for item in relationship.customProperties or [] if item.property == TOLERATED_PERCENT]
    tolerated = stated[0] if stated else 0
    if isinstance(tolerated, bool) or not isinstance(tolerated, int | float) or not 0 <= tolerated <= 100:
        raise ContractError(f"The relationship of {where}.{column} tolerates a percentage from 0 to 100")
    return Reference(column, target["entity"], target["column"], float(tolerated))
