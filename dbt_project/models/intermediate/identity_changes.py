"""Who is one person, and every change of it: dbt brings the tables, `ml` decides.

Only what a change of an identity or of a link touches is decided anew: all identities that such links connect, over any
number of others. What was touched stands in raw.touched_identities (macros/kept_tables.sql).
"""

import hashlib
import inspect
import json

import polars as pl

from ml import identity_ledger as ledgers
from ml import identity_parts, identity_resolution
from ml.identity_ledger import identity_ledger
from ml.identity_parts import with_rest_of_crowds
from ml.kept_rows import changes_of_rows
from ml.slices import in_one_piece, in_slices

KINDS = ("user", "email", "phone", "device")
# A ledger that other code decided does not go on.
CODE = "".join(inspect.getsource(module) for module in (ledgers, identity_parts, identity_resolution))

# People who were erased, by hash: that they had what others have goes on counting (orchestration/erasure_keys.py).
ERASED_TIES = """
union all by name select identity_kind, identity_id, other_kind, other_id, link_kind, linked_from_at,
    cast(null as double) as match_weight from erasure.shared_links
"""
ERASED_APPEARANCES = """
union all by name select identity_kind, identity_id, seen_from_at from erasure.shared_links
"""
OWN_PERSON = "cast('0x' || left(md5(identity_kind || ':' || identity_id), 16) as ubigint)"
ERASED_IDENTITIES = f"""
select identity_kind, identity_id, min(seen_from_at) as seen_from_at, {OWN_PERSON} as own_person_id
from erasure.shared_links group by identity_kind, identity_id
"""
ERASURES = "select (select count(*) from erasure.erasures), (select count(*) from erasure.shared_links)"
THERE = "select 1 from duckdb_tables() where schema_name = ? and table_name = ?"
ALL_TOUCHED = "select count(*) > 0 from raw.touched_identities where identity_key is null"

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

# From here on: what was touched and all that is connected with it, as numbers that two may share at worst.
NUMBERED = """
create or replace temp table ties_by_number as
select
    hash(identity_kind, identity_id) as identity_key,
    hash(other_kind, other_id) as other_key,
    case other_kind {most} end as most,
    linked_from_at
from ({ties})
"""
# What too many share links nobody from then on, and so connects only those who had it earlier: without this, a number
# that everybody gives would connect all who give it. `most` may share it.
CROWDED = """
create or replace temp table crowds as
select other_key, list(linked_from_at order by linked_from_at)[any_value(most) + 1] as crowded_from_at
from (
    select identity_key, other_key, most, min(linked_from_at) as linked_from_at
    from ties_by_number
    where other_key in (
        select other_key from ties_by_number where most is not null group by other_key having count(*) > any_value(most)
    )
    group by identity_key, other_key, most
)
group by other_key
having count(*) > any_value(most)
"""
CONNECTING = """
create or replace temp table connecting as
select distinct identity_key, other_key
from ties_by_number
left join crowds using (other_key)
where crowded_from_at is null or linked_from_at < crowded_from_at
"""
# A change among those who shared something first moves the moment from which on it is everybody's; one after them
# does not.
BEGINNING = """
create or replace temp table frontier as
with far_ends as (
    select touched.other_key, crowds.crowded_from_at
    from raw.touched_identities as touched
    left join crowds using (other_key)
    where touched.other_key is not null and (crowded_from_at is null or touched.linked_from_at <= crowded_from_at)
)
select identity_key from raw.touched_identities
union
select other_key from far_ends
union
select identity_key from ties_by_number
where other_key in (select other_key from far_ends where crowded_from_at is not null)
"""
NEXT = """
create or replace temp table found as
select identity_key
from (
    select other_key as identity_key from connecting where identity_key in (select identity_key from frontier)
    union
    select identity_key from connecting where other_key in (select identity_key from frontier)
)
where identity_key not in (select identity_key from members)
"""
IDENTITIES = """
with identities as (
    select identity_kind, identity_id, min(seen_from_at) as seen_from_at, {own_person} as own_person_id
    from ({appearances})
    where hash(identity_kind, identity_id) in (select identity_key from members)
    group by identity_kind, identity_id
)
select identities.*, crowds.crowded_from_at
from identities left join crowds on crowds.other_key = hash(identity_kind, identity_id)
"""
# Of a crowd those who were there before it became one.
LINKS = """
with links as (
    select
        identity_kind, identity_id, other_kind, other_id, link_kind,
        min(linked_from_at) as linked_from_at,
        arg_max(match_weight, (-epoch_us(linked_from_at), match_weight)) as match_weight
    from ({ties})
    where hash(identity_kind, identity_id) in (select identity_key from members)
    group by identity_kind, identity_id, other_kind, other_id, link_kind
)
select links.*, crowds.crowded_from_at
from links left join crowds on crowds.other_key = hash(other_kind, other_id)
where crowded_from_at is null or linked_from_at < crowded_from_at
"""
EARLIER = "select * from {this} where hash(identity_kind, identity_id) in (select identity_key from members)"

