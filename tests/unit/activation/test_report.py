import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import polars as pl
import pytest
from sample_company import AS_OF, PERSONAS
from sample_report import empty_report, sample_report, two_personas

from activation.report.identity import PALETTE, recognize_personas
from activation.report.movement import tell_movement
from activation.report.report import render_report
from activation.report.report_data import REPORT_FRAMES

_VOID = {"meta", "link", "wbr", "br"}


class Page(HTMLParser):
    """A rendered page as its text, its attributes and what is wrong with its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.words, self.attributes, self.problems, self.tags = html, [], [], [], []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.problems += [f"never closed: {tag}" for tag in self._open]
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"closed out of order: {tag}")

    def handle_data(self, data):
        if "style" not in self._open:
            self.words.append(data)

    def values_of(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


def page(**changed) -> Page:
    return Page(render_report(sample_report(**changed)))


def section(html: str, name: str) -> str:
    return Page(html.split(f'<section id="{name}"')[1].split("</section>")[0]).text


@pytest.fixture(scope="module")
def sample() -> Page:
    return page()


def test_the_page_tells_the_week_in_words(sample):
    assert "Brückner & Söhne Analytics" in sample.text
    assert "Monday 9 to Sunday 15 November 2026" in sample.text
    assert "data up to the end of 15 November 2026 (Europe/Berlin)" in sample.text
    assert "12,125 people" in sample.text


def test_the_summary_is_made_of_figures_of_the_report(sample):
    assert "knew 12,125 people, 91 more (+0.8%) than a week before, in 5 personas." in sample.text
    assert "The biggest is “Quiet long-standing accounts” with 35% of all people." in sample.text
    assert (
        "Most revenue came from “Automation builders”: 34% of the last 91 days’ revenue from 12% of people."
        in sample.text
    )
    assert "“Newcomers who take courses” changed most for its size since last week: 38 more (+4.2%)." in sample.text
    assert "500 people changed persona (4.2% of those known the week before), 173 joined and 82 left." in sample.text
    assert "No check of the data failed; 1 check of 54 gave a warning." in sample.text


def test_every_section_is_there_and_names_its_tables(sample):
    for title in ["Who they are", "How they moved", "How big over time", "What is likely next", "Can I trust it?"]:
        assert title in sample.text
    for table in ["segment_kpis", "segment_profiles", "segment_migrations", "person_propensities", "ingested_files"]:
        assert table in sample.text
    assert "m-3f9a1c77" in sample.text


def test_the_page_asks_for_nothing_from_outside(sample):
    assert not {"script", "img", "iframe", "object", "video", "base", "form"} & set(sample.tags)
    assert all(link.startswith(("#", "data:")) for link in sample.values_of("href"))
    assert not sample.values_of("src")
    assert "http" not in sample.html.replace("http-equiv", "")
    assert "url(" not in sample.html and "@import" not in sample.html
    assert "default-src 'none'" in sample.html


def test_tags_are_closed_ids_are_unique_and_labels_lead_somewhere(sample):
    assert sample.problems == []
    ids = sample.values_of("id")
    assert len(ids) == len(set(ids))
    assert set(sample.values_of("aria-labelledby")) <= set(ids)
    assert {link[1:] for link in sample.values_of("href") if link.startswith("#")} <= set(ids)


def test_every_picture_has_words_and_every_table_a_caption(sample):
    assert sample.tags.count("table") == sample.tags.count("caption") > 5
    pictures = re.findall(r'<div[^>]* role="img"[^>]*>', sample.html)
    # Five charts of the target that has a model, two of adoption.
    assert len(pictures) == len(PERSONAS) + 2 + 5 + 2
    assert all("aria-label=" in picture for picture in pictures)
    assert all('aria-hidden="true"' in svg for svg in re.findall(r"<svg[^>]*>", sample.html))


def test_what_comes_from_data_is_never_markup_or_template():
    hostile = """"><script>alert(1)</script>{{ 7 * 7 }}'"""
    data = sample_report(company=hostile, k_choice=hostile, model_id=hostile)
    for name, columns in REPORT_FRAMES.items():
        texts = [
            column for column, kind in columns.items()
            if kind == pl.String and column not in ("segment_id", "target", "from_segment_id", "to_segment_id", "kind")
        ]  # fmt: skip
        poisoned = getattr(data, name).with_columns(pl.lit(hostile).alias(column) for column in texts)
        data = replace(data, **{name: poisoned})
    attacked = Page(render_report(data))

    assert "script" not in attacked.tags
    assert attacked.problems == []
    assert "{{ 7 * 7 }}" in attacked.text


