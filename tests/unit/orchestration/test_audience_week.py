"""A week of audiences from the declaration to the files: who is meant, what is published, what stands, and why."""

from __future__ import annotations

import csv
import json
from datetime import datetime

import polars as pl
import pytest
from audience_company import FIRST, AudienceCompany

from activation.gate import remember_erased
from activation.gate_terms import GateError
from activation.people import person_name
from activation.sync.protocol import Mode
from activation.sync.rates import SystemClock
from activation.sync.state import SyncState
from orchestration.audience_week import told_of
from orchestration.preview import NothingToPreview, preview
from orchestration.why import NotFound, Question, answer, explain
from tests.people_by_name import number

SECOND, THIRD = FIRST.back(-1), FIRST.back(-2)
WINBACK = """
audiences:
  winback:
    description: Whoever may soon be gone
    people: {persona: Night owls, propensity: {churn: high}}
    purpose: email_marketing
    attributes: {risk: propensity.churn, first_name: contact.first_name}
    content:
      subject: {template: "Hello {{ first_name }}, one of our {{ persona_name }}",
                defaults: {first_name: you, persona_name: friends}}
"""


@pytest.fixture
def company(tmp_path):
    return AudienceCompany(tmp_path)


def rows(company, week, name):
    path = company.open().activation_folder / week.key / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def manifest(company, week):
    return json.loads((company.open().activation_folder / week.key / "manifest.json").read_text(encoding="utf-8"))


def why(company, person, week=None):
    catalogue = pl.DataFrame({"feature": ["orders_91d"], "label": ["orders"]})
    return "\n".join(explain(company.connection, company.open(), catalogue, Question(person, week)))


def of_contact(company, person, week=None):
    """The part of `personae why` that is about contact, of somebody of whom no model is kept here."""
    from orchestration.why_audiences import audience_lines

    return "\n".join(audience_lines(company.connection, company.open(), week or FIRST, number(person)))


def test_a_workspace_that_declares_nothing_has_a_file_per_persona(company):
    company.runs(FIRST)

    assert {one["file"] for one in manifest(company, FIRST)["files"]} == {"persona-01.csv", "persona-02.csv"}
    assert manifest(company, FIRST)["columns"][:3] == ["as_of", "person_id", "persona_id"]
    assert rows(company, FIRST, "persona-01")[0] == {
        "as_of": "2026-01-12",
        "person_id": person_name(number("p000")),
        "persona_id": "persona-01",
        "persona_name": "Night owls",
        "membership_strength": "0.500000",
        "contact_id": "c-p000",
        "email": "p000@example.com",
        "channel": "email",
        "purpose": "email_marketing",
        "decision_reason": "granted",
        "consent_recorded_at": "2025-06-01T00:00:00Z",
        "churn": "0.900000",
    }
    assert len(company.members(FIRST, "persona-02")) == 20


def test_an_audience_holds_whom_its_expression_means_with_what_it_maps_and_no_more(company):
    company.declares(WINBACK).runs(FIRST)

    assert company.members(FIRST, "winback") == [f"p{place:03}" for place in range(0, 40, 4)]
    assert rows(company, FIRST, "winback")[1] == {
        "as_of": "2026-01-12",
        "identifier": "p004@example.com",
        "persona_id": "persona-01",
        "persona_name": "Night owls",
        "risk": "high",
        "first_name": "Namep004",
        "subject": "Hello Namep004, one of our Night owls",
    }


def test_by_default_nothing_personal_goes_out_and_the_plan_lists_what_does(company):
    company.declares(
        WINBACK.replace("attributes", "#")
        .replace("content:", "#")
        .replace("subject:", "# ")
        .replace("                defaults", "#")
    ).runs(FIRST)
    assert list(rows(company, FIRST, "winback")[0]) == ["as_of", "identifier", "persona_id", "persona_name"]
    assert manifest(company, FIRST)["files"][0]["personal_attributes"] == []

    company.declares(WINBACK).judges(FIRST)
    assert manifest(company, FIRST)["files"][0]["personal_attributes"] == ["first_name (contact.first_name)"]
    (told,) = told_of(company.connection, FIRST)
    assert json.loads(told["personal_fields"]) == ["first_name (contact.first_name)"]


