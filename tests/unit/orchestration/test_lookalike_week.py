"""Look-alikes of a week over a small warehouse: who is listed, who never is, what is refused, what the files hold."""

import csv
import hashlib
import json
from datetime import date

import duckdb
import numpy as np
import polars as pl
import pytest
from workspace_builder import WorkspaceBuilder

import ml.bagged_trees
from activation.answers import first_row
from ml.catalogue import CATALOGUE_COLUMNS
from orchestration.lookalike_command import NoSuchWeek, Request, find_and_write
from orchestration.lookalike_settings import LookalikeSettings
from orchestration.lookalike_week import make_lookalike, run_lookalike_week, stored_lookalikes
from orchestration.settings_file import SettingsError
from orchestration.weeks import Week
from tests.people_by_name import person_ids

WEEK = Week(date(2026, 1, 5))
PEOPLE = 1500
CATALOGUE = pl.DataFrame(
    [
        {"feature": name, "kind": kind, "is_persona_input": True, "is_propensity_input": True}
        for name, kind in (("orders_91d", "number"), ("active_days_28d", "number"), ("contact_country", "category"))
    ],
    schema=CATALOGUE_COLUMNS,
)
CONTACTS = """
extract: {files: contacts.csv}
entities:
  contacts:
    columns: {contact_id: contact_id, email: email, country: country}
    attributes:
      Gender: {role: sensitive, sensitive: no}
      Diet: {role: feature, sensitive: health, legal_basis: {condition: explicit_consent, statement: asked in the app}}
"""


