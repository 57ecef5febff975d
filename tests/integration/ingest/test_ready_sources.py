"""Each ready mapping loads the vendor's own export whole: every row is counted, and values, consents and unsubscribes
are what the vendor's columns say.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ingest_company import Company

import examples
from orchestration.ingest.extracts import check_extracts
from orchestration.ingest.load import IngestResult
from orchestration.init import init_workspace
from orchestration.settings_file import SettingsError
from orchestration.workspace import Workspace

READY = Path(examples.__file__).parent / "sources"
EXPORTS = {
    "hubspot": "fivetran_seeds/hubspot",
    "mailchimp": "fivetran_seeds/mailchimp",
    "ga4": "fivetran_seeds/ga4_export",
    "snowplow": "snowplow_web",
    "zendesk": "fivetran_seeds/zendesk",
    "stripe": "fivetran_seeds/stripe",
}
# Per vendor and mapping: the entity, and how many rows are read, loaded, filtered, exact duplicates.
EXPECTED = {
    "hubspot": {
        ("hubspot_companies", "accounts"): (24, 24, 0, 0),
        ("hubspot_contacts", "contacts"): (22, 22, 0, 0),
        ("hubspot_deals", "deals"): (44, 44, 0, 0),
        ("hubspot_email_events", "messages"): (100, 97, 3, 0),
        ("hubspot_email_events", "consents"): (100, 0, 100, 0),
        ("hubspot_email_events", "contacts"): (100, 19, 0, 81),
        ("hubspot_list_memberships", "events"): (100, 100, 0, 0),
    },
    "mailchimp": {
        ("mailchimp_automation_activity", "messages"): (8, 8, 0, 0),
        ("mailchimp_campaign_activity", "messages"): (17, 17, 0, 0),
        ("mailchimp_campaign_sends", "messages"): (10, 10, 0, 0),
        ("mailchimp_members", "contacts"): (9, 8, 0, 1),
        ("mailchimp_members", "consents"): (9, 8, 0, 1),
        ("mailchimp_unsubscribes", "messages"): (1, 1, 0, 0),
        ("mailchimp_unsubscribes", "consents"): (1, 1, 0, 0),
    },
    "ga4": {("ga4_events", "events"): (6, 6, 0, 0)},
    "snowplow": {
        ("snowplow_events", "events"): (160, 160, 0, 0),
        ("snowplow_profiling_consents", "consents"): (33, 32, 0, 1),
        ("snowplow_advertising_consents", "consents"): (33, 32, 0, 1),
    },
    "zendesk": {
        ("zendesk_organizations", "accounts"): (10, 10, 0, 0),
        ("zendesk_tickets", "tickets"): (10, 8, 2, 0),
        ("zendesk_users", "contacts"): (10, 9, 1, 0),
    },
    "stripe": {
        ("stripe_cancellations", "events"): (2, 2, 0, 0),
        ("stripe_charges", "orders"): (16, 16, 0, 0),
        ("stripe_customers", "contacts"): (12, 12, 0, 0),
        ("stripe_subscriptions", "events"): (2, 2, 0, 0),
    },
}

Load = Callable[..., Company]


@pytest.fixture
def vendor(company: Company, shared_data: Path) -> Load:
    """A company with one vendor's export and the ready mappings."""

    def deliver(name: str, **more_rows: list[dict[str, object]]) -> Company:
        shutil.copytree(READY / name / "mappings", company.folder / "mappings")
        shutil.copytree(shared_data / EXPORTS[name], company.data / name)
        for file, rows in more_rows.items():
            path = company.data / name / f"{file}.csv"
            path.chmod(0o644)
            text = path.read_text()
            with path.open("w", newline="") as stream:
                stream.write(text.rstrip("\n") + "\n")
                csv.DictWriter(stream, next(csv.reader([text.split("\n")[0]])), lineterminator="\n").writerows(rows)
        check_extracts(company.open(), set())
        return company

    return deliver


