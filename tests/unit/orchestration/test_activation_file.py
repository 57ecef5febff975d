"""What `activation.yml` may say, and that every mistake is told with its line and the nearest valid name."""

from __future__ import annotations

import hashlib
from datetime import date

import pytest
from workspace_builder import WorkspaceBuilder

from activation.audience import Schedule
from activation.sync.protocol import Mode
from orchestration.activation_file import check_personas, forbidden_pairs, is_due, read_suppression_list
from orchestration.settings_file import SettingsError
from orchestration.weeks import Week

CONTACTS_MAPPING = """
extract: {files: contacts*.csv}
entities:
  contacts:
    columns: {contact_id: contact_id, email: email, first_name: first_name, country: country}
    attributes:
      tier: feature
      religion: {role: feature, sensitive: religion, legal_basis: {condition: explicit_consent, statement: "asked
      each"}}
"""
SETTINGS = {
    "targets": {"churn": {"outcome": "no_order", "within_days": 28}},
    "legal_basis": {"profiling": "customers, balanced in May"},
    "lookalikes": {"like_golds": {"seed": {"features": {"contact_tier": "gold"}}}},
}
WHOLE = """
purposes: [newsletter]
suppression_list: do-not-contact.csv
destinations:
  shop_mail: {kind: klaviyo, api_key: env:KLAVIYO_API_KEY}
market_rules:
  NL: no unsolicited contact
  US: {rule: no_contact, channels: [phone]}
  unknown: allowed
frequency_caps:
  email: {at_most: 3, within_days: 7}
never_together:
  - [winback, letters]
accepted:
  - {week: 2026-01-12, gate: size_jump, audience: winback, reason: the campaign began}
audiences:
  winback:
    description: Whoever may soon be gone
    people:
      all:
        - propensity: {churn: high}
        - any: [{persona: Night owls}, {features: {orders_91d: {at_least: 2}}}]
      not: {features: {contact_tier: gold}}
    purpose: email_marketing
    destination: shop_mail
    mode: upsert
    attributes:
      risk: propensity.churn
      first_name: {source: contact.first_name, nulls: clear}
    holdout: {share: 0.1, exclusion_group: retention}
    minimum_size: 50
    schedule: {every_weeks: 2, starting: 2026-01-05}
    content:
      subject: {template: "Hello {{ first_name }}", defaults: {first_name: you}}
      body: {file: texts/body.html, format: html, defaults: {persona_name: friend}}
  letters:
    people: {persona: Night owls}
    purpose: newsletter
    channel: post
    holdout: 0.05
"""


@pytest.fixture
def shop(tmp_path):
    builder = WorkspaceBuilder(tmp_path).orders().mapping("contacts", CONTACTS_MAPPING).settings(**SETTINGS)
    builder.extract("contacts.csv", "contact_id,email,first_name,country,tier,religion\nc1,a@x.org,Ada,DE,gold,\n")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "body.html").write_text("<p>Dear {{ persona_name }}</p>\n", encoding="utf-8")
    (tmp_path / "do-not-contact.csv").write_text("email,contact_id\n A@x.org ,\n,c7\n", encoding="utf-8")
    return builder


def write(shop, text):
    (shop.folder / "activation.yml").write_text(text.lstrip("\n"), encoding="utf-8")
    return shop


def complaint(shop):
    with pytest.raises(SettingsError) as raised:
        shop.open()
    return str(raised.value).removeprefix(f"{shop.folder}/")


def test_without_the_file_nothing_is_declared(shop):
    file = shop.open().activation_file
    assert (file.activation.is_declared, file.templates, file.fingerprint) == (False, {}, "")


def test_everything_it_may_say_is_read(shop):
    activation = write(shop, WHOLE).open().activation_file.activation
    winback, letters = activation.audiences["winback"], activation.audiences["letters"]

    assert (winback.mode, winback.identified_by, winback.experiment("winback")) == (Mode.UPSERT, "email", "winback")
    assert (letters.destination, letters.identified_by, letters.holdout.share) == ("files", "contact_id", 0.05)
    assert activation.market_rules["NL"].rule == "no_unsolicited_contact"
    assert activation.destinations["shop_mail"].options == {"api_key": "env:KLAVIYO_API_KEY"}
    assert forbidden_pairs(activation) == [("letters", "winback")]


