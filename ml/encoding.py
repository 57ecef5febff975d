"""How one feature column becomes numbers that can be compared: one encoding per kind, learned once and then frozen.

Here belongs what concerns a single column. How columns are combined stands in `preparation`.

A frozen encoding is plain numbers and words, so it can be written as JSON and applied to a later week unchanged.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from ml.catalogue import Kind

RARE_SHARE = 0.01
"""A flag, a level or a missing value of fewer people than this says too little about a base to shape it."""
ZERO_INFLATED_SHARE = 0.2
"""From this share of zeros on, "any at all" is told apart from "how much"."""
WINSOR_SHARE = 0.001
"""Values beyond these two quantiles are drawn in to them."""
NORMAL_FROM = 0.97
"""A number whose normal probability plot is this straight is left as it is."""
STRAIGHTER_BY = 0.002
"""A transformation with more freedom has to make the plot straighter by this much."""
SHAPE_SAMPLE = 5_000
"""Values that the shape of a number is judged by."""
YEO_JOHNSON_POWERS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75)
RAREST_FLAG = 0.05
"""A rarer flag is scaled as one of this share: a few people would otherwise lie ten standard deviations away."""
SAME_FROM = 0.98
"""Absolute correlation from which two encoded columns say the same, and only the first is kept."""
MOST_LEVELS = 20
FEWEST_ANSWERS = 3
_HALF_A_VOTE = np.float32(np.sqrt(0.5))
MISSING_WEIGHT = np.float32(0.5)
"""What the scale of "is missing" is multiplied by: whether a source knows a person is not what the person is like. At
full weight, with a source absent for a quarter of simulated people, groups were those with and without the source
(adjusted Rand index .52 to the planted groups); at half weight they were the planted ones (.86)."""
OTHER = "other"
Shape = Literal["as it is", "signed log", "Yeo-Johnson"]


def _standardized_flag(is_set: NDArray[np.bool_], share: float) -> NDArray[np.float32]:
    scaled_as = min(max(share, RAREST_FLAG), 1 - RAREST_FLAG)
    return ((is_set - share) / np.sqrt(scaled_as * (1 - scaled_as))).astype(np.float32)


def _is_telling(share: float) -> bool:
    return RARE_SHARE <= share <= 1 - RARE_SHARE


def _telling_or_none(share: float) -> float | None:
    return float(share) if _is_telling(share) else None


def _signed_log(values: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    return np.sign(values) * np.log1p(np.abs(values) / unit)


def _yeo_johnson(values: NDArray[np.float64], unit: float, power: float) -> NDArray[np.float64]:
    """Yeo and Johnson 2000, "A new family of power transformations to improve normality or symmetry"."""
    scaled = values / unit
    above, below = np.maximum(scaled, 0.0), np.maximum(-scaled, 0.0)
    upper = np.log1p(above) if power == 0 else ((above + 1) ** power - 1) / power
    return np.where(scaled >= 0, upper, -((below + 1) ** (2 - power) - 1) / (2 - power))


def _straightness(ordered: NDArray[np.float64], quantiles: NDArray[np.float64]) -> float:
    """Correlation of the normal probability plot (Filliben 1975, "The probability plot correlation coefficient")."""
    spread = ordered.std()
    return float(((ordered - ordered.mean()) * quantiles).mean() / spread / quantiles.std()) if spread > 0 else 0.0


def _flag_column(is_set: NDArray[np.bool_], share: float, weight: np.float32 | None = None) -> NDArray[np.float32]:
    """`_standardized_flag` of many people, who get one of two numbers."""
    no, yes = _standardized_flag(np.array([False, True]), share) * (np.float32(1) if weight is None else weight)
    return np.where(is_set, yes, no)


def finite_floats(column: pl.Series) -> NDArray[np.float64]:
    """Read a number or flag column as floats, NaN where it is null, NaN or infinite.

    Args:
        column: Any numeric, decimal or boolean column.

    Returns:
        One float per row.
    """
    values = column.cast(pl.Float64).to_numpy().astype(np.float64, copy=True)
    values[~np.isfinite(values)] = np.nan
    return values


def _floats_and_gaps(column: pl.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Floats that nobody else writes to or may be written to, and which of them are null, NaN or infinite."""
    values = column.cast(pl.Float64).to_numpy()
    return values, ~np.isfinite(values)


