"""What people are called outside the warehouse, where each is a number.

Here belongs the way from a person's number to their name and back. Whatever people or tools read says `p_` and sixteen
hexadecimal letters: a spreadsheet rounds a number of twenty digits.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"p_[0-9a-f]{16}")


def person_name(person_id: int) -> str:
    """What a person is called.

    Args:
        person_id: The number, 0..2^64-1.

    Examples:
        >>> person_name(255)
        'p_00000000000000ff'
    """
    return f"p_{person_id:016x}"


def person_number(name: str) -> int | None:
    """The number of whoever is called so; None where nobody can be.

    Examples:
        >>> person_number("p_00000000000000ff"), person_number("jo@example.com")
        (255, None)
    """
    return int(name[2:], 16) if _NAME.fullmatch(name) else None


def person_name_sql(person_id: str) -> str:
    """SQL for what a person is called; null stays null.

    Args:
        person_id: SQL of the number.
    """
    return f"format('p_{{:016x}}', {person_id})"
