"""`rollbacks.yml`: models that somebody has turned back from, and since when.

What belongs here: the file that `personae rollback` writes. It lies in the workspace, beside the settings, and not in
the warehouse: a warehouse that is built again from the extracts fits the same models and honours the same decisions. A
model is named by the week it was fitted in, that of a target also by the target.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from orchestration.settings_file import SettingsFile
from orchestration.weeks import Week

ROLLBACKS_FILE = "rollbacks.yml"
_HEADER = """# Models that were turned back from, written by `personae rollback`. From the week `from` on, the model
# that was fitted in the week `fitted` is not used: the persona model, or that of `target`. Earlier weeks stay as they
# were published. Delete an entry to undo it.
"""


class Rollback(BaseModel):
    """One decision: from a week on, a model is not used."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    fitted: date
    from_week: Annotated[date, Field(alias="from")]
    target: str | None = None
    reason: str = ""

    def excludes(self, fitted_as_of: date, week: Week, target: str | None = None) -> bool:
        """Whether `week` does without the model whose fit ended on `fitted_as_of`: the persona model, or a target's."""
        is_meant = self.target == target and Week.containing(self.fitted).as_of == fitted_as_of
        return is_meant and Week.containing(self.from_week) <= week


class RollbacksFile(BaseModel):
    """Everything `rollbacks.yml` may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rollbacks: tuple[Rollback, ...] = ()


def read_rollbacks(folder: Path) -> tuple[Rollback, ...]:
    """The decisions of a workspace, none where there is no file.

    Raises:
        SettingsError: the file does not say what it should.
    """
    path = folder / ROLLBACKS_FILE
    return SettingsFile(path).parse(RollbacksFile).rollbacks if path.exists() else ()


def add_rollback(folder: Path, rollback: Rollback) -> Path:
    """Write one more decision down; the same one twice is one."""
    same = (rollback.fitted, rollback.target)
    kept = [one for one in read_rollbacks(folder) if (one.fitted, one.target) != same]
    entries = [
        {"fitted": one.fitted, "from": one.from_week}
        | ({"target": one.target} if one.target else {})
        | ({"reason": one.reason} if one.reason else {})
        for one in sorted([*kept, rollback], key=lambda one: (one.fitted, one.target or ""))
    ]
    path = folder / ROLLBACKS_FILE
    unfinished = path.with_suffix(".unfinished")
    text = _HEADER + yaml.safe_dump({"rollbacks": entries}, sort_keys=False, allow_unicode=True)
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
    return path
