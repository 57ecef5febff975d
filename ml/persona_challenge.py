"""A newly fitted model challenges the standing one: which personas it continues, and whether it may take over.

Here belong fitting the challenger and the gate it has to pass. Placing people with either stands in `persona_tracking`,
matching groups with personas in `persona_identity`.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.people_order import hash_sample
from ml.persona_continuation import continue_personas
from ml.persona_identity import PersonaMatch, group_centres, match_personas
from ml.persona_model import PersonaModel, PersonaSettings
from ml.persona_tracking import GATE_SAMPLE, GATE_SEED, ODDS_TO_MOVE, StandingPersonas, place_people
from ml.personas import fit_personas, judge_again
from ml.weekly_habits import RecentBehaviour

AS_TELLING_FROM = 0.95
"""The standing personas, settled anew, are as good as a new solution when they explain this share of what it explains
of people's differences: solutions of nearly the same quality would otherwise take turns."""
SAME_VIEW_FROM = 0.9
"""Share of the features a new solution looks at that the champion has to look at, to be settled anew."""


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
