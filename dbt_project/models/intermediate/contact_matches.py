"""Contacts that are probably one human: dbt brings the contacts and keeps the model's file, `ml` compares.

Contacts are compared once: a run compares those that are new, with each other and with those that a rule of the model
would look at beside them.
"""

import hashlib
import inspect
import json
import os
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from ml import contact_matching as matching
from ml.kept_rows import changes_of_rows
from ml.slices import in_one_piece, in_slices

# Matches that other code found do not go on.
CODE = inspect.getsource(matching)
THERE = "select 1 from duckdb_columns() where schema_name = ? and table_name = ? and column_name = 'match_rules'"
DIFFERING = """
create or replace temp table differing as
select
    coalesce(kept.record_key, comparables.record_key) as record_key,
    kept.record_key is null as is_new,
    comparables.record_key is null as is_gone
from comparables
full join (select record_key, matched_from_at from {this} where other_record_key is null) as kept
    on kept.record_key = comparables.record_key
where kept.matched_from_at is distinct from comparables.known_from_at
"""
NEW = "create or replace temp table new_records as select * from comparables where record_key in ({new})"
ARE_NEW = "select record_key from differing where is_new"
# Rule by rule: whether one of several agrees may be unknown, and where a value is missing DuckDB finds that out by
# comparing with all that are new.
WORTH_A_LOOK = "select * from comparables where record_key not in ({new}) and record_key in ({agree})"
AGREE = "select record_key from comparables where ({columns}) in (select {columns} from new_records)"
PAIRS = "select * from {this} where other_record_key is not null"
KEPT = "select * from {this} where other_record_key is null and record_key in (select record_key from differing)"
OF_PAIRS = """
select record_key, contact_id, known_from_at from comparables
where record_key in (select record_key_l from pairs union all select record_key_r from pairs)
"""
COMPARED = """
select record_key, contact_id, known_from_at from comparables
where record_key in (select record_key from differing where not is_gone)
"""


def model(dbt, session):
    """All matches, or those that came and went."""
    dbt.config(materialized="kept_table", touches="contact_matches")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    wanted = settings["identity"]["probabilistic"]
    records, comparables = dbt.ref("int_contact_records"), dbt.ref("int_contact_comparables")
    if not wanted["enabled"]:
        return matching.no_matches()
    rules = matching.MatchingRules(
        wanted["columns"], wanted["match_probability"], wanted["pairs_per_contact"], wanted["seed"]
    )
    limit = os.environ.get("PERSONAE_MATCHING_MEMORY_LIMIT", "1GB")
    database = duckdb.connect(config={"memory_limit": limit, "temp_directory": os.environ["PERSONAE_TEMP"]})
    frozen = _frozen(records, rules, wanted, settings["timezone"], database)
    if frozen is None:
        return matching.no_matches()
    told = json.dumps([CODE, frozen, matching.least_probability(rules)], sort_keys=True)
    match_rules = hashlib.md5(told.encode(), usedforsecurity=False).hexdigest()
    there = session.execute(THERE, [dbt.this.schema, dbt.this.identifier]).fetchall()
    if there and session.execute(f"select distinct match_rules from {dbt.this}").fetchall() == [(match_rules,)]:
        return _changes(dbt.this, comparables, session, frozen, rules, match_rules, database)
    new = in_one_piece(comparables)
    pairs = matching.match_contacts(_to_compare(new, rules), frozen, None, matching.least_probability(rules), database)
    return in_slices(_rows(pairs, new, new, frozen, rules, match_rules))


def _frozen(records, rules, wanted, timezone, database):
    """The model that was trained once, or is now; None where there is too little to learn from."""
    # What a frozen model was made for; another setting needs another model.
    made_for = {name: wanted[name] for name in ("columns", "pairs_per_contact", "seed", "trained_from")}
    file = Path(os.environ["PERSONAE_IDENTITY_MODEL"])
    frozen = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if frozen.get("made_for") == made_for:
        return frozen
    not_before = datetime.fromisoformat(wanted["trained_from"])
    frozen = matching.train_when_possible(in_one_piece(records), rules, timezone, not_before, database)
    if frozen is None:
        return None
    file.write_text(json.dumps(frozen | {"made_for": made_for}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def _changes(this, comparables, session, frozen, rules, match_rules, database):
    """Rows that come and go: of records that are new, that are gone, or that turn out to have been known earlier."""

    def ask(query, **names):
        return session.sql(query.format(this=this, new=ARE_NEW, **names))

    session.execute(f"create or replace temp view comparables as {comparables.sql_query()}")
    session.execute(DIFFERING.format(this=this))
    session.execute(NEW.format(new=ARE_NEW))
    new = in_one_piece(ask("select * from new_records"))
    agree = [AGREE.format(columns=", ".join(_quoted(rule))) for rule in matching.blocking_columns(frozen)]
    compared = in_one_piece(ask(WORTH_A_LOOK, agree=" union all ".join(agree)))
    found = matching.match_contacts(
        _to_compare(new, rules), frozen, _to_compare(compared, rules), matching.least_probability(rules), database
    )
    before = in_one_piece(ask(PAIRS))
    pairs = pl.concat([matching.pairs_of_matches(before), found], how="diagonal").select(found.columns)
    session.register("pairs", pairs.select("record_key_l", "record_key_r").to_arrow())
    known = in_one_piece(ask(OF_PAIRS))
    session.unregister("pairs")
    kept = pl.concat([before, in_one_piece(ask(KEPT))])
    return changes_of_rows(kept, _rows(pairs, known, in_one_piece(ask(COMPARED)), frozen, rules, match_rules))


def _rows(pairs, known, compared, frozen, rules, match_rules):
    """Rows of pairs, and of records that were compared."""
    matches = matching.matches_of_pairs(pairs, known, frozen, rules)
    return pl.concat([matches, matching.compared_records(compared)], how="diagonal").with_columns(
        match_rules=pl.lit(match_rules)
    )


def _to_compare(records, rules):
    return records.select("record_key", *rules.columns)


def _quoted(columns):
    return ['"' + column.replace('"', '""') + '"' for column in columns]
