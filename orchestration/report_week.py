"""What the report of one week says: figures read from the marts and the ledgers, aggregates only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import duckdb
import polars as pl

from activation.answers import first_row, read_frame
from activation.people import person_name
from activation.report.report_data import Picture, ReportData
from orchestration.eligibility import NOT_ELIGIBLE
from orchestration.persona_evidence import NOT_WORTH_SEPARATING, READ_SO, RETIRE, UNPROFITABLE, evidence_pictures
from orchestration.persona_store import model_of_week
from orchestration.report_adoption import adoption_frames
from orchestration.report_lookalikes import lookalike_frames
from orchestration.report_propensities import propensity_frames
from orchestration.sql import identifier
from orchestration.weeks import Week
from orchestration.workspace import Workspace

KPIS = """
select
    k.as_of, k.segment_id, k.segment_name, k.description, k.people, k.people_share, p.people as previous_people,
    k.revenue_91d as revenue, k.revenue_share, k.reachable_people, k.mean_probability
from marts.segment_kpis as k
left join marts.segment_kpis as p on p.as_of = k.as_of - 7 and p.segment_id = k.segment_id
where k.as_of <= ? and k.segment_type = 'persona'
order by all
"""


# Begins why `persona_index` holds figures back that would tell of fewer people than `minimum_cell`.
TOO_FEW = "fewer than"


def report_data(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> ReportData:
    """Everything the report of `week` needs."""
    as_of = [week.as_of]
    model_id, k_choice, k_evidence = _model(connection, week)
    solution_words, k_notes, pictures = _persona_evidence(connection, workspace, week)
    history = _frame(connection, KPIS, as_of)
    refit, moved_by_refit_alone = _week_facts(connection, week)
    return ReportData(
        company=workspace.settings.company,
        as_of=week.as_of,
        week_start=week.monday,
        timezone=workspace.settings.timezone,
        currency=workspace.settings.currency,
        minimum_cell=workspace.settings.minimum_cell,
        k_choice=k_choice,
        model_id=model_id,
        k_evidence=k_evidence,
        solution_words=solution_words,
        k_notes=k_notes,
        pictures=pictures,
        history=history,
        kpis=history.filter(pl.col("as_of") == week.as_of),
        profiles=_frame(
            connection,
            "select p.segment_id, p.characteristic, p.label, p.family, p.kind, p.unit, p.segment_value, p.base_value, "
            "p.index_value, p.effect_size, p.people, i.index_low, i.index_high from marts.segment_profiles as p "
            "left join marts.persona_index as i on i.as_of = p.as_of and i.segment_type = p.segment_type "
            "and i.segment_id = p.segment_id and i.characteristic = p.characteristic "
            "where p.as_of = ? and p.segment_type = 'persona' and not starts_with(coalesce(i.abstained_reason, ''), ?) "
            "order by all",
            [week.as_of, TOO_FEW],
        ),
        index=_frame(connection, "select * from marts.persona_index where as_of = ? order by all", as_of),
        market=_frame(connection, "select * from marts.market_sizes where as_of = ? order by all", as_of),
        subgroups=_frame(connection, "select * from marts.trigger_subgroups where as_of = ? order by all", as_of),
        migrations=_migrations(connection, week),
        propensity=_frame(
            connection,
            "select p.target, r.label, p.band, count(*) as people, avg(p.probability) as mean_probability "
            "from marts.person_propensities as p "
            "inner join ml.model_runs as r on r.as_of = p.as_of and r.target = p.target "
            "where p.as_of = ? and not starts_with(coalesce(p.abstained_reason, ''), ?) group by all order by all",
            [week.as_of, NOT_ELIGIBLE],
        ),
        propensity_by_segment=_frame(
            connection,
            "select p.target, m.segment_id, avg(p.probability) as mean_probability, "
            "count(*) filter (p.band = 'high') as high_people, count(*) filter (p.band = 'medium') as medium_people, "
            "count(*) filter (p.band = 'low') as low_people from marts.person_propensities as p "
            "inner join marts.segment_memberships as m on m.as_of = p.as_of and m.person_id = p.person_id "
            "and m.segment_type = 'persona' where p.as_of = ? and p.probability is not null group by all order by all",
            as_of,
        ),
        **propensity_frames(connection, week),
        **lookalike_frames(connection, week),
        deliveries=_deliveries(connection, workspace, week),
        checks=_checks(connection, workspace, week),
        rhythms=_frame(
            connection,
            "select segment_id, weekday, hour, active_hours, people from marts.segment_rhythms where as_of = ? "
            "and segment_type = 'persona' order by all",
            as_of,
        ),
        stages=_frame(
            connection,
            "select segment_id, stage, people from marts.segment_stages where as_of = ? "
            "and segment_type = 'persona' order by all",
            as_of,
        ),
        typical=_typical(connection, week),
        ledger=_frame(
            connection,
            "select persona_id, event, reason from ml.persona_ledger where as_of = ? order by all",
            as_of,
        ),
        defined=_defined(connection, workspace, week),
        range_suggestions=_range_suggestions(connection, week),
        suggestions=_frame(
            connection,
            "select name, description, people, share from ml.persona_suggestions where as_of = ? order by suggestion",
            as_of,
        ),
        values=_frame(
            connection,
            "select segment_id, horizon_days, buyers, expected_purchases, expected_value, expected_value_low, "
            "expected_value_high from marts.segment_values where as_of = ? "
            "and segment_type in ('persona', 'everybody') order by all",
            as_of,
        ),
        value_words=_value_words(connection, week),
        preferences=_frame(
            connection,
            "select segment_id, dimension, best_value, probability, lift, evidence, abstained_reason "
            "from marts.segment_preferences where as_of = ? order by all",
            as_of,
        ),
        persuasion=_frame(connection, "select * from marts.segment_persuasion where as_of = ? order by all", as_of),
        spared_pressure=_frame(
            connection,
            "select withheld_reason as reason, count(*) as people from marts.person_persuasion "
            "where as_of = ? and withheld_reason is not null group by 1 order by 1",
            as_of,
        ),
        uplift=_frame(
            connection,
            "select campaign, outcome, learner, treated, control, effect, effect_low, effect_high, qini, qini_low, "
            "qini_high, uplift_at_30, verdict, abstained_reason from marts.uplift_results where as_of = ? order by all",
            as_of,
        ),
        **adoption_frames(connection, workspace, week),
        refit=refit,
        moved_by_refit_alone=moved_by_refit_alone,
        audiences=_audiences(connection, workspace, week),
        left_out=_frame(
            connection, "select reason, people from marts.people_left_out where as_of = ? order by reason", as_of
        ),
    )


def _audiences(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> pl.DataFrame:
    """What became of the audiences that a workspace declares; without any, personas' files speak for themselves."""
    if not workspace.activation_file.activation.is_declared:
        return pl.DataFrame()
    return _frame(
        connection,
        "select audience, description, destination, state, state_reason, values_as_of, approved as people "
        "from activation.audience_weeks where as_of = ? order by position",
        [week.as_of],
    )


