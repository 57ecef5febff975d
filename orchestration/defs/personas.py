"""Who people are: personas of each week, as assets."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.feature_catalogue import read_catalogue
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.persona_week import PersonaWeek

FEATURES = dg.AssetKey(["features", "person_features"])
DAYS = dg.AssetKey(["intermediate", "int_identity_days"])


def persona_assets(workspace: Workspace, manifest: Path) -> dg.AssetsDefinition:
    """Models, names and everybody's persona, week after week."""
    descriptions = {
        "persona_models": "Fitted persona models as plain numbers, each with the evidence for its number of personas.",
        "personas": "The personas of each week: name, description and size.",
        "persona_assignments": "Everybody's persona in each week, how strongly, why, and the runner-up.",
        "persona_ledger": "What became of each persona: births, continuations, splits, merges and deaths, and why.",
        "persona_weeks": "What each week was made from, how many moved, and whether people behave as they did.",
        "defined_persona_support": "How well the data bear out each persona that marketers defined.",
    }
    specs = {
        name: dg.AssetSpec(
            ["ml", name], deps=[FEATURES, DAYS], group_name="ml", description=text, kinds={"python", "scikitlearn"}
        )
        for name, text in descriptions.items()
    }
    natural = dg.AssetCheckSpec(
        "personas_are_natural_segments",
        asset=specs["persona_models"].key,
        description="People fall into these groups more than people without groups would, and do so again.",
    )
    one_each = dg.AssetCheckSpec("every_person_has_one_persona", asset=specs["persona_assignments"].key, blocking=True)

    @dg.multi_asset(
        name="personas",
        specs=list(specs.values()),
        check_specs=[one_each, natural],
        **weekly_beside_others(workspace, priority=2),  # others wait for it
    )
    def find_personas(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        from orchestration.persona_week import people_left_out, run_persona_week

        weeks = run_weeks(context)
        with warehouse.connect() as connection:
            catalogue = read_catalogue(connection, workspace, manifest)
            done = [run_persona_week(connection, workspace, catalogue, week) for week in weeks]
            wrong = connection.execute(
                "select count(*) from (select as_of, persona_type, person_id, count(*) from ml.persona_assignments "
                "where as_of in (select unnest(?::date[])) group by all having count(*) > 1)",
                [[week.as_of for week in weeks]],
            ).fetchall()[0][0]
            left_out = people_left_out(connection, weeks[-1], workspace.settings.minimum_cell)
        for week in done:
            words = week.model.choice if week.model else "nobody to find personas among"
            done_so = week.refit or "assigned with the standing model"
            context.log.info(f"{week.as_of}: {week.people:,} people; {done_so}; {words}")
            if week.defined and (week.defined.unfit or week.defined.unknown_examples):
                context.log.warning(
                    f"{week.as_of}: personas.yml: {week.defined.unknown_examples} example people are not known; "
                    f"not fitted: {week.defined.unfit or 'none'}"
                )
        latest = done[-1]
        yield dg.MaterializeResult(
            asset_key=specs["persona_models"].key,
            metadata=_model_metadata(workspace, latest, done),
            check_results=[_is_natural(latest, natural)],
        )
        yield dg.MaterializeResult(asset_key=specs["personas"].key, metadata=_persona_metadata(latest))
        yield dg.MaterializeResult(
            asset_key=specs["persona_assignments"].key,
            metadata={"dagster/row_count": sum(week.people for week in done), "left out of the last week": left_out},
            check_results=[
                dg.AssetCheckResult(
                    asset_key=one_each.asset_key,
                    check_name=one_each.name,
                    passed=wrong == 0,
                    metadata={"people with several": wrong},
                )
            ],
        )
        yield dg.MaterializeResult(
            asset_key=specs["persona_ledger"].key,
            metadata={
                "dagster/row_count": sum(week.ledger.height for week in done),
                "events": dg.MetadataValue.md(_ledger_table(done)),
            },
        )
        yield dg.MaterializeResult(asset_key=specs["persona_weeks"].key, metadata=_movement_metadata(latest, done))
        yield dg.MaterializeResult(asset_key=specs["defined_persona_support"].key, metadata=_defined_metadata(latest))

    return find_personas


def _model_metadata(
    workspace: Workspace, latest: "PersonaWeek", weeks: list["PersonaWeek"]
) -> dict[str, dg.MetadataValue]:
    from ml.model_card import card_markdown, model_card
    from orchestration.persona_evidence import evidence_pictures

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
    names = dict(
        latest.sizes.filter(pl.col("persona_type") == "persona").select("persona_id", "persona_name").iter_rows()
    )
    drawn = evidence_pictures(workspace, latest.model, latest.cluster_names, latest.profiles, names)
    for title, svg in drawn.items():
        metadata[title] = picture(svg)
    metadata["solution"] = dg.MetadataValue.text(latest.model.evidence.kind_words)
    metadata["model card"] = dg.MetadataValue.md(
        card_markdown(model_card(latest.model, latest.fitted_as_of or latest.as_of))
    )
    return metadata


def _is_natural(latest: "PersonaWeek", spec: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    """A warning, no failure: a useful cut is useful, but nobody should take it for a discovery."""
    evidence = latest.model.evidence if latest.model else None
    test = evidence.null_test if evidence else None
    metadata: dict[str, Any] = {"in words": evidence.kind_words if evidence else "Nobody to find personas among."}
    if evidence is not None and evidence.stability is not None:
        metadata["stability"] = float(evidence.stability)
    if test is not None:
        metadata |= {
            "p-value against people without groups": test.p_value,
            "excess in standard deviations": test.excess,
        }
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=evidence is not None and evidence.solution_kind == "natural",
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


def _ledger_table(weeks: list["PersonaWeek"]) -> str:
    """The events of a run but continuations, as a table; groups are too large to name a person."""
    rows = [
        f"| {week.as_of} | {row['persona_id']} | {row['event']} | {row['reason']} |"
        for week in weeks
        for row in week.ledger.filter(pl.col("event") != "continuation").iter_rows(named=True)
    ]
    return "\n".join(["| week ends | persona | event | why |", "| --- | --- | --- | --- |", *rows]) if rows else "none"


def _movement_metadata(latest: "PersonaWeek", weeks: list["PersonaWeek"]) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"dagster/row_count": dg.MetadataValue.int(len(weeks))}
    if latest.refit:
        metadata["refit"] = dg.MetadataValue.text(latest.refit)
    for name, words in (("moved", "people who moved"), ("redrawn", "people redrawn by the refit")):
        if name in latest.movement:
            metadata[words] = dg.MetadataValue.int(latest.movement[name])
    if latest.drift is not None:
        metadata["columns that drifted"] = dg.MetadataValue.int(latest.drift.drifted)
        if latest.drift.together is not None:
            metadata["drift AUC"] = dg.MetadataValue.float(round(latest.drift.together.auc, 4))
    return metadata


def _defined_metadata(latest: "PersonaWeek") -> dict[str, dg.MetadataValue]:
    defined = latest.defined
    if defined is None:
        return {"dagster/row_count": dg.MetadataValue.int(0)}
    sizes = dict(defined.personas.select("persona_name", "people").iter_rows())
    return {
        "dagster/row_count": dg.MetadataValue.int(len(sizes) + len(defined.unfit)),
        "people": dg.MetadataValue.json(sizes),
        "not fitted": dg.MetadataValue.json(defined.unfit),
    }


def _persona_metadata(latest: "PersonaWeek") -> dict[str, dg.MetadataValue]:
    from ml.plots import plot_persona_sizes

    by_size = latest.sizes.sort("people", descending=True)
    sizes = dict(by_size.select("persona_name", "people").iter_rows())
    return {
        "dagster/row_count": dg.MetadataValue.int(by_size.height),
        "people": dg.MetadataValue.json(sizes),
        "sizes": picture(plot_persona_sizes(sizes)) if sizes else dg.MetadataValue.null(),
    }


def picture(image: bytes) -> dg.MetadataValue:
    """A PNG or SVG as Dagster shows it."""
    kind = "svg+xml" if image.startswith(b"<svg") else "png"
    return dg.MetadataValue.md(f"![plot](data:image/{kind};base64,{base64.b64encode(image).decode()})")
