"""What Dagster shows of a delivery: one asset check per question that is asked of it.

What belongs here: turning what ingest found into checks and metadata, counts and names only. What is asked stands in
the contracts (`data_contracts/`) and in `ingest/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from orchestration.ingest.drift import Drift, Jump
from orchestration.ingest.ledger import REFUSED, Load
from orchestration.ingest.load import IngestResult
from orchestration.ingest.retention import RetentionCount
from orchestration.workspace import Workspace
from orchestration.workspace_settings import DriftSettings

if TYPE_CHECKING:
    from data_contracts.expectations import BatchReport

CONTRACT = "contract"
ACCOUNTED_FOR = "every_row_is_accounted_for"
REFERENCES = "references_are_found"
RETENTION = "rows_are_kept_no_longer_than_stated"
COLUMNS = "columns_are_as_before"
SIZE = "size_is_as_before"
MISSING_VALUES = "missing_values_are_as_before"
SHOWN = 50


def check_specs(workspace: Workspace, entity: str) -> Iterator[dg.AssetCheckSpec]:
    """The checks of one delivered entity, each with its rule in words; what blocks stops everything downstream."""
    drift = workspace.settings.drift
    words = {
        CONTRACT: "The delivery keeps its contract; rows that break a critical rule are in quarantine.",
        ACCOUNTED_FOR: "Rows read = loaded + in quarantine + exact duplicates + left out by the mapping's `where`; "
        "and the tables hold as many rows as the ledger tells of, also after rows came out of the quarantine.",
        REFERENCES: "New rows name rows of other entities that are there, up to the share the contract tolerates; a "
        "row may name one that comes later, so this warns.",
        RETENTION: f"No row is older than the {workspace.contracts[entity].retention_days} days its contract keeps it, "
        "at the end of the run's last week. Nothing is deleted by itself, so this warns.",
        COLUMNS: "A file has the columns of the delivery before it, and they hold the same kind of thing.",
        SIZE: f"A file is at most {drift.ratio:g} times longer or shorter than the median of the last "
        f"{drift.deliveries} of its mapping, or within {drift.deviations:g} robust standard deviations of it (1.4826 "
        f"times the median absolute deviation, of logarithms). Asked from {drift.fewest_deliveries} earlier "
        "deliveries on.",
        MISSING_VALUES: f"The share of missing values of a column is at most {drift.missing_share:.0%} of rows from "
        f"the median of the last {drift.deliveries} deliveries, or within {drift.deviations:g} robust standard "
        "deviations of it; and a column that had values is not empty. Asked from "
        f"{drift.fewest_deliveries} earlier deliveries on.",
    }
    for name, description in words.items():
        blocks = name in (CONTRACT, ACCOUNTED_FOR)
        yield dg.AssetCheckSpec(name, asset=["raw", entity], blocking=blocks, description=description)


class ContractReports:
    """What Great Expectations says of the samples of each entity, found while further files are loaded."""

    def __init__(self, workspace: Workspace) -> None:
        """Keep the contracts; one thread asks, and ends with the `with` block."""
        self._contracts = workspace.contracts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="contract reports")
        self._begun: dict[str, tuple[int, Future[BatchReport | None]]] = {}

    def __enter__(self) -> ContractReports:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ask nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def begin(self, entity: str, samples: Sequence[pl.DataFrame]) -> None:
        """Hold samples to their contract; returns at once."""
        asked = self._thread.submit(self._report, entity, list(samples))
        self._begun[entity] = len(samples), asked

    def of(self, entity: str, samples: Sequence[pl.DataFrame]) -> BatchReport | None:
        """The report on samples, asked for once more where it was begun with fewer; None where there are no rows."""
        if entity not in self._begun or self._begun[entity][0] != len(samples):
            self.begin(entity, samples)
        return self._begun[entity][1].result()

    def _report(self, entity: str, samples: Sequence[pl.DataFrame]) -> BatchReport | None:
        rows = [sample for sample in samples if sample.height]
        if not rows:
            return None
        from data_contracts.expectations import validate_batch

        return validate_batch(self._contracts[entity], pl.concat(rows, how="diagonal_relaxed").to_pandas())


def check_results(
    workspace: Workspace,
    entity: str,
    result: IngestResult,
    unaccounted: list[str],
    past_retention: RetentionCount,
    reports: ContractReports,
) -> Iterator[dg.AssetCheckResult]:
    """The checks of one entity.

    Args:
        workspace: its contracts and limits.
        entity: the entity.
        result: what this run's ingest did.
        unaccounted: what does not add up in the ledger, in sentences.
        past_retention: rows that are kept longer than stated.
        reports: those of this run's samples, as far as they were begun.
    """
    yield _contract_result(workspace, entity, result, reports.of(entity, result.samples.get(entity, [])))
    yield _result(entity, ACCOUNTED_FOR, unaccounted, {}, severity=dg.AssetCheckSeverity.ERROR)
    yield _references_result(entity, result)
    yield _retention_result(past_retention)
    yield from drift_results(entity, result, workspace.settings.drift)


def drift_metadata(drift: Iterable[Drift]) -> dg.MetadataValue:
    """The files whose columns differ from the delivery before them, and how."""
    return dg.MetadataValue.json(
        [
            {
                "file": each.file,
                "compared with": each.compared_with,
                "new": list(each.new),
                "missing": list(each.missing),
                "retyped": [asdict(column) for column in each.retyped],
            }
            for each in drift
            if each.has_other_columns
        ][-SHOWN:]
    )


def _contract_result(
    workspace: Workspace, entity: str, result: IngestResult, report: BatchReport | None
) -> dg.AssetCheckResult:
    loads = result.of(entity)
    failed = [expectation for expectation in report.results if not expectation.is_met] if report else []
    loosened = workspace.contracts.loosened_in(entity)
    metadata: dict[str, dg.MetadataValue] = {
        "sampled rows": dg.MetadataValue.int(report.rows if report else 0),
        "expectations": dg.MetadataValue.int(len(report.results) if report else 0),
        "expectations not met": dg.MetadataValue.json(
            [
                {
                    "rule": each.rule,
                    "column": each.column,
                    "severity": each.severity,
                    "unexpected %": round(each.unexpected_percent, 4),
                }
                for each in failed
            ]
        ),
        "rules that rows in quarantine broke": dg.MetadataValue.json(_summed(load.broken_rules for load in loads)),
        "warnings": dg.MetadataValue.json(_summed(load.warnings for load in loads)),
    }
    if loosened:
        metadata["loosened by the workspace"] = dg.MetadataValue.json(loosened)
    refused = [load for load in loads if load.status == REFUSED]
    if refused:
        files = "; ".join(_refusal(load) for load in refused[:5])
        words = [f"Refused whole, too many rows break the contract (`personae quarantine` tells all): {files}"]
        return _result(entity, CONTRACT, words, metadata, severity=dg.AssetCheckSeverity.ERROR)
    in_quarantine = sum(load.rows_quarantined + load.rows_unreadable for load in loads)
    words = [f"{in_quarantine:,} rows are in quarantine"] if in_quarantine else []
    words += [f"{len(failed)} expectations are not met"] if failed else []
    return _result(entity, CONTRACT, words, metadata)


def _refusal(load: Load) -> str:
    """A refused file, and the rule that most of its rows broke."""
    most = max(load.broken_rules.items(), key=lambda rule: (rule[1], rule[0]), default=None)
    return f"{load.file} ({most[0]}: {most[1]:,} rows)" if most else load.file


def _references_result(entity: str, result: IngestResult) -> dg.AssetCheckResult:
    counts = [count for count in result.references if count.entity == entity]
    words = [
        f"{count.reference.name} in {count.percent_unfound:.1f} % of the new rows ({count.rows_unfound:,} rows, "
        f"{count.values_unfound:,} different values; {count.reference.tolerated_percent:g} % is tolerated)"
        for count in counts
        if not count.is_kept
    ]
    shown = [
        {
            "column": count.reference.column,
            "names rows of": count.reference.entity,
            "rows": count.rows,
            "not found": count.rows_unfound,
            "different values not found": count.values_unfound,
            "tolerated %": count.reference.tolerated_percent,
        }
        for count in counts
    ]
    return _result(entity, REFERENCES, words, {"references": dg.MetadataValue.json(shown)})


def _retention_result(count: RetentionCount) -> dg.AssetCheckResult:
    words = [f"{count.rows:,} rows are of before {count.kept_from}, and kept for {count.retention_days} days"]
    metadata: dict[str, dg.MetadataValue] = {
        "rows": dg.MetadataValue.int(count.rows),
        "retention days": dg.MetadataValue.int(count.retention_days),
        "kept from": dg.MetadataValue.text(str(count.kept_from)),
    }
    return _result(count.entity, RETENTION, words if count.rows else [], metadata)


def drift_results(entity: str, result: IngestResult, settings: DriftSettings) -> Iterator[dg.AssetCheckResult]:
    """How this run's files of one entity differ from those before them.

    Args:
        entity: the entity.
        result: what this run's ingest did.
        settings: the limits, which stand in the checks' metadata too.
    """
    drift = [each for each in result.drift if each.entity == entity]
    other_columns = [f"{each.file}: {_columns_in_words(each)}" for each in drift if each.has_other_columns]
    yield _result(entity, COLUMNS, other_columns, {"differences": drift_metadata(drift)})
    limits = {name: dg.MetadataValue.float(float(value)) for name, value in settings.model_dump().items()}
    sizes = {each.file: [each.size] for each in drift if each.size}
    shares = {each.file: list(each.missing_values) for each in drift if each.missing_values}
    yield _result(entity, SIZE, _jumps_in_words(sizes, _rows_in_words), limits | {"jumps": _jumps(sizes)})
    yield _result(entity, MISSING_VALUES, _jumps_in_words(shares, _share_in_words), limits | {"jumps": _jumps(shares)})


def _columns_in_words(drift: Drift) -> str:
    parts = [f"{word} {', '.join(names)}" for word, names in (("new", drift.new), ("missing", drift.missing)) if names]
    parts += [f"{column.column} holds {column.now}, before {column.before}" for column in drift.retyped]
    return "; ".join(parts)


def _jumps_in_words(jumps: Mapping[str, list[Jump]], in_words: Callable[[Jump], str]) -> list[str]:
    return [f"{file}: {', '.join(map(in_words, found))}" for file, found in jumps.items()]


def _rows_in_words(jump: Jump) -> str:
    return f"{jump.now:,.0f} rows, usually {jump.usual:,.0f}"


def _share_in_words(jump: Jump) -> str:
    return f"{jump.what} is missing in {jump.now:.1%} of the rows, usually {jump.usual:.1%}"


def _jumps(jumps: Mapping[str, list[Jump]]) -> dg.MetadataValue:
    found = [{"file": file, **asdict(jump)} for file, each in jumps.items() for jump in each]
    return dg.MetadataValue.json(found[-SHOWN:])


def _result(
    entity: str,
    name: str,
    complaints: list[str],
    metadata: dict[str, dg.MetadataValue],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
) -> dg.AssetCheckResult:
    """A check that passes where there is nothing to complain of."""
    more = f"; and {len(complaints) - 5} more" if len(complaints) > 5 else ""
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=["raw", entity],
        passed=not complaints,
        severity=severity,
        description=("; ".join(complaints[:5]) + more + ".") if complaints else None,
        metadata=metadata,
    )


def _summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Rows per rule over all files, most first."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0]))[:SHOWN])


def load_metadata(loads: list[Load]) -> dict[str, dg.MetadataValue]:
    """What this run's files brought to one raw table."""
    return {
        "files": dg.MetadataValue.int(len(loads)),
        "rows read": dg.MetadataValue.int(sum(load.rows_read for load in loads)),
        "rows loaded": dg.MetadataValue.int(sum(load.rows_loaded for load in loads)),
        "rows in quarantine": dg.MetadataValue.int(sum(load.rows_quarantined + load.rows_unreadable for load in loads)),
        "rows of erased people, dropped": dg.MetadataValue.int(sum(load.rows_erased for load in loads)),
        "exact duplicates": dg.MetadataValue.int(sum(load.rows_duplicate for load in loads)),
        "files and their figures": dg.MetadataValue.json(
            [{"file": load.file, "status": load.status, "columns": load.profile} for load in loads[-30:]]
        ),
    }
