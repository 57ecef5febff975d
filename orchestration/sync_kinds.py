"""Which kinds of destinations there are, what each may say in `activation.yml`, and its connector: one entry per kind.

What belongs here: options and their checks, before anything runs. Connectors are made in `sync_connectors.py`, from
the name that stands here. To add one, see CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from orchestration.settings_file import nearest
from orchestration.sync_settings import (
    Address,
    AddressOrCredential,
    Credential,
    DestinationSettings,
    Folder,
    Host,
    Name,
    one_of,
)

REGIONS = {"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}
"""Where SendGrid keeps accounts."""

BUCKET_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "s3": (
        "region",
        "endpoint",
        "virtual_hosted_style_request",
        "access_key_id",
        "secret_access_key",
        "session_token",
    ),
    "gs": ("service_account_key",),
    "az": ("account_name", "account_key", "sas_token", "tenant_id", "client_id", "client_secret", "endpoint"),
}
"""How each kind of bucket is reached, by obstore's names."""


class KeyedAccount(DestinationSettings):
    """An account that one key opens, with a list per audience."""

    api_key: Credential
    base_url: Address | None = None
    list_prefix: Name | None = None


class HubSpotAccount(DestinationSettings):
    """A private app of HubSpot."""

    token: Credential
    base_url: Address | None = None
    list_prefix: Name | None = None


class SendGridAccount(KeyedAccount):
    """SendGrid, which keeps accounts in two places."""

    region: Annotated[Literal["global", "eu"] | None, one_of(*REGIONS)] = None

    @model_validator(mode="after")
    def _one_address(self) -> SendGridAccount:
        if self.region and self.base_url:
            raise ValueError("say either `region:` or `base_url:`")
        return self

    def options(self) -> dict[str, Any]:
        """The region as the address it stands for."""
        options = super().options()
        region = options.pop("region", None)
        return options | {"base_url": REGIONS[region]} if region else options


class MailchimpAudience(DestinationSettings):
    """An audience of Mailchimp, with a static segment for each of ours."""

    api_key: Credential
    list_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{4,40}$")]
    consent_field: Name | None = None
    base_url: Address | None = None
    segment_prefix: Name | None = None

    def fields_named(self) -> Iterable[tuple[str, str]]:
        """The field that tells when somebody consented."""
        return [("consent_field", self.consent_field)] if self.consent_field else []


class GhostSite(DestinationSettings):
    """A site of Ghost, with a label per audience."""

    api_key: Credential
    site_url: Address
    consent_field: Name | None = None
    label_prefix: Name | None = None

    def fields_named(self) -> Iterable[tuple[str, str]]:
        """The field that tells when somebody consented."""
        return [("consent_field", self.consent_field)] if self.consent_field else []


class MailmanLists(DestinationSettings):
    """The lists of one mail domain of a GNU Mailman server."""

    api_key: Credential
    base_url: Address
    mail_domain: Host
    consent_field: Name
    user: Name | None = None
    list_prefix: Name | None = None

    def fields_named(self) -> Iterable[tuple[str, str]]:
        """The field that tells when somebody consented."""
        return [("consent_field", self.consent_field)]


class FileDelivery(DestinationSettings):
    """Files for systems that fetch, wherever they are put.

    Attributes:
        contents: Everybody, or what changed.
        file_format: How rows are written.
        identifier_column: What the reader calls the identifier.
        payload_column: One column that holds all fields as JSON.
        stays: Whether delivered files are still there later; only then can they be read back.
        is_case_sensitive: Whether identifiers are.
    """

    contents: Annotated[Literal["full", "delta"], one_of("full", "delta")] = "full"
    file_format: Annotated[Literal["csv", "jsonl"], one_of("csv", "jsonl")] = "csv"
    identifier_column: Name = "email"
    payload_column: Name | None = None
    stays: bool = True
    is_case_sensitive: bool = False


class InFolder(DestinationSettings):
    """A folder of this machine, or one that is mounted."""

    folder: Folder


class BehindSftp(DestinationSettings):
    """A folder behind SFTP, at the server whose key is pinned."""

    host: Host
    port: Annotated[int, Field(ge=1, le=65_535)] = 22
    user: Name
    folder: Name
    host_key: Annotated[str, Field(pattern=r"^(ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/=]+( .*)?$")]
    private_key: Credential | None = None
    password: Credential | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> BehindSftp:
        if (self.private_key is None) == (self.password is None):
            raise ValueError("say exactly one of `private_key:` and `password:`")
        return self


