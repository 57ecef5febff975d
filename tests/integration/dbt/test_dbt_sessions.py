"""Sessions: by the tracker's id, else by half an hour of silence; the same however they are built."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from dbt_company import AS_OF, NEXT_WEEK, THIS_WEEK, VARIABLES
from dbt_warehouse import DbtWarehouse, person
from polars.testing import assert_frame_equal

Event = dict[str, Any]
BERLIN = ZoneInfo("Europe/Berlin")
MODELS = (
    "--select",
    "int_sessions",
    "int_first_sessions",
    "int_identity_sessions",
    "int_person_sessions",
    "+int_identities_resolved",
    "int_weeks",
)


def at(text: str) -> datetime:
    """A local time in Berlin as UTC without a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)


def view(visitor: str, when: str | datetime, url: str = "https://shop.example/", **more: Any) -> Event:
    moment = at(when) if isinstance(when, str) else when
    return {"device_id": visitor, "occurred_at": moment, "event_type": "page_view", "page_url": url} | more


def told_by_hand() -> list[Event]:
    """Visits to be counted by hand, all in the week that ends at AS_OF, a Monday in Berlin."""
    mail = {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "may"}
    search = {"referrer": "https://www.google.de/search?q=x", "keyword": "Red Shoes"}
    return [
        view("gap", "2026-02-24T10:00", **search, **FIREFOX),
        view("gap", "2026-02-24T10:30", "https://shop.example/half-an-hour"),
        view("gap", "2026-02-24T11:00:01", "https://shop.example/a-second-more"),
        view("midnight", "2026-02-25T23:50", **mail),
        view("midnight", "2026-02-26T00:10", "https://shop.example/after"),
        view("tracker", "2026-02-24T10:00", session_id="t1"),
        view("tracker", "2026-02-24T12:00", "https://shop.example/hours-later", session_id="t1"),
        view("tracker", "2026-02-24T12:01", session_id="t2"),
        # On Sunday night a visit goes on after the week's end, and only there somebody signs in.
        view("sunday", "2026-03-01T23:50"),
        view("sunday", "2026-03-02T00:05", "https://shop.example/monday", contact_id="c9"),
        # Two days without a pause: no person.
        *(view("robot", at("2026-02-22T12:00") + timedelta(minutes=20 * n)) for n in range(3 * 72)),
        {"device_id": "app", "occurred_at": at("2026-02-24T10:00"), "event_type": "product_use", "session_id": "s"},
        {"device_id": "form", "occurred_at": at("2026-02-24T10:00"), "event_type": "form_submit", "page_url": "https://shop.example/f"},
        view("form", "2026-02-24T10:01", "https://shop.example/thanks"),
        {"device_id": "form", "occurred_at": at("2026-02-24T10:05"), "event_type": "other", "page_url": "https://shop.example/thanks"},
        # Delivered a fortnight late: a visit of its own, so that weeks before do not change.
        view("late", "2026-02-24T10:00", _delivered_at=at("2026-03-02T05:00")),
        view("late", "2026-02-24T10:05", _delivered_at=at("2026-03-12T05:00")),
        *(view(f"owner-{n}", "2026-02-20T09:00", contact_id="c1", **source) for n, source in enumerate(SOURCES)),
        # Ten people search for the same, one of them after a mail; an eleventh for somebody's name.
        view("s0-phone", "2026-02-10T10:00", contact_id="s0", **mail, **CHROME),
        *(view(f"s{n}", f"2026-02-{18 + n % 3}T10:00", contact_id=f"s{n}", **search, **FIREFOX) for n in range(10)),
        view("s10", "2026-02-20T10:00", contact_id="s10", **search | {"keyword": "Jane Doe"}),
    ]  # fmt: skip


