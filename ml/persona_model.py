"""A persona model as it stands: how it was fitted, and to which of its personas a person of any week belongs.

Here belong the settings, assigning people, and writing a model as JSON. How it is found stands in `personas`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.catalogue import require_one_week
from ml.clustering import GroupRule, round_groups
from ml.many_starts import Matrix
from ml.persona_count import EVIDENCE_SCHEMA, THOROUGH, WEEKLY, Effort
from ml.persona_evidence import PersonaEvidence
from ml.preparation import Preparation

SMALL_BASE = 5_000
ASSIGNMENT_SCHEMA = {
    "person_id": pl.UInt64,
    "cluster": pl.Int64,
    "strength": pl.Float64,
    "runner_up": pl.Int64,
    "margin": pl.Float64,
}


@dataclass(frozen=True)
class PersonaSettings:
    """How personas are found.

    Attributes:
        k: Number of personas, or None to choose it within `k_range`.
        k_range: Fewest and most personas to choose from.
        sample_size: People the groups are searched among before everybody is used.
        starts: Starts of the chosen solution; below `SMALL_BASE` people twice as many. Reproducibility comes from many.
        minimum_share: A persona has at least this share of the people, 0..1.
        minimum_people: And at least as many people; where the base is too small for that, half of an even share.
        algorithm: One of `ALGORITHMS`; None chooses by the kind of data: latent classes for surveys, k-means else.
        families: Weight by feature family; see `Preparation`.
        market_feature: A category: people of each of its values have personas of their own; None: all are in one.
        market_minimum: People a market needs for that; smaller ones share personas.
        is_thorough: Whether evidence is gathered for minutes instead of seconds.
        seed: Random seed.
    """

    k: int | None = None
    k_range: tuple[int, int] = (3, 8)
    sample_size: int = 20_000
    starts: int = 50
    minimum_share: float = 0.02
    minimum_people: int = 50
    algorithm: str | None = None
    families: Mapping[str, float] | None = None
    market_feature: str | None = None
    market_minimum: int = 2_000
    is_thorough: bool = False
    seed: int = 7

    @property
    def effort(self) -> Effort:
        """How much is computed to judge solutions."""
        return THOROUGH if self.is_thorough else WEEKLY

    def smallest_persona(self, people: int) -> float:
        """People that a persona needs, in a base of so many."""
        fewest = self.k if self.k is not None else self.k_range[0]
        return min(max(self.minimum_people, self.minimum_share * people), people / (2 * max(fewest, 1)))


@dataclass(frozen=True)
class PersonaModel:
    """A frozen persona model: it assigns people of any week, without learning from them.

    Attributes:
        preparation: The fitted preparation.
        centres: (k, columns) in the space of the preparation, largest group first.
        spread: Mean variance within groups per column; the scale on which strength is measured.
        shares: Share of the people in each group when the model was fitted.
        k_evidence: As `gather_evidence` gives it; no rows where there was nothing to choose from.
        choice: Why this number of personas, in words.
        settings: The settings it was fitted with.
        algorithm: One of `ALGORITHMS`.
        rule: How people are assigned where it is not to the nearest centre, with groups alike; else None.
        evidence: What is known of the solution; with markets, that of the largest.
        markets: Per persona the market its people are in, None for those who share; empty without markets.
    """

    preparation: Preparation
    centres: NDArray[np.float64]
    spread: float
    shares: tuple[float, ...]
    k_evidence: pl.DataFrame
    choice: str
    settings: PersonaSettings
    algorithm: str = "k_means"
    rule: GroupRule | None = None
    evidence: PersonaEvidence = field(default_factory=PersonaEvidence)
    markets: tuple[str | None, ...] = ()

    @property
    def k(self) -> int:
        """Number of personas."""
        return len(self.centres)

    @property
    def model_id(self) -> str:
        """Hash of everything the model is: equal models have equal ids."""
        content = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def assign(self, features: pl.DataFrame) -> pl.DataFrame:
        """Assign each person to the most probable persona: the nearest centre, unless there is another rule.

        Args:
            features: One week: person_id, as_of (optional) and the features the model was fitted on.

        Returns:
            By person_id: person_id; cluster 0..k-1; strength 0..1, the probability of the cluster; of k-means,
            if all were round, of the same spread and equally likely; runner_up, the second (null if k = 1);
            margin 0..1, strength less that of the runner-up. Does not depend on the order of the rows.

        Raises:
            ValueError: Several weeks, a person twice, or a feature is missing.
        """
        require_one_week(features)
        order = features["person_id"].arg_sort().to_numpy().astype(np.int64)
        people = features["person_id"].gather(order)
        if self.k == 1:
            return pl.DataFrame(
                {"person_id": people, "cluster": 0, "strength": 1.0, "runner_up": None, "margin": 1.0},
                schema=ASSIGNMENT_SCHEMA,
            )
        ranks = np.empty((features.height, 2), dtype=np.int64)
        probabilities = np.empty((features.height, 2))
        for start, scores in self.preparation.transform_chunks(features, order):
            rows = slice(start, start + len(scores))
            ranks[rows], probabilities[rows] = _two_likeliest(self.log_probabilities(scores, features, order[rows]))
        return pl.DataFrame(
            {
                "person_id": people,
                "cluster": ranks[:, 0],
                "strength": probabilities[:, 0].round(6),
                "runner_up": ranks[:, 1],
                "margin": (probabilities[:, 0] - probabilities[:, 1]).round(6),
            },
            schema=ASSIGNMENT_SCHEMA,
        )

    def probabilities(self, features: pl.DataFrame) -> tuple[pl.Series, NDArray[np.float64]]:
        """Say how probable every cluster is for each person.

        Args:
            features: As for `assign`.

        Returns:
            The people by person_id, and (people, k): each row sums to 1, measured as the strength of `assign` is.

        Raises:
            ValueError: Several weeks, a person twice, or a feature is missing.
        """
        require_one_week(features)
        order = features["person_id"].arg_sort().to_numpy().astype(np.int64)
        people = features["person_id"].gather(order)
        probabilities = np.ones((features.height, self.k))
        if self.k > 1:
            for start, scores in self.preparation.transform_chunks(features, order):
                rows = slice(start, start + len(scores))
                probabilities[rows] = np.exp(self.log_probabilities(scores, features, order[rows]))
        return people, probabilities

    def log_probabilities(
        self, scores: NDArray[np.float32], features: pl.DataFrame | None = None, rows: NDArray[np.int64] | None = None
    ) -> Matrix:
        """Log probability of each group, (people, k); with markets, only of those in the market of each row."""
        rule = self.rule if self.rule is not None else round_groups(self.centres, self.spread)
        if not self.markets or features is None or rows is None:
            return rule.log_probabilities(scores.astype(np.float64))
        feature = self.settings.market_feature
        if feature not in features.columns:
            raise ValueError(f"the features lack the column that says the market: {feature}")
        known = sorted({market for market in self.markets if market is not None})
        places = {market: place for place, market in enumerate(known)}
        codes = features[feature][rows].cast(pl.String).replace_strict(places, default=-1, return_dtype=pl.Int64)
        own = np.array([-1 if market is None else places[market] for market in self.markets])
        return rule.log_probabilities(scores.astype(np.float64), codes.fill_null(-1).to_numpy()[:, None] == own)

    def to_dict(self) -> dict[str, Any]:
        """Write the model as a JSON object."""
        return {
            "preparation": self.preparation.to_dict(),
            "centres": self.centres.tolist(),
            "spread": self.spread,
            "shares": list(self.shares),
            "k_evidence": self.k_evidence.to_dicts(),
            "choice": self.choice,
            "settings": {**asdict(self.settings), "k_range": list(self.settings.k_range)},
            "algorithm": self.algorithm,
            "rule": None if self.rule is None else self.rule.to_dict(),
            "evidence": self.evidence.to_dict(),
            "markets": list(self.markets),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read a model that `to_dict` wrote."""
        return cls(
            preparation=Preparation.from_dict(state["preparation"]),
            centres=np.asarray(state["centres"], dtype=np.float64),
            spread=float(state["spread"]),
            shares=tuple(state["shares"]),
            k_evidence=pl.DataFrame(state["k_evidence"], schema=EVIDENCE_SCHEMA),
            choice=state["choice"],
            settings=PersonaSettings(**{**state["settings"], "k_range": tuple(state["settings"]["k_range"])}),
            algorithm=state.get("algorithm", "k_means"),
            rule=GroupRule.from_dict(state["rule"]) if state.get("rule") else None,
            evidence=PersonaEvidence.from_dict(state["evidence"]) if "evidence" in state else PersonaEvidence(),
            markets=tuple(state.get("markets", ())),
        )


def _two_likeliest(log_probabilities: Matrix) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    likeliest = (-log_probabilities).argsort(axis=1, kind="stable")[:, :2]
    return likeliest, np.exp(np.take_along_axis(log_probabilities, likeliest, axis=1))
