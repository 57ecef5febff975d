"""A mapping proposed for a file: which entity its rows are, and which of its columns is which.

What belongs here: guessing, by the names in the header and by what the columns hold. A guess is written down to be read
and corrected, and what only the values tell is marked; nothing is guessed at run time.
"""

from __future__ import annotations

import codecs
import difflib
import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import duckdb
import yaml

from data_contracts.contract import ENTITIES, Column, Contract
from orchestration.contracts import Contracts
from orchestration.ingest.extracts import NAME
from orchestration.ingest.first_values import formats_that_read, read_values
from orchestration.ingest.harmonize import Harmonizer
from orchestration.ingest.reading import Extract, ExtractTable, UnreadableExtract, read_extract, reason
from orchestration.mapping import (
    ENTITIES_WITH_ATTRIBUTES,
    FORMATTED_TYPES,
    TO_BE_NAMED,
    ColumnSource,
    Encoding,
    ExtractSettings,
    MappedEntity,
    slug,
)
from orchestration.mapping import Mapping as MappingFile
from orchestration.settings_file import SettingsError
from orchestration.sql import identifier

PROPOSED_FROM = 0.78  # similarity of names from which a column is proposed
ROWS_LOOKED_AT = 10_000
BYTES_LOOKED_AT = 1_000_000
PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"PK")  # gzip, zstd, Parquet, zip: no text
FEWEST_ROWS_OF_A_KEY = 20  # with fewer rows, columns without a value twice are too common
FOUND_AMONG_KEYS = 0.8  # share of different values from which a column names the rows of another file
STAND_ONCE = 0.8  # share of different values from which a column may be a key
MOST_WORDS = 30  # different values from which a column is no list of words that could be translated
SIMILAR_WORD = 0.7
BY_VALUES = "guessed from what the column holds"
SYNONYMS = {
    "contact_id": (
        *("customer_id", "customer", "customer_no", "customer_number", "cust_id", "cust_no", "client_id", "client_no"),
        *("user_id", "member_id", "person_id", "subscriber_id", "who", "kundennummer", "kunden_nr"),
    ),
    "email": ("email_address", "e_mail", "mail", "mail_addr", "e_mail_adresse"),
    "phone": ("phone_number", "mobile", "telephone", "telefon"),
    "first_name": ("given_name", "given", "forename", "vorname"),
    "last_name": ("family_name", "surname", "nachname"),
    "country": ("ctry", "country_code", "land"),
    "city": ("town", "ort", "stadt"),
    "postal_code": ("zip", "zip_code", "postcode", "plz"),
    "order_id": ("invoice_no", "invoice", "order_number", "order_no", "transaction_id", "transaction"),
    "ordered_at": ("order_date", "invoice_date", "purchased_at", "purchase_date", "date", "created_at", "timestamp"),
    "order_amount": ("amount", "total", "total_price", "revenue", "value", "grand_total", "price"),
    "order_status": ("status", "financial_status"),
    "order_channel": ("channel", "source"),
    "recorded_at": ("date", "timestamp"),
    "consent_state": ("decision",),
    "consent_source": ("origin",),
    "channel": ("medium",),
    "occurred_at": (
        "timestamp",
        "ts",
        "event_time",
        "event_timestamp",
        "time",
        "date",
        "created_at",
        "when",
        "datetime",
    ),
    "event_type": ("type", "event", "action", "event_name"),
    "event_name": ("event", "name", "action"),
    "page_url": ("url", "link", "page", "page_location"),
    "browser": ("user_agent", "browser_used"),
    "device_id": ("user_pseudo_id", "anonymous_id", "visitor_id", "cookie_id", "domain_userid"),
    "created_at": ("created", "signup_date", "signed_up", "registered_at", "create_date", "joined"),
    "updated_at": ("updated", "modified_at", "last_modified"),
    "account_id": ("company_id", "organization_id"),
    "account_name": ("company", "company_name", "organization", "name"),
    "product_id": ("sku", "stock_code", "item_id"),
    "product_name": ("description", "item", "product"),
    "employee_count": ("employees", "company_size"),
    "job_title": ("title", "position"),
}


