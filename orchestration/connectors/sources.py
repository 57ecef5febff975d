"""From a connector to a dlt resource that yields what is new: records as JSON text, or files of a bucket.

What belongs here: what is asked of an API, a database or a bucket. Where it is put stands in `fetch.py`. A record stays
the JSON that its source gave, as text, so that no column is renamed, retyped or split on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import dlt
import fsspec
from dlt.common import json, jsonpath
from dlt.extract.resource import DltResource
from dlt.sources.filesystem import filesystem
from dlt.sources.helpers.requests import Client
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client import paginators as paginate
from dlt.sources.sql_database import sql_table
from fsspec import AbstractFileSystem
from fsspec.registry import known_implementations
from requests import PreparedRequest, Response
from requests.auth import AuthBase, HTTPBasicAuth
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from orchestration.connectors.settings import (
    Authorization,
    BucketSource,
    Connector,
    Cursor,
    DatabaseSource,
    Pages,
    RestSource,
    Secret,
)

RECORD, FILE = "record", "file"
ROWS_AT_ONCE = 10_000
REDIRECTS = (301, 302, 303, 307, 308)


class UnusableAnswer(Exception):
    """An answer that holds no records where they should be; the message holds nothing of it."""


def records_of(connector: Connector, folder: Path) -> DltResource:
    """A resource named as the connector, with one text column: `record`, or `file` for a bucket.

    Args:
        connector: what to read.
        folder: the workspace.

    Raises:
        LookupError: a secret is missing.
    """
    settings, name = connector.settings, connector.name
    if settings.bucket:
        return _bucket(name, settings.bucket, folder)
    rows = (
        _rest(f"{name}_rows", settings.rest, settings.cursor, folder)
        if settings.rest
        else _database(f"{name}_rows", settings.database, settings.cursor, folder)  # type: ignore[arg-type]
    )

    @dlt.transformer(data_from=rows, name=name, write_disposition="append")
    def as_text(page: Any) -> Iterator[list[dict[str, str]]]:
        yield [{RECORD: json.dumps(row)} for row in (page if isinstance(page, list) else [page])]

    return as_text


def _since(cursor: Cursor | None, start: str | float | None = None) -> Any:
    """dlt remembers the highest value, and which rows had it; a row without one is always taken."""
    if cursor is None:
        return None
    return dlt.sources.incremental(cursor.field, initial_value=start, on_cursor_value_missing="include", row_order=None)


class _OnlyForItsServer(AuthBase):
    """Adds the secret to requests to the server it is for, and to none that a link in an answer leads to."""

    def __init__(self, url: str, add: AuthBase):
        self._server, self._add = urlsplit(url)[:2], add

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        is_its_server = urlsplit(str(request.url))[:2] == self._server
        return self._add(request) if is_its_server else request  # type: ignore[no-any-return]


class _Header(AuthBase):
    def __init__(self, name: str, value: str):
        self._name, self._value = name, value

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[self._name] = self._value
        return request


class _Api(RESTClient):
    """Refuses an answer that lacks the records, which dlt would take for an empty page."""

    def extract_response(self, response: Response, data_selector: Any) -> list[Any]:
        found = jsonpath.find_values(data_selector, response.json())
        if not found or not isinstance(found[0], list):
            raise UnusableAnswer(f"the answer holds no list at `records: {data_selector}`")
        return list(found[0])


def _rest(name: str, source: RestSource, cursor: Cursor | None, folder: Path) -> DltResource:
    auth = _authorization(source.authorization, folder)
    client = _Api(
        base_url=source.url,
        headers=dict(source.headers),
        auth=_OnlyForItsServer(source.url, auth) if auth else None,
        paginator=_paginator(source.pages),
        data_selector=source.records,
        session=Client(raise_for_status=False).session,
    )

    def pages(since: Any) -> Iterator[list[Any]]:
        parameters: dict[str, Any] = dict(source.parameters)
        if cursor and cursor.parameter and since.start_value is not None:
            parameters[cursor.parameter] = since.start_value
        hooks: Any = {"response": [_no_redirect]}
        for page in client.paginate(source.url, params=parameters, hooks=hooks, allow_redirects=False):
            yield list(page)

    if cursor is None:
        return dlt.resource(lambda: pages(None), name=name, selected=False)
    from_the_start = _since(cursor, cursor.start)

    @dlt.resource(name=name, selected=False)
    def new_pages(since: Any = from_the_start) -> Iterator[list[Any]]:
        yield from pages(since)

    return new_pages  # type: ignore[no-any-return]


def _no_redirect(response: Response, *_: Any, **__: Any) -> None:
    if response.status_code in REDIRECTS:
        raise UnusableAnswer("the server sends us elsewhere; state the address it really has")
    response.raise_for_status()


def _authorization(given: Authorization | None, folder: Path) -> AuthBase | None:
    if given is None:
        return None
    secret = given.bearer or given.secret
    value = secret.read(folder) if secret else ""
    if given.user is not None:
        return HTTPBasicAuth(given.user, value)
    return _Header("Authorization", f"Bearer {value}") if given.bearer else _Header(str(given.header), value)


def _paginator(pages: Pages | None) -> paginate.BasePaginator:
    if pages is None:
        return paginate.SinglePagePaginator()
    if pages.next_link:
        return paginate.JSONLinkPaginator(next_url_path=pages.next_link)
    if pages.next_header:
        return paginate.HeaderLinkPaginator()
    if pages.cursor:
        return paginate.JSONResponseCursorPaginator(cursor_path=pages.cursor, cursor_param=pages.parameter)
    if pages.page:
        return paginate.PageNumberPaginator(base_page=pages.first, page_param=pages.page, total_path=None)
    return paginate.OffsetPaginator(
        limit=int(pages.limit or 1), offset_param=pages.offset, limit_param="limit", total_path=None
    )


def _database(name: str, source: DatabaseSource, cursor: Cursor | None, folder: Path) -> DltResource:
    # Where the first fetch begins is compared by the database, which knows the column's type.
    engine = create_engine(source.url.read(folder), hide_parameters=True, poolclass=NullPool)
    if source.table is not None:
        schema, _, table = source.table.rpartition(".")

        def from_the_start(query: Any, columns: Any, *_: Any) -> Any:
            begins = cursor is not None and cursor.start is not None
            return query.where(columns.c[cursor.field] >= cursor.start) if begins else query  # type: ignore[union-attr]

        resource: DltResource = sql_table(
            engine,
            table=table,
            schema=schema or None,
            incremental=_since(cursor),
            chunk_size=ROWS_AT_ONCE,
            query_adapter_callback=from_the_start,
        )
        resource.selected = False
        return resource.with_name(name)

    def rows(since: Any) -> Iterator[list[dict[str, Any]]]:
        values = {} if since is None or cursor is None else {"since": since.start_value or cursor.start}
        with engine.connect().execution_options(yield_per=ROWS_AT_ONCE) as connection:
            for some in connection.execute(text(str(source.query)), values).mappings().partitions():
                yield [dict(row) for row in some]

    if cursor is None:
        return dlt.resource(lambda: rows(None), name=name, selected=False)
    from_the_last = _since(cursor)

    @dlt.resource(name=name, selected=False)
    def new_rows(since: Any = from_the_last) -> Iterator[list[dict[str, Any]]]:
        yield from rows(since)

    return new_rows  # type: ignore[no-any-return]


def bucket_store(source: BucketSource, folder: Path) -> AbstractFileSystem:
    """The bucket, opened anew: fsspec keeps what it has listed, and would not see what was delivered since.

    Args:
        source: which bucket, and what its library needs to open it.
        folder: the workspace, which the paths of secrets are relative to.

    Raises:
        LookupError: a secret is missing, or the library for this kind of bucket.
    """
    scheme = urlsplit(source.url).scheme
    options = {
        name: value.read(folder) if isinstance(value, Secret) else value for name, value in source.options.items()
    }
    try:
        return fsspec.filesystem(scheme, skip_instance_cache=True, **options)
    except ImportError as missing:
        package = missing.name or str(known_implementations.get(scheme, {}).get("class", "")).partition(".")[0]
        raise LookupError(f"{scheme}:// needs one more package: pip install {package}") from None
    except ValueError as unknown:
        if scheme in known_implementations:
            raise
        raise LookupError(f"'{scheme}' is no kind of bucket; there are s3://, gs://, az:// and file://") from unknown


def path_in_bucket(source: BucketSource, store: AbstractFileSystem, path: str) -> str:
    """What the bucket's library calls a file of it."""
    return f"{str(store._strip_protocol(source.url)).rstrip('/')}/{path}"


def _bucket(name: str, source: BucketSource, folder: Path) -> DltResource:
    store = bucket_store(source, folder)
    listed = filesystem(bucket_url=source.url, credentials=store, file_glob=source.files)

    @dlt.resource(name=name, write_disposition="append")
    def new_files() -> Iterator[dict[str, str]]:
        """Known by name, size, time and content, so that a file that arrives late with an old date is found as well."""
        known = dlt.current.resource_state().setdefault("files", {})
        for item in listed:
            for file in item if isinstance(item, list) else [item]:
                path = str(PurePosixPath(file["relative_path"]))
                mark = [file["size_in_bytes"], file["modification_date"].isoformat()]
                # S3 tells times in whole seconds; its ETag changes with the content, and stands in the listing.
                mark += [tag] if (tag := store.info(path_in_bucket(source, store, path)).get("ETag")) else []
                if known.get(path) != mark:
                    known[path] = mark
                    yield {FILE: json.dumps({"path": path, "bytes": mark[0]})}

    return new_files  # type: ignore[no-any-return]
