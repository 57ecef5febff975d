"""How personas stay themselves from week to week: who is in which, who has moved, and when a new model may take over.

Here belongs what a week does with a standing model and a challenger, as frames in and frames out. Finding groups
stands in `personas`, which persona a group continues in `persona_identity`, whether the data have drifted in `drift`.

People keep their persona until the odds of another one are four to one: on simulated weeks this cuts label changes that
nobody's behaviour explains from three in a hundred people to one in two hundred, and finds those who did move as well.
What people did of late is weighed in `weekly_habits`.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.people_order import hash_sample
from ml.persona_continuation import continue_personas
from ml.persona_identity import PersonaMatch, group_centres, match_personas
from ml.personas import PersonaModel, PersonaSettings, fit_personas, judge_again
from ml.preparation import Preparation
from ml.weekly_habits import RecentBehaviour, learn_habits, update_beliefs, weekly_evidence

ODDS_TO_MOVE = 4.0
"""A person moves to another persona when it is this many times as probable as the one they are in."""
AS_TELLING_FROM = 0.95
"""The standing personas, settled anew, are as good as a new solution when they explain this share of what it explains
of people's differences: solutions of nearly the same quality would otherwise take turns."""
SAME_VIEW_FROM = 0.9
"""Share of the features a new solution looks at that the champion has to look at, to be settled anew."""
WAVERS_TO_MOVE = 2.0
"""... and when the odds are beyond what people's behaviour wavers from week to week, by this many standard
deviations."""
BORDER_WITHIN = 5.0
"""Log odds against the runner-up up to which people stand near a border, where wavering matters."""
FEWEST_WAVERING = 50
"""With fewer people near borders, nothing is said about how much they waver."""
GATE_SAMPLE = 20_000
"""People that two models are compared on."""
GATE_SEED = 11

PLACED_SCHEMA = {
    "person_id": pl.String,
    "persona_id": pl.String,
    "strength": pl.Float64,
    "runner_up_persona_id": pl.String,
    "margin": pl.Float64,
}
BELIEF_COLUMNS = {"strength", "runner_up_persona_id", "margin"}
"""What of a week's placing is needed, beside the persona, to go on from what was believed."""
TYPICAL_SCHEMA = {"persona_id": pl.String, "person_id": pl.String, "rank": pl.Int64}
INCUMBENT_SCHEMA = {"person_id": pl.String, "persona_id": pl.String}


@dataclass(frozen=True)
class StandingPersonas:
    """A model and the persona that each of its clusters is."""

    model: PersonaModel
    persona_ids: dict[int, str]


