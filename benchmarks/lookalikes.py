"""Measures look-alikes: hidden buyers found, honesty of precision by size, and a million people scored.

Run it with `make bench-lookalikes`; it writes `benchmarks/LOOKALIKES.md`.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from benchmarks.models import shoppers
from ml.catalogue import Kind
from ml.lookalike_evaluation import precision_by_size
from ml.lookalikes import (
    FOLDS,
    LookalikeRanker,
    Method,
    learn_probabilities,
    probabilities,
    rank_mean,
    training_sample,
)
from ml.people_order import person_fold
from ml.tree_classifiers import BoostingClassifier

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "LOOKALIKES.md"
SEED_SIZES = (50, 100, 400)
BOOSTED_TREES = 40
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def kinds_of(frame: pl.DataFrame) -> dict[str, Kind]:
    """What each feature of a public data set is."""
    known: dict[type, Kind] = {pl.String: "category", pl.Boolean: "flag"}  # type: ignore[dict-item]
    return {
        name: known.get(kind.base_type(), "number")
        for name, kind in frame.schema.items()
        if name not in ("person_id", "as_of", "outcome")
    }


def score_all(people: pl.DataFrame, inputs: dict[str, Kind], is_seed: Flags, method: Method) -> Floats:
    """Everybody's score, as a weekly run makes it."""
    scores = LookalikeRanker(inputs, method).fit(people, is_seed).scores(people)
    return rank_mean(scores, people["person_id"], is_seed, 7)


def with_boosting_for_trees(
    people: pl.DataFrame, inputs: dict[str, Kind], is_seed: Flags, scores: NDArray[np.float32]
) -> Floats:
    """The rank-mean of logistic regression and histogram gradient boosting, out of fold like the default."""
    scores = scores.copy()
    fold = person_fold(people["person_id"], FOLDS, 7)
    for number in range(FOLDS):
        own = pl.Series(fold == number)
        model = BoostingClassifier(inputs, BOOSTED_TREES).fit(
            people.filter(~own), is_seed[fold != number].astype(float)
        )
        scores[fold == number, 1] = model.encoded_log_odds(model.encode(people.filter(own)))
    return rank_mean(scores, people["person_id"], is_seed, 7)


def lift_of_hidden(score: Floats, is_alike: Flags, is_seed: Flags, share: float = 0.05) -> float:
    """How many of the hidden are among the first so many of everybody outside the seed, against a draw by lot."""
    others = ~is_seed
    ranked = np.argsort(-score[others], kind="stable")[: round(share * others.sum())]
    return float(is_alike[others][ranked].sum() / is_alike[others].sum() / share)


def plain_columns(people: pl.DataFrame, inputs: dict[str, Kind]) -> tuple[Floats, Floats]:
    """What a notebook makes of features: numbers standardized; categories as 0 and 1."""
    numbers = people.select(pl.col([name for name, kind in inputs.items() if kind != "category"]).cast(pl.Float64))
    levels = people.select([name for name, kind in inputs.items() if kind == "category"]).to_dummies()
    return StandardScaler().fit_transform(numbers.to_numpy()), levels.to_numpy().astype(np.float64)


def centroid_scores(matrix: Floats, is_seed: Flags) -> tuple[Floats, Floats]:
    """Closeness to the seed's centre: less distance, and the cosine seen from everybody's centre."""
    centre, base = matrix[is_seed].mean(axis=0), matrix.mean(axis=0)
    away, towards = matrix - base, centre - base
    cosine = away @ towards / np.maximum(np.linalg.norm(away, axis=1) * np.linalg.norm(towards), 1e-12)
    return -np.linalg.norm(matrix - centre, axis=1), cosine


def hidden_buyers(people: pl.DataFrame, seed_size: int, draw: int, all_methods: bool = True) -> dict[str, float]:
    """Lift in the first 5 % with one draw of seeds, by method; the default and centroids, or all."""
    inputs = kinds_of(people)
    is_buyer = people["outcome"].to_numpy() == 1
    is_seed = np.zeros(len(is_buyer), dtype=bool)
    is_seed[np.random.default_rng(draw).choice(np.flatnonzero(is_buyer), seed_size, replace=False)] = True
    numbers, levels = plain_columns(people, inputs)
    standardized = StandardScaler().fit_transform(np.column_stack([numbers, levels]))
    distance, cosine_plain = centroid_scores(np.column_stack([numbers, levels]), is_seed)
    _, cosine_standardized = centroid_scores(standardized, is_seed)
    rankings = LookalikeRanker(inputs).fit(people, is_seed).scores(people)
    found = {
        "classifiers (the default)": rank_mean(rankings, people["person_id"], is_seed, 7),
        "nearest centroid": distance,
        "centroid cosine, all columns standardized": cosine_standardized,
        "centroid cosine, categories as 0 and 1": cosine_plain,
    }
    if all_methods:
        found |= {
            "logistic regression and gradient boosting": with_boosting_for_trees(people, inputs, is_seed, rankings),
            "distance (built in)": score_all(people, inputs, is_seed, "distance"),
        }
    return {name: lift_of_hidden(score, is_buyer, is_seed) for name, score in found.items()}