@dataclass(frozen=True)
class NumberEncoding:
    """A number: winsorized, its heavy tails drawn in, standardized; missing is the mean.

    Where zeros are frequent, "any at all" becomes a column of its own, and the two share the variance of one.

    Attributes:
        feature: Column name.
        low: Lower winsor limit, in the unit of the column.
        high: Upper winsor limit.
        shape: "as it is"; "signed log", sign(x) * log(1 + |x| / unit); or "Yeo-Johnson" of x / unit.
        unit: The typical size that the shape is relative to, so that cents give the same personas as euros.
        power: The power of Yeo-Johnson; else 1.
        mean: Mean after these steps.
        scale: Standard deviation after these steps.
        any_share: Share of people above or below zero, where "any" is an extra 0/1 column; else None.
        missing_share: Share of people without a value, where that is an extra 0/1 column; else None.
    """

    feature: str
    low: float
    high: float
    shape: Shape
    unit: float
    power: float
    mean: float
    scale: float
    any_share: float | None
    missing_share: float | None

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns."""
        any_name = [f"{self.feature}:any"] if self.any_share is not None else []
        missing_name = [f"{self.feature}:missing"] if self.missing_share is not None else []
        return [self.feature, *any_name, *missing_name]

    def standardize(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Winsorize, change the shape if it is changed, and standardize; NaN stays NaN."""
        drawn_in = np.clip(values, self.low, self.high)
        shaped = _reshaped(drawn_in, self.shape, self.unit, self.power, self.low >= 0)
        shaped -= self.mean
        shaped /= self.scale
        return shaped

    def columns(self, column: pl.Series) -> list[NDArray[np.float32]]:
        """Encode a column: one array per name."""
        values, is_missing = _floats_and_gaps(column)
        number = self.standardize(values).astype(np.float32)
        number[is_missing] = 0.0
        columns = [number]
        if self.any_share is not None:
            number *= _HALF_A_VOTE
            columns.append(_flag_column(~is_missing & (values != 0), self.any_share, _HALF_A_VOTE))
        if self.missing_share is not None:
            columns.append(_flag_column(is_missing, self.missing_share, MISSING_WEIGHT))
        return columns

    def encode(self, column: pl.Series) -> NDArray[np.float32]:
        """Encode a column to (rows, len(names))."""
        return np.column_stack(self.columns(column))


@dataclass(frozen=True)
class FlagEncoding:
    """A yes or no, standardized; missing is the mean.

    Attributes:
        feature: Column name.
        share: Share of yes among those with a value.
        missing_share: As in `NumberEncoding`.
    """

    feature: str
    share: float
    missing_share: float | None

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns."""
        return [self.feature, *([f"{self.feature}:missing"] if self.missing_share is not None else [])]

    def columns(self, column: pl.Series) -> list[NDArray[np.float32]]:
        """Encode a column: one array per name."""
        values, is_missing = _floats_and_gaps(column)
        flag = _flag_column(values > 0, self.share)
        flag[is_missing] = 0.0
        if self.missing_share is None:
            return [flag]
        return [flag, _flag_column(is_missing, self.missing_share, MISSING_WEIGHT)]

    def encode(self, column: pl.Series) -> NDArray[np.float32]:
        """Encode a column to (rows, len(names))."""
        return np.column_stack(self.columns(column))


@dataclass(frozen=True)
class CategoryEncoding:
    """A category as one column per level, centred and divided by sqrt(share); missing is the mean.

    The weighting is that of factor analysis of mixed data (Pagès 2004, "Analyse factorielle de données mixtes").

    Attributes:
        feature: Column name.
        levels: Levels that at least 1 % have, most frequent first; the rest is pooled.
        shares: Share of each level among those with a value.
        other_share: Share of the pooled rest where it is a level of its own; else None.
        missing_share: As in `NumberEncoding`.
    """

    feature: str
    levels: tuple[str, ...]
    shares: tuple[float, ...]
    other_share: float | None
    missing_share: float | None

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns."""
        other_name = [f"{self.feature}={OTHER}"] if self.other_share is not None else []
        missing_name = [f"{self.feature}:missing"] if self.missing_share is not None else []
        return [*(f"{self.feature}={level}" for level in self.levels), *other_name, *missing_name]

    def columns(self, column: pl.Series) -> list[NDArray[np.float32]]:
        """Encode a column: one array per name."""
        codes, missing = level_places(column, self.levels), len(self.levels) + 1
        shares = [*self.shares, *([self.other_share] if self.other_share is not None else [])]
        columns = []
        for code, share in enumerate(shares):
            of_code = ((np.arange(missing + 1) == code) - share) / np.sqrt(share)
            of_code[missing] = 0.0
            columns.append(of_code.astype(np.float32).take(codes, mode="clip"))
        if self.missing_share is not None:
            columns.append(_flag_column(codes == missing, self.missing_share, MISSING_WEIGHT))
        return columns

    def encode(self, column: pl.Series) -> NDArray[np.float32]:
        """Encode a column to (rows, len(names))."""
        return np.column_stack(self.columns(column))


