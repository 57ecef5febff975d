"""Extracts that are fetched through connectors, before ingest; there only where `connectors.yml` declares some."""

from collections.abc import Iterator

import dagster as dg

from orchestration.connectors.fetch import fetch
from orchestration.defs.partitions import weekly
from orchestration.workspace import Workspace


def connector_assets(workspace: Workspace) -> list[dg.AssetsDefinition]:
    """The extracts of every mapping that a connector feeds."""
    fetched = [mapping for mapping in workspace.mappings if mapping.connectors]
    if not fetched:
        return []

    @dg.multi_asset(
        name="fetch",
        specs=[
            dg.AssetSpec(
                ["extracts", mapping.name],
                group_name="extracts",
                description=f"What the connector {' and '.join(mapping.connectors)} brings.",
                kinds={"dlt"},
            )
            for mapping in fetched
        ],
        **weekly(workspace),
    )
    def fetch_extracts(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        names = tuple(sorted({name for mapping in fetched for name in mapping.connectors}))
        results = {each.connector: each for each in fetch(workspace, names, progress=context.log.info)}
        for mapping in fetched:
            brought = [results[name] for name in mapping.connectors]
            yield dg.MaterializeResult(
                asset_key=["extracts", mapping.name],
                metadata={
                    "new files": sum(len(each.files) for each in brought),
                    "records": sum(each.records for each in brought),
                },
            )

    return [fetch_extracts]
