"""Klaviyo, SendGrid and Brevo on this machine: three weeks, every fault at every call, refusals, suppressions, erasure.

Every request is held to the vendor's own description while this runs; where that is not beside the checkout, the
tests skip.
"""

import os
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import duckdb
import httpx
import pytest

from activation.destinations.brevo import Brevo
from activation.destinations.hubspot import HubSpot
from activation.destinations.klaviyo import Klaviyo
from activation.destinations.mailchimp import Mailchimp
from activation.destinations.sendgrid import SendGrid
from activation.fields import DEFAULT_FIELDS
from activation.sync.engine import SyncResult, SyncSettings, sync
from activation.sync.gated import NotGated
from activation.sync.guards import Guards
from activation.sync.payload import key_of
from activation.sync.protocol import (
    Destination,
    FieldMapping,
    FieldType,
    MappedField,
    NullPolicy,
    Operation,
    PlanShape,
    SegmentShape,
)
from activation.sync.rates import Pacer
from activation.sync.secrets import Secret
from tests.unit.activation.sync.scripted import FakeClock, gated
from tests.vendors.brevo import LocalBrevo
from tests.vendors.hubspot import LocalHubSpot
from tests.vendors.klaviyo import LocalKlaviyo
from tests.vendors.mailchimp import LocalMailchimp
from tests.vendors.sendgrid import LocalSendGrid
from tests.vendors.server import LocalVendor

SETTINGS = SyncSettings(guards=Guards(max_removal_share=1.0, rejection_floor=1000), seed=3, read_backs=1)
EVERY_CALL = bool(os.environ.get("FAULT_CASES"))
SECRET = "canary-secret-6f1d-us19"
FAULTS = ("429", "500 before", "500 after", "lost before", "lost after")
counted: Counter[str] = Counter()


@dataclass(frozen=True)
class VendorUnderTest:
    """A vendor's local server and how its connector is made."""

    name: str
    server: Callable[[], LocalVendor]
    connector: Callable[[LocalVendor], Destination]
    nulls: NullPolicy = NullPolicy.CLEAR
    names: tuple[str, str] = ("persona", "score")

    @property
    def mapping(self) -> FieldMapping:
        return FieldMapping(
            "1",
            (
                MappedField(self.names[0], "persona"),
                MappedField(self.names[1], "score", FieldType.NUMBER, self.nulls),
            ),
        )


VENDORS = [
    VendorUnderTest(
        "klaviyo",
        LocalKlaviyo,
        lambda server: Klaviyo("newsletter", Secret(SECRET, "env:KEY"), transport=server),
    ),
    VendorUnderTest(
        "sendgrid",
        LocalSendGrid,
        lambda server: SendGrid("newsletter", Secret(SECRET, "env:KEY"), transport=server),
        nulls=NullPolicy.SKIP,
    ),
    VendorUnderTest(
        "hubspot", LocalHubSpot, lambda server: HubSpot("newsletter", Secret(SECRET, "env:KEY"), transport=server)
    ),
    VendorUnderTest(
        "mailchimp",
        LocalMailchimp,
        lambda server: Mailchimp("newsletter", Secret(SECRET, "env:KEY"), "L1", transport=server),
        names=("PERSONA", "SCORE"),
    ),
    VendorUnderTest(
        "brevo", LocalBrevo, lambda server: Brevo("newsletter", Secret(SECRET, "env:KEY"), transport=server)
    ),
]

pytestmark = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)

WEEKS = [
    {f"p{number}@example.com": ("loyal", 1.0) for number in range(7)},
    {
        "p0@example.com": ("loyal", 1.0),
        "p1@example.com": ("bargain", None),
        "p2@example.com": (None, 2.5),
        "new+tag@example.com": ("loyal", 0.25),
        "bad@example.com": ("loyal", 0.5),
    },
    {"p2@example.com": ("loyal", 2.5), "p5@example.com": ("bargain", 1.0), "bad@example.com": ("loyal", 0.5)},
]