def figures(result: IngestResult) -> dict[tuple[str, str], tuple[int, ...]]:
    return {
        (load.source, load.entity): (load.rows_read, load.rows_loaded, load.rows_filtered, load.rows_duplicate)
        for load in result.loads
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_the_whole_export_is_loaded_and_every_row_is_counted(vendor: Load, name: str) -> None:
    company = vendor(name)
    result = company.ingest()
    assert figures(result) == EXPECTED[name]
    for load in result.loads:
        rows = pl.read_csv(company.data / load.file, infer_schema=False).height
        assert (load.rows_read, load.rows_quarantined, load.rows_unreadable) == (rows, 0, 0)


def test_every_ready_mapping_is_tested() -> None:
    tested = {mapping for loads in EXPECTED.values() for mapping, _ in loads} | {"ga4_bigquery_events", "shop_orders"}
    assert {path.stem for path in READY.glob("*/mappings/*.yml")} == tested


class TestHubSpot:
    def test_a_deal_finds_its_contact_its_company_and_its_stage(self, vendor: Load) -> None:
        lost = {"stage_id": "lost", "label": "Closed lost", "closed_won": "FALSE", "is_closed": "TRUE"}
        deal = {"is_deleted": "false", "property_createdate": "2020-01-01 10:00:00"}
        won_deal = {"deal_pipeline_stage_id": "/n0+plNHbWErNq8Ek+NM3g==", "property_amount": 1200.5}
        company = vendor(
            "hubspot",
            deal_pipeline_stage_data=[lost],
            deal_data=[
                {**deal, **won_deal, "deal_id": 86014324, "property_closedate": "2020-03-01 10:00:00"},
                {**deal, "deal_id": 6789, "deal_pipeline_stage_id": "lost"},
            ],
        )
        company.ingest()
        rows = company.rows(
            "select deal_id, contact_id, account_id, deal_stage, deal_status, deal_amount, closed_at::varchar "
            "from raw.deals where deal_id in ('86014324', '6789', '1244495215') order by deal_id desc"
        )
        assert rows == [
            ("86014324", "hubspot-1499368", None, "HloNyGJEOLMWtXLjmapLQw==", "won", 1200.5, "2020-03-01 10:00:00"),
            ("6789", None, "hubspot-12345", "Closed lost", "lost", None, None),
            ("1244495215", None, None, None, "open", None, None),
        ]

    def test_messages_know_their_campaign_and_machines(self, vendor: Load) -> None:
        named = {"id": "named", "created": "2020-06-01 10:00:00", "email_campaign_id": 75310262, "type": "CLICK"}
        recipient = {"recipient": "fcb67ef339b691956cc85fa12be6490c", "filtered_event": "true"}
        company = vendor("hubspot", email_event_data=[named | recipient])
        company.ingest()
        assert company.rows("select message_action, count(*) from raw.messages group by 1 order by 1") == [
            ("clicked", 1),
            ("delivered", 3),
            ("opened", 90),
            ("sent", 4),
        ]
        assert company.rows(
            "select occurred_at::varchar, contact_id, channel, campaign, content, is_machine from raw.messages "
            "where message_id in ('0e442bf1-26be-3f07-8b50-5c02724ad803', 'named') order by occurred_at"
        ) == [
            ("2020-03-16 19:03:20.357", "o2wjppyufzbfq9ost9i2nq==", "email", "2", None, False),
            ("2020-06-01 10:00:00", "hubspot-78971951", "email", "xnAPme73HrsY/KHSwuemkQ==", "11809143696", True),
        ]

    def test_an_unsubscription_and_a_spam_report_are_messages_and_withdrawn_consents(self, vendor: Load) -> None:
        contact = "6528BB7211b1dc066fc5c292561150c2"
        company = vendor(
            "hubspot",
            email_event_data=[
                {"id": key, "created": at, "type": kind, "recipient": contact}
                for key, at, kind in (
                    ("709cf966-e3dc-459a-88f4-6716ba5edfbc", "2020-07-03 18:09:20", "STATUSCHANGE"),
                    ("b12d4aca-3225-32fd-b6dc-e498b070b476", "2020-07-04 10:00:00", "SPAMREPORT"),
                    ("not-a-known-change", "2020-07-05 10:00:00", "STATUSCHANGE"),
                )
            ],
        )
        company.ingest()
        assert company.rows(
            "select contact_id, message_action, occurred_at::varchar from raw.messages "
            "where occurred_at > '2020-07-02' order by occurred_at"
        ) == [
            ("hubspot-76340251", "unsubscribed", "2020-07-03 18:09:20"),
            ("hubspot-76340251", "complained", "2020-07-04 10:00:00"),
        ]
        assert company.rows(
            "select contact_id, purpose, channel, consent_state, consent_source from raw.consents order by recorded_at"
        ) == [
            ("hubspot-76340251", "email_marketing", "email", "withdrawn", "unsubscribe link"),
            ("hubspot-76340251", "email_marketing", "email", "withdrawn", "spam report"),
        ]

    def test_joining_a_list_is_an_event(self, vendor: Load) -> None:
        company = vendor("hubspot")
        company.ingest()
        row = company.rows(
            "select contact_id, event_name, occurred_at::varchar from raw.events where event_id like '%-38-31993001'"
        )
        assert row == [("hubspot-31993001", "list: 4a1KyvKZbbfQfTS/8Kk3Cw==", "2020-05-10 01:04:46.778")]


class TestMailchimp:
    def test_an_unsubscribe_is_a_message_and_a_withdrawn_consent(self, vendor: Load) -> None:
        company = vendor("mailchimp")
        company.ingest()
        member = "4d1bf0aa67690a2b483771ce00cfb6a7"
        assert company.rows(
            "select contact_id, occurred_at::varchar, campaign from raw.messages where message_action = 'unsubscribed'"
        ) == [(member, "2020-04-17 16:32:51", "b63e7b8aff")]
        assert company.rows(
            f"select consent_state, recorded_at::varchar, consent_source from raw.consents "
            f"where contact_id = '{member}' order by consent_source"
        ) == [
            ("withdrawn", "2020-04-17 16:32:51", "Mailchimp audience"),
            ("withdrawn", "2020-04-17 16:32:51", "unsubscribe link"),
        ]

    def test_a_subscribed_member_has_granted_consent_since_the_opt_in(self, vendor: Load) -> None:
        company = vendor("mailchimp")
        company.ingest()
        assert company.rows(
            "select consent_state, count(*), min(recorded_at)::varchar from raw.consents "
            "where consent_source = 'Mailchimp audience' group by 1 order by 1"
        ) == [("granted", 7, "2019-11-06 21:35:22"), ("withdrawn", 1, "2020-04-17 16:32:51")]

    def test_messages_know_the_campaigns_title_and_when_it_went_out(self, vendor: Load) -> None:
        company = vendor("mailchimp")
        company.ingest()
        assert company.rows(
            "select message_action, campaign, count(*) from raw.messages group by all order by 2, 1"
        ) == [
            ("clicked", "12345", 1),
            ("clicked", "Release 0.1.1", 5),
            ("opened", "Release 0.1.1", 12),
            ("sent", "Release 0.1.1", 10),
            ("clicked", "Welcome Email", 5),
            ("opened", "Welcome Email", 2),
            ("unsubscribed", "b63e7b8aff", 1),
        ]
        assert company.values(
            "select distinct occurred_at::varchar from raw.messages where message_action = 'sent'"
        ) == ["2019-11-27 16:59:27"]


class TestGoogleAnalytics:
    def test_the_flat_export(self, vendor: Load) -> None:
        company = vendor("ga4")
        company.ingest()
        assert company.rows(
            "select event_type, event_name, contact_id, device_id, session_id, utm_source, utm_medium, utm_campaign, "
            "device_type, country, event_value, occurred_at::varchar from raw.events where event_id = 'ga4-1'"
        ) == [
            (
                "purchase",
                "purchase",
                "user_123",
                "pseudo_123",
                "pseudo_123-session_123",
                None,
                "organic",
                "campaign_1",
                "desktop",
                "USA",
                29.99,
                "2024-09-10 12:35:00",
            )
        ]

    def test_bigquerys_nested_export(self, company: Company) -> None:
        def parameters(**values: str | int) -> list[dict[str, Any]]:
            kinds = {str: "string_value", int: "int_value"}
            return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in values.items()]

        shutil.copytree(READY / "ga4_bigquery" / "mappings", company.folder / "mappings")
        view = {
            "event_date": "20260105",
            "event_timestamp": "1767607200000000",
            "event_name": "page_view",
            "event_params": parameters(ga_session_id=1767607000, page_location="https://x.example/a", page_title="A"),
            "user_pseudo_id": "7.8",
            "device": {"category": "mobile", "language": "de-de", "web_info": {"browser": "Firefox"}},
            "geo": {"country": "Germany"},
            "traffic_source": {"source": "(direct)", "medium": "(none)"},
            "collected_traffic_source": {"manual_source": "newsletter"},
        }
        search = view | {
            "event_name": "view_search_results",
            "user_id": "c7",
            "event_params": parameters(engaged=1, search_term="red shoes", ga_session_id=1767607000),
            "batch_event_index": "2",
            "event_value_in_usd": 1.5,
        }
        company.extract("ga4/events_20260105.jsonl", "\n".join(json.dumps(line) for line in (view, search)))
        assert company.load_one().rows_loaded == 2
        assert company.rows(
            "select contact_id, device_id, session_id, event_type, page_url, page_title, keyword, utm_source, "
            "utm_medium, device_type, browser, country, language, event_value, occurred_at::varchar from raw.events "
            "order by _row_number"
        ) == [
            (
                *(None, "7.8", "7.8-1767607000", "page_view", "https://x.example/a", "A", None, "newsletter", "(none)"),
                *("mobile", "Firefox", "Germany", "de-de", None, "2026-01-05 10:00:00"),
            ),
            (
                *("c7", "7.8", "7.8-1767607000", "search", None, None, "red shoes", "newsletter", "(none)"),
                *("mobile", "Firefox", "Germany", "de-de", 1.5, "2026-01-05 10:00:00"),
            ),
        ]


