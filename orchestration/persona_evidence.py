"""What is kept and shown of the evidence for a persona model: its settings, its card, and what its
personas turn out to be worth.

What belongs here: translation between the workspace and `ml/`. What a week does stands in `persona_week.py`.
"""

from __future__ import annotations

import json
from datetime import date

import duckdb
import polars as pl

from activation.answers import read_frame
from ml.model_card import card_markdown, model_card
from ml.people_order import hash_sample
from ml.persona_model import PersonaModel
from ml.persona_model import PersonaSettings as FitSettings
from ml.persona_plots import (
    plot_gorge,
    plot_origins,
    plot_segment_profiles,
    plot_segment_stability,
    plot_separation,
    plot_shown_measures,
    plot_stability,
)
from ml.persona_value import DIFFERENCE_SCHEMA, NET_VALUE_SCHEMA, compare_personas, net_values, not_worth_separating
from orchestration.drawn_once import drawn_once
from orchestration.persona_store import CARD_SCHEMA, VALUE_SCHEMA
from orchestration.sql import identifier
from orchestration.weeks import Week
from orchestration.workspace import Workspace
from orchestration.workspace_settings import PersonaSettings


def fit_settings(settings: PersonaSettings) -> FitSettings:
    """How a model is fitted, as the workspace's settings say."""
    return FitSettings(
        k=settings.k if isinstance(settings.k, int) else None,
        k_range=(settings.k, settings.k) if isinstance(settings.k, int) else settings.k,
        minimum_people=settings.minimum_people,
        minimum_share=settings.minimum_share,
        algorithm=None if settings.algorithm == "auto" else settings.algorithm,
        families=settings.families or None,
        is_thorough=settings.validation == "thorough",
        market_feature=settings.per_market.feature if settings.per_market else None,
        market_minimum=settings.per_market.minimum_people if settings.per_market else 0,
        seed=settings.seed,
    )


DEFAULT_KPIS = ("revenue_28d", "orders_28d", "messages_clicked_28d")
DAYS_AFTER_FIT = 28
"""The figures look back four weeks: so long after the fit they know nothing of what people were grouped by."""
COMPARED_PEOPLE = 50_000
RETIRED_AFTER_WEEKS = 8
"""Weeks in a row that a persona has to cost more than it brings before it is a candidate for retirement."""
NOT_WORTH_SEPARATING, UNPROFITABLE, RETIRE = "not worth separating", "unprofitable", "candidate for retirement"


def card_row(model: PersonaModel, week: Week) -> pl.DataFrame:
    """The model's card, as it is kept."""
    card = model_card(model, week.as_of)
    row = {"as_of": week.as_of, "model_id": model.model_id, "card": json.dumps(card), "markdown": card_markdown(card)}
    return pl.DataFrame([row], schema=CARD_SCHEMA)


def persona_values(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, fitted_as_of: date, placed: pl.DataFrame
) -> pl.DataFrame:
    """Whether each persona differs from the others in what people did since the fit, and whether it pays.

    Args:
        connection: With `features.person_features` of the week, and `ml.persona_assignments` of the weeks before.
        workspace: Its figures and costs.
        week: The week that is scored.
        fitted_as_of: The week the standing model was fitted on.
        placed: person_id, persona_id of the week.

    Returns:
        One row per persona, columns as in `VALUE_SCHEMA`. `alike_persona_id` and `differs_in` are null until four
        weeks after the fit, money is null where no costs are declared.
    """
    columns = {row[0] for row in connection.execute("describe features.person_features").fetchall()}
    differences = _differences(connection, workspace, week, fitted_as_of, columns)
    alike = not_worth_separating(differences)
    values = {
        row["persona_id"]: row
        for row in _net_values(connection, workspace, week, columns, placed).iter_rows(named=True)
    }
    streaks = dict(
        connection.execute(
            "select persona_id, unprofitable_weeks from ml.persona_values where as_of = ?", [week.back(1).as_of]
        ).fetchall()
    )
    rows = []
    for persona in sorted(placed["persona_id"].drop_nulls().unique().to_list()):
        value = values.get(persona, {})
        weeks = (streaks.get(persona) or 0) + 1 if value.get("is_unprofitable") else 0
        own = differences.filter(
            ((pl.col("persona_id") == persona) | (pl.col("other_id") == persona)) & pl.col("is_different")
        )
        flags = [NOT_WORTH_SEPARATING] if persona in alike else []
        flags += [UNPROFITABLE] if value.get("is_unprofitable") else []
        flags += [RETIRE] if weeks >= RETIRED_AFTER_WEEKS else []
        rows.append(
            {
                "as_of": week.as_of,
                "persona_id": persona,
                "fitted_as_of": fitted_as_of,
                "alike_persona_id": alike.get(persona),
                "differs_in": json.dumps(sorted(set(own["kpi"]))) if differences.height else None,
                "net_value": value.get("net_value"),
                "net_value_high": value.get("net_value_high"),
                "unprofitable_weeks": weeks if value else None,
                "flags": json.dumps(flags),
            }
        )
    return pl.DataFrame(rows, schema=VALUE_SCHEMA)


