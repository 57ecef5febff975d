"""A destination and a week: which audiences it is given, what is told of them, and what holds everything back."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from audience_company import FIRST, AudienceCompany

from activation.answers import first_row
from activation.gate import remember_erased
from activation.gate_terms import GateError
from activation.sync.guards import Guards
from activation.sync.protocol import Fatal
from orchestration import sync_week
from orchestration.settings_file import SettingsError
from orchestration.sync_week import DestinationSync, OlderWeek, newest_week, sync_destination
from orchestration.sync_words import headline, hint, plan_lines, plan_metadata, result_lines
from tests.unit.activation.sync.scripted import FakeClock, ScriptedDestination, Vendor

SECOND = FIRST.back(-1)
DECLARED = """\
publish_gates: {size_jump: 0.5, size_jump_floor: 5}
destinations:
  newsletter: {kind: klaviyo, api_key: env:KLAVIYO_API_KEY, guards: {removal_floor: 5, max_removal_share: 0.2}}
  other: {kind: brevo, api_key: env:BREVO_API_KEY}
audiences:
  winback:
    people: {propensity: {churn: high}}
    purpose: email_marketing
    destination: newsletter
    attributes: {risk: propensity.churn, first_name: contact.first_name}
"""
OWLS = """\
  owls:
    people: {persona: Night owls}
    purpose: email_marketing
    destination: newsletter
"""


class Clock(FakeClock):
    """The machine's clock on the Monday after a week."""

    def __init__(self, week) -> None:
        super().__init__()
        monday = datetime.combine(week.as_of, datetime.min.time(), tzinfo=self.now().tzinfo)
        self.skew = monday + timedelta(hours=6) - self.now()


class Account:
    """A company and its account at a vendor in memory."""

    def __init__(self, company: AudienceCompany, monkeypatch: pytest.MonkeyPatch) -> None:
        self.company = company.declares(DECLARED)
        self.vendor = Vendor()
        for name in ("KLAVIYO_API_KEY", "BREVO_API_KEY"):
            monkeypatch.setenv(name, "a-key-of-the-account")
        self.connectors: list[ScriptedDestination] = []

        def connector_of(workspace, name):
            self.connectors.append(ScriptedDestination(self.vendor, name=name, batch_rows=50))
            return self.connectors[-1]

        monkeypatch.setattr(sync_week, "connector_of", connector_of)

    def syncs(self, week, name="newsletter", **options) -> DestinationSync:
        return sync_destination(self.company.connection, self.company.open(), week, name, clock=Clock(week), **options)

    @property
    def held(self) -> set[str]:
        return set(self.vendor.members("winback"))

    def counts(self, sql: str) -> int:
        return first_row(self.company.connection, sql)[0]


@pytest.fixture
def account(tmp_path, monkeypatch):
    return Account(AudienceCompany(tmp_path), monkeypatch)


def test_a_destination_is_brought_up_to_date_and_what_came_of_it_is_counted(account):
    account.company.runs(FIRST)
    done = account.syncs(FIRST)

    assert (done.state, done.is_well, done.week) == ("done", True, FIRST)
    assert len(account.held) == 10
    assert done.operations["join"]["confirmed"] == 10
    (audience,) = done.audiences
    assert (audience.name, audience.state, audience.approved) == ("winback", "published", 10)
    assert audience.fields == ("persona_id", "persona_name", "risk", "first_name")
    assert audience.personal_fields == ("first_name (contact.first_name)",)
    assert account.company.open().activation_file.destinations["newsletter"].guards.guards() == Guards(
        removal_floor=5, max_removal_share=0.2
    )


def test_a_plan_sends_nothing_and_changes_nothing_that_was_told(account):
    account.company.computes(FIRST)
    done = account.syncs(FIRST, send=False)

    assert (done.state, account.held) == ("planned", set())
    assert done.operations == {"join": {"planned": 10}}
    assert account.counts("select count(*) from activation.audiences") == 0
    assert plan_metadata(done)["operations"] == {"join": 10, "upsert": 0, "leave": 0, "delete": 0}
    assert any("personal attributes: first_name (contact.first_name)" in line for line in plan_lines(done))


def test_what_is_sent_is_told_of_where_the_declaration_changed_since_the_run(account):
    account.company.runs(FIRST)
    account.company.declares(DECLARED + OWLS)
    account.syncs(FIRST)

    assert len(account.company.members(FIRST, "owls")) == 20
    assert set(account.vendor.members("owls")) == {
        f"{one}@example.com" for one in account.company.members(FIRST, "owls")
    }


def test_what_was_told_is_not_written_again_where_nothing_changed(account, monkeypatch):
    account.company.runs(FIRST)
    written = []
    monkeypatch.setattr(sync_week.JudgedWeek, "tell", lambda judged: written.append(judged))
    account.syncs(FIRST)
    assert written == []


def test_who_was_in_an_audience_that_is_not_declared_any_more_leaves_once_somebody_looked(account):
    account.company.declares(DECLARED + OWLS).runs(FIRST)
    account.syncs(FIRST)
    assert len(account.vendor.members("owls")) == 20
    account.company.declares(DECLARED).runs(SECOND)

    stopped = account.syncs(SECOND)
    assert stopped.state == "blocked" and "owls is empty, and 20 people are there" in stopped.reason
    assert "owls does not go there any more: everybody leaves it" in "\n".join(plan_lines(stopped))
    assert "--allow-mass-removal" in hint(stopped, account.company.builder.folder)
    assert len(account.vendor.members("owls")) == 20

    assert account.syncs(SECOND, allow_mass_removal=True).state == "done"
    assert account.vendor.members("owls") == {}
    assert [one.name for one in account.syncs(SECOND).audiences] == ["winback"]