class TestSnowplow:
    def test_what_was_chosen_in_the_banner_is_consent_per_purpose(self, vendor: Load) -> None:
        company = vendor("snowplow")
        company.ingest()
        # Of 33 choices (one delivered twice) 9 deny, 12 allow all, 9 more name statistics and 4 more name marketing.
        assert (
            company.rows("select purpose, consent_state, count(*) from raw.consents group by all order by 1, 2")
            == CONSENTS
        )
        assert company.values("select distinct contact_id from raw.consents") == ["consent_accel"]

    def test_events_read_their_contexts(self, vendor: Load) -> None:
        company = vendor("snowplow")
        company.ingest()
        assert company.rows(
            "select event_type, event_name, device_type, browser, country, language, page_url, occurred_at::varchar "
            "from raw.events where event_id = '9e983d4a-e07c-4858-8e97-bdb7feb31241' order by occurred_at desc limit 1"
        ) == [
            (
                *("other", "link_click", "desktop", "Chrome", "AU", "en-au"),
                *("https://snowplowanalytics.com/", "2021-03-03 21:27:32.695"),
            )
        ]
        assert company.values("select count(*) from raw.events where event_type = 'page_view'") == [50]

    def test_robots_are_left_out(self, vendor: Load) -> None:
        company = vendor("snowplow")
        path = company.data / "snowplow" / "snowplow_web_events.csv"
        path.chmod(0o644)
        path.write_text(path.read_text().replace('""spiderOrRobot"":false', '""spiderOrRobot"":true', 3))
        (events,) = (load for load in company.ingest().loads if load.source == "snowplow_events")
        assert (events.rows_loaded, events.rows_filtered) == (157, 3)


