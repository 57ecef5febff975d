"""A company that syncs a weekly table to a real server, in a process that may be killed at any step.

Here belong the company's warehouse, the real gate, the connectors as they are set up, and death. A step is a moment
before, during or after a call or a file's delivery, or before or after a commit of the warehouse; `kill -9` comes from
the process itself, so that it comes there exactly.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars as pl

from activation.destinations.file_drop import Contents, FileDrop
from activation.destinations.ghost import Ghost
from activation.destinations.mailman import Mailman
from activation.destinations.object_store import ObjectStore
from activation.destinations.sftp import SftpFolder
from activation.gate import Gate, Terms
from activation.sync.asked import ask_destination
from activation.sync.engine import SyncSettings, sync
from activation.sync.gated import GatedAudience
from activation.sync.guards import Guards
from activation.sync.protocol import Destination, FieldMapping, FieldType, MappedField, Mode, NullPolicy
from activation.sync.secrets import Secret
from tests.running import PROJECT
from tests.unit.activation.gate_world import CHANNEL, GRANTED, LEGAL_BASIS, PURPOSE, SCHEMA, TABLES
from tests.unit.activation.sync.scripted import MortalConnection

FIRST_WEEK = date.today() - timedelta(days=21)
GUARDS = Guards(max_removal_share=1.0, max_age_days=60, max_count_deviation=10.0, rejection_floor=1_000)
CONSENT = "consented_at"
FAULTS = ("429", "500 before", "500 after", "lost before", "lost after")
"""What a call can come to: told to wait, not done, done without a word of it, and both without any answer."""


@dataclass(frozen=True)
class Person:
    """One row of a weekly table; who has no time of consent may be contacted as an existing customer."""

    address: str
    name: str | None = None
    persona: str | None = None
    consented: bool = True


@dataclass(frozen=True)
class Server:
    """How a destination is reached.

    Attributes:
        kind: `ghost`, `mailman`, `sftp` or `bucket`.
        settings: What its connector is told.
        fields: What goes out: name there, column, whether nothing clears it, and its type where that is not text.
    """

    kind: str
    settings: Mapping[str, Any]
    fields: Sequence[tuple[Any, ...]] = ()


@dataclass(frozen=True)
class Week:
    """One sync: which week, of whom, into which segment, where it dies, and every how many calls one goes wrong."""

    folder: str
    server: Server
    segment: str
    number: int
    people: Sequence[Person]
    erased: Sequence[str] = ()
    dies_at: int = 0
    goes_wrong_every: int = 0


@dataclass(frozen=True)
class Ended:
    """How a sync ended: the engine's answer, and after how many steps."""

    state: str
    reason: str
    steps: int
    operations: int
    not_as_desired: int