# How files of an entity are called: the beginnings of words.
CALLED = {
    "contacts": ("contact", "customer", "client", "people", "person", "user", "member", "subscriber", "lead", "kunde"),
    "accounts": ("account", "compan", "organi", "firm"),
    "events": ("event", "hit", "activit", "log", "click", "view", "visit", "track"),
    "orders": ("order", "invoice", "purchase", "transaction", "sale", "bestell", "rechnung"),
    "order_lines": ("line", "item", "position"),
    "deals": ("deal", "opportunit", "pipeline"),
    "messages": ("message", "mailing", "email", "newsletter", "campaign"),
    "tickets": ("ticket", "support", "case"),
    "survey_answers": ("survey", "answer", "nps", "feedback"),
    "consents": ("consent", "preference", "permission"),
    "ad_costs": ("ad", "ads", "cost", "spend"),
}
# Entities whose rows others name: what they are called alone may stand for their key.
NAMED_ALONE = ("contact_id", "account_id", "order_id", "deal_id", "ticket_id", "message_id")


@dataclass(frozen=True)
class Proposal:
    """A mapping that is proposed for one file.

    Attributes:
        entity: what its rows seem to be.
        text: the mapping, as YAML; `TO_BE_NAMED` stands where the file does not tell, and a run asks for it.
        earliest: the earliest day its rows tell of, where that can be read.
    """

    entity: str
    text: str
    earliest: date | None


@dataclass(frozen=True)
class _Guess:
    """Where a canonical column comes from, and why that is thought."""

    source: ColumnSource
    note: str = ""


@dataclass
class _File:
    """One file that is looked at, and what is thought of it so far.

    Attributes:
        path: the file.
        name: its path below the data folder.
        table: the whole of it.
        first_rows: its first rows, in memory.
        contract: of the entity it seems to hold.
        guesses: where each canonical column comes from.
    """

    path: Path
    name: str
    table: ExtractTable
    first_rows: ExtractTable
    contract: Contract
    guesses: dict[str, _Guess] = field(default_factory=dict)

    @property
    def left(self) -> list[str]:
        """The columns that nothing was made of."""
        used = {guess.source.column for guess in self.guesses.values()}
        return [column for column in self.table.columns if column not in used]


def propose(paths: Sequence[Path], data: Path, contracts: Contracts) -> list[Proposal]:
    """A mapping for each file, in their order.

    The header decides which entity a file holds and which column is which. Then its first rows are looked at: for a
    time or key that the entity needs and the header does not tell, for columns that name the rows of another of the
    files, for how times and numbers are written, and for words that mean one of a list of ours.

    Args:
        paths: the files.
        data: the folder that they are in or below.
        contracts: what the entities' columns are.

    Raises:
        SettingsError: a file cannot be read.
    """
    with duckdb.connect() as connection:
        files = [_read(connection, number, path.resolve(), data, contracts) for number, path in enumerate(paths)]
        for each in files:
            _complete(connection, each)
        for each in files:
            _refer(connection, each, files)
        for each in files:
            _understand(connection, each)
        return [Proposal(each.contract.entity, _text(each), _earliest_day(connection, each)) for each in files]


def quoted(text: str) -> str:
    """A YAML scalar that reads as `text`; plain where it is a word that YAML takes for nothing else."""
    is_plain = slug(text).replace("_", "") == text.lower().replace("_", "") and yaml.safe_load(text) == text
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _read(connection: duckdb.DuckDBPyConnection, number: int, path: Path, data: Path, contracts: Contracts) -> _File:
    """A file's header, the entity it seems to hold, and the columns whose names are near."""
    name = path.relative_to(data).as_posix()
    settings = ExtractSettings(files=name, encoding=_encoding(path))
    mapping = MappingFile(name=path.stem, path=path, extract=settings, timezone="UTC", entities=(), content_hash="")
    try:
        table = read_extract(connection, Extract(mapping, path, name, None))
        sample = identifier(f"first_rows_{number}")
        connection.execute(f"create temp table {sample} as select * from {table.relation} limit {ROWS_LOOKED_AT}")
    except UnreadableExtract as error:
        raise SettingsError(path, None, str(error)) from None
    except duckdb.Error as error:
        raise SettingsError(path, None, f"{name}: {reason(error)}") from None
    columns = list(table.columns)
    if sum(bool(NAME.fullmatch(column)) for column in columns) * 2 < len(columns):
        raise SettingsError(path, 1, "this line holds no names of columns; put a header above the first row")
    guesses = {entity: _near_names(contracts[entity], columns) for entity in ENTITIES}
    first_rows = replace(table, relation=sample)
    entity = max(ENTITIES, key=lambda each: _fit(connection, first_rows, contracts[each], guesses[each]))
    found = {name: _Guess(ColumnSource(column=column)) for name, column in guesses[entity].items()}
    return _File(path, name, table, first_rows, contracts[entity], found)


