"""Destinations in the weekly run: two weeks of the demo company (`demo_run`, and `later_company.py`) to vendors on this
machine, one of which fails, and a search for credentials and addresses in all that was written and sent.

Every request is held to the vendor's own description; where that is not beside the checkout, the tests skip.
"""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import dagster as dg
import duckdb
import pytest

from activation.answers import first_row
from activation.destinations.klaviyo import Klaviyo
from orchestration.cli import EXIT_RUN_FAILED
from orchestration.defs.sync import sync_assets
from orchestration.sync_events import asset_key
from orchestration.warehouse import Warehouse
from tests.end_to_end.demo_company import LAST_WEEK
from tests.end_to_end.later_company import (
    ACTIVE,
    BREVO_KEY,
    HUBSPOT_TOKEN,
    KLAVIYO_KEY,
    SECRETS,
    Company,
    keys_in_environment,
)
from tests.vendors.klaviyo import LocalKlaviyo
from tests.vendors.on_loopback import Served

ADDRESS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
VERY_ACTIVE = "{features: {active_days_28d: {at_least: 7}}}"
HOLD_ADDRESSES = re.compile(
    r"raw\.(contacts|consents|events|orders|messages|tickets|survey_answers)|staging\..*|intermediate\..*|quarantine\..*"
    r"|activation\.sync_snapshot"
)
"""Tables in which somebody's address belongs: those that hold what was delivered, and the one a leaver is found in."""

FILES_OF_ADDRESSES = re.compile(r"\.personae/(activation|lookalikes/[^/]+)/.+\.csv")
"""Files that are made to hold addresses: audiences whose destination is `files`, and look-alikes somebody asked for."""


@pytest.fixture(scope="module")
def company(sent: Company) -> Iterator[Company]:
    """The company after its two weeks."""
    with keys_in_environment():
        yield sent


def test_who_joined_is_there_and_who_left_is_gone(company: Company) -> None:
    first, second = company.approved_then["active"], company.approved(LAST_WEEK, "active")
    assert first and first - second and second - first
    assert company.held["week before"] == first
    assert company.held["last week"] == second - company.klaviyo.vendor.refuses
    assert set(company.brevo.vendor.held("seldom")) == company.approved(LAST_WEEK, "seldom")
    assert company.klaviyo.mistakes == company.brevo.mistakes == company.hubspot.mistakes == []


def test_the_receipts_say_so_row_by_row(company: Company) -> None:
    rows = company.query(
        "select s.destination, s.segment, s.outcome, s.people from activation.receipt_summaries as s "
        "inner join activation.sync_runs as r on r.run_id = s.run_id where r.as_of = ? and r.state = 'done' "
        "and s.read_at = (select max(o.read_at) from activation.receipt_summaries as o where o.run_id = s.run_id "
        "and o.segment = s.segment)",
        LAST_WEEK.as_of,
    )
    counted = {(destination, segment, outcome): people for destination, segment, outcome, people in rows}
    assert counted["newsletter", "active", "as desired"] == len(company.held["last week"])
    assert {outcome for _, _, outcome in counted} <= {"as desired", "set aside", "gone"}


def test_everything_was_published_before_anything_was_sent(company: Company) -> None:
    printed = company.printed[0]
    sent = printed.index("activation/newsletter/plan")
    assert max(printed.index(name) for name in ("report/persona_report", "activation/audience_files")) < sent
    assert (company.folder / ".personae" / "published" / "latest").resolve().name.startswith(LAST_WEEK.key)


def test_a_destination_that_fails_is_told_of_and_keeps_nothing_from_being_published(company: Company) -> None:
    assert re.search(
        r"activation/broken/sync: is_brought_up_to_date failed.*broken \(hubspot\).*it failed", company.printed[0]
    )
    ((state, reason),) = company.query("select state, reason from activation.sync_runs where destination = 'broken'")
    # What it said too much of is taken out.
    assert state == "failed" and "401 EXPIRED no Bearer <secret> of <address " in str(reason)


def test_a_guard_stops_a_mass_removal_until_somebody_wants_it(company: Company) -> None:
    company.declares(VERY_ACTIVE)
    there = company.list_of("active")

    assert company.sync("--destination", "newsletter") == EXIT_RUN_FAILED
    assert "people would leave active" in company.printed[-1]
    assert company.list_of("active") == there

    assert company.sync("--destination", "newsletter", "--allow-mass-removal") == 0, company.printed[-1]
    wanted = company.approved(LAST_WEEK, "active")
    assert wanted and wanted - company.klaviyo.vendor.refuses == company.list_of("active") < there
    company.declares(ACTIVE)
    assert company.sync("--destination", "newsletter") == 0, company.printed[-1]


