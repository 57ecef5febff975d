"""What goes to destinations, after everything is published: per destination its plan, what was sent, the receipt."""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from orchestration.defs.partitions import run_weeks, weekly
from orchestration.settings_file import SettingsError
from orchestration.sync_events import (
    CHECKS,
    GUARDS_CHECK,
    PLAN,
    RECEIPT,
    RECEIPT_CHECK,
    SYNC,
    SYNC_CHECK,
    asset_key,
    check_figures,
    check_of,
    metadata_of,
    parts_of,
)
from orchestration.sync_settings import DestinationSettings
from orchestration.sync_week import newest_week, sync_destination
from orchestration.sync_words import headline
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

AFTER_EVERYTHING_ELSE = {"dagster/priority": "-10"}
"""A sync may take as long as a vendor's limits want; the report and the published tables do not wait for it."""

PROGRESS_TOLD_EVERY = 0.1
INPUTS = [dg.AssetKey(["activation", name]) for name in ("audiences", "audience_weeks", "experiment_people")]
CHECKS_IN_WORDS = {
    GUARDS_CHECK: "The destination could be asked, and neither the gate nor a guard stops the plan: no mass removal, "
    "no empty or stale source, no count unlike the weeks before.",
    SYNC_CHECK: "Everything was sent and the destination holds it. Where a guard stopped it, this says so and why; "
    "what was there before stands.",
    RECEIPT_CHECK: "Asked what it holds, the destination told exactly what is desired, person by person.",
}


class SyncConfig(dg.Config):
    """What somebody who starts a sync in Dagster may say of it."""

    send: bool | None = None  # None: as activation.yml says (`sync: weekly`, or by hand)
    allow_mass_removal: bool = False
    full: bool = False


def sync_assets(workspace: Workspace) -> list[dg.AssetsDefinition]:
    """Plan, sync and receipt of every destination; none where everything goes into files."""
    return [
        _destination_assets(workspace, name, settings)
        for name, settings in workspace.activation_file.destinations.items()
    ]


def _destination_assets(workspace: Workspace, name: str, settings: DestinationSettings) -> dg.AssetsDefinition:
    specs = _specs(name, settings)
    checks = [
        dg.AssetCheckSpec(check, asset=specs[part].key, description=CHECKS_IN_WORDS[check])
        for part, check in CHECKS.items()
    ]

    @dg.multi_asset(
        name=f"sync_{name.replace('-', '_')}",
        specs=list(specs.values()),
        check_specs=checks,
        can_subset=True,
        op_tags=AFTER_EVERYTHING_ELSE,
        **weekly(workspace),
    )
    def bring_up_to_date(
        context: dg.AssetExecutionContext, config: SyncConfig, warehouse: Warehouse
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        # Who asks for a check alone names no week in Dagster, and means the newest.
        weeks = run_weeks(context) if context.selected_asset_keys else []
        sends = settings.is_weekly if config.send is None else config.send
        # Who asks for the plan alone gets the plan alone.
        sends = sends and bool({specs[SYNC].key, specs[RECEIPT].key} & context.selected_asset_keys)
        with warehouse.connect() as connection:
            newest = newest_week(connection)
            if newest is None:
                context.log.info(f"{name}: no week was judged yet")
                return
            if weeks and newest not in weeks:
                yield from _not_sent(context, weeks[-1].key, newest.key)
                return
            try:
                done = sync_destination(
                    connection,
                    workspace,
                    newest,
                    name,
                    send=sends,
                    full=config.full,
                    allow_mass_removal=config.allow_mass_removal,
                    on_progress=_progress(context),
                )
            except SettingsError as error:
                yield from _misconfigured(context, error)
                return
        context.log.log("INFO" if done.is_well else "WARNING", headline(done))
        older = {"weeks of this run that are not sent": ", ".join(week.key for week in weeks if week != newest)}
        sending = {} if sends else {"sent": f"no; personae sync DIR --destination {name} does"}
        for part in parts_of(done):
            passed, told = check_of(done, part)
            results = _result(context, specs[part].key, CHECKS[part], passed, told, check_figures(done, part))
            if specs[part].key in context.selected_asset_keys:
                yield dg.MaterializeResult(
                    asset_key=specs[part].key,
                    metadata=metadata_of(workspace, done, part) | sending | (older if len(weeks) > 1 else {}),
                    check_results=results,
                )
            else:  # somebody asks for the check alone
                yield from results

    def _not_sent(context: dg.AssetExecutionContext, last: str, newest: str) -> Iterator[dg.MaterializeResult]:
        """A backfill of weeks that are gone by: a destination holds the newest week and no other."""
        why = f"not sent: {last} is older than {newest}, and a destination gets the newest week only"
        context.log.info(f"{name}: {why}")
        if specs[PLAN].key in context.selected_asset_keys:
            yield dg.MaterializeResult(
                asset_key=specs[PLAN].key,
                metadata={"state": why, "week": last},
                check_results=_result(context, specs[PLAN].key, GUARDS_CHECK, True, why),
            )

    def _misconfigured(context: dg.AssetExecutionContext, error: SettingsError) -> Iterator[dg.MaterializeResult]:
        """A credential that is missing today keeps this destination from being sent, and nothing else."""
        context.log.warning(f"{name}: {error}")
        if specs[PLAN].key in context.selected_asset_keys:
            yield dg.MaterializeResult(
                asset_key=specs[PLAN].key,
                metadata={"state": "failed", "why it would not be sent": str(error)},
                check_results=_result(context, specs[PLAN].key, GUARDS_CHECK, False, str(error)),
            )

    return bring_up_to_date


def _specs(name: str, settings: DestinationSettings) -> dict[str, dg.AssetSpec]:
    when = (
        "The weekly run sends it."
        if settings.is_weekly
        else f"It is sent by hand: `personae sync DIR --destination {name}`, or from the launchpad with `send: true`."
    )
    texts = {
        PLAN: f"What {name} lacks of the newest week: rows, calls, minutes, and what leaves the house. {when}",
        SYNC: f"What was sent to {name} and what became of each row. {when}",
        RECEIPT: f"What {name} itself says it holds, against what is desired, person by person. {when}",
    }
    before = {PLAN: INPUTS, SYNC: [asset_key(name, PLAN)], RECEIPT: [asset_key(name, SYNC)]}
    return {
        part: dg.AssetSpec(
            asset_key(name, part),
            deps=before[part],
            group_name="activation",
            description=text,
            kinds={"duckdb"} if part != SYNC else {settings.kind},
            skippable=True,
        )
        for part, text in texts.items()
    }


def _result(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    check: str,
    passed: bool,
    told: str | None,
    figures: Mapping[str, int] | None = None,
) -> list[dg.AssetCheckResult]:
    if dg.AssetCheckKey(key, check) not in context.op_execution_context.selected_asset_check_keys:
        return []
    return [
        dg.AssetCheckResult(
            asset_key=key,
            check_name=check,
            passed=passed,
            description=told,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata=figures or {},
        )
    ]


def _progress(context: dg.AssetExecutionContext) -> Callable[[int, int], None]:
    """Tells of every tenth of the rows."""
    told = [0.0]

    def on_progress(rows: int, planned: int) -> None:
        share = rows / planned if planned else 1.0
        if share >= told[0] + PROGRESS_TOLD_EVERY:
            told[0] = share
            context.log.info(f"{rows:,} of {planned:,} rows sent")

    return on_progress
