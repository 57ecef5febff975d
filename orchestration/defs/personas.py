"""Who people are: personas of each week, as assets."""

import base64
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from ml.plots import plot_k_evidence, plot_persona_sizes
from orchestration.defs.partitions import run_weeks, weekly
from orchestration.feature_catalogue import read_catalogue
from orchestration.persona_week import PersonaWeek, people_left_out, run_persona_week
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

FEATURES = dg.AssetKey(["features", "person_features"])


def persona_assets(workspace: Workspace, manifest: Path) -> dg.AssetsDefinition:
    """Models, names and everybody's persona, week after week."""
    descriptions = {
        "persona_models": "Fitted persona models as plain numbers, each with the evidence for its number of personas.",
        "personas": "The personas of each week: name, description and size.",
        "persona_assignments": "Everybody's persona in each week, how strongly, and the runner-up.",
    }
    specs = {
        name: dg.AssetSpec(
            ["ml", name], deps=[FEATURES], group_name="ml", description=text, kinds={"python", "scikitlearn"}
        )
        for name, text in descriptions.items()
    }
    one_each = dg.AssetCheckSpec("every_person_has_one_persona", asset=specs["persona_assignments"].key, blocking=True)

    @dg.multi_asset(name="personas", specs=list(specs.values()), check_specs=[one_each], **weekly(workspace))
    def find_personas(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        weeks = run_weeks(context)
        with warehouse.connect() as connection:
            catalogue = read_catalogue(connection, workspace, manifest)
            done = [run_persona_week(connection, workspace, catalogue, week) for week in weeks]
            wrong = connection.execute(
                "select count(*) from (select as_of, person_id, count(*) from ml.persona_assignments "
                "where as_of in (select unnest(?::date[])) group by all having count(*) > 1)",
                [[week.as_of for week in weeks]],
            ).fetchall()[0][0]
            left_out = people_left_out(connection, weeks[-1], workspace.settings.minimum_cell)
        for week in done:
            words = week.model.choice if week.model else "nobody to find personas among"
            context.log.info(
                f"{week.as_of}: {week.people:,} people; {'fitted anew' if week.is_refitted else 'assigned'}; {words}"
            )
        latest = done[-1]
        yield dg.MaterializeResult(asset_key=specs["persona_models"].key, metadata=_model_metadata(latest, done))
        yield dg.MaterializeResult(asset_key=specs["personas"].key, metadata=_persona_metadata(latest))
        yield dg.MaterializeResult(
            asset_key=specs["persona_assignments"].key,
            metadata={"dagster/row_count": sum(week.people for week in done), "left out of the last week": left_out},
            check_results=[dg.AssetCheckResult(passed=wrong == 0, metadata={"people with several": wrong})],
        )

    return find_personas


def _model_metadata(latest: PersonaWeek, weeks: list[PersonaWeek]) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "weeks fitted anew": dg.MetadataValue.int(sum(week.is_refitted for week in weeks)),
        "features": dg.MetadataValue.json(latest.model.preparation.features_ if latest.model else []),
    }
    if latest.model is None:
        return metadata
    chosen = latest.model.k_evidence.filter(pl.col("is_chosen"))
    metadata |= {
        "k": dg.MetadataValue.int(latest.model.k),
        "choice": dg.MetadataValue.text(latest.model.choice),
        "model_id": dg.MetadataValue.text(latest.model.model_id),
    }
    if chosen.height:
        metadata["silhouette"] = dg.MetadataValue.float(float(chosen["silhouette"][0]))
        metadata["k evidence"] = picture(plot_k_evidence(latest.model.k_evidence))
    return metadata


def _persona_metadata(latest: PersonaWeek) -> dict[str, dg.MetadataValue]:
    by_size = latest.sizes.sort("people", descending=True)
    sizes = dict(by_size.select("persona_name", "people").iter_rows())
    return {
        "dagster/row_count": dg.MetadataValue.int(by_size.height),
        "people": dg.MetadataValue.json(sizes),
        "sizes": picture(plot_persona_sizes(sizes)) if sizes else dg.MetadataValue.null(),
    }


def picture(png: bytes) -> dg.MetadataValue:
    """A PNG as Dagster shows it."""
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")