def _encoding(path: Path) -> Encoding:
    """How a text file is encoded, by its first bytes; of others the answer does not matter."""
    with path.open("rb") as stream:
        first = stream.read(BYTES_LOOKED_AT)
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if first.startswith(PACKED):
        return "utf-8"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(first)  # incremental: a character may be cut at the end
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _near_names(contract: Contract, columns: Sequence[str]) -> dict[str, str]:
    """The extract's column for each canonical column, where the names are near; each column is used once."""
    scored = sorted(
        (
            (
                max(_similarity(slug(column), name) for name in _names_of(contract, canonical)),
                canonical,
                column,
            )
            for canonical in contract.column_names
            for column in columns
        ),
        key=lambda each: (-each[0], contract.column_names.index(each[1]), columns.index(each[2])),
    )
    guess: dict[str, str] = {}
    for similarity, canonical, column in scored:
        if similarity >= PROPOSED_FROM and canonical not in guess and column not in guess.values():
            guess[canonical] = column
    return guess


def _names_of(contract: Contract, canonical: str) -> Iterator[str]:
    """What files call a column: its name, synonyms, and its name without what is plain from the file."""
    yield canonical
    yield from SYNONYMS.get(canonical, ())
    if canonical.endswith("_at"):
        yield canonical.removesuffix("_at")
    if canonical in NAMED_ALONE:
        yield canonical.removesuffix("_id")
    if contract.primary_key == (canonical,):
        yield from ("id", "key")
    elif canonical.startswith(("ticket_", "deal_", "order_", "consent_")):
        yield canonical.partition("_")[2]


def _similarity(column: str, name: str) -> float:
    return 1.0 if column == name else 0.97 * difflib.SequenceMatcher(None, column, name).ratio()


def _fit(
    connection: duckdb.DuckDBPyConnection, first_rows: ExtractTable, contract: Contract, guess: Mapping[str, str]
) -> tuple[int, int, int]:
    """How well a file fits an entity: by what it is called, by what the entity needs, and by how much is recognized.

    A file in which a key stands again and again holds no entity of that key, but something that happened to it.
    """
    is_complete = all(column in guess for column in _needed(contract))
    key = guess.get(contract.primary_key[0]) if len(contract.primary_key) == 1 else None
    is_whole = is_complete and (key is None or _stands_once(connection, first_rows, key))
    words = slug(first_rows.extract.path.name.split(".")[0]).split("_")
    is_called_so = any(word.startswith(CALLED[contract.entity]) for word in words)
    return (is_called_so + is_whole, len(guess), -ENTITIES.index(contract.entity))


def _stands_once(connection: duckdb.DuckDBPyConnection, first_rows: ExtractTable, column: str) -> bool:
    """Whether a column's values are, but for some versions of the same row, different from row to row."""
    rows, different = connection.execute(
        f"select count({first_rows.column_sql(column)}), count(distinct {first_rows.column_sql(column)}) "
        f"from {first_rows.relation}"
    ).fetchall()[0]
    return bool(rows < FEWEST_ROWS_OF_A_KEY or different >= STAND_ONCE * rows)


def _needed(contract: Contract) -> list[str]:
    return [column.name for column in contract.columns if column.required]


def _complete(connection: duckdb.DuckDBPyConnection, file: _File) -> None:
    """The time and the key that the entity needs, where only one column, or a first one, can be it."""
    contract = file.contract
    missing = [name for name in _needed(contract) if name not in file.guesses]
    if contract.time_column in missing:
        times = [column for column in file.left if _times(connection, file, column)]
        if len(times) == 1:
            file.guesses[contract.time_column] = _Guess(ColumnSource(column=times[0]), BY_VALUES)
    if contract.primary_key and contract.primary_key[0] in missing and len(contract.primary_key) == 1:
        keys = [column for column in file.left if _is_key(connection, file, column)]
        if keys:
            file.guesses[contract.primary_key[0]] = _Guess(ColumnSource(column=keys[0]), BY_VALUES)