CONSENTS = [
    ("advertising", "granted", 15),
    ("advertising", "withdrawn", 17),
    ("profiling", "granted", 20),
    ("profiling", "withdrawn", 12),
]


class TestZendesk:
    def test_tickets_know_who_asked_and_when_they_were_solved(self, vendor: Load) -> None:
        solved = {"field_name": "status", "ticket_id": 16988, "updated": "2021-01-10 09:00:00", "value": "solved"}
        company = vendor("zendesk", ticket_field_history_data=[solved])
        company.ingest()
        assert company.rows(
            "select contact_id, subject, ticket_status, created_at::varchar, solved_at::varchar from raw.tickets "
            "where ticket_id = 'zendesk-16988'"
        ) == [("zendesk-1500656884401", "subject1", "solved", "2020-12-22 00:19:23", "2021-01-10 09:00:00")]
        assert company.values("select count(*) from raw.contacts where last_name = 'Arthur Agent'") == [0]


class TestStripe:
    def test_charges_are_orders_in_the_currencys_main_unit(self, vendor: Load) -> None:
        charge = {"created": "2021-03-01 10:00:00", "customer_id": "cus_1", "status": "succeeded", "currency": "eur"}
        company = vendor(
            "stripe",
            charge_data=[
                {**charge, "id": "ch_1", "amount": 1999, "amount_refunded": 0},
                {
                    **charge,
                    "id": "ch_2",
                    "amount": 1999,
                    "amount_refunded": 1999,
                    "currency": "eur",
                    "refunded": "TRUE",
                },
                {**charge, "id": "ch_3", "amount": 500, "amount_refunded": 0, "currency": "jpy"},
                {**charge, "id": "ch_4", "amount": 1999, "amount_refunded": 500},
            ],
        )
        company.ingest()
        assert company.rows(
            "select order_id, order_amount, currency, order_status from raw.orders "
            "where contact_id = 'cus_1' order by 1"
        ) == [
            ("ch_1", 19.99, "EUR", "completed"),
            ("ch_2", 0.0, "EUR", "returned"),
            ("ch_3", 500.0, "JPY", "completed"),
            ("ch_4", 14.99, "EUR", "completed"),
        ]
        assert company.rows("select order_status, count(*) from raw.orders where contact_id <> 'cus_1' group by 1") == [
            ("cancelled", 16)
        ]

    def test_subscriptions_begin_end_and_describe_their_customer(self, vendor: Load) -> None:
        company = vendor("stripe", customer_data=[{"id": "sdf6547", "created": "2021-01-18 12:35:30"}])
        company.ingest()
        assert company.rows(
            "select event_name, contact_id, event_value from raw.events where contact_id = 'sdf6547' order by 1"
        ) == [("subscription_cancelled", "sdf6547", 4.0), ("subscription_started", "sdf6547", 4.0)]
        assert company.rows(
            "select contact_id, attr_subscription_status from raw.contacts where attr_subscription_status is not null"
        ) == [("sdf6547", "active")]


