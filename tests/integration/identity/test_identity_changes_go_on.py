"""The ledger of identities goes on from what it was, and is what it would be from nothing.

Worlds are drawn small and dense, so that crowds, decisions and appearances meet; between two of them anything may have
come, gone or moved in time. `make test-worlds` draws many more of them (DRAWN_WORLDS).
"""

from __future__ import annotations

import os
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kept_models import Warehouse, model_file
from polars.testing import assert_frame_equal

sys.path.append(str(Path(__file__).parents[2] / "unit" / "ml"))

from identity_world import KIND_OF_LINK

WORLDS = int(os.environ.get("DRAWN_WORLDS", "10"))
# Among the ten from here on is that of thirty in which it matters since when too many share a device.
FIRST_WORLD = 18
START = datetime(2026, 1, 5)
PEOPLE = [*(("contact", f"c{i}") for i in range(9)), *(("user", f"u{i}") for i in range(2))]
DEVICES = [("device", f"d{i}") for i in range(4)]
IDENTIFIERS = [*(("email", f"e{i}") for i in range(3)), *(("phone", f"p{i}") for i in range(2))]
APPEARANCES = {"identity_kind": pl.String, "identity_id": pl.String, "seen_from_at": pl.Datetime("us")}
TIES = {
    "identity_kind": pl.String,
    "identity_id": pl.String,
    "other_kind": pl.String,
    "other_id": pl.String,
    "link_kind": pl.String,
    "linked_from_at": pl.Datetime("us"),
    "match_weight": pl.Float64,
}
DECISIONS = {"contact_id": pl.String, "other_contact_id": pl.String, "from_week": pl.Date}
Rows = dict[str, set[tuple[Any, ...]]]


def settings(draw: random.Random) -> dict[str, Any]:
    limits = {f"max_people_per_{kind}": draw.randint(1, 3) for kind in ("user", "email", "phone", "device")}
    return {"timezone": "Europe/Berlin", "identity": {**limits, "include_anonymous": draw.random() < 0.5}}


def moment(draw: random.Random) -> datetime:
    """Within nine weeks, and often the very same one as something else's."""
    return START + timedelta(days=draw.randint(0, 20) * 3)


def appearance(draw: random.Random) -> tuple[Any, ...]:
    return (*draw.choice([*PEOPLE, *DEVICES]), moment(draw))


def tie(draw: random.Random) -> tuple[Any, ...]:
    holder = draw.choice(PEOPLE)
    others = [*IDENTIFIERS, *DEVICES, *([*PEOPLE[-2:], *PEOPLE[:-2]] if holder[0] == "contact" else [])]
    other = draw.choice([each for each in others if each != holder])
    if other[0] == "contact":
        holder, other = sorted((holder, other))
        return (*holder, *other, "probabilistic_match", moment(draw), float(draw.randint(1, 30)))
    return (*holder, *other, KIND_OF_LINK[other[0]], moment(draw), None)


def decision(draw: random.Random) -> tuple[Any, ...]:
    one, other = draw.sample([name for kind, name in PEOPLE if kind == "contact"], 2)
    return (one, other, (START + timedelta(weeks=draw.randint(0, 8))).date())


def beginning(draw: random.Random) -> Rows:
    return {
        "appearances": {(*each, moment(draw)) for each in [*PEOPLE, *DEVICES]},
        "ties": {tie(draw) for _ in range(draw.randint(0, 24))},
        "decisions": {decision(draw) for _ in range(draw.randint(0, 2))},
    }


def changed(draw: random.Random, rows: Rows) -> Rows:
    """Some rows go and some come; of everybody who is named somewhere at least one appearance stays."""
    after = {}
    for name, make in (("appearances", appearance), ("ties", tie), ("decisions", decision)):
        went = {row for row in sorted(rows[name], key=str) if draw.random() < 0.12}
        after[name] = (rows[name] - went) | {make(draw) for _ in range(draw.randint(0, 3))}
    there = {row[:2] for row in after["appearances"]}
    after["appearances"] |= {row for row in rows["appearances"] if row[:2] not in there}
    return after


