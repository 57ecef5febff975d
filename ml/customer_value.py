"""How much somebody who buys without a contract will still buy, and what it will be worth.

Here belong the two models of purchases and of amounts, their fitting and what they expect. Whether a person's
purchases are bound by a contract, and from which orders the figures are counted, was decided before.

Purchases: beta-geometric/NBD (Fader, Hardie and Lee 2005, "Counting your customers the easy way: an alternative to the
Pareto/NBD model", Marketing Science 24(2)). Amounts: gamma-gamma (Fader, Hardie and Lee 2005, "RFM and CLV: using
iso-value curves for customer base analysis", Journal of Marketing Research 42).
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from ml.people_order import hash_sample

Floats = NDArray[np.float64]

DAYS_OF_A_WEEK = 7.0
"""Both models count time in weeks: parameters near one are fitted better than those of days."""
REGULAR_BELOW = 0.15
"""Purchases whose gaps vary by less than this share of their mean look like a contract's."""
VALUE_SCHEMA = {
    "person_id": pl.UInt64,
    "expected_purchases": pl.Float64,
    "purchase_probability": pl.Float64,
    "expected_value": pl.Float64,
    "expected_purchase_value": pl.Float64,
    "alive_probability": pl.Float64,
}
TOTAL_SCHEMA = {
    "segment_id": pl.String,
    "buyers": pl.Int64,
    "expected_purchases": pl.Float64,
    "expected_value": pl.Float64,
    "expected_value_low": pl.Float64,
    "expected_value_high": pl.Float64,
    "alive_probability": pl.Float64,
}
NOBODY_STOPS = 1e-3
"""Below this mean probability to stop after a purchase, nobody is taken to: a short history shows no end."""
LARGEST_LOG = 7.0
"""Logarithms of parameters are held between this and its negative: beyond, the data no longer tell them apart."""
FIT_SAMPLE = 50_000
"""People the models are fitted on at most: their four parameters are then known to about 2 %, and what is expected of
all people together to half of one (`benchmarks/DIMENSIONS.md`); a million would take ten times as long and tell no
more."""
FIT_SEED = 23
DOUBT_SAMPLE, DRAWS = 10_000, 25
"""People and draws of the parameters for the intervals of totals."""


@dataclass(frozen=True)
class ValueSettings:
    """When there is enough to learn from.

    Attributes:
        horizon_days: Days that are looked ahead.
        minimum_buyers: Fewest people with a purchase.
        minimum_repeat_buyers: Fewest people with a repeated purchase.
        most_correlation: Amounts that hang together with how often somebody buys break the second model.
    """

    horizon_days: int = 91
    minimum_buyers: int = 200
    minimum_repeat_buyers: int = 50
    most_correlation: float = 0.3


@dataclass(frozen=True)
class ValueAbstention:
    """No expectation is better than one nobody can rely on."""

    reason: str