class InBucket(DestinationSettings):
    """A bucket; what reaches it is called by obstore's names."""

    url: Annotated[str, Field(pattern=r"^[a-z0-9]+://[^\s@?#]+$")]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{2,40}$")] | None = None
    endpoint: Address | None = None
    virtual_hosted_style_request: bool | None = None
    access_key_id: Credential | None = None
    secret_access_key: Credential | None = None
    session_token: Credential | None = None
    service_account_key: Credential | None = None
    account_name: Name | None = None
    account_key: Credential | None = None
    sas_token: Credential | None = None
    tenant_id: Name | None = None
    client_id: Name | None = None
    client_secret: Credential | None = None

    @field_validator("url")
    @classmethod
    def _is_a_bucket(cls, url: str) -> str:
        scheme = urlsplit(url).scheme
        if scheme not in BUCKET_OPTIONS:
            raise ValueError(f"'{scheme}' is no kind of bucket; {nearest(scheme, BUCKET_OPTIONS)}")
        return url

    @model_validator(mode="after")
    def _options_are_the_buckets(self) -> InBucket:
        scheme = urlsplit(self.url).scheme
        every = {name for names in BUCKET_OPTIONS.values() for name in names}
        for name in sorted(every - set(BUCKET_OPTIONS[scheme])):
            if getattr(self, name) is not None:
                raise ValueError(f"`{name}:` is nothing {scheme}:// knows; {nearest(name, BUCKET_OPTIONS[scheme])}")
        if scheme == "s3" and self.region is None and self.endpoint is None:
            raise ValueError("an s3:// bucket needs `region:`, or `endpoint:` where it is not at AWS")
        return self


class LocalFolderDrop(FileDelivery, InFolder):
    """Files in a folder of this machine."""


class SftpDrop(FileDelivery, BehindSftp):
    """Files behind SFTP."""


class BucketDrop(FileDelivery, InBucket):
    """Files in a bucket."""


class HashedList(DestinationSettings):
    """Hashed lists for an ad platform, wherever they are put; audiences for `purpose` over the channel `ads` go there.

    Attributes:
        platform: Whose file it is.
        purpose: What people have to have allowed.
        phone_region: The country of numbers that name none, such as DE.
        tiktok_phone: Whether TikTok's numbers are hashed with their `+`.
    """

    platform: Annotated[Literal["google", "meta", "linkedin", "tiktok"], one_of("google", "meta", "linkedin", "tiktok")]
    purpose: Name | None = None
    phone_region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    tiktok_phone: Annotated[Literal["with_plus", "digits"] | None, one_of("with_plus", "digits")] = None

    def terms(self) -> tuple[str, str]:
        """Consent of its own: none to mails, nor to profiling."""
        return self.purpose or "advertising", "ads"


class LocalFolderList(HashedList, InFolder):
    """Hashed lists in a folder of this machine."""


class SftpList(HashedList, BehindSftp):
    """Hashed lists behind SFTP."""


class BucketList(HashedList, InBucket):
    """Hashed lists in a bucket."""


class Hook(DestinationSettings):
    """An address of the company's own that takes signed JSON; one that is a credential is named like one."""

    url: AddressOrCredential
    signing_key: Credential
    batch_rows: Annotated[int, Field(ge=1, le=10_000)] | None = None
    calls_per_second: Annotated[int, Field(ge=1, le=1000)] | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of destination.

    Attributes:
        settings: What it may say.
        connector: `module:callable`, called with the destination's name and, by name, with the options that have a
            value; credentials come as `Secret`, folders as `Path`.
        holds_personas: Whether persona and class go there unasked. A list of addresses has no place for them.
    """

    settings: type[DestinationSettings]
    connector: str
    holds_personas: bool = True


KINDS: Mapping[str, Kind] = {
    "ads_local_folder": Kind(LocalFolderList, "orchestration.sync_file_drops:local_folder_list", holds_personas=False),
    "ads_object_store": Kind(BucketList, "orchestration.sync_file_drops:object_store_list", holds_personas=False),
    "ads_sftp": Kind(SftpList, "orchestration.sync_file_drops:sftp_list", holds_personas=False),
    "brevo": Kind(KeyedAccount, "activation.destinations.brevo:Brevo"),
    "ghost": Kind(GhostSite, "activation.destinations.ghost:Ghost"),
    "hubspot": Kind(HubSpotAccount, "activation.destinations.hubspot:HubSpot"),
    "klaviyo": Kind(KeyedAccount, "activation.destinations.klaviyo:Klaviyo"),
    "local_folder": Kind(LocalFolderDrop, "orchestration.sync_file_drops:local_folder_drop"),
    "mailchimp": Kind(MailchimpAudience, "activation.destinations.mailchimp:Mailchimp"),
    "mailman": Kind(MailmanLists, "activation.destinations.mailman:Mailman", holds_personas=False),
    "object_store": Kind(BucketDrop, "orchestration.sync_file_drops:object_store_drop"),
    "sendgrid": Kind(SendGridAccount, "activation.destinations.sendgrid:SendGrid"),
    "sftp": Kind(SftpDrop, "orchestration.sync_file_drops:sftp_drop"),
    "webhook": Kind(Hook, "activation.destinations.webhook:Webhook"),
}
"""By the word that stands under `kind:`."""
