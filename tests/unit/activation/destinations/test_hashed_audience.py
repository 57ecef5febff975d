"""Hashed audiences as a destination: from people through the gate and the engine to files in a folder."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

from activation.destinations.hashed_audience import HashedAudience
from activation.destinations.local_folder import LocalFolder
from activation.hashed_audiences import PLATFORMS
from activation.sync.engine import SyncResult, SyncSettings, sync
from activation.sync.gated import GatedAudience, GateDecision, NotGated, seal_audience
from activation.sync.guards import Guards
from activation.sync.protocol import FieldMapping, MappedField, Mode, Operation, Row
from tests.unit.activation.sync.scripted import FakeClock

NAMES = ("email", "phone", "first_name", "country")
MAPPING = FieldMapping("1", tuple(MappedField(name, name) for name in NAMES))
SETTINGS = SyncSettings(guards=Guards(max_removal_share=1.0, rejection_floor=1000), seed=1)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def crowd(size: int) -> list[dict[str, str | None]]:
    return [{"email": f"p{number}@example.com", "first_name": "Ann", "country": "de"} for number in range(size)]


class Company:
    """A warehouse whose people are looked up by a platform."""

    def __init__(self, folder: Path, platform: str = "meta", **options: object) -> None:
        self.warehouse = duckdb.connect(config={"threads": 1})
        self.folder, self.platform, self.options = folder / "delivered", platform, options
        self.folder.mkdir()
        self.drafts = folder / "drafts"
        self.drafts.mkdir()
        self.clock = FakeClock()

    def gated(self, people: list[dict[str, str | None]], **changed: object) -> GatedAudience:
        """Seal people as the gate does; who has the same address twice is two people."""
        frame = pl.DataFrame(  # noqa: F841 - read by DuckDB
            [{"identifier": f"c-{number}"} | one for number, one in enumerate(people)],
            schema=dict.fromkeys(("identifier", *NAMES), pl.String),
        )
        self.warehouse.execute("create or replace table approved as select * from frame")
        stated = {"purpose": "advertising", "channel": "ads", "mapping": MAPPING} | changed
        return seal_audience(
            self.warehouse,
            destination="platform",
            segment="win_back",
            mode=Mode.MIRROR,
            as_of=self.clock.now().date(),
            relation="approved",
            decision=GateDecision(len(people), len(people)),
            **stated,  # type: ignore[arg-type]
        )

    def connector(self) -> HashedAudience:
        store = LocalFolder(self.folder)
        return HashedAudience(
            "platform",
            store,
            self.platform,
            temporary_folder=self.drafts,
            **self.options,  # type: ignore[arg-type]
        )

    def sync(self, people: list[dict[str, str | None]], **changed: object) -> SyncResult:
        audience = self.gated(people, **changed)
        return sync(self.warehouse, self.connector(), [audience], settings=SETTINGS, clock=self.clock, channels=())

    def delivered(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.suffix == ".csv")

    def rows(self) -> list[dict[str, str]]:
        with self.delivered()[-1].open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def test_a_list_is_delivered_hashed_with_checksum_and_a_manifest_of_nothing_personal(tmp_path):
    company = Company(tmp_path)
    result = company.sync([*crowd(120), {"email": "P0@Example.com "}, {"phone": "+16505551212"}])
    assert (result.state, result.reason) == ("done", "")
    rows = company.rows()
    assert {row["EMAIL"] for row in rows if row["EMAIL"]} == {sha256(f"p{n}@example.com") for n in range(120)}
    assert [row["PHONE"] for row in rows if row["PHONE"]] == [sha256("16505551212")]
    assert {row["FN"] for row in rows} == {sha256("ann"), ""} and len(rows) == 121
    (path,) = company.delivered()
    content = path.read_bytes()
    assert (company.folder / f"{path.name}.sha256").read_text().split() == [
        hashlib.sha256(content).hexdigest(),
        path.name,
    ]
    manifest = json.loads((company.folder / f"{path.stem}.manifest.json").read_text())
    assert manifest.pop("sha256") == hashlib.sha256(content).hexdigest()
    assert manifest.pop("run_id") == result.run_id
    assert manifest == {
        "file": path.name,
        "bytes": len(content),
        "platform": "meta",
        "rows": 121,
        "columns": list(PLATFORMS["meta"].columns),
        "left_out": {"the address or number is in the file already": 1},
        "contents": "full",
        "segment": "win_back",
        "as_of": "2026-11-16",
    }


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_no_address_name_or_number_is_in_anything_that_was_written(tmp_path, platform):
    company = Company(tmp_path, platform)
    people = [*crowd(1000), {"email": "canary@example.com", "phone": "+4930999888", "first_name": "Canary"}]
    assert company.sync(people).state == "done"
    written = b"".join(path.read_bytes() for path in company.folder.iterdir()).lower()
    for plain in (b"@", b"example", b"canary", b"30999888", b"c-0"):
        assert plain not in written
    assert not list(company.drafts.iterdir()), "drafts are gone"
    for (table,) in company.warehouse.execute(
        "select table_name from information_schema.tables where table_schema = 'activation'"
    ).fetchall():
        assert "canary" not in str(company.warehouse.execute(f'select * from activation."{table}"').fetchall()).lower()


def test_the_same_people_give_the_same_bytes_whatever_their_order(tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "other").mkdir()
    one, other = Company(tmp_path / "one"), Company(tmp_path / "other")
    one.sync(crowd(150))
    other.sync(crowd(150)[::-1])
    assert one.delivered()[0].read_bytes() == other.delivered()[0].read_bytes()


def test_who_left_is_not_in_the_next_list_and_nothing_is_delivered_where_nothing_changed(tmp_path):
    company = Company(tmp_path)
    company.sync(crowd(150))
    assert company.sync(crowd(150)).plan.operations == 0 and len(company.delivered()) == 1
    company.clock.sleep(7 * 86_400)
    assert company.sync(crowd(140)).state == "done"
    assert {row["EMAIL"] for row in company.rows()} == {sha256(f"p{n}@example.com") for n in range(140)}


@pytest.mark.parametrize(("platform", "people"), [("google", 99), ("linkedin", 299), ("tiktok", 999)])
def test_a_list_that_the_platform_would_refuse_for_its_size_is_not_delivered(tmp_path, platform, people):
    company = Company(tmp_path, platform)
    result = company.sync(crowd(people))
    assert result.state == "failed" and "wants at least" in result.reason and "nothing was delivered" in result.reason
    assert company.delivered() == []
    assert company.sync(crowd(people + 1)).state == "done" and len(company.rows()) == people + 1


def test_who_cannot_be_looked_up_is_a_refused_row(tmp_path):
    company = Company(tmp_path)
    result = company.sync([*crowd(100), {"email": "n/a", "phone": "0"}])
    assert result.outcomes.rejected == 1 and len(company.rows()) == 100
    assert company.warehouse.execute("select code from activation.sync_rejections").fetchall() == [
        ("nothing_to_match",)
    ]


def test_numbers_are_read_by_whoever_knows_how(tmp_path):
    company = Company(tmp_path, phone_numbers=lambda frame: frame["phone"].str.replace(r"^0", "+49"))
    company.sync([*crowd(100), {"phone": "03023125000"}, {"phone": sha256("493011111111")}])
    assert {row["PHONE"] for row in company.rows()} == {"", sha256("493023125000"), sha256("493011111111")}


@pytest.mark.parametrize(
    "terms",
    [
        {"purpose": "email_marketing", "channel": "email"},
        {"purpose": "email_marketing", "channel": "ads"},
        {"purpose": "advertising", "channel": "email"},
    ],
)
def test_people_who_were_approved_for_something_else_are_not_looked_up(tmp_path, terms):
    company = Company(tmp_path)
    result = company.sync(crowd(150), **terms)
    assert result.state == "blocked" and "approved for advertising over ads only" in result.reason.replace("those ", "")
    assert company.delivered() == []


def test_the_purpose_is_the_one_the_destination_declares(tmp_path):
    company = Company(tmp_path, purpose="lookups")
    assert company.sync(crowd(150)).state == "blocked"
    assert company.sync(crowd(150), purpose="lookups").state == "done"


@pytest.mark.parametrize(
    ("names", "word"),
    [(("e_mail",), "e_mail of win_back is nothing"), (("first_name", "country"), "looks people up by")],
)
def test_a_mapping_that_finds_nobody_is_refused_before_anything_is_sent(tmp_path, names, word):
    company = Company(tmp_path)
    mapping = FieldMapping("1", tuple(MappedField(name, "email") for name in names))
    result = company.sync(crowd(150), mapping=mapping)
    assert result.state == "failed" and word in result.reason
    assert company.delivered() == []


def test_it_takes_nothing_that_did_not_pass_the_gate(tmp_path):
    connector = Company(tmp_path).connector()
    for forged in ([Row("key", "c-1", {"email": "p1@example.com"})], {"operation": Operation.JOIN}, None):
        with pytest.raises(NotGated):
            connector.apply(forged)  # type: ignore[arg-type]
    with pytest.raises(NotGated):
        sync(duckdb.connect(), connector, ["p1@example.com"])  # type: ignore[list-item]


def test_an_unknown_platform_is_named(tmp_path):
    with pytest.raises(ValueError, match="'gogle' is no platform; there are google"):
        HashedAudience("platform", LocalFolder(tmp_path), "gogle")
