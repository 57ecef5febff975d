"""How well contacts are matched that share no identifier, on three of FEBRL's data sets with known copies.

    python -m benchmarks.febrl --data FOLDER

Each set goes through the same path as a company's contacts: mapping, contract, dbt, the resolution. One setting for all
three (`examples/febrl`); the number of the record, which gives the truth away, serves the score only.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from orchestration.dbt_runs import BUILD_TARGET, DBT_COMMAND, DBT_PROJECT_FOLDER, dbt_environment, vars_argument
from orchestration.identity import write_decisions
from orchestration.ingest.load import ingest
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "febrl"
DATASETS = (1, 2, 3)


@dataclass(frozen=True)
class PairwiseScore:
    """Of all pairs of contacts: how many that were put together belong together, and the other way round."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def pairwise_score(found: pl.DataFrame) -> PairwiseScore:
    """The score of `found`, which has a row per contact with its `person_id` and the `human` it stands for."""

    def pairs(*columns: str) -> int:
        return int(found.group_by(columns).len().select((pl.col("len") * (pl.col("len") - 1) // 2).sum()).item())

    together = pairs("person_id", "human")
    return PairwiseScore(together / max(pairs("person_id"), 1), together / max(pairs("human"), 1))


def resolve_dataset(folder: Path, data: Path, dataset: int) -> pl.DataFrame:
    """Resolve one data set in a workspace of its own; see `resolve`."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".personae"))
    shutil.copy(data / f"dataset{dataset}.csv", folder)
    return resolve(Workspace.open(folder))


def resolve(workspace: Workspace) -> pl.DataFrame:
    """A row per contact of a workspace with `contact_id`, `person_id` and `human`, the human it stands for."""
    workspace.state_folder.mkdir(parents=True, exist_ok=True)
    with Warehouse.of(workspace).connect() as connection:
        ingest(connection, workspace)
        write_decisions(connection, workspace)
    run_dbt(workspace, "run", "--select", "+int_identities_resolved")
    with Warehouse.of(workspace).connect(read_only=True) as connection:
        resolved = connection.sql(
            "select identity_id as contact_id, person_id from intermediate.int_identities_resolved "
            "where identity_kind = 'contact' and valid_to is null order by all"
        ).pl()
    return resolved.with_columns(human=pl.col("contact_id").str.extract(r"^rec-(\d+)-"))


def run_dbt(workspace: Workspace, *arguments: str) -> None:
    """Run a command of dbt on a workspace, as the weekly job does."""
    project = str(DBT_PROJECT_FOLDER)
    command = [
        str(DBT_COMMAND),
        *arguments,
        "--project-dir",
        project,
        "--profiles-dir",
        project,
    ]
    command += ["--target", BUILD_TARGET, "--vars", vars_argument(workspace)]
    done = subprocess.run(
        command, env=os.environ | dbt_environment(workspace), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)


def main() -> None:
    """Score every data set and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with dataset1.csv to dataset3.csv")
    data = parser.parse_args().data
    print("| set | contacts | precision | recall | F1 | seconds |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for dataset in DATASETS:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            resolved = resolve_dataset(Path(folder) / "workspace", data, dataset)
            score = pairwise_score(resolved)
            words = f"{score.precision:.4f} | {score.recall:.4f} | {score.f1:.4f} | {time.perf_counter() - started:.0f}"
            print(f"| {dataset} | {resolved.height:,} | {words} |", flush=True)


if __name__ == "__main__":
    main()
