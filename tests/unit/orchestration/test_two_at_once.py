"""Steps that may run beside each other do, two at a time; all others run alone, and each tells its own failure."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from rich.console import Console

from orchestration.progress import LOGGER_NAME, RunProgress, progress_logger
from orchestration.two_at_once import AT_ONCE, BESIDE_OTHERS, two_at_once

TIMEOUT_SECONDS = 20


@dataclass
class Steps:
    """Assets that note who is at work, and a run of them."""

    at_work: set[str] = field(default_factory=set)
    seen: dict[str, set[str]] = field(default_factory=dict)
    assets: list[dg.AssetsDefinition] = field(default_factory=list)
    stream: io.StringIO = field(default_factory=io.StringIO)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, name: str, needs: tuple[str, ...] = (), beside: bool = True, do: Callable[[], None] = lambda: None
    ) -> None:
        @dg.asset(name=name, deps=list(needs), op_tags=BESIDE_OTHERS if beside else None)
        def step() -> None:
            with self.lock:
                self.at_work.add(name)
                self.seen[name] = set(self.at_work)
            try:
                do()
                with self.lock:
                    self.seen[name] |= self.at_work
            finally:
                with self.lock:
                    self.at_work.discard(name)

        self.assets.append(step)

    def run(self, instance: dg.DagsterInstance | None = None) -> dg.DagsterRunStatus:
        progress = RunProgress(Console(file=self.stream, highlight=False, soft_wrap=True))
        job = dg.Definitions(
            assets=self.assets,
            jobs=[dg.define_asset_job("weekly")],
            loggers={LOGGER_NAME: progress_logger(progress)},
            executor=two_at_once,
        ).resolve_job_def("weekly")
        with instance or dg.DagsterInstance.ephemeral() as here:
            run = here.create_run_for_job(job, run_config={"loggers": {LOGGER_NAME: {}}})
            execute_run(InMemoryJob(job), run, here)
            ended = here.get_run_by_id(run.run_id)
        assert ended is not None
        return ended.status

    @property
    def printed(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def test_steps_that_wait_for_each_other_run_at_once() -> None:
    meeting, steps = threading.Barrier(AT_ONCE), Steps()
    for name in ("personas", "uplift"):
        steps.add(name, do=lambda: meeting.wait(TIMEOUT_SECONDS) and None)
    assert steps.run() == dg.DagsterRunStatus.SUCCESS


def test_never_more_than_two_run_and_a_step_waits_for_what_it_needs() -> None:
    steps = Steps()
    for name in "abcdef":
        steps.add(name, do=lambda: time.sleep(0.05))
    steps.add("last", needs=("a", "b"))
    assert steps.run() == dg.DagsterRunStatus.SUCCESS
    assert len(steps.seen) == 7 and max(map(len, steps.seen.values())) <= AT_ONCE
    assert not steps.seen["last"] & {"a", "b"}


def test_a_step_without_the_tag_runs_alone_in_the_main_thread() -> None:
    steps, threads = Steps(), []
    for name in "abcd":
        steps.add(name, do=lambda: time.sleep(0.05))
    steps.add("dbt", beside=False, do=lambda: threads.append(threading.current_thread()))
    steps.add("after", needs=("dbt",))
    assert steps.run() == dg.DagsterRunStatus.SUCCESS
    assert steps.seen["dbt"] == {"dbt"} and threads == [threading.main_thread()]


def test_a_failure_is_told_by_its_step_and_others_run_to_their_end() -> None:
    meeting, steps = threading.Barrier(AT_ONCE), Steps()

    def fail() -> None:
        meeting.wait(TIMEOUT_SECONDS)
        raise ValueError("no people are left")

    def go_on() -> None:
        meeting.wait(TIMEOUT_SECONDS)
        time.sleep(0.2)

    steps.add("personas", do=fail)
    steps.add("uplift", do=go_on)
    steps.add("values", needs=("personas",))
    steps.add("adoption", needs=("uplift",))
    assert steps.run() == dg.DagsterRunStatus.FAILURE
    assert set(steps.seen) == {"personas", "uplift", "adoption"}
    told = [line.split()[:2] for line in steps.printed if line[0] in "✓✗"]
    assert sorted(told) == [["✓", "adoption"], ["✓", "uplift"], ["✗", "personas:"]]
    assert "✗ personas: ValueError: no people are left" in steps.printed


def test_both_of_two_failures_are_told() -> None:
    meeting, steps = threading.Barrier(AT_ONCE), Steps()

    def fail(words: str) -> None:
        meeting.wait(TIMEOUT_SECONDS)
        raise ValueError(words)

    steps.add("personas", do=lambda: fail("no people"))
    steps.add("uplift", do=lambda: fail("no campaign"))
    assert steps.run() == dg.DagsterRunStatus.FAILURE
    assert sorted(steps.printed) == ["✗ personas: ValueError: no people", "✗ uplift: ValueError: no campaign"]


def test_a_step_that_asks_for_it_is_tried_again() -> None:
    steps, tries = Steps(), []

    def try_again() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise dg.RetryRequested(max_retries=1)

    steps.add("personas", do=try_again)
    steps.add("values", needs=("personas",))
    assert steps.run() == dg.DagsterRunStatus.SUCCESS
    assert len(tries) == 2 and steps.printed[0] == "↻ personas is tried again"


def test_an_interrupt_ends_both_steps_and_the_run() -> None:
    meeting, steps = threading.Barrier(AT_ONCE + 1), Steps()

    def go_on() -> None:
        meeting.wait(TIMEOUT_SECONDS)
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            time.sleep(0.01)

    def interrupt() -> None:
        meeting.wait(TIMEOUT_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)

    steps.add("personas", do=go_on)
    steps.add("uplift", do=go_on)
    steps.add("values", needs=("personas",))
    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    assert steps.run() == dg.DagsterRunStatus.FAILURE  # Dagster cancels only what was asked for in its UI
    assert time.monotonic() - began < TIMEOUT_SECONDS / 2
    assert set(steps.seen) == {"personas", "uplift"} and not steps.at_work


def test_the_time_of_an_asset_is_that_of_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, meeting, steps = [100.0], threading.Barrier(AT_ONCE), Steps()
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def first() -> None:
        meeting.wait(TIMEOUT_SECONDS)
        clock[0] += 3

    def second() -> None:
        meeting.wait(TIMEOUT_SECONDS)
        while "✓ personas" not in steps.stream.getvalue():
            time.sleep(0.01)
        clock[0] += 4

    steps.add("personas", do=first)
    steps.add("uplift", do=second)
    steps.add("adoption", needs=("uplift",), do=lambda: clock.__setitem__(0, clock[0] + 5))
    assert steps.run() == dg.DagsterRunStatus.SUCCESS
    assert [line.split()[1:] for line in steps.printed] == [
        ["personas", "3.0", "s"],
        ["uplift", "7.0", "s"],
        ["adoption", "5.0", "s"],
    ]
