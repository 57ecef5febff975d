"""Look-alikes of one week: who is in the seed, who may be listed, who is most like it, and how far that can be trusted.

What belongs here: reading the people of a week, ranking them, and writing what came of it. Ranking and measuring stand
in `ml/lookalikes.py` and `ml/lookalike_evaluation.py`, the seed's vocabulary in `activation/selection.py`, files in
`lookalike_files.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from activation.answers import read_frame
from activation.selection import PHRASE_GROUPS, compile_selection, needed_relations
from ml.catalogue import Kind, inputs_of
from ml.lookalike_card import card_in_markdown, lookalike_card
from ml.lookalike_evaluation import precision_by_size, sizes_to_tell
from ml.lookalikes import (
    LookalikeRanker,
    SeedRefused,
    Separation,
    characteristic_scores,
    learn_probabilities,
    model_id,
    probabilities,
    rank_mean,
    refuse_seed,
    separation,
    training_sample,
)
from ml.parity import PARITY_SCHEMA, parity, parity_in_words
from orchestration.feature_catalogue import tellable
from orchestration.lookalike_settings import Characteristic, LookalikeSettings, characteristic
from orchestration.propensity_groups import with_groups
from orchestration.settings_file import nearest
from orchestration.sql import identifier
from orchestration.warehouse import make_tables, replace_weeks, transaction
from orchestration.weeks import Week
from orchestration.workspace import Workspace

Floats = NDArray[np.float64]

LOOKALIKE_TABLES: dict[str, Any] = {
    "lookalike_scores": {
        "as_of": pl.Date,
        "person_id": pl.UInt64,
        "lookalike": pl.String,
        "lookalike_rank": pl.Int64,
        "score": pl.Float64,
        "probability": pl.Float64,
        "model_id": pl.String,
    },
    "lookalike_models": {
        "as_of": pl.Date,
        "lookalike": pl.String,
        "model_id": pl.String,
        "method": pl.String,
        "seed_people": pl.Int64,
        "candidates": pl.Int64,
        "people": pl.Int64,
        "auc": pl.Float64,
        "auc_low": pl.Float64,
        "auc_high": pl.Float64,
        "precision_by_size": pl.String,
        "parity": pl.String,
        "notes": pl.String,
        "abstained_reason": pl.String,
        "card": pl.String,
        "markdown": pl.String,
    },
}
SEED_OF_CHANCE = 7
PEOPLE_AT_A_TIME = 65_536
MEMBERSHIPS = """(
    select a.as_of, a.person_id, a.persona_type as segment_type, a.persona_id as segment_id,
        coalesce(n.persona_name, a.persona_id) as segment_name, a.strength as membership_strength
    from ml.persona_assignments as a
    left join ml.personas as n on n.as_of = a.as_of and n.persona_id = a.persona_id
    where a.persona_id is not null
)"""


@dataclass(frozen=True)
class Lookalike:
    """What became of one look-alike in one week.

    Attributes:
        name: its name.
        settings: what was asked for.
        seed: ids of the seed's people, in order.
        scores: rows of `ml.lookalike_scores`, the most alike first; empty where nothing is said.
        model: the row of `ml.lookalike_models`.
        precision: how many hidden people of the seed lists of several sizes find.
        groups: shares of gender, age, region among those listed and everybody.
    """

    name: str
    settings: LookalikeSettings
    seed: pl.Series
    scores: pl.DataFrame
    model: dict[str, Any]
    precision: pl.DataFrame = field(default_factory=pl.DataFrame)
    groups: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PARITY_SCHEMA))

    @property
    def abstained_reason(self) -> str | None:
        """Why nothing is said; None where something is."""
        reason: str | None = self.model["abstained_reason"]
        return reason

    @property
    def notes(self) -> list[str]:
        """What to know before using it."""
        notes: list[str] = json.loads(self.model["notes"])
        return notes


def run_lookalike_week(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, catalogue: pl.DataFrame, week: Week
) -> list[Lookalike]:
    """Make the workspace's look-alikes of `week` and write `LOOKALIKE_TABLES`; without any there are no rows."""
    make_tables(connection, LOOKALIKE_TABLES)
    made = [
        make_lookalike(connection, workspace, catalogue, week, name, settings)
        for name, settings in workspace.settings.lookalikes.items()
    ]
    scores = pl.concat([pl.DataFrame(schema=LOOKALIKE_TABLES["lookalike_scores"]), *(one.scores for one in made)])
    models = pl.DataFrame([one.model for one in made], schema=LOOKALIKE_TABLES["lookalike_models"])
    with transaction(connection):
        replace_weeks(connection, "ml.lookalike_scores", scores, [week.as_of])
        replace_weeks(connection, "ml.lookalike_models", models, [week.as_of])
    return made