def test_the_same_data_in_another_order_give_the_same_page(sample):
    data = sample_report()
    shuffled = {name: getattr(data, name).sample(fraction=1, shuffle=True, seed=3) for name in REPORT_FRAMES}
    assert render_report(replace(data, **shuffled)) == sample.html


def test_a_week_of_which_nothing_is_known_says_so_in_every_section():
    nothing = Page(render_report(empty_report()))

    assert nothing.problems == []
    for sentence in [
        "No personas were published",
        "There is no earlier week to compare with",
        "Fewer than two weeks are known so far",
        "Nothing is predicted",
        "No other number of personas was tried this week.",
        "No contract results were delivered",
        "No deliveries were recorded",
        "No characteristics were published",
    ]:
        assert sentence in nothing.text


@pytest.mark.parametrize("frame", REPORT_FRAMES)
def test_each_frame_may_be_empty_on_its_own(frame):
    assert Page(render_report(replace(two_personas(), **{frame: pl.DataFrame()}))).problems == []


def test_any_nullable_figure_may_be_null():
    data = two_personas()
    for name, columns in REPORT_FRAMES.items():
        kept = ("as_of", "segment_id", "people", "target", "k", "entity", "band", "is_chosen")
        nulls = [pl.lit(None, dtype=kind).alias(column) for column, kind in columns.items() if column not in kept]
        assert Page(render_report(replace(data, **{name: getattr(data, name).with_columns(nulls)}))).problems == []


def test_a_persona_of_few_people_is_neither_counted_nor_described():
    data = sample_report()
    few = {frame: shrink(getattr(data, frame), 7) for frame in ("kpis", "history")}
    told = section(render_report(replace(data, **few)), "who")

    card = told.split("Newcomers who take courses")[1]
    assert "This persona has fewer than 10 people this week." in card
    assert "Revenue" not in card and "MORE THAN AVERAGE" not in card.upper() and "Mean probability" not in card


def shrink(frame: pl.DataFrame, people: int) -> pl.DataFrame:
    return frame.with_columns(
        people=pl.when(pl.col("segment_id") == "persona-06").then(people).otherwise("people"),
        previous_people=pl.when(pl.col("segment_id") == "persona-06").then(people).otherwise("previous_people"),
    )


def test_small_moves_and_small_bands_are_not_counted_out():
    migrations = sample_report().migrations.with_columns(
        people=pl.when(pl.col("to_segment_id").is_null()).then(3).otherwise("people")
    )
    data = sample_report(migrations=migrations)
    view = tell_movement(data, recognize_personas(data))
    assert {cells[-1].people for _, cells in view.table} == {"fewer than 10", ""}
    assert {stream.words for stream in view.streams if "left" in stream.words} == set()

    propensity = sample_report().propensity.with_columns(people=pl.Series([7430, 3170, 4]))
    likely = section(render_report(sample_report(propensity=propensity)), "next")
    assert "High fewer than 10" in likely
    assert "3.2 times" not in likely


def test_the_least_group_size_is_the_companys_choice():
    assert "fewer than 60" in page(minimum_cell=60).text
    every_move = section(render_report(sample_report(minimum_cell=1)), "moved").split("Moves of fewer")[0]
    assert "fewer than" not in every_move


def test_weeks_after_the_told_one_stay_out():
    later = sample_report().history.with_columns(
        pl.lit(AS_OF + timedelta(days=7)).alias("as_of"), pl.lit(987_654).cast(pl.Int64).alias("people")
    )
    data = sample_report()
    assert render_report(replace(data, history=pl.concat([data.history, later]))) == render_report(data)


def test_a_single_week_has_no_picture_of_time_and_no_trend():
    data = sample_report()
    first = render_report(replace(data, history=data.kpis.with_columns(previous_people=pl.lit(None)),
                                  kpis=data.kpis.with_columns(previous_people=pl.lit(None))))  # fmt: skip

    assert "Fewer than two weeks are known so far" in first
    assert "no earlier week to compare with" in section(first, "who")
    assert "first week to look at" in first


def test_a_persona_born_this_week_is_called_new():
    data = sample_report()
    is_newcomer = pl.col("segment_id") == "persona-06"
    history = data.history.filter(~(is_newcomer & (pl.col("as_of") < AS_OF)))
    kpis = data.kpis.with_columns(previous_people=pl.when(is_newcomer).then(None).otherwise("previous_people"))
    assert "new this week" in section(render_report(replace(data, history=history, kpis=kpis)), "who")


