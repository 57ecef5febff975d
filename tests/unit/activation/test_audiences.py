"""Audience files: what they hold, how they are written, and that only what the gate sealed becomes one."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import date, datetime
from pathlib import Path

import pytest
from gate_world import AS_OF, World, audience

from activation.audiences import write_audience_files
from activation.sync.gated import GatedAudience, NotGated
from activation.sync.protocol import FieldMapping, FieldType, MappedField, Mode
from tests.people_by_name import number

WEEK = "2026-11-09"
FIELDS = (
    MappedField("as_of", "as_of", FieldType.DATE),
    MappedField("person_id", "person_id"),
    MappedField("address", "identifier"),
    MappedField("name", "name"),
    MappedField("score", "score", FieldType.NUMBER),
    MappedField("is_new", "is_new", FieldType.BOOLEAN),
    MappedField("consent_recorded_at", "consent_recorded_at", FieldType.TIMESTAMP),
)
VALUES = (
    f"select a.identifier, called(a.person_id) as person_id, date '{AS_OF}' as as_of, "
    "coalesce(n.name, 'Report readers') as name, "
    "0.75 as score, true as is_new, a.consent_recorded_at from gate_approved as a "
    "left join named as n on n.person_id = a.person_id"
)


@pytest.fixture
def world():
    world = World()
    world.connection.execute("create table named (person_id ubigint, name varchar)")
    return world


def gated(world, *keys, destination="files", condition="true", fields=FIELDS):
    gate = world.gate()
    for key in keys or ("news",):
        gate.consider(audience(key, is_file=True, destination=destination), condition)
    gate.judge()
    return [gate.seal(key, VALUES, {}, FieldMapping("1", fields), Mode.MIRROR) for key in keys or ("news",)]


def write(world, tmp_path: Path, *keys, **options):
    notes = options.pop("notes", None)
    return write_audience_files(world.connection, gated(world, *keys, **options), tmp_path / WEEK, notes)


def rows(tmp_path: Path, name: str = "news") -> list[dict[str, str]]:
    with (tmp_path / WEEK / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def manifest(tmp_path: Path) -> dict:
    return json.loads((tmp_path / WEEK / "manifest.json").read_text(encoding="utf-8"))


def test_one_file_per_audience_sorted_by_person_with_the_mapped_columns_in_order(world, tmp_path):
    world.people("p2", "p1")
    write(world, tmp_path, "news", "offers")

    assert {path.name for path in (tmp_path / WEEK).iterdir()} == {"news.csv", "offers.csv", "manifest.json"}
    assert [row["person_id"] for row in rows(tmp_path)] == ["p1", "p2"]
    assert rows(tmp_path)[0] == {
        "as_of": "2026-11-16",
        "person_id": "p1",
        "address": "p1@example.com",
        "name": "Report readers",
        "score": "0.750000",
        "is_new": "true",
        "consent_recorded_at": "2026-03-01T00:00:00Z",
    }


def test_whoever_the_gate_kept_back_is_in_no_file_and_counted_by_reason(world, tmp_path):
    world.person("p1").person("p2", is_allowed=False, decision_reason="withdrawn")
    (file,) = write(world, tmp_path)

    assert (file.rows, file.left_out) == (1, {"withdrawn": 1})
    assert manifest(tmp_path)["left_out"] == {"withdrawn": 1}


def test_an_audience_of_nobody_is_a_file_with_a_header(world, tmp_path):
    world.person("p1", is_allowed=False, decision_reason="withdrawn")
    write(world, tmp_path)

    text = (tmp_path / WEEK / "news.csv").read_bytes()
    assert text == b"as_of,person_id,address,name,score,is_new,consent_recorded_at\r\n"


def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(world, tmp_path):
    for place, name in enumerate(["=1+1", "+49", "-x", "@y", "\tz", 'plain, "quoted"\nand long']):
        world.person(f"p{place}")
        world.connection.execute("insert into named values (?, ?)", [number(f"p{place}"), name])
    write(world, tmp_path)

    assert [row["name"] for row in rows(tmp_path)] == [
        "'=1+1",
        "'+49",
        "'-x",
        "'@y",
        "'\tz",
        'plain, "quoted"\nand long',
    ]


def test_lines_end_as_rfc_4180_says_and_there_is_no_byte_order_mark(world, tmp_path):
    write(world.person("p1"), tmp_path)
    text = (tmp_path / WEEK / "news.csv").read_bytes()

    assert text.count(b"\r\n") == text.count(b"\n") == 2
    assert not text.startswith(b"\xef\xbb\xbf")


def test_what_is_null_is_an_empty_field(world, tmp_path):
    write(world.person("p1", consent_recorded_at=None), tmp_path)

    assert rows(tmp_path)[0]["consent_recorded_at"] == ""


def test_the_manifest_tells_of_each_file(world, tmp_path):
    world.people("p1", "p2")
    write(world, tmp_path, "offers", "news", notes={"news": {"description": "Everybody"}})
    told = manifest(tmp_path)

    assert (told["week"], told["as_of"], told["rows"]) == (WEEK, "2026-11-16", 4)
    assert [one["file"] for one in told["files"]] == ["news.csv", "offers.csv"]
    one = told["files"][0]
    assert one["sha256"] == hashlib.sha256((tmp_path / WEEK / "news.csv").read_bytes()).hexdigest()
    assert (one["purpose"], one["channel"], one["description"]) == ("email_marketing", "email", "Everybody")
    assert one["columns"] == [field.name for field in FIELDS]


def test_the_same_people_in_another_order_are_the_same_bytes(world, tmp_path):
    world.people("p1", "p2", "p3")
    write(world, tmp_path)
    first = (tmp_path / WEEK).resolve()
    again = World()
    again.connection.execute("create table named (person_id ubigint, name varchar)")
    again.people("p3", "p1", "p2")
    write(again, tmp_path)

    assert (tmp_path / WEEK).resolve() == first


def test_a_replaced_version_is_gone_at_once(world, tmp_path):
    world.people("p1", "p2")
    write(world, tmp_path)
    first = (tmp_path / WEEK).resolve()
    world.connection.execute("update contactability set is_refused_by_now = true where person_id = person('p2')")
    write(world, tmp_path)

    assert [row["person_id"] for row in rows(tmp_path)] == ["p1"]
    assert not first.exists()


def test_nothing_but_what_the_gate_sealed_is_written(world, tmp_path):
    (one,) = gated(world.person("p1"))
    forged = object.__new__(GatedAudience)
    for name in GatedAudience.__slots__:
        object.__setattr__(forged, name, getattr(one, name))

    for wrong in (forged, None, one.relation, [one]):
        with pytest.raises(NotGated):
            write_audience_files(world.connection, [wrong], tmp_path / WEEK)
    assert not (tmp_path / WEEK).exists()


def test_what_was_sealed_for_another_destination_is_not_written(world, tmp_path):
    with pytest.raises(NotGated, match="newsletter"):
        write(world.person("p1"), tmp_path, destination="newsletter")


def test_what_changed_since_it_was_sealed_is_not_written(world, tmp_path):
    (one,) = gated(world.person("p1"))
    world.connection.execute(f"update {one.relation} set identifier = 'else@example.com'")

    with pytest.raises(NotGated, match="changed"):
        write_audience_files(world.connection, [one], tmp_path / WEEK)


def test_a_name_that_leads_elsewhere_is_no_file(world, tmp_path):
    with pytest.raises(ValueError, match="name of a file"):
        write(world.person("p1"), tmp_path, "../elsewhere")


def test_many_people_are_written_a_part_at_a_time(world, tmp_path, monkeypatch):
    monkeypatch.setattr("activation.audiences.PEOPLE_AT_A_TIME", 2)
    write(world.people(*(f"p{place}" for place in range(7))), tmp_path)

    assert [row["person_id"] for row in rows(tmp_path)] == [f"p{place}" for place in range(7)]


def test_dates_and_moments_are_told_in_utc(world, tmp_path):
    world.person("p1", consent_recorded_at=datetime(2026, 3, 1, 9, 30))
    assert date(2026, 11, 16) == AS_OF
    write(world, tmp_path)

    assert rows(tmp_path)[0]["consent_recorded_at"] == "2026-03-01T09:30:00Z"
