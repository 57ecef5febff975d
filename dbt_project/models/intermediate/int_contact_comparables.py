"""What describes contacts as it is compared: dbt brings the descriptions, `ml` spells them."""

import hashlib
import json

import polars as pl

from ml import contact_matching as matching
from ml.slices import in_slices

# The number rises with how `ml` spells.
RULES = 1
THERE = "select 1 from duckdb_columns() where schema_name = ? and table_name = ? and column_name = 'comparable_rules'"
CAME = "select * from records anti join {this} using (record_key, known_from_at)"
WENT = "select *, false as is_there from {this} anti join records using (record_key, known_from_at)"


def model(dbt, session):
    """All records as they are compared, or those that came and went."""
    dbt.config(materialized="kept_table")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    wanted = settings["identity"]["probabilistic"]
    records = dbt.ref("int_contact_records")
    columns = wanted["columns"] if wanted["enabled"] else {}
    told = json.dumps([RULES, columns], sort_keys=True)
    rules = hashlib.md5(told.encode(), usedforsecurity=False).hexdigest()
    there = session.execute(THERE, [dbt.this.schema, dbt.this.identifier]).fetchall()
    if there and session.execute(f"select distinct comparable_rules from {dbt.this}").fetchall() == [(rules,)]:
        came = _comparable(records.query("records", CAME.format(this=dbt.this)).pl(), columns, rules)
        went = records.query("records", WENT.format(this=dbt.this)).pl()
        return pl.concat([came.with_columns(is_there=pl.lit(True)), went.select(*came.columns, "is_there")])
    return in_slices(_comparable(records.pl(), columns, rules))


def _comparable(records, columns, rules):
    compared = matching.comparable(records, matching.MatchingRules(columns)).drop("record_key")
    return pl.concat(
        [records.select("record_key", "contact_id", "known_from_at"), compared], how="horizontal"
    ).with_columns(comparable_rules=pl.lit(rules))
