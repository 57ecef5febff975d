"""What `activation.yml` may say of destinations: each mistake has its line and the nearest valid name, each kind its
connector."""

from __future__ import annotations

import importlib
import inspect

import pytest
from workspace_builder import WorkspaceBuilder

from activation.sync.alerts import EmailChannel, LogChannel, WebhookChannel
from activation.sync.guards import Guards
from activation.sync.redaction import redact
from orchestration.settings_file import SettingsError
from orchestration.sync_connectors import channels_of, connector_of
from orchestration.sync_kinds import KINDS

AUDIENCE = """\
audiences:
  news:
    people: {features: {orders_91d: {at_least: 1}}}
    purpose: email_marketing
"""
PASTED = "pk_0123456789abcdef0123456789abcdef"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH2"
OPTIONS = {
    "ads_local_folder": "folder: out, platform: google, purpose: lookups, phone_region: DE",
    "ads_object_store": "url: 's3://bucket/folder', region: eu-central-1, access_key_id: env:KEY, "
    "secret_access_key: env:KEY, platform: tiktok, tiktok_phone: digits",
    "ads_sftp": f"host: sftp.example.org, user: personae, folder: in, host_key: '{HOST_KEY}', private_key: env:KEY, "
    "platform: meta",
    "brevo": "api_key: env:KEY, base_url: 'http://127.0.0.1:8080/v3/', list_prefix: P",
    "ghost": "api_key: env:GHOST, site_url: 'https://news.example.org', label_prefix: P",
    "hubspot": "token: env:KEY, base_url: 'https://api.example.org', list_prefix: P",
    "klaviyo": "api_key: file:secrets/key, base_url: 'http://localhost:80', list_prefix: P",
    "local_folder": "folder: out, contents: delta, file_format: jsonl, identifier_column: id, payload_column: PAYLOAD, "
    "stays: false, is_case_sensitive: true",
    "mailchimp": "api_key: env:MAILCHIMP, list_id: abc123, base_url: 'https://us1.example.org', segment_prefix: P",
    "mailman": "api_key: env:KEY, base_url: 'http://localhost:8001/3.1/', mail_domain: lists.example.org, "
    "consent_field: consented, user: restadmin, list_prefix: P",
    "object_store": "url: 's3://bucket/folder', region: eu-central-1, endpoint: 'http://127.0.0.1:9000', "
    "access_key_id: env:KEY, secret_access_key: env:KEY, session_token: env:KEY, virtual_hosted_style_request: false",
    "sendgrid": "api_key: env:KEY, region: eu, list_prefix: P",
    "sftp": f"host: sftp.example.org, port: 2222, user: personae, folder: in, host_key: '{HOST_KEY}', "
    "private_key: env:KEY",
    "webhook": "url: 'https://example.org/hook', signing_key: env:KEY, batch_rows: 10, calls_per_second: 2",
}
"""Every option a kind may have."""


@pytest.fixture
def builder(workspace: WorkspaceBuilder, monkeypatch: pytest.MonkeyPatch) -> WorkspaceBuilder:
    monkeypatch.setenv("KEY", "a-canary-of-a-credential")
    monkeypatch.setenv("MAILCHIMP", "0123456789abcdef-us19")
    monkeypatch.setenv("GHOST", f"{'a1' * 12}:{'b2' * 32}")
    return workspace.orders().settings(legal_basis={"profiling": "customers, balanced in May"})


def declared(builder: WorkspaceBuilder, destinations: str, audience: str = AUDIENCE) -> WorkspaceBuilder:
    (builder.folder / "activation.yml").write_text(audience + destinations, encoding="utf-8")
    return builder


