"""The persona report of each week: one file a marketer can read."""

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly_beside_others
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

REPORT_INPUTS = (
    [
        dg.AssetKey(["marts", name])
        for name in (
            "segment_memberships",
            "segment_kpis",
            "segment_profiles",
            "persona_index",
            "market_sizes",
            "trigger_subgroups",
            "segment_migrations",
            "segment_rhythms",
            "segment_stages",
            "person_propensities",
            "propensity_gains",
            "propensity_backtest",
            "segment_values",
            "segment_preferences",
            "segment_persuasion",
            "person_persuasion",
            "uplift_results",
            "adoption_validity",
            "lookalikes",
            "people_left_out",
        )
    ]
    + [
        dg.AssetKey(["ml", name])
        for name in (
            "persona_models",
            "lookalike_models",
            "model_runs",
            "propensity_fairness",
            "value_models",
            "personas",
            "persona_ledger",
            "persona_weeks",
            "defined_persona_support",
        )
    ]
    + [dg.AssetKey(["activation", "audience_weeks"])]
)


def report_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """One HTML file per week, from the marts alone."""

    @dg.asset(
        key=["report", "persona_report"],
        deps=REPORT_INPUTS,
        group_name="report",
        description="Who the customers are, how they moved, what is likely next: one HTML file per week.",
        kinds={"html"},
        **weekly_beside_others(workspace),
    )
    def write_report(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        from activation.report.report import render_report
        from orchestration.report_week import report_data

        workspace.report_folder.mkdir(parents=True, exist_ok=True)
        weeks = run_weeks(context)
        with warehouse.connect() as connection:
            for week in weeks:
                html = render_report(report_data(connection, workspace, week))
                target = workspace.report_folder / f"{week.key}.html"
                unfinished = target.with_suffix(".unfinished")
                unfinished.write_text(html, encoding="utf-8")
                unfinished.replace(target)
        return dg.MaterializeResult(
            metadata={"reports": len(weeks), "file": dg.MetadataValue.path(str(target)), "characters": len(html)}
        )

    return write_report