def _week_facts(connection: duckdb.DuckDBPyConnection, week: Week) -> tuple[str, int | None]:
    """Whether another model than last week's was used, and how many people that alone would have moved."""
    row = first_row(
        connection,
        "select case when w.fitted_as_of <> p.fitted_as_of then coalesce(w.refit, 'another model') else '' end, "
        "w.moved_by_refit_alone from ml.persona_weeks as w "
        "left join ml.persona_weeks as p on p.as_of = w.as_of - 7 "
        "where w.as_of = ?",
        [week.as_of],
    )
    return (row[0] or "", row[1]) if row else ("", None)


def _value_words(connection: duckdb.DuckDBPyConnection, week: Week) -> str:
    """Why nothing, or no value, is expected of customers; empty where it is."""
    row = first_row(
        connection,
        "select coalesce(abstained_reason, value_withheld_reason, '') from ml.value_models where as_of = ?",
        [week.as_of],
    )
    return row[0] if row else ""


def pseudonym(week: Week, person_id: int) -> str:
    """What somebody is called in a week's report.

    It is of the week alone, so that nobody can be followed from report to report, or looked up in the tables.
    """
    return hashlib.sha256(f"{week.key}:{person_name(person_id)}".encode()).hexdigest()[:6]


def _typical(connection: duckdb.DuckDBPyConnection, week: Week) -> pl.DataFrame:
    """The people in the middle of each persona, under pseudonyms, with what sets the persona apart most."""
    people = _frame(
        connection,
        "select persona_id, person_id, rank from ml.persona_medoids where as_of = ? order by persona_id, rank",
        [week.as_of],
    )
    telling = _frame(
        connection,
        "select segment_id, characteristic, label, kind, unit, place from (select *, row_number() over ("
        "partition by segment_id order by abs(effect_size) desc, characteristic) as place from marts.segment_profiles "
        "where as_of = ? and segment_type = 'persona' and kind <> 'category' and effect_size is not null) "
        "where place <= 4 order by segment_id, place",
        [week.as_of],
    )
    if people.is_empty() or telling.is_empty():
        return pl.DataFrame()
    names = sorted(telling["characteristic"].unique().to_list())
    columns = ", ".join(f"cast({identifier(name)} as double) as {identifier(name)}" for name in names)
    values = read_frame(
        connection,
        f"select person_id, {columns} from features.person_features where as_of = ? "
        "and person_id in (select unnest(?)) order by person_id",
        [week.as_of, people["person_id"].to_list()],
    )
    long = values.unpivot(index="person_id", variable_name="characteristic", value_name="value")
    shown = people.join(telling, left_on="persona_id", right_on="segment_id").join(
        long, on=["person_id", "characteristic"], how="left"
    )
    pseudonyms = {person: pseudonym(week, person) for person in people["person_id"]}
    return shown.select(
        segment_id="persona_id",
        pseudonym=pl.col("person_id").replace_strict(pseudonyms, return_dtype=pl.String),
        place=pl.col("rank") * 10 + pl.col("place"),
        label="label",
        kind="kind",
        unit="unit",
        value="value",
    ).sort("segment_id", "place")


