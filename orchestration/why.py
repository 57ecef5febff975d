"""`personae why DIR PERSON`: why somebody is in a persona, a band, an audience, and why not in another.

What belongs here: one person's answers, as lines of text, from what a week recorded. It reads, and writes nothing. No
name, address or other personal data is printed: whoever asks knows whom they ask for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import polars as pl

from activation.answers import first_row, read_frame
from activation.people import person_name, person_name_sql, person_number
from ml.defined_personas import DefinedModel
from ml.membership_reasons import REASON_COLUMNS, evidence_for, learn_scales
from ml.persona_definitions import FeatureRule, PersonaDefinition, rule_fit
from orchestration.persona_store import DEFINED, DISCOVERED, StandingModel, model_of_week
from orchestration.settings_file import nearest
from orchestration.sql import identifier
from orchestration.weeks import Week
from orchestration.why_audiences import audience_lines, contact_facts, permission_lines
from orchestration.why_erased import Erasure, erasure_lines
from orchestration.why_propensities import in_words, propensity_lines
from orchestration.workspace import Workspace

SAMPLE = 20_000
SHOWN = 3


class NotFound(Exception):
    """There is no such person, week or persona; the message says which and what there is instead."""


@dataclass(frozen=True)
class Question:
    """Who is asked for, in which week, and against which persona."""

    person: str
    week: Week | None = None
    not_in: str | None = None


@dataclass(frozen=True)
class Answer:
    """The answer, for people and for programs.

    Attributes:
        lines: to be printed.
        facts: the same on contact, by name; what decided the persona is in `lines` only.
        person: a person id, or nothing where they were erased.
    """

    lines: tuple[str, ...]
    facts: dict[str, Any]
    person: str = ""

    def to_json(self) -> str:
        """As JSON; moments in ISO 8601, UTC."""
        return json.dumps({**self.facts, "lines": list(self.lines)}, indent=2, default=_as_text)


def _as_text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def explain(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, catalogue: pl.DataFrame, question: Question
) -> list[str]:
    """The lines of `answer`."""
    return list(answer(connection, workspace, catalogue, question).lines)


def answer(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, catalogue: pl.DataFrame, question: Question
) -> Answer:
    """Answer a question.

    Args:
        connection: the warehouse; reading is enough.
        workspace: the workspace.
        catalogue: the feature catalogue, for plain words.
        question: a person id, contact id or address, a week (default: the latest), a persona they are not in (default:
            the runner-up).

    Returns:
        The answer.

    Raises:
        NotFound: no such person, week or persona.
    """
    week = _week(connection, question.week)
    person_id = _person(connection, workspace, question.person, week)
    if not _is_profiled(connection, week, person_id):
        lines = [
            f"Person {person_name(person_id)}, week {week.key}",
            *permission_lines(connection, week, person_id),
            *audience_lines(connection, workspace, week, person_id),
        ]
    else:
        labels = dict(catalogue.select("feature", "label").iter_rows())
        lines = [
            f"Person {person_name(person_id)}, week {week.key}",
            *_persona_lines(connection, week, person_id, labels, question.not_in),
            *_defined_lines(connection, workspace, week, person_id, labels),
            *propensity_lines(connection, week, person_id, labels),
            *audience_lines(connection, workspace, week, person_id),
        ]
    name = person_name(person_id)
    facts = {"person_id": name, "week": week.key, **contact_facts(connection, workspace, week, person_id)}
    return Answer(tuple(lines), facts, name)


def answer_of_erased(erasure: Erasure) -> Answer:
    """The answer about somebody who was erased: since when, and every place that refuses them."""
    facts = {
        "erased_at": erasure.erased_at,
        "reference": erasure.reference,
        "every_place_refuses": erasure.holds,
        "places": [vars(one) for one in erasure.refusals],
    }
    return Answer(tuple(erasure_lines(erasure)), facts)


def _week(connection: duckdb.DuckDBPyConnection, wanted: Week | None) -> Week:
    try:
        weeks = [
            row[0]
            for row in connection.execute("select as_of from ml.persona_weeks where people > 0 order by 1").fetchall()
        ]
    except duckdb.CatalogException:
        weeks = []
    if not weeks:
        raise NotFound("no week was run yet; `personae run DIR` first")
    if wanted is None:
        return Week.ending(weeks[-1])
    if wanted.as_of not in weeks:
        first, last = Week.ending(weeks[0]).key, Week.ending(weeks[-1]).key
        raise NotFound(f"the week {wanted.key} was not run; there are weeks from {first} to {last}")
    return wanted


def _person(connection: duckdb.DuckDBPyConnection, workspace: Workspace, given: str, week: Week) -> int:
    """The person whom a person id, a contact id or an address names in a week."""
    at = week.as_of_at(workspace.settings.timezone)
    found = connection.execute(
        "select distinct person_id from intermediate.int_identities_resolved where identity_kind = 'contact' "
        "and (identity_id = $given or identity_id in (select contact_id from staging.stg_contacts "
        "where lower(trim(email)) = lower(trim($given)))) and valid_from < $at and coalesce(valid_to > $at, true) "
        "order by 1",
        {"given": given, "at": at},
    ).fetchall()
    if len(found) > 1:
        raise NotFound(f"{len(found)} people have this address in the week {week.key}; ask for one by a contact id")
    person_id = found[0][0] if found else person_number(given)
    permitted = "select 1 from intermediate.int_profiling_permissions where as_of = ? and person_id = ?"
    if person_id is None or (
        not _is_profiled(connection, week, person_id)
        and first_row(connection, permitted, [week.as_of, person_id]) is None
    ):
        raise NotFound(f"nobody is known by this person id, contact id or address in the week {week.key}")
    return int(person_id)


def _is_profiled(connection: duckdb.DuckDBPyConnection, week: Week, person_id: int) -> bool:
    found = first_row(
        connection, "select 1 from features.person_features where as_of = ? and person_id = ?", [week.as_of, person_id]
    )
    return found is not None


def _rows(connection: duckdb.DuckDBPyConnection, query: str, values: list[Any]) -> list[dict[str, Any]]:
    result = connection.execute(query, values)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _names(connection: duckdb.DuckDBPyConnection, week: Week) -> dict[str, str]:
    rows = connection.execute(
        "select persona_id, persona_name from ml.personas where as_of = ? order by persona_id", [week.as_of]
    ).fetchall()
    return {persona: name or persona for persona, name in rows}


def _persona_lines(
    connection: duckdb.DuckDBPyConnection, week: Week, person_id: int, labels: dict[str, str], not_in: str | None
) -> Iterator[str]:
    names = _names(connection, week)
    rows = _rows(
        connection,
        "select * from ml.persona_assignments where as_of = ? and person_id = ? and persona_type = ?",
        [week.as_of, person_id, DISCOVERED],
    )
    yield ""
    yield "Persona"
    if not rows:
        yield "  none was assigned"
        return
    row = rows[0]
    own, runner_up = row["persona_id"], row["runner_up_persona_id"]
    yield f"  {names[own]} ({own}), with a probability of {row['strength']:.0%}"
    if runner_up:
        second = row["strength"] - row["margin"]
        yield f"  next comes {names.get(runner_up, runner_up)} ({runner_up}) with {second:.0%}"
        if row["margin"] < 0:
            yield "  kept there although the other is somewhat more probable: people move when the odds are clear"
    yield from _movement_lines(connection, week, row, names)
    standing = model_of_week(connection, week)
    rival = _rival(not_in, own, runner_up, names, standing)
    if standing is None or rival is None:
        return
    evidence, their_row = _evidence(connection, week, person_id, standing, own, rival)
    person = their_row.row(0, named=True)
    yield from _model_alone_lines(standing, their_row, own, names)
    order = np.argsort(-evidence, kind="stable")
    features = standing.model.preparation.features_
    stored = [row[column] for column in REASON_COLUMNS if row[column]]
    if stored and rival == runner_up:
        yield f"  what decided it: {', '.join(labels.get(name, name) for name in stored)}"
    yield f"  what speaks for {names[own]} rather than {names.get(rival, rival)}:"
    for place in order[:SHOWN]:
        if evidence[place] > 0:
            yield f"    + {_compared(connection, week, features[place], labels, person, own, rival, names)}"
    against = [place for place in order[::-1][:SHOWN] if evidence[place] < 0]
    yield f"  what would speak for {names.get(rival, rival)}:" + ("" if against else " nothing")
    for place in against:
        yield f"    - {_compared(connection, week, features[place], labels, person, own, rival, names)}"


def _model_alone_lines(
    standing: StandingModel, their_row: pl.DataFrame, own: str, names: dict[str, str]
) -> Iterator[str]:
    """Where the features of the last weeks alone would put somebody, if that is elsewhere."""
    probabilities = standing.model.probabilities(their_row)[1][0]
    likeliest = standing.personas.persona_ids[int(probabilities.argmax())]
    if likeliest != own:
        yield (
            f"  the model alone, whose features count many weeks, would say {names.get(likeliest, likeliest)} "
            f"({probabilities.max():.0%}); what they did week by week outweighs it"
        )


def _movement_lines(
    connection: duckdb.DuckDBPyConnection, week: Week, row: dict[str, Any], names: dict[str, str]
) -> Iterator[str]:
    before = first_row(
        connection,
        "select persona_id from ml.persona_assignments where as_of = ? and person_id = ? and persona_type = ?",
        [week.back(1).as_of, row["person_id"], DISCOVERED],
    )
    if before is None:
        yield "  in no persona the week before"
    elif row["movement"] == "moved":
        yield f"  moved this week, from {names.get(before[0], before[0])}: their behaviour changed"
    elif row["movement"] == "redrawn":
        yield f"  was in {names.get(before[0], before[0])}: only the boundary was drawn anew"
    else:
        yield "  as the week before"


def _rival(
    not_in: str | None, own: str, runner_up: str | None, names: dict[str, str], standing: StandingModel | None
) -> str | None:
    if not_in is None:
        return runner_up
    known = set(standing.personas.persona_ids.values()) if standing else set()
    by_name = {name.casefold(): persona for persona, name in names.items() if persona in known}
    wanted = not_in if not_in in known else by_name.get(not_in.casefold())
    if wanted is None:
        raise NotFound(f"there is no persona '{not_in}' this week; {nearest(not_in, [*known, *by_name])}")
    if wanted == own:
        raise NotFound(f"the person is in {wanted}")
    return wanted


def _evidence(
    connection: duckdb.DuckDBPyConnection, week: Week, person_id: int, standing: StandingModel, own: str, rival: str
) -> tuple[np.ndarray, pl.DataFrame]:
    preparation = standing.model.preparation
    market = standing.model.settings.market_feature
    needed = dict.fromkeys(["person_id", *preparation.features_, *([market] if market else [])])
    columns = ", ".join(f"f.{identifier(name)}" for name in needed)
    sample = read_frame(
        connection,
        f"with drawn as (select a.person_id, a.persona_id from ml.persona_assignments as a where a.as_of = ? "
        f"and a.persona_type = ? order by a.person_id = ? desc, md5({person_name_sql('a.person_id')}), "
        "a.person_id limit ?) "
        f"select {columns}, d.persona_id as __persona from drawn as d inner join features.person_features as f "
        "on f.person_id = d.person_id and f.as_of = ? order by f.person_id",
        [week.as_of, DISCOVERED, person_id, SAMPLE, week.as_of],
    )
    placed = sample.select("person_id", persona_id="__persona")
    scales = learn_scales(preparation, sample, placed)
    person = sample.filter(pl.col("person_id") == person_id)
    return evidence_for(preparation, scales, person, [own], [rival])[0], person


def _compared(
    connection: duckdb.DuckDBPyConnection,
    week: Week,
    feature: str,
    labels: dict[str, str],
    person: dict[str, Any],
    own: str,
    rival: str,
    names: dict[str, str],
) -> str:
    means = dict(
        connection.execute(
            "select segment_id, segment_value from marts.segment_profiles where as_of = ? and segment_type = 'persona' "
            "and characteristic = ? and segment_id in (?, ?)",
            [week.as_of, feature, own, rival],
        ).fetchall()
    )
    told = f"{labels.get(feature, feature)}: {in_words(person[feature])}"
    shown = [f"{in_words(means[one])} in {names.get(one, one)}" for one in (own, rival) if one in means]
    return f"{told} (on average {' and '.join(shown)})" if shown else told


def _defined_lines(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, person_id: int, labels: dict[str, str]
) -> Iterator[str]:
    row = first_row(
        connection,
        "select m.model from ml.persona_weeks as w inner join ml.defined_persona_models as m "
        "on m.model_id = w.defined_model_id where w.as_of = ? and m.as_of <= w.as_of order by m.as_of desc limit 1",
        [week.as_of],
    )
    if row is None:
        return
    model = DefinedModel.from_dict(json.loads(row[0]))
    names = _names(connection, week)
    columns = ", ".join(identifier(name) for name in ["person_id", *model.features_])
    person = read_frame(
        connection,
        f"select {columns} from features.person_features where as_of = ? and person_id = ?",
        [week.as_of, person_id],
    )
    probabilities, fits = model.score(person)
    mine = first_row(
        connection,
        "select persona_id, strength from ml.persona_assignments where as_of = ? and person_id = ? "
        "and persona_type = ?",
        [week.as_of, person_id, DEFINED],
    )
    yield ""
    yield "Personas you defined"
    if mine is None:
        yield f"  none of these (probability that none fits: {probabilities[0, -1]:.0%})"
    for place, definition in enumerate(model.definitions):
        persona = definition.persona_id
        is_in = mine is not None and mine[0] == persona
        state = "in" if is_in else "not in"
        yield (
            f"  {state} {names.get(persona, persona)}: fit {fits[0, place]:.2f}, "
            f"probability {(mine[1] if is_in and mine else probabilities[0, place]):.0%}"
        )
        for rule in definition.rules:
            yield f"    {_rule_line(rule, person, model, labels)}"
        if not definition.rules:
            yield "    by likeness to its example people"


def _rule_line(rule: FeatureRule, person: pl.DataFrame, model: DefinedModel, labels: dict[str, str]) -> str:
    met = rule_fit(person, (PersonaDefinition("one", (rule,)),), model.scales)[0, 0] >= 1
    if rule.values:
        asked = f"one of {', '.join(rule.values)}"
    elif rule.low is not None and rule.high is not None:
        asked = f"{rule.low:,.4g} to {rule.high:,.4g}"
    else:
        asked = f"at least {rule.low:,.4g}" if rule.low is not None else f"at most {rule.high:,.4g}"
    value = in_words(person[rule.feature][0])
    return f"{'yes' if met else 'no '}  {labels.get(rule.feature, rule.feature)}: {value}, asked for is {asked}"
