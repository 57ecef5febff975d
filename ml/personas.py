"""Finds groups of people that behave alike: the steps from a week's features to a persona model.

Here belongs the order of the steps. How groups are looked for stands in `persona_search`, how they are taken to
everybody in `persona_settling`, how they are judged in `persona_judgement`, the model that comes of it in
`persona_model`; markets in `persona_markets`, last week's groups going on in `persona_continuation`. Which of last
week's personas a group continues is asked in `persona_identity`; its name, in `naming`.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from ml.catalogue import Kind, inputs_of, require_one_week
from ml.people_order import hash_sample
from ml.persona_count import EVIDENCE_SCHEMA
from ml.persona_evidence import PersonaEvidence
from ml.persona_judgement import judge_again, judge_model
from ml.persona_markets import fit_markets
from ml.persona_model import PersonaModel, PersonaSettings
from ml.persona_search import search_groups
from ml.persona_settling import settle_model
from ml.preparation import Preparation

__all__ = ["PersonaModel", "PersonaSettings", "TooFewPeople", "fit_personas", "judge_again"]

PEOPLE_PER_PERSONA = 10
"""With fewer people than this for each persona, groups are chance."""


class TooFewPeople(ValueError):
    """There is nobody to find personas among."""


def fit_personas(
    features: pl.DataFrame,
    catalogue: pl.DataFrame,
    settings: PersonaSettings | None = None,
    standing_count: int | None = None,
) -> PersonaModel:
    """Find the personas of one week.

    The groups are searched by many k-means starts among a sample, chosen and ordered by the hash of the person,
    and then settled on everybody. Neither the order of the rows nor the number of processors has a say.

    Where groups would be chance, everybody is one persona, and `choice` says why: fewer than ten people per
    persona wanted, or no feature that varies for at least 1 % of the people.

    Args:
        features: One week: person_id, as_of (optional) and feature columns, with nulls.
        catalogue: The feature catalogue, see `catalogue`.
        settings: How personas are found; by default as `PersonaSettings` says.
        standing_count: How many personas there are so far; another number needs evidence, see `choose_count`. It has no
            say with markets.

    Returns:
        The model, its groups numbered from the largest to the smallest.

    Raises:
        TooFewPeople: The frame has no rows.
        ValueError: Several weeks or a person twice; k or k_range is not within 1.. and ascending.
    """
    settings = settings or PersonaSettings()
    fewest, most = (settings.k, settings.k) if settings.k is not None else settings.k_range
    if not 1 <= fewest <= most:
        raise ValueError(f"the number of personas must be ascending from 1, got {fewest} to {most}")
    if features.height == 0:
        raise TooFewPeople("there are no people to find personas among")
    require_one_week(features)
    inputs = inputs_of(catalogue, features.columns, "is_persona_input")

    if settings.market_feature is not None:
        inputs.pop(settings.market_feature, None)
    with threadpool_limits(limits=1):  # threads add up in a different order every time, and so would the centres
        if features.height // PEOPLE_PER_PERSONA < fewest:
            return _single_persona(features, {}, settings, _too_few(features.height, fewest))
        sample = hash_sample(features, settings.sample_size, settings.seed)
        preparation = _prepare(sample, inputs, catalogue, settings)
        if settings.market_feature is None:
            return _fit(features, sample, preparation, inputs, settings, standing_count)
        fit = partial(_fit, preparation=preparation, inputs=inputs, settings=settings)
        return fit_markets(features, sample, settings, fit)


def _too_few(people: int, fewest: int) -> str:
    needed = fewest * PEOPLE_PER_PERSONA
    return f"One persona: {people} people are too few for {fewest} personas; {needed} are needed."


def _fit(
    features: pl.DataFrame,
    sample: pl.DataFrame,
    preparation: Preparation,
    inputs: dict[str, Kind],
    settings: PersonaSettings,
    standing_count: int | None = None,
) -> PersonaModel:
    """Find personas among people who are measured already."""
    fewest, most = (settings.k, settings.k) if settings.k is not None else settings.k_range
    most = min(most, features.height // PEOPLE_PER_PERSONA)
    if most < fewest:
        return _one_persona(preparation, features, settings, _too_few(features.height, fewest))
    if preparation.n_columns_ == 0:
        return _single_persona(features, inputs, settings, "One persona: no feature tells people apart.")
    if most == 1:
        return _single_persona(features, inputs, settings, "One persona, as set.")
    scores = preparation.transform(sample).astype(np.float64)
    distinct = len(np.unique(scores, axis=0))
    if distinct < fewest:
        reason = f"people fall into {distinct} kinds that are all alike, fewer than {fewest}."
        return _one_persona(preparation, features, settings, f"One persona: {reason}")
    candidates = range(max(fewest, 2), min(most, distinct) + 1)
    found = search_groups(preparation, scores, candidates, features.height, settings, standing_count)
    model = PersonaModel(
        preparation=preparation,
        centres=found.centres,
        spread=1.0,
        shares=(),
        k_evidence=found.counted.table.with_columns(is_chosen=pl.col("k") == found.k),
        choice=found.choice,
        settings=settings,
        algorithm=found.algorithm,
        rule=found.rule,
    )
    model = settle_model(model, features)
    return replace(model, evidence=judge_model(model, sample, scores, found, len(inputs), features.height))


def _prepare(
    sample: pl.DataFrame, inputs: dict[str, Kind], catalogue: pl.DataFrame, settings: PersonaSettings
) -> Preparation:
    families = dict(catalogue.select("feature", "family").iter_rows())
    estimator = Preparation(
        sample_size=settings.sample_size, random_state=settings.seed, family_weights=settings.families
    )
    return estimator.fit(sample, inputs, families)


def _one_persona(
    preparation: Preparation, features: pl.DataFrame, settings: PersonaSettings, choice: str
) -> PersonaModel:
    """One persona for everybody, in the space of a preparation that is fitted already."""
    return PersonaModel(
        preparation=preparation,
        centres=np.zeros((1, preparation.n_columns_)),
        spread=1.0,
        shares=(1.0,),
        k_evidence=pl.DataFrame(schema=EVIDENCE_SCHEMA),
        choice=choice,
        settings=settings,
        evidence=PersonaEvidence(people=features.height, features=len(preparation.features_)),
    )


def _single_persona(
    features: pl.DataFrame, inputs: dict[str, Kind], settings: PersonaSettings, choice: str
) -> PersonaModel:
    preparation = Preparation(sample_size=settings.sample_size, random_state=settings.seed).fit(features, inputs)
    return _one_persona(preparation, features, settings, choice)
