"""`personae rollback`: which model is turned back from, and to which.

What belongs here: finding both in the warehouse. The decision itself is kept in `rollbacks.yml`, see `rollbacks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.persona_store import CHAMPION, standing_model
from orchestration.rollbacks import Rollback, add_rollback
from orchestration.weeks import Week
from orchestration.workspace import Workspace


class NothingToTurnBackFrom(Exception):
    """There is no model, or none before it."""


@dataclass(frozen=True)
class TurnedBack:
    """A decision that was written down."""

    path: Path
    fitted: Week
    back_to: Week
    from_week: Week
    last_week: Week

    @property
    def weeks(self) -> int:
        """How many weeks have to be run again."""
        return len(self.from_week.until(self.last_week))


def turn_back(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, from_week: Week | None, reason: str
) -> TurnedBack:
    """Write down that from a week on its model is not used.

    Args:
        connection: the warehouse; reading is enough.
        workspace: the workspace.
        from_week: the week; default the latest that was run.
        reason: why.

    Raises:
        NothingToTurnBackFrom: no week was run, or no model was fitted before the one of that week.
    """
    try:
        weeks = [
            row[0]
            for row in connection.execute("select as_of from ml.persona_weeks where people > 0 order by 1").fetchall()
        ]
    except duckdb.CatalogException:
        weeks = []
    if not weeks:
        raise NothingToTurnBackFrom("no week was run yet; there is no model to turn back from")
    last = Week.ending(weeks[-1])
    week = from_week or last
    row = connection.execute("select fitted_as_of from ml.persona_weeks where as_of = ?", [week.as_of]).fetchone()
    if row is None or row[0] is None:
        raise NothingToTurnBackFrom(f"the week {week.key} was not run")
    fitted = Week.ending(row[0])
    rollback = Rollback(fitted=fitted.monday, from_week=week.monday, reason=reason)
    back_to = standing_model(connection, week, (*workspace.rollbacks, rollback))
    if back_to is None:
        count = connection.execute("select count(*) from ml.persona_models where status = ?", [CHAMPION]).fetchall()[0][
            0
        ]
        raise NothingToTurnBackFrom(
            f"the model of week {fitted.key} is the first one; there is none to go back to ({count} fitted in all)"
        )
    path = add_rollback(workspace.folder, rollback)
    return TurnedBack(path, fitted, Week.ending(back_to.fitted_as_of), week, last)
