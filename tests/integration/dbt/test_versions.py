"""Which version holds when: two ways to say it, of which one is for rows that are many and wide."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import numpy as np
import polars as pl
from dbt_warehouse import DBT_PROJECT
from jinja2.sandbox import SandboxedEnvironment

STATED_AT = "coalesce(updated_at, _delivered_at - interval '24' hour, created_at, timestamp '1970-01-01')"


def deliveries(seed: int) -> pl.DataFrame:
    """Rows of a few keys as four loads bring them: late, at one moment, without a date, a key twice in a file."""
    chance = np.random.default_rng(seed)
    start = datetime(2026, 1, 5)

    def moment(rarely_known: float) -> datetime | None:
        return None if chance.random() < rarely_known else start + timedelta(hours=int(chance.integers(0, 12)) * 12)

    rows = [
        {
            "contact_id": f"c{chance.integers(0, 12)}",
            "city": f"city {number}",
            "created_at": moment(0.5),
            "updated_at": moment(0.4),
            "_delivered_at": start + timedelta(days=int(chance.integers(0, 8))) if chance.random() < 0.7 else None,
            "_load_sequence": int(chance.integers(1, 5)),
            "_file": f"file {chance.integers(0, 2)}",
            "_row_number": number,
        }
        for number in range(30)
    ]
    moments = dict.fromkeys(("created_at", "updated_at", "_delivered_at"), pl.Datetime("us"))
    return pl.DataFrame(rows, schema_overrides=moments)


def valid(connection: duckdb.DuckDBPyConnection, macro: str) -> list[tuple[object, ...]]:
    """All versions with when they hold, in order, as a macro tells it."""
    environment = SandboxedEnvironment()
    environment.globals["var"] = {"delivery_grace_hours": 24}.__getitem__
    macros = (DBT_PROJECT / "macros" / "known.sql").read_text(encoding="utf-8")
    versions = environment.from_string(f"{macros}{{{{ {macro} }}}}").render(stated_at=STATED_AT)
    stated = f"select *, {STATED_AT} as stated_at, _delivered_at - interval '24' hour as known_from_at from delivered"
    columns = "contact_id, city, stated_at, known_from_at, valid_from, valid_to, _load_sequence, _file, _row_number"
    return connection.execute(
        f"with stated as ({stated}), versions as ({versions}) select {columns} from versions order by all"
    ).fetchall()


def test_wide_rows_hold_as_long_as_any_others_whatever_came_late_or_twice() -> None:
    lasting, ended, never = 0, 0, 0
    with duckdb.connect() as connection:
        for seed in range(60):
            delivered = deliveries(seed)
            connection.register("delivered", delivered.to_arrow())
            expected = valid(connection, "versions('stated', 'contact_id')")
            assert (
                valid(connection, "versions_of_wide_rows('stated', 'contact_id', 'delivered', stated_at)") == expected
            )
            lasting += sum(row[5] is None for row in expected)
            ended += sum(row[5] is not None for row in expected)
            never += delivered.height - len(expected)
    assert min(lasting, ended, never) > 50  # it was asked of versions of every fate