SHOP_HEADER = (
    "Name,Email,Financial Status,Accepts Marketing,Currency,Total,Created at,Lineitem quantity,Lineitem name,"
    "Lineitem price,Lineitem sku,Billing Name,Billing City,Billing Zip,Billing Country,Cancelled at,Vendor,Source"
)


def test_a_shops_orders_their_lines_and_what_the_buyer_allowed(company: Company) -> None:
    shutil.copytree(READY / "shop" / "mappings", company.folder / "mappings")
    lines = [
        "#1001,Ada@x.example,paid,yes,EUR,34.50,2026-01-05 10:00:00 +0100,2,Tea,10.00,T1,Ada,Kiel,'24103,DE,,Leaf,web",
        "#1001,,,,,,2026-01-05 10:00:00 +0100,1,Cup,14.50,C1,,,,,,Clay,",
        "#1002,bo@x.example,refunded,no,EUR,10.00,2026-01-06 10:00:00 +0100,1,Tea,10.00,T1,Bo,Bonn,53111,DE,,Leaf,pos",
    ]
    company.extract("shop/orders_export_1.csv", "\n".join([SHOP_HEADER, *lines]))
    check_extracts(company.open(), set())
    assert figures(company.ingest()) == {
        ("shop_orders", "orders"): (3, 2, 1, 0),
        ("shop_orders", "order_lines"): (3, 3, 0, 0),
        ("shop_orders", "contacts"): (3, 2, 1, 0),
        ("shop_orders", "consents"): (3, 2, 1, 0),
    }
    assert company.rows(
        "select order_id, contact_id, order_amount, order_status, ordered_at::varchar from raw.orders order by 1"
    ) == [
        ("#1001", "ada@x.example", 34.5, "completed", "2026-01-05 09:00:00"),
        ("#1002", "bo@x.example", 10.0, "returned", "2026-01-06 09:00:00"),
    ]
    assert company.rows(
        "select order_id, contact_id, product_name, line_amount from raw.order_lines order by 3, 1"
    ) == [
        ("#1001", "ada@x.example", "Cup", 14.5),
        ("#1001", "ada@x.example", "Tea", 20.0),
        ("#1002", "bo@x.example", "Tea", 10.0),
    ]
    assert company.rows("select contact_id, consent_state from raw.consents order by 1") == [
        ("ada@x.example", "granted"),
        ("bo@x.example", "withdrawn"),
    ]


