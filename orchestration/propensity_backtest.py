"""What became of past predictions: each week those whose outcomes have just become complete are compared with them.

What belongs here: counting people in SQL. The measures stand in `ml/backtest.py`.
"""

from __future__ import annotations

import math
from datetime import timedelta

import duckdb
import polars as pl

from activation.answers import read_frame
from ml.backtest import CELLS_PER_LOG_ODD, compare_by
from orchestration.persona_store import DISCOVERED
from orchestration.propensity_store import BACKTEST_SCHEMA
from orchestration.sql import identifier
from orchestration.target_settings import Target
from orchestration.weeks import Week
from orchestration.workspace import Workspace

EVERYBODY, PERSONA, MARKET = "everybody", "persona", "market"
MOST_MARKETS = 30


def backtest(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    week: Week,
    name: str,
    target: Target,
    features: set[str],
) -> pl.DataFrame:
    """Compare what was said one horizon ago with what has happened: `BACKTEST_SCHEMA`, empty where nothing was said.

    People whose outcome window is not closed are not counted, nor those who are no longer there: who withdrew, objected
    or was deleted. What became known only after this week's end does not count yet. A label has no later outcome.

    Args:
        connection: the warehouse.
        workspace: the workspace.
        week: the week in which it is asked.
        name: the target's name.
        target: the target.
        features: the features there are.
    """
    if target.outcome == "label":
        return pl.DataFrame(schema=BACKTEST_SCHEMA)
    past = week.back(math.ceil(target.within_days / 7))
    market = market_feature(workspace, features)
    known_until = week.as_of_at(workspace.settings.timezone) + timedelta(hours=workspace.settings.delivery_grace_hours)
    cells = read_frame(
        connection,
        "with scored as (select person_id, least(greatest(probability, 1e-7), 1 - 1e-7) as probability "
        "from ml.propensity_scores where as_of = $past and target = $target and probability is not null), "
        "judged as (select cast(floor(ln(s.probability / (1 - s.probability)) * $cells) as integer) as cell, "
        f"a.persona_id as persona, {f'cast(f.{identifier(market)} as varchar)' if market else 'null'} as market, "
        "s.probability, cast(coalesce(o.outcome, $by_default) as integer) as outcome from scored as s "
        "inner join features.person_features as f on f.as_of = $past and f.person_id = s.person_id "
        "left join features.person_outcomes as o on o.as_of = $past and o.target = $target "
        "and o.person_id = s.person_id and coalesce(o.outcome_known_at < $known_until, true) "
        "left join ml.persona_assignments as a on a.as_of = $past and a.persona_type = $persona_type "
        "and a.person_id = s.person_id "
        "where s.person_id in (select person_id from features.person_features where as_of = $now)) "
        "select cell, persona, market, count(*) as people, sum(outcome)::bigint as positives, "
        "sum(cast(probability as decimal(18, 9)))::double as probability_sum from judged group by all order by all",
        {
            "past": past.as_of,
            "now": week.as_of,
            "target": name,
            "cells": CELLS_PER_LOG_ODD,
            "by_default": target.happens_by_default,
            "known_until": known_until,
            "persona_type": DISCOVERED,
        },
    )
    if cells.is_empty():
        return pl.DataFrame(schema=BACKTEST_SCHEMA)
    rows = [
        {
            "as_of": week.as_of,
            "scored_as_of": past.as_of,
            "target": name,
            "segment_type": kind,
            "segment_id": group,
            **comparison.to_dict(),
            "complaint": comparison.complaint(),
        }
        for kind, column in ((EVERYBODY, None), (PERSONA, "persona"), (MARKET, "market"))
        for group, comparison in compare_by(_largest(cells, column), column, workspace.settings.minimum_cell).items()
    ]
    return pl.DataFrame(rows, schema=BACKTEST_SCHEMA)


def market_feature(workspace: Workspace, features: set[str]) -> str | None:
    """The feature that says in which market somebody is, where one does."""
    stated = workspace.settings.personas.per_market
    candidates = [stated.feature] if stated else ["contact_country", "account_country", "session_country"]
    return next((name for name in candidates if name in features), None)


def _largest(cells: pl.DataFrame, column: str | None) -> pl.DataFrame:
    if column != MARKET:
        return cells
    sizes = (
        cells.drop_nulls(MARKET).group_by(MARKET).agg(pl.col("people").sum()).sort("people", MARKET, descending=True)
    )
    return cells.filter(pl.col(MARKET).is_in(sizes.head(MOST_MARKETS)[MARKET].implode()))


def complaint_of(rows: pl.DataFrame) -> str | None:
    """What is wrong with the predictions for everybody, in words; None where they held or nothing was said."""
    everybody = rows.filter(pl.col("segment_type") == EVERYBODY)
    complaint: str | None = everybody["complaint"][0] if everybody.height else None
    return complaint
