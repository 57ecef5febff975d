"""Persuasion of one week: how each segment answered to each approach, and what that means for its people.

What belongs here: counting by segment, and writing what was estimated. The estimator stands in `ml/persuasion.py`,
orders and defaults in `ml/persuasion_orders.py`; what a tagged message and an answer are, in dbt's
`int_persuasion_responses`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from ml.persuasion import (
    APPROACHES,
    COUNT_SCHEMA,
    MODEL_SCHEMA,
    OBSERVED,
    PersuasionRules,
    assignment_reason,
    estimate_persuasion,
)
from ml.persuasion_orders import ORDER_SCHEMA, PersuasionOrders, Segment, order_approaches, without_evidence
from orchestration.persuasion_settings import PersuasionSettings
from orchestration.settings_file import nearest
from orchestration.sql import identifier, literal
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

EVERYBODY = "everybody"
PERSUASION_ESTIMATE_SCHEMA = {
    "as_of": pl.Date,
    "segment_name": pl.String,
    "people": pl.Int64,
    **ORDER_SCHEMA,
    "is_randomized": pl.Boolean,
    "counted_responses": pl.String,
    "caution": pl.String,
    "model_id": pl.String,
}
PERSUASION_PEOPLE_SCHEMA = {
    "as_of": pl.Date,
    "person_id": pl.UInt64,
    "message_style": pl.String,
    "approach_1": pl.String,
    "approach_2": pl.String,
    "approach_3": pl.String,
    "evidence": pl.String,
    "segment_type": pl.String,
    "segment_id": pl.String,
    "persona_message_style": pl.String,
    "adoption_class_message_style": pl.String,
    "withheld_approaches": pl.String,
    "withheld_reason": pl.String,
    **{f"{approach}_{what}": pl.Int16 for approach in APPROACHES for what in ("sends", "responses")},
    "abstained_reason": pl.String,
    "model_id": pl.String,
}
PERSUASION_TABLES = {
    "persuasion_estimates": PERSUASION_ESTIMATE_SCHEMA,
    "persuasion_models": {"as_of": pl.Date, "model_id": pl.String, **MODEL_SCHEMA, "is_randomized": pl.Boolean},
    "persuasion_people": PERSUASION_PEOPLE_SCHEMA,
}

NOT_RANDOMIZED = (
    "chance did not decide who got which approach: differences may be those of the people and occasions it was chosen "
    "for"
)
NOTHING_SENT = "no tagged message was sent"
IN_NO_GROUP = "in no group with evidence or a default"
NOTHING_COUNTED = "nothing"
SUMS = ("sends", "responses", "sends_squared", "responses_squared", "sends_by_responses", "sends_by_all")
STYLED = ("persona", "adoption_class")
CARRIED = (
    "message_style",
    "approach_1",
    "approach_2",
    "approach_3",
    "evidence",
    "segment_type",
    "segment_id",
    *(f"{kind}_message_style" for kind in STYLED),
    "abstained_reason",
)

# The people of the week with the groups they are in: a column per kind of group.
GROUPS = {
    "persona": "select person_id, persona_id as segment_id from ml.persona_assignments "
    "where as_of = $as_of and persona_type = 'persona' and persona_id is not null",
    "defined_persona": "select person_id, persona_id as segment_id from ml.persona_assignments "
    "where as_of = $as_of and persona_type = 'defined_persona' and persona_id is not null",
    "adoption_class": "select person_id, adoption_class as segment_id from ml.adoption_scores "
    "where as_of = $as_of and adoption_class <> 'unclassified'",
}
NAMES = "select distinct persona_type, persona_id, persona_name from ml.personas where as_of = $as_of"
CLASS_NAMES = (
    "select distinct 'adoption_class', adoption_class, adoption_class_name from ml.adoption_scores where as_of = $as_of"
)


@dataclass(frozen=True)
class PersuasionWeek:
    """What became of one week.

    Attributes:
        segments: groups of people.
        observed: those of them with evidence of a best approach.
        people: people with a row.
        spared: those who are spared pressure.
        unmatched_tags: tags that no message of the week's history has.
        unknown_segments: groups with a default that are not there this week.
        is_randomized: whether chance decided over the approaches.
        caution: what to bear in mind when comparing approaches; None where chance decided.
        counted: what counted as an answer.
    """

    segments: int = 0
    observed: int = 0
    people: int = 0
    spared: int = 0
    unmatched_tags: tuple[str, ...] = ()
    unknown_segments: tuple[str, ...] = ()
    is_randomized: bool = False
    caution: str | None = None
    counted: str = NOTHING_COUNTED


def run_persuasion_week(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> PersuasionWeek:
    """Estimate the persuasion of `week` and write `PERSUASION_TABLES`; where nothing is tagged there are no rows."""
    make_tables(connection, PERSUASION_TABLES)
    settings = workspace.settings.persuasion
    if not settings.is_declared:
        with transaction(connection):
            for table, schema in PERSUASION_TABLES.items():
                replace_weeks(connection, f"ml.{table}", pl.DataFrame(schema=schema), [week.as_of])
        return PersuasionWeek()
    as_of = {"as_of": week.as_of}
    try:
        _gather_people(connection, settings, week)
        counts, shares, sizes, together = _counts(connection, settings)
        row = first_row(
            connection, "select max(counted) from intermediate.int_persuasion_responses where as_of = $as_of", as_of
        )
        counted = row[0] if row and row[0] else NOTHING_COUNTED
        caution = _caution(settings, shares)
        model_id = _model_id(settings, counts)
        estimated, models = _estimates(connection, settings, week, counts, sizes)
        told = estimated.with_columns(
            as_of=pl.lit(week.as_of),
            is_randomized=pl.lit(caution is None),
            counted_responses=pl.lit(counted),
            caution=pl.lit(caution, pl.String),
            model_id=pl.lit(model_id),
        )
        models = models.with_columns(
            as_of=pl.lit(week.as_of), model_id=pl.lit(model_id), is_randomized=pl.lit(caution is None)
        )
        with transaction(connection):
            replace_weeks(connection, "ml.persuasion_estimates", _rounded(told, "persuasion_estimates"), [week.as_of])
            replace_weeks(connection, "ml.persuasion_models", _rounded(models, "persuasion_models"), [week.as_of])
            people, spared = _write_people(connection, workspace, week, told, together)
    finally:
        connection.execute("drop table if exists persuasion_week")
    heads = told.unique(["segment_type", "segment_id"])
    known = set(heads.select("segment_type", "segment_id").iter_rows())
    return PersuasionWeek(
        segments=heads.height,
        observed=heads.filter(evidence=OBSERVED).height,
        people=people,
        spared=spared,
        unmatched_tags=_unmatched_tags(connection, settings),
        unknown_segments=_unknown_segments(settings, known),
        is_randomized=caution is None,
        caution=caution,
        counted=counted,
    )


def _gather_people(connection: duckdb.DuckDBPyConnection, settings: PersuasionSettings, week: Week) -> None:
    """Make `persuasion_week`: each person of the week with the groups it is in, its messages and its answers."""
    groups = {kind: query for kind, query in GROUPS.items() if kind != "adoption_class" or _has_classes(connection)}
    own = _columns("sends", "responses")
    own += _columns("randomized_sends", "randomized_responses") if settings.randomized else []
    selected = [
        "people.person_id",
        *(f"{kind}.segment_id as {kind}" if kind in groups else f"null::varchar as {kind}" for kind in GROUPS),
        "spared.rules as spared_rules",
        *(f"coalesce(history.{column}, 0)::smallint as {column}" for _, _, column in own),
    ]
    joins = " ".join(f"left join ({query}) as {kind} using (person_id)" for kind, query in groups.items())
    connection.execute(
        f"create or replace temp table persuasion_week as select {', '.join(selected)} "
        "from (select person_id from intermediate.int_people where as_of = $as_of) as people "
        f"{joins} left join (from intermediate.int_persuasion_responses where as_of = $as_of) as history "
        "using (person_id) left join (select person_id, list_sort(list(rule_number)) as rules "
        "from intermediate.int_people_spared_pressure where as_of = $as_of group by person_id) as spared "
        "using (person_id)",
        {"as_of": week.as_of},
    )


def _has_classes(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether adoption classes are there to be joined: a workspace without launches has none."""
    found = first_row(
        connection, "select 1 from duckdb_tables() where schema_name = 'ml' and table_name = 'adoption_scores'"
    )
    return found is not None


