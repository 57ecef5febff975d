"""Simulated people of known innovativeness, and when they try what is launched.

What belongs here: the worlds that tests and `benchmarks/adoption.py` measure in, and how people are placed in them.
They differ from what the model assumes: how long somebody takes is exponential and not normal, launches differ in how
many try them, and interest in a launch is partly a matter of the launch alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml.adoption import (
    INFLUENCE_SCHEMA,
    AdoptionModel,
    AdoptionRules,
    Evidence,
    Places,
    Signal,
    evidence_of_launches,
    fit_adoption_model,
    place_people,
    signal_of,
)

OBSERVED_DAYS = 91
APART_DAYS = 91
ROGERS = AdoptionRules(shares=(0.025, 0.135, 0.34, 0.34, 0.16))
SHARES_TRIED = (0.3, 0.55, 0.4, 0.65, 0.25, 0.5, 0.45, 0.6)
"""How many try a launch while it is observed, launch by launch."""


@dataclass(frozen=True)
class World:
    """People, their true innovativeness, and days until they tried each launch (nan: not while it was observed)."""

    innovativeness: np.ndarray
    days: np.ndarray
    expected_from: dict[str, np.ndarray]

    def evidence(self, launches: int) -> Evidence:
        """What the first so many launches say of people."""
        return evidence_of_launches(
            self.days[:, :launches],
            np.ones((len(self.days), launches), dtype=np.bool_),
            np.ones(launches, dtype=np.bool_),
            [f"launch_{number}" for number in range(launches)],
        )

    def placed(self, launches: int, rules: AdoptionRules = ROGERS) -> Placed:
        """People placed by the first so many launches."""
        evidence = self.evidence(launches)
        signal = signal_of(evidence, rules.minimum_launches)
        if signal is None:
            raise ValueError("too few launches to place anybody")
        model = fit_adoption_model(evidence, signal, self.expected_from, pl.DataFrame(schema=INFLUENCE_SCHEMA), rules)
        places = place_people(model, evidence, self.expected_from, rules.minimum_launches, signal.typical_launches)
        return Placed(evidence, signal, model, places)


@dataclass(frozen=True)
class Placed:
    """What was made of a world's launches."""

    evidence: Evidence
    signal: Signal
    model: AdoptionModel
    places: Places


def world(
    seed: int,
    people: int = 4_000,
    launches: int = 9,
    reliability: float = 0.4,
    known_before: float = 0.3,
) -> World:
    """People of normally distributed innovativeness.

    Args:
        seed: of all chance.
        people: how many.
        launches: how many launches.
        reliability: part of the variance of the logarithm of the time until a launch is tried that is innovativeness;
            the rest is chance and the launch. 0: early trying is chance alone.
        known_before: correlation of innovativeness with affinity, and with breadth of use.
    """
    chance = np.random.default_rng(seed)
    innovativeness = chance.normal(size=people)
    # The logarithm of an exponential time has the variance pi²/6.
    slope = np.sqrt(reliability / max(1 - reliability, 1e-9) * np.pi**2 / 6)
    days = np.full((people, launches), np.nan)
    for launch in range(launches):
        until = chance.exponential(size=people) / np.exp(slope * innovativeness)
        until *= OBSERVED_DAYS / np.quantile(until, SHARES_TRIED[launch % len(SHARES_TRIED)])
        tried = until < OBSERVED_DAYS
        days[tried, launch] = until[tried]
    rest = np.sqrt(1 - known_before**2)
    expected_from = {
        name: known_before * innovativeness + rest * chance.normal(size=people)
        for name in ("brand_affinity", "breadth")
    }
    return World(innovativeness, days, expected_from)
