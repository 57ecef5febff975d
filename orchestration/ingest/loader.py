"""What happens to the rows of one file: typed, judged, and put into `raw` or into the quarantine, in one transaction.

What belongs here: every row read is loaded, quarantined, an exact duplicate, or filtered by the mapping's `where`, and
is counted as such; lines that cannot be read as rows are counted apart. Which files are loaded stands in `load.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import duckdb
import polars as pl

from activation.answers import read_frame
from data_contracts.rules import broken_rules_sql, unique_columns, warning_counts_sql
from orchestration.erasure_keys import delivered_condition, has_keys, remember_contacts_of, text_condition
from orchestration.ingest.attributes import fit_attributes
from orchestration.ingest.drift import SAMPLE_ROWS, delivered_columns
from orchestration.ingest.harmonize import HarmonizedColumn, Harmonizer
from orchestration.ingest.ledger import REFUSED, Entry, Ledger, Load, Redriven
from orchestration.ingest.profile import profile_batch
from orchestration.ingest.reading import (
    ROW,
    ROW_NUMBER,
    Extract,
    ExtractTable,
    forget_unreadable_lines,
    read_extract,
    reason,
)
from orchestration.ingest.tables import PROVENANCE
from orchestration.ingest.unreadable_lines import keep_unreadable_lines
from orchestration.mapping import MappedEntity
from orchestration.sql import identifier, literal
from orchestration.workspace import Workspace

ENTITIES_WITH_DAYS = ("events",)
OF_A_LOAD = "_load_id = ? and _file = ? and _source = ?"
# Of what the quarantine keeps: a row of the file, and not a line that could not be read as one.
IS_A_ROW = "not starts_with(rules[1], 'unreadable line')"
# What DuckDB raises when an expression of a mapping has no answer for a value.
FAILING_EXPRESSION = (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException)
CONDITION_FAILS = "the mapping's `where` has no answer"


class Refused(Exception):
    """Too many rows of a file are wrong: nothing is loaded, what was loaded before stands."""

    def __init__(self, load: Load):
        """Keep what would have been loaded: counts and rules."""
        self.load = load
        super().__init__(load.file)


class Loader:
    """Loads the rows of one file for one entity.

    `stage` reads a file into the temporary table `batch`, before the transaction in which `retire` takes back what was
    loaded of it earlier and `load` inserts. Rows from the quarantine go the same way: `stage_table`, `load_redriven`.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        workspace: Workspace,
        extract: Extract,
        entity: MappedEntity,
        load_id: str,
        sequence: int,
    ):
        """Keep what the rows are loaded with.

        Args:
            connection: an open, writable connection.
            workspace: its contracts and limits.
            extract: the file.
            entity: the mapped entity.
            load_id: marks the rows of this load.
            sequence: later loads have higher numbers.
        """
        self.connection = connection
        self.workspace = workspace
        self.extract = extract
        self.mapping = extract.mapping
        self.entity = entity
        self.contract = workspace.contracts[entity.entity]
        self.raw = f"raw.{identifier(entity.entity)}"
        self.quarantine = f"quarantine.{identifier(entity.entity)}"
        self.load_id = load_id
        self.sequence = sequence
        self.columns: list[HarmonizedColumn] = []
        self.delivered: dict[str, dict[str, str]] = {}
        self.rows_unreadable = 0
        self.rows_erased = 0
        self.rows_erased_refused = 0

    def retire(self, known: Entry) -> None:
        """Take back the rows of an earlier delivery of this file."""
        values = [known.load_id, self.extract.name, self.mapping.name]
        self._note_changed_days(self.raw, OF_A_LOAD, values, delivered_at="_delivered_at")
        for table in (self.raw, self.quarantine):
            self.connection.execute(f"delete from {table} where {OF_A_LOAD}", values)
        if known.load_id != self.load_id:
            Ledger(self.connection).load_dependents_again(self.extract, self.entity.entity, known)

    def stage(self) -> None:
        """Read the file into the temporary table `batch`, outside of the transaction.

        What it changes in `raw` harms nobody if the file is refused: columns are added or become text. DuckDB does not
        let a transaction both delete rows and change their columns.

        Raises:
            UnreadableExtract: the file cannot be read.
        """
        # Reading in parallel may not change which row has which number; Parquet brings its own numbers.
        keeps_order = "false" if self.extract.format == "parquet" else "true"
        self.connection.execute(f"set preserve_insertion_order = {keeps_order}")
        table = read_extract(self.connection, self.extract, self.entity.source_columns())
        sampled = 0 if self.extract.format == "parquet" else SAMPLE_ROWS  # Parquet says what its columns hold
        self.stage_table(table, sampled)
        self.delivered = delivered_columns(self.connection, table)
        self.rows_unreadable = keep_unreadable_lines(self.connection, self.extract)
        self._drop_erased_lines()

    def stage_table(self, table: ExtractTable, sampled: int = 0) -> None:
        """Type and judge the rows of a table into `batch`, outside of the transaction.

        The table is read once, so that a row's number, its values and its copy for the quarantine are of one reading.

        Args:
            table: the rows.
            sampled: of so many first rows the copy as delivered is kept also where nothing is wrong with them.

        Raises:
            UnreadableExtract: the rows cannot be read.
        """
        try:
            try:
                columns = self._stage_batch(table, sampled)
            except FAILING_EXPRESSION:
                columns = self._stage_guarded(table, sampled)
        except duckdb.Error as error:
            raise self.extract.unreadable(reason(error)) from None
        self._drop_erased(columns)
        self.columns = fit_attributes(self.connection, self.entity.entity, columns)

    def load(self, status: str) -> Load:
        """Judge and insert the staged rows.

        Raises:
            Refused: more than the workspace's threshold of the rows are wrong.
        """
        unreadable = self.rows_unreadable
        rows_read, filtered, quarantined = self._count("true", "not _is_kept", "_is_kept and len(_broken_rules) > 0")
        load = Load(
            self.extract.name,
            self.mapping.name,
            self.entity.entity,
            status,
            rows_read=rows_read + self.rows_erased,
            rows_quarantined=quarantined,
            rows_filtered=filtered,
            rows_unreadable=unreadable,
            rows_erased=self.rows_erased,
            rows_erased_refused=self.rows_erased_refused,
            profile=profile_batch(self.connection, "batch", [(column.name, column.type) for column in self.columns]),
            columns=self.delivered,
            broken_rules=self._broken_rules() if quarantined or unreadable else {},
        )
        judged = rows_read - filtered + unreadable
        if judged and (quarantined + unreadable) / judged > self.workspace.settings.quarantine_threshold:
            raise Refused(replace(load, status=REFUSED, warnings=self._warnings()))
        duplicates, not_unique = self._mark_duplicates_within()
        duplicates_of_others = self._mark_known_rows()
        earliest, latest = self._time_span()
        rows_loaded = self._insert_loaded()
        rows_quarantined = self._quarantine() if quarantined or unreadable else 0
        return replace(
            load,
            rows_loaded=rows_loaded,
            rows_quarantined=rows_quarantined,
            rows_duplicate=duplicates + duplicates_of_others,
            rows_duplicate_of_other_files=duplicates_of_others,
            earliest_row_at=earliest,
            latest_row_at=latest,
            warnings=self._warnings() | not_unique,
        )

    def load_redriven(self) -> Redriven:
        """Load those of the staged rows that are good now; the others stay in quarantine, with what is wrong now.

        The staged rows are those that the quarantine keeps of this load.
        """
        judged, filtered = self._count("true", "not _is_kept")
        duplicates, _ = self._mark_duplicates_within()
        duplicates += self._mark_loaded_rows()
        duplicates_of_others = self._mark_known_rows()
        earliest, latest = self._time_span()
        loaded = self._insert_loaded()
        values = [self.load_id, self.extract.name, self.mapping.name]
        still_wrong = "from batch where batch._row_number = stored._row_number and _is_kept and len(_broken_rules) > 0"
        self.connection.execute(
            f"delete from {self.quarantine} as stored where {OF_A_LOAD} and {IS_A_ROW} "
            f"and not exists (select 1 {still_wrong})",
            values,
        )
        self.connection.execute(
            f"update {self.quarantine} as stored set rules = batch._broken_rules {still_wrong} "
            f"and {OF_A_LOAD} and {IS_A_ROW}",
            values,
        )
        return Redriven(
            judged=judged + self.rows_erased,
            loaded=loaded,
            filtered=filtered,
            duplicates=duplicates + duplicates_of_others,
            duplicates_of_other_files=duplicates_of_others,
            earliest_row_at=earliest,
            latest_row_at=latest,
            erased=self.rows_erased,
        )

    def _drop_erased(self, columns: list[HarmonizedColumn]) -> None:
        """Rows of people who were erased go before anything else looks at them; they are counted.

        An address that comes back with another contact's id makes that id one of theirs as well.
        """
        self.rows_erased = self.rows_erased_refused = 0
        if not has_keys(self.connection):
            return
        theirs = delivered_condition("batch", {column.name for column in columns})
        in_a_refused_row = text_condition("_delivered_row")
        self.connection.execute(
            f"create or replace temp table erased_rows as select {ROW_NUMBER}, len(_broken_rules) > 0 as is_refused "
            f"from batch where _is_kept and ({theirs} or (len(_broken_rules) > 0 and {in_a_refused_row}))"
        )
        self.rows_erased, self.rows_erased_refused = self.connection.execute(
            "select count(*), count(*) filter (is_refused) from erased_rows"
        ).fetchall()[0]
        if self.rows_erased:
            dropped = f"{ROW_NUMBER} in (select {ROW_NUMBER} from erased_rows)"
            if self.entity.entity == "contacts":
                remember_contacts_of(self.connection, f"(select contact_id from batch where {dropped})")
            self.connection.execute(f"delete from batch where {dropped}")

    def _drop_erased_lines(self) -> None:
        """The same for lines that could not be read as rows."""
        if self.rows_unreadable and has_keys(self.connection):
            gone = self.connection.execute(
                f"delete from unreadable where {text_condition('csv_line', parts=True)}"
            ).fetchall()[0][0]
            self.rows_unreadable -= int(gone)

    def _stage_guarded(self, table: ExtractTable, sampled: int) -> list[HarmonizedColumn]:
        """The same, where an expression of the mapping fails on some rows: those go into the quarantine."""
        forget_unreadable_lines(self.connection)
        # DuckDB would compute what an expression says twice once, outside of the `try` around it.
        self.connection.execute("set disabled_optimizers = 'common_subexpressions'")
        try:
            return self._stage_batch(table, sampled, is_guarded=True)
        finally:
            self.connection.execute("reset disabled_optimizers")

    def _stage_batch(self, table: ExtractTable, sampled: int, is_guarded: bool = False) -> list[HarmonizedColumn]:
        harmonizer = Harmonizer(self.connection, table, is_guarded)
        columns = harmonizer.columns(self.entity, self.contract)
        is_kept = harmonizer.condition(self.entity)
        uncastable = {column.name for column in columns if column.uncastable}
        rules = broken_rules_sql(self.contract, {column.name for column in columns}, uncastable)
        beside = [ROW_NUMBER, ROW, f"{is_kept} as _is_kept"]
        if harmonizer.condition_fails:
            beside.append(f"{harmonizer.condition_fails} as _condition_fails")
            rules = (
                f"case when _condition_fails then list_prepend({literal(CONDITION_FAILS)}, {rules}) else {rules} end"
            )
        self.connection.execute(
            "create or replace temp table batch as select * exclude (_row), "
            f"case when (_is_kept and not _is_loaded) or {ROW_NUMBER} <= {sampled} "
            "then to_json(_row)::varchar end as _delivered_row from ("
            f"select *, {rules} as _broken_rules, {self._identity_hash(columns)} as _identity_hash, "
            f"_is_kept and len(_broken_rules) = 0 as _is_loaded from {harmonizer.typed_rows(columns, *beside)})"
        )
        return columns

    def _identity_hash(self, columns: list[HarmonizedColumn]) -> str:
        """SQL that is equal for rows that share what makes a row unique; of a row without that, for equal rows."""
        names = [column.name for column in columns]
        everything = f"hash({', '.join(map(identifier, names))})"
        unique = unique_columns(self.contract, set(names))
        if not unique:
            return everything
        together = [identifier(name) for name in unique[0][1]]
        has_all = " and ".join(f"{name} is not null" for name in together)
        return f"case when {has_all} then hash({', '.join(together)}) else {everything} end"

    def _mark_duplicates_within(self) -> tuple[int, dict[str, int]]:
        """Of rows that are equal in every mapped column the first is loaded.

        Rows that share what makes a row unique but differ are all loaded, and counted by the rule they break.
        """
        repeated = "select _identity_hash from batch where _is_loaded group by _identity_hash having count(*) > 1"
        any_repeated = self._made("repeated", repeated) > 0
        shares = "_is_loaded and _identity_hash in (select _identity_hash from repeated)"
        everything = ", ".join(identifier(column.name) for column in self.columns)
        copies = 0
        if any_repeated:
            copies = self._set_aside(
                f"with candidate as (select {ROW_NUMBER}, {everything}, hash({everything}) as _row_hash "
                f"from batch where {shares}), "
                "equal as (select _row_hash from candidate group by _row_hash having count(*) > 1) "
                f"select {ROW_NUMBER} from (select {ROW_NUMBER}, row_number() over (partition by {everything} "
                f"order by {ROW_NUMBER}) as copy from candidate where _row_hash in (select _row_hash from equal)) "
                "where copy > 1"
            )
        not_unique = {}
        for place, (rule, together) in enumerate(unique_columns(self.contract, {each.name for each in self.columns})):
            if place == 0 and not any_repeated:
                continue
            names = ", ".join(map(identifier, together))
            has_all = " and ".join(f"{identifier(name)} is not null" for name in together)
            among = shares if place == 0 else "_is_loaded"
            (rows,) = self.connection.execute(
                f"select coalesce(sum(rows), 0)::bigint from (select count(*) as rows from batch "
                f"where {among} and {has_all} group by {names} having count(*) > 1)"
            ).fetchall()[0]
            if rows:
                not_unique[rule] = int(rows)
        return copies, not_unique

    def _mark_loaded_rows(self) -> int:
        """Rows from the quarantine that are equal to one of their file that is loaded already."""
        same = " and ".join(
            f"loaded.{identifier(column.name)} is not distinct from batch.{identifier(column.name)}"
            for column in self.columns
        )
        self.connection.execute(
            f"create or replace temp table of_this_load as select * from {self.raw} where {OF_A_LOAD}",
            [self.load_id, self.extract.name, self.mapping.name],
        )
        return self._set_aside(
            f"select {ROW_NUMBER} from batch where _is_loaded "
            f"and exists (select 1 from of_this_load as loaded where {same})"
        )

    def _mark_known_rows(self) -> int:
        """Rows of a log (events, messages) that another file delivered already, known by key and time."""
        key = self.contract.primary_key
        if not key or self.contract.is_versioned or not set(key) <= set(self.entity.columns):
            return 0
        same = " and ".join(
            f"known.{identifier(name)} = batch.{identifier(name)}" for name in (*key, self.contract.time_column)
        )
        time = identifier(self.contract.time_column)
        span = f"select min({time})::varchar, max({time})::varchar from batch where _is_loaded"
        first, last = self.connection.execute(span).fetchall()[0]
        if first is None:
            return 0
        # Saying between which times lets DuckDB pass over the years that cannot hold these rows.
        within = f"known.{time} between {literal(first)}::timestamp and {literal(last)}::timestamp"
        # Rows of the file itself are there only when others of it come from the quarantine.
        other_file = f"(known._file <> {literal(self.extract.name)} or known._source <> {literal(self.mapping.name)})"
        return self._set_aside(
            f"select {ROW_NUMBER} from batch where _is_loaded "
            f"and exists (select 1 from {self.raw} as known where {within} and {other_file} and {same})"
        )

    def _set_aside(self, row_numbers: str) -> int:
        rows = self._made("set_aside", row_numbers)
        if rows:
            self.connection.execute(
                f"update batch set _is_loaded = false where {ROW_NUMBER} in (select {ROW_NUMBER} from set_aside)"
            )
        return rows

    def _made(self, table: str, query: str) -> int:
        """Make a temporary table; returns how many rows it has."""
        return int(self.connection.execute(f"create or replace temp table {table} as {query}").fetchall()[0][0])

    def _broken_rules(self) -> dict[str, int]:
        """How many rows, and lines that are no rows, break each rule; the rule that most break first."""
        counts = self.connection.execute(
            "select rule, count(*) from (select unnest(_broken_rules) as rule from batch where _is_kept "
            "union all select unnest(rules) from unreadable) group by rule order by count(*) desc, rule"
        ).fetchall()
        return dict(counts)

    def _quarantine(self) -> int:
        """Refused rows and unreadable lines whole, as delivered, into the quarantine.

        Returns:
            How many rows the database took; lines that are no rows are not counted.
        """
        origin = [self.mapping.name, self.extract.name]
        quarantined = self.connection.execute(
            f"insert into {self.quarantine} select ?, ?, {ROW_NUMBER}, ?, _broken_rules, _delivered_row from batch "
            f"where _is_kept and len(_broken_rules) > 0 order by {ROW_NUMBER}",
            [*origin, self.load_id],
        ).fetchall()[0][0]
        self.connection.execute(
            f"insert into {self.quarantine} select ?, ?, line, ?, rules, csv_line from unreadable order by line",
            [*origin, self.load_id],
        )
        return int(quarantined)

    def _insert_loaded(self) -> int:
        names = ", ".join(identifier(column.name) for column in self.columns)
        loaded = self.connection.execute(
            f"insert into {self.raw} ({names}, {', '.join(PROVENANCE)}) "
            f"select {names}, ?, ?, {ROW_NUMBER}, ?, ?, ?::timestamp from batch where _is_loaded",
            [self.mapping.name, self.extract.name, self.load_id, self.sequence, self.extract.delivered_at],
        ).fetchall()[0][0]
        self._note_changed_days("batch", "_is_loaded", [], self._delivered_at)
        return int(loaded)

    def _warnings(self) -> dict[str, int]:
        counts = warning_counts_sql(self.contract, {column.name for column in self.columns})
        if not counts:
            return {}
        query = f"select {', '.join(sql for _, sql in counts)} from batch where _is_kept"
        row = self.connection.execute(query).fetchall()[0]
        return {name: count for (name, _), count in zip(counts, row, strict=True) if count}

    def sample(self, rows: int) -> pl.DataFrame:
        """At most so many of the staged rows, good or bad, typed; the same ones every time."""
        standard = [column for column in self.columns if column.name in self.contract.column_names]
        flags = [column.uncastable for column in standard if column.uncastable]
        names = ", ".join(identifier(name) for name in [*(column.name for column in standard), *flags])
        (kept,) = self._count("_is_kept")
        step = -(-kept // rows) or 1
        query = f"select {names} from batch where _is_kept and {ROW_NUMBER} % {step} = 0 order by {ROW_NUMBER}"
        return read_frame(self.connection, query)

    def _note_changed_days(self, table: str, condition: str, values: Iterable[object], delivered_at: str) -> None:
        if self.entity.entity not in ENTITIES_WITH_DAYS:
            return
        zone = literal(self.workspace.settings.timezone)
        time = identifier(self.contract.time_column)
        self.connection.execute(
            "insert into raw.changed_days "
            f"select distinct ?, timezone({zone}, timezone('UTC', quarter))::date as day, _delivered_at "
            # Time zones change by quarters of an hour; converting each quarter once is much faster than each row.
            f"from (select distinct time_bucket(interval '15 minutes', {time}) as quarter, "
            f"{delivered_at} as _delivered_at from {table} where {condition}) order by all",
            [self.entity.entity, *values],
        )

    @property
    def _delivered_at(self) -> str:
        """When the file was delivered, as SQL."""
        delivered_at = self.extract.delivered_at
        return f"{literal(str(delivered_at)) if delivered_at else 'null'}::timestamp"

    def _time_span(self) -> tuple[datetime | None, datetime | None]:
        """When the first and the last loaded row came to hold; no first where a row holds since ever."""
        columns = (self.contract.version_columns or ("_delivered_at",)) if self.contract.is_versioned else ()
        candidates = columns or (self.contract.time_column, "_delivered_at")
        moments = [
            self._delivered_at if name == "_delivered_at" else f"{identifier(name)}::timestamp"
            for name in candidates
            if name == "_delivered_at" or name in self.entity.columns
        ]
        row = self.connection.execute(
            "select case when count(*) = count(moment) then min(moment) end, max(moment) "
            f"from (select coalesce({', '.join(moments)}, null::timestamp) as moment from batch where _is_loaded)"
        ).fetchall()[0]
        return row[0], row[1]

    def _count(self, *conditions: str) -> tuple[int, ...]:
        """How many rows of the batch meet each condition."""
        counts = ", ".join(f"count(*) filter ({condition})" for condition in conditions)
        row: tuple[int, ...] = self.connection.execute(f"select {counts} from batch").fetchall()[0]
        return row
