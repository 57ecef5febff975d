"""GNU Mailman for real: see `scenario` for what is held to what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from activation.sync.payload import key_of
from tests.real_servers.scenario import Company, Person, Scenario, counted, deaths, weeks
from tests.real_servers.servers import DOMAIN, MailmanServer
from tests.real_servers.weeks import Server, rejections

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

    def change_fields(self, segment: str, address: str) -> None:
        self.server.name(address, "Theirs")

    def knows(self, address: str) -> bool:
        return self.server.knows(address)

    def wrong_fields(self, person: Person, held: dict[str, Any]) -> list[str]:
        return [] if held["name"] == person.name else ["name"]


def server(mailman: MailmanServer) -> Server:
    settings = {"api_key": mailman.password, "base_url": mailman.url, "mail_domain": DOMAIN}
    return Server("mailman", settings, (("display_name", "name", True),))


def scenario(mailman: MailmanServer, folder: Path, tag: str, size: int) -> Scenario:
    return Scenario(server(mailman), MailmanMembership(mailman), folder, tag, size)


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


def test_three_weeks_in_which_every_fifth_call_goes_wrong_end_as_desired(mailman, tmp_path):
    faulty = scenario(mailman, tmp_path, "faulty", 36)
    faulty.goes_wrong_every = 5
    weeks(faulty)
    counted["mailman scenarios"] += 1


@pytest.fixture
def company(mailman: MailmanServer, tmp_path: Path) -> Company:
    return Company(server(mailman), tmp_path)


def test_bans_are_suppressions_and_patterns_refuse_rows(mailman, company):
    mailman.ban("banned@example.com")
    mailman.ban("^.*@spam\\.example$")
    people = [Person("banned@example.com"), Person("any@spam.example"), Person("good@example.com")]
    assert company.sync("bans", people).state == "done"
    assert mailman.held("bans").keys() == {"good@example.com"}
    assert rejections(company.folder) == {key_of("any@spam.example"): "refused"}


def test_who_left_stays_away_until_they_come_back_themselves(mailman, company):
    people = [Person("ada@example.com"), Person("bob@example.com")]
    assert company.sync("comings", people).state == "done"
    mailman.leave("comings", "ada@example.com")
    for _ in range(3):
        assert company.sync("comings", people).state == "done"
        assert mailman.held("comings").keys() == {"bob@example.com"}
    mailman.join("comings", "ada@example.com")
    assert company.sync("comings", people).state == "done"
    assert mailman.held("comings").keys() == {"ada@example.com", "bob@example.com"}


def test_who_left_by_our_hand_may_come_again(mailman, company):
    both = [Person("eve@example.com"), Person("fay@example.com")]
    for people in (both, both[:1], both):
        assert company.sync("goings", people).state == "done"
        assert mailman.held("goings").keys() == {one.address for one in people}


def test_the_name_of_an_account_is_told_where_an_address_has_none(mailman, company):
    mailman.make_account("kim@example.com", "Kim of the account")
    mailman.make_account("lee@example.com", "Lee of the account", joins="named")
    people = [Person("kim@example.com"), Person("lee@example.com", "Lee")]
    assert company.sync("named", people).state == "done"
    assert mailman.held("named").keys() == {"kim@example.com", "lee@example.com"}
    again = company.sync("named", people)
    assert (again.state, again.operations) == ("done", 0)


def test_an_erased_person_leaves_no_user_behind(mailman, company):
    before = mailman.people()
    assert company.sync("erasing", [Person("gil@example.com", "Gil"), Person("hal@example.com")]).state == "done"
    assert company.sync("erasing", [Person("hal@example.com")], erased=["gil@example.com"]).state == "done"
    assert not mailman.knows("gil@example.com") and mailman.people() == before + 1


def test_lists_of_ours_are_for_announcements_and_nobody_is_told(mailman, company):
    before = mailman.queued()
    for people in (["ivy@example.com", "joe@example.com"], ["joe@example.com"]):
        assert company.sync("quiet", [Person(one) for one in people]).state == "done"
    settings = mailman.settings("quiet")
    assert not settings["advertised"] and not settings["send_welcome_message"] and not settings["allow_list_posts"]
    assert settings["archive_policy"] == "never"
    assert mailman.queued() == before, "a message would be sent to somebody"


def test_a_field_that_mailman_has_not_ends_the_sync(mailman, tmp_path):
    told = server(mailman)
    wrong = Company(Server("mailman", told.settings, (("persona", "persona", True),)), tmp_path)
    ended = wrong.sync("fields", [Person("jim@example.com")])
    assert ended.state == "failed" and "no field persona" in ended.reason


def test_a_wrong_password_ends_the_sync_and_is_not_told(mailman, tmp_path):
    told = server(mailman)
    wrong = Company(Server("mailman", {**told.settings, "api_key": "canary-password"}, told.fields), tmp_path)
    ended = wrong.sync("wrong", [Person("nobody@example.com")])
    assert ended.state == "failed" and "401" in ended.reason and "canary" not in ended.reason
