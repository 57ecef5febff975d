"""`personae rollback`: which model is turned back from, and to which.

What belongs here: finding both in the warehouse. The decision itself is kept in `rollbacks.yml`, see `rollbacks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from activation.answers import first_row
from orchestration.persona_store import CHAMPION, standing_model
from orchestration.propensity_store import StandingPropensity, standing_propensity
from orchestration.rollbacks import Rollback, add_rollback
from orchestration.settings_file import nearest
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
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    from_week: Week | None,
    reason: str,
    target: str | None = None,
) -> TurnedBack:
    """Write down that from a week on its model is not used.

    Args:
        connection: the warehouse; reading is enough.
        workspace: the workspace.
        from_week: the week; default the latest that was run.
        reason: why.
        target: the target whose model is meant; default the persona model.

    Raises:
        NothingToTurnBackFrom: no week was run, there is no such target, or no model was fitted before the one of that
            week.
    """
    if target is not None and target not in workspace.settings.targets:
        raise NothingToTurnBackFrom(f"there is no target '{target}'; {nearest(target, workspace.settings.targets)}")
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
    fitted = _fitted(connection, week, target)
    rollback = Rollback(fitted=fitted.monday, from_week=week.monday, target=target, reason=reason)
    rollbacks = (*workspace.rollbacks, rollback)
    back_to = (
        standing_model(connection, week, rollbacks)
        if target is None
        else standing_propensity(connection, target, workspace.settings.targets[target], week, rollbacks)
    )
    if back_to is None:
        table, values = ("persona_models", [CHAMPION]) if target is None else ("propensity_models", [CHAMPION, target])
        count = connection.execute(
            f"select count(*) from ml.{table} where status = ?{' and target = ?' if target else ''}", values
        ).fetchall()[0][0]
        raise NothingToTurnBackFrom(
            f"the model of week {fitted.key} is the first one; there is none to go back to ({count} fitted in all)"
        )
    if isinstance(back_to, StandingPropensity) and back_to.is_pruned:
        before = Week.ending(back_to.fitted_as_of).key
        raise NothingToTurnBackFrom(
            f"the model before it, of week {before}, was pruned: run that week again, which fits the same one, "
            "and then this command"
        )
    path = add_rollback(workspace.folder, rollback)
    return TurnedBack(path, fitted, Week.ending(back_to.fitted_as_of), week, last)


def _fitted(connection: duckdb.DuckDBPyConnection, week: Week, target: str | None) -> Week:
    """The week in which the model of a week was fitted."""
    query = "select fitted_as_of from ml.persona_weeks where as_of = ?"
    if target is not None:
        query = "select fitted_as_of from ml.model_runs where as_of = ? and target = ?"
    try:
        row = first_row(connection, query, [week.as_of, *([target] if target else [])])
    except duckdb.CatalogException:
        row = None
    if row is None or row[0] is None:
        what = "was not run" if target is None else f"has no model of {target}"
        raise NothingToTurnBackFrom(f"the week {week.key} {what}")
    return Week.ending(row[0])