@dataclass(frozen=True)
class GateSettings:
    """What a challenger has to show before it replaces the champion.

    Attributes:
        stability: Its groups come out this much alike from other samples (mean adjusted Rand index), or at least as
            much as the champion's did.
        validity: Its groups are separate, at least this share of the champion's separation on the same people
            (Calinski-Harabasz index, which allows for the number of groups).
        identity: At least this share of the people keep the persona they would have had.
    """

    stability: float = 0.6
    validity: float = 0.9
    identity: float = 0.7


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger may replace the champion; `reason` says why in words, `figures` what was measured."""

    passed: bool
    reason: str
    figures: dict[str, float | None]


@dataclass(frozen=True)
class Challenge:
    """A newly fitted model, what it would make of the personas, and whether it may."""

    personas: StandingPersonas
    match: PersonaMatch
    verdict: Verdict


def place_people(
    standing: StandingPersonas,
    features: pl.DataFrame,
    incumbents: pl.DataFrame,
    odds_to_move: float = ODDS_TO_MOVE,
    recent: RecentBehaviour | None = None,
) -> pl.DataFrame:
    """Say in which persona everybody is this week.

    Args:
        standing: The model, and what its clusters are called.
        features: One week.
        incumbents: The week before as this function returned it; may be empty. person_id and persona_id are enough to
            hold people where they were. A persona the model does not know holds nobody back.
        odds_to_move: How many times as probable another persona has to be before a person moves; 1 moves at once.
        recent: What people did of late. With it, what was believed of a person a week ago is weighed with what they
            did since; without it, the model's probabilities of the week count alone.

    Returns:
        By person_id: person_id; persona_id; strength 0..1, the probability of that persona; runner_up_persona_id, the
        most probable other one (null if there is none); margin -1..1, strength less that of the runner-up: below zero
        where a person is kept although another persona is somewhat more probable.
    """
    people, probabilities = standing.model.probabilities(features)
    ids = [standing.persona_ids[cluster] for cluster in range(standing.model.k)]
    before = (
        pl.DataFrame({"person_id": people})
        .join(incumbents.select("person_id", "persona_id"), on="person_id", how="left", maintain_order="left")[
            "persona_id"
        ]
        .replace_strict(ids, range(len(ids)), default=-1, return_dtype=pl.Int64)
        .fill_null(-1)
        .to_numpy()
    )
    if recent is not None:
        probabilities = _believe(probabilities, people, ids, before, incumbents, recent)
    rows = np.arange(len(people))
    chosen = probabilities.argmax(axis=1)
    held = (before >= 0) & (probabilities[rows, chosen] < odds_to_move * probabilities[rows, np.maximum(before, 0)])
    chosen = np.where(held, before, chosen)
    strength = probabilities[rows, chosen]
    if len(ids) == 1:
        runner_up, second = None, np.zeros(len(people))
    else:
        others = probabilities.copy()
        others[rows, chosen] = -1.0
        runner_up_cluster = others.argmax(axis=1)
        second = others[rows, runner_up_cluster]
        runner_up = pl.Series(ids).gather(runner_up_cluster)
    return pl.DataFrame(
        {
            "person_id": people,
            "persona_id": pl.Series(ids, dtype=pl.String).gather(chosen),
            "strength": strength.round(6),
            "runner_up_persona_id": runner_up,
            "margin": (strength - second).round(6),
        },
        schema=PLACED_SCHEMA,
    )


def _believe(
    probabilities: NDArray[np.float64],
    people: pl.Series,
    ids: list[str],
    before: NDArray[np.int64],
    incumbents: pl.DataFrame,
    recent: RecentBehaviour,
) -> NDArray[np.float64]:
    """Weigh the model's probabilities with last week's beliefs and this week's behaviour.

    Whom the model puts in a persona that nobody was in, and whose persona it does not know, has no past: a persona that
    is born takes its people, one that ends lets them go.
    """
    if len(ids) < 2 or not BELIEF_COLUMNS <= set(incumbents.columns):
        return probabilities
    likeliest = probabilities.argmax(axis=1)
    is_born = np.bincount(before[before >= 0], minlength=len(ids)) == 0
    has_past = (before >= 0) & ~is_born[likeliest]
    place = pl.DataFrame({"person_id": people}).with_columns(
        label=pl.Series(np.where(has_past, before, np.where(is_born[likeliest], likeliest, -1)))
    )
    labels = (
        pl.DataFrame({"person_id": recent.sampled})
        .join(place, on="person_id", how="left", maintain_order="left")["label"]
        .fill_null(-1)
        .to_numpy()
    )
    habits = learn_habits(recent, labels, len(ids))
    if habits is None:
        return probabilities
    believed = _believed_before(people, ids, before, incumbents)
    return update_beliefs(probabilities, believed, has_past, weekly_evidence(habits, recent, people))


def _believed_before(
    people: pl.Series, ids: list[str], before: NDArray[np.int64], incumbents: pl.DataFrame
) -> NDArray[np.float64]:
    """Last week's beliefs, as far as they were kept: the persona, its runner-up, and all others alike."""
    kept = pl.DataFrame({"person_id": people}).join(
        incumbents.select("person_id", *sorted(BELIEF_COLUMNS)), on="person_id", how="left", maintain_order="left"
    )
    first = kept["strength"].fill_null(0.0).to_numpy()
    second = (kept["strength"] - kept["margin"]).fill_null(0.0).to_numpy()
    runner_up = (
        kept["runner_up_persona_id"]
        .replace_strict(ids, range(len(ids)), default=-1, return_dtype=pl.Int64)
        .fill_null(-1)
        .to_numpy()
    )
    rest = np.clip(1 - first - second, 0.0, 1.0) / max(len(ids) - 2, 1)
    believed = np.repeat(rest[:, None], len(ids), axis=1)
    rows = np.arange(len(people))
    has_runner_up = runner_up >= 0
    believed[rows[has_runner_up], runner_up[has_runner_up]] = second[has_runner_up]
    known = before >= 0
    believed[rows[known], before[known]] = first[known]
    total = believed.sum(axis=1, keepdims=True)
    return np.divide(believed, total, out=np.full_like(believed, 1 / len(ids)), where=total > 0)


