"""The contracts of a workspace: ours, with what the files in its `contracts/` folder change.

What belongs here: finding and reading those files, and complaints with their file and line. What a file may change
stands in `data_contracts/changes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from data_contracts.changes import (
    ChangedContract,
    ContractChangeError,
    ContractChanges,
    changed_contract,
    what_decides_rows,
)
from data_contracts.contract import ENTITIES, Contract, load_contract
from orchestration.settings_file import SettingsError, SettingsFile, nearest
from orchestration.sql import check_expression

CONTRACTS_FOLDER = "contracts"
ENDING = ".odcs.yaml"


@dataclass(frozen=True)
class Contracts:
    """The contract of every entity as it holds in one workspace.

    Attributes:
        changed: those that the workspace changes, with what it changes.
    """

    changed: dict[str, ChangedContract] = field(default_factory=dict)

    def __getitem__(self, entity: str) -> Contract:
        """The contract of one entity."""
        return self.changed[entity].contract if entity in self.changed else load_contract(entity)

    def what_decides_rows(self, entity: str) -> str | None:
        """A hash of what the workspace changes about which rows are loaded; None where it changes none of it."""
        ours, theirs = what_decides_rows(load_contract(entity)), what_decides_rows(self[entity])
        return theirs if theirs != ours else None

    def in_words(self) -> list[str]:
        """What the workspace changes, a line each; one line where it changes nothing."""
        lines = []
        for entity, changed in self.changed.items():
            where = f"{CONTRACTS_FOLDER}/{entity}{ENDING}"
            for words, names in (
                ("adds the column", changed.added_columns),
                ("adds or sharpens", changed.added_rules),
            ):
                lines += [f"{where} {words} '{name}'" for name in names]
            lines += self.loosened_in(entity)
        return lines or ["The contracts hold as they come with Personae; files in contracts/ change them."]

    def loosened(self) -> list[str]:
        """What the workspace loosens, a sentence each, with the reason it gives."""
        return [words for entity in self.changed for words in self.loosened_in(entity)]

    def loosened_in(self, entity: str) -> list[str]:
        """What the workspace loosens of one entity's contract, a sentence each."""
        if entity not in self.changed:
            return []
        return [
            f"{CONTRACTS_FOLDER}/{entity}{ENDING} loosens '{each.rule}' ({each.how}): {each.reason or 'no reason'}"
            for each in self.changed[entity].loosened
        ]


def read_contracts(workspace_folder: Path) -> Contracts:
    """The contracts as a workspace changes them.

    Args:
        workspace_folder: the folder with `personae.yml`; `contracts/` in it may be missing.

    Raises:
        SettingsError: a file is of no entity, says what it may not say, or loosens a critical rule without a reason.
    """
    changed: dict[str, ChangedContract] = {}
    folder = workspace_folder / CONTRACTS_FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix not in (".yaml", ".yml"):
            continue
        entity = path.name.removesuffix(ENDING)
        if entity not in ENTITIES or not path.name.endswith(ENDING):
            names = [f"{each}{ENDING}" for each in ENTITIES]
            raise SettingsError(path, None, f"this is the contract of no entity; {nearest(path.name, names)}")
        changed[entity] = _read_change(path, entity)
    return Contracts(changed)


def _read_change(path: Path, entity: str) -> ChangedContract:
    file = SettingsFile(path)
    changes = file.parse(ContractChanges)
    try:
        changed = changed_contract(entity, changes)
    except ContractChangeError as error:
        raise file.error(error.location, str(error)) from None
    ours = {rule.condition for rule in load_contract(entity).rules}
    for rule in changed.contract.rules:
        if rule.condition is not None and rule.condition not in ours:
            try:
                check_expression(rule.condition)
            except ValueError as error:
                raise file.error(("schema", 0), f"rule '{rule.name}': {error}") from None
    return changed
