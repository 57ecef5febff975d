"""Audience files for advertising platforms: addresses and names normalized and hashed as each platform documents.

Here belong the normalization, the hashing and the rows of each platform. Whom a platform may look up is decided by the
gate, and only what it sealed is written: by `destinations/hashed_audience.py` as deliveries, by `write_hashed_audience`
as files of look-alikes. Telephone numbers come as E.164: whoever knows a contact's country reads them so.

What each platform documents (November 2026; where its pages contradict each other, there is a setting):

- Google Customer Match: e-mail without any spaces, in lower case, for gmail.com and googlemail.com also without dots
  and `+suffix`; telephone as E.164 with `+`; names trimmed, in lower case; country and postal code are *not* hashed.
- Meta: e-mail trimmed, in lower case; telephone as digits with the country's code; names without punctuation; town
  without punctuation and spaces; postal code without spaces and dashes, of the US its first five digits; all hashed.
- LinkedIn: e-mail trimmed, in lower case. Names and titles would be matched unhashed: those columns stay empty.
- TikTok: e-mail without spaces, in lower case; telephone as E.164, with or without `+`; at least 1,000 rows.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl

from activation.answers import read_frame
from activation.audience import ADS
from activation.publishing import file_sha256
from activation.sync.gated import GatedAudience, NotGated, relation_fingerprint, require_gated, source_columns
from activation.sync.payload import quoted

ADVERTISING = "advertising"
"""The purpose that people have to allow: consent to e-mails or to profiling is none to be looked up by a platform."""

HASHED_FILES = "hashed_files"
"""The destination that the gate seals for where `write_hashed_audience` writes."""

PhoneStyle = Literal["with_plus", "digits"]

NOTHING_TO_MATCH = "no usable e-mail address and no usable telephone number"
SAME_IDENTIFIER = "the address or number is in the file already"

HASH_OF_NOTHING = hashlib.sha256(b"").hexdigest()
"""What careless hashing makes of an empty value: it stands for nobody, and would match everybody without one."""

FIELDS = ("email", "phone", "first_name", "last_name", "city", "postal_code", "country")
"""What is told of a person; all may be null."""

_IS_HASH = r"^[0-9a-f]{64}$"
_ADDRESS = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"
_E164 = r"^\+[1-9][0-9]{6,14}$"
_COUNTRY = r"^[A-Za-z]{2}$"
_POSTAL_CODE = r"^[A-Za-z0-9][A-Za-z0-9 -]{1,9}$"
_PUNCTUATION = r"[\p{P}\p{S}\p{M}]"


@dataclass(frozen=True)
class Platform:
    """An advertising platform's file.

    Attributes:
        key: What the platform is called in settings and names of files.
        name: What it is called by people.
        columns: By header, in order: what of a person it holds, as `FIELDS` name it; None stays empty.
        unhashed: Headers whose values are written as they are.
        fewest_rows: With fewer, the platform refuses the file or never uses the list.
        most_rows: With more, it refuses it; None where it states no limit.
    """

    key: str
    name: str
    columns: Mapping[str, str | None]
    unhashed: frozenset[str] = frozenset()
    fewest_rows: int = 1
    most_rows: int | None = None


PLATFORMS = {
    platform.key: platform
    for platform in (
        Platform(
            "google",
            "Google Customer Match",
            {
                "Email": "email",
                "Phone": "phone",
                "First Name": "first_name",
                "Last Name": "last_name",
                "Country": "country",
                "Zip": "postal_code",
            },
            unhashed=frozenset({"Country", "Zip"}),
            fewest_rows=100,  # matched people, before a list is used at all
        ),
        Platform(
            "meta",
            "Meta custom audience",
            {
                "EMAIL": "email",
                "PHONE": "phone",
                "FN": "first_name",
                "LN": "last_name",
                "CT": "city",
                "ZIP": "postal_code",
                "COUNTRY": "country",
            },
            fewest_rows=100,  # matched people, before there can be look-alikes of them
        ),
        Platform(
            "linkedin",
            "LinkedIn matched audience",
            {
                "firstname": None,
                "lastname": None,
                "email": "email",
                "companyname": None,
                "jobtitle": None,
                "country": "country",
            },
            unhashed=frozenset({"country"}),
            fewest_rows=300,
            most_rows=300_000,
        ),
        Platform(
            "tiktok", "TikTok customer file", {"Email_SHA256": "email", "Phone_SHA256": "phone"}, fewest_rows=1_000
        ),
    )
}


@dataclass(frozen=True)
class HashedFile:
    """One finished file.

    Attributes:
        platform: Key of the platform.
        path: The file.
        rows: People in it, the header not counted.
        sha256: Of the file's bytes, in hexadecimal digits.
        left_out: People who are not in it, by reason.
        note: What the platform will say to its size; empty where nothing.
    """

    platform: str
    path: Path
    rows: int
    sha256: str
    left_out: dict[str, int]
    note: str = ""

    def to_dict(self) -> dict[str, object]:
        """What a manifest says of the file."""
        told = {"file": self.path.name, "platform": self.platform, "rows": self.rows, "sha256": self.sha256}
        return told | {"left_out": self.left_out} | ({"note": self.note} if self.note else {})


def write_hashed_audience(
    connection: duckdb.DuckDBPyConnection,
    audience: GatedAudience,
    platform: str,
    path: Path,
    tiktok_phone: PhoneStyle = "with_plus",
) -> HashedFile:
    """Write the file of one platform.

    Args:
        connection: Where the gate sealed the audience.
        audience: What the gate sealed for `HASHED_FILES`; its mapping names some of `FIELDS`.
        platform: A key of `PLATFORMS`.
        path: The file to write.
        tiktok_phone: Whether TikTok's numbers are hashed with their `+`; its pages say both.

    Returns:
        The file. Without anybody who may be written it has a header only.

    Raises:
        NotGated: The audience was not sealed by the gate, or for another destination, purpose or channel, or has
            changed since.
        ValueError: The platform is unknown.
    """
    audience = require_gated(audience, HASHED_FILES)
    if (audience.purpose, audience.channel) != (ADVERTISING, ADS):
        raise NotGated(f"Platforms look up who was approved for {ADVERTISING} over {ADS}, and nobody else")
    if relation_fingerprint(connection, audience.relation, source_columns(audience.mapping)) != audience.fingerprint:
        raise NotGated(f"{audience.segment} has changed since the gate sealed it")
    relation = ".".join(quoted(part) for part in audience.relation.split("."))
    columns = ", ".join(f"{quoted(one.source)} as {quoted(one.name)}" for one in audience.mapping.fields)
    people = read_frame(connection, f"select {columns} from {relation}")
    file, left_out = once_each(hashed_rows(people, platform, tiktok_phone), platform)
    write_rows(file, path)
    refused = {reason: count for reason, count in sorted(audience.decision.refused.items()) if count}
    note = note_on_size(PLATFORMS[platform], file.height)
    return HashedFile(platform, path, file.height, file_sha256(path), refused | left_out, note)


def hashed_rows(people: pl.DataFrame, platform: str, tiktok_phone: PhoneStyle = "with_plus") -> pl.DataFrame:
    """A platform's row for each person, in the order of the people. A hash that comes as one is not hashed again.

    Args:
        people: Some of `FIELDS`, as text; what is absent counts as null.
        platform: A key of `PLATFORMS`.
        tiktok_phone: As in `write_hashed_audience`.

    Returns:
        The platform's columns; neither address nor number where the platform has nobody to look up.

    Raises:
        ValueError: The platform is unknown.
    """
    if platform not in PLATFORMS:
        raise ValueError(f"{platform!r} is no platform; there are {', '.join(PLATFORMS)}")
    described = PLATFORMS[platform]
    known = people.select(
        (pl.col(name) if name in people.columns else pl.lit(None)).cast(pl.String).alias(name) for name in FIELDS
    )
    normalized = known.select(**normalize(platform, tiktok_phone))
    columns = []
    for header, source in described.columns.items():
        values = normalized[source] if source else pl.Series([None] * people.height, dtype=pl.String)
        columns.append((values if source is None or header in described.unhashed else hash_once(values)).alias(header))
    return pl.DataFrame(columns)


def matched_by(platform: str) -> list[str]:
    """The columns by which a platform looks people up: address and number."""
    return [header for header, source in PLATFORMS[platform].columns.items() if source in ("email", "phone")]


def once_each(rows: pl.DataFrame, platform: str) -> tuple[pl.DataFrame, dict[str, int]]:
    """A platform's file: each address or number once, in the order of the hashes, which tells nothing of the people.

    Args:
        rows: Of `hashed_rows`, in any order.
        platform: A key of `PLATFORMS`.

    Returns:
        The rows of the file, and how many were left out, by reason.
    """
    key = pl.coalesce(matched_by(platform))
    known = rows.filter(key.is_not_null())
    ordered = known.sort(list(PLATFORMS[platform].columns), nulls_last=True)
    once = ordered.with_columns(key=key).unique("key", keep="first", maintain_order=True).drop("key")
    left_out = {NOTHING_TO_MATCH: rows.height - known.height, SAME_IDENTIFIER: known.height - once.height}
    return once, {reason: count for reason, count in left_out.items() if count}


def write_rows(rows: pl.DataFrame, path: Path) -> None:
    """Write a platform's file: CSV with a header and lines that end in CRLF."""
    rows.write_csv(path, line_terminator="\r\n", null_value="")


