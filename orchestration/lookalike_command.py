"""What `personae lookalike` does: a look-alike that no setting declares, found and written for people to use.

What belongs here: from the command's options to settings, and the files of one list. Finding stands in
`lookalike_week.py`, files for ad platforms in `lookalike_files.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import yaml

from activation.audiences import build_audience_files
from activation.publishing import publish_folder
from orchestration.lookalike_files import PlatformFiles, sealed_list, write_manifest, write_platform_files
from orchestration.lookalike_settings import LookalikeSettings, parse_lookalike
from orchestration.lookalike_week import Lookalike, make_lookalike
from orchestration.personas_file import DEFINED_PREFIX
from orchestration.settings_file import SettingsError, SettingsFile
from orchestration.weeks import Week
from orchestration.workspace import Workspace
from orchestration.workspace_settings import NAME

COMMAND = "personae lookalike"
AUDIENCE = "audience"


class NoSuchWeek(Exception):
    """The week was not run, or its tables have been replaced by those of another run."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        name: of the list.
        personas: ids or names, found or defined.
        seed: YAML, in the words of `lookalikes:`.
        size: people at most.
        grow: characteristics, with commas between them; None where likeness is learned.
        method: classifiers or distance.
        platforms: keys; none means all.
    """

    name: str
    personas: tuple[str, ...] = ()
    seed: str | None = None
    size: int = 1_000
    grow: str | None = None
    method: str = "classifiers"
    platforms: tuple[str, ...] = ()

    def settings(self, workspace: Workspace) -> LookalikeSettings:
        """The same as a declared look-alike would say it.

        Raises:
            SettingsError: an option that does not fit, with the nearest valid name.
        """
        where = Path(COMMAND)
        if not NAME.fullmatch(self.name):
            raise SettingsError(where, None, "--name must be lower case letters, digits and underscores")
        content: dict[str, Any] = {"seed": self._seed(workspace), "size": self.size, "method": self.method}
        if self.grow:
            content["grow"] = self.grow
        if self.platforms:
            content["platforms"] = list(self.platforms)
        file = SettingsFile.of_text(COMMAND, yaml.safe_dump(content, sort_keys=False))
        try:
            return parse_lookalike(file, workspace.selection_names())
        except SettingsError as error:
            raise SettingsError(where, None, error.message) from None

    def _seed(self, workspace: Workspace) -> dict[str, Any]:
        conditions: list[dict[str, Any]] = []
        if self.seed:
            given = SettingsFile.of_text(f"{COMMAND} --seed", self.seed).content
            conditions.append(given)
        defined = {each.casefold() for each in workspace.selection_names().defined_personas}
        kinds: dict[str, list[str]] = {"persona": [], "defined_persona": []}
        for persona in self.personas:
            key = persona.casefold().removeprefix(DEFINED_PREFIX)
            kinds["defined_persona" if key in defined else "persona"].append(persona)
        meant: list[dict[str, Any]] = [{kind: names} for kind, names in kinds.items() if names]
        conditions += meant if len(meant) < 2 else [{"any": meant}]
        if not conditions:
            raise SettingsError(Path(COMMAND), None, "say whose like are wanted: --persona or --seed")
        return conditions[0] if len(conditions) == 1 else {"all": conditions}


@dataclass(frozen=True)
class Written:
    """What the command found and wrote.

    Attributes:
        lookalike: the list, or why there is none.
        folder: where the files are; None where nothing was written.
        contactable: people in the file of the workspace's channel.
        files: files for ad platforms.
    """

    lookalike: Lookalike
    folder: Path | None = None
    contactable: int = 0
    files: PlatformFiles | None = None

    def in_words(self) -> list[str]:
        """Lines to print; nobody is named."""
        model = self.lookalike.model
        lines = [
            f"{model['people']:,} people like a seed of {model['seed_people']:,}, of {model['candidates']:,} who "
            f"may be listed, by {model['method']}.",
            f"A hidden person of the seed is ranked above somebody else with a chance of {model['auc']:.2f} "
            f"({model['auc_low']:.2f} to {model['auc_high']:.2f}).",
            "",
            "     people   of the hidden found       lift   precision",
        ]
        for row in self.lookalike.precision.iter_rows(named=True):
            recall = f"{row['recall']:.0%} ({row['recall_low']:.0%} to {row['recall_high']:.0%})"
            precision = f"{row['precision']:.1%} ({row['precision_low']:.1%} to {row['precision_high']:.1%})"
            lines.append(f"{row['people']:>11,}   {recall:<22} {row['lift']:>6.1f}   {precision}")
        lines += ["", *self.lookalike.notes]
        for file in (*self.files.seed, *self.files.listed) if self.files else ():
            why = ", ".join(f"{people:,} {reason}" for reason, people in file.left_out.items())
            told = "; ".join(each for each in (f"left out: {why}" if why else "", file.note) if each)
            lines.append(f"  {file.path.name:<44} {file.rows:>9,} rows{f' ({told})' if told else ''}")
        lines.append(f"  {self.folder}: {self.contactable:,} people to write to, the files above, and the model card")
        return lines


def find_and_write(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    catalogue: pl.DataFrame,
    week: Week | None,
    name: str,
    settings: LookalikeSettings,
) -> Written:
    """Find look-alikes in a week of the last run, and swap in the folder of their files.

    Args:
        connection: the warehouse; nothing is written to it.
        workspace: the workspace.
        catalogue: the features there are.
        week: one of the weeks of the last run; None means the latest.
        name: of the list.
        settings: what is asked for.

    Raises:
        NoSuchWeek: the last run was of other weeks.
    """
    week = _week_of_the_last_run(connection, week)
    found = make_lookalike(connection, workspace, catalogue, week, name, settings)
    if found.abstained_reason:
        return Written(found)
    told: dict[str, Any] = {}

    def build(folder: Path) -> None:
        audience = folder / AUDIENCE
        audience.mkdir()
        gate, listed = sealed_list(connection, workspace, week, found)
        written = build_audience_files(connection, [listed], audience, week.key)
        gate.close()
        told["contactable"] = sum(one.rows for one in written)
        told["files"] = write_platform_files(connection, workspace, week, found, folder)
        write_manifest(folder, week, [told["files"]])
        (folder / "model_card.json").write_text(
            json.dumps(json.loads(found.model["card"]), indent=2) + "\n", encoding="utf-8"
        )
        (folder / "model_card.md").write_text(found.model["markdown"], encoding="utf-8")

    root = workspace.lookalike_folder / name
    publish_folder(build, root, week.key, also_latest=False, keep_unlinked=0)
    return Written(found, root / week.key, told["contactable"], told["files"])


def _week_of_the_last_run(connection: duckdb.DuckDBPyConnection, wanted: Week | None) -> Week:
    rows = connection.execute("select as_of from raw.run_weeks where is_scored order by as_of").fetchall()
    weeks = [Week.ending(as_of) for (as_of,) in rows]
    if not weeks:
        raise NoSuchWeek("no week was run yet; `personae run DIR` first")
    if wanted is None:
        return weeks[-1]
    if wanted not in weeks:
        raise NoSuchWeek(
            f"the last run was of {', '.join(week.key for week in weeks)}; to look at the week {wanted.key}, run it "
            f"again: personae run DIR --week {wanted.key}"
        )
    return wanted