def make_lookalike(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    catalogue: pl.DataFrame,
    week: Week,
    name: str,
    settings: LookalikeSettings,
) -> Lookalike:
    """Find the people of `week` who are most like a seed; nothing is written.

    Args:
        connection: the warehouse; a temporary table is made in it.
        workspace: the workspace.
        catalogue: the features there are.
        week: a week that was run.
        name: what the list is called.
        settings: what is asked for, without complaints.

    Returns:
        The list, or why there is none.
    """
    asked = _Asked(connection, workspace, catalogue, week, name, settings)
    refused = asked.what_is_missing()
    if refused:
        return asked.nothing(refused, pl.Series("person_id", [], pl.UInt64))
    people = asked.people()
    seed_ids = people.filter("is_seed")["person_id"]
    smallest = settings.minimum_seed or (max(workspace.settings.minimum_cell, 2) if settings.grow else None)
    refused = refuse_seed(seed_ids.len(), people.height, settings.method, smallest)
    if refused is None and not people["is_candidate"].any():
        refused = SeedRefused(
            "nobody outside the seed may be listed: nobody is reached without consent for the purpose"
        )
    if refused:
        return asked.nothing(refused, seed_ids)
    if settings.grow:
        people, score, said = asked.by_characteristics(people)
    else:
        people, score, said = asked.by_likeness(people)
    return asked.listed(people, score, said, seed_ids)


def stored_lookalikes(connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week) -> list[Lookalike]:
    """The declared look-alikes of a week as they were written, with their seeds; those without a list are left out."""
    found = []
    for name, settings in workspace.settings.lookalikes.items():
        scores = read_frame(
            connection,
            "select * from ml.lookalike_scores where as_of = ? and lookalike = ? order by lookalike_rank",
            [week.as_of, name],
        )
        if scores.height:
            asked = _Asked(connection, workspace, pl.DataFrame(), week, name, settings)
            seed = asked.people().filter("is_seed")["person_id"]
            found.append(Lookalike(name, settings, seed, scores, {"abstained_reason": None, "notes": "[]"}))
    return found


