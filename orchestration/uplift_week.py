"""Uplift of one week: what campaigns with a control group brought about, and in whom most.

What belongs here: reading whom chance put where, and writing what was found. The figures stand in `ml/uplift.py`; who
is read out in a week, in dbt's `int_experiment_people`.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import polars as pl

from ml.uplift import RESULT_SCHEMA, UpliftSettings, measure_uplift
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

UPLIFT_SCHEMA = {"as_of": pl.Date, "campaign": pl.String, "outcome": pl.String, **RESULT_SCHEMA}
UPLIFT_TABLES = {"uplift_results": UPLIFT_SCHEMA}
NO_CHANCE = (
    "no campaign whose outcomes became complete in the last fortnight had a group that chance kept from it "
    "(treatment_group in messages): what people would have done anyway is not known, so no uplift is told"
)


@dataclass(frozen=True)
class UpliftWeek:
    """What became of one week: campaigns that were judged, and why others were not."""

    judged: int
    refused: dict[str, str]


def run_uplift_week(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> UpliftWeek:
    """Judge the campaigns of `week` and write `UPLIFT_TABLES`."""
    make_tables(connection, UPLIFT_TABLES)
    settings = workspace.settings
    people = connection.execute(
        "select * exclude (as_of, assigned_people, assigned_at) from intermediate.int_experiment_people "
        "where as_of = ? order by campaign, person_id",
        [week.as_of],
    ).pl()
    rules = UpliftSettings(settings.uplift.minimum_people, settings.personas.seed)
    found = [
        measure_uplift(rows.drop("campaign"), rules).results.with_columns(campaign=pl.lit(str(name)))
        for (name,), rows in people.group_by("campaign", maintain_order=True)
    ]
    if not found:
        nothing = pl.DataFrame([{"abstained_reason": NO_CHANCE}], schema=RESULT_SCHEMA)
        found = [nothing.with_columns(campaign=pl.lit(None, pl.String))]
    results = (
        pl.concat(found)
        .with_columns(
            pl.selectors.float().round(6), as_of=pl.lit(week.as_of), outcome=pl.lit(settings.uplift.in_words())
        )
        .select(list(UPLIFT_SCHEMA))
    )
    with transaction(connection):
        replace_weeks(connection, "ml.uplift_results", results, [week.as_of])
    refused = results.filter(pl.col("abstained_reason").is_not_null())
    return UpliftWeek(
        results.filter(pl.col("learner").is_not_null())["campaign"].n_unique(),
        {campaign or "all": reason for campaign, reason in refused.select("campaign", "abstained_reason").iter_rows()},
    )
