"""Small charts of curves and points, as coordinates that the page draws: no picture is loaded, no library is needed.

Here belong scales and ticks. What a chart is about belongs to the section it stands in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import floor, log10

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 10, 40
Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what is written there."""

    at: float
    words: str


@dataclass(frozen=True)
class Dot:
    """A point with its interval."""

    x: float
    y: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Line:
    """A line; `kind` is `curve`, `other` or `guide`."""

    points: str
    kind: str


@dataclass(frozen=True)
class Chart:
    """Everything a chart shows, in the coordinates of its own space."""

    title: str
    caption: str
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line] = field(default_factory=list)
    areas: list[str] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    zero_at: float | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Scale:
    """From values to coordinates."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        """Place on the horizontal axis."""
        return round(LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Place on the vertical axis, from the top."""
        return round(HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - TOP - BOTTOM), 1)

    def line(self, points: Sequence[Point], kind: str = "curve") -> Line:
        """A line through points."""
        return Line(" ".join(f"{self.x(x)},{self.y(y)}" for x, y in points), kind)

    def area(self, lower: Sequence[Point], upper: Sequence[Point]) -> str:
        """What lies between two lines."""
        around = [*lower, *reversed(upper)]
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in around)

    def dot(self, x: float, y: float, low: float, high: float, words: str) -> Dot:
        """A point with its interval."""
        return Dot(self.x(x), self.y(y), self.y(low), self.y(high), words)

    def x_ticks(self, words: Callable[[float], str]) -> list[Tick]:
        """Round values on the horizontal axis."""
        return [Tick(self.x(value), words(value)) for value in round_values(self.x_low, self.x_high)]

    def y_ticks(self, words: Callable[[float], str]) -> list[Tick]:
        """Round values on the vertical axis."""
        return [Tick(self.y(value), words(value)) for value in round_values(self.y_low, self.y_high)]


def scale_of(x: Sequence[float], y: Sequence[float], from_zero: bool = True) -> Scale:
    """A scale that holds all values, and zero where asked for."""
    zero = [0.0] if from_zero else []
    lows, highs = (min([*values, *zero]) for values in (x, y)), (max([*values, *zero]) for values in (x, y))
    (x_low, y_low), (x_high, y_high) = tuple(lows), tuple(highs)
    return Scale(x_low, x_high if x_high > x_low else x_low + 1, y_low, y_high if y_high > y_low else y_low + 1)


def round_values(low: float, high: float, about: int = 5) -> list[float]:
    """About so many round values between two, both included where they are round."""
    step = 10.0 ** floor(log10((high - low) / about))
    step = next(step * factor for factor in (1, 2, 5, 10) if step * factor * about >= high - low)
    first = -floor(-low / step + 1e-9)
    return [round(number * step, 10) for number in range(int(first), floor(high / step + 1e-9) + 1)]
