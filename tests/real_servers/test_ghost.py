"""Ghost for real: see `scenario` for what is held to what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.real_servers.scenario import Company, Person, Scenario, counted, deaths, weeks
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

    def change_fields(self, segment: str, address: str) -> None:
        self.site.change(address, "Theirs", segment, "persona: theirs", "persona: another")

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


def test_three_weeks_in_which_every_fifth_call_goes_wrong_end_as_desired(ghost, tmp_path):
    faulty = scenario(ghost, tmp_path, "faulty", 36)
    faulty.goes_wrong_every = 5
    weeks(faulty)
    counted["ghost scenarios"] += 1


def test_a_larger_table_whose_import_is_cut_off(ghost, steps, tmp_path):
    """The process dies while Ghost imports, and the next one begins while it still does."""
    larger = scenario(ghost, tmp_path, "larger", 180)
    larger.run(0, dies_at=25)
    larger.check(0)


def test_imports_leave_no_labels_behind(ghost, steps):
    mine = {name for name in ghost.label_names() if name.startswith("Import ")}
    # A process that died between an import and the end of its label may leave one.
    assert len(mine) <= PLANS + 1


@pytest.fixture
def company(ghost: GhostSite, tmp_path: Path) -> Company:
    return Company(Server("ghost", {"api_key": ghost.key, "site_url": ghost.url}, FIELDS), tmp_path)


def test_who_is_a_member_already_keeps_subscription_and_labels(ghost, company):
    ghost.sign_up("Mixed.Case@Example.com", "VIP", "persona: by hand")
    ghost.sign_up("left@example.com")
    ghost.unsubscribe("left@example.com")
    people = [
        Person("mixed.case@example.com", "Mixed", "Night Owls", consented=False),
        Person("left@example.com", "Left", "Night Owls"),
        Person("stays@example.com", "Stays"),
    ]
    assert company.sync("members", people).state == "done"
    held = ghost.held("members")
    assert held.keys() == {"mixed.case@example.com", "stays@example.com"}, "who unsubscribed before we came stays so"
    member = held["mixed.case@example.com"]
    assert member["labels"] == ["VIP", "members", "persona: Night Owls"] and member["newsletters"]
    assert company.sync("members", people[1:]).state == "done"
    assert ghost.held("members").keys() == {"stays@example.com"}
    assert ghost.held("VIP")["mixed.case@example.com"]["labels"] == ["VIP", "persona: Night Owls"]


def test_who_is_erased_is_erased_in_any_spelling(ghost, company):
    ghost.sign_up("Spelled.Oddly@Example.com")
    assert company.sync("odd", [Person("spelled.oddly@example.com"), Person("other@example.com")]).state == "done"
    assert company.sync("odd", [Person("other@example.com")], erased=["spelled.oddly@example.com"]).state == "done"
    assert not ghost.knows("spelled.oddly@example.com")


def test_staff_who_unsubscribe_many_at_once_win(ghost, company):
    people = [Person(f"many{number}@example.com") for number in range(3)]
    assert company.sync("many", people).state == "done"
    ghost.unsubscribe_in_bulk("many")
    assert company.sync("many", [*people, Person("one.more@example.com")]).state == "done"
    assert ghost.held("many").keys() == {"one.more@example.com"}


def test_a_wrong_key_ends_the_sync_and_is_not_told(ghost, tmp_path):
    key = f"{ghost.key.split(':')[0]}:{'ab' * 32}"
    wrong = Company(Server("ghost", {"api_key": key, "site_url": ghost.url}, FIELDS), tmp_path)
    ended = wrong.sync("wrong", [Person("nobody@example.com")])
    assert ended.state == "failed" and "INVALID_JWT" in ended.reason and "ab" * 8 not in ended.reason


def test_a_number_does_not_become_a_label_per_value(ghost, tmp_path):
    fields = (("score", "name", True, "number"),)
    ended = Company(Server("ghost", {"api_key": ghost.key, "site_url": ghost.url}, fields), tmp_path).sync(
        "numbers", [Person("nobody@example.com", "1")]
    )
    assert ended.state == "failed" and "a label per value" in ended.reason
