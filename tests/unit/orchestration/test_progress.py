"""What a person sees of a run that stops: the check that says what is wrong, and not how Dagster says so again."""

from __future__ import annotations

import io

import dagster as dg
from rich.console import Console

from orchestration.progress import LOGGER_NAME, RunProgress, progress_logger


@dg.asset(check_specs=[dg.AssetCheckSpec("contract", asset="orders", blocking=True)])
def orders():  # type: ignore[no-untyped-def]  # Dagster reads an annotation as the outputs
    """Loaded, and refused by its check."""
    refusal = dg.AssetCheckResult(passed=False, check_name="contract", description="orders.csv was refused.")
    return dg.MaterializeResult(check_results=[refusal])


@dg.asset
def personas() -> None:
    """Fails."""
    raise ValueError("no people are left")


def printed(asset: dg.AssetsDefinition) -> list[str]:
    stream = io.StringIO()
    progress = RunProgress(Console(file=stream, highlight=False, soft_wrap=True))
    job = dg.Definitions(
        assets=[asset],
        jobs=[dg.define_asset_job("weekly")],
        loggers={LOGGER_NAME: progress_logger(progress)},
        executor=dg.in_process_executor,
    ).resolve_job_def("weekly")
    assert not job.execute_in_process(run_config={"loggers": {LOGGER_NAME: {}}}, raise_on_error=False).success
    return stream.getvalue().splitlines()


def test_a_check_that_stops_the_run_is_told_once() -> None:
    lines = [line for line in printed(orders) if line.startswith("✗")]
    assert lines == ["✗ orders: contract failed.  orders.csv was refused."]


def test_what_fails_is_told_with_its_reason() -> None:
    assert printed(personas)[-1] == "✗ personas: ValueError: no people are left"
