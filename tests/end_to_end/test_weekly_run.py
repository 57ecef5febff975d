"""The weekly job on the demo company: what a newcomer, a marketer and a privacy officer find afterwards."""

import csv
import json
import re
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score

from benchmarks.febrl import pairwise_score
from orchestration.definitions import definitions_for
from orchestration.workspace import Workspace
from tests.end_to_end.demo_company import LAST_WEEK, DemoRun


def test_the_run_says_where_everything_is(demo_run: DemoRun) -> None:
    named = re.findall(r"^  (?:report|published tables|activation files) +(\S+)$", demo_run.output, re.MULTILINE)
    assert len(named) == 3
    for place in named:
        assert Path(place).exists() or list(Path(place).parent.glob(Path(place).name))


def test_progress_is_one_line_per_asset_with_the_time_it_took(demo_run: DemoRun) -> None:
    lines = [line for line in demo_run.output.splitlines() if line.startswith("✓")]
    names = [line.split()[1] for line in lines]
    assert len(names) == len(set(names))
    assert {"raw/events", "features/person_features", "ml/persona_assignments", "published/segment_kpis"} <= set(names)
    assert all(re.search(r"\d+\.\d s$", line) for line in lines)
    assert len(demo_run.output.splitlines()) < 180


def test_every_week_is_published_and_latest_is_the_last_one(demo_run: DemoRun) -> None:
    weeks = [LAST_WEEK.back(2).key, LAST_WEEK.back(1).key, LAST_WEEK.key]
    assert sorted(p.name for p in demo_run.published.iterdir() if p.is_symlink()) == [*weeks, "latest"]
    assert (demo_run.published / "latest").resolve() == (demo_run.published / LAST_WEEK.key).resolve()
    for week in weeks:
        as_of = demo_run.table("segment_memberships", week)["as_of"].unique().to_list()
        assert as_of == [LAST_WEEK.parse(week).as_of]


def test_a_column_of_a_published_file_may_be_empty_whatever_other_weeks_hold(demo_run: DemoRun) -> None:
    files = [str(path) for path in demo_run.published.glob("20*/*.parquet")]
    columns = duckdb.sql("select name, repetition_type from parquet_schema(?)", params=[files]).fetchall()
    assert len(columns) > 100 and {kind for name, kind in columns if name != "duckdb_schema"} == {
        "OPTIONAL",
        "REPEATED",
    }


def test_everybody_has_one_persona_and_every_figure_adds_up(demo_run: DemoRun) -> None:
    memberships = demo_run.table("segment_memberships").filter(pl.col("segment_type") == "persona")
    kpis = demo_run.table("segment_kpis").filter(segment_type="persona")
    assert memberships["person_id"].is_unique().all()
    assert memberships["membership_strength"].is_between(0, 1).all()
    assert kpis["people"].sum() == memberships.height
    assert abs(kpis["people_share"].sum() - 1) < 1e-9
    assert kpis["segment_name"].is_unique().all()
    sizes = dict(memberships.group_by("segment_id").len().iter_rows())
    assert sizes == dict(kpis.select("segment_id", "people").iter_rows())


def test_migrations_account_for_everybody_of_both_weeks(demo_run: DemoRun) -> None:
    migrations = demo_run.table("segment_migrations").filter(segment_type="persona")
    now, before = (
        demo_run.table("segment_kpis", week).filter(segment_type="persona")["people"].sum()
        for week in ("latest", LAST_WEEK.back(1).key)
    )
    assert migrations.filter(pl.col("to_segment_id").is_not_null())["people"].sum() == now
    assert migrations.filter(pl.col("from_segment_id").is_not_null())["people"].sum() == before
    stayed = migrations.filter(pl.col("from_segment_id") == pl.col("to_segment_id"))["people"].sum()
    assert stayed / before > 0.8


