"""Ghost and Mailman as a company meets them: declared in its files, sent by `personae sync`, and held to what both of
them say in their own databases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from activation.sync.payload import key_of
from activation.sync.receipts import DIFFERENCES
from examples.demo.generate import generate_demo
from orchestration.weeks import Week
from tests.real_servers.scenario import counted
from tests.real_servers.servers import DOMAIN, GhostSite, MailmanServer
from tests.running import personae

WEEK = Week(date(2026, 10, 26))
PEOPLE, HISTORY = 300, 16
DECLARED = """\
destinations:
  site:
    kind: ghost
    api_key: env:CANARY_GHOST_KEY
    site_url: %(ghost)s
    consent_field: consented_at
    guards: {max_age_days: 36000}
  lists:
    kind: mailman
    api_key: env:CANARY_MAILMAN_PASSWORD
    base_url: %(mailman)s
    mail_domain: %(domain)s
    consent_field: consented_at
    guards: {max_age_days: 36000}
publish_gates: {size_jump: 5}
audiences:
  readers:
    people: {features: {active_days_28d: {at_least: %(active)d}}}
    purpose: email_marketing
    destination: site
    holdout: {share: 0.1}
    attributes: {name: contact.first_name, consented_at: consent_recorded_at}
  announcements:
    people: {features: {active_days_28d: {at_least: 1}}}
    purpose: email_marketing
    destination: lists
    attributes: {display_name: contact.first_name, consented_at: consent_recorded_at}
"""


@dataclass
class Company:
    """The demo company with a Ghost site and a Mailman server."""

    folder: Path
    ghost: GhostSite
    mailman: MailmanServer
    first_names: dict[str, set[str]]

    def declares(self, active: int) -> None:
        told = {"ghost": self.ghost.url, "mailman": self.mailman.url, "domain": DOMAIN, "active": active}
        (self.folder / "activation.yml").write_text(DECLARED % told, encoding="utf-8")

    def syncs(self, *arguments: str) -> str:
        done = personae("sync", self.folder, *arguments)
        printed = done.stdout + done.stderr
        assert done.returncode == 0, printed
        assert self.ghost.key not in printed and self.mailman.password not in printed
        return printed

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
            return connection.execute(sql, list(values)).fetchall()

    def approved(self, audience: str) -> dict[str, tuple[str, str | None]]:
        """Whom the gate let through, as `activation.audiences` has it: persona and its name, by address."""
        rows = self.query(
            "select lower(trim(c.email)), a.persona_id, m.segment_name from activation.audiences as a "
            "inner join intermediate.int_contactability as c on c.as_of = a.as_of and c.person_id = a.person_id "
            "and c.purpose = 'email_marketing' and c.channel = 'email' "
            "left join marts.segment_memberships as m on m.as_of = a.as_of and m.person_id = a.person_id "
            "and m.segment_id = a.persona_id where a.as_of = ? and a.audience = ? and a.is_in",
            WEEK.as_of,
            audience,
        )
        return {address: (persona, name) for address, persona, name in rows}

    def receipts(self, audience: str) -> dict[str, set[str]]:
        """Keys by outcome, of the newest receipt."""
        found: dict[str, set[str]] = {}
        rows = self.query("select outcome, key from activation.receipts where segment = ?", audience)
        for outcome, key in rows:
            found.setdefault(outcome, set()).add(key)
        return found

    def refused(self, audience: str) -> dict[str, int]:
        """People whom the gate kept back, by reason."""
        return dict(
            self.query(
                "select reason, count(*) from activation.audiences where as_of = ? and audience = ? and not is_in "
                "group by reason",
                WEEK.as_of,
                audience,
            )
        )


def first_names(folder: Path) -> dict[str, set[str]]:
    """Every first name that the company's own files have for an address."""
    found: dict[str, set[str]] = {}
    for path in sorted((folder / "extracts" / "crm").glob("contacts_*.csv")):
        for row in pl.read_csv(path, infer_schema=False).iter_rows(named=True):
            found.setdefault(str(row["Email"]).strip().lower(), set()).add(str(row["FirstName"] or "").strip())
    return found


