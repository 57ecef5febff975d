"""A call that a copy of the server does is like a call of dbt to whoever calls; and nothing outlives a run.

In place of dbt's command line stands one that does what it is told, so that a call takes no seconds.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.dbt_process import SERVER_VARIABLE
from orchestration.dbt_runs import DBT_COMMAND
from orchestration.dbt_server import dbt_kept_ready, keep_parsed
from tests.kept_ready import dbt_ready
from tests.running import PROJECT

COMMAND_LINE = """
import os, signal, sys, time
from types import SimpleNamespace

calls = parses = 0
print("imported", os.getpid(), file=sys.stderr)

def cli(obj=None):
    global calls
    calls += 1
    what = sys.argv[1]
    if obj:
        print("begins with", obj["manifest"])
    try:
        print(*sys.argv[1:], os.getcwd(), os.environ.get("WEEK"), calls, os.getpid(), os.getppid(), flush=True)
        time.sleep(60 if what == "wait" else 0)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(1)
    if what == "fail":
        print("it failed", file=sys.stderr)
        sys.exit(2)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)

class Manifest(str):
    nodes, macros, metadata = {}, {}, SimpleNamespace(project_name="")

class dbtRunner:
    def invoke(self, arguments):
        global parses
        parses += 1
        if written := os.environ.get("DBT_TARGET_PATH"):
            time.sleep(0.5)
            open(os.path.join(written, "manifest.json"), "w").close()
        told = arguments[arguments.index("parse"):]
        told_of = Manifest(" ".join([f"parse {parses}:", *told, os.getcwd()]))
        return SimpleNamespace(success="broken" not in told, result=told_of)
"""
SETTINGS = """
class Project:
    @classmethod
    def json_schema(cls):
        return {}

ProjectFlags = Configuration = PackageConfig = Project
"""
RUN = """
import subprocess, sys
from orchestration.dbt_server import dbt_kept_ready

