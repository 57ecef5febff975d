"""Measures propensities, and writes MODELS.md.

    python -m benchmarks.models [--data FOLDER] [--people 1000000] [--only PART [--algorithm ALGORITHM]]

How good they are is measured on public data, shuffled and, where rows are dated, forward in time; how true the
probabilities are, in worlds whose probabilities are known and on the demo company; how long a million people take, in
a process of its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from scipy.special import expit
from sklearn.metrics import f1_score

from benchmarks.dimensions import _cdnow
from benchmarks.propensity_worlds import FIRST, honest_world, simulated_weeks
from ml.catalogue import inputs_of
from ml.classifiers import ALGORITHMS, log_odds, make_classifier
from ml.evaluation import evaluate, log_loss
from ml.leakage import SCREENED_ROWS, find_suspects, single_feature_areas
from ml.negative_sampling import ENOUGH, draw_common_outcome
from ml.propensity import cross_fit_scores, fit_propensity
from ml.propensity_model import Abstention, CrossFit, PropensityModel, PropensitySettings

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "MODELS.md"
ROOT = date(2026, 1, 5)
KEEP = PropensitySettings(suspects="keep")
SCALE = ("compared", "logistic", "boosting", "forest", "network")
PARTS = ("public", "forward", "leaks", "truth", "value", "demo", "scale")
MONTHS = ("Feb", "Mar", "May", "June", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
JUDGED_PREDICTIONS = """
select scored_as_of, people, positives, predicted_mean, observed_share, calibration_error, auc
from marts.propensity_backtest where segment_type = 'everybody' order by scored_as_of
"""
HEAD = """# How good propensities are

