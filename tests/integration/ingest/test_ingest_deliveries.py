"""Files are loaded whole, once, and again when they were corrected; no row is lost or counted twice."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from ingest_company import Company, event, order, orders

from orchestration.ingest.extracts import UnreadableExtract
from orchestration.ingest.load import ingest
from orchestration.ingest.loader import Loader

AMOUNTS = "select order_amount::int from raw.orders order by order_id, order_amount"
NO_STATUS = "order_status is none of completed, cancelled, returned, pending"
EVENTS = "select _file, event_id from raw.events order by event_id, _file"


def statuses(company: Company) -> dict[str, str]:
    return {load.file: load.status for load in company.ingest().loads}


class TestTheSameAgain:
    def test_nothing_new_changes_nothing(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", orders(1, 2))
        assert company.load_one().rows_loaded == 2
        before = company.everything("orders")
        assert company.ingest().loads == []
        assert company.everything("orders") == before

    def test_a_file_delivered_again_under_its_name_changes_nothing(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", orders(1, 2)).ingest()
        before = company.everything("orders")
        company.delivers("orders.csv", orders(1, 2))
        os.utime(company.data / "orders.csv", (1, 1))
        assert company.ingest().loads == []
        assert company.everything("orders") == before

    def test_a_file_delivered_again_under_another_name_changes_nothing(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", orders(1, 2)).ingest()
        before = company.everything("orders")
        company.delivers("orders_copy.csv", orders(1, 2))
        assert statuses(company) == {"orders_copy.csv": "delivered before under another name"}
        assert company.everything("orders") == before
        assert company.ingest().loads == []

    def test_a_state_that_holds_again_is_a_new_version(self, company: Company) -> None:
        company.map_orders(delivered_at=r"(\d{8})")
        for day, status in (("20260201", "pending"), ("20260208", "completed"), ("20260215", "pending")):
            company.delivers(f"orders_{day}.csv", [order(1, status=status)])
        company.ingest()
        versions = company.values("select order_status from raw.orders order by _delivered_at")
        assert versions == ["pending", "completed", "pending"]

    def test_a_changed_mapping_loads_its_files_again(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", orders(1, 2)).ingest()
        columns = {"order_id": "id", "ordered_at": "at", "order_amount": {"sql": "amount::double * 2"}}
        company.maps("orders", {"orders": {"columns": columns}}, files="orders*.csv")
        assert statuses(company) == {"orders.csv": "corrected"}
        assert company.values(AMOUNTS) == [2, 4]


class TestCorrections:
    def test_a_corrected_file_replaces_itself(self, company: Company) -> None:
        company.settings(quarantine_threshold=0.5)
        company.map_orders().delivers("orders.csv", [*orders(1, 2), order(3, status="lost")]).ingest()
        assert company.values("select rules[1] from quarantine.orders") == [NO_STATUS]
        company.delivers("orders.csv", [*orders(1), order(2, amount=22), order(3)])
        assert statuses(company) == {"orders.csv": "corrected"}
        assert company.values(AMOUNTS) == [1, 22, 3]
        assert company.values("select count(*) from quarantine.orders") == [0]
        assert company.values("select count(*) from raw.ingested_files") == [1]

    def test_a_corrected_file_leaves_other_files_alone(self, company: Company) -> None:
        company.map_orders().delivers("orders_1.csv", orders(1, 2)).delivers("orders_2.csv", orders(3, 4)).ingest()
        company.delivers("orders_1.csv", orders(1))
        company.ingest()
        assert company.values(AMOUNTS) == [1, 3, 4]

    def test_the_days_of_both_versions_count_as_changed(self, company: Company) -> None:
        company.settings(timezone="Europe/Berlin")
        company.map_events(timezone="UTC").delivers("events.csv", [event(1), event(2)]).ingest()
        assert company.changed_days() == ["2026-01-03", "2026-01-04"]  # 23:30 UTC is the next day in Berlin
        assert company.ingest().loads == []
        assert company.changed_days() == []
        company.delivers("events.csv", [event(2), event(8)]).ingest()
        assert company.changed_days() == ["2026-01-03", "2026-01-04", "2026-01-10"]

    def test_rows_set_aside_as_duplicates_of_a_corrected_file_come_back(self, company: Company) -> None:
        company.map_events().delivers("events_1.csv", [event(1), event(2)])
        company.delivers("events_2.csv", [event(2), event(3)]).ingest()
        assert company.rows(EVENTS) == [("events_1.csv", "e1"), ("events_1.csv", "e2"), ("events_2.csv", "e3")]
        company.delivers("events_1.csv", [event(1)])
        assert statuses(company) == {"events_1.csv": "corrected", "events_2.csv": "corrected"}
        assert company.rows(EVENTS) == [("events_1.csv", "e1"), ("events_2.csv", "e2"), ("events_2.csv", "e3")]
        assert company.ingest().loads == []

    def test_they_come_back_in_the_same_run_also_from_a_file_that_is_looked_at_first(self, company: Company) -> None:
        company.map_events().delivers("events_2.csv", [event(2), event(3)]).ingest()
        company.delivers("events_1.csv", [event(1), event(2)]).ingest()
        company.delivers("events_2.csv", [event(3)])
        assert set(statuses(company)) == {"events_1.csv", "events_2.csv"}
        assert company.rows(EVENTS) == [("events_1.csv", "e1"), ("events_1.csv", "e2"), ("events_2.csv", "e3")]
        assert company.ingest().loads == []

    def test_files_that_overlap_both_ways_come_to_rest(self, company: Company) -> None:
        company.map_events().delivers("events_0.csv", [event(1), event(2), event(3)])
        company.delivers("events_1.csv", [event(1), event(4)]).delivers("events_2.csv", [event(2), event(4)]).ingest()
        company.delivers("events_0.csv", [event(3)]).ingest()
        assert company.ingest().loads == []
        assert company.values("select event_id from raw.events order by 1") == ["e1", "e2", "e3", "e4"]

    def test_a_copy_of_a_file_that_was_corrected_since_is_loaded(self, company: Company) -> None:
        company.map_orders().delivers("orders_1.csv", orders(1, 2)).delivers("orders_2.csv", orders(1, 2)).ingest()
        company.delivers("orders_1.csv", orders(3))
        company.ingest()
        assert company.values(AMOUNTS) == [1, 2, 3]


class TestDuplicates:
    def test_exact_duplicates_are_loaded_once(self, company: Company) -> None:
        load = company.map_orders().delivers("orders.csv", [*orders(1, 2, 1, 1), order(2, amount=9)]).load_one()
        assert (load.rows_read, load.rows_loaded, load.rows_duplicate) == (5, 3, 2)
        assert company.values("select _row_number from raw.orders order by 1") == [1, 2, 5]

    def test_rows_without_any_key_differ_by_their_values(self, company: Company) -> None:
        company.maps(
            "lines",
            {"order_lines": {"columns": {"order_id": "id", "ordered_at": "at", "line_amount": "amount"}}},
            files="orders*.csv",
        )
        load = company.delivers("orders.csv", [order(1), order(1), order(1, amount="")]).load_one()
        assert (load.rows_loaded, load.rows_duplicate) == (2, 1)

    def test_an_event_of_two_files_is_known_by_its_key_and_its_time(self, company: Company) -> None:
        company.map_events().delivers("events_1.csv", [event(1), event(2)]).ingest()
        company.delivers("events_2.csv", [event(1, customer="c9"), event(2, at="2026-02-01"), event(3, id="")])
        load = company.load_one()
        assert (load.rows_loaded, load.rows_duplicate_of_other_files, load.rows_duplicate) == (2, 1, 1)


class TestQuarantine:
    def test_a_row_that_breaks_a_critical_rule_goes_whole(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        lines = [order(1), order(2, status="lost", at="soon"), order(3)]
        load = company.map_orders().delivers("orders_7.csv", lines).load_one()
        assert (load.rows_loaded, load.rows_quarantined) == (2, 1)
        load_id = company.values("select distinct _load_id from raw.orders")[0]
        ((*where, rules, row),) = company.rows(
            "select _source, _file, _row_number, _load_id, rules, delivered_row from quarantine.orders"
        )
        assert where == ["orders", "orders_7.csv", 2, load_id]
        assert rules == ["ordered_at is not a timestamp", NO_STATUS]
        assert json.loads(row) == {"id": "o2", "at": "soon", "customer": "c2", "amount": "2", "status": "lost"}

    def test_lines_that_are_no_rows_go_as_they_stand(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        lines = [order(1), "o2,2026-01-01", order(3), order(4) + ",too,many", order(5)]
        load = company.map_orders().delivers("orders.csv", lines).load_one()
        assert (load.rows_read, load.rows_loaded, load.rows_unreadable) == (3, 3, 2)
        rows = company.rows("select _row_number, rules, delivered_row from quarantine.orders order by 1")
        assert rows == [
            (3, ["unreadable line: missing columns"], "o2,2026-01-01"),
            (5, ["unreadable line: too many columns"], order(4) + ",too,many"),
        ]

    def test_unreadable_lines_of_one_file_are_not_those_of_the_next(self, company: Company) -> None:
        company.settings(quarantine_threshold=1)
        broken = [order(1, status="lost"), "o2", order(3)]
        company.map_orders().delivers("orders_1.csv", broken).delivers("orders_2.csv", orders(4)).ingest()
        ledger = "select file, rows_quarantined, rows_unreadable from raw.ingested_files order by file"
        assert company.rows(ledger) == [("orders_1.csv", 1, 1), ("orders_2.csv", 0, 0)]

    def test_rows_that_the_mapping_leaves_out_are_not_judged(self, company: Company) -> None:
        entity = {"where": "status = 'completed'", "columns": {"order_id": "id", "ordered_at": "at"}}
        company.maps("orders", {"orders": entity}, files="orders*.csv")
        lines = [order(1), order(2, status="test", at="soon"), order(3, status="")]
        load = company.delivers("orders.csv", lines).load_one()
        assert (load.rows_read, load.rows_loaded, load.rows_filtered, load.rows_quarantined) == (3, 1, 2, 0)

    @pytest.mark.parametrize(("bad", "status"), [(5, "loaded"), (6, "refused")])
    def test_over_the_threshold_a_file_is_refused(self, company: Company, bad: int, status: str) -> None:
        lines = [order(number, status="lost" if number <= bad else "pending") for number in range(1, 101)]
        load = company.map_orders().delivers("orders.csv", lines).load_one()
        assert load.status == status
        assert load.rows_quarantined == bad
        assert company.values("select count(*) from raw.orders") == [95 if status == "loaded" else 0]

    def test_a_refused_correction_leaves_what_was_loaded(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", orders(1, 2)).ingest()
        before = company.everything("orders")
        company.delivers("orders.csv", [order(1, at="soon"), "o2"])
        load = company.load_one()
        assert (load.status, load.rows_loaded, load.rows_unreadable) == ("refused", 0, 1)
        assert load.broken_rules == {"ordered_at is not a timestamp": 1, "unreadable line: missing columns": 1}
        assert company.everything("orders") == before

    def test_a_refused_file_is_refused_until_it_is_mended(self, company: Company) -> None:
        company.map_orders().delivers("orders.csv", [order(1, at="soon"), order(2)])
        assert statuses(company) == {"orders.csv": "refused"}
        assert statuses(company) == {"orders.csv": "refused"}
        company.settings(quarantine_threshold=0.5)
        assert statuses(company) == {"orders.csv": "loaded"}
        assert company.values(AMOUNTS) == [2]


class TestInterruptions:
    @pytest.fixture
    def three_files(self, company: Company) -> Company:
        company.settings(quarantine_threshold=1)
        two = {
            "orders": {"columns": {"order_id": "id", "ordered_at": "at"}},
            "contacts": {"columns": {"contact_id": "customer"}},
        }
        company.maps("orders", two, files="orders*.csv")
        for number in (1, 2, 3):
            company.delivers(f"orders_{number}.csv", [*orders(number, number + 10, number), order(5, at="soon")])
        return company

    @pytest.mark.parametrize("after", [0, 3, 5])
    def test_a_killed_run_leaves_whole_files_and_repeating_it_gives_the_same(
        self, three_files: Company, monkeypatch: pytest.MonkeyPatch, after: int, tmp_path: Any
    ) -> None:
        calls = iter(range(100))
        insert = Loader._insert_loaded

        def insert_and_die(loader: Any) -> int:
            rows = insert(loader)
            if next(calls) == after:
                raise KeyboardInterrupt
            return rows

        monkeypatch.setattr(Loader, "_insert_loaded", insert_and_die)
        with pytest.raises(KeyboardInterrupt):
            three_files.ingest()
        monkeypatch.undo()
        finished = three_files.rows("select file, entity, rows_loaded from raw.ingested_files")
        assert len(finished) == after
        for entity in ("orders", "contacts"):
            whole = {file: rows for file, of, rows in finished if of == entity}
            counts = three_files.rows(f"select _file, count(*) from raw.{entity} group by all")
            assert dict(counts) == whole
        three_files.ingest()
        undisturbed = Company(tmp_path / "undisturbed")
        for source in three_files.folder.rglob("*"):
            if source.suffix in (".yml", ".csv"):
                target = undisturbed.folder / source.relative_to(three_files.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        undisturbed.ingest()
        assert three_files.everything("orders", "contacts") == undisturbed.everything("orders", "contacts")

    def test_files_before_an_unreadable_one_stay_loaded(self, company: Company) -> None:
        company.map_orders().delivers("orders_1.csv", orders(1)).extract("orders_2.csv", b"")
        with pytest.raises(UnreadableExtract, match=r"^orders_2.csv: the file is empty$"):
            company.ingest()
        assert company.values(AMOUNTS) == [1]
        company.delivers("orders_2.csv", orders(2)).ingest()
        assert company.values(AMOUNTS) == [1, 2]

    def test_a_file_that_changes_while_it_is_read_is_not_loaded(
        self, company: Company, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        company.map_orders().delivers("orders.csv", orders(1))
        insert = Loader._insert_loaded

        def insert_while_it_grows(loader: Any) -> int:
            company.delivers("orders.csv", orders(1, 2))
            return insert(loader)

        monkeypatch.setattr(Loader, "_insert_loaded", insert_while_it_grows)
        with pytest.raises(UnreadableExtract, match="the file changed while it was read"):
            company.ingest()
        monkeypatch.undo()
        assert company.values(AMOUNTS) == []
        company.ingest()
        assert company.values(AMOUNTS) == [1, 2]


class TestWhichFiles:
    def test_a_link_out_of_the_data_folder_is_refused(self, company: Company) -> None:
        secret = company.folder / "secret.csv"
        secret.write_text("id,at\n")
        (company.data / "orders.csv").symlink_to(secret)
        with pytest.raises(UnreadableExtract, match=r"^orders.csv: the file leads out of the data folder$"):
            company.map_orders().ingest()

    def test_a_link_within_the_data_folder_is_a_file(self, company: Company) -> None:
        company.map_orders().delivers("store/1.csv", orders(1))
        (company.data / "orders.csv").symlink_to("store/1.csv")
        assert company.load_one().file == "orders.csv"

    def test_what_a_run_wrote_is_no_extract(self, company: Company) -> None:
        company.map_orders("**/orders*.csv").delivers("a/orders.csv", orders(1))
        company.delivers(".personae/activation/orders.csv", orders(2))
        assert company.load_one().file == "a/orders.csv"

    def test_brackets_and_stars_in_a_name_are_only_letters(self, company: Company) -> None:
        company.map_orders("orders*").delivers("orders[1].csv", orders(1)).delivers("orders1.csv", orders(2))
        company.delivers("orders*.csv", orders(3)).ingest()
        rows = company.rows("select _file, order_id from raw.orders order by order_id")
        assert rows == [("orders[1].csv", "o1"), ("orders1.csv", "o2"), ("orders*.csv", "o3")]

    def test_a_folder_named_like_a_partition_adds_no_column(self, company: Company) -> None:
        company.map_orders("*/orders.csv").delivers("status=lost/orders.csv", orders(1)).ingest()
        assert company.values("select order_status from raw.orders") == ["completed"]

    def test_the_delivery_date_stands_in_the_files_name(self, company: Company) -> None:
        company.map_orders(delivered_at=r"(\d{4}-\d\d-\d\d)", timezone="Europe/Berlin")
        company.delivers("orders_2026-07-06.csv", orders(1)).ingest()
        assert company.values("select _delivered_at::varchar from raw.orders") == ["2026-07-05 22:00:00"]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("orders_today.csv", "the delivery date of the mapping's pattern is not in the file's name"),
            ("orders_2026-13-01.csv", "'2026-13-01' is no date (year, month, day)"),
        ],
    )
    def test_a_name_without_the_date_is_refused(self, company: Company, name: str, message: str) -> None:
        company.map_orders(delivered_at=r"(\d{4}-\d\d-\d\d)").delivers(name, orders(1))
        with pytest.raises(UnreadableExtract) as caught:
            company.ingest()
        assert str(caught.value) == f"{name}: {message}"

    def test_deliveries_are_loaded_in_their_order_not_by_name(self, company: Company) -> None:
        company.map_orders("*.csv", delivered_at=r"(\d{2}-\d{2}-\d{4}|\d{8})")
        company.delivers("b_20260102.csv", orders(1)).delivers("a_20260109.csv", orders(2)).ingest()
        files = company.values("select file from raw.ingested_files order by load_sequence")
        assert files == ["b_20260102.csv", "a_20260109.csv"]

    def test_a_later_file_that_lacks_a_column_is_named_without_its_content(self, company: Company) -> None:
        company.map_orders().delivers("orders_1.csv", orders(1))
        company.extract("orders_2.csv", "jane@example.com,5\n")
        with pytest.raises(UnreadableExtract) as caught:
            company.ingest()
        assert str(caught.value) == "orders_2.csv: there is no column 'id'"


def test_progress_tells_counts_and_no_values(company: Company) -> None:
    said: list[str] = []
    company.map_orders().delivers("orders.csv", orders(1, 1))
    ingest(company.connection, company.open(), said.append)
    assert said == ["orders.csv → orders: 1 of 2 rows, loaded"]