CHROME = {"browser": "Chrome", "language": "en-GB", "country": "GB", "device_type": "Mobile"}
FIREFOX = {"browser": "Firefox", "language": "de-DE", "country": "DE", "device_type": "Desktop"}
SOURCES: list[Event] = [
    {},
    {"referrer": "https://shop.example/before"},
    {"referrer": "https://duckduckgo.com/"},
    {"utm_medium": "organic", "utm_source": "bing"},
    {"referrer": "https://www.google.com/", "utm_medium": "CPC", "utm_source": "google"},
    {"utm_medium": "Paid Social", "utm_source": "facebook"},
    {"utm_medium": "Email", "utm_source": "spring"},
    {"utm_source": "newsletter"},
    {"utm_medium": "social", "utm_source": "x"},
    {"referrer": "https://l.facebook.com/l.php"},
    {"referrer": "https://t.co/abc"},
    {"referrer": "https://partner.example/list"},
    {"utm_medium": "referral", "utm_source": "partner"},
    {"utm_source": "flyer"},
]
LATER_DAYS = ("2026-02-17", "2026-02-22")
# Two visitors who come again, and one who was never there.
MISTAKEN_PAGE = "https://shop.example/mistaken"
MISTAKES = [view(visitor, "2026-02-05T10:00", MISTAKEN_PAGE) for visitor in ("r1", "r7", "nobody")]
CHANNELS = [
    "direct", "direct", "organic_search", "organic_search", "paid", "paid", "email", "email", "social", "social",
    "social", "referral", "referral", "other",
]  # fmt: skip


def random_events(seed: int, count: int = 4000) -> list[Event]:
    """Visitors who come at any time of three weeks, with and without ids, some of them hardly ever pausing."""
    draw = random.Random(seed)
    events = []
    for number in range(count):
        visitor = draw.randint(0, 60)
        start, minutes = (
            (at("2026-02-08T00:00"), 21 * 24 * 60) if visitor > 5 else (at("2026-02-20T00:00"), 5 * 24 * 60)
        )
        moment = start + timedelta(minutes=draw.randint(0, minutes))
        event = view(
            f"r{visitor}", moment, f"https://shop.example/{draw.randint(0, 9)}", browser=draw.choice(("a", "b", None))
        )
        event["_row_number"] = number
        if visitor % 3 == 0:
            event["session_id"] = f"id{draw.randint(0, 8)}"
        if draw.random() < 0.2:
            event |= {"event_type": "download"}
        if draw.random() < 0.1:
            event["_delivered_at"] = moment + timedelta(days=draw.choice((1, 9, 16)))
        events.append(event)
    return events


def sessions_by_hand(events: list[Event]) -> Iterator[tuple[Any, ...]]:
    """The rules, read plainly: visitor, start, end, events, page views of each session with a page view."""
    groups: defaultdict[tuple[Any, ...], list[Event]] = defaultdict(list)
    for event in events:
        moment = event["occurred_at"]
        known = event.get("_delivered_at", moment + timedelta(hours=24)) - timedelta(hours=24)
        late = week(local_day(known)) if week(local_day(known)) > week(local_day(moment)) else None
        groups[event["device_id"], event.get("session_id"), late].append(event)
    for (visitor, tracked, _), found in groups.items():
        found.sort(key=lambda event: event["occurred_at"])
        runs: list[list[Event]] = [[found[0]]]
        for before, after in pairwise(found):
            if tracked or after["occurred_at"] - before["occurred_at"] <= timedelta(minutes=30):
                runs[-1].append(after)
            else:
                runs.append([after])
        for run in runs:
            days = {local_day(event["occurred_at"]) for event in run}
            for first in sorted(day for day in days if starts(day, days)):
                both = {first} | ({first + timedelta(days=1)} if not starts(first + timedelta(days=1), days) else set())
                part = [event for event in run if local_day(event["occurred_at"]) in both]
                views = sum(event["event_type"] == "page_view" for event in part)
                if views:
                    yield visitor, part[0]["occurred_at"], part[-1]["occurred_at"], len(part), views


def starts(day: date, days: set[date]) -> bool:
    """Whether a session starts on a day: not where it goes on from one that started the day before."""
    yesterday = day - timedelta(days=1)
    return yesterday not in days or yesterday - timedelta(days=1) in days


def local_day(moment: datetime) -> date:
    return moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(BERLIN).date()


def week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def add_events(warehouse: DbtWarehouse, events: list[Event]) -> None:
    numbered = [{"_row_number": number} | event for number, event in enumerate(events)]
    frame = pl.DataFrame(numbered, infer_schema_length=None)
    with warehouse.connect() as connection:
        connection.register("events_to_add", frame)
        connection.execute("insert into raw.events by name select * from events_to_add")


