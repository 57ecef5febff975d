"""What a workspace says of brand affinity: sources of text, how fast they age, and how much text a score needs.

What belongs here: settings. The phrases stand in `brand.py`; what the settings lead to, in `affinity_week.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orchestration.settings_file import SettingsFile, nearest
from orchestration.word_vectors import HOW_TO_INSTALL, missing_parts

# Each source of text: days until it counts half, and what a fresh text of it counts for. A text that its entity goes on
# stating (a job title, a company) does not age.
SOURCES: dict[str, tuple[int, float]] = {
    "job_title": (365, 1.0),
    "company": (365, 0.5),
    "note": (180, 1.0),
    "ticket": (90, 1.0),
    "survey": (180, 1.0),
    "search": (30, 1.0),
    "page": (30, 0.5),
    "product": (120, 1.0),
    "message": (45, 0.25),
}


class AffinitySettings(BaseModel):
    """How texts become scores.

    Attributes:
        half_life_days: per source, days after which a text counts half; after four half-lives it counts no more.
        source_weights: per source, what a fresh text counts for; 0 leaves the source out.
        group_weights: what triggers, events, targets and the brand's names count for in the brand's affinity.
        similarity: `lexical` compares words; `semantic` also what they mean, with vectors that an extra ships.
        minimum_texts: fewest different texts of a person; with fewer nothing is said.
        most_phrases: phrases that are told per person, those with the highest scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    similarity: Literal["lexical", "semantic"] = "lexical"
    half_life_days: dict[str, Annotated[int, Field(ge=1, le=730)]] = Field(default_factory=dict)
    source_weights: dict[str, Annotated[float, Field(ge=0, le=10)]] = Field(default_factory=dict)
    group_weights: dict[str, Annotated[float, Field(ge=0, le=10)]] = Field(
        default_factory=lambda: {"trigger": 1.0, "event": 0.8, "target": 0.5, "brand": 1.0}
    )
    minimum_texts: Annotated[int, Field(ge=1, le=100)] = 3
    most_phrases: Annotated[int, Field(ge=1, le=100)] = 10

    @field_validator("half_life_days", "source_weights")
    @classmethod
    def _sources_are_known(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if name not in SOURCES:
                raise ValueError(f"'{name}' is no source of text; {nearest(name, SOURCES)}")
        return given

    @field_validator("group_weights")
    @classmethod
    def _groups_are_known(cls, given: dict[str, float]) -> dict[str, float]:
        groups = ("trigger", "event", "target", "brand")
        for name in given:
            if name not in groups:
                raise ValueError(f"'{name}' is no group of phrases; {nearest(name, groups)}")
        return given


def check_similarity(file: SettingsFile, settings: AffinitySettings) -> None:
    """What similarities are made of must be installed.

    Raises:
        SettingsError: `semantic` is asked for, and the extra is not there.
    """
    missing = missing_parts() if settings.similarity == "semantic" else []
    if missing:
        raise file.error(
            ("affinity", "similarity"),
            f"'semantic' needs an extra that is not installed ({', '.join(missing)}): {HOW_TO_INSTALL}, "
            "or write `similarity: lexical`",
        )


def affinity_vars(settings: AffinitySettings, is_declared: bool) -> dict[str, Any]:
    """What dbt's models read of these settings."""
    return {
        "enabled": is_declared,
        "half_life_days": {name: settings.half_life_days.get(name, days) for name, (days, _) in SOURCES.items()},
        "source_weights": {name: settings.source_weights.get(name, weight) for name, (_, weight) in SOURCES.items()},
    }