def _times(connection: duckdb.DuckDBPyConnection, file: _File, column: str) -> bool:
    """Whether a column holds times, in whatever format."""
    canonical = next(each for each in file.contract.columns if each.type in ("TIMESTAMP", "DATE"))
    return _reads(connection, file, canonical, column) or bool(
        formats_that_read(connection, file.first_rows, file.contract, canonical, column)
    )


def _reads(connection: duckdb.DuckDBPyConnection, file: _File, canonical: Column, column: str) -> bool:
    """Whether a run would read every value of a column, without a format."""
    sources = {canonical.name: ColumnSource(column=column)}
    return read_values(connection, file.first_rows, file.contract, sources)[canonical.name].are_all_read


def _is_key(connection: duckdb.DuckDBPyConnection, file: _File, column: str) -> bool:
    value = f"nullif(trim({file.table.column_sql(column)}::varchar), '')"
    rows, different = connection.execute(
        f"select count(*), count(distinct {value}) from {file.first_rows.relation}"
    ).fetchall()[0]
    return rows == different >= FEWEST_ROWS_OF_A_KEY and not _times(connection, file, column)


def _refer(connection: duckdb.DuckDBPyConnection, file: _File, files: Sequence[_File]) -> None:
    """Columns whose values are the keys of another file's rows."""
    for reference in file.contract.references:
        others = [each for each in files if each is not file and each.contract.entity == reference.entity]
        if reference.column in file.guesses or not others:
            continue
        shares = {
            column: max(_found(connection, file, column, each, reference.entity_column) for each in others)
            for column in file.left
        }
        best = max(shares, key=lambda column: shares[column], default=None)
        if best is not None and shares[best] >= FOUND_AMONG_KEYS:
            file.guesses[reference.column] = _Guess(ColumnSource(column=best), BY_VALUES)


def _found(connection: duckdb.DuckDBPyConnection, file: _File, column: str, other: _File, key: str) -> float:
    """The share of a column's different values that are keys of another file."""
    guess = other.guesses.get(key)
    if guess is None or guess.source.column is None:
        return 0.0
    value = f"nullif(trim({file.table.column_sql(column)}::varchar), '')"
    keys = f"select trim({other.table.column_sql(guess.source.column)}::varchar) from {other.table.relation}"
    share = connection.execute(
        f"with given as (select distinct {value} as value from {file.first_rows.relation}) "
        f"select count(*) filter (where value in ({keys})) / nullif(count(value), 0) from given"
    ).fetchall()[0][0]
    return share or 0.0


def _understand(connection: duckdb.DuckDBPyConnection, file: _File) -> None:
    """How times and numbers are written, and what words mean, where the values say so."""
    for column in file.contract.columns:
        guess = file.guesses.get(column.name)
        if guess is None or guess.source.column is None:
            continue
        if column.allowed_values:
            _translate(connection, file, column, guess)
        elif column.type in FORMATTED_TYPES:
            _state_format(connection, file, column, guess)


def _state_format(connection: duckdb.DuckDBPyConnection, file: _File, column: Column, guess: _Guess) -> None:
    """The one format that reads every value; of several, a person has to say which."""
    source = str(guess.source.column)
    if file.table.columns[source] != "VARCHAR" or _reads(connection, file, column, source):
        return
    fitting = formats_that_read(connection, file.first_rows, file.contract, column, source)
    if not fitting:
        return
    note = guess.note if len(fitting) == 1 else f"it may be any of {', '.join(fitting)}: the values do not tell"
    stated = fitting[0] if len(fitting) == 1 else TO_BE_NAMED
    file.guesses[column.name] = _Guess(guess.source.model_copy(update={"format": (stated,)}), note)