def test_a_typical_week_holds_every_hour_of_four_weeks_in_which_anybody_did_anything(demo_run: DemoRun) -> None:
    import duckdb

    rhythms = demo_run.table("segment_rhythms").filter(pl.col("segment_type") == "persona")
    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        did = connection.sql(
            """
            select
                isodow(e.local_at) as weekday,
                hour(e.local_at) as hour,
                count(distinct (m.person_id, date_trunc('hour', e.local_at))) as active_hours,
                count(distinct m.person_id) as people
            from (
                select *, timezone('Europe/Berlin', timezone('UTC', occurred_at)) as local_at from staging.stg_events
            ) as e
            inner join intermediate.int_identities_resolved as i
                on i.identity_id = coalesce(e.contact_id, e.user_id, e.device_id)
                and i.valid_from < $as_of_at and coalesce(i.valid_to, timestamp '9999-12-31') >= $as_of_at
            inner join marts.segment_memberships as m
                on m.as_of = $as_of and m.segment_type = 'persona' and m.person_id = i.person_id
            where e.local_at >= $as_of - interval 28 day and e.local_at < $as_of
            group by all
            order by all
            """,
            params={"as_of": LAST_WEEK.as_of, "as_of_at": LAST_WEEK.as_of_at("Europe/Berlin")},
        ).pl()
    by_hour = rhythms.group_by("weekday", "hour").agg(pl.col("active_hours", "people").sum()).sort("weekday", "hour")
    assert by_hour.rows() == did.rows()
    assert rhythms["active_hours"].sum() > 1000


def test_planted_personas_are_found(demo_run: DemoRun) -> None:
    found = _with_humans(demo_run, demo_run.table("segment_memberships").filter(pl.col("segment_type") == "persona"))
    truth = pl.read_parquet(demo_run.folder / "truth" / "weeks" / f"{LAST_WEEK.as_of}.parquet")
    both = found.join(truth, on="human_id")
    assert both.height > 1000
    assert adjusted_rand_score(both["persona"], both["segment_id"]) > 0.45


def test_propensities_follow_the_planted_probabilities(demo_run: DemoRun) -> None:
    scores = _with_humans(demo_run, demo_run.table("person_propensities"))
    truth = pl.read_parquet(demo_run.folder / "truth" / "weeks" / f"{LAST_WEEK.as_of}.parquet")
    both = scores.join(truth, on="human_id")
    assert both["abstained_reason"].null_count() == both.height
    assert spearmanr(both["probability"], both["order_probability"]).statistic > 0.35
    assert 0.5 < both["probability"].mean() / both["order_probability"].mean() < 2.0


def test_duplicate_contacts_are_one_person_and_nobody_else_is(demo_run: DemoRun) -> None:
    people = pl.read_parquet(demo_run.folder / "truth" / "people.parquet")
    humans = people.explode("contact_ids").select(contact_id="contact_ids", human="human_id")
    score = pairwise_score(_persons_of_contacts(demo_run).join(humans, on="contact_id"))
    # Three in twenty of those who stand twice have neither address nor number in common, only most of a name and a job.
    assert score.precision > 0.97
    assert score.recall > 0.9


def test_the_ledger_says_by_what_people_were_merged(demo_run: DemoRun) -> None:
    import duckdb

    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        kinds = connection.execute(
            "select link_kind, count(*) from intermediate.identity_changes "
            "where identity_kind = 'contact' and person_before is distinct from person_after and link_kind is not null "
            "group by link_kind"
        ).fetchall()
        names = connection.execute("describe intermediate.identity_changes").fetchall()
    assert {"same_email", "same_phone"} <= {kind for kind, _ in kinds}
    assert not {"email", "phone", "first_name"} & {name for name, *_ in names}


def test_what_sets_planted_personas_apart_is_found_and_no_figure_tells_of_few_people(demo_run: DemoRun) -> None:
    index = demo_run.table("persona_index")
    told = index.filter(pl.col("abstained_reason").is_null())
    assert {"demographic", "firmographic", "behavioural", "trigger", "event", "target"} <= set(
        told["characteristic_type"]
    )
    assert told["people"].min() >= 10
    shares = told.filter(pl.col("kind") != "number")
    counts = shares["people"] * shares["segment_value"]
    assert not counts.is_between(0.5, 9.5).any()
    assert told["index_value"].is_between(told["index_low"].fill_null(0), told["index_high"].fill_null(1e9)).all()
    personas = told.filter(segment_type="persona")
    assert personas.filter("is_significant")["segment_id"].n_unique() == personas["segment_id"].n_unique()
    assert not personas.filter("is_significant").is_empty()


