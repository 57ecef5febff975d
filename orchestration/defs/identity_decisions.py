"""What people decided about identities, from the workspace's file into a table, for dbt to read."""

import dagster as dg

from orchestration.defs.partitions import weekly
from orchestration.identity import write_decisions
from orchestration.identity_settings import DECISIONS_FILE
from orchestration.ingest.tables import make_raw_tables
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace


def identity_decisions_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """Contacts that are kept apart."""

    @dg.asset(
        key=["raw", "identity_decisions"],
        group_name="raw",
        description=f"Contacts that somebody decided to be two people, from `{DECISIONS_FILE}`.",
        kinds={"duckdb"},
        **weekly(workspace),
    )
    def keep_contacts_apart(warehouse: Warehouse) -> dg.MaterializeResult:
        with warehouse.connect() as connection:
            make_raw_tables(connection)
            decisions = write_decisions(connection, workspace)
        return dg.MaterializeResult(metadata={"dagster/row_count": decisions})

    return keep_contacts_apart