def test_each_purpose_and_channel_is_decided_on_the_workspaces_own_first(shop):
    workspace = write(shop, WHOLE).open()
    assert workspace.contact_purposes() == [("email_marketing", "email"), ("newsletter", "post")]
    assert workspace.dbt_vars()["contact_purposes"][1] == {"purpose": "newsletter", "channel": "post"}


def test_another_audience_builds_no_feature_anew(shop):
    before = shop.open()
    after = write(shop, WHOLE).open()
    assert before.fingerprint() == after.fingerprint()
    assert before.settings_hash() != after.settings_hash()


def test_a_text_in_a_file_is_part_of_what_the_file_says(shop):
    before = write(shop, WHOLE).open().activation_file
    assert before.templates["winback"]["body"].text == "<p>Dear {{ persona_name }}</p>\n"
    (shop.folder / "texts" / "body.html").write_text("<p>Hi {{ persona_name }}</p>\n", encoding="utf-8")
    assert shop.open().activation_file.fingerprint != before.fingerprint


def test_the_suppression_list_is_kept_as_keys_spelled_as_they_are_and_in_lower_case(shop):
    workspace = write(shop, WHOLE).open()
    keys = read_suppression_list(shop.folder, workspace.activation_file.activation)
    assert keys == sorted(hashlib.sha256(one.encode()).hexdigest() for one in ("A@x.org", "a@x.org", "c7"))