def _columns(*what: str) -> list[tuple[str, str, str]]:
    """Approach, what is counted, and the column of `persuasion_week` that holds it."""
    return [(approach, each, f"{approach}_{each}") for approach in APPROACHES for each in what]


def _counts(
    connection: duckdb.DuckDBPyConnection, settings: PersuasionSettings
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Per group what the estimator and the check of chance ask for, and how many people it has; groups people share.

    Where the workspace names randomized campaigns, only their messages count.
    """
    before = "randomized_" if settings.randomized else ""
    everything = " + ".join(f"{approach}_{before}sends::integer" for approach in APPROACHES)
    sums = ["count(*)::bigint as people", "sum(total) as all_sends", "sum(total * total) as all_sends_squared"]
    for approach in APPROACHES:
        sends, responses = (f"{approach}_{before}{what}::integer" for what in ("sends", "responses"))
        products = (sends, responses, f"{sends} * {sends}", f"{responses} * {responses}", f"{sends} * {responses}")
        sums += [
            f"sum({product}) as {approach}__{name}"
            for name, product in zip(SUMS, (*products, f"{sends} * total"), strict=True)
        ]
    kinds = ", ".join(GROUPS)
    # People in the same groups are added up first: the rows of all are read once for all kinds of groups.
    together = read_frame(
        connection,
        f"select {kinds}, {', '.join(sums)} from (select *, {everything} as total from persuasion_week) "
        f"group by {kinds} order by {kinds}",
    )
    added = [pl.col(name).cast(pl.Int64).sum() for name in together.columns if name not in GROUPS]
    parts = [
        together.with_columns(segment_id=pl.lit(EVERYBODY) if kind == EVERYBODY else pl.col(kind))
        .drop_nulls("segment_id")
        .group_by("segment_id")
        .agg(added)
        .with_columns(segment_type=pl.lit(kind))
        for kind in (*GROUPS, EVERYBODY)
    ]
    wide = pl.concat(parts).sort("segment_type", "segment_id")
    keys = ["segment_type", "segment_id", "people", "all_sends", "all_sends_squared"]
    long = pl.concat(
        wide.select(
            *keys, pl.lit(approach).alias("approach"), *(pl.col(f"{approach}__{name}").alias(name) for name in SUMS)
        )
        for approach in APPROACHES
    ).sort("segment_type", "segment_id", "approach")
    counts = long.select(pl.col(name).cast(kind) for name, kind in COUNT_SCHEMA.items())
    return counts, long, wide.select("segment_type", "segment_id", "people"), together.select(list(GROUPS))


def _caution(settings: PersuasionSettings, shares: pl.DataFrame) -> str | None:
    """What to bear in mind when approaches are compared; null where chance decided and the data bear that out."""
    if not settings.randomized:
        return NOT_RANDOMIZED
    for kind in GROUPS:
        if reason := assignment_reason(shares.filter(segment_type=kind)):
            return f"stated as randomized, but {reason}: {NOT_RANDOMIZED.split(': ')[1]}"
    return None


def _model_id(settings: PersuasionSettings, counts: pl.DataFrame) -> str:
    stated = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return "persuasion-" + hashlib.sha256((stated + counts.write_csv()).encode()).hexdigest()[:12]


def _estimates(
    connection: duckdb.DuckDBPyConnection,
    settings: PersuasionSettings,
    week: Week,
    counts: pl.DataFrame,
    sizes: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of every group, and those of the models."""
    sent = counts.group_by("segment_type", "segment_id").agg(pl.col("sends").sum()).filter(pl.col("sends") > 0)
    learned = estimate_persuasion(
        counts.join(sent, on=["segment_type", "segment_id"], how="semi"), PersuasionRules(settings.minimum_sends)
    )
    silent = sizes.join(sent, on=["segment_type", "segment_id"], how="anti")
    estimates = pl.concat([learned.estimates, without_evidence(silent, NOTHING_SENT)])
    keys = list(sizes.select("segment_type", "segment_id").iter_rows())
    ordered = order_approaches(estimates, _orders(settings, keys))
    queries = [NAMES, CLASS_NAMES] if _has_classes(connection) else [NAMES]
    names = {
        (kind, segment): name
        for query in queries
        for kind, segment, name in connection.execute(query, {"as_of": week.as_of}).fetchall()
        if name
    }
    named = sizes.with_columns(
        segment_name=pl.Series([names.get(key) or _in_words(key[1]) for key in keys], dtype=pl.String)
    )
    joined = ordered.join(named, on=["segment_type", "segment_id"], how="left", maintain_order="left")
    return joined.sort("segment_type", "segment_id", "approach"), learned.models


def _orders(settings: PersuasionSettings, segments: list[Segment]) -> PersuasionOrders:
    return PersuasionOrders(
        defaults={key: order for key in segments if (order := settings.default_of(*key))},
        pressure=settings.pressure.approaches,
        spared={
            key: "; ".join(reasons)
            for key in segments
            if (reasons := [rule.because for rule in settings.pressure.spare if key[1] in rule.segment])
        },
        message_styles=settings.styles,
    )


def _in_words(segment_id: str) -> str:
    words = segment_id.replace("_", " ")
    return words[:1].upper() + words[1:]


def _write_people(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, told: pl.DataFrame, together: pl.DataFrame
) -> tuple[int, int]:
    """Write `ml.persuasion_people`; gives how many people there are, and how many are spared pressure.

    People are in few combinations of groups: what each carries is said once and joined to them in the database.
    """
    settings = workspace.settings.persuasion
    labels = _labels_of_people(told, together, settings, workspace.settings.minimum_cell)  # noqa: F841 - DuckDB reads it
    reasons = f"([{', '.join(literal(rule.because) for rule in settings.pressure.spare)}]::varchar[])"
    history = ", ".join(f"p.{column}" for _, _, column in _columns("sends", "responses"))
    carried = ", ".join(f"l.{column}" for column in CARRIED)
    key = f"hash({', '.join(GROUPS)})"
    connection.execute("delete from ml.persuasion_people where as_of = ?", [week.as_of])
    connection.execute(
        "insert into ml.persuasion_people by name "
        f"with p as (select *, {key} as groups_key, {_spared_rules(settings)} as rules from persuasion_week), "
        f"l as (select *, {key} as groups_key from labels) "
        f"select $as_of::date as as_of, p.person_id, {carried}, {history}, "
        f"case when l.is_spared then {literal(', '.join(settings.pressure.approaches))} end as withheld_approaches, "
        f"case when l.is_spared then array_to_string(list_transform(rules, lambda rule: {reasons}[rule]), '; ') end "
        "as withheld_reason, $model_id as model_id from p inner join l on p.groups_key = l.groups_key "
        "and (coalesce(len(p.rules), 0) > 0) = l.is_spared",
        {"as_of": week.as_of, "model_id": told["model_id"][0] if told.height else None},
    )
    row = first_row(
        connection, "select count(*), count(withheld_reason) from ml.persuasion_people where as_of = ?", [week.as_of]
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _labels_of_people(
    told: pl.DataFrame, together: pl.DataFrame, settings: PersuasionSettings, minimum_cell: int
) -> pl.DataFrame:
    """What people carry, per combination of groups and by whether they are spared pressure.

    The labels are those of the first group with evidence; without any, of the first with a default, the adoption class
    before the persona.
    """
    labels = _labels(told, settings, minimum_cell)
    rows = []
    for combination in together.iter_rows(named=True):
        for is_spared in (False, True):
            found = {kind: labels.get((kind, combination[kind], is_spared)) for kind in GROUPS}
            own = {kind: one for kind, one in found.items() if one is not None}
            ranked = [one for one in own.values() if one["evidence"] == OBSERVED]
            ranked += [own[kind] for kind in ("adoption_class", "persona", "defined_persona") if kind in own]
            first = next((one for one in ranked if one["approach_1"]), None)
            rows.append(
                combination
                | dict.fromkeys(CARRIED)
                | (first or {"abstained_reason": IN_NO_GROUP})
                | {f"{kind}_message_style": own[kind]["message_style"] if kind in own else None for kind in STYLED}
                | {"is_spared": is_spared}
            )
    schema = dict.fromkeys((*GROUPS, *CARRIED), pl.String) | {"is_spared": pl.Boolean}
    return pl.DataFrame(rows, schema=schema)


def _labels(
    told: pl.DataFrame, settings: PersuasionSettings, minimum_cell: int
) -> dict[tuple[str, str | None, bool], dict[str, str | None]]:
    """What the people of each group carry, twice: for those who may be pressed, and for those who are spared."""
    labels: dict[tuple[str, str | None, bool], dict[str, str | None]] = {}
    large = told.filter(pl.col("people") >= minimum_cell, pl.col("segment_type") != EVERYBODY)
    for (kind, segment), of_group in large.group_by("segment_type", "segment_id", maintain_order=True):
        order = of_group.drop_nulls("approach_rank").sort("approach_rank")["approach"].to_list()
        for is_spared in (False, True):
            used = [one for one in order if not is_spared or one not in settings.pressure.approaches]
            labels[str(kind), str(segment), is_spared] = {
                "segment_type": str(kind),
                "segment_id": str(segment),
                "evidence": of_group["evidence"][0] if used else None,
                "message_style": settings.styles[used[0]] if used else None,
                **{f"approach_{place + 1}": used[place] if place < len(used) else None for place in range(3)},
            }
    return labels


def _spared_rules(settings: PersuasionSettings) -> str:
    """The lines of the block list that hold for a person, as SQL: those found before, and those that name a group."""
    by_group = [
        f"case when {kind} in ({', '.join(literal(one) for one in rule.segment)}) then {number} end"
        for number, rule in enumerate(settings.pressure.spare, start=1)
        if rule.segment
        for kind in GROUPS
    ]
    if not by_group:
        return "spared_rules"
    here = f"list_filter([{', '.join(by_group)}]::integer[], lambda rule: rule is not null)"
    return f"list_sort(list_distinct(list_concat(coalesce(spared_rules, []::integer[]), {here})))"


def _rounded(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """Six digits: what threads may add up in another order does not show."""
    schema = PERSUASION_TABLES[table]
    return frame.with_columns(pl.selectors.float().round(6)).select(
        pl.col(name).cast(kind) for name, kind in schema.items()
    )


def _unmatched_tags(connection: duckdb.DuckDBPyConnection, settings: PersuasionSettings) -> tuple[str, ...]:
    """Tags that no message has, each with the nearest value where it names one."""
    delivered: dict[str, list[str]] = {}
    unmatched = []
    for approach, by_property in settings.tags.items():
        for name, patterns in by_property.items():
            if name not in delivered:
                rows = connection.execute(
                    f"select distinct {identifier(name)}::varchar from intermediate.int_message_outcomes "
                    f"where {identifier(name)} is not null order by 1"
                ).fetchall()
                delivered[name] = [str(row[0]) for row in rows]
            values = [value.lower() for value in delivered[name]]
            for pattern in patterns:
                if not any(_is_like(value, pattern.lower()) for value in values):
                    hint = f"; {nearest(pattern, delivered[name])}" if "*" not in pattern and values else ""
                    unmatched.append(f"{approach}, {name} '{pattern}'{hint}")
    return tuple(unmatched)


def _is_like(value: str, pattern: str) -> bool:
    parts = [re.escape(part) for part in pattern.split("*")]
    return re.fullmatch(".*".join(parts), value, re.DOTALL) is not None


def _unknown_segments(settings: PersuasionSettings, known: set[Segment]) -> tuple[str, ...]:
    """Groups that a default or the block list names and that nobody is in this week."""
    stated = [
        (kind, segment) for kind, orders in settings.defaults.items() if isinstance(orders, dict) for segment in orders
    ]
    stated += [("", segment) for rule in settings.pressure.spare for segment in rule.segment]
    unknown = []
    for kind, segment in stated:
        there = [one for of_kind, one in known if kind in ("", of_kind) and of_kind != EVERYBODY]
        # A kind of group that is not there at all, such as classes that are withheld, is no mistake in a name.
        if there and segment not in there:
            unknown.append(f"{kind} '{segment}'; {nearest(segment, there)}".strip())
    return tuple(unknown)
