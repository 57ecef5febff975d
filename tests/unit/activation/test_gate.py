"""What the last gate promises, branch by branch; and that nobody without consent gets through, whatever the case."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta

import pytest
from gate_world import AS_OF, AS_OF_AT, LEGAL_BASIS, World, audience, counts, passed, sealed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activation.audience import FrequencyCap, MarketRule
from activation.experiments import Experiment
from activation.gate import remember_erased
from activation.gate_terms import REASONS, GateError, Rules
from activation.sync.gated import NotGated, require_gated
from activation.sync.protocol import Mode
from tests.people_by_name import number


@pytest.fixture
def world() -> World:
    return World()


def told_of(world, **options):
    return world.judged(audience("news"), **options)["news"]


def test_whoever_may_be_contacted_is_in_with_the_reason_why(world):
    world.person("p1").person("p2", decision_reason=LEGAL_BASIS)

    assert told_of(world) == {"p1": "in: granted", "p2": f"in: {LEGAL_BASIS}"}


@pytest.mark.parametrize("reason", ["withdrawn", "objected", "no_consent_recorded", "no_basis_in_market", "no_email"])
def test_whom_the_ledger_refuses_is_out_with_its_reason(world, reason):
    world.person("p1", is_allowed=False, decision_reason=reason)

    assert told_of(world) == {"p1": reason}


@pytest.mark.parametrize("undecided", [{"is_allowed": None}, {"is_refused_by_now": None}, {"decision_reason": None}])
def test_whoever_was_not_decided_on_in_every_respect_is_out(world, undecided):
    world.person("p1", **undecided)

    assert told_of(world) == {"p1": "not_decided"}


def test_a_decision_for_another_purpose_channel_or_week_is_none(world):
    world.person("p1", purpose="advertising").person("p2", channel="sms")
    world.person("p3", as_of=AS_OF - timedelta(days=7))
    gate = world.gate(personas={"p3": "persona-01"})
    gate.consider(audience("news"), "true")
    gate.judge()
    gate.tell()

    assert world.told()["news"] == {"p1": "not_decided", "p2": "not_decided", "p3": "not_decided"}


def test_somebody_decided_on_twice_lets_nobody_through(world):
    world.person("p1").person("p2").person("p1", is_allowed=False, decision_reason="withdrawn", contact="other")
    gate = world.gate()
    gate.consider(audience("news"), "true")

    with pytest.raises(GateError, match="nobody passes"):
        gate.judge()


def test_whoever_refused_since_the_week_is_out(world):
    assert told_of(world.person("p1", is_refused_by_now=True)) == {"p1": "refused_since"}


def test_without_an_identifier_nobody_is_in(world):
    world.person("p1", email=None).person("p2", email="  ").person("p3", contact_id=None)

    told = world.judged(audience("news"), audience("by_contact", identifier="contact_id"))

    assert told["news"] == {"p1": "no_identifier", "p2": "no_identifier", "p3": "in: granted"}
    assert told["by_contact"]["p3"] == "no_identifier"


def test_an_address_that_a_spreadsheet_would_run_is_in_no_file(world):
    world.person("p1", email="=cmd@example.com")

    told = world.judged(audience("file", is_file=True), audience("abroad"))

    assert (told["file"]["p1"], told["abroad"]["p1"]) == ("unsafe_identifier", "in: granted")


def test_an_address_at_which_somebody_else_may_not_be_contacted_is_nobodys(world):
    world.person("p1", email="shared@example.com")
    world.person("p2", email=" SHARED@example.com", is_allowed=False, decision_reason="withdrawn")

    assert told_of(world) == {"p1": "refused_elsewhere", "p2": "withdrawn"}


def test_that_holds_also_where_the_other_was_not_meant(world):
    world.person("p1", email="shared@example.com")
    world.person("p2", email="shared@example.com", is_refused_by_now=True)

    assert told_of(world, condition="p.person_id = person('p1')") == {"p1": "refused_elsewhere"}


def test_one_address_is_in_an_audience_once_with_the_first_by_id(world):
    world.people("p1", "p2", email="one@example.com").person("p3")

    told = world.judged(audience("news"), audience("others"), condition="p.person_id <> person('p0')")

    assert told["news"] == {"p1": "in: granted", "p2": "same_identifier", "p3": "in: granted"}
    assert told["others"] == told["news"]


def test_where_the_first_is_not_in_the_audience_the_next_is(world):
    world.people("p1", "p2", email="one@example.com")

    assert told_of(world, condition="p.person_id = person('p2')") == {"p2": "in: granted"}


def suppress(world, identifier, destination="newsletter"):
    world.gate()
    key = hashlib.sha256(identifier.encode()).hexdigest()
    world.connection.execute(
        "insert into activation.sync_suppressions values (?, ?, 'unsubscribed', null, ?)", [destination, key, AS_OF_AT]
    )


@pytest.mark.parametrize("identifier", ["p1@example.com"])
def test_whom_a_destination_suppresses_goes_to_none(world, identifier):
    world.people("p1", "p2")
    suppress(world, identifier)

    told = world.judged(audience("there", destination="newsletter"), audience("abroad"))

    assert told["there"] == told["abroad"] == {"p1": "suppressed", "p2": "in: granted"}


def test_a_contact_id_is_suppressed_as_it_is_spelled(world):
    world.person("p1", contact_id="C-One").person("p2")
    suppress(world, "C-One")

    assert world.judged(audience("app", identifier="contact_id"))["app"] == {"p1": "suppressed", "p2": "in: granted"}


@pytest.mark.parametrize("identifier", ["p1@example.com", "c-p1"])
def test_whoever_is_on_the_workspaces_own_list_is_out(world, identifier):
    world.people("p1", "p2")
    rules = Rules(suppressed_keys=[hashlib.sha256(identifier.encode()).hexdigest()])

    told = world.judged(audience("news"), audience("by_contact", identifier="contact_id"), rules=rules)
    assert told["news"] == told["by_contact"] == {"p1": "on_suppression_list", "p2": "in: granted"}


@pytest.mark.parametrize("identifier", [" P1@Example.com ", "c-p1"])
def test_whoever_was_erased_never_comes_back_and_no_identifier_is_kept(world, identifier):
    world.people("p1", "p2")
    world.gate()
    remember_erased(world.connection, [identifier], AS_OF_AT)

    assert told_of(world) == {"p1": "erased", "p2": "in: granted"}
    kept = world.connection.execute("select * from activation.sync_tombstones").fetchall()
    assert all("p1" not in str(value) for row in kept for value in row)


def test_erased_with_one_address_is_erased_with_every_other(world):
    world.person("p1", email="new@example.com")
    world.connection.execute(
        "insert into contacts values ('c-p1', 'old@example.com', null, 'DE', false, '2019-01-01', '2020-01-01')"
    )
    world.gate()
    remember_erased(world.connection, ["old@example.com"], AS_OF_AT)

    assert told_of(world) == {"p1": "erased"}


# Market rules.

UNSOLICITED = {"NL": MarketRule(rule="no_unsolicited_contact")}


def test_no_unsolicited_contact_in_a_market_means_consent_or_nothing(world):
    world.person("agreed", country="nl").person("customer", country="NL", decision_reason=LEGAL_BASIS)
    world.person("abroad", country="DE", decision_reason=LEGAL_BASIS)

    assert told_of(world, rules=Rules(UNSOLICITED)) == {
        "agreed": "in: granted",
        "customer": "market_rule",
        "abroad": f"in: {LEGAL_BASIS}",
    }


def test_no_contact_holds_for_those_who_consented_too(world):
    world.person("p1", country="NL")

    assert told_of(world, rules=Rules({"NL": MarketRule(rule="no_contact")})) == {"p1": "market_rule"}


@pytest.mark.parametrize("country", [None, "", "Nederland"])
def test_an_unknown_country_may_be_any_so_the_strictest_rule_holds(world, country):
    world.person("p1", country=country, decision_reason=LEGAL_BASIS)

    assert told_of(world, rules=Rules(UNSOLICITED)) == {"p1": "market_rule"}
    lenient = Rules(UNSOLICITED | {"unknown": MarketRule(rule="allowed")})
    assert told_of(world, rules=lenient) == {"p1": f"in: {LEGAL_BASIS}"}


def test_a_rule_holds_where_any_contact_of_the_person_says_that_country(world):
    world.person("p1", country="DE", decision_reason=LEGAL_BASIS)
    world.connection.execute("insert into identities values (person('p1'), 'contact', 'second', '2020-01-01', null)")
    world.connection.execute("insert into contacts values ('second', null, null, 'NL', false, '2020-01-01', null)")

    assert told_of(world, rules=Rules(UNSOLICITED)) == {"p1": "market_rule"}


def test_a_rule_for_one_channel_says_nothing_of_another(world):
    world.person("p1", country="NL", decision_reason=LEGAL_BASIS)
    rule = {"NL": MarketRule(rule="no_unsolicited_contact", channels=("phone",))}

    assert told_of(world, rules=Rules(rule)) == {"p1": f"in: {LEGAL_BASIS}"}


# Frequency caps.

TWO_A_WEEK = Rules(frequency_caps={"email": FrequencyCap(at_most=2, within_days=7)})


def test_whoever_got_as_many_messages_as_the_cap_allows_gets_no_more(world):
    world.people("p1", "p2")
    for day in (10, 12):
        world.message("c-p1", datetime(2026, 11, day)).message("c-p1", datetime(2026, 11, day, 1), "delivered")
    world.message("c-p2", datetime(2026, 11, 12))

    assert told_of(world, rules=TWO_A_WEEK) == {"p1": "frequency_cap", "p2": "in: granted"}


def test_older_messages_later_ones_and_other_channels_do_not_count(world):
    world.person("p1")
    for at in (datetime(2026, 11, 8), datetime(2026, 11, 16)):
        world.message("c-p1", at).message("c-p1", at)
    for _ in range(3):
        world.message("c-p1", datetime(2026, 11, 12), channel="sms")
        world.message("c-p1", datetime(2026, 11, 12), "opened")

    assert told_of(world, rules=TWO_A_WEEK) == {"p1": "in: granted"}


def published_before(world, people, audiences, as_of):
    world.gate()
    for name in audiences:
        world.connection.execute(
            "insert into activation.audience_weeks select ?, ?, 0, null, 'email_marketing', 'email', 'files', "
            "'mirror', null, 'published', null, ?, 1, 1, '{}', '{}', '[]'",
            [as_of, name, as_of],
        )
        for person_id in people:
            world.connection.execute(
                "insert into activation.audiences values (?, ?, ?, null, true, 'granted', null)",
                [as_of, name, number(person_id)],
            )


def test_what_we_sent_counts_also_where_no_tool_reports_it(world):
    world.people("p1", "p2")
    published_before(world, ["p1"], ["one", "two"], AS_OF - timedelta(days=7))

    assert told_of(world, rules=TWO_A_WEEK) == {"p1": "frequency_cap", "p2": "in: granted"}


def test_what_we_sent_and_what_the_tool_reports_of_it_is_not_counted_twice(world):
    world.person("p1").message("c-p1", datetime(2026, 11, 10))
    published_before(world, ["p1"], ["one"], AS_OF - timedelta(days=7))

    assert told_of(world, rules=TWO_A_WEEK) == {"p1": "in: granted"}


def test_within_a_week_the_first_audiences_of_the_file_have_the_room_there_is(world):
    world.person("p1").person("p2").message("c-p2", datetime(2026, 11, 12))

    told = world.judged(audience("first"), audience("second"), audience("third"), rules=TWO_A_WEEK)

    assert [told[one]["p1"] for one in ("first", "second", "third")] == ["in: granted", "in: granted", "frequency_cap"]
    assert [told[one]["p2"] for one in ("first", "second", "third")] == [
        "in: granted",
        "frequency_cap",
        "frequency_cap",
    ]


def test_an_audience_that_stands_sends_nothing_anew_so_no_cap_counts(world):
    world.person("p1")
    for day in (10, 12):
        world.message("c-p1", datetime(2026, 11, day))

    assert world.judged(audience("old", is_standing=True), rules=TWO_A_WEEK)["old"] == {"p1": "in: granted"}


# Size, counts, and what leaves.


def test_an_audience_below_its_minimum_size_is_nobody(world):
    world.people("p1", "p2").person("p3", is_allowed=False, decision_reason="withdrawn")

    told = world.judged(audience("small", minimum_size=3), audience("enough", minimum_size=2))

    assert told["small"] == {"p1": "audience_too_small", "p2": "audience_too_small", "p3": "withdrawn"}
    assert told["enough"]["p1"] == "in: granted"


def test_everybody_considered_is_counted_once_and_told_of_once(world):
    world.people("p1", "p2", "p3").person("p4", is_allowed=False, decision_reason="objected")
    gate = world.gate()
    gate.consider(audience("news"), "p.person_id <> person('p3')")

    assert counts(gate.judge()["news"]) == (3, 2, {"objected": 1})
    gate.tell()
    assert set(world.told()["news"]) == {"p1", "p2", "p4"}


def test_telling_again_changes_nothing(world):
    world.people("p1", "p2")

    assert world.judged(audience("news")) == world.judged(audience("news"))


def test_only_those_who_passed_are_in_what_is_sealed(world):
    world.people("p1", "p2").person("p3", is_allowed=False, decision_reason="withdrawn")
    gate = world.gate()
    gate.consider(audience("news", destination="newsletter"), "true")
    gate.judge()
    gate.tell()

    audience_sealed = sealed(world, gate)
    assert require_gated(audience_sealed, "newsletter") is audience_sealed
    assert passed(world, gate) == ["p1", "p2"]
    assert audience_sealed.decision.refused == {"withdrawn": 1}


def test_what_stands_is_sealed_for_removing_only(world):
    world.person("p1")
    gate = world.gate()
    gate.consider(audience("news", is_standing=True), "true")
    gate.judge()

    assert sealed(world, gate).mode is Mode.REMOVE_ONLY


def test_values_that_lose_or_double_somebody_seal_nothing(world):
    world.people("p1", "p2")
    gate = world.gate()
    gate.consider(audience("news"), "true")
    gate.judge()
    mapping = sealed(world, gate).mapping

    for values in (
        "select identifier, person_id from gate_approved as a where person_id = person('p1')",
        "select identifier, person_id from gate_approved as a, range(2)",
        "select cast(null as varchar) as identifier, person_id from gate_approved as a",
    ):
        with pytest.raises((GateError, NotGated)):
            gate.seal("news", values, {}, mapping, Mode.MIRROR)


def test_every_reason_is_in_words():
    assert all(words and words[0].islower() for words in REASONS.values())


def test_closing_leaves_no_address_in_a_temporary_table(world):
    world.person("p1")
    gate = world.gate()
    gate.consider(audience("news"), "true")
    gate.judge()
    sealed(world, gate)
    gate.close()

    left = world.connection.execute("select table_name from duckdb_tables() where temporary").fetchall()
    assert left == []


# Nobody without consent, whatever the case.

PERSON = st.fixed_dictionaries(
    {
        "email": st.sampled_from(["a@x.org", "A@x.org ", "b@x.org", "c@x.org", "=d@x.org", "", None]),
        "is_allowed": st.sampled_from([True, True, False, None]),
        "is_refused_by_now": st.sampled_from([False, False, True, None]),
        "decision_reason": st.sampled_from(["granted", LEGAL_BASIS, "withdrawn", None]),
        "country": st.sampled_from(["DE", "NL", None]),
        "purpose": st.sampled_from(["email_marketing", "email_marketing", "advertising"]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    people=st.lists(PERSON, min_size=1, max_size=8),
    audiences=st.lists(
        st.fixed_dictionaries(
            {
                "is_file": st.booleans(),
                "minimum_size": st.integers(1, 3),
                "is_standing": st.booleans(),
                "holdout": st.sampled_from([None, 0.3]),
            }
        ),
        min_size=1,
        max_size=3,
    ),
    cap=st.sampled_from([None, 1]),
    rules=st.sampled_from([{}, UNSOLICITED]),
    erased=st.sampled_from([[], ["a@x.org"]]),
    suppressed=st.sampled_from([[], ["b@x.org"]]),
)
def test_no_consentless_person_ever_passes(people, audiences, cap, rules, erased, suppressed):
    world = World()
    for place, one in enumerate(people):
        world.person(f"p{place}", **one)
    world.gate()
    if erased:
        remember_erased(world.connection, erased, AS_OF_AT)
    for one in suppressed:
        suppress(world, one)
    gate = world.gate(
        Rules(rules, {"email": FrequencyCap(at_most=cap, within_days=7)} if cap else {}),
    )
    for place, one in enumerate(audiences):
        experiment = Experiment(f"e{place}", one["holdout"], "group") if one["holdout"] else None
        settings_ = {key: value for key, value in one.items() if key != "holdout"}
        gate.consider(audience(f"a{place}", experiment=experiment, **settings_), "true")
    decisions = gate.judge()
    gate.tell()

    def address(one):
        return (one["email"] or "").strip().lower()

    # A second, plain reading of who may be contacted at all.
    may = {
        f"p{place}"
        for place, one in enumerate(people)
        if one["purpose"] == "email_marketing"
        and one["is_allowed"] is True
        and one["is_refused_by_now"] is False
        and one["decision_reason"] is not None
        and address(one)
        and address(one) not in erased
        and address(one) not in suppressed
        and not (rules and one["country"] in ("NL", None) and one["decision_reason"] != "granted")
    }
    for place in range(len(audiences)):
        key = f"a{place}"
        approved = set(passed(world, gate, key))
        assert approved <= may
        told = world.told().get(key, {})
        assert {one for one, reason in told.items() if reason.startswith("in: ")} == approved
        assert set(told) == {f"p{place}" for place in range(len(people))}
        assert decisions[key].considered == len(people)
        addresses = [address(people[int(one[1:])]) for one in approved]
        assert len(addresses) == len(set(addresses))
        refused_addresses = {
            address(one)
            for one in people
            if one["purpose"] == "email_marketing" and one["is_allowed"] is not True and address(one)
        }
        assert not refused_addresses & set(addresses)
    if cap:
        fresh = [f"a{place}" for place, one in enumerate(audiences) if not one["is_standing"]]
        for person in may:
            assert sum(world.told().get(key, {}).get(person, "").startswith("in: ") for key in fresh) <= cap


def test_a_week_of_which_nothing_was_decided_lets_nobody_through(world):
    world.person("p1")
    gate = world.gate(as_of=date(2026, 11, 23))
    gate.know("select person('p1') as person_id, null as persona_id")
    gate.consider(audience("news"), "true")

    assert counts(gate.judge()["news"]) == (1, 0, {"not_decided": 1})