@pytest.fixture(scope="module")
def company(ghost: GhostSite, mailman: MailmanServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company of 300 people after one weekly run, which makes plans and sends nothing."""
    folder = tmp_path_factory.mktemp("workspace") / "havelgrid"
    generate_demo(folder, people=PEOPLE, weeks=HISTORY, seed=11, last_week=WEEK.monday)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CANARY_GHOST_KEY", ghost.key)
        environment.setenv("CANARY_MAILMAN_PASSWORD", mailman.password)
        made = Company(folder, ghost, mailman, first_names(folder))
        made.declares(1)
        done = personae("run", folder, "--week", WEEK.key, timeout=1800)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not ghost.held("readers") and not mailman.held("announcements"), "by hand is the default"
        yield made


def check(company: Company, by_hand: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Held, receipts and `activation.audiences` say the same of everybody, and fields are as the company has them."""
    held = {"readers": company.ghost.held("readers"), "announcements": company.mailman.held("announcements")}
    for audience, there in held.items():
        approved, receipts = company.approved(audience), company.receipts(audience)
        aside = dict(company.query("select key, code from activation.sync_rejections where segment = ?", audience))
        assert set(aside.values()) <= {"no_dated_consent"} and receipts.get("set aside", set()) == aside.keys()
        desired = {address for address in approved if key_of(address) not in aside}
        assert desired and there.keys() - by_hand == desired
        assert receipts["as desired"] == {key_of(address) for address in desired}
        assert receipts.get("foreign", set()) == {key_of(address) for address in by_hand & there.keys()}
        assert not receipts.keys() & DIFFERENCES
        for address in desired:
            assert (there[address]["name"] or "") in company.first_names[address]
        counted["people compared"] += len(desired)
    for address, (persona, name) in company.approved("readers").items():
        if address in held["readers"]:
            labels = [
                one for one in held["readers"][address]["labels"] if one.startswith(("persona_id: ", "persona_name"))
            ]
            assert labels == [f"persona_id: {persona}", f"persona_name: {name}"]
            assert held["readers"][address]["newsletters"]


def test_both_hold_what_the_gate_let_through_and_receipts_say_so(company: Company) -> None:
    printed = company.syncs()
    check(company)
    assert "site (ghost)" in printed and "lists (mailman)" in printed
    assert company.refused("readers").get("holdout"), "nobody is held out"
    again = company.syncs()
    assert again.count("plan       0 rows") == 2, again
    check(company)


def test_what_people_did_there_meanwhile_counts_and_what_staff_changed_is_mended(company: Company) -> None:
    readers, members = sorted(company.ghost.held("readers")), sorted(company.mailman.held("announcements"))
    company.ghost.unsubscribe(readers[0])
    company.ghost.change(readers[1], "Theirs", "readers", "persona_name: theirs")
    company.ghost.sign_up("stranger@example.com", "readers")
    company.mailman.leave("announcements", members[0])
    company.mailman.name(members[1], "Theirs")
    company.mailman.join("announcements", "stranger@example.com")
    company.syncs()
    check(company, {"stranger@example.com"})
    assert readers[0] not in company.ghost.held("readers")
    assert members[0] not in company.mailman.held("announcements")
    assert company.refused("readers")["suppressed"] == company.refused("announcements")["suppressed"] == 1


def test_who_is_not_meant_any_more_leaves_when_somebody_wants_it(company: Company) -> None:
    before = company.ghost.held("readers").keys()
    company.declares(9)
    stopped = personae("sync", company.folder, "--destination", "site")
    assert stopped.returncode == 1 and "--allow-mass-removal" in stopped.stdout
    assert company.ghost.held("readers").keys() == before
    company.syncs("--destination", "site", "--allow-mass-removal")
    check(company, {"stranger@example.com"})
    assert company.ghost.held("readers").keys() < before