def test_telling_a_week_again_gives_the_same_rows_and_bytes(company):
    company.declares(WINBACK + "    holdout: 0.3\n")
    first = company.runs(FIRST)
    folder = (company.open().activation_folder / FIRST.key).resolve()
    told = company.told(FIRST, "winback")
    again = company.judges(FIRST)

    assert (company.open().activation_folder / FIRST.key).resolve() == folder
    assert company.told(FIRST, "winback") == told
    assert again.states["winback"].decision == first.states["winback"].decision


def test_the_holdout_is_in_no_file_and_the_same_people_every_week(company):
    company.declares(WINBACK + "    holdout: 0.3\n").runs(FIRST)
    company.runs(SECOND)
    kept = [{p for p, told in company.told(week, "winback").items() if told == "holdout"} for week in (FIRST, SECOND)]

    assert kept[0] == kept[1]
    assert len(kept[0]) in (2, 3, 4)
    for week in (FIRST, SECOND):
        assert not kept[0] & {row["identifier"].partition("@")[0] for row in rows(company, week, "winback")}


def test_a_week_that_the_last_run_was_not_for_lets_nobody_out(company):
    company.declares(WINBACK).runs(FIRST)
    company.computes(SECOND)
    with pytest.raises(GateError, match="run that week again"):
        company.judges(FIRST)


# Publish gates.


def shrink_ledger(company):
    company.execute("delete from intermediate.int_consent_statements where contact_id = 'c-p039'")


def jump(company):
    company.execute("update marts.person_propensities set band = 'high' where as_of = ?", SECOND.as_of)


def dry_up(company):
    company.delivers("orders", rows=100, newest=datetime(2026, 1, 2))


def break_contract(company):
    company.execute("insert into quarantine.refused_files values ('f', 's', 'orders', 9, 0, 9, 0, '{}')")


def empty_source(company):
    company.execute("update raw.ingested_files set rows_loaded = 0")


@pytest.mark.parametrize(
    ("accident", "gate"),
    [
        (shrink_ledger, "consent_ledger_shrank"),
        (jump, "size_jump"),
        (dry_up, "stale_source"),
        (break_contract, "failing_contracts"),
        (empty_source, "empty_source"),
    ],
)
def test_an_accident_is_not_published_and_last_weeks_audience_stands(company, accident, gate):
    company.declares("publish_gates: {size_jump: 0.5, size_jump_floor: 5}\n" + WINBACK.lstrip()).runs(FIRST)
    before = rows(company, FIRST, "winback")
    company.computes(SECOND)
    accident(company)
    judged = company.judges(SECOND)

    state = judged.states["winback"]
    assert (state.state, state.values_as_of) == ("blocked", FIRST.as_of)
    assert state.why[0].startswith(f"{gate}: ")
    assert rows(company, SECOND, "winback") == before
    (told,) = told_of(company.connection, SECOND)
    assert told["state"] == "blocked"
    assert told["state_reason"].startswith(gate)
    assert manifest(company, SECOND)["files"][0]["why"] == state.why


def test_of_what_stands_whoever_refused_since_leaves_all_the_same(company):
    company.declares("publish_gates: {size_jump: 0.5, size_jump_floor: 5}\n" + WINBACK.lstrip()).runs(FIRST)
    company.computes(SECOND)
    jump(company)
    company.execute(
        "update intermediate.int_contactability set is_refused_by_now = true where person_id = person('p004')"
    )
    remember_erased(company.connection, ["p008@example.com"], datetime(2026, 1, 19))
    company.judges(SECOND)

    told = company.told(SECOND, "winback")
    assert (told["p004"], told["p008"], told["p000"]) == ("refused_since", "erased", "in")
    assert len(rows(company, SECOND, "winback")) == 8


def test_what_somebody_accepted_is_published(company):
    company.declares("publish_gates: {size_jump: 0.5, size_jump_floor: 5}\n" + WINBACK.lstrip()).runs(FIRST)
    company.computes(SECOND)
    jump(company)
    accepted = f"accepted: [{{week: {SECOND.key}, gate: size_jump, audience: winback, reason: the campaign began}}]\n"
    company.declares("publish_gates: {size_jump: 0.5, size_jump_floor: 5}\n" + accepted + WINBACK.lstrip())

    assert company.judges(SECOND).states["winback"].state == "published"
    assert len(rows(company, SECOND, "winback")) == 20


