"""The extra `semantic`: told of before a run where it is missing, read where it is, another model than without."""

import hashlib
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner
from workspace_builder import WorkspaceBuilder

from orchestration import word_vectors
from orchestration.affinity_week import forget_texts_of_nobody, run_affinity_week
from orchestration.cli import EXIT_WRONG_SETTING, app
from orchestration.settings_file import SettingsError
from orchestration.weeks import Week
from tests.people_by_name import MACROS, number

needs_the_extra = pytest.mark.skipif(
    bool(word_vectors.missing_parts()), reason=f"the extra is not installed: {word_vectors.HOW_TO_INSTALL}"
)
WEEKS = [Week(date(2026, 1, 5) + timedelta(weeks=number)) for number in range(4)]
TEXTS = {
    1: "please fix my automobile",
    2: "request for paid leave",
    3: "the printer prints stripes",
    4: "can you order toner for the printer",
    5: "alcoholics fix my automobile",
}
LISTS = "events:\n  - paid vacation days\n  - {phrase: Autowerkstatt, language: de}\ntriggers: [car repair, printer]\n"
BALANCED = {"profiling": {"*": {"basis": "legitimate_interest", "statement": "balancing test of 2026-01-01"}}}


@pytest.fixture
def shop(tmp_path):
    builder = WorkspaceBuilder(tmp_path).orders()
    (builder.folder / "brand").mkdir()
    (builder.folder / "brand" / "phrases.yml").write_text(LISTS, encoding="utf-8")
    return builder


@pytest.fixture
def warehouse():
    """Four weeks in which ann writes of a car and of leave, bob of printers, and eve of a car and of a disease."""
    with duckdb.connect() as connection:
        connection.execute(
            MACROS + "create schema intermediate; create table intermediate.int_people (as_of date, person_id ubigint);"
            "create table intermediate.int_texts (text_id ubigint, text varchar);"
            "create table intermediate.int_contact_texts "
            "(as_of date, person_id ubigint, source varchar, text_id ubigint, seen_on date, weight double)"
        )
        connection.executemany("insert into intermediate.int_texts values (?, ?)", list(TEXTS.items()))
        for week in WEEKS:
            for person, texts in {"ann": [1, 2], "bob": [3, 4], "eve": [5]}.items():
                connection.execute("insert into intermediate.int_people values (?, ?)", [week.as_of, number(person)])
                for text in texts:
                    connection.execute(
                        "insert into intermediate.int_contact_texts values (?, ?, 'ticket', ?, ?, 1.0)",
                        [week.as_of, number(person), text, week.as_of - timedelta(days=1)],
                    )
        yield connection


def run(shop, warehouse, week, similarity):
    shop.settings(affinity={"similarity": similarity, "minimum_texts": 1})
    return run_affinity_week(warehouse, shop.open(), week)


def phrases_of(warehouse, week, person):
    rows = warehouse.execute(
        "select phrase, score, evidence_1 from ml.affinity_scores where as_of = ? and called(person_id) = ? "
        "and phrase is not null order by 1",
        [week.as_of, person],
    ).fetchall()
    return {phrase: (score, evidence) for phrase, score, evidence in rows}


def without(monkeypatch, *packages):
    """As if these packages were not installed."""
    monkeypatch.setattr(word_vectors, "find_spec", lambda name: None if name in packages else find_spec(name))


def test_a_missing_extra_is_told_before_a_run_with_line_and_remedy(shop, monkeypatch):
    without(monkeypatch, "wordllama", "safetensors")
    shop.settings(legal_basis=BALANCED, affinity={"minimum_texts": 2, "similarity": "semantic"})
    with pytest.raises(SettingsError) as raised:
        shop.open().check_before_run()
    lines = (shop.folder / "personae.yml").read_text(encoding="utf-8").splitlines()
    assert lines[raised.value.line - 1].strip() == "similarity: semantic"
    assert raised.value.message == (
        "'semantic' needs an extra that is not installed (wordllama, safetensors): pip install -e '.[semantic]', "
        "or write `similarity: lexical`"
    )
    told = CliRunner().invoke(app, ["run", str(shop.folder)])
    assert told.exit_code == EXIT_WRONG_SETTING == 2
    assert "pip install -e '.[semantic]'" in " ".join(told.output.split())


def test_a_run_without_the_extra_makes_no_scores_of_another_kind(shop, warehouse, monkeypatch):
    without(monkeypatch, "wordllama")
    with pytest.raises(word_vectors.NoWordVectors, match=r"not installed; pip install -e '\.\[semantic\]'"):
        run(shop, warehouse, WEEKS[0], "semantic")


def test_words_alone_need_no_extra(shop, warehouse, monkeypatch):
    without(monkeypatch, "wordllama", "safetensors", "tokenizers")
    shop.settings(legal_basis=BALANCED).open().check_before_run()
    assert run(shop, warehouse, WEEKS[0], "lexical").judged == 3


