"""Audiences of one week: who is meant, who passes the gate, what is published, and what stands from before.

What belongs here: reading the week's facts, asking `activation/`, and writing what it decided. Who passes stands in
`activation/gate.py`, what holds a whole audience back in `activation/publish_gates.py`; nothing here decides on a
person.

A workspace without `activation.yml` has an audience per persona, in files; it takes the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from activation.answers import first_row
from activation.audience import FILES, Audience
from activation.audiences import AudienceFile, write_audience_files
from activation.content import filled_in
from activation.experiments import Experiment
from activation.fields import personal_fields, values_sql
from activation.gate import Gate
from activation.gate_terms import GateError, Rules, Terms, Text
from activation.publish_gates import Found, Ledger, Source, find, without_accepted
from activation.publish_gates import Week as GateWeek
from activation.selection import RELATIONS, Selection, compile_selection, needed_relations
from activation.sync.gated import GatedAudience, GateDecision
from activation.sync.protocol import FieldMapping, FieldType, MappedField
from orchestration.activation_file import forbidden_pairs, is_due, read_suppression_list
from orchestration.settings_file import nearest
from orchestration.warehouse import transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

PUBLISHED, BLOCKED, NOT_DUE = "published", "blocked", "not_due"
SOURCES_THAT_FLOW = ("events", "messages", "orders")
"""Entities of which an active company has new rows every week; of others silence says nothing."""

PERSONA_COLUMNS = {
    "as_of": FieldType.DATE,
    "person_id": FieldType.TEXT,
    "persona_id": FieldType.TEXT,
    "persona_name": FieldType.TEXT,
    "membership_strength": FieldType.NUMBER,
    "contact_id": FieldType.TEXT,
    "email": FieldType.TEXT,
    "channel": FieldType.TEXT,
    "purpose": FieldType.TEXT,
    "decision_reason": FieldType.TEXT,
    "consent_recorded_at": FieldType.TIMESTAMP,
}
"""The columns of a persona's file, in order, as `docs/activation-files.md` describes them; targets follow."""

LOOKALIKE_PREFIX = "lookalike-"
LISTS = (
    "select as_of, person_id, segment_type, segment_id, segment_name from marts.segment_memberships "
    "where segment_type in ('persona', 'defined_persona') union all "
    f"select as_of, person_id, 'lookalike', '{LOOKALIKE_PREFIX}' || lookalike, "
    "'Look-alike ' || replace(lookalike, '_', ' ') from marts.lookalikes"
)
"""Who is in which file where nothing is declared: personas, and the look-alikes that the workspace asks for."""


@dataclass
class AudienceState:
    """What became of one audience in one week.

    Attributes:
        audience: What was declared.
        terms: What the gate was told of it.
        state: `published`, `blocked` (by a publish gate; what was published before stands) or `not_due`.
        why: What the publish gates found.
        values_as_of: The week that the people and their values are of; None where nothing was ever published.
        decision: What the gate counted.
        mapping: What goes out.
        segment_type: What the persona's id is an id of.
    """

    audience: Audience
    terms: Terms
    mapping: FieldMapping
    values_as_of: date | None
    state: str = PUBLISHED
    why: list[str] = field(default_factory=list)
    decision: GateDecision = field(default_factory=lambda: GateDecision(0, 0))
    segment_type: str = "persona"