@dataclass(frozen=True)
class PurchaseModel:
    """Beta-geometric/NBD: buying at a rate of one's own, and stopping for good after any purchase.

    Attributes:
        r: Shape of the purchase rates.
        alpha: Scale of the purchase rates, in weeks.
        a: First parameter of the probabilities to stop.
        b: Second parameter of the probabilities to stop.
        log_likelihood: Of all people together.
        covariance: How surely the logarithms of r, alpha, a and b are known; empty where that could not be told.
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    covariance: tuple[tuple[float, ...], ...] = ()

    def alive(self, frequency: Floats, recency: Floats, age: Floats) -> Floats:
        """Probability 0..1 that somebody has not stopped; see `expected` for the arguments."""
        stopped = self.a / (self.b + np.maximum(frequency, 1) - 1)
        stopped = stopped * ((self.alpha + age) / (self.alpha + recency)) ** (self.r + frequency)
        return np.where(frequency > 0, 1 / (1 + stopped), 1.0)

    def any_purchase(self, frequency: Floats, recency: Floats, age: Floats, weeks: float) -> Floats:
        """Probability 0..1 of at least one purchase in the next `weeks`; see `expected` for the arguments.

        Whoever has not stopped stays until the next purchase, so only the waiting time for that one counts.
        """
        none = ((self.alpha + age) / (self.alpha + age + weeks)) ** (self.r + frequency)
        return self.alive(frequency, recency, age) * (1 - none)

    def expected(self, frequency: Floats, recency: Floats, age: Floats, weeks: float) -> Floats:
        """Expected purchases in the next `weeks`.

        Args:
            frequency: Repeated purchases so far: days with a purchase after the first.
            recency: Weeks from the first purchase to the last.
            age: Weeks from the first purchase to now.
            weeks: The horizon.
        """
        at_most = (self.r + frequency) / (self.alpha + age) * weeks
        if self.a / (self.a + self.b) < NOBODY_STOPS:
            return at_most
        a = self.a + 1e-6 if abs(self.a - 1) < 1e-6 else self.a
        late = (self.alpha + age) / (self.alpha + age + weeks)
        series = hyp2f1(self.r + frequency, self.b + frequency, a + self.b + frequency - 1, 1 - late)
        whole = (a + self.b + frequency - 1) / (a - 1) * (1 - late ** (self.r + frequency) * series)
        # Whoever may stop buys no more than whoever cannot: what rounding makes of extreme histories is held to that.
        expected = whole * self.alive(frequency, recency, age)
        return np.clip(np.where(np.isfinite(expected), expected, at_most), 0.0, at_most)


@dataclass(frozen=True)
class AmountModel:
    """Gamma-gamma: what a person's purchases come to on average.

    Attributes:
        p: Shape of the amounts of one person.
        q: Shape of the scales between people.
        v: Scale of the scales.
        log_likelihood: Of all repeat buyers together.
        buyers: Repeat buyers it was fitted on.
        covariance: How surely the logarithms of p, q and v are known; empty where that could not be told.
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    buyers: int
    covariance: tuple[tuple[float, ...], ...] = ()

    def expected(self, frequency: Floats, amount: Floats) -> Floats:
        """Expected amount of a purchase; of those without repeated purchases what everybody's comes to.

        Args:
            frequency: Repeated purchases.
            amount: Their mean amount; any value where there are none.
        """
        own = np.where(frequency > 0, amount, 0.0)
        return self.p * (self.v + frequency * own) / (self.p * frequency + self.q - 1)


