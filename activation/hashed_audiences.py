"""Audience files for advertising platforms: addresses and names normalized and hashed as each platform documents.

Here belong the normalization, the hashing and the file of each platform. Whether a person may be used for advertising
is decided in the warehouse; here that decision is only ever obeyed. Telephone numbers come as E.164: whoever knows a
contact's country reads them so.

What each platform documents (November 2026; where its pages contradict each other, there is a setting):

- Google Customer Match: e-mail without any spaces, in lower case, for gmail.com and googlemail.com also without dots
  and `+suffix`; telephone as E.164 with `+`; names trimmed, in lower case; country and postal code are *not* hashed.
- Meta: e-mail trimmed, in lower case; telephone as digits with the country's code; names without punctuation; town
  without punctuation and spaces; postal code without spaces and dashes, of the US its first five digits; all hashed.
- LinkedIn: e-mail trimmed, in lower case. Names and titles would be matched unhashed: those columns stay empty.
- TikTok: e-mail without spaces, in lower case; telephone as E.164, with or without `+`; at least 1,000 rows.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from activation.publishing import file_sha256

ADVERTISING = "advertising"
"""The purpose that people have to allow: consent to e-mails or to profiling is none to be looked up by a platform."""

PhoneStyle = Literal["with_plus", "digits"]

NO_REASON = "no reason stated"
NOTHING_TO_MATCH = "no usable e-mail address and no usable telephone number"
REFUSED_ELSEWHERE = "the address or number also belongs to somebody who may not be used for advertising"
SAME_IDENTIFIER = "the address or number is in the file already"

HASH_OF_NOTHING = hashlib.sha256(b"").hexdigest()
"""What careless hashing makes of an empty value: it stands for nobody, and would match everybody without one."""

PEOPLE_COLUMNS: dict[str, pl.DataType] = {
    "person_id": pl.String(),
    "email": pl.String(),
    "phone": pl.String(),
    "first_name": pl.String(),
    "last_name": pl.String(),
    "city": pl.String(),
    "postal_code": pl.String(),
    "country": pl.String(),
    "purpose": pl.String(),
    "is_allowed": pl.Boolean(),
    "decision_reason": pl.String(),
}
"""Whom a file is made from, one row per person; all but person_id and purpose may be null."""

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
        columns: By header, in order: what of a person it holds, as `_normalized` names it; None stays empty.
        unhashed: Headers whose values are written as they are.
        fewest_rows: With fewer, the platform refuses the file.
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
    people: pl.DataFrame | Iterable[pl.DataFrame],
    platform: str,
    path: Path,
    tiktok_phone: PhoneStyle = "with_plus",
    refused: pl.DataFrame | None = None,
) -> HashedFile:
    """Write the file of one platform.

    Fails closed: only people whose `is_allowed` is true are written (null is not), and an address or number that
    belongs to anybody who is refused is written for nobody. A value that is a SHA-256 hash already is not hashed again.
    Rows stand in the order of their hashes, so that their order tells nothing; the same people give the same bytes.

    Args:
        people: `PEOPLE_COLUMNS`, whole or in pieces; those who are refused are counted.
        platform: A key of `PLATFORMS`.
        path: The file to write.
        tiktok_phone: Whether TikTok's numbers are hashed with their `+`; its pages say both.
        refused: email and phone of others who may not be used for advertising; nobody counts them.

    Returns:
        The file. Without anybody who may be written it has a header only.

    Raises:
        ValueError: The platform is unknown, a column is missing or of the wrong type, or a row is for another purpose
            than advertising.
    """
    if platform not in PLATFORMS:
        raise ValueError(f"{platform!r} is no platform; there are {', '.join(PLATFORMS)}")
    described = PLATFORMS[platform]
    frames = [people] if isinstance(people, pl.DataFrame) else people
    known = pl.concat([pl.DataFrame(schema=PEOPLE_COLUMNS), *(_conform(frame) for frame in frames)])
    normalized = known.select(
        "person_id",
        pl.col("is_allowed").fill_null(False),
        pl.col("decision_reason").fill_null(NO_REASON),
        **normalize(platform, tiktok_phone),
    )
    others = pl.DataFrame(schema={"email": pl.String, "phone": pl.String}) if refused is None else refused
    expressions = normalize(platform, tiktok_phone)
    barred = others.select(hash_once(others.select(expressions[name].alias(name))[name]) for name in ("email", "phone"))
    written, left_out = _who_is_written(_with_hashes(normalized, described), barred)
    columns = [
        (written[source] if source else pl.Series([None] * written.height, dtype=pl.String)).alias(header)
        for header, source in described.columns.items()
    ]
    file = pl.DataFrame(columns).sort(list(described.columns), nulls_last=True)
    file.write_csv(path, line_terminator="\r\n", null_value="")
    return HashedFile(platform, path, file.height, file_sha256(path), left_out, _note(described, file.height))


def normalize(platform: str, tiktok_phone: PhoneStyle = "with_plus") -> dict[str, pl.Expr]:
    """How a platform wants each value before it is hashed; null where there is nothing to hash.

    Args:
        platform: A key of `PLATFORMS`.
        tiktok_phone: As in `write_hashed_audience`.

    Returns:
        By column: email, phone, first_name, last_name, city, postal_code, country.
    """
    plain = {name: pl.col(name).str.strip_chars() for name in PEOPLE_COLUMNS if name not in ("purpose", "is_allowed")}
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


def _conform(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [column for column in PEOPLE_COLUMNS if column not in frame.columns]
    if missing:
        raise ValueError(f"People lack the columns {', '.join(missing)}")
    if frame.schema["is_allowed"] not in (pl.Boolean, pl.Null):
        raise ValueError(f"is_allowed must be true or false, not {frame.schema['is_allowed']}")
    if not (frame["purpose"] == ADVERTISING).fill_null(False).all():
        raise ValueError(f"A file for a platform answers for the purpose {ADVERTISING} and no other")
    try:
        return frame.select(*PEOPLE_COLUMNS).cast(PEOPLE_COLUMNS)  # type: ignore[arg-type]
    except pl.exceptions.PolarsError:
        # Polars would quote the values that do not fit, and they are people's.
        raise ValueError("People hold a column of the wrong type") from None


def _with_hashes(people: pl.DataFrame, platform: Platform) -> pl.DataFrame:
    sources = [
        source for header, source in platform.columns.items() if source is not None and header not in platform.unhashed
    ]
    # What identifies is compared as a hash as well: an address may come plain from one system and hashed from another.
    hashed = people.with_columns(hash_once(people[name]) for name in dict.fromkeys([*sources, "email", "phone"]))
    return hashed if "phone" in sources else hashed.with_columns(phone=pl.lit(None, pl.String))


def hashes_of(people: pl.DataFrame) -> set[str]:
    """Every hash by which people's addresses and numbers may stand in a file of any platform.

    Args:
        people: email and phone (E.164), both nullable.
    """
    found: set[str] = set()
    known = people.with_columns(pl.lit(None, pl.String).alias(name) for name in PEOPLE_COLUMNS if name not in people)
    for platform in PLATFORMS:
        for style in ("with_plus", "digits"):
            expressions = normalize(platform, style)
            for name in ("email", "phone"):
                hashed = hash_once(known.select(expressions[name].alias(name))[name])
                found.update(hashed.drop_nulls().to_list())
    return found


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


def _who_is_written(people: pl.DataFrame, barred: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """The people of a file, each identifier once, and the others counted by reason."""
    refused = people.filter(~pl.col("is_allowed"))
    left_out = Counter(dict(refused.group_by("decision_reason").len().iter_rows()))
    left = people.filter("is_allowed")
    has_any = left.filter(pl.col("email").is_not_null() | pl.col("phone").is_not_null())
    left_out[NOTHING_TO_MATCH] = left.height - has_any.height
    kept = has_any
    for name in ("email", "phone"):
        nobodys = pl.concat([refused[name], barred[name]]).drop_nulls()
        kept = kept.filter(~pl.col(name).is_in(nobodys.implode()).fill_null(False))
    left_out[REFUSED_ELSEWHERE] = has_any.height - kept.height
    once = kept.sort("person_id").with_columns(key=pl.coalesce("email", "phone"))
    once = once.unique("key", keep="first", maintain_order=True)
    left_out[SAME_IDENTIFIER] = kept.height - once.height
    return once, {reason: people for reason, people in sorted(left_out.items()) if people}


def _note(platform: Platform, rows: int) -> str:
    if rows < platform.fewest_rows:
        return f"{platform.name} wants at least {platform.fewest_rows:,} rows"
    if platform.most_rows and rows > platform.most_rows:
        return f"{platform.name} takes at most {platform.most_rows:,} rows"
    return ""
