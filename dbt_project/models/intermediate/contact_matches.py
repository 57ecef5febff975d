"""Contacts that are probably one human: dbt brings the contacts and keeps the model's file, `ml` compares."""

import json
import os
from datetime import datetime
from pathlib import Path

import duckdb

from ml import contact_matching as matching
from ml.slices import in_slices


def model(dbt, session):
    """All matches; only contacts that were never compared are compared now."""
    dbt.config(materialized="table")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    wanted = settings["identity"]["probabilistic"]
    records = dbt.ref("int_contact_records")
    if not wanted["enabled"]:
        return matching.no_matches()
    records = records.pl()
    rules = matching.MatchingRules(
        wanted["columns"], wanted["match_probability"], wanted["pairs_per_contact"], wanted["seed"]
    )
    limit = os.environ.get("PERSONAE_MEMORY_LIMIT", "4GB")
    database = duckdb.connect(config={"memory_limit": limit, "temp_directory": os.environ["PERSONAE_TEMP"]})
    # What a frozen model was made for; another setting needs another model.
    made_for = {name: wanted[name] for name in ("columns", "pairs_per_contact", "seed", "trained_from")}
    file = Path(os.environ["PERSONAE_IDENTITY_MODEL"])
    frozen = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    is_fit = frozen.get("made_for") == made_for
    if not is_fit:
        not_before = datetime.fromisoformat(wanted["trained_from"])
        frozen = matching.train_when_possible(records, rules, settings["timezone"], not_before, database)
        if frozen is None:
            return matching.no_matches()
        frozen = frozen | {"made_for": made_for}
        file.write_text(json.dumps(frozen, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    there = session.execute(
        "select 1 from duckdb_tables() where schema_name = ? and table_name = ?", [dbt.this.schema, dbt.this.identifier]
    ).fetchall()
    previous = session.sql(f"select * from {dbt.this}").pl() if is_fit and there else None
    return in_slices(matching.update_matches(records, frozen, rules, previous, database))