def normalize(platform: str, tiktok_phone: PhoneStyle = "with_plus") -> dict[str, pl.Expr]:
    """How a platform wants each value before it is hashed; null where there is nothing to hash.

    Args:
        platform: A key of `PLATFORMS`.
        tiktok_phone: As in `write_hashed_audience`.

    Returns:
        By column: email, phone, first_name, last_name, city, postal_code, country.
    """
    plain = {name: pl.col(name).str.strip_chars() for name in FIELDS}
    email = plain["email"].str.to_lowercase()
    if platform in ("google", "tiktok"):
        email = email.str.replace_all(r"\s", "")
    email = pl.when(email.str.contains(_ADDRESS) | email.str.contains(_IS_HASH)).then(email)
    names = {name: plain[name].str.to_lowercase() for name in ("first_name", "last_name")}
    phone, postal_code, country = plain["phone"], plain["postal_code"], plain["country"]
    phone_hash = phone.str.to_lowercase()
    is_hash = phone_hash.str.contains(_IS_HASH)
    phone = pl.when(phone.str.contains(_E164)).then(phone)
    if platform == "meta" or (platform == "tiktok" and tiktok_phone == "digits"):
        phone = phone.str.strip_prefix("+")
    phone = pl.when(is_hash).then(phone_hash).otherwise(phone)
    country = pl.when(country.str.contains(_COUNTRY)).then(country.str.to_uppercase())
    city = plain["city"].str.to_lowercase().str.replace_all(rf"{_PUNCTUATION}|\s", "")
    postal_code = pl.when(postal_code.str.contains(_POSTAL_CODE)).then(postal_code)
    if platform == "google":
        email = _without_gmail_variants(email)
    if platform == "meta":
        names = {name: value.str.replace_all(_PUNCTUATION, "").str.strip_chars() for name, value in names.items()}
        compact = postal_code.str.to_lowercase().str.replace_all(r"[\s-]", "")
        postal_code = pl.when(country == "US").then(compact.str.slice(0, 5)).otherwise(compact)
        country = country.str.to_lowercase()
    values = {"email": email, "phone": phone, **names, "city": city, "postal_code": postal_code, "country": country}
    return {name: pl.when(value != "").then(value) for name, value in values.items()}