def warehouse_of(folder: Path, dbt_folder: Path, events: list[Event]) -> DbtWarehouse:
    warehouse = DbtWarehouse(folder, dbt_folder, VARIABLES)
    warehouse.add(
        "raw.contacts", *(dict(contact_id=c, email=f"{c}@x.org", created_at="2026-01-01") for c in ("c1", "c9"))
    )
    add_events(warehouse, events)
    warehouse.run_for(THIS_WEEK, NEXT_WEEK)
    return warehouse


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> tuple[DbtWarehouse, DbtWarehouse, list[Event]]:
    """The same events, in two deliveries with a build after each, the first of them with mistakes, and all at once."""
    events = random_events(1)
    later = [event for event in events[1::2] if str(local_day(event["occurred_at"])) in LATER_DAYS]
    first = [event for event in events if event not in later]
    in_two = warehouse_of(tmp_path_factory.mktemp("in_two"), dbt_folder, told_by_hand() + first + MISTAKES)
    in_two.dbt("run", *MODELS)
    with in_two.connect() as connection:
        connection.execute("delete from raw.events where page_url = ?", [MISTAKEN_PAGE])
    add_events(in_two, later)
    in_two.changed_days(sorted({str(local_day(event["occurred_at"])) for event in later + MISTAKES}))
    in_two.dbt("run", *MODELS)
    at_once = warehouse_of(tmp_path_factory.mktemp("at_once"), dbt_folder, told_by_hand() + events)
    at_once.dbt("run", *MODELS)
    return in_two, at_once, events


def of(built: tuple[DbtWarehouse, DbtWarehouse, list[Event]], visitor: str) -> list[dict[str, Any]]:
    return (
        built[1]
        .read(f"select * from intermediate.int_sessions where device_id = '{visitor}' order by started_at")
        .to_dicts()
    )


def test_random_visits_are_grouped_as_the_rules_say(built) -> None:
    columns = "device_id, started_at, ended_at, events, page_views"
    found = built[1].read(
        f"select {columns} from intermediate.int_sessions where device_id like 'r%' and device_id <> 'robot'"
    )
    assert sorted(found.rows()) == sorted(sessions_by_hand(built[2]))
    assert found.height > 1000


def test_sessions_built_from_changed_days_equal_those_built_from_nothing(built) -> None:
    for table in ("int_sessions", "int_first_sessions", "int_identity_sightings", "int_person_sessions"):
        query = f"select * from intermediate.{table} order by all"
        assert_frame_equal(built[0].read(query), built[1].read(query))
    assert built[1].read("select * from intermediate.int_identity_sightings").height > 60


def test_half_an_hour_of_silence_ends_a_session_and_not_a_second_less(built) -> None:
    first, second = of(built, "gap")
    assert (first["page_views"], first["duration_seconds"], first["is_bounce"]) == (2, 1800, False)
    assert (second["page_views"], second["duration_seconds"], second["is_bounce"]) == (1, 0, True)
    assert (first["landing_page"], first["exit_page"]) == ("https://shop.example/", "https://shop.example/half-an-hour")
    assert (first["channel"], first["keyword"], first["browser"], first["language"], first["country"]) == (
        "organic_search", "Red Shoes", "Firefox", "de-DE", "DE",
    )  # fmt: skip
    assert (first["device_type"], first["started_hour"], first["started_weekday"]) == ("desktop", 10, 2)


def test_a_session_across_midnight_is_one(built) -> None:
    (session,) = of(built, "midnight")
    assert (str(session["started_on"]), session["page_views"], session["duration_seconds"]) == ("2026-02-25", 2, 1200)
    assert (session["channel"], session["utm_campaign"], session["exit_page"]) == (
        "email",
        "may",
        "https://shop.example/after",
    )


def test_the_trackers_own_id_goes_before_silence(built) -> None:
    assert [(s["session_id"], s["page_views"]) for s in of(built, "tracker")] == [("t1", 2), ("t2", 1)]


def test_who_never_pauses_is_cut_at_midnights(built) -> None:
    days = [(str(session["started_on"]), session["session_days"]) for session in of(built, "robot")]
    assert days == [("2026-02-22", 2), ("2026-02-24", 1), ("2026-02-25", 1)]


def test_other_web_events_count_within_a_session_and_uses_of_the_product_make_none(built) -> None:
    assert of(built, "app") == []
    (session,) = of(built, "form")
    assert (session["events"], session["page_views"], session["duration_seconds"]) == (3, 1, 300)
    assert (session["landing_page"], session["is_bounce"]) == ("https://shop.example/thanks", False)


def test_what_comes_weeks_late_makes_a_session_of_its_own(built) -> None:
    assert [(s["page_views"], str(s["delivered_in_week"])) for s in of(built, "late")] == [
        (1, "None"),
        (1, "2026-03-09"),
    ]


