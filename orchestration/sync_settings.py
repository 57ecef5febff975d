"""What may be said of a destination in `activation.yml`, whatever its kind: when it is sent, what stops it, who hears.

What belongs here: settings that all kinds have, and the types of values that options of a kind may have (credentials,
addresses, folders). Which options a kind has stands in `sync_kinds.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from activation.sync.guards import Guards
from orchestration.settings_file import nearest

BY_HAND, WEEKLY = "by hand", "weekly"
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]")
_MAIL_ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+")


class SecretName(str):
    """Where a credential is: `env:NAME`, or `file:PATH` with a path that may be relative to the workspace."""


class FolderName(str):
    """A folder of this machine; a relative one lies in the workspace."""


def _secret_name(given: str) -> SecretName:
    # What was written may be the credential itself, so it is not repeated.
    if not _REFERENCE.fullmatch(given):
        raise ValueError(
            "a credential is named as env:NAME or file:PATH and never written here; if it was, replace it at the vendor"
        )
    return SecretName(given)


def _folder_name(given: str) -> FolderName:
    path = PurePosixPath(given)
    if not given.strip() or ".." in path.parts or path.parts[:1] == (".personae",):
        raise ValueError("a folder of the workspace, or an absolute path; neither `..` nor .personae")
    return FolderName(given)


def _address(given: str) -> str:
    from activation.sync.http import check_address  # noqa: PLC0415 - a workspace without one does not wait for httpx

    if urlsplit(given).username or urlsplit(given).password:
        raise ValueError("a credential is never written here")
    check_address(given)
    return given


def _address_or_secret_name(given: str) -> str:
    return _secret_name(given) if given.startswith(("env:", "file:")) else _address(given)


def _host(given: str) -> str:
    if not _HOST.fullmatch(given):
        raise ValueError("the name or the number of a host, without a scheme or a path")
    return given


def _mail_address(given: str) -> str:
    if not _MAIL_ADDRESS.fullmatch(given):
        raise ValueError("this is no e-mail address")
    return given


def one_of(*names: str) -> BeforeValidator:
    """Hold a word to the words there are, so that a mistake is told with the nearest one."""

    def check(given: object) -> object:
        if given not in names:
            raise ValueError(f"'{given}' is not known; {nearest(given, names)}")
        return given

    return BeforeValidator(check)


Credential = Annotated[str, AfterValidator(_secret_name)]
Folder = Annotated[str, AfterValidator(_folder_name)]
Address = Annotated[str, AfterValidator(_address)]
AddressOrCredential = Annotated[str, AfterValidator(_address_or_secret_name)]
Host = Annotated[str, AfterValidator(_host)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
Share = Annotated[float, Field(ge=0, le=1)]
People = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Part(BaseModel):
    """A part of what is said of a destination: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class GuardSettings(Part):
    """What stops a sync, as `activation/sync/guards.py` describes it; what is not said has its default there."""

    max_removal_share: Share = Guards.max_removal_share
    removal_floor: People = Guards.removal_floor
    max_age_days: Annotated[int, Field(ge=1, le=36_600)] = Guards.max_age_days
    max_count_deviation: Annotated[float, Field(ge=0, le=100)] = Guards.max_count_deviation
    deviation_floor: People = Guards.deviation_floor
    weeks_compared: Annotated[int, Field(ge=3, le=52)] = Guards.weeks_compared
    max_rejection_share: Share = Guards.max_rejection_share
    rejection_floor: People = Guards.rejection_floor

    def guards(self) -> Guards:
        """The same for the engine."""
        return Guards(**{field.name: getattr(self, field.name) for field in fields(Guards)})


class MailSettings(Part):
    """A mail over SMTP; with a user it goes over TLS."""

    host: Host
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    sender: MailAddress
    recipients: Annotated[tuple[MailAddress, ...], Field(min_length=1)]
    user: str | None = None
    password: Credential | None = None

    @model_validator(mode="after")
    def _user_and_password(self) -> MailSettings:
        if (self.user is None) != (self.password is None):
            raise ValueError("`user:` and `password:` belong together")
        return self


class AlertSettings(Part):
    """One way to tell people of a change of state, beside the log.

    Attributes:
        webhook: Where JSON is posted; the address is a credential with most chat tools, so it is named like one.
        email: A mail.
    """

    webhook: Credential | None = None
    email: MailSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _the_log_is_a_word(cls, given: Any) -> Any:
        return {} if given == "log" else given


class DestinationSettings(Part):
    """What every destination may say; options of its kind are added by subclasses.

    Attributes:
        kind: Which connector.
        sync: Whether the weekly run sends, or only makes the plan that `personae sync` carries out.
        guards: What stops a sync.
        retry_minutes: How long one call that fails is tried again.
        job_minutes: How long a job of the vendor's is waited for; the next sync goes on waiting.
        alerts: Who is told that the destination stopped working, and that it works again. The log always is.
    """

    kind: str
    sync: Annotated[Literal["weekly", "by hand"], one_of(BY_HAND, WEEKLY)] = "by hand"
    guards: GuardSettings = GuardSettings()
    retry_minutes: Annotated[float, Field(gt=0, le=1440)] = 15.0
    job_minutes: Annotated[float, Field(gt=0, le=1440)] = 30.0
    alerts: tuple[AlertSettings, ...] = ()

    @property
    def is_weekly(self) -> bool:
        """Whether the weekly run sends."""
        return self.sync == WEEKLY

    def options(self) -> dict[str, Any]:
        """What the connector is made of: every option of the kind that has a value, by the name it has there."""
        common = DestinationSettings.model_fields
        given = {name: getattr(self, name) for name in type(self).model_fields if name not in common}
        return {name: value for name, value in given.items() if value is not None}

    def fields_named(self) -> Iterable[tuple[str, str]]:
        """Options that name a mapped field, each with the field: every audience that goes there must have it."""
        return ()

    def terms(self) -> tuple[str, str] | None:
        """Purpose and channel that every audience that goes there must have; any where there are none."""
        return None