@pytest.fixture(scope="module", autouse=True)
def few_trees():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ml.bagged_trees, "TREES", 12)
        yield


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A workspace with contacts, orders, a target and a phrase."""
    builder = WorkspaceBuilder(tmp_path_factory.mktemp("shop")).orders()
    builder.mapping("contacts", CONTACTS).extract("contacts.csv", "contact_id,email,country,Gender,Diet\n")
    (builder.folder / "brand").mkdir()
    (builder.folder / "brand" / "phrases.yml").write_text("triggers: [save time]\n", encoding="utf-8")
    return builder.settings(targets={"order_soon": {"outcome": "order", "within_days": 14}})


@pytest.fixture(scope="module")
def warehouse():
    """1,500 people, 200 of them alike; of these 90 are in the persona Night owls.

    Every fifth may not be written to, every third not be used for advertising, every fiftieth refused since.
    """
    chance = np.random.default_rng(4)
    ids = person_ids(PEOPLE)
    is_alike = np.arange(PEOPLE) < 200
    people = pl.DataFrame(
        {
            "as_of": [WEEK.as_of] * PEOPLE,
            "person_id": ids,
            "contact_id": [f"c{number}" for number in range(PEOPLE)],
            "email": [f"person{number}@example.com" if number % 7 else None for number in range(PEOPLE)],
            "phone": [f"030 23125{number % 1000:03d}" if number % 7 == 0 else None for number in range(PEOPLE)],
        }
    )
    features = people.select("as_of", "person_id").with_columns(  # noqa: F841 - DuckDB reads it by name
        orders_91d=chance.poisson(1 + 3 * is_alike).astype(float),
        active_days_28d=chance.normal(size=PEOPLE) + 1.5 * is_alike,
        contact_country=pl.Series(np.where(chance.random(PEOPLE) < 0.3 + 0.5 * is_alike, "DE", "AT")),
    )
    number = np.arange(PEOPLE)
    said = people.select("as_of", "person_id", "contact_id", "email").with_columns(
        is_refused_by_now=pl.Series(number % 50 == 3), consent_recorded_at=pl.lit(None, pl.Datetime)
    )
    mail = said.with_columns(
        channel=pl.lit("email"), purpose=pl.lit("email_marketing"), is_allowed=pl.Series(number % 5 != 0)
    )
    ads = said.with_columns(channel=pl.lit("ads"), purpose=pl.lit("advertising"), is_allowed=pl.Series(number % 3 != 0))
    reason = pl.when("is_allowed").then(pl.lit("granted")).otherwise(pl.lit("withdrawn")).alias("decision_reason")
    mail, ads = mail.with_columns(reason), ads.with_columns(reason)
    contacts = people.select("contact_id", "email", "phone").with_columns(  # noqa: F841 - DuckDB reads it by name
        valid_from=pl.lit(None, pl.Datetime), first_name=pl.lit("Ann"), last_name=pl.lit("Lee"),
        city=pl.lit("Bonn"), postal_code=pl.lit("53111"), country=pl.lit("DE"),
        attr_gender=pl.Series(np.where(number % 2 == 0, "f", "m")),
    )  # fmt: skip
    with duckdb.connect() as connection:
        connection.execute(
            "create schema intermediate; create schema features; create schema ml; create schema staging;"
            "create schema raw;"
            "create table intermediate.int_people as select * from people;"
            "create table features.person_features as select * from features;"
            "create table intermediate.int_contactability as select * from mail;"
            "create table intermediate.int_advertising_permissions as select * from ads;"
            "create table staging.stg_contacts as select contact_id, email, phone, first_name, last_name, city, "
            "postal_code, country, false as is_deleted, timestamp '2025-01-01' as valid_from, "
            "cast(null as timestamp) as valid_to from contacts;"
            "create table intermediate.int_identities_resolved as select 'contact' as identity_kind, contact_id as "
            "identity_id, person_id, timestamp '2025-01-01' as valid_from, cast(null as timestamp) as valid_to "
            "from people;"
            "create table raw.contacts as select contact_id, attr_gender, timestamp '2025-01-01' as updated_at, "
            "cast(null as timestamp) as created_at, cast(null as timestamp) as _delivered_at, 1 as _load_sequence, "
            "1 as _row_number from contacts;"
            f"create table raw.run_weeks as select date '{WEEK.as_of}' as as_of, true as is_scored;"
            "create table ml.persona_assignments as select as_of, person_id, 'persona' as persona_type, "
            "'persona-01' as persona_id, 0.9 as strength from people where person_id < 90;"
            f"create table ml.personas as select date '{WEEK.as_of}' as as_of, 'persona' as persona_type, "
            "'persona-01' as persona_id, 'Night owls' as persona_name;"
            "create table ml.propensity_scores as select as_of, person_id, 'order_soon' as target, "
            "person_id / 1500 as probability, 'high' as band from people;"
            "create table ml.affinity_scores as select as_of, person_id, 'trigger' as phrase_group, "
            "'save time' as phrase, 0.5 as score, 50.0 as percentile from people where person_id < 300;"
        )
        yield connection


def asked(**said):
    return LookalikeSettings.model_validate({"seed": {"persona": "Night owls"}, "size": 100} | said)


def made(warehouse, shop, name="owls", **said):
    return make_lookalike(warehouse, shop.open(), CATALOGUE, WEEK, name, asked(**said))


@pytest.fixture(scope="module")
def owls(warehouse, shop):
    return made(warehouse, shop)


def test_the_most_alike_are_listed_in_order(owls):
    listed = owls.scores
    assert listed.height == 100
    assert listed["lookalike_rank"].to_list() == list(range(1, 101))
    assert listed["score"].is_sorted(descending=True)
    assert listed["probability"].is_between(0, 1).all() and listed["probability"].is_sorted(descending=True)
    alike = (listed["person_id"] < 200).mean()
    assert alike > 5 * 110 / 1410


def test_neither_the_seed_nor_who_may_not_be_reached_nor_who_refused_since_is_listed(owls, warehouse):
    listed = set(owls.scores["person_id"])
    assert all(number >= 90 and number % 5 and number % 50 != 3 for number in listed)


def test_who_may_not_be_profiled_is_nowhere(warehouse, shop):
    """Whoever is not in int_people is in no list, also where features of them are left."""
    warehouse.execute("insert into features.person_features values (?, 5000, 9, 9, 'DE')", [WEEK.as_of])
    try:
        assert 5000 not in made(warehouse, shop, size=2000).scores["person_id"]
    finally:
        warehouse.execute("delete from features.person_features where person_id = 5000")


def test_precision_falls_with_size_and_hidden_people_are_counted(owls):
    table = owls.precision
    assert {10, 25, 50, 100, 200} <= set(table["people"])
    assert table["recall"].is_sorted()
    assert table.filter(people=100)["lift"].item() > 3
    assert (table["hidden"] == 90).all()
    assert owls.model["auc_low"] > 0.7


def test_the_card_and_the_reason_of_each_list_are_written(warehouse, shop):
    shop_with = WorkspaceBuilder.settings(
        shop,
        targets={"order_soon": {"outcome": "order", "within_days": 14}},
        lookalikes={
            "owls": {"seed": {"persona": "Night owls"}, "size": 100, "platforms": ["meta"]},
            "nobody": {"seed": {"features": {"orders_91d": {"at_least": 900}}}},
        },
    )
    try:
        run_lookalike_week(warehouse, shop_with.open(), CATALOGUE, WEEK)
        rows = {row["lookalike"]: row for row in warehouse.sql("select * from ml.lookalike_models").pl().to_dicts()}
        assert json.loads(rows["owls"]["card"])["people"] == 100
        assert rows["owls"]["markdown"].startswith("# Look-alike owls")
        assert rows["nobody"]["abstained_reason"].startswith("the seed is too small: 0 people")
        assert warehouse.execute("select lookalike, count(*) from ml.lookalike_scores group by 1").fetchall() == [
            ("owls", 100)
        ]
        before = warehouse.sql("select * from ml.lookalike_scores order by all").pl()
        run_lookalike_week(warehouse, shop_with.open(), CATALOGUE, WEEK)
        assert warehouse.sql("select * from ml.lookalike_scores order by all").pl().equals(before)
        [stored] = stored_lookalikes(warehouse, shop_with.open(), WEEK)
        assert stored.seed.len() == 90 and stored.scores.height == 100
    finally:
        shop.settings(targets={"order_soon": {"outcome": "order", "within_days": 14}})
    assert run_lookalike_week(warehouse, shop.open(), CATALOGUE, WEEK) == []
    assert first_row(warehouse, "select count(*) from ml.lookalike_scores") == (0,)


def test_likeness_is_not_learned_from_what_the_seed_is_chosen_by(warehouse, shop):
    found = made(warehouse, shop, seed={"features": {"orders_91d": {"at_least": 5}}})
    card = json.loads(found.model["card"])
    assert card["inputs"] == ["active_days_28d", "contact_country"]
    found = made(warehouse, shop, exclude=["contact_country"])
    assert json.loads(found.model["card"])["inputs"] == ["orders_91d", "active_days_28d"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            {"seed": {"persona": "Night owl"}},
            "'Night owl' is no persona of the week 2026-01-05; did you mean 'Night owls'?",
        ),
        ({"seed": {"adoption_class": "innovator"}}, "there are no adoption classes in this workspace"),
        ({"seed": {"features": {"orders_91d": {"at_least": 9}}}}, "the seed is too small"),
        ({"seed": {"features": {"orders_91d": {"at_least": 0}}}}, "the seed is too large"),
        ({"minimum_seed": 91}, "it takes 91"),
    ],
)
def test_a_seed_that_will_not_do_is_refused_in_words(warehouse, shop, said, reason):
    found = made(warehouse, shop, **said)
    assert reason in found.abstained_reason
    assert found.scores.is_empty()


def test_a_seed_may_be_of_a_class_and_a_class_that_nobody_has_is_told(warehouse, shop):
    warehouse.execute(
        "create table ml.adoption_scores as select as_of, person_id, "
        "case when person_id < 60 then 'innovator' else 'laggard' end as adoption_class "
        "from intermediate.int_people"
    )
    try:
        assert made(warehouse, shop, seed={"adoption_class": "innovator"}, method="distance").model["seed_people"] == 60
        refused = made(warehouse, shop, seed={"adoption_class": ["innovator", "inovator"]}).abstained_reason
        assert refused == "nobody has the adoption class 'inovator' in the week 2026-01-05; did you mean 'innovator'?"
    finally:
        warehouse.execute("drop table ml.adoption_scores")


def test_a_seed_that_cannot_be_told_from_everybody_is_refused(warehouse, shop):
    found = made(warehouse, shop, seed={"propensity": {"order_soon": {"at_least": 0.9}}}, exclude=[])
    assert "cannot be told from everybody else" in found.abstained_reason


def test_shares_of_gender_and_region_are_compared_with_everybody(owls):
    region = owls.groups.filter(attribute="region", group="DE").row(0, named=True)
    assert region["ratio"] > 1.25 and region["is_off"]
    gender = owls.groups.filter(attribute="gender")
    assert gender.height == 2
    assert any("region DE" in note for note in owls.notes)


def test_a_list_that_is_shorter_than_asked_for_says_so(warehouse, shop):
    found = made(warehouse, shop, size=5000, method="distance")
    assert found.scores.height < 1410
    assert any("5,000 were asked for" in note for note in found.notes)


def test_a_small_persona_grows_by_those_high_in_what_was_chosen(warehouse, shop):
    seed = {"all": [{"persona": "Night owls"}, {"propensity": {"order_soon": {"at_most": 0.02}}}]}
    found = made(warehouse, shop, seed=seed, grow="orders_91d,order_soon:low,save time", size=50)
    assert 10 <= found.model["seed_people"] < 50
    assert found.abstained_reason is None and found.scores.height == 50
    numbers = found.scores["person_id"].to_list()
    assert max(numbers) < 300, "who has no affinity is not ranked"
    orders = first_row(
        warehouse,
        "select avg(orders_91d) filter (person_id in (select unnest(?))), avg(orders_91d) "
        "from features.person_features",
        [found.scores["person_id"].to_list()],
    )
    assert orders[0] > orders[1] + 1
    assert json.loads(found.model["card"])["method"] == "characteristics"


def test_the_command_writes_who_may_be_reached_and_hashed_files_under_consent(warehouse, shop):
    workspace = shop.open()
    request = Request("owls", personas=("Night owls",), size=100)
    done = find_and_write(warehouse, workspace, CATALOGUE, None, "owls", request.settings(workspace))
    assert done.folder == workspace.lookalike_folder / "owls" / WEEK.key
    names = sorted(path.name for path in done.folder.iterdir())
    assert names == [
        "audience", "manifest.json", "model_card.json", "model_card.md",
        *sorted(f"owls-{kind}-{platform}.csv" for kind in ("seed", "lookalikes")
                for platform in ("google", "meta", "linkedin", "tiktok")),
    ]  # fmt: skip
    with (done.folder / "owls-seed-meta.csv").open() as file:
        seed = list(csv.DictReader(file))
    allowed = [n for n in range(90) if n % 3 and n % 50 != 3]
    emails = {hashlib.sha256(f"person{n}@example.com".encode()).hexdigest() for n in allowed if n % 7}
    phones = {hashlib.sha256(f"493023125{n:03d}".encode()).hexdigest() for n in allowed if n % 7 == 0}
    assert {row["EMAIL"] for row in seed if row["EMAIL"]} == emails
    assert {row["PHONE"] for row in seed if row["PHONE"]} <= phones
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert manifest["purpose"] == "advertising"
    [meta] = [one for one in manifest["lookalikes"]["owls"]["seed"] if one["platform"] == "meta"]
    assert meta["rows"] == len(seed)
    assert meta["left_out"]["withdrawn"] == 30
    audience = (done.folder / "audience" / "lookalike-owls.csv").read_text().splitlines()
    assert len(audience) == 1 + done.contactable
    assert "100 people like a seed of 90" in done.in_words()[0]
    assert not any("example.com" in line for line in done.in_words())


def test_a_number_that_somebody_else_refused_is_in_no_file(warehouse, shop):
    """Numbers repeat every thousand people here: 1,007 shares hers with 7, and 1,050 with 50."""
    workspace = shop.open()
    settings = Request("owls", personas=("Night owls",), platforms=("meta",)).settings(workspace)
    done = find_and_write(warehouse, workspace, CATALOGUE, WEEK, "owls", settings)
    with (done.folder / "owls-seed-meta.csv").open() as file:
        phones = {row["PHONE"] for row in csv.DictReader(file)}
    for number in (n for n in range(0, 90, 7) if n % 3 and n % 50 != 3):
        twin = number + 1000
        refused = twin % 3 == 0 or twin % 50 == 3
        assert (hashlib.sha256(f"493023125{number:03d}".encode()).hexdigest() in phones) != (twin % 7 == 0 and refused)


def test_the_command_takes_a_seed_in_the_words_of_the_settings(shop):
    workspace = shop.open()
    settings = Request("x", ("Night owls",), "propensity: {order_soon: high}", 5, "save time", "classifiers").settings(
        workspace
    )
    assert settings.seed.all_of[0].propensity and settings.seed.all_of[1].persona.names == ("Night owls",)
    assert settings.grow == {"save time": "high"}


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (Request("x"), "say whose like are wanted"),
        (Request("X y", ("a",)), "--name must be"),
        (Request("x", ("a",), method="nearest"), "'classifiers' or 'distance'"),
        (Request("x", seed="propensity: {order_son: high}"), "did you mean 'order_soon'?"),
        (Request("x", seed="[a"), "this is not YAML"),
        (Request("x", ("a",), grow="contact_diet"), "special category"),
        (Request("x", ("a",), platforms=("gogle",)), "'google'"),
    ],
)
def test_a_wrong_option_is_one_line(shop, request_of, message):
    with pytest.raises(SettingsError, match="personae lookalike") as caught:
        request_of.settings(shop.open())
    assert message in str(caught.value)


def test_a_week_of_another_run_is_refused(warehouse, shop):
    workspace = shop.open()
    settings = Request("x", ("Night owls",)).settings(workspace)
    with pytest.raises(NoSuchWeek, match="the last run was of 2026-01-05"):
        find_and_write(warehouse, workspace, CATALOGUE, Week(date(2026, 1, 12)), "x", settings)