@pytest.mark.parametrize(
    ("destinations", "message"),
    [
        ("  d: {kind: klavio}\n", "activation.yml:2: 'klavio' is no kind of destination; did you mean 'klaviyo'?"),
        ("  d:\n    kind: klaviyo\n", "activation.yml:2: 'api_key' is missing"),
        (
            "  d:\n    kind: klaviyo\n    api_kye: env:KEY\n",
            "activation.yml:4: unknown key 'api_kye'; did you mean 'api_key'?",
        ),
        ("  d:\n    kind: hubspot\n    api_key: env:KEY\n", "activation.yml:4: unknown key 'api_key'; valid names:"),
        (
            f"  d:\n    kind: klaviyo\n    api_key: {PASTED}\n",
            "activation.yml:4: destinations.d.api_key: a credential is named as env:NAME or file:PATH",
        ),
        ("  d: {kind: brevo, api_key: 'env:'}\n", "a credential is named as env:NAME or file:PATH"),
        ("  d: {kind: brevo, api_key: 'environment:KEY'}\n", "a credential is named as env:NAME or file:PATH"),
        (
            "  d:\n    kind: brevo\n    api_key: env:KEY\n    base_url: http://api.example.org\n",
            "activation.yml:5: destinations.d.base_url: A destination's address begins with https://",
        ),
        (
            "  d: {kind: brevo, api_key: env:KEY, base_url: 'https://me:secret@example.org'}\n",
            "destinations.d.base_url: a credential is never written here",
        ),
        (
            "  d:\n    kind: sendgrid\n    api_key: env:KEY\n    region: europe\n",
            "activation.yml:5: destinations.d.region: 'europe' is not known; valid names: eu, global",
        ),
        (
            "  d: {kind: sendgrid, api_key: env:KEY, region: eu, base_url: 'https://example.org'}\n",
            "say either `region:` or `base_url:`",
        ),
        ("  d: {kind: local_folder, folder: ../out}\n", "a folder of the workspace, or an absolute path"),
        ("  d: {kind: local_folder, folder: .personae/out}\n", "neither `..` nor .personae"),
        (
            "  d:\n    kind: local_folder\n    folder: out\n    contents: fulll\n",
            "activation.yml:5: destinations.d.contents: 'fulll' is not known; did you mean 'full'?",
        ),
        (
            f"  d: {{kind: sftp, host: h, user: u, folder: f, host_key: '{HOST_KEY}'}}\n",
            "say exactly one of `private_key:` and `password:`",
        ),
        (
            "  d: {kind: sftp, host: 'sftp://h/x', user: u, folder: f, host_key: k, password: env:KEY}\n",
            "the name or the number of a host",
        ),
        ("  d: {kind: object_store, url: 's4://bucket'}\n", "'s4' is no kind of bucket; valid names: az, gs, s3"),
        ("  d: {kind: object_store, url: 's3://bucket'}\n", "an s3:// bucket needs `region:`"),
        (
            "  d: {kind: object_store, url: 'gs://bucket', access_key_id: env:KEY}\n",
            "`access_key_id:` is nothing gs:// knows; valid names: service_account_key",
        ),
        ("  d: {kind: webhook, url: 'http://example.org', signing_key: env:KEY}\n", "begins with https://"),
        (
            "  d: {kind: mailchimp, api_key: env:KEY, list_id: abc123, consent_field: consent}\n",
            "activation.yml:2: the audience 'news' maps no field 'consent'; did you mean 'consented'?",
        ),
        (
            "  d:\n    kind: brevo\n    api_key: env:KEY\n    sync: weekkly\n",
            "activation.yml:5: destinations.d.sync: 'weekkly' is not known; did you mean 'weekly'?",
        ),
        (
            "  d:\n    kind: brevo\n    api_key: env:KEY\n    guards:\n      max_removal: 0.5\n",
            "activation.yml:6: unknown key 'max_removal'; did you mean 'max_removal_share'?",
        ),
        (
            "  d:\n    kind: brevo\n    api_key: env:KEY\n    guards: {max_removal_share: 5}\n",
            "activation.yml:5: destinations.d.guards.max_removal_share: Input should be less than or equal to 1",
        ),
        (
            "  d: {kind: brevo, api_key: env:KEY, alerts: [{webhok: env:KEY}]}\n",
            "unknown key 'webhok'; did you mean 'webhook'?",
        ),
        (
            "  d: {kind: brevo, api_key: env:KEY, alerts: [{webhook: 'https://hooks.example.org/T0/B0/x'}]}\n",
            "destinations.d.alerts.0.webhook: a credential is named as env:NAME",
        ),
        (
            "  d: {kind: brevo, api_key: env:KEY, alerts: [{email: {host: h, sender: a@b.c, recipients: [nobody]}}]}\n",
            "this is no e-mail address",
        ),
        ("  a-b: {kind: brevo, api_key: env:KEY}\n  a_b: {kind: brevo, api_key: env:KEY}\n", "'a_b' and 'a-b' are one"),
    ],
)
def test_a_wrong_option_is_told_with_its_line_and_the_nearest_valid_name(builder, destinations, message):
    audience = AUDIENCE + "    attributes: {consented: consent_recorded_at}\n"
    if "  d:" in destinations:
        audience += "    destination: d\n"
    declared(builder, f"destinations:\n{destinations}{audience}", audience="")
    with pytest.raises(SettingsError) as error:
        builder.open()
    assert message in str(error.value)
    assert PASTED not in str(error.value) and "T0/B0" not in str(error.value) and "me:secret" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_makes_its_connector_of_everything_it_may_be_told(builder, kind):
    if kind not in OPTIONS:
        pytest.fail(f"say in OPTIONS what a destination of the kind {kind} may be told")
    (builder.folder / "secrets").mkdir()
    (builder.folder / "secrets" / "key").write_text("a-canary-of-a-credential\n")
    workspace = declared(builder, f"destinations: {{there: {{kind: {kind}, {OPTIONS[kind]}}}}}\n").open()
    made = connector_of(workspace, "there")

    assert made.name == "there"
    assert "a-canary" not in repr(made) and "a-canary" not in repr(workspace)
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_persona_goes_where_there_is_a_place_for_it(builder, kind):
    file = declared(builder, f"destinations: {{there: {{kind: {kind}, {OPTIONS[kind]}}}}}\n").open().activation_file
    audience = file.activation.audiences["news"].model_copy(update={"destination": "there"})
    names = [field.name for field in file.mapping_of(audience, ()).fields]
    assert names == ([] if kind == "mailman" or kind.startswith("ads_") else ["persona_id", "persona_name"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_may_be_told_is_what_its_connector_takes(kind):
    module, _, factory = KINDS[kind].connector.partition(":")
    parameters = inspect.signature(getattr(importlib.import_module(module), factory)).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return  # a file drop parts them itself; the test above makes one of all
    common = set(KINDS["brevo"].settings.__mro__[1].model_fields)
    options = set(KINDS[kind].settings.model_fields) - common - {"region"}
    assert options <= set(parameters) - {"name", "transport"}


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        ("{kind: klaviyo, api_key: env:NOT_SET}", "A credential is missing: the environment variable NOT_SET is empty"),
        ("{kind: klaviyo, api_key: file:secrets/none}", "secrets/none is empty or not there"),
        ("{kind: mailchimp, api_key: env:KEY, list_id: abc123}", "A key of Mailchimp ends with its data centre"),
        ("{kind: ghost, api_key: env:KEY, site_url: 'https://news.example.org'}", "A key of Ghost's Admin API is"),
    ],
)
def test_a_credential_that_is_missing_or_of_another_kind_is_told_with_its_line(builder, destination, message):
    workspace = declared(builder, f"destinations:\n  there: {destination}\n").open()
    with pytest.raises(SettingsError) as error:
        connector_of(workspace, "there")
    assert "activation.yml:6: " in str(error.value) and message in str(error.value)
    assert "a-canary" not in str(error.value)