# Who stands in for others in the graph and is nobody in the ledger: people who were erased, and the rest of a crowd.
STAND_IN = "erased:"


def model(dbt, session):
    """The ledger, or what changes in it."""
    dbt.config(materialized="kept_table", post_hook="delete from raw.touched_identities")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    identity = settings["identity"]
    has_erased = bool(session.execute(THERE, ["erasure", "shared_links"]).fetchall())
    decisions = in_one_piece(dbt.source("raw", "identity_decisions"))
    given = {
        "timezone": settings["timezone"],
        "max_people": {f"same_{kind}": identity[f"max_people_per_{kind}"] for kind in KINDS},
        "include_anonymous": identity["include_anonymous"],
    }
    erasures = session.execute(ERASURES).fetchall() if has_erased else []
    version = session.execute("select version()").fetchall()
    told = json.dumps([CODE, given, erasures, version], sort_keys=True)
    rules = hashlib.sha256(told.encode()).hexdigest()[:16]
    if not _goes_on(dbt, session, rules):
        identities, links = _everything(dbt, session, has_erased)
        return in_slices(_finished(identity_ledger(identities, links, decisions, **given), rules))
    identities, links = _touched(dbt, session, has_erased, {kind: identity[f"max_people_per_{kind}"] for kind in KINDS})
    earlier = in_one_piece(session.sql(EARLIER.format(this=dbt.this)))
    return changes_of_rows(earlier, _finished(identity_ledger(identities, links, decisions, **given), rules))


def _goes_on(dbt, session, rules):
    """Whether the ledger stands, by the same rules, and not everything was touched."""
    there = session.execute(THERE, [dbt.this.schema, dbt.this.identifier]).fetchall()
    if not there or session.execute(ALL_TOUCHED).fetchall()[0][0]:
        return False
    if "ledger_rules" not in session.sql(f"select * from {dbt.this} limit 0").columns:
        return False
    return session.execute(f"select distinct ledger_rules from {dbt.this}").fetchall() == [(rules,)]


def _finished(ledger, rules):
    """The ledger as it is kept."""
    return ledger.filter(~pl.col("identity_id").str.starts_with(STAND_IN)).with_columns(ledger_rules=pl.lit(rules))


def _everything(dbt, session, has_erased):
    """All identities and links."""
    identities = in_one_piece(dbt.ref("int_identities_seen"))
    if has_erased:
        identities = pl.concat([identities, in_one_piece(session.sql(ERASED_IDENTITIES)).cast(dict(identities.schema))])
    shared = SHARED.format(erased=ERASED_TIES if has_erased else "")
    return identities, in_one_piece(dbt.ref("int_identity_links").query("all_links", shared))


def _touched(dbt, session, has_erased, most):
    """The identities that a change touches, all that are connected with them, and the links between these."""
    ties = dbt.ref("int_identity_ties").sql_query() + (ERASED_TIES if has_erased else "")
    appearances = dbt.ref("int_identity_appearances").sql_query() + (ERASED_APPEARANCES if has_erased else "")
    limits = " ".join(f"when '{kind}' then {people}" for kind, people in most.items())
    session.execute(NUMBERED.format(most=limits, ties=ties))
    for statement in (CROWDED, CONNECTING, BEGINNING, "create or replace temp table members as select * from frontier"):
        session.execute(statement)
    while session.execute("select count(*) from frontier").fetchall()[0][0]:
        session.execute(NEXT)
        session.execute("insert into members select * from found")
        session.execute("create or replace temp table frontier as select * from found")
    identities = in_one_piece(session.sql(IDENTITIES.format(appearances=appearances, own_person=OWN_PERSON)))
    links = in_one_piece(session.sql(LINKS.format(ties=ties)))
    return with_rest_of_crowds(identities, links, most, STAND_IN)