def quality(data: Path, draws: int) -> str:
    people = shoppers(data)
    lines = [
        "## Hidden buyers",
        "",
        f"12,330 visits to a shop, 15.5 % of them bought (online_shoppers). Some buyers, drawn by lot, are the seed; "
        f"the others are hidden among everybody. How many times more of them than by lot are in the first 5 %: mean of "
        f"{draws} draws of the seed, and its standard deviation. No list could do better than 6.5 to 6.8.",
        "",
        "| | " + " | ".join(f"{size} seeds" for size in SEED_SIZES) + " |",
        "| --- |" + " ---: |" * len(SEED_SIZES),
    ]
    told = {size: [hidden_buyers(people, size, draw) for draw in range(draws)] for size in SEED_SIZES}
    for name in told[100][0]:
        cells = [[one[name] for one in told[size]] for size in SEED_SIZES]
        lines.append(f"| {name} | " + " | ".join(f"{np.mean(each):.2f} ± {np.std(each):.2f}" for each in cells) + " |")
    default = np.mean([one["classifiers (the default)"] for one in told[100]])
    ratios = [
        f"{default / np.mean([one[name] for one in told[100]]):.2f} times {name}"
        for name in told[100][0]
        if name != "classifiers (the default)"
    ]
    return "\n".join([*lines, "", f"With 100 seeds the default finds {', '.join(ratios)}.", ""])


def world(draw: int, people: int, known: int, fresh: int, columns: int = 12) -> tuple[pl.DataFrame, Flags, Flags]:
    """People of whom some are alike; which of these are known is decided by lot. Last come others who are alike."""
    chance = np.random.default_rng([11, draw])
    is_alike = np.append(chance.random(people) < 0.1, np.ones(fresh, dtype=bool))
    apart = np.where(np.arange(columns) < 4, 0.8, 0.0)
    values = chance.normal(size=(people + fresh, columns)) + np.outer(is_alike, apart)
    values[:, 1] = np.exp(values[:, 1])
    frame = pl.DataFrame({f"x{column}": values[:, column] for column in range(columns)})
    is_seed, is_fresh = np.zeros(people + fresh, dtype=bool), np.arange(people + fresh) >= people
    is_seed[chance.choice(np.flatnonzero(is_alike & ~is_fresh), known, replace=False)] = True
    return frame.with_columns(person_id=pl.int_range(people + fresh, dtype=pl.UInt64)), is_seed, is_fresh


