"""The executor of the weekly job: all steps in the run's own process, models two at a time.

What belongs here: which steps run beside each other, and the threads they run in. Dagster's own in-process executor
runs one step after the other; its multiprocess executor would import everything again for each step, and DuckDB lets
no second process in. Most models wait for the same features and not for each other, and each keeps one core busy and a
second one now and then.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from contextvars import copy_context

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.compute_logs import create_compute_log_file_key
from dagster._core.execution.context.system import (
    PlanExecutionContext,
    PlanOrchestrationContext,
    StepExecutionContext,
)
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.execute_plan import dagster_event_sequence_for_step
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.execution.retries import RetryMode

from orchestration.freed_memory import keep_freed_memory
from orchestration.imports_ahead import MODULES_OF_MODELS, import_all

AT_ONCE = 2
"""Steps: as many as the job is measured on has cores."""
LOOKS_UP_AFTER_SECONDS = 0.5
BESIDE_OTHERS = {"personae/beside_others": "true"}
"""The tag of steps that may run beside others that have it: they share a connection's database and each write tables of
their own. Whatever lacks it runs alone: dbt, which needs the database for itself, and what uses both cores anyway."""


@dg.executor(name="in_process_two_at_once")
def two_at_once(_: dg.InitExecutorContext) -> dg.Executor:
    """Steps in this process; those tagged to run beside others in two threads."""
    return TwoAtOnce()


class TwoAtOnce(dg.Executor):
    """Runs steps as soon as what they need is there."""

    @property
    def retries(self) -> RetryMode:
        """A step that asks for it is tried again."""
        return RetryMode.ENABLED

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Run a plan."""
        keep_freed_memory()
        of_this_process = EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute)
        yield dg.DagsterEvent.engine_event(plan_context, "Runs steps in this process", of_this_process)
        yield from ExecuteRunWithPlanIterable(
            execution_plan=execution_plan,
            iterator=_run_plan,
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                output_capture=plan_context.output_capture,
                step_dependency_config=self.step_dependency_config,
            ),
        )
        yield dg.DagsterEvent.engine_event(plan_context, "Has run its steps", of_this_process)


def _run_plan(job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[dg.DagsterEvent]:
    """Run all steps; what they print is kept for all of them together, since threads share where they print to."""
    logs = job_context.instance.compute_log_manager
    log_key = logs.build_log_key_for_run(job_context.run_id, create_compute_log_file_key())
    with ExitStack() as stack:
        slots = stack.enter_context(InstanceConcurrencyContext(job_context.instance, job_context.dagster_run))
        active = stack.enter_context(execution_plan.start(job_context.retry_mode, instance_concurrency_context=slots))
        log_context = stack.enter_context(logs.capture_logs(log_key))
        yield dg.DagsterEvent.capture_logs(job_context, execution_plan.step_keys_to_execute, log_key, log_context)
        # Threads end before what they print to is closed, also where the run is interrupted.
        threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE, thread_name_prefix="step"))
        yield from _run_steps(job_context, active, threads)


def _run_steps(
    job_context: PlanExecutionContext, active: ActiveExecution, threads: ThreadPoolExecutor
) -> Iterator[dg.DagsterEvent]:
    ready: list[ExecutionStep] = []
    running: dict[Future[list[dg.DagsterEvent]], ExecutionStep] = {}
    at_work: set[int] = set()
    while not active.is_complete:
        ready = sorted([*ready, *active.get_steps_to_execute()], key=_by_priority)
        yield from active.concurrency_event_iterator(job_context)
        while (step := _next_to_begin(ready, len(running))) is not None:
            ready.remove(step)
            context = job_context.for_step(step, active.get_known_state())
            if _runs_beside_others(step):
                running[threads.submit(copy_context().run, _all_events, context, at_work)] = step
            else:  # in this thread, where an interrupt reaches it
                yield from _followed(dagster_event_sequence_for_step(context), job_context, active, step)
        if running:
            for ended in _first_to_end(running, at_work):
                yield from _followed(ended.result(), job_context, active, running.pop(ended))
        else:
            active.sleep_til_ready()
        yield from active.plan_events_iterator(job_context)  # steps that are skipped, or fail with what they need


def _next_to_begin(ready: Sequence[ExecutionStep], running: int) -> ExecutionStep | None:
    """The first of `ready` that may begin while `running` steps run, all of which run beside others."""
    if running == 0:
        return next(iter(ready), None)
    return next(filter(_runs_beside_others, ready), None) if running < AT_ONCE else None


def _by_priority(step: ExecutionStep) -> int:
    return -int(step.tags.get("dagster/priority", 0))


def _runs_beside_others(step: ExecutionStep) -> bool:
    return BESIDE_OTHERS.items() <= step.tags.items()


def _all_events(context: StepExecutionContext, at_work: set[int]) -> list[dg.DagsterEvent]:
    """Run a step to its end; Dagster's log has its events when they happen."""
    at_work.add(threading.get_ident())
    try:
        import_all(MODULES_OF_MODELS)
        return list(dagster_event_sequence_for_step(context))
    finally:
        at_work.discard(threading.get_ident())


def _followed(
    events: Iterable[dg.DagsterEvent], job_context: PlanExecutionContext, active: ActiveExecution, step: ExecutionStep
) -> Iterator[dg.DagsterEvent]:
    """The events of a step, which the steps that need it wait for."""
    for event in events:
        yield event
        active.handle_event(event)
    active.verify_complete(job_context, step.key)


def _first_to_end(
    running: Mapping[Future[list[dg.DagsterEvent]], ExecutionStep], at_work: Collection[int]
) -> list[Future[list[dg.DagsterEvent]]]:
    """Wait until a step has ended; an interrupt of the run is one of each step, as it would be in the main thread."""
    try:
        with dg.raise_execution_interrupts():
            ended: set[Future[list[dg.DagsterEvent]]] = set()
            while not ended:  # a signal that comes as the waiting begins is seen only when it ends
                ended = wait(running, LOOKS_UP_AFTER_SECONDS, FIRST_COMPLETED).done
    except dg.DagsterExecutionInterruptedError:
        for thread in tuple(at_work):
            interrupt = ctypes.py_object(dg.DagsterExecutionInterruptedError)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), interrupt)
        raise
    return [each for each in running if each in ended]