def odds_for_week(standing: StandingPersonas, features: pl.DataFrame, before: pl.DataFrame) -> float:
    """From which odds people move this week: four to one, or more where behaviour wavers more than that.

    Counts over four weeks change from week to week although nobody has become somebody else. How much, is seen in the
    people near borders: the spread of the change of their log odds against last week's runner-up, under one and the
    same model. It is taken as 1.48 times the median absolute deviation, so that those who do move have no say.

    Args:
        standing: The model last week's people were placed with.
        features: This week.
        before: Last week's people as `place_people` returned them.

    Returns:
        The odds, at least `ODDS_TO_MOVE`.
    """
    if standing.model.k < 2 or not before.height or not BELIEF_COLUMNS <= set(before.columns):
        return ODDS_TO_MOVE
    near = (
        before.with_columns(second=pl.col("strength") - pl.col("margin"))
        .filter((pl.col("second") > 0) & (pl.col("strength") > 0))
        .with_columns(log_odds=(pl.col("strength") / pl.col("second")).log())
        .filter(pl.col("log_odds").abs() <= BORDER_WITHIN)
    )
    ids = [standing.persona_ids[cluster] for cluster in range(standing.model.k)]
    near = near.filter(pl.col("persona_id").is_in(ids) & pl.col("runner_up_persona_id").is_in(ids)).join(
        features.select("person_id"), on="person_id", how="semi"
    )
    near = hash_sample(near, GATE_SAMPLE, GATE_SEED).sort("person_id")
    if near.height < FEWEST_WAVERING:
        return ODDS_TO_MOVE
    people, probabilities = standing.model.probabilities(
        features.join(near.select("person_id"), on="person_id", how="semi")
    )
    places = [
        near[column].replace_strict(ids, range(len(ids)), return_dtype=pl.Int64).to_numpy()
        for column in ("persona_id", "runner_up_persona_id")
    ]
    rows = np.arange(len(people))
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(probabilities, 1e-12))
    change = logs[rows, places[0]] - logs[rows, places[1]] - near["log_odds"].to_numpy()
    waver = 1.4826 * float(np.median(np.abs(change - np.median(change))))
    return max(ODDS_TO_MOVE, float(np.exp(min(WAVERS_TO_MOVE * waver, 20.0))))


def fit_challenger(
    features: pl.DataFrame,
    catalogue: pl.DataFrame,
    settings: PersonaSettings,
    champion: StandingPersonas | None,
    incumbents: pl.DataFrame,
    used_ids: Collection[str] = (),
    gate: GateSettings | None = None,
    odds_to_move: float = ODDS_TO_MOVE,
    recent: RecentBehaviour | None = None,
) -> Challenge:
    """Fit a model to this week's people, find out which personas it continues, and whether it may replace the champion.

    Args:
        features: One week.
        catalogue: The feature catalogue.
        settings: How personas are found.
        champion: The standing model; None where there is none, or the features it needs are gone.
        incumbents: person_id, persona_id of the week before.
        used_ids: Persona ids of the past, never given again.
        gate: What the challenger has to show.
        odds_to_move: As for `place_people`.
        recent: As for `place_people`.

    Returns:
        The challenge. Without a champion it passes.
    """
    standing_count = champion.model.k if champion is not None and not champion.model.markets else None
    model = fit_personas(features, catalogue, settings, standing_count)
    current = model.assign(features).select("person_id", "cluster")
    if champion is None:
        # Nobody can be placed by a model that is gone; last week's personas of the same people still say who they were.
        match = match_personas(incumbents.select("person_id", "persona_id"), current, retired_ids=used_ids)
        personas = StandingPersonas(model, match.persona_ids)
        return Challenge(personas, match, Verdict(True, "there was no standing model to keep", {}))
    previous = place_people(champion, features, incumbents, odds_to_move, recent)
    model, current = _prefer_going_on(model, champion, features, previous, current)
    preparation = champion.model.preparation
    match = match_personas(
        previous,
        current,
        group_centres(preparation, features, previous, "persona_id"),
        group_centres(preparation, features, current, "cluster"),
        used_ids,
        incumbents,
    )
    challenger = StandingPersonas(model, match.persona_ids)
    now = place_people(challenger, features, incumbents, odds_to_move, recent)
    return Challenge(challenger, match, _judge(features, champion, challenger, previous, now, gate or GateSettings()))