def level_places(column: pl.Series, levels: Sequence[str]) -> NDArray[np.int64]:
    """Which level each row has: its place among `levels`, then one place for all others, then one for none."""
    text = column if column.dtype == pl.String else column.cast(pl.String)
    known = text.cast(_enum(tuple(levels)), strict=False).to_physical()
    places = (known.fill_null(len(levels)) if known.null_count() else known).to_numpy().astype(np.int64)
    return np.where(text.is_null().to_numpy(), len(levels) + 1, places) if text.null_count() else places


@lru_cache(256)
def _enum(levels: tuple[str, ...]) -> pl.Enum:
    return pl.Enum(levels)


def _reshaped(
    values: NDArray[np.float64], shape: Shape, unit: float, power: float, is_positive: bool = False
) -> NDArray[np.float64]:
    """Change the shape; of values none of which is below zero half of the work is enough."""
    if shape == "signed log":
        return np.log1p(values / unit) if is_positive else _signed_log(values, unit)
    if shape == "Yeo-Johnson" and is_positive and power != 0:
        return ((values / unit + 1) ** power - 1) / power
    return _yeo_johnson(values, unit, power) if shape == "Yeo-Johnson" else values


@dataclass(frozen=True)
class AnswerEncoding:
    """A yes or no among nothing but such answers: centred, on its own scale, so that all answers count alike.

    Missing is the mean, and no column of its own: in a survey, who did not answer is not a kind of people.

    Attributes:
        feature: Column name.
        yes: The word that means yes; None where the column is a flag.
        share: Share of yes among those with a value.
    """

    feature: str
    yes: str | None
    share: float

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns."""
        return [self.feature]

    def columns(self, column: pl.Series) -> list[NDArray[np.float32]]:
        """Encode a column: one array."""
        if self.yes is None:
            values = finite_floats(column)
            is_missing, is_yes = np.isnan(values), values > 0
        else:
            is_missing = column.is_null().to_numpy()
            is_yes = (column.cast(pl.String) == self.yes).fill_null(False).to_numpy()
        return [np.where(is_missing, 0.0, is_yes - self.share).astype(np.float32)]

    def encode(self, column: pl.Series) -> NDArray[np.float32]:
        """Encode a column to (rows, 1)."""
        return self.columns(column)[0][:, None]


Encoding = NumberEncoding | AnswerEncoding | FlagEncoding | CategoryEncoding
_KIND_OF: dict[type, str] = {
    NumberEncoding: "number",
    AnswerEncoding: "answer",
    FlagEncoding: "flag",
    CategoryEncoding: "category",
}


def missing_rows(encoding: Encoding, column: pl.Series) -> NDArray[np.bool_]:
    """Which rows an encoding takes for missing.

    Args:
        encoding: A learned encoding.
        column: Values of its feature.

    Returns:
        One truth value per row.
    """
    if isinstance(encoding, CategoryEncoding) or (isinstance(encoding, AnswerEncoding) and encoding.yes is not None):
        return column.is_null().to_numpy()
    return np.isnan(finite_floats(column))


def as_answers(encodings: Sequence[Encoding]) -> list[AnswerEncoding] | None:
    """Take features for answers of one survey, where every one of them is a yes or no.

    Args:
        encodings: Of all features.

    Returns:
        One per feature, or None where some feature is something else, or there are fewer than three.
    """
    if len(encodings) < FEWEST_ANSWERS or not all(_is_answer(encoding) for encoding in encodings):
        return None
    return [_as_answer(encoding) for encoding in encodings]


def _is_answer(encoding: Encoding) -> bool:
    if isinstance(encoding, CategoryEncoding):
        return len(encoding.levels) == 2 and encoding.other_share is None
    return isinstance(encoding, FlagEncoding)


def _as_answer(encoding: Encoding) -> AnswerEncoding:
    if isinstance(encoding, CategoryEncoding):
        yes = max(encoding.levels)  # "Yes" comes after "No", "true" after "false"
        return AnswerEncoding(encoding.feature, yes, encoding.shares[encoding.levels.index(yes)])
    assert isinstance(encoding, FlagEncoding)  # noqa: S101
    return AnswerEncoding(encoding.feature, None, encoding.share)


def learn_encoding(column: pl.Series, kind: Kind) -> Encoding | None:
    """Learn how to encode a column from a sample of people.

    Args:
        column: Values, with nulls.
        kind: What the catalogue says it is.

    Returns:
        The encoding, or None where the column is constant, or varies for fewer than 1 % of the people.
    """
    learn = {"number": _learn_number, "flag": _learn_flag, "category": _learn_category}[kind]
    return learn(column)


def _learn_number(column: pl.Series) -> NumberEncoding | None:
    values = finite_floats(column)
    present = values[~np.isnan(values)]
    if len(present) == 0 or _share_of_commonest(present) > 1 - RARE_SHARE:
        return None
    low, high = np.quantile(present, [WINSOR_SHARE, 1 - WINSOR_SHARE])
    drawn_in = np.clip(present, low, high)
    shape, unit, power = _shape_of(drawn_in)
    drawn_in = _reshaped(drawn_in, shape, unit, power)
    scale = float(drawn_in.std())
    if scale <= 1e-12:
        return None
    is_any = present != 0
    is_inflated = (
        1 - is_any.mean() >= ZERO_INFLATED_SHARE
        and _is_telling(is_any.mean())
        and abs(np.corrcoef(drawn_in, is_any)[0, 1]) < SAME_FROM
    )
    return NumberEncoding(
        feature=column.name,
        low=float(low),
        high=float(high),
        shape=shape,
        unit=unit,
        power=power,
        mean=float(drawn_in.mean()),
        scale=scale,
        any_share=_telling_or_none(is_any.sum() / len(values)) if is_inflated else None,
        missing_share=_telling_or_none(1 - len(present) / len(values)),
    )


def _shape_of(values: NDArray[np.float64]) -> tuple[Shape, float, float]:
    """The simplest shape in which the values that are not zero look normal; shape, unit and power."""
    not_zero = values[values != 0]
    step = max(1, len(not_zero) // SHAPE_SAMPLE)
    ordered = np.sort(not_zero)[step // 2 :: step]
    if len(np.unique(ordered)) <= MOST_LEVELS // 4:
        return "as it is", 1.0, 1.0
    quantiles = ndtri((np.arange(len(ordered)) + 0.5) / len(ordered))
    typical = float(f"{np.median(np.abs(ordered)):.3g}")
    best = _straightness(ordered, quantiles)
    best_shape: tuple[Shape, float, float] = ("as it is", 1.0, 1.0)
    if best >= NORMAL_FROM:
        return "as it is", 1.0, 1.0
    candidates: list[tuple[Shape, float, float]] = [("signed log", typical, 1.0), ("signed log", typical / 10, 1.0)]
    candidates += [("Yeo-Johnson", typical, power) for power in YEO_JOHNSON_POWERS if power != 0]
    for candidate in candidates:
        straightness = _straightness(_reshaped(ordered, *candidate), quantiles)
        if straightness > best + STRAIGHTER_BY:
            best, best_shape = straightness, candidate
    return best_shape


def _share_of_commonest(values: NDArray[np.float64]) -> float:
    _, counts = np.unique(values, return_counts=True)
    return float(counts.max() / len(values))


def _learn_flag(column: pl.Series) -> FlagEncoding | None:
    values = finite_floats(column)
    present = values[~np.isnan(values)]
    if len(present) == 0 or not _is_telling(float((present > 0).mean())):
        return None
    return FlagEncoding(
        feature=column.name,
        share=float((present > 0).mean()),
        missing_share=_telling_or_none(1 - len(present) / len(values)),
    )


def _learn_category(column: pl.Series) -> CategoryEncoding | None:
    text = column.cast(pl.String)
    counts = (
        text.drop_nulls()
        .rename("level")
        .to_frame()
        .group_by("level")
        .len()
        .sort(["len", "level"], descending=[True, False])
    )
    people = int(counts["len"].sum())
    kept = counts.filter(pl.col("len") >= RARE_SHARE * people).head(MOST_LEVELS)
    if kept.height == 0 or kept["len"][0] > (1 - RARE_SHARE) * people:
        return None
    shares = tuple(float(count / people) for count in kept["len"])
    return CategoryEncoding(
        feature=column.name,
        levels=tuple(kept["level"].to_list()),
        shares=shares,
        other_share=_telling_or_none(1 - sum(shares)),
        missing_share=_telling_or_none(text.null_count() / len(text)),
    )


def encoding_to_dict(encoding: Encoding) -> dict[str, Any]:
    """Write an encoding as a JSON object."""
    return {"kind": _KIND_OF[type(encoding)], **asdict(encoding)}


def encoding_from_dict(state: dict[str, Any]) -> Encoding:
    """Read an encoding that `encoding_to_dict` wrote."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in state.items()}
    kind = fields.pop("kind")
    if "is_log" in fields:  # written before numbers had other shapes
        fields |= {"shape": "signed log" if fields.pop("is_log") else "as it is", "unit": 1.0, "power": 1.0}
    return next(of for of, name in _KIND_OF.items() if name == kind)(**fields)
