"""The dbt project as this workspace runs it: its manifest, its settings, and a hash of what its SQL says.

What belongs here: what can be known and done without Dagster, which takes seconds to import. How Dagster calls dbt
stands in `dbt_resource.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import orchestration
from orchestration.dbt_server import keep_parsed
from orchestration.workspace import Workspace

PROJECT_ROOT = Path(orchestration.__file__).resolve().parents[1]
DBT_PROJECT_FOLDER = PROJECT_ROOT / "dbt_project"
KEPT_RUNS = 6
# What dbt's models in Python import.
MODULES_OF_MODELS = (
    "contact_matching.py",
    "identity_ledger.py",
    "identity_parts.py",
    "identity_resolution.py",
    "kept_rows.py",
    "phone_numbers.py",
)
# dbt's command as this project installs it.
DBT_COMMAND = Path(sys.executable).with_name("personae-dbt")
# dbt's own process keeps its connection open; see profiles.yml.
BUILD_TARGET = "build"
# Of the memory that a workspace allows: dbt's models in Python need some in the process whose DuckDB makes the tables,
# and contacts are compared in a second database there. For a million contacts that one took half of it; so it takes an
# eighth more time.
FOR_TABLES, FOR_MATCHING = 7 / 8, 1 / 4
BYTES = {"MB": 10**6, "GB": 10**9}


class DbtParseFailed(Exception):
    """dbt could not read its own project."""


def dbt_environment(workspace: Workspace) -> dict[str, str]:
    """What `profiles.yml` reads."""
    return {
        "PERSONAE_WAREHOUSE": str(workspace.warehouse_file),
        "PERSONAE_MEMORY_LIMIT": _part_of(workspace.settings.memory_limit, FOR_TABLES),
        "PERSONAE_MATCHING_MEMORY_LIMIT": _part_of(workspace.settings.memory_limit, FOR_MATCHING),
        "PERSONAE_CODE": str(PROJECT_ROOT),
        "PERSONAE_IDENTITY_MODEL": str(workspace.identity_model_file),
        "PERSONAE_TEMP": str(workspace.temporary_folder),
        # Where dagster-dbt looks for the parsed project, and below which each run writes its compiled SQL.
        "DBT_TARGET_PATH": str(workspace.dbt_target_folder),
        "DBT_LOG_LEVEL_FILE": "info",
        # For people, with time and thread; Dagster reads JSON from what dbt prints.
        "DBT_LOG_FORMAT_FILE": "debug",
        "DBT_USE_COLORS_FILE": "false",
        # A run reads the manifest and writes none of its own, which would take a twentieth of its time.
        "DBT_WRITE_JSON": "false",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        # What polars freed in dbt's process (see `__init__.py`), DuckDB needs there at once.
        "_RJEM_MALLOC_CONF": "dirty_decay_ms:500",
    }


def _part_of(memory_limit: str, share: float) -> str:
    return f"{float(memory_limit[:-2]) * BYTES[memory_limit[-2:]] * share / BYTES['MB']:.0f}MB"


def vars_argument(workspace: Workspace) -> str:
    """The workspace's settings for dbt: always the same text, or dbt would parse everything again."""
    return json.dumps(workspace.dbt_vars(), sort_keys=True)


def prepare_manifest(workspace: Workspace) -> Path:
    """dbt's manifest for this workspace, parsed again only when the project, the settings or the folder changed.

    Where a dbt is kept ready it parses, and keeps what it parsed for the calls of the run.
    dbt takes nothing of what it parsed for a warehouse elsewhere: without a parse here, a workspace that was moved or
    copied would have both calls of dbt parse everything, in every run.

    Raises:
        DbtParseFailed: the project does not parse; dbt's own words are in the message.
    """
    target = workspace.dbt_target_folder
    manifest, stamp = target / "manifest.json", target / "manifest.stamp"
    wanted = _parsed_from(workspace)
    _remove_old_runs(target)
    if manifest.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return manifest
    target.mkdir(parents=True, exist_ok=True)
    workspace.temporary_folder.mkdir(parents=True, exist_ok=True)
    # A run that dies leaves the dbt that is kept ready at work for some seconds, in a folder of its own.
    with TemporaryDirectory(dir=workspace.temporary_folder) as folder:
        _parse_ahead(workspace, {"DBT_TARGET_PATH": folder, "DBT_WRITE_JSON": "true"}, is_awaited=True)
        if (Path(folder) / manifest.name).is_file():
            for file in Path(folder).glob("*.*"):
                file.replace(target / file.name)
        else:
            _parse(workspace)
    stamp.write_text(wanted)
    return manifest