@dataclass(frozen=True)
class _Asked:
    """A look-alike of a week, and where to look."""

    connection: duckdb.DuckDBPyConnection
    workspace: Workspace
    catalogue: pl.DataFrame
    week: Week
    name: str
    settings: LookalikeSettings

    def relations(self) -> dict[str, str]:
        """Where a seed is looked up: in what the models wrote, since the marts of the week are made after this."""
        there = {
            row[0]: set(row[1])
            for row in self.connection.execute(
                "select table_name, list(column_name) from duckdb_columns() where schema_name = 'ml' group by 1"
            ).fetchall()
        }
        found = {
            "segment_memberships": MEMBERSHIPS,
            "person_propensities": "ml.propensity_scores",
            "person_affinities": "ml.affinity_scores",
            "person_features": "features.person_features",
        }
        if "adoption_class" in there.get("adoption_scores", ()):
            found["adoption_classes"] = "ml.adoption_scores"
        if "message_style" in there.get("persuasion_people", ()):
            found["person_persuasion"] = "ml.persuasion_people"
        return found

    def what_is_missing(self) -> SeedRefused | None:
        """What the seed names that this week does not have."""
        missing = needed_relations(self.settings.seed) - set(self.relations())
        words = {"adoption_classes": "no adoption classes", "person_persuasion": "no message styles"}
        if missing:
            return SeedRefused(f"there are {' and '.join(words[each] for each in sorted(missing))} in this workspace")
        names = self.connection.execute(
            "select persona_type, persona_id, coalesce(persona_name, persona_id) from ml.personas where as_of = ?",
            [self.week.as_of],
        ).fetchall()
        for _, kind, name in self.settings.seed.segments():
            of_kind = [row for row in names if row[0] == kind]
            known = {each for row in of_kind for each in (row[1], row[2], row[1].removeprefix("defined-"))}
            if name.casefold() not in {each.casefold() for each in known}:
                what = kind.replace("_", " ")
                return SeedRefused(f"'{name}' is no {what} of the week {self.week.key}; {nearest(name, known)}")
        return self._no_such_label()

    def _no_such_label(self) -> SeedRefused | None:
        """A class or style that the seed names and nobody has this week."""
        relations = self.relations()
        for relation, key in (("adoption_classes", "adoption_class"), ("person_persuasion", "message_style")):
            named = {name for _, part in self.settings.seed.parts() for name in getattr(part, key) or ()}
            if not named:
                continue
            rows = self.connection.execute(
                f"select distinct {key} from {relations[relation]} where as_of = ? and {key} is not null",
                [self.week.as_of],
            ).fetchall()
            known = {row[0] for row in rows}
            for name in sorted(named - known):
                what = key.replace("_", " ")
                return SeedRefused(
                    f"nobody has the {what} '{name}' in the week {self.week.key}; {nearest(name, known)}"
                )
        return None

    def people(self) -> pl.DataFrame:
        """Everybody who may be profiled, in order: is_seed, and is_candidate, who may be listed."""
        compiled = compile_selection(self.settings.seed, self.week.as_of, self.relations())
        activation = self.workspace.settings.activation
        people = read_frame(
            self.connection,
            f"select p.person_id, {compiled.sql} as is_seed, "
            "coalesce(c.is_allowed and not c.is_refused_by_now, false) as is_candidate "
            "from intermediate.int_people as p left join intermediate.int_contactability as c "
            "on c.as_of = p.as_of and c.person_id = p.person_id and c.channel = $channel and c.purpose = $purpose "
            "where p.as_of = $selection_as_of order by p.person_id",
            compiled.parameters | {"channel": activation.channel, "purpose": activation.purpose},
        )
        return people.with_columns(pl.col("is_candidate") & ~pl.col("is_seed"))

    def inputs(self) -> dict[str, Kind]:
        """What likeness is learned from: never what the seed is chosen by, nor a special category."""
        left_out = {*self.settings.seed.feature_names(), *self.settings.exclude}
        features = tellable(self.catalogue, self.workspace)
        known = inputs_of(features, features["feature"].to_list(), "is_propensity_input")
        return {name: kind for name, kind in known.items() if name not in left_out}

    def by_likeness(self, people: pl.DataFrame) -> tuple[pl.DataFrame, Floats, dict[str, Any]]:
        """Everybody's score by models that never saw them, and what the card says of these."""
        inputs = self.inputs()
        sample = training_sample(people, SEED_OF_CHANCE).select("person_id", "is_seed")
        ranker = LookalikeRanker(inputs, self.settings.method, SEED_OF_CHANCE)
        features = pl.concat(list(self._features(list(inputs), sample.select("person_id"))))
        learned = sample.join(features, on="person_id", how="inner", maintain_order="left")
        ranker.fit(learned, learned["is_seed"].to_numpy())
        parts = [
            part.select("person_id").with_columns(
                pl.Series(name, scores[:, column]) for column, name in enumerate(ranker.rankings_)
            )
            for part in self._features(list(inputs))
            for scores in [ranker.scores(part)]
        ]
        scored = people.join(pl.concat(parts), on="person_id", how="inner", maintain_order="left")
        rankings = scored.select(ranker.rankings_).to_numpy()
        score = rank_mean(rankings, scored["person_id"], scored["is_seed"].to_numpy(), SEED_OF_CHANCE)
        said = {
            "inputs": list(inputs),
            "learned_from": {"seed": int(sample["is_seed"].sum()), "others": int((~sample["is_seed"]).sum())},
            "importance": ranker.importance(),
        }
        return scored.drop(ranker.rankings_), score, said

    def by_characteristics(self, people: pl.DataFrame) -> tuple[pl.DataFrame, Floats, dict[str, Any]]:
        """The score of everybody of whom all chosen characteristics are known."""
        names = self.workspace.selection_names()
        wanted = {name: characteristic(name, names) for name in self.settings.grow}
        columns: list[str] = []
        parameters: dict[str, Any] = {"as_of": self.week.as_of}
        for number, one in enumerate(wanted.values()):
            assert isinstance(one, Characteristic)  # noqa: S101 - complaints were raised when the settings were read
            parameters[f"name_{number}"] = one.name
            columns.append(f"({_value_of(one, number)}) as characteristic_{number}")
            if one.source == "feature":
                del parameters[f"name_{number}"]
        values = read_frame(
            self.connection,
            f"select p.person_id, {', '.join(columns)} from intermediate.int_people as p "
            "left join features.person_features as f on f.as_of = p.as_of and f.person_id = p.person_id "
            "where p.as_of = $as_of",
            parameters,
        )
        all_of_them = people.join(values, on="person_id", how="left", maintain_order="left")
        renamed = {f"characteristic_{number}": name for number, name in enumerate(wanted)}
        score = characteristic_scores(
            all_of_them.select(list(renamed)).rename(renamed),
            self.settings.grow,
            all_of_them["is_seed"].to_numpy(),
        )
        known = ~np.isnan(score)
        said = {"inputs": [f"{name} ({direction})" for name, direction in self.settings.grow.items()]}
        said["without_a_value"] = int((~known).sum())  # type: ignore[assignment]
        return people.filter(pl.Series(known)), score[known], said

    def _features(self, names: list[str], of_people: pl.DataFrame | None = None) -> Iterator[pl.DataFrame]:
        """The features of everybody, or of some, a part at a time."""
        columns = "".join(f", f.{identifier(name)}" for name in names)
        only = "" if of_people is None else "semi join of_people as o on o.person_id = f.person_id "
        result = self.connection.sql(
            f"select f.person_id{columns} from features.person_features as f {only}where f.as_of = ?",
            params=[self.week.as_of],
        )
        for batch in result.to_arrow_reader(PEOPLE_AT_A_TIME):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a record batch is a frame
            yield frame

    def listed(self, people: pl.DataFrame, score: Floats, said: dict[str, Any], seed_ids: pl.Series) -> Lookalike:
        """The list, how precise it is, and whom it leaves out or prefers."""
        is_seed, is_candidate = people["is_seed"].to_numpy(), people["is_candidate"].to_numpy()
        refused = _refused_after_ranking(is_seed, is_candidate)
        if refused:
            return self.nothing(refused, seed_ids)
        found = separation(score, is_seed)
        if found.is_chance and not self.settings.grow:
            return self.nothing(
                SeedRefused(
                    "the seed cannot be told from everybody else: hidden people of it are ranked like anybody "
                    f"(AUC {found.auc:.2f}, {found.low:.2f} to {found.high:.2f})"
                ),
                seed_ids,
                found,
            )
        chosen = learn_probabilities(score, people["person_id"], is_seed, SEED_OF_CHANCE)
        candidates = int(is_candidate.sum())
        ranked = (
            people.with_columns(score=pl.Series(score), probability=pl.Series(probabilities(chosen, score)))
            .filter("is_candidate")
            .sort(["score", "person_id"], descending=[True, False])
            .head(self.settings.size)
        )
        # What decides is in the name of the model; the same week gives the same name.
        key = model_id(self.name, self.settings.model_dump_json(), said["inputs"], seed_ids.to_list(), self.week.key)
        scores = ranked.with_row_index("lookalike_rank", offset=1).select(
            as_of=pl.lit(self.week.as_of),
            person_id="person_id",
            lookalike=pl.lit(self.name),
            lookalike_rank=pl.col("lookalike_rank").cast(pl.Int64),
            score="score",
            probability="probability",
            model_id=pl.lit(key),
        )
        precision = precision_by_size(
            score, is_seed, is_candidate, sizes_to_tell(min(self.settings.size, candidates), candidates)
        )
        groups = self._parity(people, ranked["person_id"])
        notes = self._notes(found, candidates, ranked.height, precision, groups, said)
        card = lookalike_card(
            name=self.name,
            model_id=key,
            as_of=self.week.as_of,
            method=self.settings.way,
            seed=self.settings.seed.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            seed_people=seed_ids.len(),
            candidates=candidates,
            people=ranked.height,
            said=said,
            separation=found,
            calibration=chosen.in_words,
            precision=precision,
            parity=groups,
            notes=notes,
        )
        model = self._model(key, seed_ids.len(), found) | {
            "candidates": candidates,
            "people": ranked.height,
            "precision_by_size": json.dumps(precision.to_dicts()),
            "parity": json.dumps(groups.to_dicts()),
            "notes": json.dumps(notes),
            "card": json.dumps(card, sort_keys=True),
            "markdown": card_in_markdown(card),
        }
        return Lookalike(self.name, self.settings, seed_ids, scores, model, precision, groups)

    def _parity(self, people: pl.DataFrame, listed: pl.Series) -> pl.DataFrame:
        rows = people.select("person_id", "is_seed").with_columns(
            as_of=pl.lit(self.week.as_of), is_listed=pl.col("person_id").is_in(listed.implode())
        )
        grouped, attributes = with_groups(self.connection, self.workspace, rows, set(self.catalogue["feature"]))
        named = {"market": "region"}
        grouped = grouped.rename({old: new for old, new in named.items() if old in attributes})
        attributes = [named.get(each, each) for each in attributes]
        return parity(grouped, "is_seed", "is_listed", attributes, self.workspace.settings.minimum_cell)

    def _notes(
        self,
        found: Separation,
        candidates: int,
        listed: int,
        precision: pl.DataFrame,
        groups: pl.DataFrame,
        said: dict[str, Any],
    ) -> list[str]:
        notes = []
        if listed < self.settings.size:
            notes.append(f"Only {listed:,} people may be listed; {self.settings.size:,} were asked for.")
        if found.is_chance:
            notes.append("The seed's own people score no higher on these characteristics than anybody else.")
        if said.get("without_a_value", 0) >= self.workspace.settings.minimum_cell:
            notes.append(f"{said['without_a_value']:,} people lack one of the characteristics and are not ranked.")
        whole = precision.filter(pl.col("people") == listed)
        if whole.height and float(whole["lift_low"][0]) <= 1 < candidates / max(listed, 1):
            notes.append("So long a list may be no better than one drawn by lot: ask for fewer people.")
        return notes + [f"Not like everybody: {words}." for words in parity_in_words(groups)]

    def _model(self, key: str | None, seed_people: int, found: Separation | None) -> dict[str, Any]:
        finite = found if found is not None and np.isfinite([found.auc, found.low, found.high]).all() else None
        return {
            "as_of": self.week.as_of,
            "lookalike": self.name,
            "model_id": key,
            "method": self.settings.way,
            "seed_people": seed_people,
            "candidates": None,
            "people": 0,
            "auc": finite.auc if finite else None,
            "auc_low": finite.low if finite else None,
            "auc_high": finite.high if finite else None,
            "precision_by_size": "[]",
            "parity": "[]",
            "notes": "[]",
            "abstained_reason": None,
            "card": None,
            "markdown": None,
        }

    def nothing(self, refused: SeedRefused, seed_ids: pl.Series, found: Separation | None = None) -> Lookalike:
        """The reason in place of a list."""
        model = self._model(None, seed_ids.len(), found) | {"abstained_reason": refused.reason}
        return Lookalike(
            self.name, self.settings, seed_ids, pl.DataFrame(schema=LOOKALIKE_TABLES["lookalike_scores"]), model
        )


