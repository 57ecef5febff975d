"""What the report tells of look-alikes, read from what their week wrote: aggregates only."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import polars as pl

from activation.answers import read_frame
from orchestration.weeks import Week


def lookalike_frames(connection: duckdb.DuckDBPyConnection, week: Week) -> dict[str, pl.DataFrame]:
    """The report's frames of look-alikes; empty where none is declared."""
    rows = read_frame(
        connection,
        "select lookalike, method, seed_people, candidates, people, precision_by_size, parity, notes, abstained_reason "
        "from ml.lookalike_models where as_of = ? order by lookalike",
        [week.as_of],
    )
    return {
        "lookalikes": rows.drop("precision_by_size", "parity", "notes"),
        "lookalike_precision": _unfolded(rows, "precision_by_size"),
        "lookalike_parity": _unfolded(rows, "parity"),
        "lookalike_notes": pl.DataFrame(
            [
                {"lookalike": name, "place": place, "words": words}
                for name, notes in rows.select("lookalike", "notes").iter_rows()
                for place, words in enumerate(json.loads(notes))
            ],
            schema={"lookalike": pl.String, "place": pl.Int64, "words": pl.String},
        ),
    }


def _unfolded(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    told: list[dict[str, Any]] = [
        {"lookalike": name} | one
        for name, content in rows.select("lookalike", column).iter_rows()
        for one in json.loads(content)
    ]
    return pl.DataFrame(told, infer_schema_length=None)