def test_what_somebody_changes_at_the_vendor_is_mended_or_fails_the_check(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is set right again; where the vendor goes on changing it, the receipt differs and its check fails."""
    vendor = company.klaviyo.vendor
    assert isinstance(vendor, LocalKlaviyo)
    monkeypatch.setattr(Klaviyo, "limits", replace(Klaviyo.limits, settle_seconds=0.0, poll_seconds=0.0))
    lost = min(company.list_of("active"))
    vendor.forget("active", lost)
    assert company.sync("--destination", "newsletter") == 0, company.printed[-1]
    assert lost in company.list_of("active")

    reads = vendor.handlers["get_profiles_for_list"]

    def tampered(operation, query, body):
        for address in company.list_of("active"):
            vendor.profiles[address]["properties"]["persona_name"] = "Somebody else's"
        return reads(operation, query, body)

    monkeypatch.setitem(vendor.handlers, "get_profiles_for_list", tampered)
    workspace = company.open()
    assets = [one for one in sync_assets(workspace) if asset_key("newsletter", "plan") in one.keys]
    done = dg.materialize(
        assets, resources={"warehouse": Warehouse.of(workspace)}, tags={"dagster/partition": LAST_WEEK.key}
    )
    assert done.success
    assert {one.check_name: one.passed for one in done.get_asset_check_evaluations()} == {
        "no_guard_speaks_against_it": True,
        "is_brought_up_to_date": False,
        "held_equals_desired": False,
    }
    (failed,) = [one for one in done.get_asset_check_evaluations() if one.check_name == "held_equals_desired"]
    assert "people of active are not as desired" in str(failed.description)


# Credentials and addresses.


def texts_of(database: Path) -> Iterator[str]:
    """Everything in a SQLite database; what Dagster compressed is told as well."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        names = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            for row in connection.execute(f'select * from "{name}"'):
                for value in row:
                    if isinstance(value, bytes):
                        try:
                            yield zlib.decompress(value).decode("utf-8", "replace")
                        except zlib.error:
                            yield value.decode("utf-8", "replace")
                    elif isinstance(value, str):
                        yield value


def written(company: Company) -> Iterator[tuple[str, str]]:
    """All that the runs wrote beside the warehouse, by name: Dagster's storage, logs, files, what was printed."""
    for number, text in enumerate(company.printed):
        yield f"printed {number}", text
    for path in sorted((company.folder / ".personae").rglob("*")):
        if not path.is_file() or path.is_symlink() or path.name.startswith("warehouse.duckdb"):
            continue
        name = str(path.relative_to(company.folder))
        content = path.read_bytes()
        if content.startswith(b"SQLite format 3"):
            yield name, "\n".join(texts_of(path))
        elif path.suffix == ".parquet":
            rows = duckdb.sql(f"select cast(t as varchar) from read_parquet('{path}') as t").fetchall()
            yield name, "\n".join(text for (text,) in rows)
        else:
            yield name, content.decode("utf-8", "replace")


def tables_with(company: Company, words: set[str]) -> set[str]:
    """Tables of the warehouse in any row of which one of the words stands."""
    found = set()
    pattern = "|".join(re.escape(word) for word in sorted(words))
    with Warehouse.of(company.open()).connect(read_only=True) as connection:
        names = connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        for schema, name in names:
            row = first_row(
                connection,
                f'select 1 from "{schema}"."{name}" as t where regexp_matches(cast(t as varchar), ?, \'i\') limit 1',
                [pattern],
            )
            if row:
                found.add(f"{schema}.{name}")
    return found


def test_no_credential_is_anywhere_but_where_it_was_put(company: Company) -> None:
    assert tables_with(company, set(SECRETS)) == set()
    # What is searched does hold what was told of a sync: in Dagster's storage, in the warehouse, in what was printed.
    texts = list(written(company))
    told = [name for name, text in texts if "people would leave active" in text]
    assert any("dagster" in name for name in told) and any("printed" in name for name in told)
    assert "activation.sync_runs" in tables_with(company, {"people would leave active"})
    assert [(name, secret) for name, text in texts for secret in SECRETS if secret in text] == []
    own = {KLAVIYO_KEY: company.klaviyo, BREVO_KEY: company.brevo, HUBSPOT_TOKEN: company.hubspot}
    for secret, vendor in own.items():
        assert vendor.received
        for served in (company.klaviyo, company.brevo, company.hubspot):
            for line, headers, body in served.received:
                assert secret not in line and secret.encode() not in body
                assert any(secret in value for value in headers.values()) == (served is vendor)


def test_no_address_is_anywhere_but_where_it_belongs(company: Company) -> None:
    canaries = (
        set(sorted(company.held["week before"] | company.held["last week"])[:25]) | company.klaviyo.vendor.refuses
    )
    tables = tables_with(company, canaries)
    assert {"raw.contacts", "activation.sync_snapshot"} <= tables
    assert {table for table in tables if not HOLD_ADDRESSES.fullmatch(table)} == set()
    lowered = ((name, text.lower()) for name, text in written(company))
    files = {name for name, text in lowered if any(one in text for one in canaries)}
    assert files and {name for name in files if not FILES_OF_ADDRESSES.fullmatch(name)} == set()


def test_to_each_vendor_went_nobody_but_those_approved_for_it_and_nothing_but_what_was_mapped(company: Company) -> None:
    with_everybody = {
        "klaviyo": ("active", {"persona_id", "persona_name", "adoption_class", "likely_to_order"}),
        "brevo": ("seldom", {"persona_id", "persona_name", "adoption_class", "first_name"}),
    }
    for name, (audience, fields) in with_everybody.items():
        served: Served = getattr(company, name)
        sent = {
            one.lower()
            for line, _, body in served.received
            for one in ADDRESS.findall(unquote(line) + " " + body.decode())
        }
        assert sent and sent <= company.approved_then[audience] | company.approved(LAST_WEEK, audience)
        properties = {key for contact in served.vendor.held(audience).values() for key in contact}
        assert properties <= fields
    assert not any(ADDRESS.search(body.decode()) for _, _, body in company.hubspot.received)