def _refused_after_ranking(is_seed: NDArray[np.bool_], is_candidate: NDArray[np.bool_]) -> SeedRefused | None:
    """Whether those of whom all characteristics are known are enough to say anything."""
    if is_seed.sum() < 2:
        return SeedRefused("of the seed's people at most one has all of these characteristics")
    if not is_candidate.any():
        return SeedRefused("nobody who may be listed has all of these characteristics")
    return None


def _value_of(one: Characteristic, number: int) -> str:
    """A person's value as scalar SQL over int_people as p and person_features as f."""
    if one.source == "feature":
        return f"cast(f.{identifier(one.name)} as double)"
    if one.source == "propensity":
        return (
            "select max(s.probability) from ml.propensity_scores as s "
            f"where s.as_of = p.as_of and s.person_id = p.person_id and s.target = $name_{number}"
        )
    named = f"$name_{number}"
    if one.name in PHRASE_GROUPS:
        what = f"s.phrase is null and s.phrase_group = {named}"
        return (
            "select max(s.score) from ml.affinity_scores as s "
            f"where s.as_of = p.as_of and s.person_id = p.person_id and {what}"
        )
    # Phrases that are not among a person's strongest have no row; with enough text that is no affinity at all.
    return (
        f"select case when bool_or(s.score is not null) then coalesce(max(s.score) filter (s.phrase = {named}), 0) end "
        "from ml.affinity_scores as s where s.as_of = p.as_of and s.person_id = p.person_id"
    )
