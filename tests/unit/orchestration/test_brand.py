"""`brand/`: what the brief and the phrases may say, and the words of every complaint."""

import pytest
from workspace_builder import WorkspaceBuilder

from ml.phrases import Phrase
from orchestration.brand import names_in
from orchestration.settings_file import SettingsError


@pytest.fixture
def shop(tmp_path):
    return WorkspaceBuilder(tmp_path).orders()


def write(shop, name, text):
    path = shop.folder / "brand" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return shop


def complaint(shop):
    with pytest.raises(SettingsError) as raised:
        shop.open()
    return str(raised.value).removeprefix(f"{shop.folder}/")


def test_without_phrases_nothing_is_declared_and_nothing_is_read(shop):
    workspace = write(shop, "brief.md", "# Garden Tools\n").open()
    assert not workspace.brand.is_declared
    assert workspace.dbt_vars()["affinity"]["enabled"] is False


def test_phrases_have_weights_languages_and_examples_and_names_come_from_the_brief(shop):
    write(shop, "brief.md", "# Garden Tools\nWe sell spades.\n## Spade  Club #\n# Garden Tools\n")
    write(
        shop,
        "phrases.yml",
        "language: de\ntriggers:\n  - spart  Zeit\n  - {phrase: save time, weight: 2, language: en, "
        "examples: [hours back]}\nevents: [Umzug]\n",
    )
    workspace = shop.open()
    assert workspace.brand.phrases == (
        Phrase("trigger", "spart Zeit", 1.0, "de"),
        Phrase("trigger", "save time", 2.0, "en", ("hours back",)),
        Phrase("event", "Umzug", 1.0, "de"),
        Phrase("brand", "Garden Tools", 1.0, "de"),
        Phrase("brand", "Spade Club", 1.0, "de"),
    )
    assert workspace.dbt_vars()["affinity"]["enabled"] is True


def test_names_are_headings_each_once():
    assert names_in("# A\ntext\n## B b ##\n#no heading\n### a\n") == ["A", "B b"]


def test_phrases_and_settings_of_affinity_compute_no_feature_again(shop):
    before = shop.open().fingerprint()
    write(shop, "phrases.yml", "events: [new job]\n")
    assert shop.open().fingerprint() == before
    assert shop.settings(affinity={"half_life_days": {"page": 10}}).open().fingerprint() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trigers: [save time]\n", "brand/phrases.yml:1: unknown key 'trigers'; did you mean 'triggers'?"),
        (
            "events:\n  - phrase: new job\n    wieght: 2\n",
            "brand/phrases.yml:3: unknown key 'wieght'; did you mean 'weight'?",
        ),
        (
            "events:\n  - {phrase: new job, language: eng}\n",
            "brand/phrases.yml:2: events.0.language: 'eng' is no language whose inflections are known; "
            "did you mean 'en'?",
        ),
        (
            "events:\n  - new job\ntargets:\n  - New  Job\n",
            "brand/phrases.yml:4: 'New  Job' stands twice, here and in line 2",
        ),
        ("events:\n  - '...'\n", "brand/phrases.yml:2: events.0: '...' has 0 words; a phrase has 1 to 8"),
        ("triggers: []\n", "brand/phrases.yml:1: no phrase is listed; list some under triggers, events, targets"),
        (
            "targets:\n  - engineers\n  - diabetes patients\n",
            "brand/phrases.yml:3: 'diabetes patients' looks like health data (rule special_category_needs_a_decision, "
            "GDPR art. 9): nobody is scored by it; take it out, or state that it is none with "
            "`not_sensitive: [diabetes patients]`",
        ),
        (
            "targets:\n  - {phrase: young parents, examples: [my pregnancy]}\n",
            "brand/phrases.yml:2: 'my pregnancy' looks like health data",
        ),
        (
            "targets:\n  - data health check\nnot_sensitive: [data helth check]\n",
            "brand/phrases.yml:2: 'data health check' looks like health data",
        ),
        (
            "targets: [engineers]\nnot_sensitive: [enginers]\n",
            "brand/phrases.yml:2: 'enginers' is no phrase of this file; did you mean 'engineers'?",
        ),
    ],
)
def test_complaints_name_file_line_and_the_nearest_name(shop, text, message):
    assert complaint(write(shop, "phrases.yml", text)).startswith(message)


def test_a_decision_that_a_phrase_is_not_sensitive_holds(shop):
    write(shop, "phrases.yml", "targets: [data health check]\nnot_sensitive: [data health check]\n")
    assert [phrase.text for phrase in shop.open().brand.phrases] == ["data health check"]


def test_a_slip_in_the_files_name_is_told(shop):
    assert complaint(write(shop, "phrase.yml", "events: [new job]\n")) == (
        "brand/phrase.yml: unknown file 'phrase.yml'; did you mean 'phrases.yml'?"
    )


def test_a_proposal_is_not_read(shop):
    assert not write(shop, "phrases.proposed.yml", "events: [new job]\n").open().brand.is_declared


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"half_life_days": {"pages": 3}}, "'pages' is no source of text; did you mean 'page'?"),
        ({"group_weights": {"triggers": 1}}, "'triggers' is no group of phrases; did you mean 'trigger'?"),
        ({"minimum_text": 3}, "unknown key 'minimum_text'; did you mean 'minimum_texts'?"),
    ],
)
def test_settings_of_affinity_complain_alike(shop, settings, message):
    assert message in complaint(shop.settings(affinity=settings))


def test_an_attribute_with_the_role_text_is_text_and_no_feature(tmp_path):
    shop = WorkspaceBuilder(tmp_path).mapping(
        "crm",
        "extract: {files: crm.csv}\nentities:\n  contacts:\n    columns: {contact_id: id}\n"
        "    attributes: {Remarks: text}\n",
    )
    workspace = shop.open()
    assert workspace.attributes("contacts")[0].role == "text"
    assert "contact_remarks" not in workspace.feature_kinds()


def test_a_text_attribute_of_a_special_category_needs_a_decision(tmp_path):
    shop = WorkspaceBuilder(tmp_path).mapping(
        "crm",
        "extract: {files: crm.csv}\nentities:\n  contacts:\n    columns: {contact_id: id}\n"
        "    attributes: {Diagnosis: text}\n",
    )
    assert "'Diagnosis' looks like health data" in complaint(shop)