def test_guards_and_alerts_are_the_destinations_own_and_the_log_is_always_told(builder):
    workspace = declared(
        builder,
        "destinations:\n  there:\n    kind: brevo\n    api_key: env:KEY\n    sync: weekly\n"
        "    guards: {max_removal_share: 0.1, max_age_days: 3}\n"
        "    alerts:\n    - log\n    - webhook: env:KEY\n"
        "    - email: {host: smtp.example.org, sender: a@example.org, recipients: [b@example.org], user: u, "
        "password: env:KEY}\n",
    ).open()
    settings = workspace.activation_file.destinations["there"]

    assert settings.is_weekly
    assert settings.guards.guards() == Guards(max_removal_share=0.1, max_age_days=3)
    kinds = [type(channel) for channel in channels_of(workspace, "there")]
    assert kinds == [LogChannel, WebhookChannel, EmailChannel]


def test_a_destination_is_sent_by_hand_where_nothing_else_is_said(builder):
    workspace = declared(builder, "destinations: {there: {kind: brevo, api_key: env:KEY}}\n").open()
    assert not workspace.activation_file.destinations["there"].is_weekly
    assert workspace.activation_file.destinations["there"].guards.guards() == Guards()


def test_a_webhooks_address_may_be_a_credential_and_is_kept_out_of_every_text(builder, monkeypatch):
    monkeypatch.setenv("HOOK", "https://hooks.example.org/T0/B0/canary-of-a-hook")
    workspace = declared(
        builder, "destinations: {there: {kind: webhook, url: env:HOOK, signing_key: env:KEY}}\n"
    ).open()
    connector_of(workspace, "there").close()

    assert "canary-of-a-hook" not in redact("POST https://hooks.example.org/T0/B0/canary-of-a-hook failed")


LOOKED_UP = """\
audiences:
  win_back:
    people: {features: {orders_91d: {at_least: 1}}}
    purpose: advertising
    channel: PLACE
    destination: there
    attributes: {email: contact.email, phone: contact.phone, country: contact.country}
destinations: {there: {kind: ads_local_folder, folder: out, platform: meta, phone_region: DE}}
"""


def test_people_go_to_an_ad_platform_only_for_the_purpose_and_channel_of_their_own(builder):
    (builder.folder / "activation.yml").write_text(LOOKED_UP.replace("PLACE", "ads"))
    made = connector_of(builder.open(), "there")
    assert made.capabilities.terms == ("advertising", "ads")
    made.close()
    (builder.folder / "activation.yml").write_text(LOOKED_UP.replace("PLACE", "email"))
    with pytest.raises(SettingsError, match=r"activation.yml:6: .*`purpose: advertising` and `channel: ads` only"):
        builder.open()