def test_market_sizes_are_the_key_figures_with_an_interval_and_companies(demo_run: DemoRun) -> None:
    sizes = demo_run.table("market_sizes").filter(segment_type="persona")
    kpis = (
        demo_run.table("segment_kpis")
        .filter(pl.col("people") >= 10, segment_type="persona")
        .select("segment_id", "people", "reachable_people")
    )
    both = sizes.filter(audience="everyone").join(kpis, on="segment_id", suffix="_known")
    assert (both["people"] == both["people_known"]).all() and both.height == kpis.height
    assert (sizes["people_low"] <= sizes["people_high"]).all()
    everyone, contactable = (sizes.filter(audience=name).sort("segment_id") for name in ("everyone", "contactable"))
    assert (contactable["companies"] <= everyone["companies"]).all() and contactable["companies"].sum() > 0


def test_subgroups_respond_to_triggers_and_are_told_what_they_read(demo_run: DemoRun) -> None:
    groups = demo_run.table("trigger_subgroups")
    told = groups.filter(pl.col("people").is_not_null())
    assert told.height > 3 and told["people"].min() >= 10
    assert told["content_1"].is_not_null().any()
    sources = told["content_1"].drop_nulls().str.split(": ").list.first()
    assert set(sources) <= {"page", "search", "product", "message"}


def test_one_row_per_person_holds_all_labels_and_the_file_for_people_says_the_same(demo_run: DemoRun) -> None:
    labels = demo_run.table("person_labels")
    memberships = demo_run.table("segment_memberships").filter(segment_type="persona")
    assert labels["person_id"].is_unique().all() and labels["person_id"].is_sorted()
    assert set(memberships["person_id"]) <= set(labels["person_id"])
    told = labels.explode("propensities").unnest("propensities").drop_nulls("target")
    scores = demo_run.table("person_propensities").join(told, on=["person_id", "target"])
    assert scores.height == demo_run.table("person_propensities").height
    assert scores["probability"].equals(scores["probability_right"], null_equal=True)
    for part in ("persona", "adoption", "persuasion", "affinity"):
        assert (labels[f"{part}_abstained_reason"].is_not_null() | labels[f"{part}_model_id"].is_not_null()).all()
    with (demo_run.published / "latest" / "person_labels.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Person"] for row in rows] == labels["person_id"].to_list()
    assert [row["Persona"] for row in rows] == labels["persona_name"].fill_null("").to_list()
    assert not any(value.startswith(("=", "+", "@")) for row in rows for value in row.values())


def test_only_people_with_consent_are_in_activation_files(demo_run: DemoRun) -> None:
    folder = demo_run.state / "activation" / LAST_WEEK.key
    files = {path.stem: list(csv.DictReader(path.open(encoding="utf-8"))) for path in sorted(folder.glob("*.csv"))}
    of_personas = [row for name, members in files.items() if name.startswith("persona-") for row in members]
    assert len(of_personas) > 100
    assert len({row["email"].lower() for row in of_personas}) == len(of_personas)
    rows = [row for members in files.values() for row in members]  # those of look-alikes too
    allowed = _contacts_with_consent(demo_run.folder)
    humans = _contacts_by_human(demo_run)
    for row in rows:
        assert any(contact in allowed for contact in humans[row["contact_id"]]), "somebody without consent is in a file"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"] == len(rows)
    assert manifest["left_out"]["no_consent_recorded"] > 0 and manifest["left_out"]["withdrawn"] > 0


def test_the_report_stands_alone_and_names_no_person(demo_run: DemoRun) -> None:
    html = (demo_run.published / "latest" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](https?:)?//""", html)
    for name in demo_run.table("segment_kpis")["segment_name"]:
        assert name.replace("'", "&#39;").replace("&", "&amp;") in html or name in html
    assert not _addresses(demo_run.folder) & set(re.findall(r"[\w.+-]+@[\w.-]+", html))


