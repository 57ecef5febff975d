"""What is planted in the demo company's mails: favourite times and texts, and a group that chance keeps from each."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from examples.demo import company
from examples.demo.generate import generate_demo
from ml.preferences import PreferenceRules, Preferences, prefer_by_answers

PERSONAS = list(company.PERSONAS)


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """A row per mail: human, persona (number), local hour, weekday, variant, group, opened and clicked by a human."""
    folder: Path = tmp_path_factory.mktemp("mails") / "havelgrid"
    generate_demo(folder, people=5_000, last_week=date(2026, 11, 9), file_format="parquet", events_per_person=1.0)
    people = pl.read_parquet(folder / "truth" / "people.parquet").filter(pl.col("persona_changes").is_null())
    humans = people.select("human_id", "persona_at_start", recipient="contact_ids").explode("recipient")
    log = pl.read_parquet(folder / "extracts" / "email" / "*.parquet").filter(pl.col("by_machine") == 0)
    by_mail = log.group_by("recipient", "mailing").agg(
        sent_at=pl.col("activity_at").filter(pl.col("activity") == "sent").min(),
        withheld=(pl.col("activity") == "withheld").any(),
        opened=(pl.col("activity") == "opened").any(),
        clicked=(pl.col("activity") == "clicked").any(),
        variant=pl.col("variant").first(),
        group=pl.col("test_group").first(),
        angle=pl.col("angle").first(),
    )
    local = pl.col("sent_at").dt.convert_time_zone("Europe/Berlin")
    return (
        by_mail.join(humans, on="recipient")
        .with_columns(
            persona=pl.col("persona_at_start").replace_strict(PERSONAS, range(5), return_dtype=pl.Int64),
            kind=pl.when(local.dt.weekday() < 5).then(0).when(local.dt.weekday() == 5).then(1).otherwise(2),
            hour=local.dt.hour(),
        )
        .sort("human_id", "mailing")
    )


def learned(mails: pl.DataFrame, value: pl.Expr, answered: str) -> Preferences:
    sent = mails.filter(~pl.col("withheld")).with_columns(person=pl.col("human_id").rank("dense").cast(pl.UInt32) - 1)
    personas = sent.unique("person").sort("person")["persona"].to_numpy()
    rows = sent.select("person", value=value.cast(pl.String), answered=pl.col(answered))
    return prefer_by_answers(rows, personas, np.ones(len(personas), dtype=np.bool_), PreferenceRules())


def best(found: Preferences) -> dict[str, str]:
    rows = found.personas.filter(pl.col("persona") >= 0, pl.col("best_value").is_not_null())
    return {PERSONAS[persona]: value for persona, value in rows.select("persona", "best_value").iter_rows()}


def test_planted_times_are_found_from_answers(mails: pl.DataFrame) -> None:
    found = best(learned(mails, pl.format("{} {}", "kind", "hour"), "opened"))
    planted = {name: f"{kind} {hour}" for name, (kind, hour) in zip(PERSONAS, company.FAVOURITE_TIMES, strict=True)}
    right = [found[name] == planted[name] for name in PERSONAS[:4] if name in found]
    assert len(right) == 4 and sum(right) >= 3


def test_planted_texts_are_found_from_clicks(mails: pl.DataFrame) -> None:
    found = best(learned(mails, pl.col("variant"), "clicked"))
    planted = {
        name: "long_text" if factor > 1 else "short_text"
        for name, factor in zip(PERSONAS, company.LONG_TEXT_FACTOR, strict=True)
    }
    told = {name: found[name] for name in PERSONAS[:4] if name in found}
    assert len(told) >= 3 and told == {name: planted[name] for name in told}


def test_chance_keeps_some_from_every_mail(mails: pl.DataFrame) -> None:
    by_campaign = mails.group_by("mailing").agg(share=(pl.col("group") == "control").mean())
    assert by_campaign["share"].is_between(0.08, 0.22).all()
    assert (mails["withheld"] == (mails["group"] == "control")).all()
    control = mails.filter(group="control")
    assert control["sent_at"].is_null().all() and not control["opened"].any() and not control["clicked"].any()
    assert control["persona"].value_counts(normalize=True)["proportion"].min() > 0.05


def test_angles_go_out_alike_and_each_persona_clicks_its_favourite_more_often(mails: pl.DataFrame) -> None:
    sent = mails.filter(~pl.col("withheld"))
    shares = sent.group_by("persona").agg((pl.col("angle") == angle).mean().alias(angle) for angle in company.ANGLES)
    assert shares.drop("persona").to_numpy() == pytest.approx(1 / 7, abs=0.02)
    rates = sent.group_by("persona", "angle").agg(pl.col("clicked").mean()).sort("persona", "clicked")
    planted = {persona: angle for persona, angle in enumerate(company.FAVOURITE_ANGLES) if angle >= 0}
    best = dict(rates.group_by("persona", maintain_order=True).agg(pl.col("angle").last()).iter_rows())
    assert {persona: best[persona] for persona in planted} == {
        persona: company.ANGLES[angle] for persona, angle in planted.items()
    }
    for persona, angle in planted.items():
        own = rates.filter(persona=persona)
        favourite = own.filter(angle=company.ANGLES[angle])["clicked"][0]
        others = own.filter(pl.col("angle") != company.ANGLES[angle])["clicked"].mean()
        assert favourite / others == pytest.approx(2.2 / (4.8 / 6), rel=0.35)


def test_what_people_do_does_not_depend_on_the_angle_that_is_drawn_for_it(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("with", "without")]
    for folder in folders:
        with pytest.MonkeyPatch.context() as patched:
            if folder.name == "without":
                patched.setattr(company, "FAVOURITE_ANGLES", np.full(5, -1))
            generate_demo(
                folder, people=300, weeks=4, last_week=date(2026, 11, 9), file_format="parquet", events_per_person=1.0
            )
    rows, plain = (pl.read_parquet(folder / "extracts" / "email" / "*.parquet") for folder in folders)
    assert rows.drop("angle").equals(plain.drop("angle"))
    assert not rows["angle"].equals(plain["angle"])
