"""`python -m orchestration` is `personae`."""

from orchestration.cli import main

main()