def _prefer_going_on(
    fresh: PersonaModel,
    champion: StandingPersonas,
    features: pl.DataFrame,
    previous: pl.DataFrame,
    current: pl.DataFrame,
) -> tuple[PersonaModel, pl.DataFrame]:
    """Where the standing personas, settled anew, say as much about people as the solution found, go on with them.

    Where the solution has another number of personas, they get one more or less. A solution that looks at much that the
    champion does not is not held back here; whether it may take over is for the gate.
    """
    known, wanted = set(champion.model.preparation.features_), set(fresh.preparation.features_)
    has_own_rule = fresh.rule is not None or champion.model.rule is not None  # answers, mixtures, markets
    if has_own_rule or fresh.k < 2 or champion.model.k < 2 or len(known & wanted) < SAME_VIEW_FROM * len(wanted):
        return fresh, current
    continued = continue_personas(champion.model, features, previous, fresh.k)
    continued = replace(
        continued,
        k_evidence=fresh.k_evidence,
        choice=fresh.choice,
        settings=fresh.settings,
        evidence=replace(fresh.evidence, segments=(), stability=None),
    )
    groups = continued.assign(features).select("person_id", "cluster")
    sample = hash_sample(features, GATE_SAMPLE, GATE_SEED)
    if explained_share(fresh, sample, groups) < AS_TELLING_FROM * explained_share(fresh, sample, current):
        return fresh, current
    return judge_again(continued, features), groups


def explained_share(model: PersonaModel, features: pl.DataFrame, groups: pl.DataFrame) -> float:
    """How much of people's differences their group explains, in the space of a model.

    Args:
        model: Its preparation says how people are measured; its centres play no part.
        features: People.
        groups: person_id, cluster.

    Returns:
        Variance between groups over variance, 0..1.
    """
    labels = features.select("person_id").join(groups, on="person_id", how="left", maintain_order="left")["cluster"]
    encoded = model.preparation.transform(features).astype(np.float64)
    total = ((encoded - encoded.mean(axis=0)) ** 2).sum()
    numbers = labels.to_numpy()
    within = sum(
        ((encoded[numbers == group] - encoded[numbers == group].mean(axis=0)) ** 2).sum()
        for group in np.unique(numbers)
    )
    return float(1 - within / total) if total > 0 else 0.0


def _judge(
    features: pl.DataFrame,
    champion: StandingPersonas,
    challenger: StandingPersonas,
    previous: pl.DataFrame,
    now: pl.DataFrame,
    gate: GateSettings,
) -> Verdict:
    stability, stability_before = (_stability_of(one.model) for one in (challenger, champion))
    sample = hash_sample(features, GATE_SAMPLE, GATE_SEED)
    separation, separation_before = (_separation_of(one, sample, challenger.model) for one in (challenger, champion))
    kept = float((previous["persona_id"] == now["persona_id"]).mean() or 0.0)  # type: ignore[arg-type]
    figures = {
        "stability": stability,
        "champion_stability": stability_before,
        "separation": separation,
        "champion_separation": separation_before,
        "identity_kept": kept,
    }
    wrong = []
    asked = gate.stability if stability_before is None else min(gate.stability, stability_before)
    if stability is not None and stability < asked:
        wrong.append(f"its groups come out alike only to {stability:.2f} from other samples, {asked:.2f} is asked")
    if separation is not None and separation_before is not None and separation < gate.validity * separation_before:
        wrong.append(
            f"its groups are {separation / separation_before:.0%} as separate as the standing ones, "
            f"{gate.validity:.0%} is asked"
        )
    if kept < gate.identity:
        wrong.append(f"only {kept:.0%} of the people would keep their persona, {gate.identity:.0%} is asked")
    if wrong:
        return Verdict(False, "; ".join(wrong), figures)
    return Verdict(True, f"stable, as separate as before, and {kept:.0%} of the people keep their persona", figures)


def _stability_of(model: PersonaModel) -> float | None:
    if model.evidence.stability is not None:
        return model.evidence.stability
    evidence = model.k_evidence
    if not {"stability", "is_chosen"} <= set(evidence.columns):
        return None
    chosen = evidence.filter(pl.col("is_chosen"))["stability"]
    return float(chosen[0]) if len(chosen) and chosen[0] is not None else None


def _separation_of(one: StandingPersonas, sample: pl.DataFrame, view: PersonaModel) -> float | None:
    """Calinski-Harabasz index of a model's groups, over the encoded columns of `view`: one measure for both models."""
    if one.model.k < 2 or sample.height <= one.model.k:
        return None
    groups = one.model.assign(sample).select("person_id", "cluster")
    labels = sample.select("person_id").join(groups, on="person_id", how="left", maintain_order="left")["cluster"]
    return calinski_harabasz(_encoded(view, sample), labels.to_numpy())