@dataclass(frozen=True)
class ValueModel:
    """Both models, and how far they look ahead.

    Attributes:
        purchases: How often somebody buys.
        amounts: What a purchase comes to; None where amounts are missing, too few, or hang together with how often
            people buy (then values are withheld, not purchases).
        amounts_withheld: Why there are no amounts, or None.
        people: People the purchases were fitted on.
        settings: The settings it was fitted with.
    """

    purchases: PurchaseModel
    amounts: AmountModel | None
    amounts_withheld: str | None
    people: int
    settings: ValueSettings

    @property
    def model_id(self) -> str:
        """Hash of the parameters."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def fit(
        cls, histories: pl.DataFrame, settings: ValueSettings | None = None, sample: int = FIT_SAMPLE
    ) -> Self | ValueAbstention:
        """Fit both models by maximum likelihood.

        Args:
            histories: A row per person who has bought: person_id; frequency, days with a purchase after the first;
                recency_days and age_days, from the first purchase to the last and to now; amount, the mean amount
                of the repeated purchases, null or not positive where unknown; gap_variation, the standard deviation
                of the gaps between purchases over their mean, null below three gaps.
            settings: By default as `ValueSettings` says.
            sample: People that are fitted on at most, chosen by a hash of their ids.

        Returns:
            The model; or why there is none: too few people, or purchases as regular as a contract's.
        """
        settings = settings or ValueSettings()
        if histories.height > sample:
            histories = hash_sample(histories, sample, FIT_SEED)
        repeat = histories.filter(pl.col("frequency") > 0)
        if histories.height < settings.minimum_buyers or repeat.height < settings.minimum_repeat_buyers:
            return ValueAbstention(
                f"{histories.height:,} people have bought and {repeat.height:,} again; "
                f"{settings.minimum_buyers:,} and {settings.minimum_repeat_buyers:,} are needed"
            )
        gaps = histories["gap_variation"].drop_nulls()
        if gaps.len() >= settings.minimum_repeat_buyers and float(gaps.median() or 0) < REGULAR_BELOW:  # type: ignore[arg-type]
            return ValueAbstention(
                "purchases come as regularly as those of a subscription; without a contract's end in the data, "
                "nobody is ever seen to stop"
            )
        amounts, withheld = _fit_amounts(repeat, settings)
        return cls(_fit_purchases(histories), amounts, withheld, histories.height, settings)

    def score(self, histories: pl.DataFrame) -> pl.DataFrame:
        """What is expected of each person within the horizon.

        Args:
            histories: As for `fit`.

        Returns:
            By person_id: person_id; expected_purchases; purchase_probability, 0..1, of at least one; expected_value
            and expected_purchase_value, in the currency of the amounts, null where amounts are withheld;
            alive_probability, 0..1.
        """
        frequency, recency, age = _counts(histories)
        weeks = self.settings.horizon_days / DAYS_OF_A_WEEK
        purchases = self.purchases.expected(frequency, recency, age, weeks)
        amount = None
        if self.amounts is not None:
            amount = self.amounts.expected(frequency, histories["amount"].fill_null(0.0).to_numpy())
        return pl.DataFrame(
            {
                "person_id": histories["person_id"],
                "expected_purchases": purchases,
                "purchase_probability": self.purchases.any_purchase(frequency, recency, age, weeks),
                "expected_value": None if amount is None else purchases * amount,
                "expected_purchase_value": amount,
                "alive_probability": self.purchases.alive(frequency, recency, age),
            },
            schema=VALUE_SCHEMA,
        ).sort("person_id")

    def totals(self, histories: pl.DataFrame, scores: pl.DataFrame, segments: pl.DataFrame) -> pl.DataFrame:
        """What is expected of groups of people, with what chance leaves open.

        Two things are not known: the parameters, for which what is expected is computed again with parameters drawn
        around those fitted (asymptotic normal, on a sample of people), and what each person will really do, whose
        variances add up.

        Args:
            histories: As for `fit`.
            scores: What `score` said of the same people.
            segments: person_id, segment_id; a person may be in several.

        Returns:
            By segment_id: segment_id; buyers; expected_purchases, expected_value, expected_value_low and
            expected_value_high (90 % interval) of all of them together within the horizon; alive_probability, their
            mean, 0..1. Values are null where amounts are withheld.
        """
        history = histories.select("person_id", "frequency", "recency_days", "age_days", "amount")
        # Groups keep one order, so that sums of floating point numbers are the same every time.
        people = segments.join(history, on="person_id").join(scores, on="person_id").sort("segment_id", "person_id")
        if people.is_empty():
            return pl.DataFrame(schema=TOTAL_SCHEMA)
        people = people.with_columns(variance=pl.Series(self._variance(people)))
        totals = people.group_by("segment_id", maintain_order=True).agg(
            pl.len().cast(pl.Int64).alias("buyers"),
            pl.col("expected_purchases", "expected_value", "variance").sum(),
            pl.col("alive_probability").mean(),
        )
        doubt = self._doubt_of_parameters(people)
        half = 1.645 * (pl.col("variance") + (pl.col("doubt") * pl.col("expected_value")) ** 2).sqrt()
        is_told = pl.lit(self.amounts is not None)
        return (
            totals.join(doubt, on="segment_id", how="left", maintain_order="left")
            .with_columns(pl.col("doubt").fill_null(0.0))
            .with_columns(
                expected_value=pl.when(is_told).then("expected_value"),
                expected_value_low=pl.when(is_told).then((pl.col("expected_value") - half).clip(0)),
                expected_value_high=pl.when(is_told).then(pl.col("expected_value") + half),
            )
            .select(list(TOTAL_SCHEMA))
        )

    def _variance(self, people: pl.DataFrame) -> Floats:
        """Of each person's value within the horizon; zero where amounts are withheld.

        Purchases of somebody alive come from a gamma mixture of Poisson processes; amounts vary within a person, and
        what a person pays on average is known only so well.
        """
        if self.amounts is None:
            return np.zeros(people.height)
        x = people["frequency"].cast(pl.Float64).to_numpy()
        alive = people["alive_probability"].to_numpy()
        purchases, amount = people["expected_purchases"].to_numpy(), people["expected_purchase_value"].to_numpy()
        if_alive = purchases / np.maximum(alive, 1e-12)
        of_count = alive * (if_alive + if_alive**2 * (1 + 1 / (self.purchases.r + x))) - purchases**2
        shape = self.amounts.p * x + self.amounts.q
        of_mean = amount**2 / np.maximum(shape - 2, 0.5)
        return purchases * amount**2 / self.amounts.p + of_count * amount**2 + purchases**2 * of_mean

    def _doubt_of_parameters(self, people: pl.DataFrame) -> pl.DataFrame:
        """segment_id, doubt: relative standard deviation of what is expected, from not knowing the parameters."""
        schema = {"segment_id": pl.String, "doubt": pl.Float64}
        if self.amounts is None or not self.purchases.covariance or not self.amounts.covariance:
            return pl.DataFrame(schema=schema)
        some = hash_sample(people, DOUBT_SAMPLE, FIT_SEED).sort("segment_id", "person_id")
        frequency, recency, age = _counts(some)
        amount = some["amount"].fill_null(0.0).to_numpy()
        weeks = self.settings.horizon_days / DAYS_OF_A_WEEK
        rng = np.random.default_rng(FIT_SEED)
        bought, paid = self.purchases, self.amounts
        drawn_purchases = _draw(rng, [bought.r, bought.alpha, bought.a, bought.b], bought.covariance)
        drawn_amounts = _draw(rng, [paid.p, paid.q, paid.v], paid.covariance)
        drawn = {}
        for number, ((r, alpha, a, b), (p, q, v)) in enumerate(zip(drawn_purchases, drawn_amounts, strict=True)):
            purchases = PurchaseModel(r, alpha, a, b, 0.0).expected(frequency, recency, age, weeks)
            drawn[f"draw_{number}"] = purchases * AmountModel(p, max(q, 1.01), v, 0.0, 0).expected(frequency, amount)
        sums = some.select("segment_id").with_columns(**drawn).group_by("segment_id", maintain_order=True).sum()
        values = sums.drop("segment_id").to_numpy()
        return pl.DataFrame(
            {
                "segment_id": sums["segment_id"],
                "doubt": values.std(axis=1) / np.maximum(values.mean(axis=1), 1e-12),
            },
            schema=schema,
        )


def _draw(rng: np.random.Generator, parameters: list[float], covariance: tuple[tuple[float, ...], ...]) -> Floats:
    drawn = rng.multivariate_normal(np.log(parameters), np.array(covariance), DRAWS, method="eigh")
    within_bounds: Floats = np.exp(np.clip(drawn, -LARGEST_LOG, LARGEST_LOG))
    return within_bounds


def _covariance(function: Callable[[Floats], float], at: Floats, people: float) -> tuple[tuple[float, ...], ...]:
    """Inverse of the observed information, by central differences; empty where it is not positive definite.

    A parameter at its bound counts as known.

    Args:
        function: The negative log-likelihood of one person on average.
        at: Its minimum.
        people: How many people it is an average over.
    """
    step = 1e-3
    free = np.flatnonzero(np.abs(at) < LARGEST_LOG - 2 * step)
    shifts = step * np.eye(len(at))[free]
    curvature = np.empty((len(free), len(free)))
    for i in range(len(free)):
        for j in range(i + 1):
            high = function(at + shifts[i] + shifts[j]) + function(at - shifts[i] - shifts[j])
            low = function(at + shifts[i] - shifts[j]) + function(at - shifts[i] + shifts[j])
            curvature[i, j] = curvature[j, i] = (high - low) / (4 * step**2)
    if not len(free) or not np.isfinite(curvature).all() or np.linalg.eigvalsh(curvature)[0] <= 1e-9:
        return ()
    inverse = np.zeros((len(at), len(at)))
    inverse[np.ix_(free, free)] = np.linalg.inv(curvature * people)
    return tuple(tuple(float(value) for value in row) for row in (inverse + inverse.T) / 2)


def _counts(histories: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
    frequency = histories["frequency"].cast(pl.Float64).to_numpy()
    recency = histories["recency_days"].cast(pl.Float64).to_numpy() / DAYS_OF_A_WEEK
    age = histories["age_days"].cast(pl.Float64).to_numpy() / DAYS_OF_A_WEEK
    return frequency, recency, age


def _fit_purchases(histories: pl.DataFrame) -> PurchaseModel:
    """People with the same three figures count together, so that a million of them cost little more than a thousand."""
    alike = (
        histories.group_by("frequency", "recency_days", "age_days")
        .agg(people=pl.len())
        .sort("frequency", "recency_days", "age_days")
    )
    x, t_x, t = _counts(alike)
    people = alike["people"].cast(pl.Float64).to_numpy()
    total = people.sum()

    def negative_log_likelihood(logs: Floats) -> float:
        r, alpha, a, b = np.exp(logs)
        together = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        living = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + t)
        stopped = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
        either = np.where(x > 0, np.logaddexp(living, stopped), living)
        return float(-np.sum(people * (together + either)) / total)

    found = _minimize(negative_log_likelihood, np.log([1.0, 4.0, 1.0, 2.0]))
    r, alpha, a, b = (float(value) for value in np.exp(found))
    log_likelihood = float(-negative_log_likelihood(found) * total)
    return PurchaseModel(r, alpha, a, b, log_likelihood, _covariance(negative_log_likelihood, found, float(total)))


def _fit_amounts(repeat: pl.DataFrame, settings: ValueSettings) -> tuple[AmountModel | None, str | None]:
    known = repeat.filter(pl.col("amount") > 0)
    if known.height < settings.minimum_repeat_buyers:
        return None, (
            f"{known.height:,} people have repeated purchases with an amount; "
            f"{settings.minimum_repeat_buyers:,} are needed"
        )
    x = known["frequency"].cast(pl.Float64).to_numpy()
    z = known["amount"].cast(pl.Float64).to_numpy()
    correlation = float(np.corrcoef(x, z)[0, 1]) if x.std() > 0 and z.std() > 0 else 0.0
    if abs(correlation) > settings.most_correlation:
        return None, f"what people pay hangs together with how often they buy (correlation {correlation:.2f})"
    # Amounts in units of their mean: the same fit whatever the currency.
    unit = float(z.mean())
    z = z / unit

    def negative_log_likelihood(logs: Floats) -> float:
        p, q, v = np.exp(logs)
        shapes = gammaln(p * x + q) - gammaln(p * x) - gammaln(q)
        scales = q * np.log(v) + (p * x - 1) * np.log(z) + p * x * np.log(x) - (p * x + q) * np.log(v + x * z)
        return float(-np.mean(shapes + scales))

    found = _minimize(negative_log_likelihood, np.log([4.0, 4.0, 1.0]))
    p, q, v = np.exp(found)
    if q <= 1:
        return None, "a few purchases are so large that amounts have no mean"
    log_likelihood = -negative_log_likelihood(found) * len(x) - len(x) * np.log(unit)
    covariance = _covariance(negative_log_likelihood, found, float(len(x)))
    return AmountModel(float(p), float(q), float(v * unit), float(log_likelihood), known.height, covariance), None


def _minimize(function: Callable[[Floats], float], start: Floats) -> Floats:
    """A simplex finds the valley whatever the start, a gradient its floor; both stay within the bounds."""
    bounds = [(-LARGEST_LOG, LARGEST_LOG)] * len(start)
    rough = minimize(
        function, start, method="Nelder-Mead", bounds=bounds, options={"maxiter": 4_000, "xatol": 1e-4, "fatol": 1e-9}
    )
    fine = minimize(
        function, rough.x, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    )
    best: Floats = fine.x if fine.fun <= rough.fun else rough.x
    return best
