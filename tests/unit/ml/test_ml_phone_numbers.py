"""Telephone numbers: however they are written, the same number has the same hash."""

from __future__ import annotations

import phonenumbers
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from ml.phone_numbers import SEPARATORS, _as_dialled, _with_country_code, e164_numbers, phone_hashes

BERLIN = "+493023125007"


def read(*written: tuple[str | None, str | None], default_region: str | None = None) -> list[str | None]:
    frame = pl.DataFrame(list(written), schema={"phone": pl.String, "country": pl.String}, orient="row")
    return e164_numbers(frame, default_region).to_list()


@pytest.mark.parametrize(
    "written",
    [
        "+49 30 23125007",
        "+49 (0)30 23125-007",
        "0049 30 23125007",
        "030/23125007",
        "(030) 231 25 007",
        "tel:+49-30-23125007",
    ],
)
def test_ways_to_write_one_number(written):
    assert read((written, "de")) == [BERLIN]


def test_without_a_country_the_default_region_reads_it_and_without_that_nobody_does():
    assert read(("030 23125007", None), ("030 23125007", "Deutschland"), default_region="DE") == [BERLIN, BERLIN]
    assert read(("030 23125007", None), ("+49 30 23125007", None)) == [None, BERLIN]


def test_what_is_no_number_says_nothing():
    assert read((None, "DE"), ("call me", "DE"), ("123", "DE"), ("+0", None), ("", "DE")) == [None] * 5


def test_hashes_are_looked_up_by_key_and_hold_no_number():
    frame = pl.DataFrame(
        [("a", "+49 30 23125007", None), ("b", "030 23125007", "DE"), ("c", "none", "DE")],
        schema=["phone_key", "phone", "country"],
        orient="row",
    )
    rows = dict(phone_hashes(frame).rows())
    assert rows["a"] == rows["b"] and len(rows["a"]) == 64 and rows["c"] is None


def examples() -> list[tuple[str, str]]:
    """Numbers of every country, fixed and mobile, written in three ways."""
    found = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.TOLL_FREE):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                for style in (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL, PhoneNumberFormat.E164):
                    found.append((phonenumbers.format_number(number, style), region))
    return found


def one_by_one(phone: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(phone, region)
    except phonenumbers.NumberParseException:
        return None
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return e164 if phonenumbers.is_possible_number(number) and len(e164) > 7 else None


def test_all_at_once_reads_every_country_as_the_library_does_one_by_one():
    written = examples()
    assert len(written) > 1500
    assert read(*written) == [one_by_one(*each) for each in written]


def test_most_numbers_are_read_all_at_once():
    frame = (
        pl.DataFrame(examples(), schema=["phone", "region"], orient="row")
        .with_columns(dialled=pl.col("phone").str.replace_all(SEPARATORS, ""))
        .with_row_index()
    )
    assert _with_country_code(frame).height + _as_dialled(frame).height > 0.8 * frame.height


DIGITS = st.text("0123456789", min_size=3, max_size=14)
WRITTEN = st.tuples(st.sampled_from(["", "+", "00", "0", "+49", "+49 (0)", "+1", "+39 0", "8"]), DIGITS).map("".join)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(WRITTEN, st.sampled_from(["DE", "US", "IT", "FR", "GB", "RU", "BR", "AR", "MX"])), max_size=60)
)
def test_any_digits_are_read_as_the_library_reads_them(written):
    assert read(*written) == [one_by_one(*each) for each in written]
