"""Measures brand affinity: how well texts find their phrases on CLINC150, and how long a million people take.

    python -m benchmarks.affinity [--data FOLDER] [--people 1000000] [--write docs/affinity.md]

Quality: the test messages of CLINC150 (Larson et al., EMNLP 2019) against its 150 intents, as phrases: nothing but
the names of the intents, and names with five messages each. The company's own text is the training messages without
their labels. Out-of-scope messages are refused below the similarity that nine in ten validation messages reach.
Beside it a linear support vector machine trained on all labelled messages, here and as published.

The semantic rows compare words by what they mean as well (the extra `semantic`), with the refusal of words of special
categories that a run has.

Speed: people with 20 short texts each out of as many distinct ones as are asked for, against 300 phrases, through
`run_affinity_week` with tables in place of dbt's view; then the next week, with one text in a hundred new. Each
similarity in a process of its own, since the memory it took is measured.
"""

import argparse
import json
import multiprocessing
import re
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from ml.affinity import EVIDENT, Similarities
from ml.lexical_similarity import SimilarityModel
from ml.phrases import Phrase, find_phrases, words_of
from ml.semantic_similarity import SemanticModel
from orchestration.affinity_week import run_affinity_week
from orchestration.special_categories import is_refused_as_a_name
from orchestration.warehouse import Warehouse
from orchestration.weeks import Week
from orchestration.word_vectors import read_word_vectors
from orchestration.workspace import Workspace

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
KEPT_IN_SCOPE = 0.9
EXAMPLES = 5
SEED = 7
BEGIN, END = "<!-- figures of make bench-affinity -->", "<!-- end of the figures -->"
PHRASES = 300
TEXTS_PER_PERSON = 20
SIMILARITIES = ("lexical", "semantic")