Written by `make bench-models`; two cores, shared with other work, so that times are upper bounds. Intervals are 95 %.
"""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT.parent / "shared" / "data", help="the public data sets")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--only", choices=PARTS, help="print one part, and write nothing")
    parser.add_argument("--algorithm", choices=SCALE, help="of `--only scale`: one line of the table")
    parser.add_argument("--measure-scale", metavar="ALGORITHM", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure_scale:
        _measure_scale(arguments.people, arguments.measure_scale)
        return
    parts: dict[str, Callable[[], str]] = {
        "public": lambda: _public(arguments.data),
        "forward": lambda: _forward(arguments.data),
        "leaks": lambda: _leaks(arguments.data),
        "truth": _truth,
        "value": lambda: _value(arguments.data),
        "demo": _demo,
        "scale": lambda: _scale(arguments.people, [arguments.algorithm] if arguments.algorithm else SCALE),
    }
    if arguments.only:
        print(parts[arguments.only]())
        return
    RESULTS.write_text("\n".join([HEAD, *(part() for part in parts.values())]), encoding="utf-8")
    print(f"written to {RESULTS.relative_to(PROJECT)}")


def bank(data: Path) -> pl.DataFrame:
    """Campaign calls of a Portuguese bank, in the order of time."""
    frame = pl.read_csv(data / "bank_marketing" / "bank-full.csv", separator=";")
    return _people(frame.with_columns(outcome=(pl.col("y") == "yes").cast(pl.Int8)).drop("y"))


def shoppers(data: Path) -> pl.DataFrame:
    """Sessions of a shop, and whether they ended in a purchase."""
    frame = pl.read_csv(data / "online_shoppers" / "online_shoppers_intention.csv", infer_schema_length=None)
    codes = ("OperatingSystems", "Browser", "Region", "TrafficType")
    is_true = {name: pl.col(name).cast(pl.String).str.to_lowercase() == "true" for name in ("Revenue", "Weekend")}
    frame = frame.with_columns(pl.col(codes).cast(pl.String), **is_true)
    return _people(frame.with_columns(outcome=pl.col("Revenue").cast(pl.Int8)).drop("Revenue"))


def telco(data: Path) -> pl.DataFrame:
    """Customers of a telephone company, and who left."""
    path = data / "telco" / "Telco-Customer-Churn.csv"
    frame = pl.read_csv(path, null_values=[" "], infer_schema_length=None)
    return _people(frame.with_columns(outcome=(pl.col("Churn") == "Yes").cast(pl.Int8)).drop("Churn", "customerID"))


def _people(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(person_id=pl.int_range(pl.len(), dtype=pl.UInt64), as_of=pl.lit(ROOT))


def catalogue_of(frame: pl.DataFrame) -> pl.DataFrame:
    """A feature catalogue of all columns but the keys, the outcome and the truth."""
    kinds = {pl.String: "category", pl.Boolean: "flag"}
    rows = [
        {"feature": name, "family": "f", "label": name, "kind": kinds.get(kind.base_type(), "number")}
        for name, kind in frame.schema.items()
        if name not in ("person_id", "as_of", "outcome", "truth")
    ]
    words = pl.lit(None, pl.String)
    return pl.DataFrame(rows).with_columns(
        high_words=words, low_words=words, is_persona_input=True, is_propensity_input=True
    )


def _between(figures: dict[str, float], name: str, digits: int = 3) -> str:
    low, high = figures[f"{name}_low"], figures[f"{name}_high"]
    return f"{figures[name]:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _public(data: Path) -> str:
    sets = {
        "online shoppers": (shoppers(data), "AUC .927, of the published method run again"),
        "telephone company": (telco(data), "AUC .845, logistic regression"),
        "bank, without `duration`": (bank(data).drop("duration"), "AUC .80, log loss .283, boosted trees"),
    }
    lines = [
        "## Public data, shuffled",
        "",
        "Five folds of other people, as `cross_fit_scores` makes them, suspects kept. This is how such data are mostly "
        "reported; next week is another matter, see below. The algorithm that is chosen is told in bold.",
        "",
        "| data | algorithm | AUC | log loss | Brier | calibration error | slope | elsewhere |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    told = []
    for name, (frame, elsewhere) in sets.items():
        catalogue = catalogue_of(frame)
        chosen = cross_fit_scores(frame, catalogue, KEEP)
        assert isinstance(chosen, CrossFit)
        for algorithm in ALGORITHMS:
            is_chosen = algorithm == chosen.algorithm
            fitted = chosen if is_chosen else cross_fit_scores(frame, catalogue, KEEP, algorithm)
            assert isinstance(fitted, CrossFit)
            figures = fitted.evaluation
            lines.append(
                f"| {name} | {'**' + algorithm + '**' if is_chosen else algorithm} | {_between(figures, 'auc')} "
                f"| {_between(figures, 'log_loss')} | {figures['brier']:.4f} | {figures['calibration_error']:.4f} "
                f"| {figures['calibration_slope']:.2f} | {elsewhere if is_chosen else ''} |"
            )
        if name == "online shoppers":
            told = _beside_sakar(frame, chosen)
    return "\n".join([*lines, "", *told, ""])


def _beside_sakar(frame: pl.DataFrame, fitted: CrossFit) -> list[str]:
    both = frame.select("person_id", "outcome").join(fitted.scores, on="person_id")
    outcomes, found = both["outcome"].to_numpy(), (both["probability"] >= 0.5).to_numpy()
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(outcomes), len(outcomes)) for _ in range(200)]
    accuracy = [float((outcomes[draw] == found[draw]).mean()) for draw in draws]
    f1 = [float(f1_score(outcomes[draw], found[draw])) for draw in draws]
    return [
        f"Beside the random forest of Sakar et al. 2018 (accuracy .8951, F1 .58, on one 70/30 split with the natural "
        f"mix of outcomes): everybody whose probability is at least one half taken for a buyer, accuracy "
        f"{(outcomes == found).mean():.4f} ({np.quantile(accuracy, 0.025):.4f}–{np.quantile(accuracy, 0.975):.4f}), F1 "
        f"{f1_score(outcomes, found):.3f} ({np.quantile(f1, 0.025):.3f}–{np.quantile(f1, 0.975):.3f}).",
    ]


def _forward(data: Path) -> str:
    calls = bank(data).drop("duration")
    tenth = (pl.int_range(pl.len()) * 10 // pl.len()).cast(pl.Int64)
    calls = calls.with_columns(as_of=pl.lit(ROOT) + pl.duration(weeks=1) * tenth)
    sessions = shoppers(data)
    place = pl.col("Month").replace_strict(list(MONTHS), list(range(len(MONTHS))), return_dtype=pl.Int64)
    sessions = sessions.with_columns(as_of=pl.lit(ROOT) + pl.duration(weeks=1) * place).drop("Month")
    lines = [
        "## The same, forward in time",
        "",
        "Learned from the past, chosen and calibrated within it, measured on the next part: `fit_propensity`, with "
        "each part of the data taken for a week. The bank's calls stand in the order of time (tenths of the file); the "
        "shop's sessions have a month, which is left out of the features. Suspects kept.",
        "",
        "| data | measured on | base rate before, then | algorithm | AUC | log loss (of the base rate) "
        "| calibration error | slope | said of calibration |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, frame, names in (
        ("bank", calls, [f"tenth {number + 1}" for number in range(10)]),
        ("online shoppers", sessions, list(MONTHS)),
    ):
        weeks = frame["as_of"].unique().sort().to_list()
        areas = []
        for week in weeks[5:]:
            known = frame.filter(pl.col("as_of") <= week)
            before = known.filter(pl.col("as_of") < week)["outcome"].mean()
            fitted = fit_propensity(known, catalogue_of(frame), PropensitySettings(suspects="keep", horizon_days=7))
            figures = fitted.evaluation
            if figures is None:
                continue
            areas.append(figures["auc"])
            method = "abstains" if isinstance(fitted, Abstention) else fitted.algorithm
            drift = (figures["calibration_drift"] or "holds").split("; and ")[0].split(", ")[-1].removeprefix("so ")
            lines.append(
                f"| {name} | {names[(week - ROOT).days // 7]} | {before:.3f}, {figures['base_rate']:.3f} | {method} "
                f"| {_between(figures, 'auc')} | {figures['log_loss']:.3f} ({figures['base_rate_log_loss']:.3f}) "
                f"| {figures['calibration_error']:.3f} | {figures['calibration_slope']:.2f} | {drift} |"
            )
        lines.append(f"| {name} | mean | | | {np.mean(areas):.3f} | | | | |")
    return "\n".join([*lines, ""])


def _leaks(data: Path) -> str:
    lines = [
        "## Features that know too much",
        "",
        f"`find_suspects` on {SCREENED_ROWS:,} rows at most, told nothing. `duration` is how long the call took, which "
        "is known when its outcome is; `PageValues` is computed from pages of the same session, checkout included.",
        "",
        "| data | features | suspects | strongest alone (AUC) |",
        "| --- | --- | --- | --- |",
    ]
    sets = {
        "bank": bank(data),
        "bank, without `duration`": bank(data).drop("duration"),
        "online shoppers": shoppers(data),
        "online shoppers, without `PageValues`": shoppers(data).drop("PageValues"),
        "telephone company": telco(data),
    }
    for name, frame in sets.items():
        inputs = inputs_of(catalogue_of(frame), frame.columns, "is_propensity_input")
        suspects = find_suspects(frame, inputs, frame)
        areas = single_feature_areas(frame, inputs, 7)
        best = max(areas, key=lambda feature: areas[feature][0])
        found = "; ".join(f"`{one.feature}`: {one.reason}" for one in suspects) or "none"
        lines.append(f"| {name} | {len(inputs)} | {found} | `{best}` {areas[best][0]:.3f} |")
    alarms, worlds, strong = 0, 60, 0
    for seed in range(worlds):
        frame = honest_world(4_000, seed)
        inputs = inputs_of(catalogue_of(frame), frame.columns, "is_propensity_input")
        alarms += bool(find_suspects(frame, inputs, frame, seed=seed))
        areas = {name: area for name, (area, _) in single_feature_areas(frame, inputs, seed).items()}
        strong += max(areas.values()) >= 0.75
    lines += [
        "",
        f"False alarms in {worlds} simulated sets of 6 to 40 honest features with effects drawn at random "
        f"(`propensity_worlds.honest_world`): {alarms}; in {strong} of them some feature alone reaches an AUC of .75.",
    ]
    return "\n".join([*lines, ""])


def _truth() -> str:
    lines = [
        "## Probabilities that are known",
        "",
        "100,000 simulated people over two past weeks (`propensity_worlds.simulated_weeks`); measured on 100,000 "
        "others of another week, against what was true of each. Log loss is the expected one, over that of the true "
        f"probabilities. Drawn: all with the outcome, as many without; else at least {ENOUGH:,} of these, the default.",
        "",
        "| world | rows learned from | algorithm | slope | intercept | calibration error | log loss / oracle's | AUC |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for is_bent in (False, True):
        for seed, enough in ((1, ENOUGH), (2, 1)):
            weeks = simulated_weeks(100_000, 2, seed, is_bent)
            fresh = simulated_weeks(100_000, 1, seed + 100, is_bent).sort("person_id")
            training = draw_common_outcome(weeks.drop("truth"), 7, enough)
            fitted = fit_propensity(training, catalogue_of(weeks), PropensitySettings(horizon_days=7))
            assert isinstance(fitted, PropensityModel), fitted
            said = fitted.score(fresh)["probability"].to_numpy()
            truth, outcomes = fresh["truth"].to_numpy(), fresh["outcome"].cast(pl.Float64).to_numpy()
            figures = evaluate(outcomes, said)
            ratio = log_loss(truth, said) / log_loss(truth, truth)
            drawn = " drawn" if enough == 1 else ""
            lines.append(
                f"| {'bent' if is_bent else 'straight'}, seed {seed} | {training.height:,}{drawn} "
                f"| {fitted.algorithm} | {figures['calibration_slope']:.3f} | {figures['calibration_intercept']:+.3f} "
                f"| {figures['calibration_error']:.4f} | {ratio:.4f} | {figures['auc']:.3f} |"
            )
    lines += [
        "",
        "Why a comparison on at most 100,000 rows is enough: log loss on 100,000 fresh rows of the bent world, over "
        "that of the true probabilities, by rows learned from.",
        "",
        f"| rows | {' | '.join(ALGORITHMS)} |",
        f"| --- |{' --- |' * len(ALGORITHMS)}",
    ]
    weeks, fresh = simulated_weeks(100_000, 1, 1, True), simulated_weeks(100_000, 1, 101, True)
    inputs = inputs_of(catalogue_of(weeks), weeks.columns, "is_propensity_input")
    truth = fresh["truth"].to_numpy()
    for size in (3_000, 10_000, 30_000, 100_000):
        rows = weeks.head(size)
        ratios = []
        for algorithm in ALGORITHMS:
            classifier = make_classifier(algorithm, inputs, {}, 7).fit(
                rows, rows["outcome"].cast(pl.Float64).to_numpy()
            )
            ratios.append(log_loss(truth, expit(log_odds(classifier, fresh))) / log_loss(truth, truth))
        lines.append(f"| {size:,} | {' | '.join(f'{ratio:.3f}' for ratio in ratios)} |")
    return "\n".join([*lines, ""])


def _value(data: Path) -> str:
    source = data / "cdnow" / "CDNOW_sample.txt"
    return "\n".join(["## Customer value", "", *(_cdnow(source) if source.is_file() else []), ""])


def _demo(people: int = 100_000, weeks: int = 7) -> str:
    """What was said of the demo company's people, and what has come true since."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "demo"
        for command in (
            ["demo", workspace, "--people", people, "--weeks", 26],
            ["run", workspace, "--weeks", weeks],
        ):
            called = [sys.executable, "-m", "orchestration", *map(str, command)]
            subprocess.run(called, check=True, capture_output=True, cwd=PROJECT)
        with duckdb.connect(str(workspace / ".personae" / "warehouse.duckdb"), read_only=True) as connection:
            rows = connection.execute(JUDGED_PREDICTIONS).fetchall()
    return "\n".join(
        [
            f"## {people:,} people of the demo company",
            "",
            f"`personae run --weeks {weeks}`, then `marts.propensity_backtest`: predictions whose time is over since.",
            "",
            "| predicted as of | people | outcomes | predicted | came true | calibration error | AUC |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(
                f"| {as_of} | {people:,} | {positives:,} | {said:.2%} | {came:.2%} | {error:.4f} | {auc:.3f} |"
                for as_of, people, positives, said, came, error, auc in rows
            ),
            "",
        ]
    )