def _parse(workspace: Workspace) -> None:
    """Parse the project in a process of its own, which says what is wrong with it."""
    command = [
        str(DBT_COMMAND),
        "--quiet",
        "--write-json",
        "parse",
        "--project-dir",
        str(DBT_PROJECT_FOLDER),
        "--profiles-dir",
        str(DBT_PROJECT_FOLDER),
        "--log-path",
        str(workspace.dbt_target_folder / "logs"),
        "--target",
        BUILD_TARGET,
        "--vars",
        vars_argument(workspace),
    ]
    environment = os.environ | dbt_environment(workspace)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise DbtParseFailed(done.stdout + done.stderr)


def parse_ahead(workspace: Workspace) -> None:
    """Have a dbt that is kept ready load what was parsed (`prepare_manifest`), once for all calls of a run; waits for
    nothing."""
    _parse_ahead(workspace, {}, is_awaited=False)


def _parse_ahead(workspace: Workspace, writes_to: dict[str, str], is_awaited: bool) -> None:
    arguments = ["--target", BUILD_TARGET, "--vars", vars_argument(workspace)]
    folders = {"DBT_PROJECT_DIR": str(DBT_PROJECT_FOLDER), "DBT_PROFILES_DIR": str(DBT_PROJECT_FOLDER)}
    environment = os.environ | dbt_environment(workspace) | folders | writes_to
    keep_parsed(arguments, environment, DBT_PROJECT_FOLDER, is_awaited)


def _parsed_from(workspace: Workspace) -> str:
    """A hash of what a parse depends on."""
    environment = json.dumps(dbt_environment(workspace), sort_keys=True)
    return hashlib.sha256((project_hash() + vars_argument(workspace) + environment).encode()).hexdigest()


def run_by_hand(workspace: Workspace, arguments: Sequence[str]) -> int:
    """Run dbt with a workspace's settings, in this terminal.

    Args:
        workspace: whose warehouse is worked on.
        arguments: a command of dbt and what belongs to it, such as `build --select tag:features`.

    Returns:
        dbt's exit status.
    """
    target = workspace.dbt_target_folder
    target.mkdir(parents=True, exist_ok=True)
    folders = ["--project-dir", str(DBT_PROJECT_FOLDER), "--profiles-dir", str(DBT_PROJECT_FOLDER)]
    settings = ["--log-path", str(target / "logs"), "--target", BUILD_TARGET, "--vars", vars_argument(workspace)]
    environment = os.environ | dbt_environment(workspace)
    command = [str(DBT_COMMAND), *arguments, *folders, *settings]
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def _remove_old_runs(target: Path) -> None:
    """Compiled SQL of the last runs is kept for whoever looks into them."""
    runs = sorted((path for path in target.glob("*_tables-*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in runs[:-KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)


def project_hash() -> str:
    """A hash of every file of the dbt project."""
    return _hash_of(_project_files())


def feature_code_hash() -> str:
    """A hash of what features are made by: a changed mart or description computes no week again."""
    published = {"marts", "segments"}
    models = [path for path in _project_files() if path.suffix in (".sql", ".py") and not published & set(path.parts)]
    return _hash_of([*models, *(PROJECT_ROOT / "ml" / name for name in MODULES_OF_MODELS)])


def _project_files() -> Iterator[Path]:
    for path in sorted(DBT_PROJECT_FOLDER.rglob("*")):
        if path.is_file() and path.suffix in (".sql", ".py", ".yml", ".md") and "target" not in path.parts:
            yield path


def _hash_of(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(PROJECT_ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
