import csv
import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from activation.audiences import AUDIENCE_COLUMNS, write_audience_files

WEEK = "2026-11-09"
AS_OF = date(2026, 11, 16)


def member(person_id: str, **changed) -> dict:
    return {
        "as_of": AS_OF,
        "person_id": person_id,
        "persona_id": "persona-01",
        "persona_name": "Report readers",
        "membership_strength": 0.75,
        "contact_id": f"c-{person_id}",
        "email": f"{person_id}@example.com",
        "channel": "email",
        "purpose": "email_marketing",
        "is_allowed": True,
        "decision_reason": "consent granted",
        "consent_recorded_at": datetime(2026, 3, 1, 9, 30),
    } | changed


def members(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides={"is_allowed": pl.Boolean}, infer_schema_length=None)


def write(tmp_path: Path, *rows: dict, **options) -> dict[str, list[dict[str, str]]]:
    write_audience_files(members(*rows), tmp_path / WEEK, **options)
    return {path.stem: read(path) for path in (tmp_path / WEEK).glob("*.csv")}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def manifest_of(tmp_path: Path) -> dict:
    return json.loads((tmp_path / WEEK / "manifest.json").read_text(encoding="utf-8"))


def people(rows: list[dict[str, str]]) -> list[str]:
    return [row["person_id"] for row in rows]


def test_one_file_per_persona_sorted_by_person_with_the_documented_columns(tmp_path):
    files = write(tmp_path, member("p2"), member("p1"), member("p3", persona_id="persona-02"))

    assert set(files) == {"persona-01", "persona-02"}
    assert people(files["persona-01"]) == ["p1", "p2"]
    assert list(files["persona-01"][0]) == list(AUDIENCE_COLUMNS)
    assert files["persona-01"][0] == {
        "as_of": "2026-11-16",
        "person_id": "p1",
        "persona_id": "persona-01",
        "persona_name": "Report readers",
        "membership_strength": "0.750000",
        "contact_id": "c-p1",
        "email": "p1@example.com",
        "channel": "email",
        "purpose": "email_marketing",
        "decision_reason": "consent granted",
        "consent_recorded_at": "2026-03-01T09:30:00Z",
    }


@pytest.mark.parametrize("decision", [False, None])
def test_only_a_true_decision_lets_a_row_out(tmp_path, decision):
    files = write(tmp_path, member("p1"), member("p2", is_allowed=decision, decision_reason="no consent"))

    assert people(files["persona-01"]) == ["p1"]
    assert manifest_of(tmp_path)["left_out"] == {"no consent": 1}


def test_a_frame_of_undecided_rows_only_lets_nobody_out(tmp_path):
    frame = members(member("p1")).with_columns(pl.lit(None).alias("is_allowed"))
    (file,) = write_audience_files(frame, tmp_path / WEEK)

    assert file.rows == 0


@pytest.mark.parametrize("column", [*AUDIENCE_COLUMNS, "is_allowed"])
def test_a_missing_column_stops_everything(tmp_path, column):
    with pytest.raises(ValueError, match=column):
        write_audience_files(members(member("p1")).drop(column), tmp_path / WEEK)
    assert not (tmp_path / WEEK).exists()


@pytest.mark.parametrize("truthy", ["true", 1, "yes"])
def test_a_decision_that_is_no_boolean_stops_everything(tmp_path, truthy):
    frame = members(member("p1")).with_columns(pl.lit(truthy).alias("is_allowed"))
    with pytest.raises(ValueError, match="is_allowed must be true or false"):
        write_audience_files(frame, tmp_path / WEEK)


def test_the_same_address_in_other_letters_is_one_row_the_first_by_person(tmp_path):
    files = write(tmp_path, member("p2", email="A@Example.com"), member("p1", email=" a@example.COM "), member("p3"))

    assert [(row["person_id"], row["email"]) for row in files["persona-01"]] == [
        ("p1", "a@example.COM"),
        ("p3", "p3@example.com"),
    ]
    assert manifest_of(tmp_path)["left_out"] == {"the address is in the file already": 1}


