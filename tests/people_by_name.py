"""People of tests by short names: `ann` is a number in the warehouse, in the order of the alphabet."""

import polars as pl


def number(name: str) -> int:
    """The person's number; a name has at most eight letters."""
    letters = name.encode()
    if not 0 < len(letters) <= 8:
        raise ValueError(f"a name of one to eight letters is expected: {name}")
    return int.from_bytes(letters.ljust(8, b"\0"), "big")


def name_of(number: int) -> str:
    """The name of a number that `number` gave."""
    return number.to_bytes(8, "big").rstrip(b"\0").decode()


MACROS = """
create macro person(name) as cast('0x' || rpad(hex(name), 16, '0') as ubigint);
create macro called(person_id) as rtrim(decode(unhex(format('{:016x}', person_id))), chr(0));
"""
"""The same in SQL, for a database of a test."""


def person_ids(count: int, first: int = 0) -> pl.Series:
    """Ids of so many people, one after the other."""
    return pl.Series("person_id", range(first, first + count), dtype=pl.UInt64)