def test_a_persona_keeps_its_number_and_colour_when_others_come_and_go():
    data = sample_report()
    everybody = recognize_personas(data)
    remaining = {name: getattr(data, name).filter(pl.col("segment_id") != "persona-01") for name in ("kpis", "history")}
    fewer = recognize_personas(replace(data, **remaining, migrations=pl.DataFrame()))

    assert fewer == {persona_id: one for persona_id, one in everybody.items() if persona_id != "persona-01"}
    assert [one.mark for one in everybody.values()] == ["1", "2", "3", "4", "6"]
    assert len({one.colour for one in everybody.values()}) == 5


def test_personas_without_a_number_in_their_id_are_told_apart_as_well():
    data = sample_report()
    named = {name: getattr(data, name).with_columns(pl.col("segment_id").str.replace("persona-", "rule-").str.replace(
        r"\d+$", "x") + pl.col("segment_name").str.slice(0, 3)) for name in ("kpis", "history")}  # fmt: skip
    personas = recognize_personas(replace(data, **named, migrations=pl.DataFrame()))

    assert sorted(one.mark for one in personas.values()) == ["1", "2", "3", "4", "5"]
    assert len({one.colour for one in personas.values()}) == 5


@pytest.mark.parametrize("colour", PALETTE)
def test_white_letters_can_be_read_on_every_colour(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_a_model_that_abstained_says_why_and_publishes_no_number(sample):
    likely = section(sample.html, "next")
    assert "No probabilities were published. The model abstained: only 31 people did it" in likely


def test_how_good_a_model_is_is_told_in_plain_words(sample):
    assert "in 78 of 100 such pairs (between 76 and 81, with 95% confidence). Guessing gets 50." in sample.text
    assert "What it states was off by 0.9 in 100 on average" in sample.text
    assert "Its squared error is 9.6% smaller than that of giving everybody the average." in sample.text


def test_failed_checks_are_named_first_and_in_words():
    checks = sample_report().checks.with_columns(failed=pl.Series([0, 2, 0, 1, 0]))
    told = page(checks=checks).text
    assert "3 of 57 checks of the data failed, in events and orders." in told
    assert "✗ broken" in told


def test_times_are_told_in_the_companys_time_zone_whatever_zone_they_came_in(sample):
    assert "15 Nov 2026, 23:58" in sample.text
    zoned = sample_report().deliveries.with_columns(
        latest_row_at=pl.lit(datetime(2026, 11, 15, 22, 58, tzinfo=UTC)).dt.convert_time_zone("America/New_York")
    )
    assert render_report(sample_report(deliveries=zoned)) == sample.html


def test_counts_may_come_as_the_warehouse_sums_them():
    data = sample_report()
    huge = data.migrations.with_columns(pl.col("people").cast(pl.Decimal(38, 0)))
    assert render_report(replace(data, migrations=huge)) == render_report(data)


@pytest.mark.parametrize("frame", REPORT_FRAMES)
def test_a_frame_without_one_of_its_columns_is_refused_by_name(frame):
    column = list(REPORT_FRAMES[frame])[-1]
    with pytest.raises(ValueError, match=f"{frame} lacks the columns {column}"):
        sample_report(**{frame: getattr(sample_report(), frame).drop(column)})


def test_a_column_of_the_wrong_type_is_refused_without_its_values():
    words = sample_report().kpis.with_columns(people=pl.lit("somebody@example.com"))
    with pytest.raises(ValueError, match="kpis holds a column of the wrong type") as problem:
        sample_report(kpis=words)
    assert "example.com" not in str(problem.value)


@pytest.mark.parametrize("changed", [{"timezone": "Mars/Olympus"}, {"timezone": "../etc"}, {"week_start": AS_OF}])
def test_a_week_that_cannot_be_is_refused(changed):
    with pytest.raises(ValueError):
        sample_report(**changed)


def test_audiences_are_told_with_what_was_held_back_and_why() -> None:
    told = section(render_report(sample_report()), "trust")

    assert "winback: size_jump: 1,600 people may be contacted; last time there were 100." in told
    assert "news, to mail: 1,600 people." in told
    assert f"rare, to mail: fewer than 10 people, unchanged since the week ending {AS_OF - timedelta(days=7)}." in told
    assert "Who goes out" not in section(render_report(sample_report(audiences=pl.DataFrame())), "trust")


def test_people_left_out_are_counted_by_reason_and_few_are_not_counted_out() -> None:
    told = section(render_report(sample_report()), "trust")
    assert "1,204: no consent to profiling is recorded." in told
    assert "Fewer than 10: they objected to direct marketing or profiling (GDPR art. 21)." in told
    assert "Nobody: each known person consented" in section(
        render_report(sample_report(left_out=pl.DataFrame())), "trust"
    )
