"""What holds a whole audience back, gate by gate."""

from __future__ import annotations

from datetime import date

from activation.audience import Accepted, PublishGates
from activation.publish_gates import Ledger, Source, Week, find, without_accepted

GATES = PublishGates()


def found(**changed):
    week = Week(people=changed.pop("people", 1000), approved=changed.pop("approved", {"news": 500}), **changed)
    return [(one.gate, one.audience) for one in find(week, GATES)]


def test_a_week_like_the_last_is_published():
    sources = [Source("orders", 1000, 990, 1.0, 1.5)]
    assert found(approved_before={"news": 480}, sources=sources, ledger=Ledger(100, 104, 10, 11)) == []


def test_the_first_week_has_nothing_to_be_compared_with():
    assert found(sources=[Source("orders", 1000, None, 40.0, None)]) == []


def test_a_jump_in_size_holds_that_audience_back_up_or_down():
    approved = {"news": 1600, "fallen": 100, "steady": 1100}
    before = {"news": 1000, "fallen": 300, "steady": 1000}
    assert found(approved=approved, approved_before=before) == [("size_jump", "news"), ("size_jump", "fallen")]


def test_a_small_audience_may_jump():
    assert found(approved={"news": 90}, approved_before={"news": 10}) == []


def test_nobody_known_is_an_empty_source():
    assert found(people=0) == [("empty_source", None)]


def test_an_entity_that_had_rows_and_has_none_is_an_empty_source():
    assert found(sources=[Source("contacts", 0, 5000)]) == [("empty_source", None)]


def test_a_source_that_flowed_and_dried_up_is_stale():
    assert found(sources=[Source("events", 10, 10, 20.0, 2.0)]) == [("stale_source", None)]


def test_a_source_that_was_old_before_is_as_it_was():
    assert found(sources=[Source("orders", 10, 10, 400.0, 393.0)]) == []


def test_a_file_that_broke_its_contract_holds_everything_back():
    assert found(sources=[Source("contacts", 10, 10, refused_files=1)]) == [("failing_contracts", None)]


def test_a_consent_ledger_that_lost_a_statement_holds_everything_back():
    assert found(ledger=Ledger(100, 99, 10, 10)) == [("consent_ledger_shrank", None)]
    assert found(ledger=Ledger(100, 100, 10, 9)) == [("consent_ledger_shrank", None)]


def test_how_much_of_the_ledger_may_be_gone_is_a_setting():
    week = Week(people=1, approved={}, ledger=Ledger(100, 96, 10, 10))
    assert find(week, PublishGates(consent_shrink=0.05)) == []


def test_an_overlap_that_must_not_be_holds_both_back():
    overlaps = {("a", "b"): 3, ("a", "c"): 0}
    assert found(approved={"a": 5, "b": 5, "c": 5}, overlaps=overlaps) == [("overlap", "a"), ("overlap", "b")]


def test_a_name_that_means_nothing_holds_its_audience_back():
    names = {"news": ["there is no persona 'Night owl' this week; did you mean 'Night owls'?"]}
    (one,) = find(Week(people=1, approved={}, unknown_names=names), GATES)
    assert (one.gate, one.audience) == ("unknown_name", "news")
    assert "did you mean" in one.words


def test_what_somebody_accepted_for_that_week_holds_nothing_back():
    week = Week(people=1000, approved={"a": 2000, "b": 2000}, approved_before={"a": 100, "b": 100})
    accepted = [Accepted(week=date(2026, 11, 11), gate="size_jump", audience="a", reason="the campaign began")]
    everything = find(week, GATES)

    assert [one.audience for one in without_accepted(everything, accepted, date(2026, 11, 9))] == ["b"]
    assert len(without_accepted(everything, accepted, date(2026, 11, 16))) == 2


def test_what_was_accepted_for_no_audience_by_name_is_accepted_for_all():
    week = Week(people=1000, approved={}, ledger=Ledger(5, 4, 1, 1))
    accepted = [Accepted(week=date(2026, 11, 9), gate="consent_ledger_shrank", reason="five years are over")]
    assert without_accepted(find(week, GATES), accepted, date(2026, 11, 9)) == []