def test_no_address_is_in_logs_metadata_or_published_tables(demo_run: DemoRun) -> None:
    addresses = [address.encode() for address in sorted(_addresses(demo_run.folder))[:300]]
    for place in ("dagster", "dbt", "published", "reports"):
        for path in (demo_run.state / place).rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert not any(address in content for address in addresses), path.relative_to(demo_run.folder)


def test_the_lineage_is_one_graph_from_extracts_to_activation_files(demo_run: DemoRun) -> None:
    graph = definitions_for(Workspace.open(demo_run.folder)).resolve_asset_graph()
    ancestors = graph.get_ancestor_asset_keys(dg.AssetKey(["activation", "audience_files"]))
    assert {key for key in graph.get_all_asset_keys() if key.path[0] == "extracts"} <= ancestors
    assert dg.AssetKey(["features", "person_features"]) in ancestors
    reached, pending = set(), [dg.AssetKey(["raw", "contacts"])]
    while pending:
        key = pending.pop()
        if key not in reached:
            reached.add(key)
            pending += [*graph.get(key).parent_keys, *graph.get(key).child_keys]
    assert reached == set(graph.get_all_asset_keys())
    assert {graph.get(key).group_name for key in reached} == {
        "extracts",
        "raw",
        "staging",
        "intermediate",
        "features",
        "ml",
        "segments",
        "marts",
        "activation",
        "report",
        "published",
    }


def test_columns_have_lineage_and_tables_have_row_counts_and_plots(demo_run: DemoRun) -> None:
    instance = dg.DagsterInstance.from_config(str(demo_run.state / "dagster"))
    try:

        def metadata(*path: str) -> dict[str, dg.MetadataValue]:
            event = instance.get_latest_materialization_event(dg.AssetKey(list(path)))
            assert event is not None and event.asset_materialization is not None
            return dict(event.asset_materialization.metadata)

        lineage = metadata("marts", "segment_memberships")["dagster/column_lineage"].value
        sources = {dep.asset_key.to_user_string() for dep in lineage.deps_by_column["segment_id"]}
        assert "ml/persona_assignments" in sources
        assert metadata("features", "person_features")["dagster/row_count"].value > 1000
        assert "image/png" in str(metadata("ml", "personas")["sizes"].value)
        assert metadata("ml", "persona_models")["silhouette"].value > 0
    finally:
        instance.dispose()


def _persons_of_contacts(demo_run: DemoRun) -> pl.DataFrame:
    import duckdb

    with duckdb.connect(str(demo_run.state / "warehouse.duckdb"), read_only=True) as connection:
        return connection.sql(
            "select identity_id as contact_id, format('p_{:016x}', arg_max(person_id, valid_from)) as person_id "
            "from intermediate.int_identities_resolved where identity_kind = 'contact' "
            "group by identity_id order by all"
        ).pl()


def _with_humans(demo_run: DemoRun, frame: pl.DataFrame) -> pl.DataFrame:
    people = pl.read_parquet(demo_run.folder / "truth" / "people.parquet").explode("contact_ids")
    humans = people.join(_persons_of_contacts(demo_run), left_on="contact_ids", right_on="contact_id")
    return frame.join(humans.group_by("person_id").agg(pl.col("human_id").min()), on="person_id")


def _contacts_by_human(demo_run: DemoRun) -> dict[str, list[str]]:
    persons = _persons_of_contacts(demo_run)
    together = persons.group_by("person_id").agg("contact_id")
    return dict(persons.join(together, on="person_id").select("contact_id", "contact_id_right").iter_rows())


def _contacts_with_consent(folder: Path) -> set[str]:
    """Who allowed e-mail marketing last, by the ledger as it was delivered."""
    ledger = pl.concat(
        [pl.read_csv(path, infer_schema=False) for path in sorted((folder / "extracts" / "preferences").glob("*.csv"))]
    )
    marketing = ledger.filter(pl.col("purpose") == "email_marketing").sort("recorded", maintain_order=True)
    last = marketing.group_by("contact").last()
    return set(last.filter(pl.col("decision") == "granted")["contact"].to_list())


def _addresses(folder: Path) -> set[str]:
    files = sorted((folder / "extracts" / "crm").glob("contacts_*.csv"))
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    return {address.lower() for address in re.findall(r"[\w.+-]+@[\w.-]+\.\w+", text)}
