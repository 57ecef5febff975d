"""Who is one person, and every change of it: dbt brings the tables, `ml` decides."""

import json

import polars as pl

from ml.identity_ledger import identity_ledger
from ml.slices import in_slices

# An address or number of a single contact links nobody: most are, and need not leave the warehouse.
SHARED = """
with links as materialized (select * from all_links{erased})
select * from links
where
    other_kind not in ('email', 'phone')
    or other_id in (
        select other_id from links where other_kind in ('email', 'phone') group by other_id having count(*) > 1
    )
"""

# People who were erased, by hash: that they had what others have goes on counting (orchestration/erasure_keys.py).
ERASED_LINKS = """
union all by name select identity_kind, identity_id, other_kind, other_id, link_kind, linked_from_at,
    cast(null as double) as match_weight from erasure.shared_links
"""
ERASED_IDENTITIES = """
select identity_kind, identity_id, min(seen_from_at) as seen_from_at,
    cast('0x' || left(md5(identity_kind || ':' || identity_id), 16) as ubigint) as own_person_id
from erasure.shared_links group by identity_kind, identity_id
"""
THERE = "select 1 from duckdb_tables() where schema_name = 'erasure' and table_name = 'shared_links'"


def model(dbt, session):
    """The ledger."""
    dbt.config(materialized="table")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    identity = settings["identity"]
    kinds = ("user", "email", "phone", "device")
    identities = dbt.ref("int_identities_seen").pl()
    erased = ""
    if session.execute(THERE).fetchall():
        erased = ERASED_LINKS
        identities = pl.concat([identities, session.sql(ERASED_IDENTITIES).pl().cast(dict(identities.schema))])
    ledger = identity_ledger(
        identities=identities,
        links=dbt.ref("int_identity_links").query("all_links", SHARED.format(erased=erased)).pl(),
        decisions=dbt.source("raw", "identity_decisions").pl(),
        timezone=settings["timezone"],
        max_people={f"same_{kind}": identity[f"max_people_per_{kind}"] for kind in kinds},
        include_anonymous=identity["include_anonymous"],
    )
    return in_slices(ledger.filter(~pl.col("identity_id").str.starts_with("erased:")))
