"""How people stay in their persona from week to week: who is in which, and what it takes to move.

Here belongs placing people with a standing model. When a new model may take over is asked in `persona_challenge`, who
moved in `persona_movement`, which persona a group continues in `persona_identity`.

People keep their persona until the odds of another one are four to one: on simulated weeks this cuts label changes that
nobody's behaviour explains from three in a hundred people to one in two hundred, and finds those who did move as well.
What people did of late is weighed in `weekly_habits`; where it says much, lower odds are enough.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.people_order import hash_sample
from ml.persona_model import PersonaModel
from ml.weekly_habits import RecentBehaviour, learn_habits, update_beliefs, weekly_evidence

ODDS_TO_MOVE = 4.0
"""A person moves to another persona when it is this many times as probable as the one they are in."""
WAVERS_TO_MOVE = 2.0
"""... and when the odds are beyond what people's behaviour wavers from week to week, by this many standard
deviations."""
RIGHT_WHEN_MOVED = 0.9
"""Where what people did of late is known, odds below four to one are enough as long as so many of those who change
persona are expected to be right."""
BORDER_WITHIN = 5.0
"""Log odds against the runner-up up to which people stand near a border, where wavering matters."""
FEWEST_WAVERING = 50
"""With fewer people near borders, nothing is said about how much they waver."""
GATE_SAMPLE = 20_000
"""People that two models are compared on."""
GATE_SEED = 11

PLACED_SCHEMA = {
    "person_id": pl.UInt64,
    "persona_id": pl.String,
    "strength": pl.Float64,
    "runner_up_persona_id": pl.String,
    "margin": pl.Float64,
}
BELIEF_COLUMNS = {"strength", "runner_up_persona_id", "margin"}
"""What of a week's placing is needed, beside the persona, to go on from what was believed."""
INCUMBENT_SCHEMA = {"person_id": pl.UInt64, "persona_id": pl.String}


@dataclass(frozen=True)
class StandingPersonas:
    """A model and the persona that each of its clusters is."""

    model: PersonaModel
    persona_ids: dict[int, str]


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
            did since, and lower odds are enough where `odds_of_beliefs` says so; without it, the model's probabilities
            of the week count alone.

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
        probabilities, has_past = _believe(probabilities, people, ids, before, incumbents, recent)
        odds_to_move = odds_of_beliefs(probabilities[has_past], before[has_past], odds_to_move)
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


def odds_of_beliefs(
    believed: NDArray[np.float64], before: NDArray[np.int64], odds_to_move: float = ODDS_TO_MOVE
) -> float:
    """From which odds people may move on what is believed of them: as low as those who do are mostly expected right.

    Beliefs hold people where they were already: a week that says little leaves them as they are. Where weeks say much,
    all but a few changes are beyond doubt, and holding the few back to four to one too would find movers late; where
    weeks say little, most changes are doubtful, and the odds stay. So the odds are the lowest at which
    `RIGHT_WHEN_MOVED` of the changes are expected to be right (a false discovery rate, as Storey 2003 takes it from
    posterior probabilities).

    Args:
        believed: (people, personas), probabilities; of people with a past only.
        before: (people,), the persona of each a week ago.
        odds_to_move: The most that is asked.

    Returns:
        The odds, from 1 to `odds_to_move`.
    """
    rows = np.flatnonzero(believed.argmax(axis=1) != before)
    new, old = believed[rows].max(axis=1, initial=0.0), believed[rows, before[rows]]
    odds = new / np.maximum(old, 1e-300)
    surest_first = np.argsort(-odds, kind="stable")
    expected_right = np.cumsum(new[surest_first]) / np.arange(1, len(rows) + 1)
    enough = np.flatnonzero(expected_right >= RIGHT_WHEN_MOVED)
    if not len(enough):
        return odds_to_move
    return min(odds_to_move, float(odds[surest_first][enough[-1]]))


def _believe(
    probabilities: NDArray[np.float64],
    people: pl.Series,
    ids: list[str],
    before: NDArray[np.int64],
    incumbents: pl.DataFrame,
    recent: RecentBehaviour,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Weigh the model's probabilities with last week's beliefs and this week's behaviour; says of whom that was done.

    Whom the model puts in a persona that nobody was in, and whose persona it does not know, has no past: a persona that
    is born takes its people, one that ends lets them go.
    """
    nobody = np.zeros(len(people), dtype=bool)
    if len(ids) < 2 or not BELIEF_COLUMNS <= set(incumbents.columns):
        return probabilities, nobody
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
        return probabilities, nobody
    believed = _believed_before(people, ids, before, incumbents)
    return update_beliefs(probabilities, believed, has_past, weekly_evidence(habits, recent, people)), has_past


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
