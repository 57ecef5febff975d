"""What it is expected to earn to contact the likeliest people first: lift, gains and profit, with intervals.

Here belong the figures, from the predictions of a week that was not learned from. Where bands begin stands in `bands`.

Profit counts what comes in from those contacted who do what is predicted, less the contacts' cost. It is no uplift:
some would have done so uncontacted. What a contact itself brings about, only campaigns with a control group tell.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.bands import BANDS, Bands, observed_share, weights_of

Floats = NDArray[np.float64]
DEPTHS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the people, the likeliest first, that the curve is told at."""
REPLICATES = 1_000

GAIN_SCHEMA = {
    "kind": pl.String,
    "band": pl.String,
    "depth": pl.Float64,
    "people": pl.Int64,
    "contactable_people": pl.Int64,
    "measured_people": pl.Float64,
    "measured_positives": pl.Float64,
    "mean_probability": pl.Float64,
    "observed": pl.Float64,
    "observed_low": pl.Float64,
    "observed_high": pl.Float64,
    "lift": pl.Float64,
    "gain": pl.Float64,
    "profit": pl.Float64,
    "profit_low": pl.Float64,
    "profit_high": pl.Float64,
}


def contactable_people(scored: pl.DataFrame) -> pl.DataFrame:
    """How many of the likeliest people, and of those of each band, may be contacted.

    Args:
        scored: person_id, probability, band, may_be_contacted.

    Returns:
        kind, band, depth (null of a band), contactable_people.
    """
    ranked = scored.sort("probability", "person_id", descending=[True, False])
    reached = np.concatenate([[0], np.cumsum(ranked["may_be_contacted"].to_numpy().astype(np.int64))])
    curve = [("curve", None, depth, int(reached[round(depth * scored.height)])) for depth in DEPTHS]
    by_band = scored.group_by("band").agg(pl.col("may_be_contacted").sum()).sort("band").iter_rows()
    bands = [("band", band, None, int(count)) for band, count in by_band]
    schema = {"kind": pl.String, "band": pl.String, "depth": pl.Float64, "contactable_people": pl.Int64}
    return pl.DataFrame([*curve, *bands], schema=schema, orient="row")


