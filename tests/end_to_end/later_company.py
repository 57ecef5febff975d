"""A copy of the demo company that runs its last two weeks again, for the tests of erasure and of destinations.

Before that somebody is erased and an old extract of theirs is delivered again, destinations are declared, and what they
get of the week before is sent by hand. The run computes both weeks and sends the last one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
import pytest

from activation.answers import first_row
from activation.people import person_name, person_number
from orchestration.audience_week import JudgedWeek
from orchestration.sync_week import sync_destination
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace
from tests.end_to_end.demo_company import LAST_WEEK, DemoRun
from tests.running import personae_copy, personae_here
from tests.vendors.brevo import LocalBrevo
from tests.vendors.hubspot import LocalHubSpot
from tests.vendors.klaviyo import LocalKlaviyo
from tests.vendors.on_loopback import Served, on_loopback

WEEK_BEFORE = LAST_WEEK.back(1)
KLAVIYO_KEY, BREVO_KEY, HUBSPOT_TOKEN = (
    "pk_canary-of-klaviyo-71c2",
    "xkeysib-canary-of-brevo-4e0a",
    "pat-canary-hubspot-9d5b",
)
SECRETS = (KLAVIYO_KEY, BREVO_KEY, HUBSPOT_TOKEN)
ACTIVE = "{features: {active_days_28d: {at_least: 2}}}"
DECLARED = """\
destinations:
  newsletter:
    kind: klaviyo
    api_key: env:CANARY_KLAVIYO_KEY
    base_url: %(klaviyo)s
    sync: weekly
    guards: {max_age_days: 36000}
  crm-mail:
    kind: brevo
    api_key: file:secrets/brevo.key
    base_url: %(brevo)s/v3/
    sync: weekly
    guards: {max_age_days: 36000}
  broken:
    kind: hubspot
    token: env:CANARY_HUBSPOT_TOKEN
    base_url: %(hubspot)s
    sync: weekly
    guards: {max_age_days: 36000}
publish_gates: {size_jump: 5}
audiences:
  active:
    people: %(active)s
    purpose: email_marketing
    destination: newsletter
    attributes: {likely_to_order: propensity.order_within_30_days}
  seldom:
    people: {features: {active_days_28d: {at_most: 10}}}
    purpose: email_marketing
    destination: crm-mail
    attributes: {first_name: contact.first_name}
  everybody:
    people: {features: {active_days_28d: {at_least: 1}}}
    purpose: email_marketing
    destination: broken
  on_paper:
    people: {features: {active_days_28d: {at_least: 15}}}
    purpose: email_marketing
"""

FEATURES = (
    "select * exclude (feature_fingerprint) from features.person_features where person_id <> $person order by all"
)


@dataclass(frozen=True)
class Erased:
    """A person with two contacts who was erased by one of them, and what had been known before."""

    folder: Path
    person: int
    canaries: list[str]
    told: dict[str, object]
    left: list[str]
    features: pl.DataFrame
    delivered_again: int


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(folder / ".personae" / "warehouse.duckdb"), read_only=True)


def left_below(folder: Path, canaries: list[str]) -> list[str]:
    """Files that hold any of the canaries as bytes, and Parquet and number columns that hold them as values."""
    found = []
    wanted = [canary.lower().encode() for canary in canaries]
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes().lower()
        if any(canary in content for canary in wanted):
            found.append(str(path.relative_to(folder)))
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path).select(pl.col(pl.String))
            if any(frame[column].is_in(canaries).any() for column in frame.columns):
                found.append(str(path.relative_to(folder)))
        if path.suffix == ".duckdb":
            found += [f"{path.relative_to(folder)}: {column}" for column in numbers_in(path, canaries)]
    return found


def numbers_in(database: Path, canaries: list[str]) -> list[str]:
    """Columns of a database that hold a person's number."""
    people = [number for number in map(person_number, canaries) if number is not None]
    with duckdb.connect(str(database), read_only=True) as connection:
        columns = connection.execute(
            "select format('{:s}.{:s}', schema_name, table_name), column_name from duckdb_columns() inner join "
            "(select schema_name, table_name from duckdb_tables()) using (schema_name, table_name) "
            "where data_type = 'UBIGINT' order by all"
        ).fetchall()
        return [
            f"{table}.{column}"
            for table, column in columns
            if first_row(
                connection, f'select 1 from {table} where "{column}" in (select unnest(?::ubigint[])) limit 1', [people]
            )
        ]


