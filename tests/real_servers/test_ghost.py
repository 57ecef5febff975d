"""Ghost for real: see `scenario` for what is held to what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.real_servers.scenario import Person, Scenario, counted, deaths, weeks
from tests.real_servers.servers import GhostSite
from tests.real_servers.weeks import Server

PLANS = int(os.environ.get("REAL_SERVER_PLANS", "4"))
FIELDS = (("name", "name", True), ("persona", "persona", True))


class GhostMembership:
    def __init__(self, site: GhostSite) -> None:
        self.site = site

    def held(self, segment: str) -> dict[str, dict[str, Any]]:
        return self.site.held(segment)

    def unsubscribe(self, segment: str, address: str) -> None:
        self.site.unsubscribe(address)

    def put_there_by_hand(self, segment: str, address: str) -> None:
        self.site.sign_up(address, segment)

    def knows(self, address: str) -> bool:
        return self.site.knows(address)

    def wrong_fields(self, person: Person, held: dict[str, Any]) -> list[str]:
        personas = [label for label in held["labels"] if label.startswith("persona: ")]
        wanted = [f"persona: {person.persona}"] if person.persona else []
        wrong = [] if held["name"] == person.name else ["name"]
        wrong += [] if personas == wanted else ["persona"]
        wrong += [] if len(set(held["labels"])) == len(held["labels"]) else ["a label twice"]
        return wrong + ([] if held["newsletters"] else ["not subscribed"])


def scenario(site: GhostSite, folder: Path, tag: str, size: int) -> Scenario:
    server = Server("ghost", {"api_key": site.key, "site_url": site.url}, FIELDS)
    return Scenario(server, GhostMembership(site), folder, tag, size)


@pytest.fixture(scope="module")
def steps(ghost: GhostSite, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Steps of each week in a rehearsal without deaths, which is a test as well."""
    found = weeks(scenario(ghost, tmp_path_factory.mktemp("rehearsal"), "calm", 36))
    counted["ghost steps"] = sum(found)
    return found


@pytest.mark.parametrize("plan", range(PLANS))
def test_three_weeks_with_a_death_in_each_end_as_desired(ghost, steps, plan, tmp_path):
    at = deaths(steps, plan, PLANS)
    print(f"dies at {at} of {steps}")
    weeks(scenario(ghost, tmp_path, f"plan{plan}", 36), at)
    counted["ghost scenarios"] += 1


def test_imports_leave_no_labels_behind(ghost, steps):
    mine = {name for name in ghost.label_names() if name.startswith("Import ")}
    # A process that died between an import and the end of its label may leave one.
    assert len(mine) <= PLANS
