"""GNU Mailman for real: see `scenario` for what is held to what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.real_servers.scenario import Person, Scenario, counted, deaths, weeks
from tests.real_servers.servers import DOMAIN, MailmanServer
from tests.real_servers.weeks import Server

PLANS = int(os.environ.get("REAL_SERVER_PLANS", "4"))


class MailmanMembership:
    def __init__(self, server: MailmanServer) -> None:
        self.server = server

    def held(self, segment: str) -> dict[str, dict[str, Any]]:
        return self.server.held(segment)

    def unsubscribe(self, segment: str, address: str) -> None:
        self.server.leave(segment, address)

    def put_there_by_hand(self, segment: str, address: str) -> None:
        self.server.join(segment, address)

    def knows(self, address: str) -> bool:
        return self.server.knows(address)

    def wrong_fields(self, person: Person, held: dict[str, Any]) -> list[str]:
        return [] if held["name"] == person.name else ["name"]


def scenario(server: MailmanServer, folder: Path, tag: str, size: int) -> Scenario:
    settings = {
        "api_key": server.password,
        "base_url": server.url,
        "mail_domain": DOMAIN,
    }
    told = Server("mailman", settings, (("display_name", "name", True),))
    return Scenario(told, MailmanMembership(server), folder, tag, size)


@pytest.fixture(scope="module")
def steps(mailman: MailmanServer, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Steps of each week in a rehearsal without deaths, which is a test as well."""
    found = weeks(scenario(mailman, tmp_path_factory.mktemp("rehearsal"), "calm", 36))
    counted["mailman steps"] = sum(found)
    return found


@pytest.mark.parametrize("plan", range(PLANS))
def test_three_weeks_with_a_death_in_each_end_as_desired(mailman, steps, plan, tmp_path):
    at = deaths(steps, plan, PLANS)
    print(f"dies at {at} of {steps}")
    weeks(scenario(mailman, tmp_path, f"plan{plan}", 36), at)
    counted["mailman scenarios"] += 1
