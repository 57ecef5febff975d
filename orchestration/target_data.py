"""Targets held against what was delivered, before anything is computed: values nobody has, horizons without history.

What belongs here: what only the data can tell. What the settings alone can tell stands in `target_settings.py`.
"""

from __future__ import annotations

from datetime import datetime

import duckdb

from orchestration.mapping import ENTITIES_WITH_ATTRIBUTES, slug
from orchestration.settings_file import SettingsFile
from orchestration.sql import identifier
from orchestration.target_settings import misspelt_value, upgraded_column
from orchestration.weekly_plan import SHORTEST_HISTORY, earliest_behaviour, training_weeks
from orchestration.weeks import Week
from orchestration.workspace import SETTINGS_FILE, Workspace

MOST_VALUES = 200
"""Values of a column that are looked at: one with more is no list of plans or answers."""


def check_target_values(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> None:
    """A value that a target asks for occurs, or may still come; a misspelt one does neither.

    Raises:
        SettingsError: the value, its line and the nearest one that occurs.
    """
    attributes = {entity: workspace.attributes(entity) for entity in ENTITIES_WITH_ATTRIBUTES}
    for name, target in workspace.settings.targets.items():
        stated: tuple[str, ...]
        if target.outcome == "label":
            entity, column = "contacts", f"attr_{slug(str(target.label))}"
            stated, key = (str(target.positive),), "positive"
        elif target.outcome == "upgrade":
            entity, column = upgraded_column(target, attributes)
            stated, key = target.values_in_order, "values_in_order"
        else:
            continue
        found = connection.execute(
            f"select distinct trim(cast({identifier(column)} as varchar)) from raw.{identifier(entity)} "
            f"where {identifier(column)} is not null order by 1 limit {MOST_VALUES + 1}"
        ).fetchall()
        wrong = misspelt_value(stated, [value for (value,) in found]) if len(found) <= MOST_VALUES else None
        if wrong:
            file = SettingsFile(workspace.folder / SETTINGS_FILE)
            raise file.error(("targets", name, key), wrong[1])


def horizons_without_history(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, weeks: list[Week]
) -> list[str]:
    """Targets that cannot be learned in the last of `weeks`, because no past week is old enough; in words, with lines.

    They abstain until there is enough history; the run goes on.
    """
    earliest: datetime | None = earliest_behaviour(connection)
    if earliest is None or not weeks:
        return []
    last = max(weeks)
    told = []
    for name, target in workspace.settings.targets.items():
        if target.outcome == "label":
            continue
        zone = workspace.settings.timezone
        if training_weeks(target, last)[0].as_of_at(zone) >= earliest + SHORTEST_HISTORY:
            continue
        days = (last.as_of_at(zone) - earliest - SHORTEST_HISTORY).days // 7 * 7
        within = f"at most {days} days" if days > 0 else "no horizon yet"
        complaint = SettingsFile(workspace.folder / SETTINGS_FILE).error(
            ("targets", name, "within_days"),
            f"the target '{name}' looks {target.within_days} days ahead, and the history from {earliest:%Y-%m-%d} on "
            f"allows {within} in the week {last.key}: it abstains until there is more",
        )
        told.append(f"{SETTINGS_FILE}:{complaint.line}: {complaint.message}")
    return told