def tell(warehouse: Warehouse, rows: Rows) -> None:
    """Put rows into the tables that the model reads."""

    def frame(name: str, schema: dict[str, Any]) -> pl.DataFrame:
        return pl.DataFrame(sorted(rows[name], key=str), schema=schema, orient="row")

    warehouse.put("intermediate.int_identity_appearances", frame("appearances", APPEARANCES))
    warehouse.put("intermediate.int_identity_ties", frame("ties", TIES))
    warehouse.put("raw.identity_decisions", frame("decisions", DECISIONS))
    warehouse.session.execute(
        "create or replace view intermediate.int_identities_seen as select identity_kind, identity_id, "
        f"min(seen_from_at) as seen_from_at, {model_file('identity_changes').OWN_PERSON} "
        "as own_person_id from intermediate.int_identity_appearances group by 1, 2"
    )
    warehouse.session.execute(
        "create or replace view intermediate.int_identity_links as select identity_kind, identity_id, other_kind, "
        "other_id, link_kind, min(linked_from_at) as linked_from_at, "
        "arg_max(match_weight, (-epoch_us(linked_from_at), match_weight)) as match_weight "
        "from intermediate.int_identity_ties group by all"
    )


def touch(warehouse: Warehouse, before: Rows, after: Rows) -> None:
    """Note what differs, as kept tables do."""
    touched = warehouse.session.executemany
    hashed = "insert into raw.touched_identities select hash(?::varchar, ?::varchar), "
    for kind, name, _ in sorted(before["appearances"] ^ after["appearances"], key=str):
        touched(hashed + "null, null", [[kind, name]])
    for kind, name, other_kind, other, _, since, _ in sorted(before["ties"] ^ after["ties"], key=str):
        touched(hashed + "hash(?::varchar, ?::varchar), ?", [[kind, name, other_kind, other, since]])
    for one, other, _ in sorted(before["decisions"] ^ after["decisions"], key=str):
        touched(hashed + "null, null", [["contact", one], ["contact", other]])


def from_nothing(rows: Rows, workspace: dict[str, Any]) -> pl.DataFrame:
    warehouse = Warehouse(workspace)
    tell(warehouse, rows)
    return warehouse.run("identity_changes")


@pytest.mark.parametrize("seed", range(FIRST_WORLD, FIRST_WORLD + WORLDS))
def test_whatever_comes_and_goes_the_ledger_is_the_one_from_nothing(seed: int) -> None:
    draw = random.Random(seed)
    warehouse, rows = Warehouse(settings(draw)), beginning(draw)
    tell(warehouse, rows)
    warehouse.run("identity_changes")
    for _ in range(4):
        after = changed(draw, rows)
        tell(warehouse, after)
        touch(warehouse, rows, after)
        rows = after
        if draw.random() < 0.1:
            continue  # a run that died: what was touched is told of twice
        found = warehouse.run("identity_changes")
        assert warehouse.went_on
        assert_frame_equal(found, from_nothing(rows, warehouse.settings))
        warehouse.session.execute("delete from raw.touched_identities")


def test_another_limit_decides_about_everybody() -> None:
    draw = random.Random(1)
    warehouse, rows = Warehouse(settings(draw)), beginning(draw)
    tell(warehouse, rows)
    warehouse.run("identity_changes")
    warehouse.settings = settings(draw)
    found = warehouse.run("identity_changes")
    assert not warehouse.went_on
    assert_frame_equal(found, from_nothing(rows, warehouse.settings))


def test_who_comes_to_a_crowd_touches_nobody_else_of_it() -> None:
    workspace = settings(random.Random(0)) | {"timezone": "UTC"}
    workspace["identity"]["max_people_per_phone"] = 2
    crowd = [("contact", f"c{i}") for i in range(50)]
    rows: Rows = {
        "appearances": {(*each, START) for each in crowd},
        "ties": {(*each, "phone", "p", "same_phone", START + timedelta(days=i), None) for i, each in enumerate(crowd)},
        "decisions": set(),
    }
    warehouse = Warehouse(workspace)
    tell(warehouse, rows)
    warehouse.run("identity_changes")
    one_more = ("contact", "c50")
    after = rows | {
        "appearances": rows["appearances"] | {(*one_more, START + timedelta(days=60))},
        "ties": rows["ties"] | {(*one_more, "phone", "p", "same_phone", START + timedelta(days=60), None)},
    }
    tell(warehouse, after)
    touch(warehouse, rows, after)
    found = warehouse.run("identity_changes")
    assert_frame_equal(found, from_nothing(after, workspace))
    assert warehouse.session.sql("select identity_key from members").pl().height == 1
