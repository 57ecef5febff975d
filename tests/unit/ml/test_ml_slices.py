"""Frames out of DuckDB in one piece, and in slices: the same rows, in chunks that DuckDB shares out to all cores."""

import duckdb
import polars as pl

from ml.slices import ROWS, in_one_piece, in_slices


def test_what_duckdb_answers_in_pieces_becomes_one():
    with duckdb.connect(config={"threads": 2}) as connection:
        relation = connection.sql(f"select range as number from range({3 * ROWS})")
        pieces, whole = relation.pl(), in_one_piece(relation)
    assert pieces.n_chunks() > 1
    assert whole.n_chunks() == 1
    assert whole.equals(pieces)


def test_rows_and_their_order_stay():
    frame = pl.DataFrame({"number": range(2 * ROWS + 5), "text": [None, "a", "b", "c", "d"] * ((2 * ROWS + 5) // 5)})
    sliced = in_slices(frame)
    assert sliced.n_chunks() == 3
    assert sliced.equals(frame)
    with duckdb.connect() as connection:
        connection.execute("create table written as select * from sliced")
        assert connection.sql("select * from written").pl().equals(frame)


def test_what_fits_into_a_slice_stays_as_it_is():
    frame = pl.DataFrame({"number": range(10)})
    assert in_slices(frame) is frame
