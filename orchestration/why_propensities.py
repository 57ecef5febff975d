"""What is said of one person's propensities, and what moved them: a part of `personae why`.

What belongs here: lines of text from what a week recorded, and from the features of the one person who is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np

from activation.answers import read_frame
from orchestration.eligibility import NOT_ELIGIBLE
from orchestration.propensity_store import model_used
from orchestration.sql import identifier
from orchestration.weeks import Week

SHOWN_CONTRIBUTIONS = 6


def propensity_lines(
    connection: duckdb.DuckDBPyConnection, week: Week, person_id: int, labels: dict[str, str]
) -> Iterator[str]:
    """What is likely, target by target, and what moved it most; nothing where there are no targets."""
    rows = read_frame(
        connection,
        "select s.target, r.label, s.probability, s.band, s.abstained_reason, r.high_from, r.medium_from, "
        # Bands that cannot be told apart are one: only where somebody is in it does one begin.
        "(select list(distinct o.band) from ml.propensity_scores as o where o.as_of = s.as_of and o.target = s.target) "
        "as bands, "
        "(select avg(a.probability) from ml.propensity_scores as a where a.as_of = s.as_of and a.target = s.target) "
        "as everybody from ml.propensity_scores as s left join ml.model_runs as r "
        "on r.as_of = s.as_of and r.target = s.target where s.as_of = ? and s.person_id = ? order by s.target",
        [week.as_of, person_id],
    )
    if rows.is_empty():
        return
    yield ""
    yield "What is likely"
    for row in rows.iter_rows(named=True):
        label = row["label"] or row["target"]
        if row["probability"] is None:
            not_eligible = str(row["abstained_reason"]).removeprefix(NOT_ELIGIBLE)
            because = "it does not apply" if not_eligible != row["abstained_reason"] else "nothing is said"
            yield f"  {label}: {because}, because: {not_eligible}"
            continue
        yield f"  {label}: {row['probability']:.1%}, {row['probability'] / row['everybody']:.1f} times everybody's mean"
        told = row["bands"] or ()
        begins = [
            f"{band} begins at {row[f'{band}_from']:.1%}"
            for band in ("high", "medium")
            if band in told and row[f"{band}_from"]
        ]
        if row["band"]:
            yield f"    in the band '{row['band']}'{': ' if begins else ''}{', '.join(begins)}"
        yield from _contribution_lines(connection, week, person_id, row["target"], labels)


def _contribution_lines(
    connection: duckdb.DuckDBPyConnection, week: Week, person_id: int, target: str, labels: dict[str, str]
) -> Iterator[str]:
    """What moved a probability most; the features of this one person are read, and nobody else's."""
    used = model_used(connection, target, week)
    if used is None or not used.is_readable:
        yield "    what moved it cannot be told: the model is not kept, or another version of a library wrote it"
        return
    columns = ", ".join(identifier(name) for name in ["person_id", *used.model.inputs])
    person = read_frame(
        connection,
        f"select {columns} from features.person_features where as_of = ? and person_id = ?",
        [week.as_of, person_id],
    )
    moved = used.model.contributions(person).sort("rank").head(SHOWN_CONTRIBUTIONS)
    yield f"    what moved it, against people on average (model of the week {Week.ending(used.fitted_as_of).key}):"
    for feature, effect in moved.select("feature", "effect").iter_rows():
        sign = "+" if effect >= 0 else "-"
        value = in_words(person[feature][0])
        yield f"      {sign} {labels.get(feature, feature)}: {value} (odds x {np.exp(effect):.2f})"


def in_words(value: Any) -> str:
    """A value of a feature, for one person to read."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)
