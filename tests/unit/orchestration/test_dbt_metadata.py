"""What was traced of a model's columns is told again, unchanged, as long as its SQL and its columns are the same."""

from pathlib import Path

import dagster as dg

from orchestration.dbt_metadata import DAY_MOMENT_OR_LOAD, ColumnMemory

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


def test_only_days_moments_and_loads_are_no_part_of_what_columns_come_from() -> None:
    def without(sql: str) -> str:
        return DAY_MOMENT_OR_LOAD.sub(r"\1", sql)

    first = "select people from a where day < date '2026-11-09' - 7 and at < timestamp '2026-11-08 23:00:00'"
    assert without(first) == without(first.replace("11-09", "11-16").replace("08 23:00:00", "15 23:00:00"))
    assert without("where coalesce(_load_sequence, 0) > 77") == without("where coalesce(_load_sequence, 0) > -1")
    assert without("select '2026-11-09' as week") == "select '2026-11-09' as week"
    assert without("select update '2026-11-09'") == "select update '2026-11-09'"