def _translate(connection: duckdb.DuckDBPyConnection, file: _File, column: Column, guess: _Guess) -> None:
    """Each word that is none of ours, with the one of ours that is nearest; where none is, a person has to say."""
    source = str(guess.source.column)
    value = f"trim({file.table.column_sql(source)}::varchar)"
    rows = connection.execute(
        f"select distinct {value} as word from {file.first_rows.relation} where {value} <> '' "
        f"order by word limit {MOST_WORDS + 1}"
    ).fetchall()
    words = [row[0] for row in rows]
    foreign = [word for word in words if word not in column.allowed_values]
    if not foreign:
        return
    if column.name == "event_type":  # the words themselves tell more than our short list
        file.guesses.setdefault("event_name", _Guess(ColumnSource(column=source), guess.note))
    if len(words) > MOST_WORDS:
        meant = {"*": _nearest_word("", column)}
    else:
        meant = {word: _nearest_word(word, column) for word in foreign}
    is_open = TO_BE_NAMED in meant.values()
    note = f"ours are: {', '.join(column.allowed_values)}" if is_open or "other" in meant.values() else guess.note
    file.guesses[column.name] = _Guess(guess.source.model_copy(update={"values": meant}), note)


def _nearest_word(word: str, column: Column) -> str:
    near = difflib.get_close_matches(slug(word), column.allowed_values, n=1, cutoff=SIMILAR_WORD) if word else []
    return near[0] if near else "other" if "other" in column.allowed_values else TO_BE_NAMED


def _earliest_day(connection: duckdb.DuckDBPyConnection, file: _File) -> date | None:
    """The earliest day in the time column, as far as its values can be read."""
    time = file.contract.time_column
    guess = file.guesses.get(time)
    if guess is None or TO_BE_NAMED in guess.source.format:
        return None
    entity = MappedEntity(entity=file.contract.entity, where=None, columns={time: guess.source}, attributes=())
    try:
        harmonizer = Harmonizer(connection, file.table)
        rows = harmonizer.typed_rows(harmonizer.columns(entity, file.contract))
        row = connection.execute(f"select min({identifier(time)})::date from {rows}").fetchall()[0]
    except duckdb.Error as error:
        raise SettingsError(file.path, None, f"{file.name}: {reason(error)}") from None
    earliest: date | None = row[0]
    return earliest


def _text(file: _File) -> str:
    lines = [
        "# Proposed from the file's header and first rows: read every line, correct what is wrong.",
        "# Left of each colon stands our column, right of it yours.",
        "extract:",
        f"  files: {quoted(glob.escape(file.name))}",
        *([f"  encoding: {encoding}"] if (encoding := file.table.extract.mapping.extract.encoding) != "utf-8" else []),
        "entities:",
        f"  {file.contract.entity}:",
        "    columns:",
    ]
    unknown = []
    for column in file.contract.columns:
        guess = file.guesses.get(column.name)
        if guess is not None:
            note = f"    # {guess.note}" if guess.note else ""
            lines.append(f"      {column.name}: {_source_text(guess.source)}{note}")
        elif column.required:
            lines.append(f"      {column.name}: {TO_BE_NAMED}    # required: {column.description}")
        else:
            unknown.append(column.name)
    if unknown:
        lines.append(f"      # Could be named as well (what each is: examples/{file.contract.entity}.yml):")
        lines += [f"      # {line}" for line in _wrapped(unknown)]
    if file.left and file.contract.entity in ENTITIES_WITH_ATTRIBUTES:
        lines.append("    attributes:    # make one a feature, label, text, identifier or sensitive; or ignore it")
        lines += [f"      {quoted(column)}: ignore" for column in file.left]
    elif file.left:
        lines.append(f"    # not used: {', '.join(file.left)}")
    return "\n".join(lines) + "\n"


def _source_text(source: ColumnSource) -> str:
    parts = [f"column: {quoted(str(source.column))}"]
    if source.format:
        parts.append(f"format: {quoted(source.format[0])}")
    if source.values:
        words = ", ".join(f"{json.dumps(word, ensure_ascii=False)}: {meant}" for word, meant in source.values.items())
        parts.append(f"values: {{{words}}}")
    return quoted(str(source.column)) if len(parts) == 1 else f"{{{', '.join(parts)}}}"


def _wrapped(names: Sequence[str], width: int = 100) -> list[str]:
    lines = [""]
    for name in names:
        if lines[-1] and len(lines[-1]) + len(name) > width:
            lines.append("")
        lines[-1] += (", " if lines[-1] else "") + name
    return lines
