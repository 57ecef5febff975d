"""Lines of a CSV or TSV file that DuckDB's reader could not take as rows.

What belongs here: what the reader set aside, made ready for the quarantine. Rows that could be read but break a rule
are the loader's business.
"""

from __future__ import annotations

import duckdb

from orchestration.ingest.reading import Extract

# A row that ends in none of these ways swallowed the lines after it.
SWALLOWED_LINES = ("UNQUOTED VALUE", "LINE SIZE OVER MAXIMUM")

_OF_FILE = (
    "select errors.* from reject_errors as errors join reject_scans as scans "
    "on scans.scan_id = errors.scan_id and scans.file_id = errors.file_id where scans.file_path = ?"
)


def keep_unreadable_lines(connection: duckdb.DuckDBPyConnection, extract: Extract) -> int:
    """Put the extract's lines that were set aside since `read_extract` into the temporary table `unreadable`.

    The table has `line` (in the file, the first is 1), `rules` (what is wrong with it) and `csv_line` (as delivered,
    its first 10,000 bytes).

    Returns:
        How many there are.

    Raises:
        UnreadableExtract: a quoted value runs over the lines after it, so that nobody can say what was in them; or a
            lookup's file has such lines, so that nobody can say what was not found.
    """
    connection.execute("create or replace temp table unreadable (line bigint, rules varchar[], csv_line varchar)")
    looked_up = [file for _, files in extract.lookups for file in files if file.path != extract.path]
    if not any(file.is_text_table for file in (extract, *looked_up)):
        return 0
    for file in looked_up:
        rows = connection.execute(
            f"select min(line) from ({_OF_FILE}) having count(*) > 0", [str(file.path)]
        ).fetchall()
        if rows:
            raise file.unreadable(f"line {rows[0][0]}: a row that other extracts look up cannot be read")
    made = connection.execute(f"create or replace temp table set_aside_lines as {_OF_FILE}", [str(extract.path)])
    if made.fetchall()[0][0] == 0:
        return 0
    rows = connection.execute(
        "select min(line) from set_aside_lines where list_contains(?, error_type::varchar) "
        # The reader loses the text of a line that has swallowed the rest of its buffer.
        "and (coalesce(csv_line, '') = '' or regexp_matches(trim(csv_line, e'\\r\\n'), e'[\\r\\n]')) "
        "having count(*) > 0",
        [SWALLOWED_LINES],
    ).fetchall()
    if rows:
        raise extract.unreadable(f"line {rows[0][0]}: a quoted value is never closed")
    torn = connection.execute(
        "select min(line) from (select line from set_aside_lines group by line "
        "having count(distinct line_byte_position) > 1) having count(*) > 0"
    ).fetchall()
    if torn:  # the reader has lost its place: it takes what follows on one line for another
        raise extract.unreadable(
            f"line {torn[0][0]}: lines end in different ways, or quotes stand in the middle of values"
        )
    connection.execute(
        "insert into unreadable select line, list('unreadable line: ' || kind order by kind), any_value(csv_line) "
        "from (select line, lower(error_type::varchar) as kind, min(trim(csv_line, e'\\r\\n')) as csv_line "
        "from set_aside_lines group by all) group by line"
    )
    return int(connection.execute("select count(*) from unreadable").fetchall()[0][0])
