"""How figures are said: counts, shares, amounts, dates, lists, in English and independent of the machine's locale.

Here belong pure functions from a figure to its words, and the rule for groups too small to be counted out.
"""

from collections.abc import Sequence
from datetime import date, datetime
from math import floor, log10
from zoneinfo import ZoneInfo

UNKNOWN = "–"

_MONTHS = "January February March April May June July August September October November December".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}


UNSAID_UNITS = ("count", "score", "ratio")
"""Units that a reader knows from the label."""


def is_small(people: int | None, minimum: int) -> bool:
    """Say whether a group is too small to be counted out: somebody is in it, but fewer than `minimum`."""
    return people is not None and 0 < people < minimum


def people_words(people: int | None, minimum: int) -> str:
    """Count people, or say that they are fewer than `minimum`; nobody is 0."""
    if people is None:
        return UNKNOWN
    return f"fewer than {minimum}" if is_small(people, minimum) else count(people)


def count(number: int | None) -> str:
    """Write a whole number with commas between thousands."""
    return UNKNOWN if number is None else f"{number:,}"


def counted(number: int, one: str, many: str) -> str:
    """Write a whole number and what it counts: `1 row`, `2 rows`."""
    return f"{number:,} {one if number == 1 else many}"


def percent(share: float | None) -> str:
    """Write a share of 1 in percent: whole from 10 % on, with one decimal below."""
    if share is None:
        return UNKNOWN
    points = share * 100
    if 0 < points < 0.05:
        return "<0.1%"
    if abs(points) < 9.95 and points != 0:
        return f"{points:.1f}%"
    return f"{points:.0f}%"


def number(value: float | None) -> str:
    """Write a quantity with three significant digits, two below 1, and no needless zeros."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    magnitude = floor(log10(abs(value)))
    decimals = max(0, min(3, (2 if magnitude >= 0 else 1) - magnitude))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(amount: float | None, currency: str) -> str:
    """Write an amount: in millions from one on, otherwise in whole units."""
    if amount is None:
        return UNKNOWN
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    sign, size = ("−" if amount < 0 else ""), abs(amount)
    if size >= 999_500:
        return f"{sign}{symbol}{size / 1e6:,.2f}m"
    return f"{sign}{symbol}{size:,.0f}"


def quantity(value: float | None, row: dict, currency: str, says_unit: bool = True) -> str:
    """Write a characteristic's value: shares in percent, money in its currency, others with the unit.

    Args:
        value: The value.
        row: kind and unit of the characteristic.
        currency: That all amounts are in.
        says_unit: Whether a unit follows that is not plain from every label.
    """
    unit = row["unit"]
    if row["kind"] != "number" or unit == "share":
        return percent(value)
    if unit == "money":
        return money(value, currency)
    return (
        f"{number(value)} {unit}"
        if says_unit and unit and unit not in UNSAID_UNITS and value is not None
        else number(value)
    )


def day_words(day: date) -> str:
    """Write a date as `16 November 2026`."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def short_day(day: date) -> str:
    """Write a date as `16 Nov`."""
    return f"{day.day} {_MONTHS[day.month - 1][:3]}"


def period_words(first: date, last: date) -> str:
    """Write a span of days, both ends in it, as `Monday 9 to Sunday 15 November 2026`."""
    start = f"{_DAYS[first.weekday()]} {first.day}"
    if first.month != last.month:
        start += f" {_MONTHS[first.month - 1]}"
    if first.year != last.year:
        start += f" {first.year}"
    return f"{start} to {_DAYS[last.weekday()]} {day_words(last)}"


def moment_words(moment: datetime | None, timezone: str) -> str:
    """Write an instant given in UTC without a zone as `15 Nov 2026, 23:58` in the time zone."""
    if moment is None:
        return UNKNOWN
    local = moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(timezone))
    return f"{short_day(local.date())} {local.year}, {local:%H:%M}"


def listed(things: Sequence[str]) -> str:
    """Join words as a list is spoken: `a, b and c`."""
    if len(things) < 2:
        return "".join(things)
    return f"{', '.join(things[:-1])} and {things[-1]}"


def change_words(now: int, before: int | None) -> str:
    """Say how a count moved: `123 more (+1.2%)`, `7 fewer (-0.4%)`, `unchanged`."""
    if before is None:
        return UNKNOWN
    moved = now - before
    if moved == 0:
        return "unchanged"
    relative = f" ({'+' if moved > 0 else '−'}{percent(abs(moved) / before)})" if before else ""
    return f"{abs(moved):,} {'more' if moved > 0 else 'fewer'}{relative}"


def capitalized(text: str) -> str:
    """Begin with a capital letter and leave the rest as it is."""
    return text[:1].upper() + text[1:]