def _without_gmail_variants(email: pl.Expr) -> pl.Expr:
    """All spellings of a Gmail address reach one mailbox: dots do not count, nor what stands behind a plus sign."""
    local, domain = email.str.extract(r"^([^@]+)@"), email.str.extract(r"@(.+)$")
    mailbox = local.str.replace(r"\+.*$", "").str.replace_all(".", "", literal=True)
    is_gmail = domain.is_in(["gmail.com", "googlemail.com"]).fill_null(False)
    return pl.when(~is_gmail).then(email).when(mailbox != "").then(mailbox + "@" + domain)


def hash_once(values: pl.Series) -> pl.Series:
    """SHA-256 of each value as lower-case hexadecimal digits.

    Args:
        values: Normalized texts. One of 64 hexadecimal digits is a hash already and stays what it is.

    Returns:
        Hashes; null for null, for an empty text and for the hash of one.
    """
    distinct = values.unique().drop_nulls().to_list()
    hashes = {value: _sha256(value) for value in distinct}
    known = pl.DataFrame(
        {"value": list(hashes), "hash": list(hashes.values())}, schema={"value": pl.String, "hash": pl.String}
    )
    looked_up = values.rename("value").to_frame().join(known, on="value", how="left", maintain_order="left")
    return looked_up["hash"].rename(values.name)


def _sha256(value: str) -> str | None:
    is_hash = len(value) == 64 and not set(value) - set("0123456789abcdef")
    hashed = value if is_hash else hashlib.sha256(value.encode()).hexdigest()
    return None if hashed == HASH_OF_NOTHING else hashed


def note_on_size(platform: Platform, rows: int) -> str:
    """What a platform will say to the size of a file; nothing where it takes it."""
    if rows < platform.fewest_rows:
        return f"{platform.name} wants at least {platform.fewest_rows:,} rows"
    if platform.most_rows and rows > platform.most_rows:
        return f"{platform.name} takes at most {platform.most_rows:,} rows"
    return ""


def hashes_of(people: pl.DataFrame) -> set[str]:
    """Every hash by which people's addresses and numbers may stand in a file of any platform.

    Args:
        people: email and phone (E.164), both nullable.
    """
    found: set[str] = set()
    for platform in PLATFORMS:
        for style in ("with_plus", "digits"):
            rows = hashed_rows(people, platform, style)  # type: ignore[arg-type]
            for header in matched_by(platform):
                found.update(rows[header].drop_nulls().to_list())
    return found