def test_an_audience_that_moved_to_another_destination_leaves_the_first(account):
    account.company.declares(DECLARED + OWLS).runs(FIRST)
    account.syncs(FIRST)
    account.company.declares(DECLARED + OWLS.replace("newsletter", "other")).runs(SECOND)

    done = account.syncs(SECOND, allow_mass_removal=True)
    assert {one.name: one.state for one in done.audiences} == {
        "winback": "published",
        "owls": "withdrawn",
    }
    assert account.vendor.members("owls") == {}


def test_a_destination_nothing_goes_to_is_not_called(account):
    account.company.runs(FIRST)
    done = account.syncs(FIRST, "other")

    assert (done.state, done.is_well, done.result) == ("nothing to send", True, None)
    assert "no audience goes there" in headline(done) and list(plan_lines(done)) == list(result_lines(done)) == []


def test_the_gate_knows_whom_the_destination_suppresses_now_and_who_came_back(account):
    account.company.runs(FIRST)
    account.syncs(FIRST)
    gone = min(account.held)
    account.vendor.suppressed.add(gone)
    account.company.runs(SECOND)
    (audience,) = account.syncs(SECOND).audiences
    assert gone not in account.held
    assert (audience.approved, audience.refused["suppressed"]) == (9, 1)

    account.vendor.suppressed.discard(gone)
    (audience,) = account.syncs(SECOND).audiences
    assert gone in account.held
    assert (audience.approved, audience.refused.get("suppressed", 0)) == (10, 0)


def test_a_destination_that_cannot_be_asked_is_sent_nothing(account, monkeypatch):
    account.company.runs(FIRST)

    def does_not_answer(self):
        raise Fatal("no such account")

    monkeypatch.setattr(ScriptedDestination, "pull_suppressions", does_not_answer)
    done = account.syncs(FIRST)
    assert (done.state, account.held) == ("failed", set())
    assert account.counts("select count(*) from activation.sync_runs where state = 'failed'") == 1


def test_a_week_older_than_the_last_one_sent_is_refused(account):
    account.company.runs(FIRST)
    account.company.runs(SECOND)
    account.syncs(SECOND)
    account.company.execute("update intermediate.int_weeks set as_of = ?", FIRST.as_of)

    with pytest.raises(OlderWeek, match="newsletter was given the week 2026-01-12 already"):
        account.syncs(FIRST)
    assert account.syncs(FIRST, send=False).state == "planned"
    assert newest_week(account.company.connection) == SECOND


def test_a_week_that_the_last_run_was_not_for_is_refused(account):
    account.company.runs(FIRST)
    account.company.runs(SECOND)
    with pytest.raises(GateError, match="run that week again first"):
        account.syncs(FIRST)
    assert account.vendor.calls == ["suppressions"]


def test_a_connector_is_closed_whatever_comes_of_it(account, monkeypatch):
    account.company.runs(FIRST)
    account.syncs(FIRST)
    account.syncs(FIRST, "other")
    account.syncs(FIRST, send=False)
    with pytest.raises(GateError):
        account.syncs(SECOND)
    monkeypatch.setattr(sync_week, "sync", lambda *given, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        account.syncs(FIRST)
    monkeypatch.setattr(sync_week, "channels_of", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        account.syncs(FIRST)
    assert len(account.connectors) == 6 and all(connector.closed for connector in account.connectors)


def test_who_was_erased_is_erased_at_the_destination(account):
    account.company.runs(FIRST)
    account.syncs(FIRST)
    gone = min(account.held)
    remember_erased(account.company.connection, [gone], datetime(2026, 1, 13))
    account.company.runs(SECOND)

    done = account.syncs(SECOND)
    assert done.operations["delete"]["confirmed"] == 1
    assert gone not in account.held and len(account.held) == 9
    assert account.counts(f"select count(*) from activation.sync_snapshot where identifier = '{gone}'") == 0


def test_where_a_publish_gate_holds_an_audience_back_only_removals_go_out_and_the_sync_says_so(account):
    account.company.runs(FIRST)
    account.syncs(FIRST)
    before = account.held
    account.company.computes(SECOND)
    account.company.execute("update marts.person_propensities set band = 'high' where as_of = ?", SECOND.as_of)
    account.company.judges(SECOND)

    done = account.syncs(SECOND)
    (audience,) = done.audiences
    assert (done.state, audience.state) == ("done", "blocked")
    assert account.held == before
    assert "winback was held back, what was published before stands and nobody is added: size_jump" in "\n".join(
        plan_lines(done)
    )
    assert "size_jump" in plan_metadata(done)["not of this week"]


def test_a_missing_credential_is_told_before_anything_is_judged(tmp_path, monkeypatch):
    monkeypatch.delenv("KLAVIYO_API_KEY", raising=False)
    company = AudienceCompany(tmp_path).declares(DECLARED)
    company.runs(FIRST)
    with pytest.raises(SettingsError, match=r"activation.yml:3: .*environment variable KLAVIYO_API_KEY"):
        sync_destination(company.connection, company.open(), FIRST, "newsletter", clock=Clock(FIRST))
