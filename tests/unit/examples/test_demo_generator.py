"""What the demo company promises: the same bytes, files that hold what they say, and truths that can be found."""

import gzip
import json
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import yaml
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from examples.demo import company
from examples.demo.clock import history, last_complete_week
from examples.demo.generate import DemoSummary, generate_demo, main

LAST_WEEK = date(2026, 11, 9)
BERLIN = ZoneInfo("Europe/Berlin")
TELLING = yaml.safe_load((Path(company.__file__).parent / "workspace" / "personae.yml").read_text())["features"][
    "events"
]


@pytest.fixture(scope="session")
def havelgrid(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    """2,000 people over 26 weeks, in Parquet."""
    folder = tmp_path_factory.mktemp("demo") / "havelgrid"
    return generate_demo(folder, people=2_000, last_week=LAST_WEEK, file_format="parquet")


@pytest.fixture(scope="session")
def small_csv(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    """200 people over 5 weeks, as the systems would deliver them."""
    folder = tmp_path_factory.mktemp("demo") / "small"
    return generate_demo(folder, people=200, weeks=5, last_week=LAST_WEEK)


@pytest.fixture(scope="session")
def people(havelgrid: DemoSummary) -> pl.DataFrame:
    return pl.read_parquet(havelgrid.folder / "truth" / "people.parquet")


def extract(summary: DemoSummary, pattern: str) -> pl.DataFrame:
    return pl.read_parquet(summary.folder / "extracts" / pattern, include_file_paths="file")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def humans_of_contacts(people: pl.DataFrame) -> pl.DataFrame:
    return people.select("human_id", contact="contact_ids").explode("contact")


def humans_of_devices(people: pl.DataFrame) -> pl.DataFrame:
    return people.select("human_id", device="device_ids").explode("device")


class TestSameArgumentsSameBytes:
    @pytest.mark.parametrize("file_format", ["csv", "parquet"])
    def test_every_file_is_the_same_in_another_folder(self, tmp_path: Path, file_format: str) -> None:
        for name in ("one", "two"):
            generate_demo(tmp_path / name, people=150, weeks=3, last_week=LAST_WEEK, file_format=file_format)
        assert contents(tmp_path / "one") == contents(tmp_path / "two")

    def test_another_seed_gives_another_company(self, tmp_path: Path) -> None:
        for seed in (1, 2):
            generate_demo(tmp_path / str(seed), people=150, weeks=3, seed=seed, last_week=LAST_WEEK)
        one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
        assert one.keys() == two.keys()
        assert one["extracts/crm/contacts_2026-11-16.csv"] != two["extracts/crm/contacts_2026-11-16.csv"]

    def test_csv_and_parquet_say_the_same(self, small_csv: DemoSummary, tmp_path: Path) -> None:
        as_parquet = generate_demo(tmp_path / "p", people=200, weeks=5, last_week=LAST_WEEK, file_format="parquet")
        assert as_parquet.rows == small_csv.rows
        name = "extracts/billing/invoices_2026-11-16"
        csv = pl.read_csv(small_csv.folder / f"{name}.csv", separator=";", try_parse_dates=True)
        parquet = pl.read_parquet(as_parquet.folder / f"{name}.parquet")
        assert csv.rows() == parquet.rows()


class TestArguments:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"people": 10},
            {"weeks": 1},
            {"seed": -1},
            {"last_week": date(2026, 11, 10)},
            {"file_format": "xlsx"},
            {"events_per_person": 0.0},
        ],
    )
    def test_out_of_range_is_refused_by_name(self, tmp_path: Path, wrong: dict) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            generate_demo(tmp_path / "demo", **wrong)
        assert not (tmp_path / "demo").exists()

    def test_nothing_is_overwritten(self, small_csv: DemoSummary) -> None:
        with pytest.raises(FileExistsError, match="already holds a workspace"):
            generate_demo(small_csv.folder, people=200, weeks=5, last_week=LAST_WEEK)

    def test_the_default_last_week_is_over(self) -> None:
        assert last_complete_week(date(2026, 11, 15)) == date(2026, 11, 2)
        assert last_complete_week(date(2026, 11, 16)) == date(2026, 11, 9)

    def test_the_command_line_takes_the_same(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = "--people 100 --weeks 2 --seed 3 --last-week 2026-11-09 --format parquet --events-per-person 20"
        main([str(tmp_path / "demo"), *options.split()])
        assert "100 people" in capsys.readouterr().out
        manifest = json.loads((tmp_path / "demo" / "truth" / "manifest.json").read_text())
        assert (manifest["seed"], manifest["events_per_person"], manifest["file_format"]) == (3, 20.0, "parquet")

    def test_the_number_of_events_is_about_what_was_asked(self, havelgrid: DemoSummary) -> None:
        assert havelgrid.events == pytest.approx(50 * 2_000, rel=0.15)

    def test_a_company_where_hardly_anything_happens_is_written_whole(self, tmp_path: Path) -> None:
        quiet = generate_demo(tmp_path / "quiet", people=50, weeks=2, last_week=LAST_WEEK, events_per_person=0.1)
        assert quiet.files == {name: 3 if name in ("contacts", "accounts", "consents") else 2 for name in quiet.files}


class TestDeliveries:
    @pytest.mark.parametrize(
        ("pattern", "column", "zone"),
        [
            ("product/*.parquet", "ts", "UTC"),
            ("web/*.parquet", "visited_at", None),
            ("billing/*.parquet", "changed", None),
            ("email/*.parquet", "activity_at", "UTC"),
            ("helpdesk/tickets_*.parquet", "changed", None),
            ("helpdesk/survey_*.parquet", "answered", None),
            ("preferences/*.parquet", "recorded", None),
        ],
    )
    def test_a_file_holds_only_what_happened_before_its_date(
        self, havelgrid: DemoSummary, pattern: str, column: str, zone: str | None
    ) -> None:
        rows = extract(havelgrid, pattern).with_columns(
            delivered=pl.col("file").str.extract(r"(\d{4}-\d{2}-\d{2})").str.to_datetime("%Y-%m-%d")
        )
        at = pl.col(column)
        at = at.dt.convert_time_zone("Europe/Berlin").dt.replace_time_zone(None) if zone else at
        assert rows.select((at < pl.col("delivered")).all()).item()

    def test_crm_files_hold_what_changed_in_their_week(self, havelgrid: DemoSummary) -> None:
        rows = extract(havelgrid, "crm/contacts_*.parquet").with_columns(
            changed=pl.col("LastModified").str.to_datetime("%d.%m.%Y %H:%M"),
            created=pl.col("Created").str.to_datetime("%d.%m.%Y %H:%M"),
            delivered=pl.col("file").str.extract(r"(\d{4}-\d{2}-\d{2})").str.to_datetime("%Y-%m-%d"),
        )
        is_snapshot = pl.col("delivered").dt.date() == havelgrid.first_week
        in_week = pl.col("changed").is_between(pl.col("delivered") - timedelta(7), pl.col("delivered"), closed="left")
        assert rows.select((is_snapshot | in_week).all()).item()
        assert rows.select((pl.col("changed") >= pl.col("created")).all()).item()

    def test_files_of_a_system_cover_every_week(self, havelgrid: DemoSummary) -> None:
        mondays = {week.as_of for week in history(LAST_WEEK, 26)}
        for system, name in (("product", "events"), ("web", "hits"), ("billing", "invoices"), ("email", "mailings")):
            names = {path.stem for path in (havelgrid.folder / "extracts" / system).iterdir()}
            assert names == {f"{name}_{monday}" for monday in mondays}

    def test_a_few_events_are_delivered_twice_and_a_few_late(self, havelgrid: DemoSummary) -> None:
        events = extract(havelgrid, "product/*.parquet")
        twice = events.height - events["event_id"].n_unique()
        assert 0 < twice < 0.005 * events.height
        delivered = pl.col("file").str.extract(r"(\d{4}-\d{2}-\d{2})").str.to_date()
        late = events.filter(pl.col("ts").dt.date() < delivered - timedelta(days=8)).height
        assert 0 < late < 0.005 * events.height

    def test_an_invoice_changes_its_state_in_a_later_file(self, havelgrid: DemoSummary) -> None:
        versions = extract(havelgrid, "billing/*.parquet").sort("changed").group_by("invoice").agg("state", "file")
        changed = versions.filter(pl.col("state").list.len() > 1)
        assert changed.select((pl.col("file").list.n_unique() == 2).all()).item()
        last = changed["state"].list.last().value_counts()
        assert set(last["state"]) == {"PAID", "VOID", "REFUNDED"}

    def test_gzip_headers_carry_no_time(self, small_csv: DemoSummary) -> None:
        path = small_csv.folder / "extracts" / "product" / "events_2026-11-16.jsonl.gz"
        assert path.read_bytes()[4:8] == b"\0\0\0\0"
        first = json.loads(gzip.decompress(path.read_bytes()).splitlines()[0])
        assert first["ts"].endswith("Z")


class TestWorkspace:
    def test_settings_name_the_first_week(self, havelgrid: DemoSummary) -> None:
        settings = yaml.safe_load((havelgrid.folder / "personae.yml").read_text())
        assert settings["first_week"] == havelgrid.first_week == date(2026, 5, 18)

    @pytest.mark.parametrize("which", ["havelgrid", "small_csv"])
    def test_every_mapping_reads_columns_its_files_have(self, which: str, request: pytest.FixtureRequest) -> None:
        folder = request.getfixturevalue(which).folder
        for path in sorted((folder / "mappings").glob("*.yml")):
            mapping = yaml.safe_load(path.read_text())
            file = max(folder.glob(mapping["extract"]["files"]), key=lambda found: found.stat().st_size)
            columns = _columns(file, mapping["extract"].get("delimiter", ","))
            for entity in mapping["entities"].values():
                sources = entity["columns"].values()
                named = {s if isinstance(s, str) else s.get("column") for s in sources} | set(
                    entity.get("attributes", {})
                )
                assert named - {None} <= set(columns), path.name

    def test_events_counted_on_their_own_exist(self) -> None:
        assert set(TELLING) <= company.PRODUCT_EVENTS.keys() | company.WEB_EVENTS.keys()


def _columns(file: Path, delimiter: str) -> list[str]:
    if file.suffix == ".parquet":
        return pl.read_parquet_schema(file).names()
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    line = content.splitlines()[0].decode()
    return list(json.loads(line)) if ".jsonl" in file.name else line.split(delimiter)


class TestIdentities:
    def test_two_to_three_percent_stand_twice_in_the_crm(self, people: pl.DataFrame) -> None:
        twice = people.filter(pl.col("contact_ids").list.len() == 2).height
        assert 0.02 * 2_000 < twice < 0.035 * 2_000

    def test_duplicates_have_the_same_address_in_other_writing_or_rarely_another(
        self, havelgrid: DemoSummary, people: pl.DataFrame
    ) -> None:
        contacts = extract(havelgrid, "crm/contacts_*.parquet").drop_nulls("Email").unique("Id", keep="first")
        pairs = (
            people.filter(pl.col("contact_ids").list.len() == 2)
            .select("human_id", first=pl.col("contact_ids").list[0], second=pl.col("contact_ids").list[1])
            .join(contacts.select(first="Id", email="Email"), on="first")
            .join(contacts.select(second="Id", other="Email"), on="second")
        )
        written = pl.col("other").str.strip_chars().str.to_lowercase()
        assert (pairs["email"] != pairs["other"]).all()
        assert 0.7 < pairs.select((written == pl.col("email")).mean()).item() < 1.0
        assert pairs.select((pl.col("second") > pl.col("first")).all()).item()

    def test_addresses_of_different_people_differ(self, havelgrid: DemoSummary, people: pl.DataFrame) -> None:
        contacts = extract(havelgrid, "crm/contacts_*.parquet").drop_nulls("Email")
        owners = contacts.join(humans_of_contacts(people), left_on="Id", right_on="contact").group_by(
            pl.col("Email").str.strip_chars().str.to_lowercase()
        )
        assert owners.agg(pl.col("human_id").n_unique())["human_id"].max() == 1

    def test_people_sign_in_on_their_own_devices_or_in_meeting_rooms(
        self, havelgrid: DemoSummary, people: pl.DataFrame
    ) -> None:
        seen = extract(havelgrid, "product/*.parquet").select(contact="user_id", device="device_id").unique()
        seen = seen.join(humans_of_contacts(people), on="contact")
        shared = seen.group_by("device").agg(pl.col("human_id").n_unique()).filter(pl.col("human_id") > 1)
        assert shared.height == 2
        assert shared["human_id"].min() > 3
        own = seen.join(shared, on="device", how="anti").join(humans_of_devices(people), on="device")
        assert (own["human_id"] == own["human_id_right"]).all()

    def test_a_fifth_of_web_devices_belongs_to_strangers(self, havelgrid: DemoSummary, people: pl.DataFrame) -> None:
        visitors = (
            extract(havelgrid, "web/*.parquet").group_by("visitor").agg(signed_in=pl.col("login").is_not_null().any())
        )
        strangers = visitors.join(humans_of_devices(people), left_on="visitor", right_on="device", how="anti")
        assert not strangers["signed_in"].any()
        assert 0.15 < strangers.height / visitors.height < 0.25

    def test_nobody_acts_before_joining_but_anonymously(self, havelgrid: DemoSummary, people: pl.DataFrame) -> None:
        joined = people.select("human_id", "joined_at")
        used = extract(havelgrid, "product/*.parquet").join(
            humans_of_contacts(people), left_on="user_id", right_on="contact"
        )
        assert used.join(joined, on="human_id").select((pl.col("ts") > pl.col("joined_at")).all()).item()
        visits = extract(havelgrid, "web/*.parquet").join(
            humans_of_devices(people), left_on="visitor", right_on="device"
        )
        before = visits.join(joined, on="human_id").filter(
            pl.col("visited_at") < pl.col("joined_at").dt.convert_time_zone("Europe/Berlin").dt.replace_time_zone(None)
        )
        assert before.height > 100
        assert before["login"].is_null().all()


class TestConsent:
    def test_some_were_never_asked_and_some_withdrew_later(self, havelgrid: DemoSummary, people: pl.DataFrame) -> None:
        ledger = extract(havelgrid, "preferences/*.parquet").filter(pl.col("purpose") == "email_marketing")
        asked = ledger["contact"].n_unique() / people.height
        assert 0.7 < asked < 0.9
        states = ledger.sort("recorded").group_by("contact").agg("decision")["decision"]
        assert (states.list.join(">") == "granted>withdrawn").sum() > 50

    def test_most_allow_profiling_and_some_never_did_or_took_it_back_or_object(
        self, havelgrid: DemoSummary, people: pl.DataFrame
    ) -> None:
        ledger = extract(havelgrid, "preferences/*.parquet")
        profiling = ledger.filter(pl.col("purpose") == "profiling").sort("recorded").group_by("contact").agg("decision")
        states = profiling["decision"].list.join(">")
        assert 0.75 < states.is_in(["granted"]).sum() / people.height < 0.9
        assert (states == "withdrawn").sum() > 0 and (states == "granted>withdrawn").sum() > 0
        objections = ledger.filter(pl.col("decision") == "objected")
        assert (
            objections["purpose"].unique().to_list() == ["direct_marketing"] and objections["channel"].is_null().all()
        )

    def test_mails_go_only_to_those_who_agree_at_the_time(self, havelgrid: DemoSummary) -> None:
        ledger = extract(havelgrid, "preferences/*.parquet").filter(pl.col("purpose") == "email_marketing")
        sent = extract(havelgrid, "email/*.parquet").filter(pl.col("activity") == "sent")
        week_begins = (
            pl.col("activity_at").dt.convert_time_zone("Europe/Berlin").dt.truncate("1w").dt.replace_time_zone(None)
        )
        latest = (
            sent.with_columns(recorded=week_begins)
            .sort("recorded")
            .join_asof(
                ledger.sort("recorded"),
                on="recorded",
                by_left="recipient",
                by_right="contact",
                strategy="backward",
                check_sortedness=False,
            )
        )
        assert (latest["decision"] == "granted").all()


def week_features(summary: DemoSummary, people: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Logarithms of counts per telling event and in all, over the last 28 and 91 days, for everybody known."""
    end = datetime(as_of.year, as_of.month, as_of.day, tzinfo=BERLIN)
    product = (
        extract(summary, "product/*.parquet")
        .unique("event_id")
        .join(humans_of_contacts(people), left_on="user_id", right_on="contact")
    )
    web = extract(summary, "web/*.parquet").join(humans_of_devices(people), left_on="visitor", right_on="device")
    events = pl.concat(
        [
            product.select("human_id", at=pl.col("ts").dt.convert_time_zone("Europe/Berlin"), name="event"),
            web.select(
                "human_id",
                at=pl.col("visited_at").dt.replace_time_zone("Europe/Berlin", ambiguous="latest"),
                name="action",
            ),
        ]
    )
    counts = []
    for days in (28, 91):
        recent = (pl.col("at") < end) & (pl.col("at") >= end - timedelta(days=days))
        counts += [(recent & (pl.col("name") == name)).sum().log1p().alias(f"{name}_{days}") for name in TELLING]
        counts.append(recent.sum().log1p().alias(f"events_{days}"))
    truth = pl.read_parquet(summary.folder / "truth" / "weeks" / f"{as_of}.parquet")
    return truth.join(events.group_by("human_id").agg(counts), on="human_id", how="left").fill_null(0).sort("human_id")


class TestPersonas:
    def test_personas_can_be_found_from_behaviour(self, havelgrid: DemoSummary, people: pl.DataFrame) -> None:
        features = week_features(havelgrid, people, date(2026, 11, 16))
        columns = [name for name in features.columns if name.endswith("_91")]
        scaled = StandardScaler().fit_transform(features.select(columns).to_numpy())
        found = KMeans(5, n_init=10, random_state=0).fit(scaled).labels_
        assert adjusted_rand_score(features["persona"], found) >= 0.8

    def test_about_one_percent_of_people_change_every_week(self, people: pl.DataFrame) -> None:
        changes = people.select(pl.col("persona_changes").list.len().fill_null(0).sum()).item()
        assert 0.005 < changes / 26 / people.height < 0.012

    def test_changes_lead_from_the_first_persona_to_the_last(self, people: pl.DataFrame) -> None:
        for start, end, changes in people.select("persona_at_start", "persona_at_end", "persona_changes").iter_rows():
            personas = [start]
            for change in changes or []:
                assert change["from"] == personas[-1] != change["to"]
                personas.append(change["to"])
            assert personas[-1] == end

    def test_a_new_feature_comes_into_use(self, havelgrid: DemoSummary) -> None:
        asked = (
            extract(havelgrid, "product/*.parquet")
            .group_by("file")
            .agg(share=(pl.col("event") == "assistant_asked").mean())
            .sort("file")["share"]
        )
        assert asked.head(3).mean() < 0.01 < 0.03 < asked.tail(3).mean()


class TestOrders:
    @pytest.fixture(scope="class")
    def outcomes(self, havelgrid: DemoSummary, people: pl.DataFrame) -> pl.DataFrame:
        """The truth of three weeks far apart, and who ordered within 30 days."""
        orders = extract(havelgrid, "billing/*.parquet").unique("invoice", keep="first")
        orders = orders.join(humans_of_contacts(people), left_on="customer", right_on="contact")
        weeks = []
        for as_of in (date(2026, 7, 27), date(2026, 9, 7), date(2026, 10, 12)):
            begin = datetime(as_of.year, as_of.month, as_of.day)
            buyers = orders.filter(pl.col("booked").is_between(begin, begin + timedelta(days=30), closed="left"))
            truth = pl.read_parquet(havelgrid.folder / "truth" / "weeks" / f"{as_of}.parquet")
            weeks.append(truth.with_columns(ordered=pl.col("human_id").is_in(buyers["human_id"].unique().implode())))
        return pl.concat(weeks)

    def test_one_in_ten_orders_within_thirty_days(self, outcomes: pl.DataFrame) -> None:
        assert 0.08 < outcomes["ordered"].mean() < 0.15

    def test_the_true_chance_ranks_well_but_not_perfectly(self, outcomes: pl.DataFrame) -> None:
        assert 0.74 < roc_auc_score(outcomes["ordered"], outcomes["order_probability"]) < 0.82

    def test_the_true_chance_is_calibrated(self, outcomes: pl.DataFrame) -> None:
        thirds = (
            outcomes.sort("order_probability", "human_id")
            .with_row_index()
            .with_columns(pl.col("index") * 3 // outcomes.height)
        )
        for _, third in thirds.group_by("index"):
            assert third["ordered"].mean() == pytest.approx(third["order_probability"].mean(), rel=0.3, abs=0.01)


class TestReleases:
    @pytest.fixture(scope="class")
    def tried(self, havelgrid: DemoSummary, people: pl.DataFrame) -> pl.DataFrame:
        """What was done with releases, by whom."""
        rows = extract(havelgrid, "releases/*.parquet").join(
            humans_of_contacts(people), left_on="user_id", right_on="contact"
        )
        return rows.join(pl.read_parquet(havelgrid.folder / "truth" / "adoption.parquet"), on="human_id")

    def test_the_settings_name_each_release_and_its_day(self, havelgrid: DemoSummary) -> None:
        launches = yaml.safe_load((havelgrid.folder / "personae.yml").read_text())["launches"]
        days = {
            event: havelgrid.first_week + timedelta(weeks=week, days=company.RELEASE_DAY)
            for event, week in company.RELEASES.items()
        }
        assert {launch["event"]: launch["date"] for launch in launches} == days

    def test_nobody_uses_what_is_not_there_yet_or_for_the_first_time_twice(
        self, havelgrid: DemoSummary, tried: pl.DataFrame
    ) -> None:
        for event, week in company.RELEASES.items():
            rows = tried.filter(event=event)
            begins = havelgrid.first_week + timedelta(weeks=week, days=company.RELEASE_DAY)
            assert rows["happened_at"].dt.convert_time_zone("Europe/Berlin").dt.date().min() >= begins
            assert rows["human_id"].n_unique() == rows.height > 100

    def test_it_happens_in_sessions_that_take_place_anyway(self, havelgrid: DemoSummary, tried: pl.DataFrame) -> None:
        sessions = extract(havelgrid, "product/*.parquet").select("session", "user_id", "device_id").unique()
        missing = tried.join(sessions, on=["session", "user_id", "device_id"], how="anti")
        assert missing.height <= 0.01 * tried.height  # sessions whose only event is still on a phone

    def test_the_innovative_try_more_and_earlier(self, tried: pl.DataFrame) -> None:
        rows = tried.filter(event="forecast_made").sort("happened_at")
        assert rows.head(100)["innovativeness"].mean() > rows.tail(100)["innovativeness"].mean() + 0.5
        assert rows["innovativeness"].mean() > 0.3

    def test_influencers_are_heard_and_write(self, tried: pl.DataFrame) -> None:
        for event in company.INFLUENCE:
            counts = tried.filter(event=event).group_by("human_id", "is_influencer").len()
            means = dict(counts.group_by("is_influencer").agg(pl.col("len").mean()).iter_rows())
            assert means[True] > 2 * means[False]

    def test_nothing_else_depends_on_them(
        self, small_csv: DemoSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(company, "TRIES_PER_SESSION", 0.5)
        monkeypatch.setattr(company, "INFLUENCE", {})
        other = generate_demo(tmp_path / "other", people=200, weeks=5, last_week=LAST_WEEK).folder
        one, two = contents(small_csv.folder), contents(other)
        changed = {name for name in one if one[name] != two[name]}
        assert {name.split("_")[0] for name in changed} <= {"extracts/releases/releases", "truth/manifest.json"}
        assert "extracts/releases/releases_2026-11-16.csv" in changed
