"""From what `activation.yml` says of a destination to its connector, and to those who are told of a change of state.

What belongs here: reading credentials, at the moment they are needed, and calling what the kind names.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from activation.sync.alerts import Channel, EmailChannel, LogChannel, WebhookChannel
from activation.sync.protocol import Destination
from activation.sync.redaction import redact
from activation.sync.secrets import Secret, SecretMissing, read_secret
from orchestration.settings_file import SettingsError, SettingsFile
from orchestration.sync_kinds import KINDS
from orchestration.sync_settings import DestinationSettings, FolderName, SecretName
from orchestration.workspace import Workspace


def connector_of(workspace: Workspace, name: str) -> Destination:
    """Make the connector of a destination.

    Raises:
        SettingsError: A credential is missing, or does not look like one of this kind; with file and line.
    """
    settings = workspace.activation_file.destinations[name]
    options = {option: _value(workspace, (name, option), value) for option, value in settings.options().items()}
    module, _, factory = KINDS[settings.kind].connector.partition(":")
    try:
        made: Destination = getattr(importlib.import_module(module), factory)(name, **options)
    except ValueError as error:
        raise _error(workspace, (name,), redact(error)) from None
    return made


def channels_of(workspace: Workspace, name: str) -> list[Channel]:
    """Everybody who is told of a change of state, the log first.

    Raises:
        SettingsError: A credential is missing.
    """
    channels: list[Channel] = [LogChannel()]
    settings: DestinationSettings = workspace.activation_file.destinations[name]
    for place, alert in enumerate(settings.alerts):
        here = (name, "alerts", place)
        if alert.webhook is not None:
            channels.append(WebhookChannel(_secret(workspace, (*here, "webhook"), alert.webhook)))
        if alert.email is not None:
            mail = alert.email
            there = (*here, "email", "password")
            password = None if mail.password is None else _secret(workspace, there, mail.password)
            channels.append(EmailChannel(mail.host, mail.port, mail.sender, mail.recipients, mail.user, password))
    return channels


def _value(workspace: Workspace, location: tuple[str | int, ...], value: Any) -> Any:
    if isinstance(value, SecretName):
        secret = _secret(workspace, location, value)
        # An address that is a credential is an address to its connector; the text is kept out of messages all the same.
        return secret.reveal() if location[-1] == "url" else secret
    return workspace.folder / value if isinstance(value, FolderName) else value


def _secret(workspace: Workspace, location: tuple[str | int, ...], reference: str) -> Secret:
    kind, _, path = reference.partition(":")
    if kind == "file":
        reference = f"file:{workspace.folder / Path(path)}"
    try:
        return read_secret(reference)
    except SecretMissing as missing:
        raise _error(workspace, location, str(missing)) from None


def _error(workspace: Workspace, location: tuple[str | int, ...], message: str) -> SettingsError:
    return SettingsFile(workspace.folder / "activation.yml").error(("destinations", *location), message)
