"""Personas per market: each market that is large enough has its own, the people of all others share theirs.

Here belongs dividing people into markets and putting their models together to one; each is fitted as `personas` fits
anybody.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from ml.clustering import GroupRule, round_groups
from ml.people_order import hash_sample
from ml.persona_model import PersonaModel, PersonaSettings

Fit = Callable[[pl.DataFrame, pl.DataFrame], PersonaModel]
"""Finds personas among people, of whom a sample is given as well."""


def fit_markets(features: pl.DataFrame, sample: pl.DataFrame, settings: PersonaSettings, fit: Fit) -> PersonaModel:
    """Find personas in each market that is large enough, and shared ones for everybody else, all on one scale.

    Args:
        features: Everybody, with the feature that says the market.
        sample: A sample of them.
        settings: How personas are found.
        fit: Finds the personas of one market.

    Returns:
        One model; `markets` says in which market each persona is.

    Raises:
        ValueError: The features lack the column that says the market.
    """
    feature = settings.market_feature
    if feature not in features.columns:
        raise ValueError(f"the features lack the column that says the market: {feature}")
    counts = features[feature].cast(pl.String).drop_nulls().value_counts(sort=True)
    large = sorted(counts.filter(pl.col("count") >= settings.market_minimum)[feature].to_list())
    if not large:
        note = f"No market has {settings.market_minimum:,} people; all share personas."
        model = fit(features, sample)
        return replace(model, evidence=replace(model.evidence, notes=(*model.evidence.notes, note)))
    market = pl.col(feature).cast(pl.String)
    parts: list[tuple[str | None, PersonaModel]] = []
    for name in large:
        people = features.filter(market == name)
        own_sample = hash_sample(people, settings.sample_size, settings.seed)
        parts.append((name, fit(people, own_sample)))
    rest = features.filter(~market.is_in(large).fill_null(False))
    notes = []
    is_thin = 0 < rest.height < settings.market_minimum
    if is_thin:
        notes.append(
            f"{rest.height:,} people of small or unknown markets are too few for personas of their own; theirs were "
            "found among everybody."
        )
    if rest.height:
        # Even where the rest is too few to be learned from, everybody has a persona: the pooled one.
        fitted_on, own_sample = (
            (features, sample) if is_thin else (rest, hash_sample(rest, settings.sample_size, settings.seed))
        )
        parts.append((None, fit(fitted_on, own_sample)))
    return _together(parts, features, settings, notes)


def _together(
    parts: list[tuple[str | None, PersonaModel]], features: pl.DataFrame, settings: PersonaSettings, notes: list[str]
) -> PersonaModel:
    """One model of the models of all markets, its personas numbered from the largest."""
    rules = [part.rule if part.rule is not None else round_groups(part.centres, part.spread) for _, part in parts]
    names = [name if name is not None else "all other people" for name, _ in parts]
    largest = max(parts, key=lambda part: part[1].evidence.people if part[0] is not None else -1)[1]
    told = [f"{name}: {part.evidence.kind_words}" for name, (_, part) in zip(names, parts, strict=True)]
    told += [f"{name}: {note}" for name, (_, part) in zip(names, parts, strict=True) for note in part.evidence.notes]
    model = PersonaModel(
        preparation=largest.preparation,
        centres=np.vstack([part.centres for _, part in parts]),
        spread=float(np.mean([part.spread for _, part in parts])),
        shares=(),
        k_evidence=largest.k_evidence,
        choice=" ".join(f"{name}: {part.choice}" for name, (_, part) in zip(names, parts, strict=True)),
        settings=settings,
        algorithm=largest.algorithm,
        rule=GroupRule(
            *(np.concatenate([getattr(rule, name) for rule in rules]) for name in ("constant", "linear", "square"))
        ),
        evidence=replace(largest.evidence, notes=(*told, *notes), segments=(), people=features.height),
        markets=tuple(name for name, part in parts for _ in range(part.k)),
    )
    assigned = model.assign(features)["cluster"].to_numpy()
    people = np.bincount(assigned, minlength=model.k)
    by_size = np.lexsort((model.centres[:, 0], -people))
    segments = [one for _, part in parts for one in _segments_of(part)]
    share_of = people / people.sum()
    judged = tuple(
        replace(segments[old], cluster=new, people_share=round(float(share_of[old]), 6))
        for new, old in enumerate(by_size)
        if segments[old] is not None
    )
    return replace(
        model,
        centres=model.centres[by_size],
        shares=tuple(share_of[by_size].tolist()),
        rule=model.rule.ordered(by_size) if model.rule is not None else None,
        markets=tuple(model.markets[old] for old in by_size),
        evidence=replace(model.evidence, segments=judged),
    )


def _segments_of(part: PersonaModel) -> list[Any]:
    """The judged segment of each cluster; None where nothing was judged."""
    by_cluster = {one.cluster: one for one in part.evidence.segments}
    return [by_cluster.get(cluster) for cluster in range(part.k)]