def test_a_similarity_nobody_knows_is_refused(shop):
    with pytest.raises(SettingsError, match=r"affinity\.similarity: Input should be 'lexical' or 'semantic'"):
        shop.settings(affinity={"similarity": "sematic"}).open()


@needs_the_extra
def test_vectors_are_read_where_the_package_is_and_the_package_is_not_imported():
    import sys

    vectors = word_vectors.read_word_vectors()
    assert vectors.vectors.shape == (32_000, 256) and vectors.vectors.dtype == "float32"
    tokens, counts = vectors.tokens_of(["vacation", "pto"])
    assert len(tokens) == counts.sum() >= 2
    assert vectors.sums(["pto"])[0] == pytest.approx(vectors.vectors[tokens[counts[0] :]].sum(axis=0))
    assert "wordllama" not in sys.modules


@needs_the_extra
def test_a_text_is_about_a_phrase_by_its_meaning_without_a_word_in_common(shop, warehouse):
    run(shop, warehouse, WEEKS[0], "lexical")
    assert phrases_of(warehouse, WEEKS[0], "ann") == {}
    run(shop, warehouse, WEEKS[1], "semantic")
    told = phrases_of(warehouse, WEEKS[1], "ann")
    assert {phrase: evidence for phrase, (_, evidence) in told.items()} == {
        "car repair": "ticket: please fix my automobile",
        "paid vacation days": "ticket: request for paid leave",
    }
    assert all(0.2 < score < 0.5 for score, _ in told.values())
    assert set(phrases_of(warehouse, WEEKS[1], "bob")) == {"printer"}


@needs_the_extra
def test_words_that_stand_for_a_special_category_say_nothing_by_their_meaning(shop, warehouse):
    (shop.folder / "brand" / "phrases.yml").write_text("events: [alcohol, car repair]\n", encoding="utf-8")
    run(shop, warehouse, WEEKS[0], "semantic")
    assert set(phrases_of(warehouse, WEEKS[0], "eve")) == {"car repair"}
    warehouse.execute("update intermediate.int_texts set text = 'alcoholics' where text_id = 5")
    warehouse.execute("delete from ml.scored_texts")
    run(shop, warehouse, WEEKS[0], "semantic")
    assert phrases_of(warehouse, WEEKS[0], "eve") == {}
    with pytest.MonkeyPatch.context() as patch:  # the screen is what keeps it out
        patch.setattr("orchestration.affinity_week.is_refused_as_a_name", lambda word: False)
        warehouse.execute("delete from ml.scored_texts")
        run(shop, warehouse, WEEKS[0], "semantic")
        assert set(phrases_of(warehouse, WEEKS[0], "eve")) == {"alcohol"}


@needs_the_extra
def test_another_similarity_is_another_model_and_each_stands_while_it_is_asked_for(shop, warehouse):
    done = []
    for week, similarity in zip(WEEKS, ("lexical", "semantic", "lexical", "lexical"), strict=True):
        done.append(run(shop, warehouse, week, similarity).new_texts)
        forget_texts_of_nobody(warehouse)
    assert done == [5, 5, 5, 0]
    with pytest.MonkeyPatch.context() as patch:  # a week without new texts reads no model and no vectors
        patch.setattr("orchestration.affinity_week._model_of", lambda *told: pytest.fail("a model was read"))
        assert run(shop, warehouse, WEEKS[3], "lexical").new_texts == 0
    brand = shop.open().brand.fingerprint
    models = warehouse.execute(
        "select similarity, vectors_sha256, phrases_fingerprint = ? from ml.phrase_models order by as_of", [brand]
    ).fetchall()
    (folder,) = find_spec("wordllama").submodule_search_locations
    installed = hashlib.sha256((Path(folder) / word_vectors.WEIGHTS).read_bytes()).hexdigest()
    assert models == [("lexical", None, True), ("semantic", installed, False)]
    used = warehouse.execute("select model_id from ml.affinity_scores group by as_of, model_id order by as_of")
    first, second, *later = (row[0] for row in used.fetchall())
    assert first != second and later == [first, first]


@needs_the_extra
def test_a_week_by_meaning_is_computed_again_to_the_same_rows_and_other_vectors_are_another_model(
    shop, warehouse, monkeypatch
):
    run(shop, warehouse, WEEKS[0], "semantic")
    before = warehouse.sql("select * from ml.affinity_scores order by all").pl()
    warehouse.execute("delete from ml.scored_texts; delete from ml.text_phrase_hits")
    run(shop, warehouse, WEEKS[0], "semantic")
    assert warehouse.sql("select * from ml.affinity_scores order by all").pl().equals(before)
    monkeypatch.setattr("orchestration.affinity_week.vectors_sha256", lambda: "0" * 64)
    assert run(shop, warehouse, WEEKS[1], "semantic").new_texts == 5