@dataclass(frozen=True)
class Intents:
    """Messages with the number of their intent, and out-of-scope messages."""

    names: list[str]
    train: list[str]
    train_intent: np.ndarray
    test: list[str]
    test_intent: np.ndarray
    validation: list[str]
    out_of_scope: list[str]

    @classmethod
    def read(cls, folder: Path) -> "Intents":
        content = json.loads((folder / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
        names = sorted({label for _, label in content["train"]})
        number = {name: place for place, name in enumerate(names)}

        def messages(part: str) -> list[str]:
            return [text for text, _ in content[part]]

        def intents(part: str) -> np.ndarray:
            return np.array([number[label] for _, label in content[part]])

        return cls(
            [name.replace("_", " ") for name in names],
            messages("train"),
            intents("train"),
            messages("test"),
            intents("test"),
            messages("val"),
            messages("oos_test"),
        )


def quality(data: Intents) -> list[dict[str, object]]:
    """A row per way to tell intents."""
    rng = np.random.default_rng(SEED)
    of_intent = [np.flatnonzero(data.train_intent == place) for place in range(len(data.names))]
    examples = [tuple(data.train[i] for i in rng.choice(places, EXAMPLES, replace=False)) for places in of_intent]
    by_name = [Phrase("trigger", name) for name in data.names]
    with_examples = [Phrase("trigger", name, examples=told) for name, told in zip(data.names, examples, strict=True)]
    own_text, nothing = pl.Series(data.train), pl.Series([], dtype=pl.String)
    rows = [_exact(data, by_name)]
    shares = {}
    for what, phrases, texts, is_semantic in (
        ("names only, no text of the company", by_name, nothing, False),
        ("**names only (the default)**", by_name, own_text, False),
        ("names and 5 messages each", with_examples, own_text, False),
        ("semantic: names only, no text of the company", by_name, nothing, True),
        ("**semantic: names only**", by_name, own_text, True),
        ("semantic: names and 5 messages each", with_examples, own_text, True),
    ):
        model: Similarities = (
            SemanticModel.learn(texts, phrases, read_word_vectors(), is_refused_as_a_name)
            if is_semantic
            else SimilarityModel.learn(texts, phrases)
        )
        told = [_similarities(model, part) for part in (data.test, data.validation, data.out_of_scope)]
        rows.append(_row(what, data, *told))
        if what.startswith("**"):
            shares[SIMILARITIES[is_semantic]] = _shares(told[0], data.test_intent)
    rows.append(_machine(data))
    return [*rows, {"shares": shares}]


def _similarities(model: Similarities, texts: list[str]) -> np.ndarray:
    return np.vstack([batch for _, batch in model.similarities(words_of(pl.Series(texts)))])


def _exact(data: Intents, phrases: list[Phrase]) -> dict[str, object]:
    def matrix(texts: list[str]) -> np.ndarray:
        hits = find_phrases(words_of(pl.Series(texts)), phrases).filter(~pl.col("is_negated"))
        told = np.zeros((len(texts), len(phrases)))
        told[hits["text"].to_numpy(), hits["phrase"].to_numpy()] = 1
        return told

    row = _row("exact phrases only", data, *(matrix(part) for part in (data.test, data.validation, data.out_of_scope)))
    return row | {"out_of_scope": None}


def _row(
    what: str, data: Intents, test: np.ndarray, validation: np.ndarray, out_of_scope: np.ndarray
) -> dict[str, object]:
    ranked = np.argsort(-test, axis=1, kind="stable")[:, :5]
    has_any = test.max(axis=1) > 0
    limit = np.quantile(validation.max(axis=1), 1 - KEPT_IN_SCOPE)
    areas = [roc_auc_score(data.test_intent == place, test[:, place]) for place in range(test.shape[1])]
    return {
        "what": what,
        "top_1": float(((ranked[:, 0] == data.test_intent) & has_any).mean()),
        "top_5": float(((ranked == data.test_intent[:, None]).any(axis=1) & has_any).mean()),
        "auc": float(np.mean(areas)),
        "out_of_scope": float((out_of_scope.max(axis=1) < limit).mean()),
    }


def _machine(data: Intents) -> dict[str, object]:
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"[\w']+").fit(data.train)
    machine = LinearSVC(random_state=SEED).fit(words.transform(data.train), data.train_intent)
    told = [
        machine.decision_function(words.transform(part)) for part in (data.test, data.validation, data.out_of_scope)
    ]
    told = [one - min(part.min() for part in told) + 1e-9 for one in told]
    return _row("support vector machine, trained on all 15,000 labelled messages", data, *told)


def _shares(told: np.ndarray, intent: np.ndarray) -> list[tuple[float, float]]:
    """Of pairs with a similarity from a limit on, up to the next: how many belong together."""
    right = np.zeros_like(told, dtype=bool)
    right[np.arange(len(intent)), intent] = True
    limits = [EVIDENT, 0.5, 0.6, 0.7, 0.8, 1.01]
    return [(low, float(right[(told >= low) & (told < high)].mean())) for low, high in pairwise(limits)]


def speed(people: int, distinct: int, similarity: str) -> dict[str, float]:
    """Seconds of a first and of a later week, and the most memory that this process took."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = _workspace(Path(folder), similarity)
        weeks = Week(date(2026, 1, 5)), Week(date(2026, 1, 12))
        told: dict[str, float] = {"people": people, "distinct": distinct, "phrases": len(workspace.brand.phrases)}
        for week, name in zip(weeks, ("first", "later"), strict=True):
            with Warehouse.of(workspace).connect() as connection:
                _fill(connection, week, people, distinct, name == "later")
                connection.execute("checkpoint")
                started = time.perf_counter()
                done = run_affinity_week(connection, workspace, week)
                told[f"{name}_seconds"] = time.perf_counter() - started
                told[f"{name}_new_texts"], told[f"{name}_rows"] = done.new_texts, done.rows
        told["gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        return told


def _vocabulary() -> list[str]:
    """Six thousand made-up words."""
    starts = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u")]
    ends = ["ner", "lix", "mo", "rand", "tiv", "sko", "vel", "dun", "pas", "ric"]
    return [first + second + end for first in starts for second in starts[::6] for end in ends]


def _workspace(folder: Path, similarity: str) -> Workspace:
    words = _vocabulary()
    rng = np.random.default_rng(SEED)
    phrases = sorted({" ".join(rng.choice(words, size)) for size in rng.integers(1, 4, PHRASES + 20)})[:PHRASES]
    third = len(phrases) // 3
    lists = {"triggers": phrases[:third], "events": phrases[third : 2 * third], "targets": phrases[2 * third :]}
    (folder / "brand").mkdir()
    (folder / "brand" / "phrases.yml").write_text(json.dumps(lists), encoding="utf-8")
    (folder / "mappings").mkdir()
    (folder / "mappings" / "none.yml").write_text(
        "extract: {files: none.csv}\nentities: {contacts: {columns: {contact_id: id}}}\n", encoding="utf-8"
    )
    (folder / "personae.yml").write_text(
        f"company: Made up\nfirst_week: 2026-01-05\nmemory_limit: 3GB\naffinity: {{similarity: {similarity}}}\n",
        encoding="utf-8",
    )
    return Workspace.open(folder)


def _fill(connection, week: Week, people: int, distinct: int, is_later: bool) -> None:
    """Tables in place of dbt's: a text is drawn as titles and pages are, a few often and most seldom."""
    words = _vocabulary()
    rng = np.random.default_rng(SEED + is_later)
    new = distinct // 100 if is_later else distinct
    drawn = rng.integers(0, len(words), (new, 6))
    texts = pl.DataFrame(  # noqa: F841 - DuckDB reads it by name
        {f"w{place}": pl.Series(words).gather(drawn[:, place]) for place in range(6)}
    ).select(text=pl.concat_str(pl.all(), separator=" "))
    connection.execute("create schema if not exists intermediate")
    connection.execute(
        "create table if not exists intermediate.int_texts (text_id ubigint, text varchar, place bigint)"
    )
    row = connection.execute("select count(*) from intermediate.int_texts").fetchone()
    connection.execute(
        "insert into intermediate.int_texts select md5_number_lower(text), text, ? + row_number() over () from texts",
        [row[0]],
    )
    connection.execute(
        "create or replace table intermediate.int_people as select ?::date as as_of, "
        "i::ubigint as person_id from range(?) as numbers (i)",
        [week.as_of, people],
    )
    there = distinct + (new if is_later else 0)
    connection.execute(
        "create or replace table intermediate.int_contact_texts as "
        "with said as materialized (select as_of, person_id, k, "
        "1 + cast(floor(pow((hash(person_id, k) % 1000000) / 1e6, 3) * $there) as bigint) as place "
        "from intermediate.int_people cross join range($copies) as copies (k)) "
        "select said.as_of, said.person_id, ['page', 'ticket', 'search', 'product'][1 + k % 4] as source, t.text_id, "
        "said.as_of - 1 as seen_on, 0.5 + (k % 3) * 0.25 as weight from said "
        "inner join intermediate.int_texts as t on t.place = said.place",
        {"copies": TEXTS_PER_PERSON, "there": there},
    )


def in_words(rows: list[dict[str, object]], timed: dict[str, dict[str, float]]) -> str:
    """The figures as the page shows them."""
    lines = [
        "| on CLINC150, 4,500 test messages, 150 intents | top-1 | top-5 | macro AUC | out-of-scope recall |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows[:-1]:
        figures = [row["top_1"], row["top_5"], row["auc"], row["out_of_scope"]]
        lines.append(f"| {row['what']} | {' | '.join('–' if one is None else f'{one:.3f}' for one in figures)} |")
    shares: dict[str, list[tuple[float, float]]] = rows[-1]["shares"]  # type: ignore[assignment]
    limits = [f"{low:g}" for low, _ in shares[SIMILARITIES[0]]]
    lines += [
        "",
        f"Out-of-scope recall is at the similarity that {KEPT_IN_SCOPE:.0%} of validation messages reach.",
        "",
        f"| of test messages and names with a similarity from, up to the next | {' | '.join(limits)} |",
        f"| --- |{' --- |' * len(limits)}",
        *(
            f"| belong together, {name} | {' | '.join(f'{share:.0%}' for _, share in told)} |"
            for name, told in shares.items()
        ),
        "",
        f"| speed, two cores | {' | '.join(timed)} |",
        f"| --- |{' --- |' * len(timed)}",
    ]
    for what, told in (
        ("people, texts of each", lambda one: f"{one['people']:,.0f}, {TEXTS_PER_PERSON}"),
        ("distinct texts, phrases", lambda one: f"{one['distinct']:,.0f}, {one['phrases']:.0f}"),
        (
            "first week, new texts and rows",
            lambda one: f"{one['first_new_texts']:,.0f}, {one['first_rows']:,.0f}",
        ),
        ("first week takes", lambda one: f"{one['first_seconds']:.0f} s"),
        ("next week, new texts and rows", lambda one: f"{one['later_new_texts']:,.0f}, {one['later_rows']:,.0f}"),
        ("next week takes", lambda one: f"{one['later_seconds']:.0f} s"),
        ("most memory", lambda one: f"{one['gigabytes']:.1f} GB"),
    ):
        lines.append(f"| {what} | {' | '.join(told(one) for one in timed.values())} |")
    return "\n".join(lines)


def _timed(people: int, distinct: int) -> dict[str, dict[str, float]]:
    """Speed and memory of each similarity, one after the other, each in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as process:
        return {name: process.submit(speed, people, distinct, name).result() for name in SIMILARITIES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder with clinc150/data_full.json")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--distinct", type=int, default=500_000, help="distinct texts")
    parser.add_argument("--write", type=Path, help="a page whose figures are replaced")
    arguments = parser.parse_args()
    rows = quality(Intents.read(arguments.data))
    figures = in_words(rows, _timed(arguments.people, arguments.distinct))
    print(figures)
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        found = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
        arguments.write.write_text(found.sub(f"{BEGIN}\n\n{figures}\n\n{END}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
