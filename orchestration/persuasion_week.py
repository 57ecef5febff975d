"""Persuasion of one week: how each segment answered to each approach, and what that means for its people.

What belongs here: counting by segment, and writing what was estimated. The estimator stands in `ml/persuasion.py`, orders
and defaults in `ml/persuasion_orders.py`; what a tagged message and an answer are, in dbt's `int_persuasion_responses`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date

import duckdb
import polars as pl

from ml.persuasion import (
    APPROACHES,
    COUNT_SCHEMA,
    MODEL_SCHEMA,
    OBSERVED,
    PersuasionRules,
    assignment_reason,
    estimate_persuasion,
)
from ml.persuasion_orders import ORDER_SCHEMA, PersuasionOrders, Segment, order_approaches, without_evidence
from orchestration.persuasion_settings import PersuasionSettings
from orchestration.sql import literal
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

EVERYBODY = "everybody"
PERSUASION_ESTIMATE_SCHEMA = {
    "as_of": pl.Date,
    "segment_name": pl.String,
    "people": pl.Int64,
    **ORDER_SCHEMA,
    "is_randomized": pl.Boolean,
    "counted_responses": pl.String,
    "caution": pl.String,
    "model_id": pl.String,
}
PERSUASION_PEOPLE_SCHEMA = {
    "as_of": pl.Date,
    "person_id": pl.String,
    "message_style": pl.String,
    "approach_1": pl.String,
    "approach_2": pl.String,
    "approach_3": pl.String,
    "evidence": pl.String,
    "segment_type": pl.String,
    "segment_id": pl.String,
    "persona_message_style": pl.String,
    "adoption_class_message_style": pl.String,
    "withheld_approaches": pl.String,
    "withheld_reason": pl.String,
    **{f"{approach}_{what}": pl.Int32 for approach in APPROACHES for what in ("sends", "responses")},
    "abstained_reason": pl.String,
    "model_id": pl.String,
}
PERSUASION_TABLES = {
    "persuasion_estimates": PERSUASION_ESTIMATE_SCHEMA,
    "persuasion_models": {"as_of": pl.Date, "model_id": pl.String, **MODEL_SCHEMA, "is_randomized": pl.Boolean},
    "persuasion_people": PERSUASION_PEOPLE_SCHEMA,
}