class JudgedWeek:
    """The audiences of one week, judged: to be told of, sealed for a destination, and closed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> None:
        """Judge everybody whom an audience means.

        Raises:
            GateError: The warehouse does not hold the week, or somebody was decided on twice.
        """
        self.week = week
        self.states: dict[str, AudienceState] = {}
        self._connection = connection
        self._workspace = workspace
        self._file = workspace.activation_file
        self._activation = self._file.activation
        self._at = week.as_of_at(workspace.settings.timezone)
        self._relations = existing_tables(connection)
        self._facts: dict[str, float] = {}
        self._everything: list[Found] = []
        _check_week_is_there(connection, week)
        self._gate = Gate(connection, week.as_of, self._at, gate_rules(workspace))
        self._gate.know(
            "select person_id, segment_id as persona_id from marts.segment_memberships "
            "where as_of = $as_of and segment_type = 'persona'",
            {"as_of": week.as_of},
        )
        if self._activation.is_declared:
            self._judge_declared()
        else:
            self._judge_personas()

    # A file per persona, where nothing is declared.

    def _judge_personas(self) -> None:
        own = self._workspace.settings.activation
        segments = self._connection.execute(
            f"select segment_id, any_value(segment_type), any_value(segment_name) from ({LISTS}) "
            "where as_of = ? group by segment_id order by segment_id",
            [self.week.as_of],
        ).fetchall()
        for segment, segment_type, name in segments:
            kind = "persona" if segment_type == "lookalike" else segment_type
            audience = Audience(
                people=Selection.model_validate({kind: segment}),
                description=name or segment,
                purpose=own.purpose,
                channel=own.channel,
            )
            terms = Terms(segment, own.purpose, own.channel, identifier=audience.identified_by, is_file=True)
            self.states[segment] = AudienceState(
                audience, terms, self._persona_mapping(audience), self.week.as_of, segment_type=segment_type
            )
        self._gate.consider_segments(
            [state.terms for state in self.states.values()],
            f"select segment_id, person_id from ({LISTS}) where as_of = $as_of",
            {"as_of": self.week.as_of},
        )
        self._decide()

    def _persona_mapping(self, audience: Audience) -> FieldMapping:
        """The columns of a persona's file, as `docs/activation-files.md` lists them."""
        fields = [MappedField(name, self._source_of(name, audience), of) for name, of in PERSONA_COLUMNS.items()]
        fields += [
            MappedField(target, f"propensity.{target}.probability", FieldType.NUMBER)
            for target in self._workspace.settings.targets
        ]
        return FieldMapping("personas", tuple(fields))

    @staticmethod
    def _source_of(column: str, audience: Audience) -> str:
        if column == "email":
            return "identifier" if audience.identified_by == "email" else "contact.email"
        return column

    # Audiences that a workspace declares.

    def _judge_declared(self) -> None:
        published = self._last_published()
        first = self._workspace.first_week
        for key, audience in self._activation.audiences.items():
            due = is_due(audience, self.week, first)
            self.states[key] = AudienceState(
                audience,
                self._terms(key, audience, is_standing=not due),
                self._declared_mapping(key, audience),
                self.week.as_of if due else published.get(key),
                PUBLISHED if due else NOT_DUE,
            )
        self._know_standing_people(published)
        unknown = {key: self._unknown_names(state) for key, state in self.states.items() if state.state == PUBLISHED}
        for key, state in self.states.items():
            if state.state != PUBLISHED or unknown.get(key):
                self._let_stand(key, state, published)
            else:
                self._consider(state)
        # An audience that is held back gives way to others, so the rest is judged again; as often as there are any.
        for _ in range(len(self.states) + 1):
            self._decide()
            found = self._find(published, unknown)
            blocked = self._block(found)
            if not blocked:
                return
            for key in blocked:
                self._let_stand(key, self.states[key], published)

    def _terms(self, key: str, audience: Audience, is_standing: bool) -> Terms:
        name = audience.experiment(key)
        experiment = (
            Experiment(name, audience.holdout.share, audience.holdout.exclusion_group)
            if audience.holdout and name
            else None
        )
        return Terms(
            key,
            audience.purpose,
            audience.channel,
            audience.destination,
            audience.identified_by,
            audience.destination == FILES,
            audience.minimum_size,
            experiment,
            is_standing,
        )

    def _declared_mapping(self, key: str, audience: Audience) -> FieldMapping:
        mapping = self._file.mapping_of(audience, self._relations)
        texts = tuple(MappedField(name, f"content.{name}") for name in self._file.templates.get(key, {}))
        first: tuple[MappedField, ...] = ()
        if audience.destination == FILES:
            first = (MappedField("as_of", "as_of", FieldType.DATE), MappedField("identifier", "identifier"))
        return FieldMapping(mapping.version, (*first, *mapping.fields, *texts))

    def _last_published(self) -> dict[str, date]:
        return dict(
            self._connection.execute(
                "select audience, max(as_of) from activation.audience_weeks where state = 'published' and as_of < ? "
                "group by audience",
                [self.week.as_of],
            ).fetchall()
        )

    def _know_standing_people(self, published: Mapping[str, date]) -> None:
        """Whoever was in an audience before may be considered again, also if the week does not know them."""
        weeks = sorted(set(published.values()))
        if weeks:
            self._gate.know(
                "select person_id, segment_id as persona_id from marts.segment_memberships "
                "where as_of = $as_of and segment_type = 'persona' "
                "union all select distinct person_id, null from activation.audiences "
                "where is_in and list_contains($weeks::date[], as_of)",
                {"as_of": self.week.as_of, "weeks": weeks},
            )

    def _consider(self, state: AudienceState) -> None:
        compiled = compile_selection(state.audience.people, self.week.as_of)
        self._gate.consider(state.terms, compiled.sql, compiled.parameters)

    def _let_stand(self, key: str, state: AudienceState, published: Mapping[str, date]) -> None:
        """Last time's people stand, less whoever may no longer be contacted."""
        state.terms = self._terms(key, state.audience, is_standing=True)
        state.values_as_of = published.get(key)
        if state.values_as_of is None:
            self._gate.consider(state.terms, "false")
        else:
            self._gate.consider_again(state.terms, state.values_as_of)

    def _decide(self) -> None:
        for key, decision in self._gate.judge().items():
            self.states[key].decision = decision

    def _unknown_names(self, state: AudienceState) -> list[str]:
        """Personas that are not there this week, and tables that are not there at all."""
        needed = {RELATIONS[name] for name in needed_relations(state.audience.people)}
        sentences = [
            f"nothing is known of {name.split('.')[1].replace('_', ' ')} yet"
            for name in sorted(needed - self._relations)
        ]
        personas = self._connection.execute(
            "select persona_type, persona_id, coalesce(persona_name, persona_id) from ml.personas where as_of = ?",
            [self.week.as_of],
        ).fetchall()
        for _, kind, name in state.audience.people.segments():
            there = [one for of, *names in personas if of == kind for one in names]
            there += [one.removeprefix("defined-") for one in there if kind != "persona"]
            if name.casefold() not in {one.casefold() for one in there}:
                sentences.append(f"there is no {kind.replace('_', ' ')} '{name}' this week; {nearest(name, there)}")
        return sentences

    # Publish gates.

    def _find(self, published: Mapping[str, date], unknown: Mapping[str, Sequence[str]]) -> list[Found]:
        due = {key: state for key, state in self.states.items() if state.state == PUBLISHED}
        held = {key for key, sentences in unknown.items() if sentences}
        pairs = [pair for pair in forbidden_pairs(self._activation) if set(pair) <= due.keys()]
        week = GateWeek(
            people=self._people(),
            approved={key: state.decision.approved for key, state in due.items() if key not in held},
            approved_before=self._approved_before(published),
            overlaps={pair: self._gate.overlap(*pair) for pair in pairs},
            sources=self._sources(),
            ledger=self._ledger(),
            unknown_names=unknown,
        )
        found = find(week, self._activation.publish_gates)
        return without_accepted(found, self._activation.accepted, self.week.monday)

    def _block(self, found: Sequence[Found]) -> list[str]:
        """Mark the audiences that something was found of; gives those that were not marked before."""
        self._everything = [one for one in found if one.audience is None] or self._everything
        blocked = []
        for key, state in self.states.items():
            mine = [one for one in found if one.audience in (None, key)]
            if state.state == PUBLISHED and mine:
                state.state = BLOCKED
                state.why = [f"{one.gate}: {one.words}" for one in mine]
                blocked.append(key)
        return blocked

    def _people(self) -> int:
        row = first_row(
            self._connection, "select count(*) from intermediate.int_people where as_of = ?", [self.week.as_of]
        )
        return int(row[0]) if row else 0

    def _approved_before(self, published: Mapping[str, date]) -> dict[str, int]:
        rows = self._connection.execute(
            "select audience, as_of, approved from activation.audience_weeks where state = 'published'"
        ).fetchall()
        return {audience: approved for audience, as_of, approved in rows if published.get(audience) == as_of}

    def _sources(self) -> list[Source]:
        before = self._facts_before()
        rows = self._connection.execute(
            "select f.entity, sum(f.rows_loaded), max(f.latest_row_at), any_value(r.files) "
            "from raw.ingested_files as f "
            "left join (select entity, count(*) as files from quarantine.refused_files group by entity) as r "
            "on r.entity = f.entity group by f.entity order by f.entity"
        ).fetchall()
        sources = []
        for entity, loaded, newest, refused in rows:
            age = (self._at - newest).total_seconds() / 86_400 if newest and entity in SOURCES_THAT_FLOW else None
            rows_before = before.get(f"rows:{entity}")
            sources.append(
                Source(
                    entity,
                    int(loaded),
                    None if rows_before is None else int(rows_before),
                    age,
                    before.get(f"age_days:{entity}"),
                    int(refused or 0),
                )
            )
            self._facts[f"rows:{entity}"] = float(loaded)
            if age is not None:
                self._facts[f"age_days:{entity}"] = age
        return sources

    def _facts_before(self) -> dict[str, float]:
        """What was counted when audiences were last published."""
        return dict(
            self._connection.execute(
                "select fact, value from activation.source_facts "
                "where as_of = (select max(as_of) from activation.source_facts)"
            ).fetchall()
        )

    def _ledger(self) -> Ledger | None:
        statements, refusals = self._statements(self.week)
        self._facts |= {"statements": float(statements), "refusals": float(refusals)}
        row = first_row(self._connection, "select max(as_of) from activation.source_facts")
        before = self._facts_before()
        if row is None or row[0] is None or "statements" not in before:
            return None
        now = self._statements(Week.ending(row[0]))
        return Ledger(int(before["statements"]), now[0], int(before["refusals"]), now[1])

    def _statements(self, week: Week) -> tuple[int, int]:
        """Statements on consent made before a week's end, and refusals among them, as far as is known now."""
        row = first_row(
            self._connection,
            "select count(*), count(*) filter (where statement <> 'granted') "
            "from intermediate.int_consent_statements where recorded_at < ?",
            [week.as_of_at(self._workspace.settings.timezone)],
        )
        return (int(row[0]), int(row[1])) if row else (0, 0)

    # What comes of it.

    def is_told(self) -> bool:
        """Whether what was decided is what was written of this week before, audience by audience."""
        told = {one["audience"]: one for one in told_of(self._connection, self.week)}
        rows = [self._row(place, key, state) for place, (key, state) in enumerate(self.states.items())]
        return [told.get(row["audience"]) for row in rows] == rows and len(told) == len(rows)

    def tell(self) -> None:
        """Write who is in which audience and why, in one transaction."""
        with transaction(self._connection):
            self._gate.tell()
            rows = [self._row(place, key, state) for place, (key, state) in enumerate(self.states.items())]
            self._connection.execute("delete from activation.audience_weeks where as_of = ?", [self.week.as_of])
            if rows:
                frame = pl.DataFrame(rows, infer_schema_length=None)
                self._connection.register("rows_of_week", frame.to_arrow())
                self._connection.execute("insert into activation.audience_weeks by name select * from rows_of_week")
                self._connection.unregister("rows_of_week")
            if self._activation.is_declared and not self._everything:
                self._connection.execute("delete from activation.source_facts where as_of = ?", [self.week.as_of])
                for fact, value in sorted(self._facts.items()):
                    self._connection.execute(
                        "insert into activation.source_facts values (?, ?, ?)", [self.week.as_of, fact, value]
                    )

    def _row(self, place: int, key: str, state: AudienceState) -> dict[str, Any]:
        return {
            "as_of": self.week.as_of,
            "audience": key,
            "position": place,
            "description": state.audience.description,
            "purpose": state.audience.purpose,
            "channel": state.audience.channel,
            "destination": state.audience.destination,
            "mode": state.audience.mode.value,
            "experiment": state.audience.experiment(key),
            "state": state.state,
            "state_reason": "; ".join(state.why) or None,
            "values_as_of": state.values_as_of or self.week.as_of,
            "considered": state.decision.considered,
            "approved": state.decision.approved,
            "refused": json.dumps(dict(state.decision.refused)),
            "fields": json.dumps({one.name: one.source for one in state.mapping.fields}),
            "personal_fields": json.dumps(personal_fields(state.mapping.fields)),
        }

    def sealed(self, destination: str) -> list[GatedAudience]:
        """The audiences of one destination, as the gate seals them; those never published and held back are none."""
        return [
            self._seal(key, state)
            for key, state in self.states.items()
            if state.audience.destination == destination and state.values_as_of is not None
        ]

    def sealed_as_nobody(self, destination: str, segment: str, purpose: str, channel: str) -> GatedAudience:
        """An audience that does not go there any more: nobody shall be there, so whoever is has to leave."""
        return self._gate.seal_nobody(segment, destination, purpose, channel)

    def _seal(self, key: str, state: AudienceState) -> GatedAudience:
        assert state.values_as_of is not None  # noqa: S101 - asked before
        templates = self._file.templates.get(key, {})
        by_name = {one.name: one.source for one in state.mapping.fields}
        needed = [one.source for one in state.mapping.fields if not one.source.startswith("content.")]
        sql, parameters = values_sql(
            list(dict.fromkeys(needed)),
            state.values_as_of,
            Week.ending(state.values_as_of).as_of_at(self._workspace.settings.timezone),
            (state.audience.purpose, state.audience.channel),
            state.segment_type,
        )
        texts = {}
        for name, template in templates.items():
            sources = {placeholder: by_name[placeholder] for placeholder in template.placeholders}
            texts[f"content.{name}"] = Text(
                list(dict.fromkeys(sources.values())),
                lambda frame, template=template, sources=sources: filled_in(  # type: ignore[misc]
                    template, frame.with_columns(pl.col(source).alias(name) for name, source in sources.items())
                ),
            )
        return self._gate.seal(key, sql, parameters, state.mapping, state.audience.mode, texts)

    def write_files(self) -> list[AudienceFile]:
        """Write the files of the destination `files`, and swap the week's folder in."""
        notes = {key: self._note(state) for key, state in self.states.items()}
        folder: Path = self._workspace.activation_folder / self.week.key
        return write_audience_files(self._connection, self.sealed(FILES), folder, notes)

    def _note(self, state: AudienceState) -> dict[str, Any]:
        if not self._activation.is_declared:
            return {"persona_id": state.terms.key, "persona_name": state.audience.description}
        note: dict[str, Any] = {
            "description": state.audience.description,
            "state": state.state,
            "values_as_of": str(state.values_as_of),
            "personal_attributes": personal_fields(state.mapping.fields),
        }
        return note | ({"why": state.why} if state.why else {})

    def close(self) -> None:
        """Drop what lies in temporary tables."""
        self._gate.close()


