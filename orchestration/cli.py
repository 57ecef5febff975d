"""The command `personae`: thin over the job that Dagster schedules. The commands stand in `commands/`."""

from __future__ import annotations

import warnings

from orchestration.garbage import look_seldom, seldom_looked_for

look_seldom()  # most objects are made by what is imported from here on

import typer  # noqa: E402

from orchestration.commands import audiences, data, people, weekly  # noqa: E402
from orchestration.commands.shared import EXIT_RUN_FAILED, EXIT_WRONG_SETTING  # noqa: E402

__all__ = ["EXIT_RUN_FAILED", "EXIT_WRONG_SETTING", "app", "main"]

app = typer.Typer(
    help="Find out who your customers are, every week.", no_args_is_help=True, pretty_exceptions_enable=False
)
for _command in (
    weekly.init,
    weekly.demo,
    weekly.run,
    people.why,
    audiences.preview,
    audiences.sync,
    audiences.lookalike,
    audiences.suggest_phrases,
    weekly.rollback,
    data.fetch,
    weekly.ui,
    data.contracts,
    data.quarantine,
    people.erase,
    people.identity,
    people.unmerge,
):
    app.command(name=_command.__name__.replace("_", "-"))(_command)
# Options after the folder are dbt's.
app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(data.dbt)


def main() -> None:
    """The command `personae`."""
    warnings.simplefilter("ignore")
    with seldom_looked_for():
        app()


if __name__ == "__main__":
    main()
