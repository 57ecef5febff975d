"""People who are erased leave every table and file of a workspace, and nothing that is delivered brings them back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import polars as pl
import pytest
from ingest_company import EVENT_COLUMNS, ORDER_COLUMNS, Company, event, order
from typer.testing import CliRunner

from activation.people import person_name_sql
from activation.publishing import publish_folder
from activation.sync.rates import SystemClock
from activation.sync.state import SyncState
from orchestration import erasure
from orchestration.cli import EXIT_RUN_FAILED, EXIT_WRONG_SETTING, app
from orchestration.erasure import NotErased, erase, finish, has_unfinished, survey
from orchestration.erasure_keys import mailbox_sql, person_id_sql
from orchestration.erasure_people import read_identifiers
from orchestration.ingest.ledger import Ledger
from orchestration.warehouse import Warehouse
from orchestration.why_erased import erasure_of

ERASED, OTHER = "c1", "c2"
ADDRESS = "canary.one@people.example"
CONTACT_COLUMNS = {"contact_id": "id", "email": "mail", "user_id": "login", "phone": "phone", "country": "country"}
LINE_COLUMNS = {"order_id": "id", "ordered_at": "at", "product_name": "product"}
CONTACTS = [
    f"c1,{ADDRESS},login-1,030 1234567,DE",
    "c2,two@people.example,login-2,030 7654321,DE",
    "c3,shared@people.example,,,DE",
    "c4,shared@people.example,,,DE",
]
PROJECT = Path(__file__).resolve().parents[3]


def contact_header() -> str:
    return ",".join(CONTACT_COLUMNS.values())


class Shop(Company):
    """Contacts, orders and events; the warehouse lies where `personae` looks for it."""

    def __init__(self, folder: Path) -> None:
        (folder / ".personae").mkdir(parents=True)
        super().__init__(folder, str(folder / ".personae" / "warehouse.duckdb"))
        self.settings(quarantine_threshold=1)
        self.map_orders().map_events()
        self.maps("contacts", {"contacts": {"columns": CONTACT_COLUMNS}}, files="contacts*.csv")
        self.maps("lines", {"order_lines": {"columns": LINE_COLUMNS}}, files="lines*.csv")
        self.delivers("contacts.csv", CONTACTS, contact_header())
        self.delivers("orders.csv", [order(1, customer="c1"), order(2, customer="c2")])
        self.delivers("lines.csv", ["o1,2026-01-02,secret sofa", "o2,2026-01-03,plain table"], "id,at,product")
        self.delivers(
            "events.csv", [event(1, customer="c1"), event(2, customer="c2"), event(3, customer="c1", at="soon")]
        )
        self.ingest()

    @classmethod
    def copied(cls, folder: Path) -> Shop:
        """A shop whose folder was copied, with all that is loaded."""
        shop = cls.__new__(cls)
        shop.folder, shop.data = folder, folder / "data"
        shop.reopen()
        return shop

    def erase(self, *identifiers: str, **more: Any) -> erasure.Erased:
        self.connection.close()
        try:
            return erase(self.open(), list(identifiers), **more)
        finally:
            self.reopen()

    def finish(self) -> erasure.Erased:
        self.connection.close()
        try:
            return finish(self.open())
        finally:
            self.reopen()

    def reopen(self) -> None:
        self.connection = duckdb.connect(str(self.open().warehouse_file))
        self.connection.execute("set TimeZone = 'UTC'")

    def contacts_in(self, entity: str) -> list[str]:
        return self.values(f"select distinct contact_id from raw.{entity} order by 1")

    def is_balanced(self) -> bool:
        ledger = Ledger(self.connection)
        return all(ledger.unaccounted(entity) == [] for entity in ("contacts", "orders", "order_lines", "events"))

    def erased_rows(self) -> dict[str, int]:
        """Rows that the ledger says were erased, by file."""
        return dict(self.rows("select file, rows_erased from raw.ingested_files where rows_erased > 0 order by 1"))

    def bytes_below(self) -> Iterator[tuple[str, bytes]]:
        """Everything in the workspace's own folder."""
        self.connection.execute("force checkpoint")
        self.connection.close()
        for path in sorted((self.open().state_folder).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path.name, path.read_bytes().lower()
        self.reopen()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop that nobody touches."""
    shop = Shop(tmp_path_factory.mktemp("loaded") / "shop")
    shop.connection.close()
    return shop.folder


@pytest.fixture
def shop(tmp_path: Path, loaded: Path) -> Shop:
    return Shop.copied(Path(shutil.copytree(loaded, tmp_path / "shop")))


class TestErasing:
    def test_rows_go_from_raw_and_from_quarantine_and_others_stay(self, shop: Shop) -> None:
        before = shop.rows("select * from raw.orders where contact_id <> 'c1' order by all")
        done = shop.erase(ERASED, reference="ticket 7")
        assert (done.people, done.contacts) == (1, 1)
        assert shop.contacts_in("contacts") == ["c2", "c3", "c4"]
        assert shop.contacts_in("events") == ["c2"]
        assert shop.values("select count(*) from quarantine.events") == [0]
        assert shop.rows("select * from raw.orders order by all") == before
        assert shop.values("select product_name from raw.order_lines") == ["plain table"]

    def test_every_row_read_is_kept_refused_or_erased(self, shop: Shop) -> None:
        shop.erase(ERASED)
        assert shop.is_balanced()
        assert shop.erased_rows() == {"contacts.csv": 1, "events.csv": 2, "lines.csv": 1, "orders.csv": 1}

    def test_not_a_byte_of_theirs_is_left(self, shop: Shop) -> None:
        canaries = [ADDRESS.encode(), b"login-1", b"secret sofa", b"1234567"]
        there = {canary for _, content in shop.bytes_below() for canary in canaries if canary in content}
        assert there == set(canaries), "else this test could not fail"
        shop.erase(ADDRESS)
        assert [(name, one) for name, content in shop.bytes_below() for one in canaries if one in content] == []

    def test_an_address_finds_all_contacts_of_the_person_in_any_spelling(self, shop: Shop) -> None:
        shop.connection.execute(
            "create schema intermediate; create table intermediate.identity_changes (identity_kind varchar, "
            "identity_id varchar, person_before ubigint, person_after ubigint, changed_again_at timestamp);"
            "insert into intermediate.identity_changes values ('contact', 'c1', null, 1, null), "
            "('contact', 'c2', null, 1, null), ('device', 'd1', null, 1, null), "
            "('contact', 'c3', null, 3, null), ('contact', 'c4', 1, 4, null)"
        )
        done = shop.erase(f" {ADDRESS.upper()} ")
        assert (done.people, done.contacts) == (1, 2)
        assert shop.contacts_in("contacts") == ["c3", "c4"]
        assert shop.values("select identity_id from intermediate.identity_changes order by 1") == ["c3", "c4"]

    def test_an_address_of_several_people_says_nothing_and_nobody_goes(self, shop: Shop) -> None:
        with pytest.raises(NotErased, match="number 1 of 2 people"):
            shop.erase("shared@people.example")
        assert len(shop.contacts_in("contacts")) == 4
        shop.erase("c3")
        assert shop.contacts_in("contacts") == ["c1", "c2", "c4"]
        shop.delivers("contacts_2.csv", [*CONTACTS, "c5,five@people.example,,,DE"], contact_header()).ingest()
        assert shop.contacts_in("contacts") == ["c1", "c2", "c4", "c5"], "who shares the address stays"

    def test_a_dry_run_counts_and_changes_nothing_and_names_nobody(self, shop: Shop) -> None:
        before = shop.everything("contacts", "orders", "events")
        shop.connection.close()
        told = survey(shop.open(), [ERASED, "stranger@people.example"])
        shop.reopen()
        assert (told.people, told.unknown, told.rows["raw.orders"]) == (1, (2,), 1)
        assert {one.file: one.rows for one in told.extracts} == {
            "contacts.csv": 1,
            "events.csv": 2,
            "lines.csv": 1,
            "orders.csv": 1,
        }
        words = "\n".join(told.in_words()) + json.dumps(told.to_dict())
        assert not any(one in words for one in (ADDRESS, "stranger", "login-1", "secret"))
        assert shop.everything("contacts", "orders", "events") == before
        assert shop.values("select count(*) from erasure.keys") == [0]

    def test_the_record_says_what_went_and_holds_hashes_only(self, shop: Shop) -> None:
        shop.erase(ERASED, reference="ticket 7")
        (begun, finished) = shop.rows(
            "select state, reference, people, rows->>'raw.orders' from erasure.erasures order by recorded_at"
        )
        assert begun == ("begun", "ticket 7", None, None)
        assert finished == ("finished", None, 1, "1")
        keys = shop.values("select key from erasure.keys")
        assert keys and all(len(key) == 64 for key in keys)

    def test_published_weeks_audiences_and_reports_lose_their_rows(self, shop: Shop) -> None:
        workspace = shop.open()
        own_id = person_id_sql("'contact'", "'c1'")
        (person,) = shop.values(f"select {person_name_sql(own_id)}")

        def build(folder: Path) -> None:
            pl.DataFrame({"person_id": [person, "p_other"], "score": [1.0, 2.0]}).write_parquet(folder / "t.parquet")
            (folder / "a.csv").write_bytes(
                f'email,note\r\n{ADDRESS},"line one\nline two, {ADDRESS}"\r\ntwo@people.example,c1\r\n'.encode()
            )
            manifest = {"tables": {"t": 2}, "rows": 2, "files": [{"file": "a.csv", "rows": 2, "sha256": "old"}]}
            (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

        publish_folder(build, workspace.published_folder, "2026-01-05", also_latest=True)
        done = shop.erase(ERASED)
        assert done.files == {"published/2026-01-05/a.csv": 1, "published/2026-01-05/t.parquet": 1}
        latest = workspace.published_folder / "latest"
        assert pl.read_parquet(latest / "t.parquet")["person_id"].to_list() == ["p_other"]
        assert (latest / "a.csv").read_bytes() == b"email,note\r\ntwo@people.example,c1\r\n"
        manifest = json.loads((latest / "manifest.json").read_text(encoding="utf-8"))
        assert (manifest["tables"], manifest["rows"], manifest["files"][0]["rows"]) == ({"t": 1}, 1, 1)
        assert manifest["files"][0]["sha256"] != "old"
        assert not [name for name, content in shop.bytes_below() if ADDRESS.encode() in content]

    def test_a_thousand_people_are_one_pass(self, shop: Shop) -> None:
        lines = [f"m{number},m{number}@many.example,,,DE" for number in range(3000)]
        shop.delivers("contacts_many.csv", lines, contact_header()).ingest()
        done = shop.erase(*[f"M{number}@many.example" for number in range(1000)])
        assert (done.people, done.rows["raw.contacts"]) == (1000, 1000)
        assert shop.values("select count(*) from raw.contacts where starts_with(contact_id, 'm')") == [2000]


class TestStayingErased:
    def test_what_is_delivered_again_is_dropped_and_counted(self, shop: Shop) -> None:
        shop.erase(ERASED)
        shop.delivers("contacts_2.csv", [*CONTACTS, "c5,five@people.example,,,DE"], contact_header())
        shop.delivers("orders_2.csv", [order(3, customer="c1"), order(4, customer="c2")])
        shop.delivers("lines_2.csv", ["o1,2026-01-02,secret sofa", "o9,2026-01-03,chair"], "id,at,product")
        shop.delivers("events_2.csv", [event(4, customer="c1"), event(5, customer="c1", at="soon")])
        loads = {load.file: load for load in shop.ingest().loads}
        assert {name: (one.rows_read, one.rows_loaded, one.rows_erased) for name, one in loads.items()} == {
            "contacts_2.csv": (5, 4, 1),
            "orders_2.csv": (2, 1, 1),
            "lines_2.csv": (2, 1, 1),
            "events_2.csv": (2, 0, 2),
        }
        assert loads["events_2.csv"].rows_erased_refused == 1
        assert shop.is_balanced()
        assert "c1" not in shop.contacts_in("contacts") + shop.contacts_in("orders") + shop.contacts_in("events")
        assert shop.values("select count(*) from quarantine.events") == [0]

    def test_files_that_are_loaded_again_do_not_bring_them_back(self, shop: Shop) -> None:
        shop.erase(ERASED)
        shop.maps("orders", {"orders": {"columns": {**ORDER_COLUMNS, "currency": {"value": "EUR"}}}}, files="orders*")
        shop.maps("events", {"events": {"columns": {**EVENT_COLUMNS, "country": {"value": "DE"}}}}, files="events*")
        shop.ingest()
        assert shop.contacts_in("orders") == ["c2"] and shop.contacts_in("events") == ["c2"]
        assert shop.is_balanced()
        assert shop.erased_rows() == {"contacts.csv": 1, "events.csv": 2, "lines.csv": 1, "orders.csv": 1}

    def test_what_is_left_of_a_week_is_not_computed_again(self, shop: Shop) -> None:
        from orchestration.weekly_plan import _feature_fingerprint
        from orchestration.weeks import Week

        week = Week(date(2026, 2, 2))
        before = _feature_fingerprint(shop.connection, shop.open(), week, "code")
        shop.erase(ERASED)
        assert _feature_fingerprint(shop.connection, shop.open(), week, "code") == before

    def test_an_address_that_comes_back_under_another_id_takes_that_id_along(self, shop: Shop) -> None:
        shop.erase(ERASED)
        shop.delivers("events_2.csv", [event(6, customer="c9"), event(7, customer="c2")])
        shop.ingest()
        assert "c9" in shop.contacts_in("events"), "nobody knows yet whose it is"
        shop.delivers("contacts_2.csv", [f"c9,{ADDRESS},,,DE"], contact_header()).ingest()
        assert "c9" not in shop.contacts_in("contacts")
        shop.connection.close()
        assert has_unfinished(Warehouse.of(shop.open()))
        shop.reopen()
        shop.finish()
        assert shop.contacts_in("events") == ["c2"] and shop.is_balanced()
        shop.delivers("orders_3.csv", [order(8, customer="c9")])
        assert shop.load_one().rows_erased == 1

    def test_a_gmail_address_is_the_same_mailbox_however_it_is_written(self, shop: Shop) -> None:
        shop.delivers("contacts_g.csv", ["g1,jane.doe@gmail.com,,,DE"], contact_header()).ingest()
        shop.erase("g1")
        shop.delivers("contacts_h.csv", ["g2,JaneDoe+news@googlemail.com,,,DE"], contact_header())
        assert shop.load_one().rows_erased == 1

    def test_whoever_is_not_known_yet_never_comes_in(self, shop: Shop) -> None:
        done = shop.erase("later@people.example", "c77")
        assert (done.people, done.unknown) == (0, (1, 2))
        shop.delivers("contacts_2.csv", ["c8,Later@People.example,,,DE", "c77,x@y.example,,,DE"], contact_header())
        assert shop.load_one().rows_erased == 2
        assert shop.erase("later@people.example").already == (1,)

    def test_a_mended_row_of_theirs_does_not_come_out_of_quarantine(self, shop: Shop) -> None:
        from orchestration.ingest.redrive import redrive

        wrong = {**EVENT_COLUMNS, "contact_id": "nobody"}
        shop.maps("late", {"events": {"columns": wrong}}, files="late*.csv")
        shop.delivers("late.csv", ["x1,soon,,c1,page_view"], "id,at,nobody,customer,type").ingest()
        shop.erase(ERASED)
        assert shop.values("select count(*) from quarantine.events") == [1], "its mapping says it is nobody's"
        mended = {**EVENT_COLUMNS, "occurred_at": {"value": "2026-01-01 10:00:00"}}
        shop.maps("late", {"events": {"columns": mended}}, files="late*.csv")
        (retry,) = redrive(shop.connection, shop.open(), "events")
        assert retry.redriven and (retry.redriven.loaded, retry.redriven.erased) == (0, 1)
        assert shop.is_balanced() and shop.values("select count(*) from quarantine.events") == [0]

    def test_destinations_are_told_to_delete_them(self, shop: Shop) -> None:
        state = SyncState(shop.connection, "newsletter", SystemClock())
        for address, is_member in ((ADDRESS, True), ("two@people.example", True)):
            shop.connection.execute(
                "insert into activation.sync_snapshot values ('newsletter', 'winback', sha256($a), "
                "$a, null, $m, 'hash', false, now()::timestamp)",
                {"a": address, "m": is_member},
            )
        del state
        done = shop.erase(ERASED)
        assert done.destinations == {"newsletter": 1}
        told = "select identifier, is_in_doubt from activation.sync_snapshot order by identifier"
        assert shop.rows(told) == [(ADDRESS, True), ("two@people.example", False)]


class TestDyingOnTheWay:
    @pytest.mark.parametrize("step", ["attached", "erase_from_files", "write_without", "put_in_place"])
    def test_the_same_again_does_the_rest(self, shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever moment it dies at: tombstones hold at once, what is left is found again by hashes alone."""
        whole = getattr(erasure, step)
        calls = iter(range(9))

        def dies(*arguments: Any, **more: Any) -> Any:
            if step == "attached" and next(calls) == 0:  # the first one is to find out who is meant
                return whole(*arguments, **more)
            raise KeyboardInterrupt

        monkeypatch.setattr(erasure, step, dies)
        with pytest.raises(KeyboardInterrupt):
            shop.erase(ERASED)
        monkeypatch.undo()
        assert "c1" in shop.contacts_in("orders"), "the warehouse changes at the very end, whole"
        shop.delivers("orders_2.csv", [order(3, customer="c1")])
        assert shop.load_one().rows_erased == 1
        shop.finish()
        assert shop.contacts_in("orders") == ["c2"] and shop.is_balanced()
        assert not (shop.open().state_folder / "erasing").exists()
        assert shop.finish().rows == {}


class TestSayingSo:
    def test_every_place_is_tried_and_one_that_would_let_them_in_is_told(self, shop: Shop) -> None:
        workspace = shop.open()
        assert erasure_of(shop.connection, workspace, ERASED) is None
        shop.erase(ERASED)
        for value in (ERASED, ADDRESS):
            told = erasure_of(shop.connection, workspace, value)
            assert told is not None and told.holds
            assert {one.place for one in told.refusals} == {"ingest", "gate", "sync to any destination"}
        told = erasure_of(shop.connection, workspace, "login-1")
        assert told is not None and told.holds and [one.place for one in told.refusals] == ["ingest"]
        shop.connection.execute("delete from activation.sync_tombstones")
        told = erasure_of(shop.connection, workspace, ERASED)
        assert told is not None and [one.place for one in told.refusals if not one.refuses] == [
            "gate",
            "sync to any destination",
        ]

    def test_the_command_erases_and_why_proves_it(self, shop: Shop) -> None:
        folder = shop.folder
        shop.connection.close()
        runner = CliRunner()
        (folder / "people.txt").write_text(f"# asked by letter\n{ADDRESS}\n\n", encoding="utf-8")
        assert read_identifiers([str(folder / "people.txt")]) == [ADDRESS]
        dry = runner.invoke(app, ["erase", str(folder), str(folder / "people.txt"), "--dry-run"])
        assert dry.exit_code == 0 and "1 person with 1 contact would be erased" in dry.output
        assert ADDRESS not in dry.output
        done = runner.invoke(app, ["erase", str(folder), str(folder / "people.txt"), "--json"])
        assert done.exit_code == 0 and json.loads(done.stdout)["rows"]["raw.contacts"] == 1
        asked = runner.invoke(app, ["why", str(folder), ADDRESS])
        assert asked.exit_code == 0 and "every way in and out refuses" in asked.output
        assert ADDRESS not in asked.output
        proof = json.loads(runner.invoke(app, ["why", str(folder), ERASED, "--json"]).stdout)
        assert proof["every_place_refuses"] and {one["place"] for one in proof["places"]} >= {
            "ingest",
            "gate",
            "tables",
        }
        with duckdb.connect(str(shop.open().warehouse_file)) as connection:
            connection.execute("delete from activation.sync_tombstones")
        assert runner.invoke(app, ["why", str(folder), ERASED]).exit_code == EXIT_RUN_FAILED
        wrong = runner.invoke(app, ["erase", str(folder), "shared@people.example"])
        assert wrong.exit_code == EXIT_WRONG_SETTING and "Nobody was erased" in wrong.output
        shop.reopen()


def test_an_address_is_read_as_the_warehouse_reads_it() -> None:
    """`mail_providers` and `email_hash` stand in dbt as well: one is held to the other."""
    text = (PROJECT / "dbt_project" / "macros" / "identity.sql").read_text(encoding="utf-8")
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])

    def returns(value: Any) -> None:
        returned.append(value)
        return ""  # type: ignore[return-value]

    returned: list[Any] = []
    module = environment.from_string(text, globals={"return": returns}).module
    module.mail_providers()  # type: ignore[attr-defined]
    providers = returned[-1]
    local = ("jane.doe", "jane+news", "JANE", "j.a+b+c")
    addresses = [f"{name}@{domain}".lower() for name in local for domain in [*providers, "people.example"]]
    addresses += ["", "nonsense", "@people.example", "a" * 64, "a@b@gmail.com"]
    source = environment.from_string(
        text.replace("mail_providers()", "providers").replace("{% macro providers -%}", "{% macro unused() -%}"),
        globals={"return": returns, "providers": providers},
    ).module
    macro = source.email_hash("address")  # type: ignore[attr-defined]
    frame = pl.DataFrame({"address": addresses})  # noqa: F841 - DuckDB reads it by name
    found = duckdb.sql(f"select address from frame where ({mailbox_sql('address')}) is distinct from ({macro})")
    assert found.fetchall() == []