def test_a_ledger_that_shrank_stays_a_reason_until_somebody_accepts_it(company):
    company.declares(WINBACK).runs(FIRST)
    shrink_ledger(company)
    assert company.runs(SECOND).states["winback"].state == "blocked"
    assert company.runs(THIRD).states["winback"].state == "blocked"
    accepted = f"accepted: [{{week: {THIRD.key}, gate: consent_ledger_shrank, reason: five years are over}}]\n"
    company.declares(accepted + WINBACK.lstrip())
    assert company.judges(THIRD).states["winback"].state == "published"


def test_two_audiences_that_must_not_share_anybody_are_both_held_back_and_the_third_is_not(company):
    others = "".join(
        f"  {name}:\n    people: {people}\n    purpose: email_marketing\n"
        for name, people in (("owls", "{persona: Night owls}"), ("birds", "{persona: Early birds}"))
    )
    company.declares("never_together: [[winback, owls, birds]]\n" + WINBACK.lstrip() + others)
    states = {key: state.state for key, state in company.runs(FIRST).states.items()}

    assert states == {"winback": "blocked", "owls": "blocked", "birds": "published"}
    assert company.members(FIRST, "owls") == []
    assert not (company.open().activation_folder / FIRST.key / "owls.csv").exists()


def test_a_persona_that_is_not_there_holds_its_audience_back_with_the_nearest_name(company):
    judged = company.declares(WINBACK.replace("Night owls,", "Night owl,")).runs(FIRST)

    (sentence,) = judged.states["winback"].why
    assert sentence == ("unknown_name: there is no persona 'Night owl' this week; did you mean 'Night owls'?")


# Schedule.


def test_every_other_week_what_was_published_stands(company):
    company.declares(WINBACK + "    schedule: {every_weeks: 2, starting: 2026-01-05}\n").runs(FIRST)
    company.computes(SECOND)
    jump(company)
    company.execute(
        "update intermediate.int_contactability set is_allowed = false, decision_reason = 'withdrawn' "
        "where as_of = ? and person_id = person('p004')",
        SECOND.as_of,
    )
    judged = company.judges(SECOND)

    assert judged.states["winback"].state == "not_due"
    assert company.told(SECOND, "winback")["p004"] == "withdrawn"
    assert len(company.members(SECOND, "winback")) == 9
    assert company.runs(THIRD).states["winback"].state == "published"


def test_before_its_first_week_an_audience_is_nobody(company):
    company.declares(WINBACK + "    schedule: {starting: 2026-02-02}\n").runs(FIRST)

    assert company.told(FIRST, "winback") == {}
    assert manifest(company, FIRST)["files"] == []


# Destinations.


def test_a_destination_gets_what_was_sealed_for_it_and_files_nothing_of_it(company):
    elsewhere = (
        "destinations: {mail: {kind: klaviyo, api_key: env:KEY}}\n"
        + WINBACK.lstrip()
        + "    destination: mail\n    mode: upsert\n"
    )
    judged = company.declares(elsewhere).runs(FIRST)
    (sealed,) = judged.sealed("mail")

    assert judged.sealed("files") == []
    assert (sealed.segment, sealed.mode, sealed.decision.approved) == ("winback", Mode.UPSERT, 10)
    names = [field.name for field in sealed.mapping.fields]
    assert names == ["persona_id", "persona_name", "risk", "first_name", "subject"]
    columns = company.connection.execute(f"describe {sealed.relation}").fetchall()
    assert {"identifier", *(field.source for field in sealed.mapping.fields)} == {name for name, *_ in columns}


def test_what_stands_is_sealed_for_removing_only_so_nothing_new_goes_there(company):
    elsewhere = (
        "publish_gates: {size_jump: 0.5, size_jump_floor: 5}\ndestinations: {mail: {kind: klaviyo, api_key: env:KEY}}\n"
        + WINBACK.lstrip()
        + "    destination: mail\n"
    )
    company.declares(elsewhere).runs(FIRST)
    company.computes(SECOND)
    jump(company)
    (sealed,) = company.judges(SECOND).sealed("mail")

    assert (sealed.mode, sealed.decision.approved) == (Mode.REMOVE_ONLY, 10)


