"""Customer value of one week: what those who have bought will probably still buy, and what it will be worth.

What belongs here: reading and writing what the models need. The models stand in `ml/customer_value.py` and `ml/rfm.py`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from ml.customer_value import TOTAL_SCHEMA, ValueAbstention, ValueModel, ValueSettings
from ml.rfm import RfmCuts
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

VALUE_SCHEMA = {
    "as_of": pl.Date,
    "person_id": pl.UInt64,
    "expected_purchases": pl.Float64,
    "purchase_probability": pl.Float64,
    "expected_value": pl.Float64,
    "expected_purchase_value": pl.Float64,
    "alive_probability": pl.Float64,
    "recency_score": pl.Int64,
    "frequency_score": pl.Int64,
    "monetary_score": pl.Int64,
    "rfm_segment": pl.String,
    "abstained_reason": pl.String,
    "model_id": pl.String,
}
SEGMENT_VALUE_SCHEMA = {"as_of": pl.Date, "segment_type": pl.String, **TOTAL_SCHEMA}
VALUE_MODEL_SCHEMA = {
    "as_of": pl.Date,
    "model_id": pl.String,
    "horizon_days": pl.Int64,
    "buyers": pl.Int64,
    "repeat_buyers": pl.Int64,
    "abstained_reason": pl.String,
    "value_withheld_reason": pl.String,
    "model": pl.String,
    "rfm_cuts": pl.String,
    "rfm_cuts_as_of": pl.Date,
}
VALUE_TABLES = {
    "customer_values": VALUE_SCHEMA,
    "segment_values": SEGMENT_VALUE_SCHEMA,
    "value_models": VALUE_MODEL_SCHEMA,
}
EVERYBODY = "everybody"
FEWEST_FOR_CUTS = 100
"""Buyers that cut points are learned from; fifths of fewer people are of chance."""
CONTRACT = (
    "purchases are bound by contracts (value.contractual in personae.yml): the models are of customers who may stop "
    "unseen at any moment, while a subscription ends with notice; declare a target such as an event or a label of "
    "cancelling"
)


@dataclass(frozen=True)
class ValueWeek:
    """What became of one week: how many have bought, what is expected of them, or why nothing is."""

    buyers: int
    abstained_reason: str | None
    value_withheld_reason: str | None
    figures: dict[str, float]


def run_value_week(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> ValueWeek:
    """Score everybody who has bought by the end of `week`; write `VALUE_TABLES`."""
    make_tables(connection, VALUE_TABLES)
    histories = read_frame(
        connection,
        "select * exclude (as_of) from intermediate.int_purchase_histories where as_of = ? order by person_id",
        [week.as_of],
    )
    fitted = _fit(workspace, histories)
    reason = fitted.reason if isinstance(fitted, ValueAbstention) else None
    withheld = fitted.amounts_withheld if isinstance(fitted, ValueModel) else None
    scores = fitted.score(histories) if isinstance(fitted, ValueModel) else histories.select("person_id")
    cuts, cuts_as_of = _rfm_cuts(connection, week, histories)
    rfm = cuts.score(histories).drop("person_id") if cuts else pl.DataFrame()
    values = (
        scores.hstack(rfm.get_columns())
        .with_columns(
            as_of=pl.lit(week.as_of),
            abstained_reason=pl.lit(reason, pl.String),
            model_id=pl.lit(fitted.model_id if isinstance(fitted, ValueModel) else None, pl.String),
        )
        .pipe(_with_columns, VALUE_SCHEMA)
    )
    totals = pl.DataFrame(schema=SEGMENT_VALUE_SCHEMA)
    if isinstance(fitted, ValueModel):
        totals = _totals(connection, week, fitted, histories, scores)
    run = {
        "as_of": week.as_of,
        "model_id": fitted.model_id if isinstance(fitted, ValueModel) else None,
        "horizon_days": workspace.settings.value.horizon_days,
        "buyers": histories.height,
        "repeat_buyers": int((histories["frequency"] > 0).sum()),
        "abstained_reason": reason,
        "value_withheld_reason": withheld,
        "model": json.dumps(asdict(fitted)) if isinstance(fitted, ValueModel) else None,
        "rfm_cuts": json.dumps(asdict(cuts)) if cuts else None,
        "rfm_cuts_as_of": cuts_as_of,
    }
    with transaction(connection):
        replace_weeks(connection, "ml.customer_values", values, [week.as_of])
        replace_weeks(connection, "ml.segment_values", totals, [week.as_of])
        replace_weeks(connection, "ml.value_models", pl.DataFrame([run], schema=VALUE_MODEL_SCHEMA), [week.as_of])
    everybody = totals.filter(segment_type=EVERYBODY)
    figures = everybody.select(pl.col(pl.Float64)).row(0, named=True) if everybody.height else {}
    return ValueWeek(histories.height, reason, withheld, {k: v for k, v in figures.items() if v is not None})


def _fit(workspace: Workspace, histories: pl.DataFrame) -> ValueModel | ValueAbstention:
    settings = workspace.settings.value
    if settings.contractual:
        return ValueAbstention(CONTRACT)
    if not {"orders", "order_lines"} & set(workspace.entities):
        return ValueAbstention("neither orders nor order lines are delivered")
    return ValueModel.fit(
        histories,
        ValueSettings(horizon_days=settings.horizon_days, minimum_repeat_buyers=settings.minimum_repeat_buyers),
    )


def _rfm_cuts(connection: duckdb.DuckDBPyConnection, week: Week, histories: pl.DataFrame) -> tuple[RfmCuts | None, Any]:
    """The cut points that stand since an earlier week; the first week with enough buyers learns them."""
    row = first_row(
        connection,
        "select rfm_cuts, rfm_cuts_as_of from ml.value_models where as_of < ? and rfm_cuts is not null "
        "order by as_of desc limit 1",
        [week.as_of],
    )
    if row is not None:
        return RfmCuts(**{name: tuple(values) for name, values in json.loads(row[0]).items()}), row[1]
    if histories.height < FEWEST_FOR_CUTS:
        return None, None
    return RfmCuts.learn(histories), week.as_of


def _totals(
    connection: duckdb.DuckDBPyConnection,
    week: Week,
    model: ValueModel,
    histories: pl.DataFrame,
    scores: pl.DataFrame,
) -> pl.DataFrame:
    """What is expected of everybody and of each persona."""
    members = read_frame(
        connection,
        "select person_id, persona_type as segment_type, persona_id as segment_id from ml.persona_assignments "
        "where as_of = ? and persona_id is not null order by all",
        [week.as_of],
    )
    kinds = members.select("segment_type", "segment_id").unique()
    everybody = histories.select("person_id").with_columns(segment_id=pl.lit(EVERYBODY))
    kinds = pl.concat([kinds, pl.DataFrame({"segment_type": [EVERYBODY], "segment_id": [EVERYBODY]})])
    totals = model.totals(histories, scores, pl.concat([members.select("person_id", "segment_id"), everybody]))
    return (
        totals.join(kinds, on="segment_id", how="left", maintain_order="left")
        .with_columns(as_of=pl.lit(week.as_of))
        .pipe(_with_columns, SEGMENT_VALUE_SCHEMA)
        .sort("segment_type", "segment_id")
    )


def _with_columns(frame: pl.DataFrame, schema: dict[str, Any]) -> pl.DataFrame:
    """The columns of a table in its order; those a frame lacks are null."""
    return frame.select(
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, kind).alias(name)
        for name, kind in schema.items()
    )
