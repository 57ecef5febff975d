"""The labels of people as a file that people read."""

import csv
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from activation.label_files import label_columns, write_label_file

TARGETS = ("churn", "order_soon")
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "person-labels.md"


def people(**changed: object) -> pl.DataFrame:
    """One person of whom nothing is told but what is given."""
    row: dict[str, object] = {column.source: None for column in label_columns(TARGETS)}
    row |= {"as_of": date(2026, 11, 16), "person_id": "p_1", "contact_id": "c-1"} | changed
    numbers = ("_strength", "_score", "_probability")
    types = {name: pl.Float64 if name.endswith(numbers) else pl.String for name in row} | {"as_of": pl.Date}
    return pl.DataFrame([row], schema=types)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_heading_says_what_a_column_is_and_ids_are_words(tmp_path):
    frame = people(
        persona_name="Night owls",
        membership_strength=0.91234,
        adoption_class_name="Early Adopter",
        approach_1="social_proof",
        withheld_approaches="scarcity,unity",
        order_soon_band="high",
        order_soon_probability=0.42,
        churn_abstained_reason="too few positives",
    )
    assert write_label_file([frame], tmp_path / "labels.csv", TARGETS) == 1
    (row,) = read(tmp_path / "labels.csv")
    told = {heading: value for heading, value in row.items() if value}
    assert told == {
        "Known up to": "2026-11-16",
        "Contact": "c-1",
        "Person": "p_1",
        "Persona": "Night owls",
        "Persona: how surely": "0.912",
        "Adoption class": "Early Adopter",
        "First approach": "social proof",
        "Do not use": "scarcity,unity",
        "Order soon: band": "high",
        "Order soon: probability": "0.420",
        "Churn: why nothing is said": "too few positives",
    }
    assert list(row).index("Persona") < list(row).index("Why no persona") < list(row).index("Model of persona")


def test_text_that_a_spreadsheet_would_run_is_made_harmless(tmp_path):
    write_label_file(
        [people(persona_name='=HYPERLINK("x")', trigger_phrase="-2+3", contact_id="@c")],
        tmp_path / "labels.csv",
        TARGETS,
    )
    (row,) = read(tmp_path / "labels.csv")
    assert row["Persona"] == '\'=HYPERLINK("x")'
    assert (row["Strongest trigger"], row["Contact"]) == ("'-2+3", "'@c")


def test_letters_with_accents_commas_and_line_breaks_survive(tmp_path):
    name = 'Früh, "laut"\nund gern'
    write_label_file([people(persona_name=name), people(person_id="p_2")], tmp_path / "labels.csv", TARGETS)
    assert [row["Persona"] for row in read(tmp_path / "labels.csv")] == [name, ""]
    assert (tmp_path / "labels.csv").read_bytes().startswith(b"\xef\xbb\xbfKnown up to")


def test_nobody_gives_a_file_with_its_headings(tmp_path):
    assert write_label_file([], tmp_path / "labels.csv", ()) == 0
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8-sig").startswith("Known up to,Contact,Person,Persona,")


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(ValueError, match="persona_name"):
        write_label_file([people().drop("persona_name")], tmp_path / "labels.csv", TARGETS)


def test_headings_are_unique_and_documented():
    columns = label_columns(("churn",))
    assert len({column.heading for column in columns}) == len(columns)
    text = DOCUMENTATION.read_text(encoding="utf-8")
    for column in columns:
        heading = column.heading.replace("Churn", "*Target*")
        assert f"| {heading} | {column.words} |" in text, heading
