"""Uplift of one week: what campaigns with a control group brought about, and in whom most.

What belongs here: reading whom chance put where, and writing what was found. The figures stand in `ml/uplift.py`; who
is read out in a week, in dbt's `int_experiment_people`.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import polars as pl

from activation.answers import read_frame
from ml.person_uplift import PERSON_UPLIFT_SCHEMA
from ml.uplift import RESULT_SCHEMA, UpliftSettings, measure_uplift
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

UPLIFT_SCHEMA = {"as_of": pl.Date, "campaign": pl.String, "outcome": pl.String, **RESULT_SCHEMA}
PERSON_UPLIFT = {"as_of": pl.Date, "campaign": pl.String, "outcome": pl.String, **PERSON_UPLIFT_SCHEMA}
UPLIFT_TABLES = {"uplift_results": UPLIFT_SCHEMA, "person_uplift": PERSON_UPLIFT}
NO_CHANCE = (
    "no campaign whose outcomes became complete in the last fortnight had a group that chance kept from it "
    "(treatment_group in messages): what people would have done anyway is not known, so no uplift is told"
)


@dataclass(frozen=True)
class UpliftWeek:
    """What became of one week: campaigns that were judged, why others were not; people with a row, and an uplift."""

    judged: int
    refused: dict[str, str]
    people: int
    told: int


def run_uplift_week(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> UpliftWeek:
    """Judge the campaigns of `week` and write `UPLIFT_TABLES`."""
    make_tables(connection, UPLIFT_TABLES)
    settings = workspace.settings
    people = read_frame(
        connection,
        "select * exclude (as_of, assigned_people, assigned_at) from intermediate.int_experiment_people "
        "where as_of = ? order by campaign, person_id",
        [week.as_of],
    )
    rules = UpliftSettings(settings.uplift.minimum_people, settings.personas.seed)
    found = {
        str(name): measure_uplift(rows.drop("campaign"), rules)
        for (name,), rows in people.group_by("campaign", maintain_order=True)
    }
    by_campaign = [one.results.with_columns(campaign=pl.lit(name)) for name, one in found.items()]
    if not found:
        nothing = pl.DataFrame([{"abstained_reason": NO_CHANCE}], schema=RESULT_SCHEMA)
        by_campaign = [nothing.with_columns(campaign=pl.lit(None, pl.String))]
    by_person = [one.people.with_columns(campaign=pl.lit(name)) for name, one in found.items()]
    tables = {
        "uplift_results": pl.concat(by_campaign),
        "person_uplift": pl.concat(by_person or [pl.DataFrame(schema=PERSON_UPLIFT)]),
    }
    told = {
        name: frame.with_columns(
            pl.selectors.float().round(6), as_of=pl.lit(week.as_of), outcome=pl.lit(settings.uplift.in_words())
        ).select(list(UPLIFT_TABLES[name]))
        for name, frame in tables.items()
    }
    with transaction(connection):
        for name, frame in told.items():
            replace_weeks(connection, f"ml.{name}", frame, [week.as_of])
    results = told["uplift_results"]
    refused = results.filter(pl.col("abstained_reason").is_not_null())
    return UpliftWeek(
        results.filter(pl.col("learner").is_not_null())["campaign"].n_unique(),
        {campaign or "all": reason for campaign, reason in refused.select("campaign", "abstained_reason").iter_rows()},
        told["person_uplift"].height,
        int(told["person_uplift"]["uplift"].is_not_null().sum()),
    )