def test_an_address_that_somebody_refused_is_written_for_nobody_whatever_their_persona(tmp_path):
    refusing = member("p2", email="SHARED@example.com", persona_id="persona-02", is_allowed=False)
    files = write(tmp_path, member("p1", email="shared@example.com"), refusing | {"decision_reason": "withdrawn"})

    assert files == {"persona-01": [], "persona-02": []}
    assert manifest_of(tmp_path)["left_out"] == {
        "the address also belongs to somebody who may not be contacted": 1,
        "withdrawn": 1,
    }


def test_people_without_an_address_or_a_persona_are_left_out_and_counted(tmp_path):
    files = write(
        tmp_path, member("p1"), member("p2", email=None), member("p3", email=" "), member("p4", persona_id=None)
    )

    assert people(files["persona-01"]) == ["p1"]
    assert manifest_of(tmp_path)["left_out"] == {"belongs to no persona": 1, "no address": 2}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_is_made_harmless(tmp_path, start):
    files = write(tmp_path, member("p1", contact_id=f"{start}cmd|' /C calc'!A1"))

    assert files["persona-01"][0]["contact_id"] == f"'{start}cmd|' /C calc'!A1"


def test_an_address_that_a_spreadsheet_would_run_is_left_out_because_changing_it_would_reach_somebody_else(tmp_path):
    files = write(tmp_path, member("p1"), member("p2", email="=1+1@example.com"))

    assert people(files["persona-01"]) == ["p1"]
    assert manifest_of(tmp_path)["left_out"] == {"the address begins like a spreadsheet formula": 1}


def test_files_are_utf8_without_a_mark_with_crlf_and_quotes_where_needed(tmp_path):
    name = 'Käufer, "treu"\r\nund neu'
    files = write(tmp_path, member("p1", persona_name=name))
    content = (tmp_path / WEEK / "persona-01.csv").read_bytes()

    assert files["persona-01"][0]["persona_name"] == name
    assert content.startswith(b"as_of,person_id,")
    assert content.endswith(b"Z\r\n")
    assert '"Käufer, ""treu""\r\nund neu"'.encode() in content