def honesty(draws: int) -> str:
    """How often the interval of recall holds the recall of people who are alike and were never known."""
    lines = [
        "## Precision by size, held against the truth",
        "",
        f"{draws} simulated companies of 6,000 people each (by distance three times as many companies): a tenth are "
        "alike, 100 or 400 of these are known, four of twelve features tell them apart. A list's interval is right "
        "where it holds the share that it finds of 3,000 further people who are alike and that nothing was learned "
        "from; 95 % should be. Sizes of one company go together. Errors of probability: between what was said of "
        "tenths of the people, and the share of the seed in them.",
        "",
        "| seeds | method | list of 1 % | 5 % | 10 % | 20 % | all | mean error of probability |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    methods: tuple[Method, ...] = ("classifiers", "distance")
    for known in (100, 400):
        for method in methods:
            inside: dict[float, list[bool]] = {share: [] for share in (0.01, 0.05, 0.1, 0.2)}
            errors = []
            for draw in range(draws if method == "classifiers" else 3 * draws):
                everybody, is_known, is_fresh = world(draw, 6_000, known, 3_000)
                people, is_seed = everybody.filter(~pl.Series(is_fresh)), is_known[~is_fresh]
                inputs: dict[str, Kind] = {name: "number" for name in people.columns if name != "person_id"}
                scores = LookalikeRanker(inputs, method).fit(people, is_seed).scores(everybody)
                every_score = rank_mean(scores, everybody["person_id"], is_known | is_fresh, 7)
                score, fresh_score, others = every_score[~is_fresh], every_score[is_fresh], ~is_seed
                sizes = [round(share * others.sum()) for share in inside]
                table = precision_by_size(score, is_seed, others, sizes)
                for share, row in zip(inside, table.iter_rows(named=True), strict=True):
                    last = np.sort(score[others])[::-1][row["people"] - 1]
                    recall = float((fresh_score >= last).mean())
                    inside[share].append(row["recall_low"] <= recall <= row["recall_high"])
                errors.append(_error_of_probability(people["person_id"], score, is_seed))
            cells = [f"{np.mean(each):.0%}" for each in inside.values()]
            every = np.mean([one for each in inside.values() for one in each])
            told = f"{known} | {method} | {' | '.join(cells)} | {every:.0%} | {np.mean(errors):.4f}"
            lines.append(f"| {told} |")
    return "\n".join([*lines, ""])


def _error_of_probability(person_ids: pl.Series, score: Floats, is_seed: Flags) -> float:
    said = probabilities(learn_probabilities(score, person_ids, is_seed, 7), score)
    tenths = np.array_split(np.argsort(said, kind="stable"), 10)
    return float(np.mean([abs(said[rows].mean() - is_seed[rows].mean()) for rows in tenths]))


def _parts(connection: duckdb.DuckDBPyConnection, people_at_a_time: int = 65_536) -> Iterator[pl.DataFrame]:
    for batch in connection.execute("select * from features").fetch_record_batch(people_at_a_time):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        yield frame


def scale(people: int, seed_size: int) -> str:
    """Score everybody of a large company, as a week does it: features leave the database a part at a time."""
    connection = duckdb.connect()
    connection.execute("set memory_limit = '2GB'; set threads = 2")
    numbers = ", ".join(
        f"cast(floor(pow(hash(i * 64 + {column}) % 10007 / 10007.0, 4) * 40) as float) as n{column}"
        for column in range(50)
    )
    levels = ", ".join(f"'level' || (hash(i * 64 + {50 + column}) % 7) as c{column}" for column in range(6))
    flags = ", ".join(f"hash(i * 64 + {56 + column}) % 5 = 0 as f{column}" for column in range(4))
    connection.execute(
        f"create table features as select i::ubigint as person_id, {numbers}, {levels}, {flags} "
        f"from range({people}) as numbers (i)"
    )
    inputs = kinds_of(connection.sql("select * from features limit 1").pl())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    everybody = connection.sql(
        "select person_id, (n0 + n1 + n2) / 60 + hash(person_id) % 1000 / 1000.0 as closeness from features order by 1"
    ).pl()
    line = everybody["closeness"].sort(descending=True)[seed_size - 1]
    everybody = everybody.select("person_id", is_seed=pl.col("closeness") >= line)
    sample = training_sample(everybody, 7)
    features = connection.sql("select f.* from features as f semi join sample as s using (person_id)").pl()
    learned = sample.join(features, on="person_id", maintain_order="left")
    ranker = LookalikeRanker(inputs).fit(learned, learned["is_seed"].to_numpy())
    fitted, fitted_cpu = time.perf_counter() - started, time.process_time() - cpu
    scored = pl.concat(
        part.select("person_id").with_columns(
            pl.Series(name, scores[:, column]) for column, name in enumerate(ranker.rankings_)
        )
        for part in _parts(connection)
        for scores in [ranker.scores(part)]
    )
    joined = everybody.join(scored, on="person_id", maintain_order="left")
    is_seed = joined["is_seed"].to_numpy()
    score = rank_mean(joined.select(ranker.rankings_).to_numpy(), joined["person_id"], is_seed, 7)
    probabilities(learn_probabilities(score, joined["person_id"], is_seed, 7), score)
    precision_by_size(score, is_seed, ~is_seed, [1_000, 5_000, 50_000])
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return "\n".join(
        [
            "## A million people",
            "",
            "| | |",
            "| --- | ---: |",
            f"| people, of the seed, features | {people:,}, {int(is_seed.sum()):,}, {len(inputs)} |",
            f"| learning | {fitted:.0f} s ({fitted_cpu:.0f} s of processor time) |",
            f"| learning, scoring everybody, ranks, probabilities, precision | {seconds:.0f} s ({used:.0f} s) |",
            f"| most memory; before, with the table of features in it | {most / 1e6:.1f} GB; {before / 1e6:.1f} GB |",
            "",
        ]
    )


HEAD = """# Look-alikes, measured

`make bench-lookalikes DATA=<folder of the public data sets>` writes this page. Two cores, shared with other work:
times are no better than that; processor time says more. The method: [docs/lookalikes.md](../docs/lookalikes.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=PROJECT.parent / "shared" / "data")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=6, help="draws of seeds, and simulated companies")
    parser.add_argument("--only", choices=("quality", "honesty", "scale"))
    arguments = parser.parse_args()
    parts = {
        "quality": lambda: quality(arguments.data, arguments.draws),
        "honesty": lambda: honesty(2 * arguments.draws),
        "scale": lambda: scale(arguments.people, 2_000),
    }
    if arguments.only:
        print(parts[arguments.only]())
        return
    RESULTS.write_text("\n".join([HEAD, *(part() for part in parts.values())]), encoding="utf-8")
    print(f"written to {RESULTS.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
