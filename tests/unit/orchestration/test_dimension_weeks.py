"""Value, preferences and uplift of a week: what is asked for wrongly, what is missing, and the same again."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from workspace_builder import WorkspaceBuilder

from activation.answers import first_row
from orchestration.preference_week import DIMENSIONS, run_preference_week
from orchestration.settings_file import SettingsError
from orchestration.uplift_week import run_uplift_week
from orchestration.value_week import run_value_week
from orchestration.weeks import Week
from tests.people_by_name import person_ids

WEEK = Week(date(2026, 3, 2))
EVIDENCE = """
create schema intermediate; create schema features; create schema ml;
create table intermediate.int_purchase_histories (as_of date, person_id ubigint, purchases bigint, frequency bigint,
    recency_days bigint, age_days bigint, days_since_purchase bigint, mean_amount double, amount double,
    gap_variation double);
create table intermediate.int_identities_resolved (identity_kind varchar, identity_id varchar, person_id ubigint,
    valid_from timestamp, valid_to timestamp);
create table intermediate.int_message_outcomes (contact_id varchar, sent_at timestamp, known_from_at timestamp,
    channel varchar, campaign varchar, offer varchar, content varchar, slot tinyint, weekday tinyint,
    bounced_from_at timestamp, opened_from_at timestamp, clicked_from_at timestamp);
create table intermediate.int_message_history as
    select date '2026-03-09' as as_of, timestamp '2025-09-08' as from_at;
create table intermediate.int_person_choices (as_of date, person_id ubigint, dimension varchar, value varchar,
    choices bigint);
create table intermediate.int_experiment_people (as_of date, campaign varchar, person_id ubigint,
    assigned_people bigint, assigned_at timestamp, is_treated boolean, is_in_both boolean, outcome boolean,
    orders_before bigint);
