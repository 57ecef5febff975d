"""What was traced of a model's columns is told again, unchanged, as long as its SQL and its columns are the same."""

from pathlib import Path

import dagster as dg

from orchestration.dbt_metadata import ColumnMemory

MODEL = "model.personae.segment_kpis"
TRACED = {
    "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema([dg.TableColumn("people", "BIGINT")])),
    "dagster/column_lineage": dg.MetadataValue.column_lineage(
        dg.TableColumnLineage(
            {"people": [dg.TableColumnDep(dg.AssetKey(["marts", "segment_memberships"]), "person_id")]}
        )
    ),
}


def test_what_was_traced_is_told_again_by_a_later_run(tmp_path: Path) -> None:
    memory = ColumnMemory.open(tmp_path / "columns.json")
    memory.keep(MODEL, "same sql", TRACED)
    memory.save()
    assert ColumnMemory.open(tmp_path / "columns.json").recall(MODEL, "same sql") == TRACED


def test_changed_sql_and_unknown_models_are_traced_anew(tmp_path: Path) -> None:
    memory = ColumnMemory.open(tmp_path / "columns.json")
    memory.keep(MODEL, "same sql", TRACED)
    assert memory.recall(MODEL, "other sql") is None
    assert memory.recall("model.personae.segment_profiles", "same sql") is None


def test_a_file_that_was_cut_off_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "columns.json").write_text('{"model.personae')
    assert ColumnMemory.open(tmp_path / "columns.json").recall(MODEL, "same sql") is None
