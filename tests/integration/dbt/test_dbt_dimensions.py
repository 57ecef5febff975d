"""Evidence of value, preferences and uplift: on the recipient's clock, by humans, and nothing from after the week."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from dbt_company import AS_OF, NEXT_WEEK, THIS_WEEK, VARIABLES
from dbt_warehouse import DbtWarehouse, person
from polars.testing import assert_frame_equal

MODELS = (
    "+int_message_outcomes",
    "+int_person_choices",
    "+int_purchase_histories",
    "+int_experiment_people",
)
KEPT = {"zoned": "Asia/Kolkata", "abroad": "America/New_York", "wrong": "Nowhere/Land"}


def sent(contact: str, at: str, **more: object) -> dict[str, object]:
    return dict(contact_id=contact, occurred_at=at, message_action="sent", channel="email", _source="mails", **more)


def reacted(contact: str, at: str, action: str = "opened", **more: object) -> dict[str, object]:
    return dict(contact_id=contact, occurred_at=at, message_action=action, channel="email", _source="mails", **more)


def fill(warehouse: DbtWarehouse) -> None:
    people = ("local", *KEPT, "robot", "slow", "late", "bounced", "delivered", "treated", "control", "both", "fresh")
    warehouse.add(
        "raw.contacts",
        *(
            dict(contact_id=name, created_at="2025-01-01", updated_at="2025-01-01", timezone=KEPT.get(name))
            for name in people
        ),
    )
    warehouse.add(
        "raw.consents",
        *(
            dict(contact_id=name, purpose="profiling", recorded_at="2025-01-02", consent_state="granted")
            for name in people
        ),
    )
    warehouse.add(
        "raw.messages",
        # 07:30 UTC: in Berlin 08:30 while it is winter and 09:30 in summer, a working day each; in Kolkata 13:00.
        sent("local", "2026-01-13 07:30", campaign="winter"),
        sent("local", "2025-10-21 07:30", campaign="summer"),
        # 06:45 UTC is 07:45 in winter, the two hours from six on, and 08:45 in summer, those from eight on.
        sent("local", "2026-01-13 06:45", campaign="winter, early"),
        sent("local", "2025-10-21 06:45", campaign="summer, early"),
        sent("zoned", "2026-01-13 07:30"),
        # Friday evening in New York is Saturday in Berlin.
        sent("abroad", "2026-01-24 01:10"),
        sent("wrong", "2026-01-13 07:30"),
        reacted("local", "2026-01-13 09:00", campaign="winter"),
        reacted("local", "2026-01-13 09:01", "clicked", campaign="winter"),
        # Marked by the tool, or within seconds of the delivery in a tool that marks nothing.
        sent("robot", "2026-01-13 07:30"),
        reacted("robot", "2026-01-13 07:31", is_machine=True),
        *(
            dict(contact_id="delivered", occurred_at=at, message_action=action, channel="sms", _source="texts")
            for at, action in [
                ("2026-01-13 10:00", "delivered"),
                ("2026-01-13 10:00:04", "clicked"),
                ("2026-01-14 10:00", "delivered"),
                ("2026-01-14 10:03", "clicked"),
            ]
        ),
        # An answer of the next morning counts, one of the day after does not.
        sent("slow", "2026-01-13 18:00", campaign="a"),
        reacted("slow", "2026-01-14 09:00", campaign="a"),
        sent("slow", "2026-01-20 18:00", campaign="b"),
        reacted("slow", "2026-01-22 09:00", campaign="b"),
        sent("bounced", "2026-01-13 07:30"),
        reacted("bounced", "2026-01-13 07:31", "bounced"),
        # The tool delivers a click of February only in March.
        sent("late", "2026-02-10 07:30"),
        reacted("late", "2026-02-10 08:00", "clicked", _delivered_at="2026-03-06"),
        # Two of them by chance, one in both groups, one whose fortnight is not over.
        sent("treated", "2026-02-03 09:00", campaign="offer", treatment_group="treatment"),
        reacted("control", "2026-02-03 09:00", "withheld", campaign="offer", treatment_group="control"),
        sent("both", "2026-02-03 09:00", campaign="offer", treatment_group="treatment"),
        reacted("both", "2026-02-04 09:00", "withheld", campaign="offer", treatment_group="control"),
        sent("fresh", "2026-02-25 09:00", campaign="offer", treatment_group="treatment"),
    )
    # The same two in an experiment of our own, and one who was drawn when the fortnight had begun.
    drawn = dict(experiment="winback", audience="winback", persona_id="persona-01", share=0.5)
    warehouse.add(
        "activation.experiment_people",
        *(
            dict(
                person_id=person(who),
                contact_id=who,
                is_control=is_control,
                as_of=at,
                assigned_at=at + " 00:00",
                **drawn,
            )
            for who, is_control, at in [
                ("treated", False, "2026-02-02"),
                ("control", True, "2026-02-02"),
                ("fresh", True, "2026-02-23"),
            ]
        ),
    )
    order = dict(order_status="completed", order_channel="shop")
    warehouse.add(
        "raw.orders",
        *(
            dict(order_id=f"{who}{number}", contact_id=who, ordered_at=at, updated_at=at, order_amount=amount, **order)
            for who, number, at, amount in [
                ("local", 1, "2026-01-05 10:00", 20.0),
                ("local", 2, "2026-01-05 15:00", 5.0),
                ("local", 3, "2026-01-15 10:00", 30.0),
                ("local", 4, "2026-01-25 10:00", 50.0),
                ("local", 5, "2026-02-04 10:00", 40.0),
                ("treated", 1, "2026-01-10 10:00", 10.0),
                ("treated", 2, "2026-02-10 10:00", 10.0),
                ("control", 1, "2026-02-19 10:00", 10.0),
            ]
        ),
        # Sent back: no purchase as of the week that knows it.
        dict(
            order_id="local4",
            contact_id="local",
            ordered_at="2026-01-25 10:00",
            updated_at="2026-02-20",
            order_amount=50.0,
            order_status="returned",
        ),
    )


def come_later(warehouse: DbtWarehouse) -> None:
    warehouse.add("raw.messages", reacted("slow", "2026-03-03 09:00", "clicked"), sent("local", "2026-03-03 07:30"))
    warehouse.add(
        "raw.contacts",
        dict(contact_id="local", created_at="2025-01-01", updated_at="2026-03-03", timezone="Asia/Tokyo"),
    )
    warehouse.add(
        "raw.orders",
        dict(
            order_id="local1",
            contact_id="local",
            ordered_at="2026-01-05 10:00",
            updated_at="2026-03-04",
            order_amount=20.0,
            order_status="cancelled",
        ),
        dict(order_id="fresh1", contact_id="fresh", ordered_at="2026-03-05", updated_at="2026-03-05", order_amount=9.0),
    )


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> DbtWarehouse:
    warehouse = DbtWarehouse(tmp_path_factory.mktemp("dimensions"), dbt_folder, VARIABLES)
    fill(warehouse)
    warehouse.run_for(THIS_WEEK)
    warehouse.dbt("run", "--select", *MODELS)
    return warehouse


@pytest.fixture(scope="module")
def both_weeks(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> DbtWarehouse:
    warehouse = DbtWarehouse(tmp_path_factory.mktemp("dimensions_later"), dbt_folder, VARIABLES)
    fill(warehouse)
    come_later(warehouse)
    warehouse.run_for(THIS_WEEK, NEXT_WEEK)
    warehouse.dbt("run", "--select", *MODELS)
    return warehouse


def outcomes(warehouse: DbtWarehouse, contact: str) -> list[dict[str, object]]:
    rows = warehouse.read(
        f"select * from intermediate.int_message_outcomes where contact_id = '{contact}' order by sent_at"
    )
    return rows.to_dicts()


class TestClocks:
    @pytest.mark.parametrize(
        ("contact", "slots", "weekdays"),
        [
            # The same time in UTC is another slot after the clocks changed.
            ("local", [4, 4, 3, 4], [2, 2, 2, 2]),
            ("zoned", [6], [2]),
            ("abroad", [12 + 10], [5]),
            ("wrong", [4], [2]),
        ],
    )
    def test_times_are_those_of_the_recipients_clock(
        self, evidence: DbtWarehouse, contact: str, slots: list[int], weekdays: list[int]
    ) -> None:
        rows = outcomes(evidence, contact)
        assert [row["slot"] for row in rows] == slots
        assert [row["weekday"] for row in rows] == weekdays


class TestAnswers:
    def test_a_human_who_opens_and_clicks_counts(self, evidence: DbtWarehouse) -> None:
        rows = [row for row in outcomes(evidence, "local") if row["campaign"] == "winter"]
        assert rows[0]["opened_from_at"] == datetime(2026, 1, 13, 9) and rows[0]["clicked_from_at"] is not None

    def test_what_a_machine_opens_does_not_count(self, evidence: DbtWarehouse) -> None:
        assert [row["opened_from_at"] for row in outcomes(evidence, "robot")] == [None]

    def test_a_click_within_seconds_is_a_machines_where_the_tool_marks_none(self, evidence: DbtWarehouse) -> None:
        assert [row["clicked_from_at"] for row in outcomes(evidence, "delivered")] == [
            None,
            datetime(2026, 1, 14, 10, 3),
        ]

    def test_a_tool_that_reports_no_sendings_is_taken_at_its_deliveries(self, evidence: DbtWarehouse) -> None:
        assert len(outcomes(evidence, "delivered")) == 2

    def test_answers_count_within_a_day(self, evidence: DbtWarehouse) -> None:
        assert [row["opened_from_at"] is not None for row in outcomes(evidence, "slow")] == [True, False]

    def test_what_bounced_is_marked(self, evidence: DbtWarehouse) -> None:
        assert outcomes(evidence, "bounced")[0]["bounced_from_at"] is not None

    def test_an_answer_counts_from_when_it_was_known(self, evidence: DbtWarehouse) -> None:
        assert outcomes(evidence, "late")[0]["clicked_from_at"] > datetime(2026, 3, 4)

    def test_nobody_in_a_control_group_got_a_message(self, evidence: DbtWarehouse) -> None:
        assert outcomes(evidence, "control") == []


class TestPurchases:
    def test_days_with_purchases_are_counted_once_and_returns_taken_off(self, evidence: DbtWarehouse) -> None:
        row = evidence.read(
            f"select * from intermediate.int_purchase_histories where person_id = '{person('local')}'"
        ).row(0, named=True)
        # 5 January (25), 15 January (30), 4 February (40); what came back on 25 January is none. The week ends on 1
        # March.
        assert (row["purchases"], row["frequency"], row["recency_days"], row["age_days"]) == (3, 2, 30, 55)
        assert row["days_since_purchase"] == 25
        assert row["amount"] == pytest.approx(35.0) and row["mean_amount"] == pytest.approx(95 / 3)
        assert row["gap_variation"] is None

    def test_purchase_channels_are_chosen_by_people(self, evidence: DbtWarehouse) -> None:
        rows = evidence.read(
            "select dimension, value, choices from intermediate.int_person_choices "
            f"where person_id = '{person('local')}'"
        )
        assert rows.rows() == [("purchase_channel", "shop", 4)]


class TestExperiments:
    def test_only_people_whose_outcomes_are_complete_are_read_out(self, evidence: DbtWarehouse) -> None:
        rows = evidence.read("select * from intermediate.int_experiment_people")
        assert set(rows["person_id"]) == {person(name) for name in ("treated", "control", "both")}
        assert rows["as_of"].unique().to_list() == [date.fromisoformat(AS_OF)]

    def test_who_was_where_what_they_did_before_and_after(self, evidence: DbtWarehouse) -> None:
        rows = {
            row["person_id"]: row
            for row in evidence.read(
                "select * from intermediate.int_experiment_people where campaign = 'offer'"
            ).to_dicts()
        }
        treated, control = rows[person("treated")], rows[person("control")]
        assert (treated["is_treated"], treated["outcome"], treated["orders_before"]) == (True, True, 1)
        assert treated["days_since_order"] == 23
        # Sixteen days later is too late.
        assert (control["is_treated"], control["outcome"], control["orders_before"]) == (False, False, 0)
        assert control["days_since_order"] is None
        assert rows[person("both")]["is_in_both"]

    def test_an_audiences_holdout_is_a_control_group_without_a_message_to_tell_of_it(
        self, evidence: DbtWarehouse
    ) -> None:
        rows = evidence.read(
            "select person_id, is_treated, outcome, assigned_at from intermediate.int_experiment_people "
            "where campaign = 'winback' order by is_treated"
        ).rows()
        drawn_at = datetime(2026, 2, 2)
        assert rows == [(person("control"), False, False, drawn_at), (person("treated"), True, True, drawn_at)]


class TestPointInTime:
    @pytest.mark.parametrize("table", ["int_purchase_histories", "int_person_choices", "int_experiment_people"])
    def test_what_came_later_changes_nothing_of_the_week(
        self, evidence: DbtWarehouse, both_weeks: DbtWarehouse, table: str
    ) -> None:
        query = f"select * from intermediate.{table} where as_of = '{AS_OF}' order by all"
        assert evidence.read(query).height > 0
        assert_frame_equal(evidence.read(query), both_weeks.read(query))

    def test_the_next_week_knows_it(self, both_weeks: DbtWarehouse) -> None:
        query = (
            "select purchases from intermediate.int_purchase_histories "
            f"where as_of = '{NEXT_WEEK[0]}' and person_id = '{person('local')}'"
        )
        # The first order of 5 January was cancelled, the other of that day stands.
        assert both_weeks.read(query).item() == 3

    def test_messages_of_the_week_look_the_same_to_it(self, evidence: DbtWarehouse, both_weeks: DbtWarehouse) -> None:
        as_of_at = datetime.fromisoformat(THIS_WEEK[1])
        query = (
            "select * exclude (clicked_from_at), case when clicked_from_at < $at then clicked_from_at end as clicked "
            "from intermediate.int_message_outcomes where sent_at < $at and contact_id <> 'local' order by all"
        ).replace("$at", f"timestamp '{as_of_at}'")
        assert_frame_equal(evidence.read(query), both_weeks.read(query))
        history = pl.Series([as_of_at - timedelta(days=182)])
        assert outcomes(both_weeks, "local")[0]["sent_at"] >= history[0]