with dbt_kept_ready({}):
    subprocess.run([sys.argv[1], "wait"])
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package `dbt` that takes the place of the real one in processes that are started."""
    modules = {"cli/main.py": COMMAND_LINE, "task/build.py": "", "contracts/project.py": SETTINGS}
    for name, content in modules.items():
        file = tmp_path / "dbt" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        for package in (file.parent, file.parent.parent):
            (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{PROJECT}")
    return tmp_path


@pytest.fixture
def server(stand_in: Path) -> Iterator[None]:
    """A server whose dbt is the one above."""
    with dbt_kept_ready({}):
        yield


def call(*arguments: str, **options: object) -> subprocess.Popen[str]:
    """Begin a call of `personae-dbt`."""
    return subprocess.Popen(
        [str(DBT_COMMAND), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_a_copy_has_the_arguments_the_environment_and_the_folder_of_its_call(server: None, tmp_path: Path) -> None:
    for _ in range(2):
        process = call("build", "--select", "a b", env=os.environ | {"WEEK": "2026-11-09"}, cwd=tmp_path)
        told = process.communicate()[0].split()
        assert told[:6] == ["build", "--select", "a", "b", str(tmp_path), "2026-11-09"]
        assert told[6] == "1", "a copy knows nothing of another"
        assert process.returncode == 0


def test_what_is_imported_is_imported_once(server: None) -> None:
    output = [call("build").communicate()[0] for _ in range(2)]
    assert not any("imported" in each for each in output)
    copies, parents = zip(*(each.split()[-2:] for each in output), strict=True)
    assert len(set(copies)) == 2 and len(set(parents)) == 1


def test_who_is_called_where_a_dbt_is_kept_ready_begins_no_other_and_ends_none(server: None) -> None:
    before = call("build").communicate()[0]
    with dbt_kept_ready({}):
        within = call("build").communicate()[0]
    after = call("build").communicate()[0]
    assert len({each.split()[-1] for each in (before, within, after)}) == 1, "one server"
    assert not any("imported" in each for each in (before, within, after))


BUILD = ["--target", "build", "--vars", '{"company": 1}']


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one model."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "model.sql").write_text("select 1")
    return folder


def _begins_with(project: Path, options: list[str], **environment: str) -> str:
    """What a call has of the project when it begins; nothing where it has to parse it."""
    output = call("build", *options, env=os.environ | environment, cwd=project).communicate()[0]
    return output.partition("begins with ")[2].partition("\n")[0]


def test_a_project_is_parsed_once_for_all_calls_with_its_settings(server: None, project: Path) -> None:
    for _ in range(2):
        keep_parsed(BUILD, os.environ, project)
    parsed = f"parse 1: parse {' '.join(BUILD)} {project}"
    assert [_begins_with(project, [*BUILD, "--select", what]) for what in ("features", "marts")] == [parsed, parsed]


def test_what_a_call_would_parse_otherwise_it_parses_itself(server: None, project: Path) -> None:
    keep_parsed(BUILD, os.environ, project)
    assert _begins_with(project, ["--target", "build", "--vars", '{"company": 2}']) == ""
    assert _begins_with(project, ["--target", "other", *BUILD[2:]]) == ""
    assert _begins_with(project, BUILD, PERSONAE_WAREHOUSE="another") == ""
    assert _begins_with(project, BUILD, SOMETHING="else") != ""
    assert _begins_with(project, [*BUILD, "--project-dir", str(project)]) == ""
    (project / "model.sql").write_text("select 12")
    assert _begins_with(project, BUILD) == ""
    keep_parsed(BUILD, os.environ, project)
    assert _begins_with(project, BUILD).startswith("parse 2:")


def test_what_a_parse_writes_is_there_for_who_waits_for_it(server: None, project: Path, tmp_path: Path) -> None:
    keep_parsed(BUILD, os.environ | {"DBT_TARGET_PATH": str(tmp_path)}, project, is_awaited=True)
    assert (tmp_path / "manifest.json").is_file()
    assert _begins_with(project, BUILD).startswith("parse 1:"), "wherever it was written to"


def test_of_a_project_that_does_not_parse_nothing_is_kept(server: None, project: Path) -> None:
    keep_parsed(BUILD, os.environ, project)
    broken = ["--target", "broken", *BUILD[2:]]
    keep_parsed(broken, os.environ, project)
    assert _begins_with(project, broken) == _begins_with(project, BUILD) == ""


def test_a_copy_parses_for_itself_after_the_server_has_parsed(tmp_path: Path) -> None:
    """With dbt itself, of which a part that begins threads would never answer in a copy."""
    (tmp_path / "dbt_project.yml").write_text("{name: small, profile: small}")
    (tmp_path / "profiles.yml").write_text("small: {target: build, outputs: {build: {type: duckdb, path: ':memory:'}}}")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "one.sql").write_text("select 1 as one")
    (tmp_path / "models" / "many.sql").write_text(" union all ".join(["select one from {{ ref('one') }}"] * 30))
    with dbt_ready():
        kept = os.environ | {"DBT_TARGET_PATH": str(tmp_path / "kept"), "DBT_WRITE_JSON": "true"}
        keep_parsed(BUILD, kept, tmp_path, is_awaited=True)
        parse = call("parse", *BUILD, "--project-dir", str(tmp_path), "--target-path", "own", cwd=tmp_path)
        told = parse.communicate(timeout=60)[0]
    assert parse.returncode == 0, told
    assert (tmp_path / "kept" / "manifest.json").is_file() and (tmp_path / "own" / "manifest.json").is_file()


def test_nobody_keeps_a_project_where_no_dbt_is_kept_ready(project: Path) -> None:
    keep_parsed(BUILD, {}, project)  # and it does no harm


@pytest.mark.parametrize(("what", "status"), [("build", 0), ("fail", 2), ("die", 128 + signal.SIGKILL)])
def test_a_call_ends_as_dbt_ends(server: None, what: str, status: int) -> None:
    process = call(what)
    output = process.communicate()[0]
    assert process.returncode == status
    assert ("it failed" in output) == (what == "fail")


def test_an_interrupted_call_interrupts_dbt(server: None) -> None:
    process = call("wait")
    assert process.stdout is not None and process.stdout.readline().startswith("wait")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "interrupted\n"
    assert process.returncode == 1


def test_a_killed_call_leaves_no_copy_and_the_next_is_done(server: None) -> None:
    process = call("wait")
    copy = _copy_of(process)
    process.kill()
    process.communicate()
    assert _comes_true(lambda: not _lives(copy))
    assert call("build").wait() == 0


def test_a_killed_run_leaves_nothing(stand_in: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN, str(DBT_COMMAND)], stdout=subprocess.PIPE, text=True)
    copy = _copy_of(run)
    server = int(Path(f"/proc/{copy}/stat").read_text().split()[3])
    folder = Path(Path(f"/proc/{server}/cmdline").read_text().split("\0")[-2])
    assert _lives(server) and folder.is_dir()
    run.kill()
    run.communicate()
    assert _comes_true(lambda: not _lives(copy) and not _lives(server) and not folder.exists())


@pytest.mark.parametrize("address", [None, "/nowhere/dbt"])
def test_without_a_server_dbt_is_run_in_the_process_itself(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    if address:
        monkeypatch.setenv(SERVER_VARIABLE, address)
    process = call("fail")
    output = process.communicate()[0]
    assert f"imported {process.pid}" in output and "it failed" in output
    assert process.returncode == 2


def test_where_no_socket_fits_calls_are_done_without_a_server(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("a" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with dbt_kept_ready({}):
        process = call("build")
        assert f"imported {process.pid}" in process.communicate()[0]
    assert not list(long.iterdir())


def _copy_of(process: subprocess.Popen[str]) -> int:
    """The number of the copy that a call which waits has begun."""
    assert process.stdout is not None
    return int(process.stdout.readline().split()[-2])


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _comes_true(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()
