"""How long a plan takes: a million desired people against a million confirmed ones, of whom 3 % changed.

`python -m benchmarks.sync [--people 1000000]` prints a line per step. No vendor is needed: nothing is sent.
"""

import argparse
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb

from activation.sync.diff import make_plan, stage_desired
from activation.sync.gated import GateDecision, seal_audience
from activation.sync.protocol import (
    Capabilities,
    FieldMapping,
    FieldType,
    Limits,
    MappedField,
    Mode,
    NullPolicy,
    Operation,
)
from activation.sync.rates import SystemClock
from activation.sync.state import SyncState

MAPPING = FieldMapping(
    "1",
    (
        MappedField("persona", "persona"),
        MappedField("adoption_class", "adoption_class"),
        MappedField("score", "score", FieldType.NUMBER, NullPolicy.CLEAR),
    ),
)
LIMITS = Limits(dict.fromkeys(Operation, 10_000), {})


@contextmanager
def timed(what: str):
    began = time.perf_counter()
    yield
    print(f"{what:<60}{time.perf_counter() - began:6.1f} s", flush=True)


def people(count: int, changed: bool) -> str:
    """One per cent left, one is new, and of one the fields changed."""
    first = count // 100 if changed else 0
    persona = f"case when {changed} and n < {2 * first} then 'moved' else 'persona ' || n % 9 end"
    return (
        f"select 'person.' || n || '@example.com' as identifier, {persona} as persona, "
        f"'class ' || n % 4 as adoption_class, (n % 1000) / 1000.0 as score "
        f"from range({first}, {count + first}) as r(n)"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=1_000_000)
    count = parser.parse_args().people
    with tempfile.TemporaryDirectory() as folder:
        connection = duckdb.connect(str(Path(folder) / "warehouse.duckdb"), config={"memory_limit": "4GB"})
        state = SyncState(connection, "bench", SystemClock())

        def audience(relation: str):
            return seal_audience(
                connection,
                destination="bench",
                segment="loyal",
                mode=Mode.MIRROR,
                purpose="marketing",
                channel="email",
                as_of=date(2026, 11, 16),
                relation=relation,
                mapping=MAPPING,
                decision=GateDecision(count, count),
            )

        connection.execute(f"create table last_week as {people(count, False)}")
        stage_desired(state, [audience("last_week")])
        connection.execute(
            "insert into activation.sync_snapshot select 'bench', segment, key, identifier, null, true, payload_hash, "
            "false, now()::timestamp from sync_desired"
        )
        connection.execute(f"create table this_week as {people(count, True)}")
        connection.execute("checkpoint")
        print(f"{count} desired against {count} confirmed, 3 % changed")
        sealed = audience("this_week")
        began = time.perf_counter()
        with timed("what was sealed is copied, checked, mapped and hashed"):
            stage_desired(state, [sealed])
        with timed("it is compared with what is confirmed"):
            plan = make_plan(state, [sealed], Capabilities(frozenset(Operation)), LIMITS)
        print(f"{'the plan altogether':<60}{time.perf_counter() - began:6.1f} s")
        (segment,) = plan.segments
        print(f"joins {segment.joins}, upserts {segment.upserts}, leaves {segment.leaves}")
        with timed("it is stored, with a changelog row per operation"):
            state.record_plan("run", plan.as_document(), [])


if __name__ == "__main__":
    main()
