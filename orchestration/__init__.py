"""The weekly job: Dagster assets, the command line, and what a workspace is."""

import os

# OpenBLAS reads this once, when NumPy loads it. Its threads add up in another order on another number of cores, and
# spin while they wait; what is worth two cores is shared out by rows (`ml/made_ahead.py`).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Polars reads this when it is loaded. By default it begins to give memory back to the kernel half a second after it was
# freed, and models ask for as much again: a third of the pages they touched were new ones.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000")

# DuckDB's own allocator, which reads this when DuckDB is loaded: by default it gives back after a second what the next
# query asks for again. Of a later week's features a million new pages fewer are cleared, a third.
os.environ.setdefault("DUCKDB_JE_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:10000")
