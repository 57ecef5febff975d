# Contacts that are probably one human: dbt brings the contacts and keeps the model's file, `ml` compares.


def model(dbt, session):
    dbt.config(materialized="table")
    import json
    import os
    from datetime import datetime
    from pathlib import Path

    from ml import contact_matching as matching

    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    wanted = settings["identity"]["probabilistic"]
    records = dbt.ref("int_contact_records")
    if not wanted["enabled"]:
        return matching.no_matches()

    import duckdb
    from splink import DuckDBAPI

    records = records.pl()
    rules = matching.MatchingRules(
        wanted["columns"], wanted["match_probability"], wanted["pairs_per_contact"], wanted["seed"]
    )
    limits = {
        "memory_limit": os.environ.get("PERSONAE_MEMORY_LIMIT", "4GB"),
        "temp_directory": os.environ["PERSONAE_TEMP"],
    }
    database = DuckDBAPI(duckdb.connect(config=limits))
    file = Path(os.environ.get("PERSONAE_IDENTITY_MODEL", ""))
    frozen = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    # What a frozen model was made for; another workspace setting needs another model.
    made_for = {name: wanted[name] for name in ("columns", "pairs_per_contact", "seed", "trained_from")}
    is_fit = frozen.get("made_for") == made_for
    if not is_fit:
        not_before = datetime.fromisoformat(wanted["trained_from"])
        frozen = matching.train_when_possible(records, rules, settings["timezone"], not_before, database)
        if frozen is None:
            return matching.no_matches()
        frozen = frozen | {"made_for": made_for}
        if file.name:
            file.write_text(json.dumps(frozen, indent=1, sort_keys=True), encoding="utf-8")
    previous = None
    this = dbt.this
    found = session.execute(
        "select 1 from duckdb_tables() where schema_name = ? and table_name = ?", [this.schema, this.identifier]
    )
    if is_fit and found.fetchall():
        previous = session.sql(f"select * from {this}").pl()
    return matching.update_matches(records, frozen, rules, previous, database)