class Death:
    """Kills this process at a step."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0
        self._lock = threading.Lock()

    def step(self) -> None:
        if self._next() == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, act: Any) -> Any:
        """Do something with a step before it, one in the middle of it and one after it."""
        self.step()
        if self._next() == self.at:
            threading.Timer(0.03, os.kill, (os.getpid(), signal.SIGKILL)).start()
            act()
            os.kill(os.getpid(), signal.SIGKILL)
        done = act()
        self.step()
        return done

    def _next(self) -> int:
        with self._lock:
            self.steps += 1
            return self.steps


class MortalTransport(httpx.BaseTransport):
    """Calls over HTTP, in any of which the process may die, and of which some go wrong on the way."""

    def __init__(self, death: Death, goes_wrong_every: int) -> None:
        self._death = death
        self._goes_wrong_every = goes_wrong_every
        self._calls = 0
        self._transport = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._calls += 1
        number, rest = divmod(self._calls, self._goes_wrong_every or 1)
        fault = FAULTS[number % len(FAULTS)] if self._goes_wrong_every and rest == 0 else ""

        def call() -> httpx.Response:
            if fault == "429":
                return httpx.Response(429, headers={"Retry-After": "0"})
            if fault == "500 before":
                return httpx.Response(500)
            if fault == "lost before":
                raise httpx.ConnectError("no connection")
            answer = self._transport.handle_request(request)
            answer.read()
            if fault == "500 after":
                return httpx.Response(500)
            if fault == "lost after":
                raise httpx.ReadTimeout("no answer in time")
            return answer

        return self._death.around(call)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._transport.close()


class MortalStore:
    """A place for files, at any of whose deliveries the process may die."""

    def __init__(self, store: Any, death: Death) -> None:
        self._store = store
        self._death = death

    def put(self, name: str, source: Path) -> None:
        self._death.around(lambda: self._store.put(name, source))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def connector(week: Week, death: Death) -> Destination:
    server, told, drafts = week.server, dict(week.server.settings), Path(week.folder)
    secrets = {name: Secret(str(told.pop(name)), f"env:{name}") for name in ("api_key", "private_key") if name in told}
    if server.kind in ("ghost", "mailman"):
        made = Ghost if server.kind == "ghost" else Mailman
        transport = MortalTransport(death, week.goes_wrong_every)
        return made("newsletter", **secrets, **told, consent_field=CONSENT, transport=transport)
    contents = Contents(told.pop("contents"))
    if server.kind == "sftp":
        store: Any = SftpFolder(**secrets, **told)
    else:
        key = Secret("testing", "env:KEY")
        store = ObjectStore(**told, secrets={"access_key_id": key, "secret_access_key": key})
    return FileDrop("newsletter", MortalStore(store, death), contents, temporary_folder=drafts)


def mapping(server: Server) -> FieldMapping:
    fields = [
        MappedField(name, column, FieldType(*kind or ["text"]), NullPolicy.CLEAR if clears else NullPolicy.SKIP)
        for name, column, clears, *kind in server.fields
    ]
    if server.kind in ("ghost", "mailman"):
        fields.append(MappedField(CONSENT, "consent_recorded_at", FieldType.TIMESTAMP))
    return FieldMapping("1", tuple(fields))


def gated(connection: duckdb.DuckDBPyConnection, week: Week) -> GatedAudience:
    """The week's people, as the real gate lets them through."""
    as_of = FIRST_WEEK + timedelta(days=7 * week.number)
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(SCHEMA.replace("create table", "create or replace table"))
    ids = pl.Series(range(len(week.people)), dtype=pl.UInt64)
    people = pl.DataFrame(  # noqa: F841 - read by DuckDB
        {
            "person_id": ids,
            "address": [one.address for one in week.people],
            "name": [one.name for one in week.people],
            "persona": [one.persona for one in week.people],
            "consented": [one.consented for one in week.people],
        },
        schema_overrides={"name": pl.String, "persona": pl.String},
    )
    connection.execute("create or replace table known as select * from people")
    connection.execute(
        "insert into contactability by name select cast(? as date) as as_of, person_id, ? as purpose, ? as channel, "
        "'c-' || person_id as contact_id, address as email, true as is_allowed, false as is_refused_by_now, "
        "if(consented, ?, ?) as decision_reason, "
        "if(consented, timestamp '2026-03-01 09:00:00', null) as consent_recorded_at from known",
        [as_of, PURPOSE, CHANNEL, GRANTED, LEGAL_BASIS],
    )
    connection.execute(
        "insert into identities by name select person_id, 'contact' as identity_kind, "
        "'c-' || person_id as identity_id, timestamp '2020-01-01' as valid_from from known"
    )
    connection.execute(
        "insert into contacts by name select 'c-' || person_id as contact_id, address as email, 'DE' as country, "
        "false as is_deleted, timestamp '2020-01-01' as valid_from from known"
    )
    gate = Gate(connection, as_of, datetime(as_of.year, as_of.month, as_of.day), None, TABLES)
    gate.consider(Terms(week.segment, PURPOSE, CHANNEL, destination="newsletter"), "true")
    gate.judge()
    gate.tell()
    values = (
        "select a.identifier, a.consent_recorded_at, k.name, k.persona "
        "from gate_approved as a inner join known as k on k.person_id = a.person_id"
    )
    return gate.seal(week.segment, values, {}, mapping(week.server), Mode.MIRROR)


def carry_out(week: Week) -> Ended:
    """Sync one week in this process."""
    folder, death = Path(week.folder), Death(week.dies_at)
    connection = duckdb.connect(str(folder / "warehouse.duckdb"), config={"threads": 1})
    mortal: Any = MortalConnection(connection, death)
    settings = SyncSettings(guards=GUARDS, seed=week.number, call_deadline_seconds=120)
    with closing(connection), closing(connector(week, death)) as destination:
        # Asked before the gate judges, as `personae sync` does: who came back goes out with this sync.
        asked = ask_destination(
            mortal, destination, seed=settings.seed, call_deadline_seconds=settings.call_deadline_seconds
        )
        audience = gated(connection, week)
        result = sync(mortal, asked, [audience], erased=week.erased, settings=settings, channels=())
    return Ended(
        state=result.state,
        reason=result.reason,
        steps=death.steps,
        operations=result.plan.operations if result.plan else 0,
        not_as_desired=sum(receipt.differences for receipt in result.receipts),
    )


def killed_on_the_way(week: Week, timeout: float = 600) -> None:
    """Sync one week in a process of its own, which kills itself at the step that was asked for."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.real_servers.weeks"],
        input=json.dumps(asdict(week)),
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL, f"it was not killed at step {week.dies_at}: {ran.stderr[-4000:]}"


def rejections(folder: Path) -> dict[str, str]:
    """Rows set aside: key and the vendor's code."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        return dict(connection.execute("select key, code from activation.sync_rejections").fetchall())


def main() -> None:
    told = json.loads(sys.stdin.read())
    people = [Person(**one) for one in told.pop("people")]
    server = Server(**told.pop("server"))
    carry_out(Week(**told, people=people, server=server))


if __name__ == "__main__":
    main()
