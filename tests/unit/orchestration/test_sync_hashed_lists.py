"""From `activation.yml` to a list for an ad platform: declared, judged, hashed, delivered."""

from __future__ import annotations

import csv
import hashlib
from datetime import datetime, timedelta

from audience_company import FIRST, AudienceCompany

from orchestration.sync_week import sync_destination
from tests.unit.activation.sync.scripted import FakeClock

DECLARED = """\
destinations:
  lists: {kind: ads_local_folder, platform: meta, folder: lists, phone_region: DE}
audiences:
  night_owls:
    people: {persona: Night owls}
    purpose: advertising
    channel: ads
    destination: lists
    attributes: {email: contact.email, phone: contact.phone, country: contact.country}
"""


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_list_holds_who_allowed_it_and_is_looked_up_by_nothing_of_those_who_did_not(tmp_path):
    company = AudienceCompany(tmp_path, people=240).declares(DECLARED)
    company.execute("alter table staging.stg_contacts add column phone varchar")
    company.execute("update staging.stg_contacts set phone = '030 23125' || right(contact_id, 3)")
    company.computes(FIRST)
    company.execute(
        "insert into intermediate.int_contactability select * replace ('ads' as channel, 'advertising' as purpose, "
        "right(called(person_id), 3)::int % 20 <> 0 as is_allowed, "
        "if(right(called(person_id), 3)::int % 20 = 0, 'objected', 'granted') as decision_reason) "
        "from intermediate.int_contactability"
    )
    # p001 is no night owl and refused; p002 has her number.
    company.execute(
        "update intermediate.int_contactability set is_allowed = false, decision_reason = 'objected' "
        "where person_id = person('p001') and channel = 'ads'"
    )
    company.execute("update staging.stg_contacts set phone = '+49 (0)30 23125001' where contact_id = 'c-p002'")
    clock = FakeClock()
    monday = datetime.combine(FIRST.as_of, datetime.min.time(), tzinfo=clock.now().tzinfo)
    clock.skew = monday + timedelta(hours=6) - clock.now()
    workspace = company.open()

    done = sync_destination(company.connection, workspace, FIRST, "lists", clock=clock)

    assert (done.state, done.reason) == ("done", "")
    (told,) = done.audiences
    assert told.refused == {"objected": 12, "refused_elsewhere": 1}
    allowed = [number for number in range(0, 240, 2) if number % 20 and number != 2]
    (path,) = (workspace.folder / "lists").glob("*.csv")
    with path.open(newline="") as file:
        rows = {(row["EMAIL"], row["PHONE"], row["COUNTRY"]) for row in csv.DictReader(file)}
    assert rows == {
        (sha256(f"p{number:03d}@example.com"), sha256(f"493023125{number:03d}"), sha256("de")) for number in allowed
    }
    written = "".join(path.read_text() for path in (workspace.folder / "lists").iterdir())
    assert "@" not in written and "persona" not in written and "c-p" not in written
