"""Can I trust it: why this many personas, what data came in, which rules it broke, what the groups are made from.

Here belongs the reading of evidence in words. The evidence is gathered elsewhere.
"""

from dataclasses import dataclass

import polars as pl
from markupsafe import Markup

from activation.report.report_data import ReportData
from activation.report.words import capitalized, count, counted, listed, moment_words, percent

LEFT_OUT_WORDS = {
    "no_consent_recorded": "no consent to profiling is recorded",
    "no_basis_in_market": "no consent is recorded, and no legal basis is stated for where they are",
    "withdrawn": "they withdrew their consent to profiling",
    "objected": "they objected to direct marketing or profiling (GDPR art. 21)",
}
"""Why a known person is left out, by the warehouse's reason."""


@dataclass(frozen=True)
class Drawing:
    """A picture of the evidence; its markup is our own."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Candidate:
    """One number of personas that was tried."""

    k: int
    silhouette: str
    silhouette_width: float
    stability: str
    stability_width: float
    is_chosen: bool


@dataclass(frozen=True)
class Delivery:
    """What came in of one entity."""

    entity: str
    files: str
    rows_read: str
    rows_loaded: str
    rows_quarantined: str
    rows_duplicate: str
    latest: str


@dataclass(frozen=True)
class Check:
    """How one entity's contract was kept; `state` is kept, warned or broken."""

    entity: str
    passed: str
    warnings: str
    failed: str
    state: str


@dataclass(frozen=True)
class EvidenceView:
    """Everything the section shows."""

    candidates: list[Candidate]
    k_sentences: list[str]
    deliveries: list[Delivery]
    delivery_summary: str
    checks: list[Check]
    check_summary: str
    families: list[tuple[str, list[str]]]
    feature_count: int
    solution_words: str
    k_notes: list[str]
    pictures: list[Drawing]
    left_out: list[tuple[str, str]]
    audiences: list[str]
    held_back: list[str]


def tell_evidence(data: ReportData) -> EvidenceView:
    """Tell what speaks for the personas and the data they are made from."""
    families = _families(data)
    return EvidenceView(
        candidates=[_tell_candidate(row) for row in data.k_evidence.sort("k").iter_rows(named=True)],
        k_sentences=_tell_choice(data),
        deliveries=_tell_deliveries(data),
        delivery_summary=summarize_deliveries(data),
        checks=_tell_checks(data),
        check_summary=summarize_checks(data),
        families=families,
        feature_count=sum(len(labels) for _, labels in families),
        solution_words=data.solution_words,
        k_notes=list(data.k_notes),
        pictures=[Drawing(one.title, one.caption, Markup(one.svg)) for one in data.pictures],  # noqa: S704
        left_out=_tell_left_out(data),
        audiences=_tell_audiences(data),
        held_back=_tell_held_back(data),
    )


def silhouette_words(silhouette: float) -> str:
    """Say what a mean silhouette means, by the bounds of Kaufman and Rousseeuw (1990), Finding Groups in Data."""
    told = f"A silhouette of {silhouette:.2f} says"
    if silhouette > 0.7:
        return f"{told} that the personas are clearly separate groups."
    if silhouette > 0.5:
        return f"{told} that the personas are reasonably separate groups."
    if silhouette > 0.25:
        return f"{told} that the personas are groups with soft borders: some people could stand in either of two."
    return f"{told} that people blend into each other: read the personas as directions rather than as boxes."


def stability_words(stability: float) -> str:
    """Say what a stability under resampling means, by the bounds of Hennig (2007), on the Jaccard coefficient."""
    told = f"With other people drawn from the same company, the groups came out alike to {percent(stability)}"
    if stability >= 0.85:
        return f"{told}: the same personas would be found again."
    if stability >= 0.6:
        return f"{told}: mostly the same personas would be found again."
    return f"{told}: other personas could have been found as well."


def summarize_deliveries(data: ReportData) -> str:
    """Say in one sentence how many rows came in and how many were set aside."""
    if data.deliveries.is_empty():
        return ""
    read, aside = (int(data.deliveries[column].fill_null(0).sum()) for column in ("rows_read", "rows_quarantined"))
    if read == 0:
        return "No rows came in for this week."
    refused = "none of them was set aside" if aside == 0 else f"{count(aside)} ({percent(aside / read)}) were set aside"
    return f"{counted(read, 'row', 'rows')} came in for this week; {refused}."


