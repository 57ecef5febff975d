"""What is kept and shown of the evidence for a persona model: its settings, its card.

What belongs here: translation between the workspace and `ml/`. What a week does stands in `persona_week.py`.
"""

from __future__ import annotations

from ml.personas import PersonaSettings as FitSettings
from orchestration.workspace import PersonaSettings


def fit_settings(settings: PersonaSettings) -> FitSettings:
    """How a model is fitted, as the workspace's settings say."""
    return FitSettings(
        k=settings.k if isinstance(settings.k, int) else None,
        k_range=(settings.k, settings.k) if isinstance(settings.k, int) else settings.k,
        minimum_people=settings.minimum_people,
        minimum_share=settings.minimum_share,
        algorithm=None if settings.algorithm == "auto" else settings.algorithm,
        families=settings.families or None,
        is_thorough=settings.validation == "thorough",
        market_feature=settings.per_market.feature if settings.per_market else None,
        market_minimum=settings.per_market.minimum_people if settings.per_market else 0,
        seed=settings.seed,
    )
