"""What a person sees while a run goes on: one line per asset, with what it holds and how long it took."""

import logging
import time
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError
from rich.console import Console
from rich.text import Text

LOGGER_NAME = "progress"
STEP_ENDS = (
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
)
ROW_COUNT_KEYS = ("dagster/row_count", "rows", "files")


class RunProgress(logging.Handler):
    """Turns Dagster's events into lines."""

    def __init__(self, console: Console):
        """Print to `console`; a terminal also shows what runs at the moment."""
        super().__init__()
        self.console = console
        self.status = console.status("starting") if console.is_terminal else None
        self._last: dict[str | None, float] = {}  # by step, since two may run at once
        self._seen: set[str] = set()
        self._at_work: list[str | None] = []
        if self.status:
            self.status.start()

    def close(self) -> None:
        """Take the line of the moment away."""
        if self.status:
            self.status.stop()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Print what an event says, where it says something to a person."""
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is None:
            if record.levelno >= logging.WARNING and not getattr(record, "dagster_meta", {}).get("step_key"):
                self.console.print(Text(record.getMessage(), style="yellow"))
            return
        kind = event.event_type
        if kind == dg.DagsterEventType.STEP_START or kind in STEP_ENDS:
            self._show_at_work(event)
        if kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
            self._materialized(event)
        elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._checked(event)
        elif kind == dg.DagsterEventType.STEP_UP_FOR_RETRY:
            self.console.print(Text(f"↻ {event.step_key} is tried again", style="yellow"))
        elif kind == dg.DagsterEventType.STEP_FAILURE:
            self._failed(event)

    def _show_at_work(self, event: dg.DagsterEvent) -> None:
        if event.event_type == dg.DagsterEventType.STEP_START:
            self._last[event.step_key] = time.perf_counter()
            self._at_work.append(event.step_key)
        elif event.step_key in self._at_work:
            self._at_work.remove(event.step_key)
        if self.status and self._at_work:
            self.status.update(f"{', '.join(map(str, self._at_work))} ...")

    def _materialized(self, event: dg.DagsterEvent) -> None:
        materialization = event.step_materialization_data.materialization
        name = materialization.asset_key.to_user_string()
        if name in self._seen:
            return
        self._seen.add(name)
        now = time.perf_counter()
        seconds = _number(materialization.metadata, "Execution Duration")
        seconds = now - self._last.get(event.step_key, now) if seconds is None else seconds
        self._last[event.step_key] = now
        count = next((n for key in ROW_COUNT_KEYS if (n := _number(materialization.metadata, key)) is not None), None)
        rows = "" if count is None else f"{count:>14,.0f} rows"
        self.console.print(Text.assemble(("✓ ", "green"), f"{name:<46}", f"{rows:<20}", (f"{seconds:7.1f} s", "dim")))

    def _checked(self, event: dg.DagsterEvent) -> None:
        evaluation = event.asset_check_evaluation_data
        if evaluation.passed:
            return
        name = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}"
        blocks = evaluation.severity == dg.AssetCheckSeverity.ERROR
        what = "failed" if blocks else "warns"
        words = f"  {evaluation.description}" if evaluation.description else ""
        self.console.print(Text(f"{'✗' if blocks else '!'} {name} {what}.{words}", style="red" if blocks else "yellow"))

    def _failed(self, event: dg.DagsterEvent) -> None:
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None and error.cls_name == DagsterAssetCheckFailedError.__name__:
            return  # the check has said what is wrong
        message = error.message.strip() if error else "no reason given"
        self.console.print(Text(f"✗ {event.step_key}: {message}", style="bold red"))


def progress_logger(handler: RunProgress) -> dg.LoggerDefinition:
    """The Dagster logger that prints through `handler`."""

    def progress(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger(LOGGER_NAME, level=logging.DEBUG)
        logger.addHandler(handler)
        return logger

    return dg.LoggerDefinition(progress, description="One line per asset.")


def _number(metadata: Any, key: str) -> float | None:
    value = getattr(metadata.get(key), "value", None)
    return float(value) if isinstance(value, int | float) else None