class Account:
    """One account at a vendor, and the company that syncs to it."""

    def __init__(self, vendor: VendorUnderTest) -> None:
        self.vendor = vendor
        self.server = vendor.server()
        self.server.refuses = {"bad@example.com"}
        self.warehouse = duckdb.connect(config={"threads": 1})
        self.clock = FakeClock()

    def sync(self, week: int, **options: object) -> SyncResult:
        people = WEEKS[week]
        audience = gated(
            self.warehouse,
            people,
            as_of=date(2026, 11, 16) + timedelta(days=self.clock.monotonic() // 86_400),
            mapping=self.vendor.mapping,
        )
        return sync(
            self.warehouse,
            self.vendor.connector(self.server),
            [audience],
            settings=SETTINGS,
            clock=self.clock,
            channels=(),
            **options,  # type: ignore[arg-type]
        )

    def check(self, week: int, unwanted: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        desired = {
            address: {name: value for name, value in (("persona", persona), ("score", score)) if value is not None}
            for address, (persona, score) in WEEKS[week].items()
            if address not in unwanted and address not in self.server.refuses
        }
        held = self.server.held("loyal")
        assert held.keys() == desired.keys()
        for address, fields in desired.items():
            assert fields.items() <= held[address].items()
            if WEEKS[week][address][1] is None and self.vendor.nulls is NullPolicy.CLEAR:
                assert held[address].get("score") is None, "a null that clears did not clear"
        rejected = {key for (key,) in self.warehouse.execute("select key from activation.sync_rejections").fetchall()}
        assert {key_of(one) for one in WEEKS[week] if one in self.server.refuses} <= rejected
        counted["people as desired"] += len(desired)


def test_three_weeks_end_as_desired(vendor):
    account = Account(vendor)
    for week in range(3):
        result = account.sync(week)
        assert (result.state, result.reason) == ("done", "")
        account.check(week)
        assert account.sync(week).plan.operations == 0, "a second sync has nothing to do"


@cache
def calls_of_the_second_week(vendor: VendorUnderTest) -> int:
    account = Account(vendor)
    account.sync(0)
    before = sum(account.server.calls.values())
    account.sync(1)
    return sum(account.server.calls.values()) - before


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_at_every_call_ends_as_desired(vendor, fault):
    calls = calls_of_the_second_week(vendor)
    assert calls > FAULTS.index(fault)
    for call in range(0 if EVERY_CALL else FAULTS.index(fault), calls, 1 if EVERY_CALL else 12):
        account = Account(vendor)
        account.sync(0)
        account.server.faults = deque(["ok"] * call + [fault])
        account.sync(1)
        account.server.faults.clear()
        assert account.sync(1).state == "done"
        account.check(1)
        counted[f"{vendor.name} faults"] += 1


def test_what_goes_out_unasked_is_taken_and_told(vendor):
    account = Account(vendor)
    mapping = FieldMapping("1", tuple(MappedField(name, "persona") for name in DEFAULT_FIELDS))
    for operations in (1, 0):
        audience = gated(account.warehouse, {"p1@example.com": ("owl", 1.0)}, mapping=mapping)
        connector = vendor.connector(account.server)
        result = sync(account.warehouse, connector, [audience], settings=SETTINGS, clock=account.clock, channels=())
        assert (result.state, result.plan.operations) == ("done", operations)
        assert list(account.server.held("loyal")["p1@example.com"].values()).count("owl") == 3


def test_who_is_suppressed_there_is_not_sent_and_leaves(vendor):
    account = Account(vendor)
    account.sync(0)
    account.server.suppressed = {"p3@example.com": "UNSUBSCRIBE", "p4@example.com": "HARD_BOUNCE"}
    result = account.sync(0)
    assert result.state == "done" and result.plan.segments[0].leaves_suppressed == 2
    account.check(0, {"p3@example.com", "p4@example.com"})
    account.server.suppressed = {}
    assert account.sync(0).state == "done"
    account.check(0)


def test_who_is_erased_is_erased_there_and_stays_so(vendor):
    account = Account(vendor)
    account.sync(0)
    assert account.sync(0, erased=["P1@example.com"]).state == "done"
    account.check(0, {"p1@example.com"})
    assert account.sync(0).state == "done"
    account.check(0, {"p1@example.com"})
    tables = account.warehouse.execute("select identifier from activation.sync_snapshot").fetchall()
    assert ("p1@example.com",) not in tables


def test_a_vendor_that_forgot_somebody_is_found_out_and_set_right(vendor):
    account = Account(vendor)
    account.sync(0)
    account.server.forget("loyal", "p2@example.com")
    result = account.sync(0)
    assert result.state == "done"
    account.check(0)


def test_a_dry_run_changes_nothing_there(vendor):
    account = Account(vendor)
    account.sync(0)
    reads = {"get_profiles", "ListGlobalSuppression", "ListSuppressionBounces", "ListSpamReport", "ListInvalidEmail"}
    account.server.calls.clear()
    result = account.sync(1, dry_run=True)
    assert result.state == "planned" and result.plan.operations > 0 and result.plan.calls
    assert set(account.server.calls) <= reads | {
        "getContacts",
        "getTransacBlockedContacts",
        "POST /crm/v3/objects/contacts/search",
        "GET /lists/L1/members",
    }
    account.check(0)


def test_a_connector_takes_nothing_that_the_engine_did_not_seal(vendor):
    connector = vendor.connector(vendor.server())
    with pytest.raises(NotGated):
        connector.apply({"operation": Operation.JOIN, "rows": ["somebody@example.com"]})


def test_credentials_and_addresses_stay_out_of_what_is_stored(vendor):
    account = Account(vendor)
    for week in range(2):
        account.sync(week)
    for (table,) in account.warehouse.execute(
        "select table_name from information_schema.tables where table_schema = 'activation'"
    ).fetchall():
        written = str(account.warehouse.execute(f'select * from activation."{table}"').fetchall())
        assert SECRET not in written
        assert table == "sync_snapshot" or "@example.com" not in written, table


def test_a_field_of_another_type_is_reported(vendor):
    fields = {"sendgrid": "fields", "brevo": "attributes", "hubspot": "properties", "mailchimp": "fields"}
    if vendor.name not in fields:
        pytest.skip("its fields have no types")
    server = vendor.server()
    name = vendor.mapping.fields[1].name
    there = getattr(server, fields[vendor.name])
    if vendor.name == "sendgrid":
        there["e1_T"] = {"name": name, "field_type": "Text"}
    else:
        there[name.upper() if vendor.name == "brevo" else name] = "text"
    connector = vendor.connector(server)
    connector.connect(Pacer({}, FakeClock()))
    shape = PlanShape("run", "2026-11-16", (SegmentShape("loyal", vendor.mapping.fields),))
    for _ in range(2):
        (drift,) = connector.prepare(shape)
        assert drift.field == name and drift.found.lower() == "text"


def test_wrong_credentials_end_the_run(vendor):
    account = Account(vendor)

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"message": f"the key {SECRET} is not valid"})

    account.server.handle_request = refuse
    result = account.sync(0)
    assert result.state == "failed" and "401" in result.reason and SECRET not in result.reason


def teardown_module() -> None:
    print(f"\nvendors: {dict(counted)}")
