"""The two examples on public data: real orders with real dirt, and one cross-sectional extract with a label.

`make test-examples` runs the wholesaler's last twelve weeks (EXAMPLE_WEEKS); a week more costs five processor seconds.
"""

import os
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.running import PROJECT, personae_here

WEEKS = int(os.environ.get("EXAMPLE_WEEKS", "2"))


@pytest.fixture(scope="module")
def online_retail(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "online_retail"
    shutil.copytree(PROJECT / "examples" / "online_retail", folder, ignore=shutil.ignore_patterns(".personae"))
    done = personae_here(
        "run", folder, "--data", shared_data / "online_retail", "--week", "2011-11-28", "--weeks", WEEKS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def telco(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "telco"
    shutil.copytree(PROJECT / "examples" / "telco", folder, ignore=shutil.ignore_patterns(".personae"))
    done = personae_here("run", folder, "--data", shared_data / "telco", "--week", "2026-10-26")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_weeks_of_a_wholesaler_are_published(online_retail: Path) -> None:
    published = online_retail / ".personae" / "published"
    assert len([p for p in published.iterdir() if p.is_symlink()]) == WEEKS + 1
    kpis = pl.read_parquet(published / "latest" / "segment_kpis.parquet")
    assert kpis["people"].sum() > 4000
    assert kpis["revenue_91d"].sum() > 1_000_000
    assert kpis["segment_name"].is_unique().all()
    migrations = pl.read_parquet(published / "latest" / "segment_migrations.parquet")
    assert migrations.filter(pl.col("from_segment_id") == pl.col("to_segment_id"))["people"].sum() > 3000


def test_revenue_is_what_the_lines_say_less_what_was_cancelled(online_retail: Path) -> None:
    kpis = pl.read_parquet(online_retail / ".personae" / "published" / "latest" / "segment_kpis.parquet")
    with duckdb.connect(str(online_retail / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
        lines = connection.execute(
            "select sum(line_amount) from raw.order_lines where contact_id is not null "
            "and timezone('Europe/London', timezone('UTC', ordered_at)) >= date '2011-09-05' "
            "and timezone('Europe/London', timezone('UTC', ordered_at)) < date '2011-12-05'"
        ).fetchall()[0][0]
    assert kpis["revenue_91d"].sum() == pytest.approx(lines, rel=1e-6)


def test_repurchase_is_predicted_better_than_by_chance(online_retail: Path) -> None:
    scores = pl.read_parquet(online_retail / ".personae" / "published" / "latest" / "person_propensities.parquet")
    assert scores["probability"].null_count() == 0
    assert 0.05 < scores["probability"].mean() < 0.6


def test_churn_of_the_telephone_company_is_scored_out_of_fold(telco: Path) -> None:
    published = telco / ".personae" / "published" / "latest"
    scores = pl.read_parquet(published / "person_propensities.parquet")
    assert scores.height == 7043
    assert abs(scores["probability"].mean() - 1869 / 7043) < 0.02
    with duckdb.connect(str(telco / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
        auc = connection.execute(
            "select json_extract(evaluation, '$.auc')::double from ml.model_runs where target = 'churn'"
        ).fetchall()[0][0]
        columns = {row[0] for row in connection.execute("describe features.person_features").fetchall()}
    assert auc > 0.83
    assert not {"contact_churn", "contact_gender"} & columns, "a label or a sensitive column became a feature"


def test_a_stated_legal_basis_is_named_in_every_row_of_an_activation_file(telco: Path) -> None:
    rows = pl.concat(
        [pl.read_csv(p) for p in sorted((telco / ".personae" / "activation" / "2026-10-26").glob("*.csv"))]
    )
    assert rows.height == 7043
    assert rows["decision_reason"].str.starts_with("legal_basis: ").all()