def _scale(people: int, algorithms: Sequence[str] = SCALE) -> str:
    lines = [
        "## A million people",
        "",
        f"{people:,} people, 60 features, four past weeks, the outcome in 15 %: what is learned from is drawn of "
        f"{4 * people:,} rows. Each line in a process of its own; seconds by the clock (of CPU).",
        "",
        "| | rows learned from | fitted | scored | peak memory |",
        "| --- | --- | --- | --- | --- |",
    ]
    for algorithm in algorithms:
        command = [sys.executable, "-m", "benchmarks.models", "--people", str(people), "--measure-scale", algorithm]
        lines.append(subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT).stdout.strip())
    return "\n".join([*lines, ""])


def _measure_scale(people: int, algorithm: str) -> None:
    random = np.random.default_rng(5)
    effects = random.normal(size=60) * (random.random(60) < 0.3) * 0.4
    ids = pl.Series(range(people), dtype=pl.UInt64)

    def week(number: int) -> pl.DataFrame:
        own = np.random.default_rng([5, number])
        x = own.normal(size=(people, 60)).astype(np.float32)
        linear = x @ effects.astype(np.float32) + 0.4 * x[:, 0] * x[:, 1] - 2.6
        outcome = (own.random(people) < 1 / (1 + np.exp(-linear))).astype(np.int8)
        frame = pl.DataFrame({f"f{place}": x[:, place] for place in range(60)})
        return frame.with_columns(
            person_id=ids, as_of=pl.lit(FIRST + timedelta(weeks=number)), outcome=pl.Series(outcome)
        )

    labels = pl.concat([week(number).select("person_id", "as_of", "outcome") for number in range(4)])
    drawn = draw_common_outcome(labels, 7).select("person_id", "as_of", "sampled_at")
    training = pl.concat([week(number).join(drawn, on=["person_id", "as_of"]) for number in range(4)])
    catalogue = catalogue_of(training.drop("sampled_at"))
    standing = None if algorithm == "compared" else algorithm
    clock, cpu = time.perf_counter(), time.process_time()
    fitted = fit_propensity(training, catalogue, PropensitySettings(horizon_days=30), standing)
    fit = f"{time.perf_counter() - clock:.0f} s ({time.process_time() - cpu:.0f})"
    assert isinstance(fitted, PropensityModel), fitted
    now = week(9)
    clock, cpu = time.perf_counter(), time.process_time()
    fitted.score(now)
    score = f"{time.perf_counter() - clock:.0f} s ({time.process_time() - cpu:.0f})"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    name = f"four compared, {fitted.algorithm} chosen" if standing is None else f"{standing}, as last week"
    print(f"| {name} | {training.height:,} | {fit} | {score} | {peak:.1f} GB |")


if __name__ == "__main__":
    main()