def _defined(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> pl.DataFrame:
    rows = _frame(
        connection,
        "select s.persona_id as segment_id, k.segment_name, k.description, s.people, s.share, k.reachable_people, "
        "s.mean_fit, s.separation, s.stability, s.nearest_persona_id as nearest_id, s.nearest_overlap, s.unfit_reason "
        "from ml.defined_persona_support as s left join marts.segment_kpis as k "
        "on k.as_of = s.as_of and k.segment_id = s.persona_id where s.as_of = ? order by s.persona_id",
        [week.as_of],
    )
    stated = workspace.personas_file.names()
    return rows.with_columns(
        segment_name=pl.coalesce(
            "segment_name", pl.col("segment_id").replace_strict(stated, default=None, return_dtype=pl.String)
        )
    )


def _range_suggestions(connection: duckdb.DuckDBPyConnection, week: Week) -> pl.DataFrame:
    rows = connection.execute(
        "select persona_id, suggested_ranges from ml.defined_persona_support where as_of = ? and people > 0 "
        "order by persona_id",
        [week.as_of],
    ).fetchall()
    labels = dict(
        connection.execute(
            "select distinct characteristic, label from marts.segment_profiles where as_of = ?", [week.as_of]
        ).fetchall()
    )
    found = [
        {
            "segment_id": persona,
            "label": labels.get(one["feature"], one["feature"]),
            "low": one["low"],
            "high": one["high"],
            "reason": one["reason"],
        }
        for persona, told in rows
        for one in json.loads(told or "[]")
    ]
    return pl.DataFrame(found, infer_schema_length=None)


def _frame(connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[object]) -> pl.DataFrame:
    return read_frame(connection, query, list(values))


def _model(connection: duckdb.DuckDBPyConnection, week: Week) -> tuple[str, str, pl.DataFrame]:
    row = first_row(
        connection,
        "select model_id, choice, k_evidence from ml.persona_models where as_of = "
        "(select fitted_as_of from ml.persona_weeks where as_of = ?)",
        [week.as_of],
    )
    if row is None:
        return "none", "Nobody to find personas among.", pl.DataFrame()
    return row[0], row[1], pl.DataFrame(json.loads(row[2]))


def _persona_evidence(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week
) -> tuple[str, tuple[str, ...], tuple[Picture, ...]]:
    """What kind of personas these are, what to know of them, and the drawings of the evidence."""
    standing = model_of_week(connection, week)
    if standing is None:
        return "", (), ()
    names = dict(
        connection.execute(
            "select persona_id, persona_name from ml.personas where as_of = ? and persona_type = 'persona'",
            [week.as_of],
        ).fetchall()
    )
    evidence = standing.model.evidence
    notes = [*(one.words for one in evidence.merges), *evidence.notes, *_value_notes(connection, week, names)]
    clusters = {cluster: names.get(persona, persona) for cluster, persona in standing.personas.persona_ids.items()}
    profiles = _frame(
        connection,
        "select segment_id as persona_id, label, effect_size, segment_value as persona_value, base_value "
        "from marts.segment_profiles where as_of = ? and segment_type = 'persona' and kind <> 'category' order by all",
        [week.as_of],
    )
    drawn = evidence_pictures(workspace, standing.model, clusters, profiles, names)
    pictures = tuple(Picture(title, READ_SO[title], svg.decode()) for title, svg in drawn.items())
    return evidence.kind_words, tuple(notes), pictures


def _value_notes(connection: duckdb.DuckDBPyConnection, week: Week, names: dict[str, str]) -> list[str]:
    rows = connection.execute(
        "select persona_id, alike_persona_id, net_value, unprofitable_weeks, flags from ml.persona_values "
        "where as_of = ? order by persona_id",
        [week.as_of],
    ).fetchall()
    notes = []
    for persona, alike, net_value, weeks, flags in rows:
        name, told = names.get(persona, persona), json.loads(flags)
        if NOT_WORTH_SEPARATING in told:
            notes.append(
                f"{name}: not worth separating from {names.get(alike, alike)}; since the model was fitted, their "
                "people did the same in every figure that counts."
            )
        if UNPROFITABLE in told:
            also = "; a candidate for retirement" if RETIRE in told else ""
            notes.append(
                f"{name}: costs more than it brings ({net_value:.2f} per person, {weeks} weeks in a row){also}."
            )
    return notes


def _migrations(connection: duckdb.DuckDBPyConnection, week: Week) -> pl.DataFrame:
    return _frame(
        connection,
        "with names as (select as_of, persona_id, persona_name from ml.personas) "
        "select g.previous_as_of, g.as_of, g.from_segment_id, f.persona_name as from_segment_name, g.to_segment_id, "
        "t.persona_name as to_segment_name, g.people, g.redrawn_people from marts.segment_migrations as g "
        "left join names as f on f.persona_id = g.from_segment_id and f.as_of = g.previous_as_of "
        "left join names as t on t.persona_id = g.to_segment_id and t.as_of = g.as_of "
        "where g.as_of = ? and g.segment_type = 'persona' order by all",
        [week.as_of],
    )


def _deliveries(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> pl.DataFrame:
    """What was delivered for the week: files whose newest row or delivery falls into it, or that tell no time."""
    return _frame(
        connection,
        "select entity, count(*) as files, sum(rows_read)::bigint as rows_read, "
        "sum(rows_loaded)::bigint as rows_loaded, "
        "sum(rows_quarantined + rows_unreadable)::bigint as rows_quarantined, "
        "sum(rows_duplicate)::bigint as rows_duplicate, max(latest_row_at) as latest_row_at from raw.ingested_files "
        "where status in ('loaded', 'corrected') and coalesce(earliest_row_at < ?, true) "
        "and coalesce(latest_row_at >= ?, true) group by entity order by entity",
        [week.as_of_at(workspace.settings.timezone), week.back(1).as_of_at(workspace.settings.timezone)],
    )


def _checks(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> pl.DataFrame:
    """Per entity: files that kept their contract, and files with rows in quarantine; a refused file stops the run."""
    return _frame(
        connection,
        "select entity, count(*) filter (rows_quarantined + rows_unreadable = 0) as passed, 0 as failed, "
        "count(*) filter (rows_quarantined + rows_unreadable > 0) as warnings "
        "from raw.ingested_files where coalesce(earliest_row_at < ?, true) group by entity order by entity",
        [week.as_of_at(workspace.settings.timezone)],
    )