def test_a_new_source_is_a_mapping_file_and_nothing_else(company: Company) -> None:
    """What CONTRIBUTING says under "Add a source", with an invented vendor: a loyalty card's till receipts."""
    (company.folder / "mappings").mkdir()
    (company.folder / "mappings" / "bonuskarte_receipts.yml").write_text(
        """
        extract:
          files: bonuskarte/belege_*.csv
          delimiter: ";"
          encoding: latin-1
          timezone: Europe/Berlin
          delivered_at: '(\\d{8})'
        lookups:
          shop: {files: "bonuskarte/filialen_*.csv", key: Nr, equals: Filiale, delimiter: ";", encoding: latin-1,
                 delivered_at: '(\\d{8})'}
        entities:
          orders:
            where: Art <> 'Storno'
            columns:
              order_id: {sql: "'bonuskarte-' || Beleg"}
              ordered_at: {column: Zeit, format: "%d.%m.%Y %H:%M"}
              contact_id: {sql: "'bonuskarte-' || Karte"}
              order_amount: {column: Betrag, format: "1.234,56"}
              currency: {value: EUR}
              order_channel: {sql: "'store ' || coalesce(shop.Ort, Filiale)"}
          consents:
            where: Werbung in ('J', 'N')
            columns:
              contact_id: {sql: "'bonuskarte-' || Karte"}
              recorded_at: {column: Zeit, format: "%d.%m.%Y %H:%M"}
              purpose: {value: email_marketing}
              channel: {value: email}
              consent_state: {column: Werbung, values: {J: granted, N: withdrawn}}
        """,
        encoding="utf-8",
    )
    company.extract("bonuskarte/filialen_20260105.csv", "Nr;Ort\n7;Köln\n".encode("latin-1"))
    company.extract(
        "bonuskarte/belege_20260105.csv",
        "Beleg;Zeit;Karte;Filiale;Betrag;Art;Werbung\n"
        "1;05.01.2026 09:30;88;7;1.234,50 €;Kauf;J\n"
        "2;05.01.2026 10:30;89;8;9,90;Kauf;\n"
        "3;05.01.2026 11:30;89;8;-9,90;Storno;N\n".encode("cp1252").replace(b"\x80", b"EUR"),
    )
    check_extracts(company.open(), set())
    company.ingest()
    assert company.rows(
        "select order_id, ordered_at::varchar, contact_id, order_amount, order_channel from raw.orders order by 1"
    ) == [
        ("bonuskarte-1", "2026-01-05 08:30:00", "bonuskarte-88", 1234.5, "store Köln"),
        ("bonuskarte-2", "2026-01-05 09:30:00", "bonuskarte-89", 9.9, "store 8"),
    ]
    assert company.rows("select contact_id, consent_state from raw.consents order by 1") == [
        ("bonuskarte-88", "granted"),
        ("bonuskarte-89", "withdrawn"),
    ]


def test_init_copies_the_ready_mappings(tmp_path: Path) -> None:
    init_workspace(tmp_path / "w", [], ["hubspot", "stripe", "hubspot"])
    opened = Workspace.open(tmp_path / "w")
    assert {mapping.name for mapping in opened.mappings} == {
        path.stem for name in ("hubspot", "stripe") for path in (READY / name / "mappings").glob("*.yml")
    }
    assert list(opened.settings.targets) == ["order_within_30_days"]


def test_a_source_without_ready_mappings_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no ready mappings for 'hubspott'; did you mean 'hubspot'"):
        init_workspace(tmp_path / "w", [], ["hubspott"])