# personae why.


def test_why_somebody_gets_a_mail(company):
    company.declares(WINBACK).runs(FIRST)
    told = of_contact(company, "p004")

    assert "may be contacted over email for email_marketing: granted (recorded 2025-06-01)" in told
    assert "2025-06-01  granted  email_marketing, every channel" in told
    assert "in winback (email_marketing over email, to files): granted" in told
    assert "Suppressions and erasure\n  none" in told
    assert "@" not in told


def test_why_somebody_is_not_meant(company):
    company.declares(WINBACK).runs(FIRST)
    told = of_contact(company, "p001")

    assert "not in winback (email_marketing over email, to files): they are not meant by it" in told
    assert "does not hold: persona: {is: [Night owls]}" in told
    assert "does not hold: propensity: {churn: {band: [high]}}" in told


def test_why_somebody_is_kept_out_by_chance(company):
    company.declares(WINBACK + "    holdout: 0.3\n").runs(FIRST)
    kept = next(person for person, told in company.told(FIRST, "winback").items() if told == "holdout")
    told = of_contact(company, kept)

    assert "not in winback (email_marketing over email, to files): holdout: chance keeps them out" in told
    assert "Experiments\n  winback: kept out by chance" in told


def test_proof_that_somebody_never_gets_one(company):
    company.declares(WINBACK).runs(FIRST)
    remember_erased(company.connection, ["p004@example.com"], datetime(2026, 1, 19))
    company.execute(
        "insert into activation.sync_suppressions select 'newsletter', sha256('p004@example.com'), 'complained', null, "
        "timestamp '2026-01-13'"
    )
    company.judges(FIRST)
    told = of_contact(company, "p004")

    assert "newsletter suppresses them since 2026-01-13: complained" in told
    assert "erased on 2026-01-19: they never come back" in told
    assert "not in winback (email_marketing over email, to files): erased: they asked to be erased" in told


def synced(company, person):
    """A sync that joined somebody on Monday and was told by the destination that they are held."""
    from activation.sync.receipts import RECEIPT_TABLES

    SyncState(company.connection, "newsletter", SystemClock())
    company.execute(RECEIPT_TABLES)
    key = f"sha256('{person}@example.com')"
    company.execute(
        "insert into activation.sync_runs values ('r1', 'newsletter', date '2026-01-12', 'done', "
        "timestamp '2026-01-12 06:00', timestamp '2026-01-12 06:05', false, false, null, null, null)"
    )
    for status, second, http in (("planned", 0, "null"), ("sent", 1, "null"), ("confirmed", 2, "202")):
        company.execute(
            f"insert into activation.sync_changelog values ('r1', 'newsletter', 'winback', {key}, 'join', 'h', 'b1', "
            f"null, '{status}', {http}, null, null, 1, timestamp '2026-01-12 06:00:0{second}')"
        )
    company.execute(
        f"insert into activation.sync_snapshot values ('newsletter', 'winback', {key}, '{person}@example.com', null, "
        "true, 'h', false, timestamp '2026-01-12 06:00')"
    )
    company.execute(
        f"insert into activation.receipts values ('r1', 'newsletter', 'winback', {key}, true, true, true, true, "
        "'as desired', timestamp '2026-01-12 06:04')"
    )


def test_what_was_sent_of_somebody_is_told_with_the_receipt(company):
    company.declares(WINBACK).runs(FIRST)
    synced(company, "p004")
    company.execute(
        "insert into raw.messages (contact_id, occurred_at, message_action, channel, campaign) "
        "values ('c-p004', timestamp '2026-01-13 08:00', 'sent', 'email', 'winback mail')"
    )
    told = of_contact(company, "p004")

    assert "2026-01-12 06:00  join at newsletter (winback): confirmed (HTTP 202), week ending 2026-01-12" in told
    assert "receipt of newsletter (winback): as desired" in told
    assert "newsletter (winback): there, as confirmed on 2026-01-12" in told
    assert "2026-01-13 08:00  sent over email, campaign winback mail" in told
    assert "no sync ever sent them anywhere" in of_contact(company, "p001")


