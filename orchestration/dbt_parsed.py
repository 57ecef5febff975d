"""The project as dbt parsed it, kept by the server for the calls of a run: loading it takes each most of a second.

What belongs here: what is kept, and which calls it is good for. Where calls come from stands in `dbt_server.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.dbt_process import SERVER_VARIABLE, Call
from orchestration.dbt_templates import compile_ahead

# Call the server with this in place of a command of dbt, and with the options of the calls that follow.
KEEP_PARSED = "keep-parsed"
OPTIONS = ("--target", "--vars")
PROJECT_OPTION = "--project-dir"
WITHOUT_A_WORD = ("--log-level", "none", "--log-level-file", "none")
# dbt's static parser begins threads, which a copy would wait for without end when it parses; no parse is slower so.
WITHOUT_THREADS = ("--no-static-parser",)
# What `profiles.yml` reads.
PREFIX_OF_PROFILE = "PERSONAE_"
READ_BY_DBT = {".sql", ".py", ".yml", ".md"}


@dataclass
class ParsedProject:
    """What dbt last parsed in this process; nothing at first."""

    manifest: Any = None
    parsed_from: object = None

    def keep(self, call: Call) -> None:
        """Have dbt parse the project of a call in this process, and keep what comes of it.

        dbt looks itself at what has changed since it was parsed last. Where it fails nothing is kept: the call that
        needs it will parse, and say what is wrong.
        """
        from dbt.cli.main import dbtRunner  # noqa: PLC0415  (this process has imported it)

        parsed_from = _parsed_from(call)
        if parsed_from == self.parsed_from:
            return
        self.manifest = self.parsed_from = None
        with _as_called(call):
            outcome = dbtRunner().invoke([*WITHOUT_A_WORD, *WITHOUT_THREADS, "parse", *_options(call)])
        if outcome.success:
            compile_ahead(outcome.result)
            self.manifest, self.parsed_from = outcome.result, parsed_from

    def of(self, call: Call) -> Any | None:
        """dbt's manifest, if it was parsed from what this call would parse.

        A call that names the project itself is none of a run, and the folder it is called in may be anybody's.
        """
        if self.manifest is None or PROJECT_OPTION in call.arguments:
            return None
        return self.manifest if self.parsed_from == _parsed_from(call) else None


def _options(call: Call) -> list[str]:
    given = call.arguments
    return [part for name in OPTIONS if name in given for part in (name, given[given.index(name) + 1])]


def _parsed_from(call: Call) -> object:
    """All that a parse depends on: settings, profile, and the files as they are."""
    profile = sorted(
        (name, value)
        for name, value in call.environment.items()
        if name.startswith(PREFIX_OF_PROFILE) and name != SERVER_VARIABLE
    )
    folder = Path(call.environment.get("DBT_PROJECT_DIR", call.folder))
    files = sorted(
        (str(path), status.st_mtime_ns, status.st_size)
        for path in folder.rglob("*")
        if path.suffix in READ_BY_DBT and (status := path.stat())
    )
    return _options(call), profile, files


@contextmanager
def _as_called(call: Call) -> Iterator[None]:
    """The environment and the folder of a call, for the time of the block."""
    before = dict(os.environ)
    with chdir(call.folder):
        os.environ.clear()
        os.environ.update(call.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