def expected_gains(
    measured: pl.DataFrame,
    bands: Bands,
    band_people: dict[str, int],
    seed: int = 7,
    contactable: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Tell what contacting the likeliest people, or those of a band, is expected to earn this week.

    Args:
        measured: Of a week not learned from: person_id, probability, outcome 0 or 1, optionally weight and amount.
        bands: The bands of the target, with cost and value where they are declared.
        band_people: People of this week per published band.
        seed: Of the bootstrap.
        contactable: As `contactable_people` gives it, where it is known who may be contacted; then only they bring
            profit, and capacity is counted in them.

    Returns:
        `GAIN_SCHEMA`. Of kind `curve` a row per depth: the so many likeliest people of this week; of kind `band` one
        per band. observed with a 95 % interval after Wilson; lift (times the share of everybody), gain (share of all
        outcomes that are among them); profit in the workspace's currency with the 95 % interval of a bootstrap
        within slices of depth, null where cost and value are not declared.
    """
    everybody = sum(band_people.values())
    reach = {} if contactable is None else {(band or depth): n for _, band, depth, n in contactable.iter_rows()}
    if measured.is_empty() or everybody == 0:
        return pl.DataFrame(schema=GAIN_SCHEMA)
    ranked = measured.sort("probability", "person_id", descending=[True, False])
    weights, outcomes = weights_of(ranked), ranked["outcome"].cast(pl.Float64).to_numpy()
    # Where a band is no list from the top (each person has their own amount), it is a part of its own.
    position = np.cumsum(weights) / weights.sum()
    # A person belongs to the first depth that reaches them; rounding must not push the last one out.
    slices = np.searchsorted(np.array(DEPTHS), position - 1e-9).clip(0, len(DEPTHS) - 1)
    worth = _worth(ranked, bands)
    random = np.random.default_rng(seed)
    overall = observed_share(outcomes, weights)[0]
    rows = []
    drawn = _resampled(slices, len(DEPTHS), outcomes, weights, worth, random) if worth is not None else None
    for number, depth in enumerate(DEPTHS):
        part = slices <= number
        people = round(depth * everybody)
        contacted = reach.get(depth, people)
        profit = _profit(drawn, slice(0, number + 1), part, outcomes, weights, worth, bands, contacted)
        row = _row("curve", None, depth, people, part, ranked, weights, outcomes, overall, profit)
        rows.append(row | {"contactable_people": reach.get(depth)})
    place = (
        ranked.select(band=bands.names(ranked))
        if bands.rule.by != "capacity"
        else _capacity_names(ranked, bands, reach.get(1.0, everybody))
    )
    for band in BANDS:
        if band not in band_people:
            continue
        part = (place["band"] == band).to_numpy()
        own = None
        if worth is not None and part.any():
            own = _resampled(np.zeros(int(part.sum()), np.int64), 1, outcomes[part], weights[part], worth[part], random)
        contacted = reach.get(band, band_people[band])
        profit = _profit(own, slice(0, 1), part, outcomes, weights, worth, bands, contacted)
        share = band_people[band] / everybody
        row = _row("band", band, share, band_people[band], part, ranked, weights, outcomes, overall, profit)
        rows.append(row | {"contactable_people": reach.get(band)})
    return pl.DataFrame(rows, schema=GAIN_SCHEMA)


def _capacity_names(ranked: pl.DataFrame, bands: Bands, population: int) -> pl.DataFrame:
    places = bands.place(ranked, population)
    names = np.array(["low", "medium", "high"])[places]
    return pl.DataFrame({"band": [bands.joined.get(name, name) for name in names.tolist()]})


def _worth(rows: pl.DataFrame, bands: Bands) -> Floats | None:
    """What each person brings, None where cost or value are not declared."""
    if bands.rule.cost is None or (bands.rule.value is None and "amount" not in rows.columns):
        return None
    return bands.worth(rows)


def _resampled(
    part: NDArray[np.int64], parts: int, outcomes: Floats, weights: Floats, worth: Floats, random: np.random.Generator
) -> Floats:
    """What comes in per part, replicates x parts: people of each part drawn again with replacement.

    The number of outcomes among people drawn again is binomial; what they bring is the mean of as many draws of the
    amounts of those who had one, which the normal distribution stands in for.
    """
    positive = weights * outcomes
    size = np.bincount(part, weights, parts).astype(np.float64)
    squares = np.bincount(part, weights**2, parts)
    equal_rows = np.rint(np.divide(size**2, squares, out=np.zeros(parts), where=squares > 0)).astype(np.int64)
    share = np.divide(np.bincount(part, positive, parts), size, out=np.zeros(parts), where=size > 0).clip(0, 1)
    total = np.bincount(part, positive, parts)
    mean = np.divide(np.bincount(part, positive * worth, parts), total, out=np.zeros(parts), where=total > 0)
    spread = np.bincount(part, positive * (worth - mean[part]) ** 2, parts)
    deviation = np.sqrt(np.divide(spread, total, out=np.zeros(parts), where=total > 0))
    count = random.binomial(equal_rows, share, (REPLICATES, parts))
    noise = random.standard_normal((REPLICATES, parts)) * deviation / np.sqrt(np.maximum(count, 1))
    per_row = np.divide(size, equal_rows, out=np.zeros(parts), where=equal_rows > 0)
    drawn: Floats = count.astype(np.float64) * per_row * np.maximum(mean + noise, 0.0)
    return drawn


def _profit(
    drawn: Floats | None,
    parts: slice,
    rows: NDArray[np.bool_],
    outcomes: Floats,
    weights: Floats,
    worth: Floats | None,
    bands: Bands,
    people: int,
) -> tuple[float | None, float | None, float | None]:
    """Profit of contacting so many people of this week, as the rows measured say, and its interval."""
    measured = float(weights[rows].sum())
    if drawn is None or worth is None or measured == 0 or bands.rule.cost is None:
        return None, None, None
    scale, cost = people / measured, people * bands.rule.cost
    income = float((weights * outcomes * worth)[rows].sum())
    low, high = np.quantile(drawn[:, parts].sum(axis=1), [0.025, 0.975])
    return income * scale - cost, float(low) * scale - cost, float(high) * scale - cost


def _row(
    kind: str,
    band: str | None,
    depth: float,
    people: int,
    part: NDArray[np.bool_],
    ranked: pl.DataFrame,
    weights: Floats,
    outcomes: Floats,
    overall: float,
    profit: tuple[float | None, float | None, float | None],
) -> dict[str, Any]:
    measured, positives = float(weights[part].sum()), float((weights * outcomes)[part].sum())
    share, low, high = observed_share(outcomes[part], weights[part])
    everything = float((weights * outcomes).sum())
    mean = float(np.average(ranked["probability"].to_numpy()[part], weights=weights[part])) if measured else None
    return {
        "kind": kind,
        "band": band,
        "depth": depth,
        "people": people,
        "measured_people": measured,
        "measured_positives": positives,
        "mean_probability": mean,
        "observed": share if measured else None,
        "observed_low": low if measured else None,
        "observed_high": high if measured else None,
        "lift": share / overall if measured and overall else None,
        "gain": positives / everything if everything else None,
        "profit": profit[0],
        "profit_low": profit[1],
        "profit_high": profit[2],
    }