MINIMAL = "audiences:\n  news:\n    purpose: email_marketing\n    people: {propensity: {churn: high}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audience: {}\n", "activation.yml:1: unknown key 'audience'; did you mean 'audiences'?"),
        ("frequency_caps: {}\n", "activation.yml:1: no audience is declared"),
        (MINIMAL.replace("news:", "News:"), "activation.yml:1: audiences: 'News' must be lower case letters"),
        (MINIMAL + "    destination: file\n", "activation.yml:5: 'file' is no destination; did you mean 'files'?"),
        (MINIMAL + "    channel: mail\n", "activation.yml:5: 'mail' is no channel; did you mean 'email'?"),
        (
            MINIMAL.replace("email_marketing", "e_mail_marketing"),
            "activation.yml:3: 'e_mail_marketing' is no purpose; did you mean 'email_marketing'?",
        ),
        (
            MINIMAL.replace("{churn: high}", "{chrun: high}"),
            "activation.yml:4: 'chrun' is no target; did you mean 'churn'?",
        ),
        (
            "audiences:\n  news:\n    purpose: email_marketing\n    people:\n      any:\n"
            "        - {persona: A}\n        - {features: {order_91d: {at_least: 1}}}\n",
            "activation.yml:7: 'order_91d' is no feature; did you mean 'orders_91d'?",
        ),
        (
            MINIMAL.replace("{propensity: {churn: high}}", "{features: {contact_religion: X}}"),
            "activation.yml:4: 'contact_religion' is of a special category (GDPR art. 9): nobody is selected by it",
        ),
        (
            MINIMAL + "    attributes:\n      risk: propensity.chrun\n",
            "activation.yml:6: 'propensity.chrun' is nothing that can go out; did you mean 'propensity.churn'?",
        ),
        (
            MINIMAL + "    attributes: {belief: feature.contact_religion}\n",
            "activation.yml:5: 'feature.contact_religion' is of a special category (GDPR art. 9)",
        ),
        (
            MINIMAL + "    attributes: {belief: contact.religion}\n",
            "activation.yml:5: 'contact.religion' is of a special category (GDPR art. 9)",
        ),
        (
            MINIMAL + "    attributes: {class: adoption_class}\n",
            "activation.yml:5: 'adoption_class' is known of nobody: `launches:` in personae.yml declares none",
        ),
        (
            MINIMAL + "    attributes:\n      style: message_style\n",
            "activation.yml:6: 'message_style' is known of nobody: `persuasion:` in personae.yml tags no messages",
        ),
        (
            MINIMAL.replace("{propensity: {churn: high}}", "{lookalike: like_gold}"),
            "activation.yml:4: 'like_gold' is no list of look-alikes; did you mean 'like_golds'?",
        ),
        (MINIMAL + "    attributes: {persona_name: persona_id}\n", "activation.yml:5: 'persona_name' goes out anyway"),
        (MINIMAL + "    holdout: 1.5\n", "activation.yml:5: audiences.news.holdout"),
        (MINIMAL + "    holdout: {shar: 0.1}\n", "activation.yml:5: unknown key 'shar'; did you mean 'share'?"),
        (MINIMAL + "    mode: mirorr\n", "activation.yml:5: audiences.news.mode"),
        (
            MINIMAL + "    content:\n      subject: 'Hi {{ persona }}'\n",
            "activation.yml:6: 'persona' is no field that goes out; did you mean 'persona_id'?",
        ),
        (MINIMAL + "    content: {subject: 'Hi {{ persona_name }}'}\n", "'persona_name' needs a default"),
        (
            MINIMAL + "    content:\n      body: {file: ../secret.txt}\n",
            "activation.yml:6: '../secret.txt' lies outside the workspace",
        ),
        (
            MINIMAL + "    content:\n      body: {file: texts/bdy.html}\n",
            "activation.yml:6: the file 'texts/bdy.html' is missing; did you mean 'texts/body.html'?",
        ),
        (MINIMAL + "market_rules: {NN: no_contact}\n", "activation.yml:5: 'NN' is neither a country"),
        (
            MINIMAL + "frequency_caps: {emial: {at_most: 1, within_days: 7}}\n",
            "'emial' is no channel; did you mean 'email'",
        ),
        (MINIMAL + "never_together: [[news, nws]]\n", "activation.yml:5: 'nws' is no audience; did you mean 'news'?"),
        (
            MINIMAL + "destinations:\n  there: {kind: klavio}\n",
            "activation.yml:6: 'klavio' is no kind of destination; did you mean 'klaviyo'?",
        ),
        (MINIMAL + "destinations:\n  files: {kind: sftp}\n", "activation.yml:6: 'files' is the workspace's own folder"),
        (MINIMAL + "suppression_list: do-not-contct.csv\n", "did you mean 'do-not-contact.csv'?"),
        (
            MINIMAL + "accepted: [{week: 2026-01-12, gate: size_jump, audience: nws, reason: why}]\n",
            "activation.yml:5: 'nws' is no audience; did you mean 'news'?",
        ),
        (
            MINIMAL
            + "    holdout: {share: 0.1, experiment: spring}\n"
            + MINIMAL.split("\n", 1)[1].replace("news", "more")
            + "    holdout: {share: 0.2, experiment: spring}\n",
            "activation.yml:9: the experiment 'spring' has another share or exclusion group here than in 'news'",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_write_instead(shop, text, message):
    assert message in complaint(write(shop, text))


def test_a_suppression_list_without_a_column_that_says_who_is_meant_is_refused(shop):
    (shop.folder / "do-not-contact.csv").write_text("name\nAda\n", encoding="utf-8")
    assert "do-not-contact.csv:1: no column says who is meant" in complaint(write(shop, WHOLE))


def test_a_purpose_that_only_audiences_know_may_have_a_basis(shop):
    write(shop, WHOLE).settings(**SETTINGS | {"legal_basis": {"newsletter": "customers asked for it"}})
    assert shop.open().settings.legal_basis["newsletter"]
    (shop.folder / "activation.yml").unlink()
    assert "'newsletter' is no purpose" in complaint(shop)


def test_an_audience_is_due_every_so_many_weeks_from_its_first():
    first = Week(date(2026, 1, 5))

    def due(schedule):
        audience = type("Declared", (), {"schedule": schedule})
        return [is_due(audience, Week(date(2026, 1, day)), first) for day in (5, 12, 19, 26)]

    assert due(Schedule()) == [True] * 4
    assert due(Schedule(every_weeks=2)) == [True, False, True, False]
    assert due(Schedule(every_weeks=2, starting=date(2026, 1, 14))) == [False, True, False, True]


def test_a_persona_that_no_week_ever_had_is_a_mistake_before_the_run(shop):
    activation = write(shop, WHOLE).open().activation_file.activation
    check_personas(shop.folder, activation, {"persona-01", "Night owls"})
    check_personas(shop.folder, activation, set())  # nothing was run yet: nobody knows

    with pytest.raises(SettingsError) as raised:
        check_personas(shop.folder, activation, {"persona-01", "Night owl"})
    line = (
        WHOLE.lstrip("\n")
        .splitlines()
        .index("        - any: [{persona: Night owls}, {features: {orders_91d: {at_least: 2}}}]")
        + 1
    )
    assert str(raised.value).endswith(
        f"activation.yml:{line}: no week had a persona 'Night owls'; did you mean 'Night owl'?"
    )
