"""What the documentation points to is there: pages and headings, commands and options, targets of make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from orchestration.cli import app

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    page for page in ROOT.rglob("*.md") if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
FENCED = re.compile(r"```.*?```", re.DOTALL)
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PASSED_ON = "dbt"  # its options are another program's


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in found)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def links(page: Path) -> Iterator[str]:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    yield from (link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), link
        assert not anchor or anchor in headings(there), link


def test_every_command_and_option_that_is_told_exists() -> None:
    told = [
        (page.name, command, option)
        for page in PAGES
        for command, rest in re.findall(r"personae ([a-z][a-z-]*)\b([^`|#;\n]*)", page.read_text(encoding="utf-8"))
        if command in COMMANDS and command != PASSED_ON
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest)
    ]
    assert len(told) > 20
    known = {name: {option for part in one.params for option in part.opts} for name, one in COMMANDS.items()}
    assert [each for each in told if each[2] not in known[each[1]]] == []


def test_every_command_is_told_of() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in COMMANDS if f"personae {name}" not in text] == []


def test_every_target_of_make_that_is_told_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    told = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert told <= targets
