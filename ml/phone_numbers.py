"""Telephone numbers as they are written, made comparable.

What belongs here: reading numbers as E.164. Nearly all numbers in a CRM are written in one of two plain ways, with the
country's code or as dialled within the country; these are read for all at once with the patterns that `phonenumbers`
keeps, the rest one by one with the library itself.
"""

from __future__ import annotations

import hashlib

import phonenumbers
import polars as pl
from phonenumbers import PhoneMetadata

SEPARATORS = r"[\s\-–./()\u00a0]"
# A pattern that no text has.
NOTHING = r"^\b\B"
# Digits of the shortest numbers a person can have; what is shorter is a service, or typed to get past a form.
SHORTEST = 7
# What a number written with the country's code and nothing else looks like, before its length is looked at.
INTERNATIONAL = r"^\+[1-9]\d{4,16}$"


def phone_hashes(spellings: pl.DataFrame, default_region: str | None = None) -> pl.DataFrame:
    """The SHA-256 of each number in E.164 form.

    Args:
        spellings: `phone_key` (what the result is looked up by), `phone` (as written) and `country` (an ISO 3166-1
            alpha-2 code in any case, or anything else, which says nothing).
        default_region: the country of numbers whose row names none, such as DE.

    Returns:
        `phone_key` and `phone_hash`, null where the text is no possible number.
    """
    read = e164_numbers(spellings, default_region)
    hashed = {number: hashlib.sha256(number.encode()).hexdigest() for number in read.drop_nulls().to_list()}
    distinct = pl.DataFrame(
        {"e164": list(hashed), "phone_hash": list(hashed.values())}, schema={"e164": pl.String, "phone_hash": pl.String}
    )
    with_number = spellings.select("phone_key").with_columns(e164=read)
    return with_number.join(distinct, on="e164", how="left", maintain_order="left").select("phone_key", "phone_hash")


def e164_numbers(spellings: pl.DataFrame, default_region: str | None = None) -> pl.Series:
    """Each number in E.164 form, as `phonenumbers.parse` reads it.

    Args:
        spellings: `phone` and `country`, as in `phone_hashes`.
        default_region: as in `phone_hashes`.

    Returns:
        Text such as +493023125000, in the order of the rows; null where the text is no possible number.
    """
    known = pl.col("country").str.strip_chars().str.to_uppercase()
    region = pl.when(known.is_in(sorted(phonenumbers.SUPPORTED_REGIONS))).then(known).otherwise(pl.lit(default_region))
    frame = spellings.select(
        "phone", region=region.cast(pl.String), dialled=pl.col("phone").str.replace_all(SEPARATORS, "")
    ).with_row_index()
    plain = pl.concat([_with_country_code(frame), _as_dialled(frame)])
    rest = frame.join(plain, on="index", how="anti").filter(pl.col("phone").is_not_null())
    distinct = rest.select("phone", "region").unique(maintain_order=True)
    one_by_one = distinct.with_columns(
        e164=pl.Series([_parsed(phone, region) for phone, region in distinct.rows()], dtype=pl.String)
    )
    slow = rest.join(one_by_one, on=["phone", "region"], nulls_equal=True).select("index", "e164")
    read = frame.join(pl.concat([plain, slow]), on="index", how="left", maintain_order="left")
    return read.select(pl.when(pl.col("e164").str.len_chars() > SHORTEST).then("e164")).to_series()


def _with_country_code(frame: pl.DataFrame) -> pl.DataFrame:
    """Numbers such as +49 30 23125000, where what follows the country's code is a number of that country."""
    # A zero in brackets is dialled within the country only; the library knows where.
    international = frame.filter(
        pl.col("dialled").str.contains(INTERNATIONAL), ~pl.col("phone").str.contains("(", literal=True)
    )
    found = [pl.DataFrame(schema={"index": frame.schema["index"], "e164": pl.String})]
    codes = _main_regions()
    candidates = [pl.col("dialled").str.slice(1, length) for length in (1, 2, 3)]
    code_of = pl.coalesce(pl.when(candidate.is_in(list(codes))).then(candidate) for candidate in candidates)
    for (code,), of_country in international.with_columns(code=code_of).drop_nulls("code").group_by("code"):
        metadata = PhoneMetadata.metadata_for_region(codes[str(code)])
        if metadata is None:
            continue
        national = pl.col("dialled").str.slice(len(str(code)) + 1)
        is_plain = national.str.contains(_whole(metadata)) & ~national.str.contains(_prefix(metadata))
        found.append(of_country.filter(is_plain).select("index", e164="dialled"))
    return pl.concat(found)


def _as_dialled(frame: pl.DataFrame) -> pl.DataFrame:
    """Numbers such as 030 / 23125000 or (201) 555-0123, as they are dialled within their country."""
    national = frame.filter(pl.col("dialled").str.contains(r"^\d{4,16}$"), pl.col("region").is_not_null())
    found = [pl.DataFrame(schema={"index": frame.schema["index"], "e164": pl.String})]
    for (region,), of_region in national.group_by("region"):
        metadata = PhoneMetadata.metadata_for_region(str(region))
        if metadata is None or metadata.national_prefix_transform_rule:
            continue
        number = pl.col("dialled").str.strip_prefix(metadata.national_prefix or "")
        is_plain = (
            number.str.contains(_whole(metadata))
            & ~number.str.contains(_prefix(metadata))
            & ~pl.col("dialled").str.contains(f"^(?:{metadata.international_prefix})")
        )
        found.append(of_region.filter(is_plain).select("index", e164=pl.lit(f"+{metadata.country_code}") + number))
    return pl.concat(found)


def _main_regions() -> dict[str, str]:
    """The region whose patterns a country code's numbers follow, by code; no code is the beginning of another."""
    return {str(code): regions[0] for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items() if code < 800}


def _whole(metadata: PhoneMetadata) -> str:
    described = metadata.general_desc
    pattern = described.national_number_pattern if described else None
    return f"^(?:{pattern})$" if pattern else NOTHING


def _prefix(metadata: PhoneMetadata) -> str:
    """What `phonenumbers` would take from the front of a national number."""
    return f"^(?:{metadata.national_prefix_for_parsing})" if metadata.national_prefix_for_parsing else NOTHING


def _parsed(phone: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(phone, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