def personas_of_all_weeks(warehouse_file: Path) -> set[str]:
    """Ids and names of every persona that any week had; none where nothing was run."""
    if not warehouse_file.is_file():
        return set()
    with duckdb.connect(str(warehouse_file), read_only=True) as connection:
        try:
            rows = connection.execute(
                "select distinct persona_id, persona_name from ml.personas where persona_type = 'persona'"
            ).fetchall()
        except duckdb.CatalogException:
            return set()
    return {name for row in rows for name in row if name}


def told_of(connection: duckdb.DuckDBPyConnection, week: Week) -> list[dict[str, Any]]:
    """What became of each audience of a week, in order of the file; nothing where none was judged."""
    try:
        result = connection.execute(
            "select * from activation.audience_weeks where as_of = ? order by position", [week.as_of]
        )
    except duckdb.CatalogException:
        return []
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def gate_rules(workspace: Workspace) -> Rules:
    """What holds at the gate for every audience of a workspace."""
    activation = workspace.activation_file.activation
    return Rules(
        activation.market_rules,
        activation.frequency_caps,
        read_suppression_list(workspace.folder, activation),
    )


def lookalike_title(name: str) -> str:
    """A look-alike's name, for people."""
    return f"Look-alike {name.replace('_', ' ')}"


def existing_tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Tables of the marts and the features, as `schema.table`."""
    rows = connection.execute(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_schema in ('marts', 'features')"
    ).fetchall()
    return {name for (name,) in rows}


def _check_week_is_there(connection: duckdb.DuckDBPyConnection, week: Week) -> None:
    """What is decided by week stands in the warehouse for the weeks of the last run only."""
    row = first_row(
        connection, "select count(*) from intermediate.int_weeks where as_of = ? and is_scored", [week.as_of]
    )
    if row is None or row[0] == 0:
        raise GateError(
            f"the last run was for another week than {week.key}, so nobody can be decided on; run that week again first"
        )