def _differences(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, fitted_as_of: date, columns: set[str]
) -> pl.DataFrame:
    kpis = [kpi for kpi in workspace.settings.personas.kpis or DEFAULT_KPIS if kpi in columns]
    if not kpis or (week.as_of - fitted_as_of).days < DAYS_AFTER_FIT:
        return pl.DataFrame(schema=DIFFERENCE_SCHEMA)
    listed = ", ".join(f"f.{identifier(kpi)}" for kpi in kpis)
    outcomes = read_frame(
        connection,
        f"select a.person_id, a.persona_id, {listed} from ml.persona_assignments as a "
        "inner join features.person_features as f on f.person_id = a.person_id and f.as_of = ? "
        "where a.as_of = ? and a.persona_type = 'persona' order by a.person_id",
        [week.as_of, fitted_as_of],
    )
    return compare_personas(hash_sample(outcomes, COMPARED_PEOPLE, seed=5), kpis)


def _net_values(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, columns: set[str], placed: pl.DataFrame
) -> pl.DataFrame:
    costs = workspace.settings.personas.costs
    if costs is None or "revenue_91d" not in columns:
        return pl.DataFrame(schema=NET_VALUE_SCHEMA)
    spent = {"messages_received_91d": costs.per_message, "tickets_91d": costs.per_ticket}
    terms = [f"- ? * coalesce({identifier(name)}, 0)" for name in spent if name in columns]
    prices = [price for name, price in spent.items() if name in columns]
    people = read_frame(
        connection,
        f"select person_id, ? * coalesce(revenue_91d, 0) {' '.join(terms)} as net_value "
        "from features.person_features where as_of = ? order by person_id",
        [costs.margin, *prices, week.as_of],
    )
    return net_values(people.join(placed.select("person_id", "persona_id"), on="person_id", maintain_order="left"))


READ_SO = {
    "Stability of each number of personas": (
        "Pairs of samples of the same people are divided, and everybody is placed by both; a box shows how alike the "
        "two are, 1 being the same. Dots: how well one half of the people predicts the other. High and narrow is good."
    ),
    "How well each persona is found again": (
        "The share of people a persona has in common with its closest relative in other samples. Below the dashed line "
        "do not trust it."
    ),
    "What marks each persona": (
        "Bars to the right lie above everybody, to the left below; coloured bars are what marks it."
    ),
    "How far personas lie apart": (
        "The two directions that tell personas apart best; the inner ellipse holds half of a persona's people, the "
        "outer one nine tenths. Overlap means soft borders."
    ),
    "Whether there are hills and gorges": (
        "How similar everybody is to the centre of each persona. Two hills with a gorge between them are a group; one "
        "even slope is a cut through a cloud."
    ),
    "Where personas come from": (
        "How a solution with one more persona comes about. A dark dot comes out of one persona as a whole, a light one "
        "is put together from several."
    ),
    "Measures that are shown and do not decide": (
        "Elbow, silhouette and Calinski-Harabasz, because many expect them, and the gap. In simulations the first "
        "three found the true number less often than the votes that decide."
    ),
}
"""How each drawing is read, by its title, in the order in which they are shown."""


def evidence_pictures(
    workspace: Workspace,
    model: PersonaModel,
    cluster_names: dict[int, str],
    profiles: pl.DataFrame,
    names: dict[str, str],
) -> dict[str, bytes]:
    """Draw what speaks for a model.

    Args:
        workspace: where drawings of the standing model are kept.
        model: The standing model.
        cluster_names: Persona's name by cluster.
        profiles: persona_id, label, effect_size, persona_value and base_value of the week.
        names: Persona's name by id.

    Returns:
        Pictures by title, in the order of `READ_SO`; none where there was nothing to judge.
    """
    drawn = drawn_once(
        workspace.pictures_folder,
        ("evidence for personas", model.model_id, sorted(cluster_names.items())),
        lambda: _model_pictures(model, cluster_names),
    )
    if profiles.height:
        drawn["What marks each persona"] = plot_segment_profiles(profiles, names)
    return {title: drawn[title] for title in READ_SO if title in drawn}


def _model_pictures(model: PersonaModel, cluster_names: dict[int, str]) -> dict[str, bytes]:
    evidence, table = model.evidence, model.k_evidence
    drawn: dict[str, bytes] = {}
    if {"stability_low", "gap"} <= set(table.columns) and table.height:
        drawn["Stability of each number of personas"] = plot_stability(table)
        drawn["Measures that are shown and do not decide"] = plot_shown_measures(table)
    if evidence.segments:
        drawn["How well each persona is found again"] = plot_segment_stability(evidence.segments, cluster_names)
        drawn["How far personas lie apart"] = plot_separation(evidence.segments, cluster_names)
        drawn["Whether there are hills and gorges"] = plot_gorge(evidence.segments, cluster_names)
    if evidence.origins:
        drawn["Where personas come from"] = plot_origins(evidence.origins, model.k)
    return drawn
