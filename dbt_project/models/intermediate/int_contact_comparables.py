"""What describes contacts as it is compared: dbt brings the descriptions, `ml` spells them."""

import hashlib
import inspect
import json

import polars as pl

from ml import contact_matching as matching
from ml.slices import in_one_piece, in_slices

# What other code spelled does not stand.
CODE = inspect.getsource(matching)
THERE = "select 1 from duckdb_columns() where schema_name = ? and table_name = ? and column_name = 'comparable_rules'"
DIFFERING = """
create or replace temp table differing as
select coalesce(kept.record_key, records.record_key) as record_key
from records
full join {this} as kept on kept.record_key = records.record_key
where kept.known_from_at is distinct from records.known_from_at
"""
CAME = "select * from records where record_key in (select record_key from differing)"
WENT = "select *, false as is_there from {this} where record_key in (select record_key from differing)"


def model(dbt, session):
    """All records as they are compared, or those that came and went."""
    dbt.config(materialized="kept_table")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    wanted = settings["identity"]["probabilistic"]
    records = dbt.ref("int_contact_records")
    columns = wanted["columns"] if wanted["enabled"] else {}
    told = json.dumps([CODE, columns], sort_keys=True)
    rules = hashlib.md5(told.encode(), usedforsecurity=False).hexdigest()
    there = session.execute(THERE, [dbt.this.schema, dbt.this.identifier]).fetchall()
    if there and session.execute(f"select distinct comparable_rules from {dbt.this}").fetchall() == [(rules,)]:
        session.execute(f"create or replace temp view records as {records.sql_query()}")
        session.execute(DIFFERING.format(this=dbt.this))
        came = _comparable(in_one_piece(session.sql(CAME)), columns, rules)
        went = in_one_piece(session.sql(WENT.format(this=dbt.this)))
        return pl.concat([came.with_columns(is_there=pl.lit(True)), went.select(*came.columns, "is_there")])
    return in_slices(_comparable(in_one_piece(records), columns, rules))


def _comparable(records, columns, rules):
    compared = matching.comparable(records, matching.MatchingRules(columns)).drop("record_key")
    return pl.concat(
        [records.select("record_key", "contact_id", "known_from_at"), compared], how="horizontal"
    ).with_columns(comparable_rules=pl.lit(rules))
