"""From the declaration to what a destination holds: the gate's audiences through the engine, week by week."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from audience_company import FIRST, AudienceCompany

from activation.sync.engine import SyncResult, SyncSettings, sync
from activation.sync.guards import Guards
from orchestration.weeks import Week
from tests.people_by_name import number
from tests.unit.activation.sync.scripted import FakeClock, ScriptedDestination, Vendor

SECOND = FIRST.back(-1)
DECLARED = """
publish_gates: {size_jump: 0.5, size_jump_floor: 5}
destinations: {newsletter: {kind: klaviyo, api_key: env:KLAVIYO_API_KEY}}
audiences:
  winback:
    people: {propensity: {churn: high}}
    purpose: email_marketing
    destination: newsletter
    attributes: {risk: propensity.churn}
    holdout: 0.2
    content: {subject: "We miss you"}
"""


class Clock(FakeClock):
    """The machine's clock on the Monday after a week."""

    def __init__(self, week: Week) -> None:
        super().__init__()
        monday = datetime.combine(week.as_of, datetime.min.time(), tzinfo=self.now().tzinfo)
        self.skew = monday + timedelta(hours=6) - self.now()


class Account:
    """A company and its account at a vendor."""

    def __init__(self, company: AudienceCompany) -> None:
        self.company = company.declares(DECLARED)
        self.vendor = Vendor()

    def sync(self, week: Week) -> SyncResult:
        judged = self.company.judges(week)
        try:
            return sync(
                self.company.connection,
                ScriptedDestination(self.vendor, batch_rows=50),
                judged.sealed("newsletter"),
                settings=SyncSettings(guards=Guards(removal_floor=100), seed=1),
                clock=Clock(week),
                channels=(),
            )
        finally:
            judged.close()

    def approved(self, week: Week) -> set[str]:
        return {f"{person}@example.com" for person in self.company.members(week, "winback")}

    @property
    def held(self) -> set[str]:
        return set(self.vendor.members("winback"))


@pytest.fixture
def account(tmp_path):
    return Account(AudienceCompany(tmp_path))


def test_a_destination_holds_whom_the_gate_let_through_with_what_is_mapped_and_nothing_else(account):
    account.company.computes(FIRST)

    assert account.sync(FIRST).state == "done"
    assert account.held == account.approved(FIRST)
    assert len(account.held) == 8  # of ten, two are kept out by chance
    assert all(
        set(payload) == {"persona_id", "persona_name", "risk", "subject"} and payload["subject"] == "We miss you"
        for payload in account.vendor.members("winback").values()
    )


def test_whom_the_vendor_suppresses_is_pulled_first_and_known_to_the_gate_from_then_on(account):
    account.company.computes(FIRST)
    account.sync(FIRST)
    gone = min(account.held)
    account.vendor.suppressed = {gone}
    account.company.computes(SECOND)

    account.sync(SECOND)
    assert gone not in account.held
    account.company.judges(SECOND)
    assert account.company.told(SECOND, "winback")[gone.partition("@")[0]] == "suppressed"


def test_after_an_accident_only_removals_reach_the_destination(account):
    account.company.computes(FIRST)
    account.sync(FIRST)
    before = account.held
    refused = min(before)
    account.company.computes(SECOND)
    account.company.execute("update marts.person_propensities set band = 'high' where as_of = ?", SECOND.as_of)
    account.company.execute(
        "update intermediate.int_contactability set is_refused_by_now = true where as_of = ? and person_id = ?",
        SECOND.as_of,
        number(refused.partition("@")[0]),
    )

    assert account.sync(SECOND).state == "done"
    assert account.held == before - {refused}
