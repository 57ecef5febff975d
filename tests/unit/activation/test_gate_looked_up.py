"""Who may be looked up by an ad platform: nobody by an address or a number of somebody who refused."""

from __future__ import annotations

import hashlib

import pytest
from gate_world import ads_world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activation.gate_terms import Rules, Terms

ADS = Terms("people", "advertising", "ads", identifier="contact_id")
REFUSED = {"is_allowed": False, "decision_reason": "objected"}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def told(world, **rules):
    return world.judged(ADS, rules=Rules(**rules))["people"]


def test_who_allowed_it_passes_by_address_or_by_number():
    world = ads_world().person("ann").person("bob", email=None, phone="+49 30 23125000")
    assert told(world) == {"ann": "in: granted", "bob": "in: granted"}


@pytest.mark.parametrize("number", [None, "", "112", "no number"])
def test_who_has_neither_stays(number):
    assert told(ads_world().person("ann", email=None, phone=number)) == {"ann": "no_identifier"}


@pytest.mark.parametrize(
    ("theirs", "refused"),
    [
        ({"email": "shared@example.com"}, {"email": " SHARED@example.com"}),
        ({"email": "shared@example.com"}, {"email": sha256("shared@example.com")}),
        ({"email": sha256("shared@example.com")}, {"email": "Shared@Example.com"}),
        ({"email": "jane.doe@gmail.com"}, {"email": "janedoe+x@googlemail.com"}),
        ({"email": "jane.doe@gmail.com"}, {"email": sha256("janedoe@gmail.com")}),
        ({"phone": "+49 30 23125000"}, {"phone": "030/23125000"}),
        ({"phone": "030 23125000"}, {"phone": "0049 (0)30 23125000"}),
        ({"phone": "+493023125000"}, {"phone": sha256("+493023125000")}),
        ({"phone": sha256("493023125000")}, {"phone": "+49 30 23125000"}),
    ],
)
def test_nobody_is_looked_up_by_what_belongs_to_somebody_who_refused(theirs, refused):
    assert told(ads_world().person("ann", **theirs).person("bob", **(REFUSED | refused)))["ann"] == "refused_elsewhere"
    assert told(ads_world().person("ann", **theirs).person("bob", **refused))["ann"] == "in: granted"


def test_former_and_deleted_contacts_of_who_refused_count_and_so_do_people_nobody_decided_on():
    world = ads_world().person("ann", phone="+493023125000").person("bob").person("cem", phone="+493011111111")
    world.person("dee", **REFUSED).person("eve", **REFUSED)
    world.connection.execute(
        "update contacts set phone = '+493023125000', is_deleted = true where contact_id = 'c-dee'"
    )
    world.connection.execute(
        "update contacts set email = 'bob@example.com', valid_to = timestamp '2021-01-01' where contact_id = 'c-eve'"
    )
    world.connection.execute(
        "insert into contacts by name select 'c-fay' as contact_id, '0049 30 11111111' as phone, 'DE' as country, "
        "false as is_deleted, timestamp '2020-01-01' as valid_from"
    )
    world.connection.execute(
        "insert into identities by name select person('fay') as person_id, 'contact' as identity_kind, "
        "'c-fay' as identity_id, "
        "timestamp '2020-01-01' as valid_from"
    )
    assert {one: told(world)[one] for one in ("ann", "bob", "cem")} == dict.fromkeys(
        ("ann", "bob", "cem"), "refused_elsewhere"
    )


def test_an_address_that_a_newsletter_tool_suppresses_is_not_looked_up_either():
    world = ads_world().person("ann").person("bob")
    world.gate().close()
    world.connection.execute(
        "insert into activation.sync_suppressions values ('newsletter', sha256('ann@example.com'), 'complained', null, "
        "timestamp '2026-01-01')"
    )
    assert told(world) == {"ann": "suppressed", "bob": "in: granted"}


def test_numbers_do_not_count_where_people_are_written_to():
    world = ads_world().person("ann", phone="+493023125000").person("bob", phone="+493023125000", **REFUSED)
    mails = Terms("mails", "advertising", "email")
    world.connection.execute("update contactability set channel = 'email'")
    assert world.judged(mails)["mails"]["ann"] == "in: granted"


EMAILS = {
    None: None,
    "": None,
    "a@x.org": "a@x.org",
    " A@X.org ": "a@x.org",
    sha256("a@x.org"): "a@x.org",
    "b@x.org": "b@x.org",
    "jane.doe@gmail.com": "janedoe@gmail.com",
    "JaneDoe+x@googlemail.com": "janedoe@gmail.com",
    sha256("janedoe@gmail.com"): "janedoe@gmail.com",
}
NUMBERS = {
    None: None,
    "112": None,
    "+49 30 23125000": "23125000",
    "030/23125000": "23125000",
    sha256("+493023125000"): "23125000",
    "+49 30 23125001": "23125001",
}
PERSON = st.fixed_dictionaries(
    {
        "email": st.sampled_from(list(EMAILS)),
        "phone": st.sampled_from(list(NUMBERS)),
        "is_allowed": st.sampled_from([True, True, True, False, None]),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(people=st.lists(PERSON, min_size=1, max_size=6))
def test_nobody_passes_by_what_belongs_to_somebody_who_did_not_allow_it(people):
    """Beside a plain reading of what is the same address and number. A number dialled within the country and a hash of
    it with the country's code are the one pair that cannot be compared."""
    world = ads_world()
    for place, one in enumerate(people):
        world.person(f"p{place}", **one)
    passed = {int(person[1:]) for person, reason in told(world).items() if reason.startswith("in: ")}

    def owned(one):
        return {EMAILS[one["email"]], NUMBERS[one["phone"]]} - {None}

    allowed = [place for place, one in enumerate(people) if one["is_allowed"]]
    barred = {what for place, one in enumerate(people) if place not in allowed for what in owned(one)}
    expected = {place for place in allowed if owned(people[place]) and not owned(people[place]) & barred}
    dialled = {one["phone"] for one in people} >= {"030/23125000", sha256("+493023125000")}
    assert passed == expected or (dialled and expected < passed)
