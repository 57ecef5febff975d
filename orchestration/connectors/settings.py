"""What `connectors.yml` may say: which API, database or bucket is read, from where on, and where its secrets are.

What belongs here: reading and validating. Secrets stand in environment variables or files that are named here, never in
the YAML itself; they are looked up when something is fetched.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestration.settings_file import SettingsError, SettingsFile

CONNECTORS_FILE = "connectors.yml"
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
SINCE = ":since"


class Part(BaseModel):
    """A part of `connectors.yml`: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(Part):
    """Where a secret stands: in an environment variable, or alone in a file."""

    environment: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_never_written_here(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise ValueError("a secret is never written here; name `{environment: NAME}` or `{file: PATH}`")
        return given

    @model_validator(mode="after")
    def _exactly_one_place(self) -> Secret:
        if (self.environment is None) == (self.file is None):
            raise ValueError("say exactly one of `environment:` and `file:`")
        return self

    def read(self, folder: Path) -> str:
        """The secret.

        Args:
            folder: the workspace, which a file's path is relative to.

        Raises:
            LookupError: there is none, or it is empty.
        """
        if self.environment is not None:
            value, where = os.environ.get(self.environment, ""), f"the environment variable {self.environment}"
        else:
            path = folder / str(self.file)
            value, where = (path.read_text(encoding="utf-8") if path.is_file() else ""), f"the file {self.file}"
        if not value.strip():
            raise LookupError(f"{where} is missing or empty; it holds a secret of a connector")
        return value.strip()


class Authorization(Part):
    """How requests show who asks: a bearer token, a header, or a user with a password."""

    bearer: Secret | None = None
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    user: str | None = None
    secret: Secret | None = None

    @model_validator(mode="after")
    def _is_one_way(self) -> Authorization:
        ways = [self.bearer is not None, self.header is not None, self.user is not None]
        if sum(ways) != 1 or (self.secret is None) == (self.bearer is None):
            raise ValueError("say `bearer: ...`, or `header: NAME` or `user: NAME` with `secret: ...`")
        return self


class Pages(Part):
    """How an API hands out its answer in pages.

    Attributes:
        next_link: path to the address of the next page in the answer.
        next_header: whether that address stands in the header `Link`.
        cursor: path to a mark in the answer that is sent back as `parameter`.
        page: parameter that counts pages, from `first`.
        offset: parameter that counts records, `limit` of them a page.
    """

    next_link: str | None = None
    next_header: bool = False
    cursor: str | None = None
    parameter: str | None = None
    page: str | None = None
    first: int = 1
    offset: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _is_one_way(self) -> Pages:
        if sum(map(bool, (self.next_link, self.next_header, self.cursor, self.page, self.offset))) != 1:
            raise ValueError("say exactly one of `next_link:`, `next_header:`, `cursor:`, `page:` and `offset:`")
        if bool(self.cursor) != bool(self.parameter) or bool(self.offset) != bool(self.limit):
            raise ValueError("`cursor:` goes with `parameter:`, and `offset:` with `limit:`")
        return self


class RestSource(Part):
    """An API that answers with JSON."""

    url: str
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    authorization: Authorization | None = None
    records: str = "$"
    pages: Pages | None = None

    @field_validator("url")
    @classmethod
    def _is_an_address_without_secrets(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address begins with https:// (or http://)")
        if parts.username or parts.password:
            raise ValueError("a secret is never written here; use `authorization:`")
        return url


class DatabaseSource(Part):
    """A SQL database: a table, or a query that may name `:since`."""

    url: Secret
    table: Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)?$")] | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _table_or_query(self) -> DatabaseSource:
        if (self.table is None) == (self.query is None):
            raise ValueError("say exactly one of `table:` and `query:`")
        return self


class BucketSource(Part):
    """A folder in an object store, or `file://` for one on this machine."""

    url: str
    files: str = "**/*"
    options: dict[str, Secret | str | int | bool] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _has_a_scheme(cls, url: str) -> str:
        if not re.match(r"^[a-z0-9]+://.", url):
            raise ValueError("a bucket's address begins with its kind: s3://, gs://, az:// or file://")
        return url


class Cursor(Part):
    """Which field tells what is new, and where the first fetch begins."""

    field: str
    parameter: str | None = None
    start: str | int | float | None = None

    @field_validator("start", mode="before")
    @classmethod
    def _a_date_is_text(cls, given: Any) -> Any:
        return given if given is None or isinstance(given, str | int | float) else str(given)


class ConnectorSettings(Part):
    """One connector."""

    rest: RestSource | None = None
    database: DatabaseSource | None = None
    bucket: BucketSource | None = None
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ConnectorSettings:
        if sum(each is not None for each in (self.rest, self.database, self.bucket)) != 1:
            raise ValueError("say exactly one of `rest:`, `database:` and `bucket:`")
        if self.bucket and self.cursor:
            raise ValueError("a bucket needs no cursor; what is new is known by name, size and time")
        if self.database and self.database.query and bool(self.cursor) != (SINCE in self.database.query):
            raise ValueError("a query with a cursor names it: `where updated_at >= :since`")
        if self.database and self.database.query and self.cursor and self.cursor.start is None:
            raise ValueError("a query's cursor needs `start:`")
        return self


class ConnectorsContent(Part):
    """What `connectors.yml` says."""

    connectors: Annotated[dict[str, ConnectorSettings], Field(min_length=1)]


@dataclass(frozen=True)
class Connector:
    """One connector, validated."""

    name: str
    settings: ConnectorSettings

    @property
    def kind(self) -> Literal["rest", "database", "bucket"]:
        """What it reads."""
        return "rest" if self.settings.rest else "database" if self.settings.database else "bucket"


def read_connectors(folder: Path) -> tuple[Connector, ...]:
    """The connectors of a workspace, by name; none where it has no `connectors.yml`.

    Raises:
        SettingsError: with line and the nearest valid name.
    """
    path = folder / CONNECTORS_FILE
    if not path.exists():
        return ()
    file = SettingsFile(path)
    content = file.parse(ConnectorsContent)
    for name in content.connectors:
        if not NAME.fullmatch(name):
            raise file.error(
                ("connectors", name), f"the name '{name}' must be lower case letters, digits and underscores"
            )
    return tuple(Connector(name, settings) for name, settings in sorted(content.connectors.items()))


def check_secrets(folder: Path, connectors: tuple[Connector, ...]) -> None:
    """Every secret is there, before anything is asked for.

    Raises:
        SettingsError: one is missing; its name and line, never a value.
    """
    for connector in connectors:
        for secret in _secrets(connector.settings):
            try:
                secret.read(folder)
            except LookupError as missing:
                file = SettingsFile(folder / CONNECTORS_FILE)
                raise SettingsError(file.path, file.line(("connectors", connector.name)), str(missing)) from None


def _secrets(part: object) -> list[Secret]:
    if isinstance(part, Secret):
        return [part]
    if isinstance(part, dict):
        return [secret for value in part.values() for secret in _secrets(value)]
    return [secret for _, value in part for secret in _secrets(value)] if isinstance(part, BaseModel) else []
