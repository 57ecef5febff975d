"""Contacts that are probably the same human though they share no identifier, by Fellegi and Sunter's model with
`splink`.

What belongs here: which columns are compared how, training without labels, and scoring pairs. A match is a link like
any other; which contacts become one person is `identity_resolution.py`'s to say.

Each column's agreement on a scale of levels weighs for or against a match: by m, how often two contacts of one human
agree so, over u, how often two contacts of different humans do. u comes from pairs drawn at random, m from expectation
maximisation over pairs that agree elsewhere (Fellegi and Sunter 1969, "A theory for record linkage", JASA 64; Winkler
1988; splink's documentation). No term frequencies are used: what two contacts weigh then depends on nothing but the two
and the trained parameters, so that later contacts never change an earlier match.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Any, Literal

import numpy as np
import polars as pl

from ml.identity_ledger import end_of_week
from ml.slices import in_one_piece

Kind = Literal["name", "date", "text", "code", "category", "email"]
ModelContent = dict[str, Any]

RECORD = "record_key"
KNOWN_AT = pl.Datetime("us")
# With fewer contacts than this there is nothing to learn m from.
FEWEST_CONTACTS = 200
RANDOM_PAIRS = 1_000_001.0
# Memory for learning stays bounded; how often two contacts of one human agree does not depend on how many there are.
RECORDS_TO_LEARN_FROM = 100_000
# More rules than these find hardly any more pairs, and each one lengthens every statement.
MOST_RULES = 15
# A rule that finds fewer pairs teaches by accident, one that finds more takes long and finds hardly any matches.
FEWEST_PAIRS_TO_LEARN_FROM, MOST_PAIRS_TO_LEARN_FROM = 15, 2_000_000
# Each column is learned under so many rules, if there are as many; so many rules are tried.
ENOUGH_LESSONS, MOST_LESSONS = 2, 12
# What the sample never shows among random pairs, and among matches, is taken to be this rare.
RAREST, RAREST_AMONG_MATCHES = 1e-6, 0.005
SIGNIFICANT_DIGITS = 6
# How splink writes that two records agree in a column.
AGREEMENT = re.compile(r'\(?l\."([^"]+)" = r\."([^"]+)"\)?')


@dataclass(frozen=True)
class MatchingRules:
    """What a workspace says of matching.

    Attributes:
        columns: what is compared, by kind. name: words that are mistyped and shortened; date: as text, digits decide;
            text: longer words such as a street; code: a number of digits or letters such as a postcode; category: one
            of few values; email.
        match_probability: from which probability on two contacts are one human.
        pairs_per_contact: at most so many pairs per contact are looked at, on the contacts the model is trained on.
        seed: of the random pairs.
    """

    columns: Mapping[str, Kind] = field(default_factory=dict)
    match_probability: float = 0.95
    pairs_per_contact: float = 20.0
    seed: int = 7


def comparable(records: pl.DataFrame, rules: MatchingRules) -> pl.DataFrame:
    """Records as they are compared: lower case, without accents and outer spaces, nothing instead of empty text.

    Args:
        records: `record_key` and the columns of `rules`, of any type.
        rules: which columns.

    Returns:
        `record_key` and the columns as text; dates and codes without anything but letters and digits.
    """
    frame = records.select(RECORD, *(pl.col(column).cast(pl.String) for column in rules.columns))
    for column, kind in rules.columns.items():
        # What is there once is spelled once: few values are many contacts'.
        spelled = frame.select(pl.col(column).unique()).with_columns(_spelled=_spelled(pl.col(column), kind))
        frame = frame.join(spelled, on=column, how="left", nulls_equal=True, maintain_order="left")
        frame = frame.with_columns(pl.col("_spelled").alias(column)).drop("_spelled")
    return frame


def _spelled(text: pl.Expr, kind: Kind) -> pl.Expr:
    text = text.str.to_lowercase().str.replace_all("ß", "ss")
    text = text.str.normalize("NFKD").str.replace_all(r"\p{M}", "")
    if kind in ("date", "code"):
        text = text.str.replace_all(r"[^\p{L}\p{N}]", "")
    elif kind != "email":
        text = text.str.replace_all(r"[^\p{L}\p{N}]+", " ")
    text = text.str.strip_chars()
    return text.replace("", None)


def train_matching(records: pl.DataFrame, rules: MatchingRules, database: Any = None) -> ModelContent | None:
    """Learn how much each agreement weighs, from the contacts themselves.

    Args:
        records: as `comparable` gives them, one per contact.
        rules: what the workspace says.
        database: a connection to compute in; by default to a database in memory.

    Returns:
        Plain numbers that `match_contacts` scores with, fit for JSON: the same for the same records in any order. None
        where there are too few contacts, or too few pairs that agree anywhere, to learn from.
    """
    blocking_rules = _blocking_rules(records, rules)
    sample = _sample(records)
    if records.height < FEWEST_CONTACTS or not blocking_rules:
        return None
    linker = _linker(sample, _settings(rules, blocking_rules), database)
    linker.training.estimate_u_using_random_sampling(
        max_pairs=RANDOM_PAIRS, seed=rules.seed, min_count_per_level=None, num_chunks=1
    )
    settings = linker.misc.save_model_to_json()
    settings.pop("linker_uid", None)
    for comparison in settings["comparisons"]:
        for level in _levels(comparison):
            level["u_probability"] = max(level.get("u_probability") or 0.0, RAREST)
    if not _learn_agreement_of_matches(settings, sample, rules, database):
        return None
    _round_parameters(settings)
    settings["probability_two_random_records_match"] = _prior(sample, settings, database)
    return {"columns": dict(sorted(rules.columns.items())), "splink": settings}


def match_contacts(
    records: pl.DataFrame,
    model: ModelContent,
    compared: pl.DataFrame | None = None,
    least_probability: float = 0.5,
    database: Any = None,
) -> pl.DataFrame:
    """Score pairs of records that agree enough to be looked at.

    Args:
        records: new or changed records, as `comparable` gives them.
        model: what `train_matching` returned.
        compared: records that were compared among each other before; each new one is compared with them, too. Comparing
            bit by bit gives the same pairs and weights as comparing all at once.
        least_probability: pairs below are left out.
        database: as in `train_matching`.

    Returns:
        A row per pair, in order: `record_key_l` < `record_key_r`, `match_weight` (log2 of the odds),
        `match_probability`, and per column `gamma_<column>` (the level of agreement; -1 where one has no value) and
        `weight_<column>` (what it adds to the match weight).
    """
    columns = list(model["columns"])
    schema: dict[str, Any] = {"record_key_l": pl.String, "record_key_r": pl.String}
    schema |= {"match_weight": pl.Float64, "match_probability": pl.Float64}
    schema |= {f"gamma_{column}": pl.Int32 for column in columns} | {
        f"weight_{column}": pl.Float64 for column in columns
    }
    if records.is_empty():
        return pl.DataFrame(schema=schema)
    linker = _linker(records, model["splink"], database)
    api = linker._db_api
    new = api.register(records.to_arrow())
    found = [linker.inference.predict_within(new, threshold_match_probability=least_probability, warning_mode="never")]
    if compared is not None and not compared.is_empty():
        known = api.register(compared.to_arrow())
        found.append(
            linker.inference.predict_between(
                new, known, threshold_match_probability=least_probability, warning_mode="never"
            )
        )
    pairs = [_pairs(each, schema) for each in found]
    for each in found:
        each.drop_table_from_database_and_remove_from_cache()
    return pl.concat(pairs).sort("record_key_l", "record_key_r")


def train_when_possible(
    records: pl.DataFrame, rules: MatchingRules, timezone: str, not_before: datetime, database: Any = None
) -> ModelContent | None:
    """Train once, on the contacts known at the end of the first week that knows enough of them.

    That week depends on the data alone, not on when somebody runs what: a rebuild from nothing trains on the same
    contacts.

    Args:
        records: `record_key`, `contact_id`, `known_from_at` (UTC) and the columns of `rules`.
        rules: what the workspace says.
        timezone: where weeks begin.
        not_before: the earliest end of a week to train at (UTC).
        database: as in `train_matching`.

    Returns:
        The model, with `trained_on_contacts_before` (UTC, ISO 8601) and the number of `contacts`; None where there are
        never enough.
    """
    first = records.sort("known_from_at", RECORD).unique("contact_id", keep="first", maintain_order=True)
    cutoff, wanted = not_before, FEWEST_CONTACTS
    while True:
        known = first.filter(pl.col("known_from_at") < cutoff)
        if known.height >= wanted:
            model = train_matching(comparable(known, rules), rules, database)
            if model is not None:
                return model | {"trained_on_contacts_before": cutoff.isoformat(), "contacts": known.height}
            wanted = 2 * known.height
        if first.height < wanted:
            return None
        cutoff = max(cutoff, end_of_week(first["known_from_at"][wanted - 1], timezone))


def update_matches(
    records: pl.DataFrame,
    model: ModelContent,
    rules: MatchingRules,
    previous: pl.DataFrame | None = None,
    database: Any = None,
) -> pl.DataFrame:
    """All matches among the contacts, where only records that were never compared are compared now.

    Args:
        records: `record_key`, `contact_id`, `known_from_at` (UTC) and the columns of `rules`; a contact that changed
            has several.
        model: what `train_when_possible` returned.
        rules: what the workspace says.
        previous: what this function returned before with the same model, if it did.
        database: as in `train_matching`.

    Returns:
        In order: what `matches_of_pairs` returns, and `compared_records` of all.
    """
    before = no_matches() if previous is None else previous
    compared_keys = before.filter(pl.col("other_record_key").is_null()).select(RECORD)
    new = comparable(records.join(compared_keys, on=RECORD, how="anti", maintain_order="left"), rules)
    compared = comparable(records.join(compared_keys, on=RECORD, how="semi", maintain_order="left"), rules)
    pairs = match_contacts(new, model, compared, least_probability(rules), database)
    pairs = pl.concat([pairs_of_matches(before), pairs], how="diagonal").select(pairs.columns)
    matches = matches_of_pairs(pairs, records, model, rules)
    return pl.concat([matches, compared_records(records)], how="diagonal").sort(
        "contact_id", "other_contact_id", RECORD, "other_record_key"
    )


def least_probability(rules: MatchingRules) -> float:
    """Pairs below are not worth a row."""
    return min(0.5, rules.match_probability)


def matches_of_pairs(
    pairs: pl.DataFrame, records: pl.DataFrame, model: ModelContent, rules: MatchingRules
) -> pl.DataFrame:
    """What pairs of records say of contacts.

    Args:
        pairs: as `match_contacts` gives them; those of records that are not there any more, or that are of one contact,
            are left out.
        records: `record_key`, `contact_id`, `known_from_at` (UTC) of all of them.
        model: what `train_when_possible` returned.
        rules: what the workspace says.

    Returns:
        `contact_id`, `other_contact_id` (the greater one), `matched_from_at` (UTC: both are known, and so is the
        model), `match_weight`, `match_probability`, `is_match` (the probability reaches the workspace's threshold),
        `record_key`, `other_record_key`, and per column `gamma_<column>` and `weight_<column>`, as in `match_contacts`.
    """
    known = records.select(RECORD, "contact_id", "known_from_at")
    trained_at = pl.lit(datetime.fromisoformat(model["trained_on_contacts_before"]))
    low = pl.min_horizontal("contact_id", "contact_id_r")
    in_order = pl.col("contact_id") == low
    return (
        pairs.join(known, left_on="record_key_l", right_on=RECORD)
        .join(known, left_on="record_key_r", right_on=RECORD, suffix="_r")
        .filter(pl.col("contact_id") != pl.col("contact_id_r"))
        .select(
            low.alias("contact_id"),
            pl.max_horizontal("contact_id", "contact_id_r").alias("other_contact_id"),
            pl.max_horizontal("known_from_at", "known_from_at_r", trained_at).cast(KNOWN_AT).alias("matched_from_at"),
            "match_weight",
            "match_probability",
            (pl.col("match_probability") >= rules.match_probability).alias("is_match"),
            pl.when(in_order).then("record_key_l").otherwise("record_key_r").alias(RECORD),
            pl.when(in_order).then("record_key_r").otherwise("record_key_l").alias("other_record_key"),
            *pairs.columns[4:],
        )
    )


def pairs_of_matches(matches: pl.DataFrame) -> pl.DataFrame:
    """The pairs that matches were made of: the reverse of `matches_of_pairs`."""
    names = {RECORD: "record_key_l", "other_record_key": "record_key_r"}
    pairs = matches.filter(pl.col("other_record_key").is_not_null()).rename(names)
    measures = [name for name in pairs.columns if name.startswith(("gamma_", "weight_"))]
    return pairs.select("record_key_l", "record_key_r", "match_weight", "match_probability", *measures)


def compared_records(records: pl.DataFrame) -> pl.DataFrame:
    """Rows that say that records were compared, and since when they are known: `contact_id`, `record_key`,
    `matched_from_at`."""
    return records.select("contact_id", RECORD, matched_from_at=pl.col("known_from_at").cast(KNOWN_AT))


def blocking_columns(model: ModelContent) -> list[tuple[str, ...]]:
    """In which columns two records have to agree for a model to look at them: in all of one of these.

    Raises:
        ValueError: the model names something else than columns that agree.
    """
    found = []
    for rule in model["splink"]["blocking_rules_to_generate_predictions"]:
        agreements = [AGREEMENT.fullmatch(part.strip()) for part in rule["blocking_rule"].split(" AND ")]
        columns = [agreement[1] for agreement in agreements if agreement and agreement[1] == agreement[2]]
        if len(columns) < len(agreements):
            raise ValueError("a rule of the model names something else than columns that agree")
        found.append(tuple(columns))
    return found


def no_matches() -> pl.DataFrame:
    """What `update_matches` gives where nothing is compared."""
    return pl.DataFrame(
        schema={
            "contact_id": pl.String,
            "other_contact_id": pl.String,
            "matched_from_at": KNOWN_AT,
            "match_weight": pl.Float64,
            "match_probability": pl.Float64,
            "is_match": pl.Boolean,
            "record_key": pl.String,
            "other_record_key": pl.String,
        }
    )


def _pairs(predictions: Any, schema: dict[str, Any]) -> pl.DataFrame:
    frame = in_one_piece(predictions.as_duckdbpyrelation())
    in_order = pl.col("record_key_l") < pl.col("record_key_r")
    return frame.select(
        pl.when(in_order).then("record_key_l").otherwise("record_key_r").alias("record_key_l"),
        pl.when(in_order).then("record_key_r").otherwise("record_key_l").alias("record_key_r"),
        *(
            pl.col(name.replace("weight_", "mw_") if name.startswith("weight_") else name).cast(type_).alias(name)
            for name, type_ in list(schema.items())[2:]
        ),
    )


def _sample(records: pl.DataFrame) -> pl.DataFrame:
    """Enough records to learn from, the same ones whichever order they come in."""
    records = records.sort(RECORD)
    if records.height <= RECORDS_TO_LEARN_FROM:
        return records
    scattered = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in records[RECORD].to_list()]
    return (
        records.with_columns(scattered=pl.Series(scattered))
        .sort("scattered")
        .head(RECORDS_TO_LEARN_FROM)
        .drop("scattered")
    )


def _blocking_rules(records: pl.DataFrame, rules: MatchingRules) -> list[tuple[str, ...]]:
    """Sets of columns that pairs have to agree in to be looked at, the most selective first.

    Every two columns are a rule, as long as all rules together stay within the pairs that may be looked at.
    """
    allowed = rules.pairs_per_contact * records.height
    counted = _counted(records, combinations(sorted(rules.columns), 2))
    total = np.cumsum([pairs for _, pairs in counted])
    affordable = [rule for (rule, pairs), so_far in zip(counted, total, strict=True) if pairs and so_far <= allowed]
    return affordable[-MOST_RULES:]


def _counted(records: pl.DataFrame, rules: Iterable[tuple[str, ...]]) -> list[tuple[tuple[str, ...], int]]:
    """How many pairs agree in all columns of each rule, the fewest first."""
    counted: list[tuple[tuple[str, ...], int]] = []
    for rule in rules:
        sizes = records.select(rule).drop_nulls().group_by(rule).len().get_column("len").cast(pl.Float64)
        counted.append((rule, int((sizes * (sizes - 1) / 2).sum())))
    return sorted(counted, key=lambda each: (each[1], each[0]))


def _learn_agreement_of_matches(
    settings: ModelContent, records: pl.DataFrame, rules: MatchingRules, database: Any
) -> bool:
    """Put into `settings` how often two contacts of one human agree, where that can be learned for every column.

    Pairs that agree in two or three columns are looked at, rule by rule, beginning with the most selective: among those
    most are matches. Where hardly any are, expectation maximisation tells apart something else, such as colleagues from
    strangers; it shows by a column in which alleged matches agree less than chance, and that rule teaches nothing.
    """
    candidates = _counted(records, (rule for size in (2, 3) for rule in combinations(sorted(rules.columns), size)))
    enough = [rule for rule, pairs in candidates if FEWEST_PAIRS_TO_LEARN_FROM <= pairs <= MOST_PAIRS_TO_LEARN_FROM]
    learned: dict[str, list[list[float]]] = {column: [] for column in rules.columns}
    tried = 0
    for rule in enough:
        wanted = [
            column
            for column in learned
            if not {column, *_swapped_with(column, rules)} & set(rule) and len(learned[column]) < ENOUGH_LESSONS
        ]
        if not wanted or tried == MOST_LESSONS:
            continue
        tried += 1
        linker = _linker(records, settings, database)
        linker.training.estimate_parameters_using_expectation_maximisation(_block_on(rule))
        taught = {each["output_column_name"]: _levels(each) for each in linker.misc.save_model_to_json()["comparisons"]}
        # A column that the rule looks at, or that may be swapped with one of them, is not learned.
        lesson = {
            column: levels for column, levels in taught.items() if any(level.get("m_probability") for level in levels)
        }
        if all(_is_plausible(levels) for levels in lesson.values()):
            for column, levels in lesson.items():
                learned[column].append([level.get("m_probability") or 0.0 for level in levels])
    if not all(learned.values()):
        return False
    for comparison in settings["comparisons"]:
        lessons = np.array(learned[comparison["output_column_name"]])
        for level, value in zip(_levels(comparison), np.median(lessons, axis=0).tolist(), strict=True):
            level["m_probability"] = value
    return True


def _levels(comparison: ModelContent) -> list[ModelContent]:
    """The levels of agreement of a column, the closest first."""
    return [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]


def _is_plausible(levels: list[ModelContent]) -> bool:
    """Whether matches disagree wholly less often than chance, and agree somehow at all."""
    m = [level.get("m_probability") or 0.0 for level in levels]
    return sum(m) > 0.9 and m[-1] < min(levels[-1]["u_probability"], 0.6)


def _settings(rules: MatchingRules, blocking_rules: Iterable[tuple[str, ...]]) -> Any:
    from splink import SettingsCreator

    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name=RECORD,
        comparisons=[_comparison(column, kind, rules) for column, kind in sorted(rules.columns.items())],
        blocking_rules_to_generate_predictions=[_block_on(rule) for rule in blocking_rules],
        retain_intermediate_calculation_columns=True,
        retain_matching_columns=True,
        max_iterations=50,
        linker_uid="personae",
    )


def _block_on(rule: tuple[str, ...]) -> Any:
    from splink import block_on

    return block_on(*rule)


def _comparison(column: str, kind: Kind, rules: MatchingRules) -> Any:
    """The levels of agreement of one column, the closest first."""
    import splink.comparison_level_library as levels
    from splink.comparison_library import CustomComparison

    by_kind: dict[str, list[Any]] = {
        "name": [levels.JaroWinklerLevel(column, 0.92), levels.JaroWinklerLevel(column, 0.8)],
        "text": [levels.JaroWinklerLevel(column, 0.92), levels.JaroWinklerLevel(column, 0.8)],
        "date": [_mistyped(column, 1), _mistyped(column, 2)],
        "code": [_mistyped(column, 1)],
        "category": [],
        "email": [levels.JaroWinklerLevel(column, 0.92), levels.JaroWinklerLevel(column, 0.8)],
    }
    swapped: list[Any] = []
    partners = _swapped_with(column, rules)
    if partners:
        stands_elsewhere = " or ".join(f'("{column}_l" = "{p}_r" and "{p}_l" = "{column}_r")' for p in partners)
        swapped = [levels.CustomLevel(stands_elsewhere, label_for_charts="Swapped with another column")]
    return CustomComparison(
        output_column_name=column,
        comparison_levels=[
            levels.NullLevel(column),
            levels.ExactMatchLevel(column),
            *swapped,
            *by_kind[kind],
            levels.ElseLevel(),
        ],
    )


def _mistyped(column: str, times: int) -> Any:
    """At most so many letters wrong, left out, added or swapped with the next.

    Values no further apart are at most twice as far where a swap counts as two mistakes, which DuckDB finds out in a
    fifth of the time.
    """
    import splink.comparison_level_library as levels

    near = levels.And(levels.LevenshteinLevel(column, 2 * times), levels.DamerauLevenshteinLevel(column, times))
    return near.configure(label_for_charts=f"Damerau-Levenshtein distance of {column} <= {times}")


def _swapped_with(column: str, rules: MatchingRules) -> list[str]:
    """The columns whose words people put into this one by mistake: the others of its kind."""
    kind = rules.columns[column]
    same_kind = sorted(other for other, other_kind in rules.columns.items() if other_kind == kind and other != column)
    return same_kind if kind in ("name", "text") else []


def _linker(records: pl.DataFrame, settings: Any, database: Any) -> Any:
    from splink import DuckDBAPI, Linker

    logging.getLogger("splink").setLevel(logging.ERROR)
    database = DuckDBAPI(":memory:" if database is None else database)
    return Linker(database.register(records.to_arrow()), settings, log_level=logging.ERROR)


def _round_parameters(settings: ModelContent) -> None:
    """Round, and take nothing to be impossible that the sample did not show."""
    for comparison in settings["comparisons"]:
        for level in _levels(comparison):
            level["u_probability"] = _rounded(level["u_probability"])
            level["m_probability"] = _rounded(max(level["m_probability"], RAREST_AMONG_MATCHES))


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _prior(records: pl.DataFrame, settings: ModelContent, database: Any) -> float:
    """How probably two random contacts are one human, such that it is also what the scores come to on average.

    Expectation maximisation of this one number over all pairs that are looked at; the others are taken to be no
    matches.
    """
    start = 1 / records.height
    linker = _linker(records, settings | {"probability_two_random_records_match": start}, database)
    predictions = linker.inference.predict(threshold_match_probability=None, warning_mode="never")
    counted = predictions.as_duckdbpyrelation().aggregate("round(match_weight, 3) as weight, count(*) as pairs")
    weight, pairs = (np.array(column, dtype=np.float64) for column in zip(*sorted(counted.fetchall()), strict=True))
    predictions.drop_table_from_database_and_remove_from_cache()
    evidence = weight - np.log2(start / (1 - start))
    all_pairs = records.height * (records.height - 1) / 2
    prior = start
    for _ in range(100):
        odds = np.exp2(np.clip(evidence + np.log2(prior / (1 - prior)), -60, 60))
        expected = float((pairs * odds / (1 + odds)).sum()) / all_pairs
        prior, before = min(max(expected, 1 / all_pairs), 0.5), prior
        if abs(prior - before) < 1e-4 * before:
            break
    return _rounded(prior)