create table features.person_features (as_of date, person_id ubigint);
create table ml.persona_assignments (as_of date, person_id ubigint, persona_type varchar, persona_id varchar);
"""


@pytest.fixture
def warehouse() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(EVIDENCE)
    return connection


def add(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    assert not frame.is_empty()
    connection.execute(f"insert into {table} by name select * from frame")


def fill_buyers(connection: duckdb.DuckDBPyConnection, week: Week, people: int = 600) -> None:
    rng = np.random.default_rng(1)
    frequency = rng.poisson(rng.gamma(0.9, 1.2, people))
    age = rng.integers(120, 360, people)
    recency = np.where(frequency > 0, (age * rng.random(people)).astype(int), 0)
    amount = rng.gamma(4, 10, people)
    add(
        connection,
        "intermediate.int_purchase_histories",
        pl.DataFrame(
            {
                "as_of": [week.as_of] * people,
                "person_id": person_ids(people),
                "purchases": frequency + 1,
                "frequency": frequency,
                "recency_days": recency,
                "age_days": age,
                "days_since_purchase": age - recency,
                "mean_amount": amount,
                "amount": pl.Series(amount).zip_with(
                    pl.Series(frequency > 0), pl.Series([None] * people, dtype=pl.Float64)
                ),
            }
        ),
    )


def fill_messages(connection: duckdb.DuckDBPyConnection, people: int = 400) -> None:
    """Everybody got 15 messages; half of them, of the first persona, click the long text, the others the short one."""
    rng = np.random.default_rng(2)
    ids = person_ids(people)
    persona = np.arange(people) % 2
    as_of = pl.Series([WEEK.as_of] * people)
    add(connection, "features.person_features", pl.DataFrame({"as_of": as_of, "person_id": ids}))
    add(
        connection,
        "ml.persona_assignments",
        pl.DataFrame(
            {
                "as_of": as_of,
                "person_id": ids,
                "persona_type": ["persona"] * people,
                "persona_id": [f"persona-0{1 + number}" for number in persona],
            }
        ),
    )
    add(
        connection,
        "intermediate.int_identities_resolved",
        pl.DataFrame(
            {
                "identity_kind": ["contact"] * people,
                "identity_id": [f"c{number}" for number in range(people)],
                "person_id": ids,
                "valid_from": [datetime(2025, 1, 1)] * people,
            }
        ),
    )
    person = np.repeat(np.arange(people), 15)
    count = len(person)
    is_long = rng.random(count) < 0.5
    sent_at = [datetime(2026, 1, 5) + timedelta(hours=int(hours)) for hours in rng.integers(0, 1200, count)]
    clicked = rng.random(count) < np.where(is_long == (persona[person] == 0), 0.35, 0.1)
    add(
        connection,
        "intermediate.int_message_outcomes",
        pl.DataFrame(
            {
                "contact_id": [f"c{number}" for number in person],
                "sent_at": sent_at,
                "channel": ["email"] * count,
                "content": np.where(is_long, "long", "short"),
                "slot": np.zeros(count, dtype=np.int8),
                "weekday": np.ones(count, dtype=np.int8),
                "clicked_from_at": [
                    at + timedelta(hours=1) if did else None for at, did in zip(sent_at, clicked, strict=True)
                ],
            }
        ),
    )


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"value": {"horizon": 30}}, "5: unknown key 'horizon'; did you mean 'horizon_days'?"),
            ({"value": {"horizon_days": 1}}, "value.horizon_days"),
            ({"preferences": {"confidence": 2}}, "preferences.confidence"),
            ({"uplift": {"outcome": "event"}}, "`outcome: event` names the event"),
            ({"uplift": {"event": "visit"}}, "`outcome: event` names the event"),
            (
                {"uplift": {"outcome": "event", "event": "vist"}, "features": {"events": ["visit"]}},
                "6: 'vist' is not among features.events; did you mean 'visit'?",
            ),
        ],
    )
    def test_a_wrong_setting_is_told_with_its_place(
        self, workspace: WorkspaceBuilder, settings: dict[str, object], message: str
    ) -> None:
        workspace.settings(**settings).orders()
        with pytest.raises(SettingsError) as caught:
            workspace.open()
        assert message in str(caught.value)

    def test_they_compute_no_feature_again(self, workspace: WorkspaceBuilder) -> None:
        before = workspace.orders().open().fingerprint()
        workspace.settings(preferences={"history_days": 91}, uplift={"within_days": 7}, value={"horizon_days": 30})
        assert workspace.open().fingerprint() == before


class TestMissing:
    def test_without_orders_nothing_is_expected(
        self, workspace: WorkspaceBuilder, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        mapping = {
            "extract": {"files": "people*.csv"},
            "entities": {"contacts": {"columns": {"contact_id": "id"}}},
        }
        found = run_value_week(warehouse, workspace.mapping("people", mapping).open(), WEEK)
        assert found.abstained_reason == "neither orders nor order lines are delivered"
        assert first_row(warehouse, "select count(*) from ml.value_models") == (1,)

    def test_subscriptions_are_refused_but_scored_by_rfm(
        self, workspace: WorkspaceBuilder, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        fill_buyers(warehouse, WEEK)
        found = run_value_week(warehouse, workspace.settings(value={"contractual": True}).orders().open(), WEEK)
        assert "bound by contracts" in (found.abstained_reason or "")
        rows = warehouse.sql("select * from ml.customer_values").pl()
        assert rows.height == 600 and rows["expected_purchases"].null_count() == 600
        assert rows["recency_score"].null_count() == 0

    def test_without_messages_every_dimension_abstains(
        self, workspace: WorkspaceBuilder, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        found = run_preference_week(warehouse, workspace.orders().open(), WEEK)
        assert set(found.abstained) == set(DIMENSIONS) and found.rows == 0
        rows = warehouse.sql("select * from ml.segment_preferences").pl()
        assert rows.height == len(DIMENSIONS) and rows["abstained_reason"].null_count() == 0

    def test_without_a_control_group_no_uplift_is_told(
        self, workspace: WorkspaceBuilder, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        found = run_uplift_week(warehouse, workspace.orders().open(), WEEK)
        assert found.judged == 0 and "what people would have done anyway is not known" in found.refused["all"]
        rows = warehouse.execute("select campaign, learner, outcome from ml.uplift_results").fetchall()
        assert rows == [(None, None, "an order within 14 days")]


class TestWeeks:
    def test_value_is_the_same_again_and_cut_points_stay(
        self, workspace: WorkspaceBuilder, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        opened = workspace.orders().open()
        before = Week(WEEK.monday - timedelta(days=7))
        for week in (before, WEEK):
            fill_buyers(warehouse, week)
            run_value_week(warehouse, opened, week)
        first = warehouse.sql("select * from ml.customer_values order by all").pl()
        run_value_week(warehouse, opened, WEEK)
        assert_frame_equal(first, warehouse.sql("select * from ml.customer_values order by all").pl())
        assert warehouse.execute("select distinct rfm_cuts_as_of from ml.value_models").fetchall() == [(before.as_of,)]

    def test_what_personas_click_is_found_and_told_per_person(
        self, workspace: WorkspaceBuilder, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        fill_messages(warehouse)
        found = run_preference_week(warehouse, workspace.orders().open(), WEEK)
        rows = warehouse.execute(
            "select segment_id, best_value, decided_by from ml.segment_preferences "
            "where dimension = 'content' and segment_type = 'persona' order by segment_id"
        ).fetchall()
        assert [row[:2] for row in rows] == [("persona-01", "long"), ("persona-02", "short")]
        assert found.told["content"] == 400
        people = warehouse.sql("select * from ml.person_preferences where dimension = 'content'").pl()
        long = people.filter(pl.col("person_id") % 2 == 0)
        assert (long["best_value"] == "long").all() and (people["evidence"] == 15).all()

    def test_a_message_or_an_answer_of_the_future_changes_nothing(
        self, workspace: WorkspaceBuilder, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        opened = workspace.orders().open()
        fill_messages(warehouse)
        run_preference_week(warehouse, opened, WEEK)
        before = warehouse.sql("select * from ml.person_preferences order by all").pl()
        as_of_at = WEEK.as_of_at("UTC")
        warehouse.execute(
            "insert into intermediate.int_message_outcomes "
            "select contact_id, ?, null, channel, null, null, 'short', 0, 1, null, null, ? "
            "from intermediate.int_message_outcomes limit 3000",
            [as_of_at + timedelta(hours=1), as_of_at + timedelta(hours=2)],
        )
        warehouse.execute(
            "insert into intermediate.int_message_outcomes "
            "select contact_id, ?, ?, channel, null, null, 'short', 0, 1, null, null, ? "
            "from intermediate.int_message_outcomes limit 3000",
            [as_of_at - timedelta(days=3), as_of_at + timedelta(days=2), as_of_at + timedelta(days=2)],
        )
        run_preference_week(warehouse, opened, WEEK)
        assert_frame_equal(before, warehouse.sql("select * from ml.person_preferences order by all").pl())

    def test_a_campaign_with_chance_is_judged(
        self, workspace: WorkspaceBuilder, warehouse: duckdb.DuckDBPyConnection
    ) -> None:
        rng = np.random.default_rng(3)
        people = 3_000
        treated = rng.random(people) < 0.5
        add(
            warehouse,
            "intermediate.int_experiment_people",
            pl.DataFrame(
                {
                    "as_of": [WEEK.as_of] * people,
                    "campaign": ["spring"] * people,
                    "person_id": person_ids(people),
                    "is_treated": treated,
                    "is_in_both": [False] * people,
                    "outcome": rng.random(people) < np.where(treated, 0.2, 0.1),
                    "orders_before": rng.poisson(1.0, people),
                }
            ),
        )
        found = run_uplift_week(warehouse, workspace.orders().open(), WEEK)
        assert (found.judged, found.refused) == (1, {})
        effect = warehouse.execute("select distinct campaign, effect from ml.uplift_results").fetchall()
        assert len(effect) == 1 and effect[0][1] == pytest.approx(0.1, abs=0.03)
        # It works alike in everybody: nobody is told to be better than others, and each row says why.
        of_people = warehouse.sql("select * from ml.person_uplift").pl()
        assert of_people.height == people == found.people and found.told == of_people["uplift"].count() == 0
        assert of_people["abstained_reason"].str.starts_with("in whom it works better cannot be told").all()
