"""Loads extracts into `raw`: each file whole or not at all, once, and again when it was corrected.

What belongs here: which files are loaded, in which order, and what is asked of them together. What happens to the rows
of one file stands in `loader.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import polars as pl

from orchestration.ingest.drift import Drift, find_drift
from orchestration.ingest.extracts import find_extracts
from orchestration.ingest.ledger import CORRECTED, KNOWN_CONTENT, LOAD_AGAIN, LOADED, Ledger, Load
from orchestration.ingest.loader import Loader, Refused
from orchestration.ingest.reading import Extract
from orchestration.ingest.references import ReferenceCount, count_references
from orchestration.ingest.tables import add_columns, make_raw_tables
from orchestration.mapping import ENTITIES_WITH_ATTRIBUTES, MappedEntity
from orchestration.upgrades import number_people
from orchestration.warehouse import transaction
from orchestration.workspace import Workspace

SAMPLE_ROWS_PER_ENTITY = 20_000


@dataclass
class IngestResult:
    """What one ingest did, and bounded samples of the new rows for the contract's report.

    `references` and `drift` tell of the new rows: what they name that is not there, and how files differ from those of
    the same mapping before them.
    """

    loads: list[Load] = field(default_factory=list)
    samples: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    references: list[ReferenceCount] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)

    def take_sample(self, loader: Loader) -> None:
        """Keep some of the staged rows for the contract's report, as long as there is room."""
        samples = self.samples.setdefault(loader.entity.entity, [])
        room = SAMPLE_ROWS_PER_ENTITY - sum(sample.height for sample in samples)
        if room > 0:
            samples.append(loader.sample(min(room, SAMPLE_ROWS_PER_ENTITY // 5)))

    def of(self, entity: str) -> list[Load]:
        """The loads of one entity."""
        return [load for load in self.loads if load.entity == entity]


def ingest(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    progress: Callable[[str], None] = lambda _: None,
    is_sampled: Callable[[str, Sequence[pl.DataFrame]], None] = lambda _, __: None,
) -> IngestResult:
    """Load every new or corrected file of every mapping.

    A refused file is not remembered: it is read and refused again until it, the mapping or the threshold is mended.

    Args:
        connection: an open, writable connection whose time zone is UTC.
        workspace: its mappings and its data folder.
        progress: told about each file in a sentence without personal data.
        is_sampled: told the samples of an entity once its last file was looked at. Files that are loaded once more
            after all others may add to them.

    Raises:
        UnreadableExtract: a file that cannot be read; files before it stay loaded.
    """
    ledger, result = Ledger(connection), IngestResult()
    with transaction(connection):
        number_people(connection)
        make_raw_tables(connection, contracts=workspace.contracts)
        ledger.forget_refusals()
    first_sequence = ledger.next_sequence()
    deliveries = [
        (extract, entity)
        for mapping in workspace.mappings
        for extract in sorted(
            find_extracts(workspace, mapping), key=lambda each: (each.delivered_at or datetime.min, each.name)
        )
        for entity in mapping.entities
    ]

    last_of = {entity.entity: extract for extract, entity in deliveries}

    def load_all(chosen: Iterable[tuple[Extract, MappedEntity]]) -> None:
        for extract, entity in chosen:
            load = _load_if_new(connection, workspace, extract, entity, result)
            if load is not None:
                result.loads.append(load)
                progress(f"{load.file} → {load.entity}: {load.rows_loaded:,} of {load.rows_read:,} rows, {load.status}")
            if last_of[entity.entity] is extract:
                is_sampled(entity.entity, result.samples.get(entity.entity, []))

    load_all(deliveries)
    waiting = ledger.to_be_loaded_again()
    load_all((x, entity) for x, entity in deliveries if (x.name, x.mapping.name, entity.entity) in waiting)
    for entity in ENTITIES_WITH_ATTRIBUTES:  # the models read them also where no file has brought a value yet
        declared = [attribute for attribute in workspace.attributes(entity) if attribute.role != "ignore"]
        types = {attribute.column: "VARCHAR" if attribute.type == "text" else "DOUBLE" for attribute in declared}
        add_columns(connection, entity, types)
    result.references = count_references(connection, workspace, {each.entity for each in result.loads}, first_sequence)
    result.drift = find_drift(connection, result.loads, workspace.settings.drift)
    return result


def _load_if_new(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    extract: Extract,
    entity: MappedEntity,
    result: IngestResult,
) -> Load | None:
    """Load one file for one entity, unless the ledger says that nothing changed."""
    ledger = Ledger(connection)
    known = ledger.entry(extract, entity.entity)
    seen = extract.size_and_time
    if known and known.status != LOAD_AGAIN and known.mapping_hash == extract.mapping.content_hash:
        if known.seen == seen:
            return None
        if known.content_hash == extract.content_hash:
            ledger.seen(extract, entity.entity, seen)
            return None
    load_id = f"{extract.content_hash[:12]}-{extract.mapping.content_hash[:8]}"
    loader = Loader(connection, workspace, extract, entity, load_id, ledger.next_sequence())
    is_known_content = ledger.has_content(extract, entity.entity)
    if not is_known_content:
        loader.stage()
        result.take_sample(loader)
    try:
        with transaction(connection):
            if known:
                loader.retire(known)
            if is_known_content:
                load = Load(extract.name, extract.mapping.name, entity.entity, KNOWN_CONTENT)
            else:
                load = loader.load(CORRECTED if known else LOADED)
            if extract.size_and_time != seen:
                raise extract.unreadable("the file changed while it was read; the next run reads it again")
            ledger.record(load, extract, loader.load_id, loader.sequence, seen, is_new=known is None)
    except Refused as refused:
        ledger.record_refusal(refused.load)
        return refused.load
    return load
