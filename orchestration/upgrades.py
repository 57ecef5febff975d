"""What a warehouse of an earlier version is changed by before a run uses it.

What belongs here: changes that rows have to go through because a column's type or meaning changed; a column that is
missing is added where its table is made. Each finds out for itself whether it is needed, and says nothing twice.
"""

from __future__ import annotations

import duckdb

from orchestration.sql import identifier

PERSON_COLUMNS = ("person_id", "person_before", "person_after", "own_person_id")


def number_people(connection: duckdb.DuckDBPyConnection) -> int:
    """Write people as numbers in every table that holds them by name.

    Returns:
        How many columns were changed.
    """
    named = connection.execute(
        "select schema_name, table_name, column_name from duckdb_columns() inner join duckdb_tables() "
        "using (database_name, schema_name, table_name) where database_name = current_database() "
        "and not temporary and column_name in (select unnest(?)) and data_type = 'VARCHAR' order by all",
        [list(PERSON_COLUMNS)],
    ).fetchall()
    for schema, table, column in named:
        connection.execute(
            f"alter table {identifier(schema)}.{identifier(table)} alter column {identifier(column)} "
            f"type ubigint using cast('0x' || substr({identifier(column)}, 3) as ubigint)"
        )
    return len(named)
