"""The personas that marketers define, in one week: who fits them, and how well the data bear them out.

What belongs here: reading and writing what the models need. The models themselves stand in `ml/defined_personas.py`,
what the file may say in `personas_file.py`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import timedelta

import duckdb
import polars as pl

from activation.answers import first_row
from activation.people import person_number
from ml.defined_personas import DefinedModel, fit_defined_personas
from ml.defined_support import judge_support, suggest_groups, suggest_ranges
from ml.membership_reasons import REASON_COLUMNS, deciding_features
from ml.naming import describe_personas, name_personas, profile_personas
from ml.persona_movement import tell_movement
from ml.persona_tracking import ODDS_TO_MOVE
from orchestration.persona_store import (
    ASSIGNMENT_SCHEMA,
    DEFINED,
    DEFINED_MODEL_SCHEMA,
    PERSONA_SCHEMA,
    SUGGESTION_SCHEMA,
    SUPPORT_TABLE_SCHEMA,
    incumbents,
)
from orchestration.personas_file import DEFINED_PREFIX, PersonasFile
from orchestration.special_categories import is_refused_as_a_name
from orchestration.weeks import Week
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class DefinedWeek:
    """What became of the defined personas in one week."""

    assignments: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ASSIGNMENT_SCHEMA))
    personas: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PERSONA_SCHEMA))
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    model_id: str | None = None
    unfit: dict[str, str] = field(default_factory=dict)
    unknown_examples: int = 0


def run_defined_personas(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    catalogue: pl.DataFrame,
    features: pl.DataFrame,
    week: Week,
    discovered: pl.DataFrame,
    personas: pl.DataFrame,
) -> DefinedWeek:
    """Assign the people of `week` to the personas of `personas.yml`.

    A model is frozen, and fitted anew when the definitions change or it is as old as a refit of the personas found in
    the data. Only models fitted before `week` from the same definitions are looked at.
    """
    file = workspace.personas_file
    if not file.personas or not features.height:
        return DefinedWeek()
    people, unknown = _example_people(connection, file, week, workspace.settings.timezone)
    definitions = file.definitions(people)
    fingerprint = file.fingerprint()
    standing = _standing(connection, workspace, week, fingerprint)
    if standing is not None and not set(standing.features_) <= set(features.columns):
        standing = None
    tables: dict[str, pl.DataFrame] = {}
    fitted = standing or fit_defined_personas(features, catalogue, definitions, workspace.settings.personas.seed)
    if not isinstance(fitted, DefinedModel):
        return DefinedWeek(
            tables={"defined_persona_support": _unfit_rows(fitted, week)}, unfit=fitted, unknown_examples=unknown
        )
    content = json.dumps(fitted.to_dict(), sort_keys=True)
    model_id = hashlib.sha256(content.encode()).hexdigest()[:12]
    if standing is None:
        row = {
            "as_of": week.as_of,
            "model_id": model_id,
            "definitions_hash": fingerprint,
            "people": features.height,
            "model": content,
        }
        tables["defined_persona_models"] = pl.DataFrame([row], schema=DEFINED_MODEL_SCHEMA)
    before, before_as_of = incumbents(connection, week, DEFINED)
    placed = fitted.assign(features, before, ODDS_TO_MOVE)
    tracked = tell_movement(placed, None, before if before_as_of == week.back(1).as_of else before.clear())
    tables["defined_persona_support"] = pl.concat(
        [_support(fitted, features, placed, discovered, week), _unfit_rows(fitted.unfit, week)]
    )
    tables["persona_suggestions"] = _suggestions(fitted, features, catalogue, week)
    return DefinedWeek(
        assignments=_assignments(fitted, features, tracked, week, model_id),
        personas=_personas(fitted, features, placed, catalogue, workspace, personas, week, model_id),
        tables=tables,
        model_id=model_id,
        unfit=fitted.unfit,
        unknown_examples=unknown,
    )


def _example_people(
    connection: duckdb.DuckDBPyConnection, file: PersonasFile, week: Week, timezone: str
) -> tuple[dict[str, int], int]:
    """Whom each example means in this week, by contact id or person id; and how many of them the week does not know."""
    named = sorted({example for one in file.personas.values() for example in one.examples})
    if not named:
        return {}, 0
    contacts = connection.execute(
        "select identity_id, max(person_id) from intermediate.int_identities_resolved "
        "where identity_kind = 'contact' and identity_id in (select unnest(?)) and valid_from < ? "
        "and coalesce(valid_to > ?, true) group by identity_id",
        [named, *([week.as_of_at(timezone)] * 2)],
    ).fetchall()
    numbers = {example: person_number(example) for example in named} | dict(contacts)
    people = {example: number for example, number in numbers.items() if number is not None}
    there = first_row(
        connection,
        "select count(*) from features.person_features where as_of = ? and person_id in (select unnest(?::ubigint[]))",
        [week.as_of, sorted(set(people.values()))],
    )
    unknown = len(named) - len(people) + len(set(people.values())) - (there[0] if there else 0)
    return people, unknown


def _standing(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, fingerprint: str
) -> DefinedModel | None:
    oldest = week.as_of - timedelta(weeks=workspace.settings.personas.refit_every_weeks)
    row = first_row(
        connection,
        "select model from ml.defined_persona_models where as_of < ? and as_of > ? and definitions_hash = ? "
        "order by as_of desc limit 1",
        [week.as_of, oldest, fingerprint],
    )
    return DefinedModel.from_dict(json.loads(row[0])) if row else None


def _assignments(
    model: DefinedModel, features: pl.DataFrame, tracked: pl.DataFrame, week: Week, model_id: str
) -> pl.DataFrame:
    reasoned = deciding_features(model.preparation, features, tracked)
    ruled = {one.persona_id: [rule.feature for rule in one.rules][: len(REASON_COLUMNS)] for one in model.definitions}
    # Where rules decide, they are the reason.
    stated = {
        column: pl.col("persona_id").replace_strict(
            {persona: (names[place] if place < len(names) else None) for persona, names in ruled.items() if names},
            default=None,
            return_dtype=pl.String,
        )
        for place, column in enumerate(REASON_COLUMNS)
    }
    is_ruled = pl.col("persona_id").is_in([persona for persona, names in ruled.items() if names])
    return reasoned.with_columns(
        *(pl.when(is_ruled).then(stated[column]).otherwise(pl.col(column)).alias(column) for column in REASON_COLUMNS),
        as_of=pl.lit(week.as_of),
        persona_type=pl.lit(DEFINED),
        model_id=pl.lit(model_id),
    ).select(pl.col(name).cast(kind) for name, kind in ASSIGNMENT_SCHEMA.items())


def _personas(
    model: DefinedModel,
    features: pl.DataFrame,
    placed: pl.DataFrame,
    catalogue: pl.DataFrame,
    workspace: Workspace,
    discovered: pl.DataFrame,
    week: Week,
    model_id: str,
) -> pl.DataFrame:
    names = workspace.personas_file.names()
    stated = {DEFINED_PREFIX + key: one.description for key, one in workspace.personas_file.personas.items()}
    everybody = features.select("person_id").join(
        placed.select("person_id", "persona_id"), on="person_id", how="left", maintain_order="left"
    )
    profiles = profile_personas(features, everybody.with_columns(pl.col("persona_id").fill_null("")), catalogue)
    found = describe_personas(profiles, is_refused_as_a_name)
    taken = {name.casefold() for name in discovered["persona_name"].drop_nulls().to_list()}
    sizes = dict(placed.group_by("persona_id").len().iter_rows())
    rows = [
        {
            "as_of": week.as_of,
            "persona_type": DEFINED,
            "persona_id": persona,
            "persona_name": names[persona] if names[persona].casefold() not in taken else f"{names[persona]} (defined)",
            "description": stated[persona] or found.get(persona),
            "people": sizes.get(persona, 0),
            "model_id": model_id,
        }
        for persona in model.persona_ids
        if persona in names
    ]
    return pl.DataFrame(rows, schema=PERSONA_SCHEMA).sort("persona_id")


def _support(
    model: DefinedModel, features: pl.DataFrame, placed: pl.DataFrame, discovered: pl.DataFrame, week: Week
) -> pl.DataFrame:
    support = judge_support(model, features, placed, discovered)
    ranges: dict[str, list[dict[str, object]]] = {}
    for suggestion in suggest_ranges(model, features, placed):
        told = {name: value for name, value in asdict(suggestion).items() if name != "persona_id"}
        ranges.setdefault(suggestion.persona_id, []).append(told)
    return support.with_columns(
        pl.col("share", "mean_fit", "separation", "stability", "nearest_overlap").round(6),
        as_of=pl.lit(week.as_of),
        unfit_reason=pl.lit(None, pl.String),
        suggested_ranges=pl.Series([json.dumps(ranges.get(one, [])) for one in support["persona_id"]], dtype=pl.String),
    ).select(pl.col(name).cast(kind) for name, kind in SUPPORT_TABLE_SCHEMA.items())


def _unfit_rows(unfit: dict[str, str], week: Week) -> pl.DataFrame:
    rows = [
        {"as_of": week.as_of, "persona_id": persona, "unfit_reason": reason}
        for persona, reason in sorted(unfit.items())
    ]
    return pl.DataFrame(rows, schema=SUPPORT_TABLE_SCHEMA)


def _suggestions(model: DefinedModel, features: pl.DataFrame, catalogue: pl.DataFrame, week: Week) -> pl.DataFrame:
    groups = suggest_groups(model, features)
    if groups.is_empty():
        return pl.DataFrame(schema=SUGGESTION_SCHEMA)
    everybody = features.select("person_id").join(groups, on="person_id", how="left", maintain_order="left")
    profiles = profile_personas(features, everybody.with_columns(pl.col("persona_id").fill_null("")), catalogue).filter(
        pl.col("persona_id") != ""
    )
    names = name_personas(profiles, catalogue, is_refused=is_refused_as_a_name)
    descriptions = describe_personas(profiles, is_refused_as_a_name)
    sizes = groups.group_by("persona_id").len().sort("persona_id")
    rows = [
        {
            "as_of": week.as_of,
            "suggestion": one,
            "name": names.get(one),
            "description": descriptions.get(one),
            "people": people,
            "share": round(people / features.height, 6),
        }
        for one, people in sizes.iter_rows()
    ]
    return pl.DataFrame(rows, schema=SUGGESTION_SCHEMA)