def summarize_checks(data: ReportData) -> str:
    """Say in one sentence how the contracts were kept."""
    if data.checks.is_empty():
        return ""
    passed, failed, warnings = (
        int(data.checks[column].fill_null(0).sum()) for column in ("passed", "failed", "warnings")
    )
    broken = data.checks.filter(pl.col("failed") > 0)["entity"].sort().to_list()
    total = passed + failed + warnings
    if failed:
        where = listed([_entity_words(entity) for entity in broken])
        return f"{failed:,} of {counted(total, 'check', 'checks')} of the data failed, in {where}."
    if warnings:
        return f"No check of the data failed; {counted(warnings, 'check', 'checks')} of {total:,} gave a warning."
    return f"The data passed {'its one check' if total == 1 else f'all {total:,} checks'}."


def _tell_candidate(row: dict) -> Candidate:
    silhouette, stability = row["silhouette"], row["stability"]
    return Candidate(
        k=row["k"],
        silhouette="–" if silhouette is None else f"{silhouette:.2f}",
        silhouette_width=round(100 * min(max(silhouette or 0.0, 0.0), 1.0), 2),
        stability="–" if stability is None else f"{stability:.2f}",
        stability_width=round(100 * min(max(stability or 0.0, 0.0), 1.0), 2),
        is_chosen=bool(row["is_chosen"]),
    )


def _tell_choice(data: ReportData) -> list[str]:
    sentences = [data.k_choice] if data.k_choice else []
    chosen = next(data.k_evidence.filter(pl.col("is_chosen")).iter_rows(named=True), None)
    if chosen and chosen["silhouette"] is not None:
        sentences.append(silhouette_words(chosen["silhouette"]))
    if chosen and chosen["stability"] is not None:
        sentences.append(stability_words(chosen["stability"]))
    return sentences


def _tell_deliveries(data: ReportData) -> list[Delivery]:
    return [
        Delivery(
            entity=_entity_words(row["entity"]),
            files=count(row["files"]),
            rows_read=count(row["rows_read"]),
            rows_loaded=count(row["rows_loaded"]),
            rows_quarantined=count(row["rows_quarantined"]),
            rows_duplicate=count(row["rows_duplicate"]),
            latest=moment_words(row["latest_row_at"], data.timezone),
        )
        for row in data.deliveries.sort("entity").iter_rows(named=True)
    ]


def _tell_checks(data: ReportData) -> list[Check]:
    return [
        Check(
            entity=_entity_words(row["entity"]),
            passed=count(row["passed"]),
            warnings=count(row["warnings"]),
            failed=count(row["failed"]),
            state="broken" if row["failed"] else "warned" if row["warnings"] else "kept",
        )
        for row in data.checks.sort("entity").iter_rows(named=True)
    ]


def _tell_audiences(data: ReportData) -> list[str]:
    """How many people each audience holds; one that is too small is told as such."""
    told = []
    for row in data.audiences.iter_rows(named=True):
        people = row["people"]
        small = 0 < people < data.minimum_cell
        count = f"fewer than {data.minimum_cell} people" if small else f"{people:,} people"
        since = f", unchanged since the week ending {row['values_as_of']}" if row["state"] == "not_due" else ""
        told.append(f"{row['audience']}, to {row['destination']}: {count}{since}")
    return told


def _tell_held_back(data: ReportData) -> list[str]:
    """Why audiences were not published; what was published before stands."""
    blocked = data.audiences.filter(pl.col("state") == "blocked") if data.audiences.height else data.audiences
    return [f"{row['audience']}: {row['state_reason']}" for row in blocked.iter_rows(named=True)]


def _tell_left_out(data: ReportData) -> list[tuple[str, str]]:
    """Why known people are in nothing the report tells, and how many they are."""
    return [
        (LEFT_OUT_WORDS.get(reason, "another reason"), count(people) if people else f"fewer than {data.minimum_cell}")
        for reason, people in data.left_out.select("reason", "people").sort("reason").iter_rows()
    ]


def _families(data: ReportData) -> list[tuple[str, list[str]]]:
    named = data.profiles.select(
        pl.col("family").fill_null("other"), label=pl.coalesce("label", "characteristic")
    ).unique()
    grouped = named.sort("family", "label").group_by("family", maintain_order=True).agg("label")
    return [(capitalized(family.replace("_", " ")), labels) for family, labels in grouped.iter_rows()]


def _entity_words(entity: str) -> str:
    return entity.replace("_", " ")