def test_channels_follow_the_documented_rules(built) -> None:
    found = {s: of(built, f"owner-{n}")[0]["channel"] for n, s in enumerate(map(str, SOURCES))}
    assert list(found.values()) == CHANNELS


def test_a_week_knows_of_a_session_what_happened_before_its_end(built) -> None:
    (session,) = of(built, "sunday")
    assert (session["page_views"], session["page_views_in_week"], session["events_in_week"]) == (2, 1, 1)
    assert session["contact_id"] is None, "who signs in after the week's end is not known before it"
    rows = built[1].read(
        "select as_of, pages_per_session_91d, bounced_sessions_share_91d from intermediate.int_person_sessions "
        f"where person_id = '{person('c9')}' order by as_of"
    )
    assert rows.rows() == [(date.fromisoformat(NEXT_WEEK[0]), 2.0, 0.0)]


def features_of(built: tuple[DbtWarehouse, DbtWarehouse, list[Event]], contact: str) -> dict[str, Any]:
    query = "select * from intermediate.int_person_sessions where person_id = '{0}' and as_of = '{1}'"
    return built[1].read(query.format(person(contact), AS_OF)).row(0, named=True)


def test_a_session_keeps_where_it_came_from(built) -> None:
    (mailed,) = of(built, "midnight")
    assert (mailed["utm_source"], mailed["utm_medium"], mailed["utm_campaign"]) == ("newsletter", "email", "may")
    assert mailed["referrer"] is None
    assert of(built, "gap")[0]["referrer"] == "https://www.google.de/search?q=x"


def test_a_person_is_described_by_the_first_and_the_last_session(built) -> None:
    row = features_of(built, "s0")
    assert (row["first_touch_channel"], row["last_touch_channel"]) == ("email", "organic_search")
    assert (row["session_device_type"], row["session_browser"]) == ("desktop", "Firefox")
    assert (row["session_language"], row["session_country"]) == ("de-DE", "DE")
    assert (row["web_sessions_28d"], row["email_sessions_share_91d"]) == (2, 0.5)
    assert (row["organic_search_sessions_share_91d"], row["minutes_per_session_91d"]) == (0.5, 0.0)


def test_search_words_are_told_of_where_ten_people_used_them(built) -> None:
    assert features_of(built, "s7")["last_search_keyword"] == "red shoes"
    assert features_of(built, "s10")["last_search_keyword"] is None


def test_a_person_has_the_sessions_of_all_devices(built) -> None:
    row = (
        built[1]
        .read(
            f"select * from intermediate.int_person_sessions where person_id = '{person('c1')}' and as_of = '{AS_OF}'"
        )
        .row(0, named=True)
    )
    assert (row["web_sessions_28d"], row["pages_per_session_91d"], row["bounced_sessions_share_91d"]) == (14, 1.0, 1.0)
    assert row["email_sessions_share_91d"] == pytest.approx(2 / 14)
    assert row["days_since_last_session"] == 9


def test_snowplows_own_sessions_and_half_an_hour_of_silence(
    tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path, shared_data: Path
) -> None:
    file = shared_data / "snowplow_web" / "snowplow_web_events.csv"
    events = (
        duckdb.sql(
            "select distinct on (event_id) event_id, domain_userid as device_id, domain_sessionid as session_id, "
            "derived_tstamp::timestamp as occurred_at, page_url, page_referrer as referrer, "
            "case event_name when 'page_view' then 'page_view' else 'other' end as event_type "
            f"from read_csv('{file}', all_varchar = true) where domain_userid is not null order by all"
        )
        .pl()
        .to_dicts()
    )
    silent = [event | {"session_id": None, "device_id": f"silent {event['device_id']}"} for event in events]
    warehouse = warehouse_of(tmp_path_factory.mktemp("snowplow"), dbt_folder, events + silent)
    warehouse.dbt("run", "--select", "+int_sessions")
    rows = warehouse.read("select device_id, started_at, ended_at, page_views from intermediate.int_sessions").rows()
    given = {row for row in rows if not row[0].startswith("silent ")}
    by_silence = {(row[0].removeprefix("silent "), *row[1:]) for row in rows if row[0].startswith("silent ")}
    # The extract is Snowplow's own test data: in some of its sessions days pass, and some visitors have two at once.
    assert (len(given), len(by_silence), len(given & by_silence)) == (22, 20, 17)
