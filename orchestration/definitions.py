"""The code location: everything Dagster knows of the workspace that PERSONAE_WORKSPACE names."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from orchestration.dbt_resource import dbt_resource
from orchestration.dbt_runs import prepare_manifest
from orchestration.defs.activation import DRAWN_PEOPLE, activation_assets
from orchestration.defs.adoption import adoption_assets
from orchestration.defs.affinities import affinity_assets
from orchestration.defs.connectors import connector_assets
from orchestration.defs.identity_decisions import identity_decisions_asset
from orchestration.defs.ingest import extract_specs, ingest_assets, plan_asset
from orchestration.defs.lookalikes import lookalike_assets, lookalike_files_asset
from orchestration.defs.personas import persona_assets
from orchestration.defs.persuasion import persuasion_assets
from orchestration.defs.preferences import preference_assets
from orchestration.defs.propensities import propensity_assets
from orchestration.defs.publish import published_assets, table_files_asset
from orchestration.defs.report import report_asset
from orchestration.defs.schedule import monday_schedule, new_extracts_sensor, weekly_job
from orchestration.defs.sync import sync_assets
from orchestration.defs.tables import feature_tables, mart_tables
from orchestration.defs.uplift import uplift_assets
from orchestration.defs.values import value_assets
from orchestration.two_at_once import two_at_once
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

WORKSPACE_VARIABLE = "PERSONAE_WORKSPACE"
DATA_VARIABLE = "PERSONAE_DATA"


def definitions_for(workspace: Workspace, loggers: dict[str, dg.LoggerDefinition] | None = None) -> dg.Definitions:
    """Assets, job, schedule and sensor of a workspace, in the order data flows."""
    manifest = prepare_manifest(workspace)
    job = weekly_job()
    return dg.Definitions(
        assets=[
            *extract_specs(workspace),
            *connector_assets(workspace),
            ingest_assets(workspace),
            plan_asset(workspace),
            identity_decisions_asset(workspace),
            DRAWN_PEOPLE,
            feature_tables(workspace, manifest),
            persona_assets(workspace, manifest),
            propensity_assets(workspace, manifest),
            value_assets(workspace),
            preference_assets(workspace),
            uplift_assets(workspace),
            affinity_assets(workspace),
            adoption_assets(workspace),
            persuasion_assets(workspace),
            lookalike_assets(workspace, manifest),
            mart_tables(workspace, manifest),
            activation_assets(workspace),
            lookalike_files_asset(workspace),
            report_asset(workspace),
            table_files_asset(workspace),
            published_assets(workspace),
            *sync_assets(workspace),
        ],
        jobs=[job],
        schedules=[monday_schedule(workspace, job)],
        sensors=[new_extracts_sensor(workspace, job)],
        resources={"warehouse": Warehouse.of(workspace), "dbt": dbt_resource(workspace)},
        executor=two_at_once,
        loggers=loggers,
    )


def _named_workspace() -> Workspace:
    folder = os.environ.get(WORKSPACE_VARIABLE)
    if folder is None:
        raise RuntimeError(f"set {WORKSPACE_VARIABLE} to a workspace's folder, or use `personae ui DIR`")
    data = os.environ.get(DATA_VARIABLE)
    return Workspace.open(Path(folder), Path(data) if data else None)


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev -m orchestration.definitions` loads."""
    return definitions_for(_named_workspace())
