"""The command `personae-dbt`: dbt, as a process of its own that a run starts and waits for."""

from __future__ import annotations

from orchestration.garbage import seldom_looked_for


def main() -> None:
    """What `dbt` does, with the same arguments."""
    with seldom_looked_for():
        from dbt.cli.main import cli  # noqa: PLC0415  (most of the objects are made here)

        cli()