def test_each_week_says_what_was_decided_and_programs_are_told_the_same(company):
    company.declares(WINBACK).runs(FIRST)
    company.runs(SECOND)
    company.execute("update activation.audiences set is_in = false, reason = 'withdrawn' where as_of = '2026-01-12'")
    synced(company, "p004")
    assert "week ending 2026-01-12: not in, withdrawn: they withdrew their consent" in of_contact(
        company, "p004", SECOND
    )
    catalogue = pl.DataFrame({"feature": ["orders_91d"], "label": ["orders"]})
    company.execute("delete from features.person_features where person_id = person('p004')")  # no model is kept here
    asked = Question(" P004@Example.com", SECOND)
    facts = json.loads(answer(company.connection, company.open(), catalogue, asked).to_json())

    assert (facts["person_id"], facts["week"]) == (person_name(number("p004")), SECOND.key)
    (winback,) = facts["audiences"]
    assert (winback["is_in"], winback["reason"]) == (True, "granted")
    assert [week["is_in"] for week in winback["weeks"]] == [False, True]
    assert facts["statements"][0]["recorded_at"] == "2025-06-01T00:00:00"
    assert facts["deliveries"]["sent"][0]["status"] == "confirmed"
    assert facts["deliveries"]["receipts"][0]["outcome"] == "as desired"
    assert "@" not in json.dumps(facts)


def test_whoever_may_not_be_profiled_is_told_of_by_one_command_too(company):
    company.computes(FIRST)
    for table in ("features.person_features", "intermediate.int_people", "intermediate.int_contactability"):
        company.execute(f"delete from {table} where person_id = person('p004')")
    company.execute("delete from marts.segment_memberships where person_id = person('p004')")
    company.execute(
        "update intermediate.int_profiling_permissions set is_allowed = false, decision_reason = 'objected' "
        "where person_id = person('p004')"
    )
    company.declares(WINBACK).judges(FIRST)
    told = why(company, "c-p004")

    assert "may not be profiled: objected: they objected" in told
    assert "is in no persona and no audience" in told
    assert "not in winback" in told
    with pytest.raises(NotFound):
        why(company, "nobody")


def test_an_audience_that_was_held_back_is_told_as_such(company):
    company.declares("publish_gates: {size_jump: 0.5, size_jump_floor: 5}\n" + WINBACK.lstrip()).runs(FIRST)
    company.computes(SECOND)
    jump(company)
    company.judges(SECOND)

    assert "which was held back and stands from the week ending 2026-01-12: granted" in of_contact(
        company, "p004", SECOND
    )


# personae preview.


def test_a_preview_shows_labels_and_texts_and_nobodys_data(company):
    company.declares(WINBACK).runs(FIRST)
    shown = "\n".join(preview(company.connection, company.open(), "winback", "night owls", None))

    assert "winback, Night owls (persona-01), week 2026-01-05" in shown
    assert "people: 10" in shown
    assert "risk: high (the commonest of propensity.churn)" in shown
    assert "first_name: contact.first_name, a personal attribute; not shown" in shown
    assert "subject (text)\n  Hello you, one of our Night owls" in shown
    assert "Namep" not in shown
    assert "@" not in shown


def test_a_preview_shows_no_key_of_anybody(company):
    company.declares(WINBACK.replace("risk: propensity.churn", "id: contact_id, who: person_id")).runs(FIRST)
    shown = "\n".join(preview(company.connection, company.open(), "winback", "persona-01", None))

    assert "id: contact_id, of one person; not shown" in shown
    assert "p00" not in shown


def test_a_preview_of_what_is_not_there_names_what_is(company):
    company.declares(WINBACK).runs(FIRST)
    for audience, persona, hint in (
        ("winbck", "Night owls", "did you mean 'winback'"),
        ("winback", "Nite owls", "did you mean 'Night owls'"),
    ):
        with pytest.raises(NothingToPreview, match=hint):
            list(preview(company.connection, company.open(), audience, persona, None))