def _encoded(model: PersonaModel, features: pl.DataFrame) -> NDArray[np.float64]:
    columns = [encoding.encode(features[encoding.feature]) for encoding in model.preparation.encodings_]
    return np.hstack(columns).astype(np.float64)


def calinski_harabasz(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    """Variance between groups over variance within, each per degree of freedom (Calinski and Harabasz 1974).

    Args:
        scores: (people, columns).
        labels: The group of each person.

    Returns:
        The index, or None where there are fewer than two groups or nothing varies within them.
    """
    groups = np.unique(labels)
    if len(groups) < 2:
        return None
    total = ((scores - scores.mean(axis=0)) ** 2).sum()
    within = sum(((scores[labels == group] - scores[labels == group].mean(axis=0)) ** 2).sum() for group in groups)
    if within <= 0:
        return None
    return float((total - within) / (len(groups) - 1) / (within / (len(scores) - len(groups))))


def tell_movement(
    placed: pl.DataFrame, under_previous_model: pl.DataFrame | None, incumbents: pl.DataFrame
) -> pl.DataFrame:
    """Tell real movement from boundaries that were drawn anew.

    A person *moved* when last week's model, too, puts them elsewhere this week. Where only the new model does, the
    ruler moved and not the person: *redrawn*.

    Args:
        placed: As `place_people` returns it, with this week's model.
        under_previous_model: The same people with last week's model; None where it is the same one.
        incumbents: person_id, persona_id of the week before.

    Returns:
        `placed` with previous_model_persona_id (where last week's model puts the person this week) and movement:
        "moved", "redrawn", "stayed", or null where the person was in no persona the week before.
    """
    same = placed if under_previous_model is None else under_previous_model
    joined = placed.join(
        same.select("person_id", previous_model_persona_id="persona_id"),
        on="person_id",
        how="left",
        maintain_order="left",
    ).join(incumbents.select("person_id", __before="persona_id"), on="person_id", how="left", maintain_order="left")
    return joined.with_columns(
        movement=pl.when(pl.col("__before").is_null())
        .then(None)
        .when(pl.col("persona_id") == pl.col("__before"))
        .then(pl.lit("stayed"))
        .when(pl.col("previous_model_persona_id") == pl.col("__before"))
        .then(pl.lit("redrawn"))
        .otherwise(pl.lit("moved"))
    ).drop("__before")


def count_movement(tracked: pl.DataFrame) -> dict[str, Any]:
    """How many moved, were redrawn, and would have been moved by the new model alone.

    Args:
        tracked: As `tell_movement` returns it.

    Returns:
        moved, redrawn, stayed and joined as people; by_refit_alone, people whom this week's model puts elsewhere than
        last week's does.
    """
    counts = dict(tracked.group_by("movement").len().iter_rows())
    return {
        "moved": counts.get("moved", 0),
        "redrawn": counts.get("redrawn", 0),
        "stayed": counts.get("stayed", 0),
        "joined": counts.get(None, 0),
        "by_refit_alone": tracked.filter(pl.col("persona_id") != pl.col("previous_model_persona_id")).height,
    }


def typical_people(
    preparation: Preparation, features: pl.DataFrame, placed: pl.DataFrame, count: int = 3
) -> pl.DataFrame:
    """The people nearest to the middle of each persona (medoids), among up to 20,000 of everybody.

    Args:
        preparation: The fitted preparation of the model.
        features: One week.
        placed: person_id, persona_id.
        count: How many of each persona.

    Returns:
        By persona_id: persona_id, person_id, rank from 1.
    """
    sample = hash_sample(features, GATE_SAMPLE, GATE_SEED).join(
        placed.select("person_id", "persona_id"), on="person_id", maintain_order="left"
    )
    scores = preparation.transform(sample).astype(np.float64)
    parts = []
    for persona in sorted(sample["persona_id"].unique().to_list()):
        rows = np.flatnonzero((sample["persona_id"] == persona).to_numpy())
        away = ((scores[rows] - scores[rows].mean(axis=0)) ** 2).sum(axis=1)
        nearest = rows[np.argsort(away, kind="stable")[:count]]
        parts.append(
            pl.DataFrame(
                {
                    "persona_id": persona,
                    "person_id": sample["person_id"].gather(nearest),
                    "rank": range(1, len(nearest) + 1),
                },
                schema=TYPICAL_SCHEMA,
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=TYPICAL_SCHEMA)