def test_timestamps_with_a_zone_are_written_in_utc_and_none_is_empty(tmp_path):
    frame = members(
        member("p1", consent_recorded_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        member("p2", consent_recorded_at=None),
    ).with_columns(pl.col("consent_recorded_at").dt.convert_time_zone("Europe/Berlin"))
    (file,) = write_audience_files(frame, tmp_path / WEEK)

    assert [row["consent_recorded_at"] for row in read(file.path)] == ["2026-03-01T09:30:00Z", ""]


def test_propensities_are_written_as_named(tmp_path):
    files = write(
        tmp_path,
        member("p1", order_within_30_days=0.125),
        member("p2", order_within_30_days=None),
        propensity_columns=["order_within_30_days"],
    )

    assert [row["order_within_30_days"] for row in files["persona-01"]] == ["0.125000", ""]


@pytest.mark.parametrize("column", ["is_allowed", "email", "=evil", "a,b", ""])
def test_a_propensity_column_needs_a_plain_name_of_its_own(tmp_path, column):
    with pytest.raises(ValueError, match="propensity column"):
        write_audience_files(members(member("p1")), tmp_path / WEEK, propensity_columns=[column])


def test_the_manifest_says_what_was_written_and_who_was_left_out(tmp_path):
    (file, _) = write_audience_files(
        members(
            member("p1"),
            member("p2", is_allowed=False, decision_reason="withdrawn"),
            member("p3", persona_id="persona-02", persona_name="Newcomers", is_allowed=False, decision_reason=None),
        ),
        tmp_path / WEEK,
    )

    manifest = manifest_of(tmp_path)
    assert manifest["week"] == WEEK
    assert manifest["as_of"] == "2026-11-16"
    assert (manifest["purpose"], manifest["channel"]) == ("email_marketing", "email")
    assert manifest["rows"] == 1
    assert manifest["files"][0] == {
        "file": "persona-01.csv",
        "persona_id": "persona-01",
        "persona_name": "Report readers",
        "rows": 1,
        "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest(),
        "left_out": {"withdrawn": 1},
    }
    assert manifest["files"][1]["persona_name"] == "Newcomers"
    assert manifest["files"][1]["left_out"] == {"no reason stated": 1}


def test_the_folder_holds_the_files_and_nothing_else(tmp_path):
    write(tmp_path, member("p1"))

    assert sorted(path.name for path in (tmp_path / WEEK).rglob("*")) == ["manifest.json", "persona-01.csv"]


def test_order_and_cutting_of_the_input_change_nothing(tmp_path):
    rows = [member(f"p{n:03}", persona_id=f"persona-0{n % 3 + 1}", email=f"{n // 2}@example.com") for n in range(100)]
    whole = write_audience_files(members(*rows), tmp_path / "a" / WEEK)
    pieces = (members(*reversed(rows[start : start + 7])) for start in range(91, -1, -7))
    frames = [members(*rows[98:]), *pieces]
    cut = write_audience_files(iter(frames), tmp_path / "b" / WEEK)

    assert [(one.persona_id, one.sha256, one.left_out) for one in whole] == [
        (one.persona_id, one.sha256, one.left_out) for one in cut
    ]
    assert (tmp_path / "a" / WEEK).resolve().name == (tmp_path / "b" / WEEK).resolve().name


def test_a_new_version_replaces_the_old_one_whose_addresses_are_not_kept(tmp_path):
    write(tmp_path, member("p1"), member("p2"))
    files = write(tmp_path, member("p1"), member("p2", is_allowed=False))

    assert people(files["persona-01"]) == ["p1"]
    assert len(list((tmp_path / ".versions").glob("2*"))) == 1


@pytest.mark.parametrize("persona_id", ["../persona", "a/b", ".hidden", "", "p\n"])
def test_a_persona_id_that_is_no_plain_name_is_refused(tmp_path, persona_id):
    with pytest.raises(ValueError, match="persona id"):
        write(tmp_path, member("p1", persona_id=persona_id))
    assert not (tmp_path / WEEK).exists()


@pytest.mark.parametrize("column", ["purpose", "channel"])
def test_permissions_for_several_purposes_or_channels_are_not_mixed(tmp_path, column):
    with pytest.raises(ValueError, match=f"more than one {column}"):
        write(tmp_path, member("p1"), member("p2", **{column: "another"}))


def test_members_of_another_week_are_refused(tmp_path):
    with pytest.raises(ValueError, match="another week"):
        write(tmp_path, member("p1", as_of=date(2026, 11, 9)))


def test_what_people_are_called_stays_out_of_the_error(tmp_path):
    frame = members(member("p1")).with_columns(pl.col("email").alias("membership_strength"))
    with pytest.raises(ValueError, match="wrong type") as problem:
        write_audience_files(frame, tmp_path / WEEK)
    assert "example.com" not in str(problem.value)
    assert problem.value.__cause__ is None


def test_no_members_are_a_manifest_only(tmp_path):
    assert write_audience_files(members(member("p1")).clear(), tmp_path / WEEK) == []
    assert manifest_of(tmp_path)["rows"] == 0


def test_the_guide_explains_every_column_in_order_and_in_the_same_words():
    guide = (Path(__file__).parents[3] / "docs" / "activation-files.md").read_text(encoding="utf-8")
    explained = [line for line in guide.splitlines() if line.startswith("| `")]

    assert explained == [f"| `{column}` | {sentence} |" for column, sentence in AUDIENCE_COLUMNS.items()]