def erase_somebody(demo_run: DemoRun, folder: Path) -> Erased:
    """Copy the company, erase somebody, and deliver what an old extract says of them again."""
    shutil.copytree(demo_run.folder, folder, symlinks=True)
    with connect(folder) as connection:
        person, contacts, devices = connection.execute(
            "with people as (select person_after as person, list(identity_id order by identity_id) "
            "filter (identity_kind = 'contact') as contacts, list(identity_id) filter (identity_kind = 'device') "
            "as devices from intermediate.identity_changes where changed_again_at is null group by 1) "
            "select person, contacts, coalesce(devices, []) from people where len(contacts) = 2 and person in "
            "(select person_id from marts.segment_memberships) and len(devices) > 0 "
            "and contacts[1] in (select contact_id from raw.orders) "
            "and person in (select person_id from activation.audiences where is_in) order by person limit 1"
        ).fetchall()[0]
        addresses = connection.execute(
            "select distinct email from raw.contacts where list_contains(?, contact_id) and email is not null",
            [contacts],
        ).fetchall()
        before = connection.sql(FEATURES, params={"person": person}).pl()
    for left_by_a_dead_run in ("table_files/a-run/2026-01-05/person_labels.csv", "tmp/duckdb_temp_storage-0.tmp"):
        path = folder / ".personae" / left_by_a_dead_run
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{contacts[0]},{contacts[1]}\n", encoding="utf-8")
    done = personae_here("erase", folder, contacts[1], "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    canaries = [person_name(person), *contacts, *devices, *(address for (address,) in addresses)]
    left = left_below(folder / ".personae", canaries)
    first = sorted((folder / "extracts" / "crm").glob("contacts_*.csv"))[0]
    lines = first.read_text(encoding="utf-8").splitlines()
    theirs = [line for line in lines[1:] if any(canary in line for canary in canaries)]
    again = first.with_name(first.name.replace(".csv", "_again.csv"))
    again.write_text("\n".join([lines[0], *theirs, ""]), encoding="utf-8")
    return Erased(folder, person, canaries, json.loads(done.stdout), left, before, len(theirs))


@dataclass
class Company:
    """The demo company with three destinations, and all that its commands printed."""

    folder: Path
    klaviyo: Served
    brevo: Served
    hubspot: Served
    printed: list[str] = field(default_factory=list)
    approved_then: dict[str, set[str]] = field(default_factory=dict)
    held: dict[str, set[str]] = field(default_factory=dict)

    def open(self) -> Workspace:
        return Workspace.open(self.folder)

    def declares(self, active: str) -> None:
        addresses = {name: getattr(self, name).base_url for name in ("klaviyo", "brevo", "hubspot")}
        (self.folder / "activation.yml").write_text(DECLARED % {**addresses, "active": active}, encoding="utf-8")

    def list_of(self, audience: str) -> set[str]:
        """Whom Klaviyo holds."""
        return set(self.klaviyo.vendor.held(audience))

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        with Warehouse.of(self.open()).connect(read_only=True) as connection:
            return connection.execute(sql, list(values)).fetchall()

    def approved(self, week, audience: str) -> set[str]:
        """Addresses of those whom the gate let through."""
        rows = self.query(
            "select lower(trim(c.email)) from activation.audiences as a "
            "inner join intermediate.int_contactability as c on c.as_of = a.as_of and c.person_id = a.person_id "
            "and c.purpose = 'email_marketing' and c.channel = 'email' "
            "where a.as_of = ? and a.audience = ? and a.is_in",
            week.as_of,
            audience,
        )
        return {str(address) for (address,) in rows}

    def sync(self, *arguments: str) -> int:
        done = personae_here("sync", self.folder, *arguments)
        self.printed.append(done.stdout + done.stderr)
        return done.returncode


@contextmanager
def keys_in_environment() -> Iterator[None]:
    """Two of the three keys; the third stands in a file."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CANARY_KLAVIYO_KEY", KLAVIYO_KEY)
        patched.setenv("CANARY_HUBSPOT_TOKEN", HUBSPOT_TOKEN)
        yield


@contextmanager
def sending(folder: Path) -> Iterator[Company]:
    """Two weeks: the first one sent by hand, the second one by the weekly run."""
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "brevo.key").write_text(f"{BREVO_KEY}\n")
    with ExitStack() as stack:
        vendors = (LocalKlaviyo(), LocalBrevo(), LocalHubSpot())
        for vendor in vendors:
            vendor.page, vendor.polls_needed = 1000, 0
        made = Company(folder, *(stack.enter_context(on_loopback(vendor)) for vendor in vendors))
        with keys_in_environment():
            made.declares(ACTIVE)
            _two_weeks(made)
        yield made


def _two_weeks(company: Company) -> None:
    workspace = company.open()
    with Warehouse.of(workspace).connect() as connection:
        for name in ("newsletter", "crm-mail"):
            done = sync_destination(connection, workspace, WEEK_BEFORE, name)
            assert done.state == "done", done.reason
        judged = JudgedWeek(connection, workspace, LAST_WEEK)
        (active,) = judged.sealed("newsletter")
        wanted = {one.lower() for (one,) in connection.execute(f"select identifier from {active.relation}").fetchall()}
        judged.close()
    # The next run decides on its own week and forgets what it knew of this one.
    company.approved_then = {name: company.approved(WEEK_BEFORE, name) for name in ("active", "seldom")}
    company.held["week before"] = company.list_of("active")
    # From here on the one refuses somebody who is to come, and the other is out of order and says too much.
    company.klaviyo.vendor.refuses = {min(wanted - company.held["week before"])}
    canary = min(company.held["week before"])
    company.hubspot.answers_with = lambda headers: (
        401,
        json.dumps({"category": "EXPIRED", "message": f"no {headers.get('authorization')} of {canary}"}),
    )
    done = personae_copy("run", company.folder, "--week", LAST_WEEK.key, "--weeks", 2)
    company.printed += [done.stdout, done.stderr]
    assert done.returncode == 0, done.stdout + done.stderr
    company.held["last week"] = company.list_of("active")
