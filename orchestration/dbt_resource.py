"""dbt as Dagster calls it.

What belongs here: the resource of the assets in `defs/tables.py`. What a call of dbt needs stands in `dbt_runs.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata
from typing import Any

from dagster_dbt import DbtCliResource, DbtProject
from packaging.version import Version

from orchestration.dbt_runs import DBT_COMMAND, DBT_PROJECT_FOLDER, dbt_environment
from orchestration.workspace import Workspace


class InstalledDbt(DbtCliResource):
    """dbt of this environment, which is not asked for what is known or hardly ever needed.

    `dbt --version`, which Dagster calls once per run, costs a start of dbt and looks for newer releases on the network.
    The adapter, which it makes for each call of dbt, takes seconds and is not needed: `column_lineage` asks nobody.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        return None


def dbt_resource(workspace: Workspace) -> InstalledDbt:
    """dbt as Dagster calls it."""
    os.environ.update(dbt_environment(workspace))
    project = DbtProject(
        project_dir=DBT_PROJECT_FOLDER, target_path=workspace.dbt_target_folder, profiles_dir=DBT_PROJECT_FOLDER
    )
    return InstalledDbt(project_dir=project, dbt_executable=str(DBT_COMMAND))  # type: ignore[arg-type]
