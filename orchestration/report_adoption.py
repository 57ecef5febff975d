"""What the report says of the adoption curve: read from the marts, aggregates only."""

from __future__ import annotations

import duckdb
import polars as pl

from activation.answers import read_frame
from orchestration.weeks import Week
from orchestration.workspace import Workspace


def adoption_frames(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> dict[str, pl.DataFrame]:
    """The frames of `ReportData` that begin with `adoption_`; empty where no launches are declared."""
    if not workspace.settings.launches:
        return {}
    names = workspace.settings.adoption.names()
    launches = {launch.id: launch.name for launch in workspace.settings.launches}
    places = {one: place for place, one in enumerate(names)}
    told = read_frame(
        connection,
        "select as_of, measure, adoption_class, launch_id, days, value, value_low, value_high, people, words, model_id "
        "from marts.adoption_validity where as_of = ? or (as_of < ? and measure = 'class_share') order by all",
        [week.as_of, week.as_of],
    )
    told = told.with_columns(
        class_name=pl.col("adoption_class").replace_strict(names, default=None, return_dtype=pl.String),
        place=pl.col("adoption_class").replace_strict(places, default=None, return_dtype=pl.Int64),
        launch=pl.col("launch_id").replace_strict(launches, default=None, return_dtype=pl.String),
    )
    is_share, is_curve = pl.col("measure") == "class_share", pl.col("measure") == "tried_share"
    # A class that the settings no longer name has a past that nobody can be told of.
    return {
        "adoption_history": told.filter(is_share & pl.col("place").is_not_null()).with_columns(share="value"),
        "adoption_figures": told.filter(~is_share & ~is_curve),
        "adoption_curves": told.filter(is_curve & pl.col("place").is_not_null()),
        "adoption_moves": read_frame(
            connection,
            "select from_segment_id as from_class, to_segment_id as to_class, people from marts.segment_migrations "
            "where as_of = ? and segment_type = 'adoption_class' order by all",
            [week.as_of],
        ),
    }
