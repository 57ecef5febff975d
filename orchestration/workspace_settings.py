"""What `personae.yml` may say, each part by itself: names, ranges and defaults.

What belongs here: settings that have no room of their own. Whether they fit what is delivered is asked in
`workspace.py`.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from orchestration.adoption_settings import AdoptionSettings, Launch
from orchestration.affinity_settings import AffinitySettings
from orchestration.dimension_settings import CustomerValueSettings, PreferenceSettings, UpliftSettings
from orchestration.identity_settings import IdentitySettings
from orchestration.legal_basis import LegalBasis
from orchestration.lookalike_settings import LookalikeSettings
from orchestration.mapping import slug
from orchestration.persuasion_settings import PersuasionSettings
from orchestration.settings_file import TimeZoneName
from orchestration.target_settings import Target

NAME = re.compile(r"[a-z][a-z0-9_]{0,48}")


class Settings(BaseModel):
    """A part of `personae.yml`: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureSettings(Settings):
    """What is counted beyond the standard features: event names, each with words for people who do it often.

    `not_sensitive` lists those that look like a special category of personal data and are none.
    """

    events: dict[str, str | None] = Field(default_factory=dict)
    not_sensitive: tuple[str, ...] = ()

    @field_validator("events", mode="before")
    @classmethod
    def _a_list_has_no_words(cls, given: Any) -> Any:
        return {str(name): None for name in given} if isinstance(given, list | tuple) else given

    @field_validator("events")
    @classmethod
    def _names_become_different_columns(cls, events: dict[str, str | None]) -> dict[str, str | None]:
        by_column: dict[str, str] = {}
        for name in events:
            if (other := by_column.setdefault(slug(name), name)) != name:
                raise ValueError(f"'{name}' and '{other}' are the same name in SQL")
        return events


class ChallengerSettings(Settings):
    """What a newly fitted persona model has to show before it replaces the standing one."""

    stability: Annotated[float, Field(ge=0, le=1)] = 0.6
    validity: Annotated[float, Field(ge=0, le=2)] = 0.9
    identity: Annotated[float, Field(ge=0, le=1)] = 0.7


class MarketSettings(Settings):
    """One persona model per market: the category feature that says which, and from how many people on."""

    feature: str
    minimum_people: Annotated[int, Field(ge=50)] = 2_000

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_the_feature(cls, given: Any) -> Any:
        return {"feature": given} if isinstance(given, str) else given


class CostSettings(Settings):
    """What serving a person costs, and what of their revenue is left: without it, no persona is unprofitable."""

    margin: Annotated[float, Field(gt=0, le=1)]
    per_message: Annotated[float, Field(ge=0)] = 0.0
    per_ticket: Annotated[float, Field(ge=0)] = 0.0


class PersonaSettings(Settings):
    """How personas are found: `k` fixed or a range, how often the model is fitted anew, what a new one has to show."""

    k: int | tuple[int, int] = (3, 8)
    algorithm: Literal["auto", "k_means", "gaussian_mixture", "ward", "latent_class"] = "auto"
    validation: Literal["weekly", "thorough"] = "weekly"
    minimum_people: Annotated[int, Field(ge=1)] = 50
    minimum_share: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    families: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(default_factory=dict)
    per_market: MarketSettings | None = None
    costs: CostSettings | None = None
    kpis: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*_28d$")], ...] = ()
    refit_every_weeks: Annotated[int, Field(ge=1, le=520)] = 13
    refit_on_drift_after_weeks: Annotated[int, Field(ge=1, le=520)] = 4
    challenger: ChallengerSettings = ChallengerSettings()
    seed: int = 7
    exclude: tuple[str, ...] = ()

    @field_validator("k")
    @classmethod
    def _k_is_sensible(cls, k: int | tuple[int, int]) -> int | tuple[int, int]:
        low, high = (k, k) if isinstance(k, int) else k
        if not 2 <= low <= high <= 20:
            raise ValueError("k must lie between 2 and 20, as a number or as [lowest, highest]")
        return k

    @field_validator("families")
    @classmethod
    def _some_family_counts(cls, families: dict[str, float]) -> dict[str, float]:
        if families and not any(weight > 0 for weight in families.values()):
            raise ValueError("at least one family needs a weight above 0")
        return families


class DriftSettings(Settings):
    """When a delivery differs enough from those of its mapping before it to be told of.

    Attributes:
        deliveries: how many earlier ones it is compared with.
        fewest_deliveries: how many there must be.
        ratio: a file is a jump only where it is more than so many times longer or shorter than the median.
        missing_share: missing values are a jump only where their share changes by more than this, 0 to 1.
        deviations: and only where it is more robust standard deviations from the median than this.
    """

    deliveries: Annotated[int, Field(ge=4, le=104)] = 12
    fewest_deliveries: Annotated[int, Field(ge=4, le=104)] = 4
    ratio: Annotated[float, Field(gt=1, le=100)] = 1.5
    missing_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    deviations: Annotated[float, Field(gt=0, le=100)] = 4.0

    @model_validator(mode="after")
    def _enough_are_looked_at(self) -> DriftSettings:
        if self.fewest_deliveries > self.deliveries:
            raise ValueError("fewest_deliveries must not be more than deliveries")
        return self


class ActivationSettings(Settings):
    """For which purpose and over which channel people are reached."""

    channel: str = "email"
    purpose: str = "email_marketing"


class ScheduleSettings(Settings):
    """When the weekly job starts, in the workspace's time zone."""

    hour: Annotated[int, Field(ge=0, le=23)] = 6
    minute: Annotated[int, Field(ge=0, le=59)] = 0


class WorkspaceSettings(Settings):
    """Everything `personae.yml` may say."""

    company: Annotated[str, Field(min_length=1, max_length=100)]
    timezone: TimeZoneName = "UTC"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    data: str = "."
    first_week: date
    delivery_grace_hours: Annotated[int, Field(ge=0, le=24 * 14)] = 24
    quarantine_threshold: Annotated[float, Field(ge=0, le=1)] = 0.05
    drift: DriftSettings = DriftSettings()
    minimum_cell: Annotated[int, Field(ge=1)] = 10
    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)?(MB|GB)$")] = "4GB"
    identity: IdentitySettings = IdentitySettings()
    features: FeatureSettings = FeatureSettings()
    personas: PersonaSettings = PersonaSettings()
    targets: dict[str, Target] = Field(default_factory=dict)
    value: CustomerValueSettings = CustomerValueSettings()
    preferences: PreferenceSettings = PreferenceSettings()
    uplift: UpliftSettings = UpliftSettings()
    affinity: AffinitySettings = AffinitySettings()
    launches: tuple[Launch, ...] = ()
    adoption: AdoptionSettings = AdoptionSettings()
    persuasion: PersuasionSettings = PersuasionSettings()
    lookalikes: dict[str, LookalikeSettings] = Field(default_factory=dict)
    activation: ActivationSettings = ActivationSettings()
    legal_basis: LegalBasis = Field(default_factory=dict)
    schedule: ScheduleSettings = ScheduleSettings()

    @field_validator("lookalikes", "targets")
    @classmethod
    def _names_become_files_and_columns(cls, named: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        what = "look-alike" if info.field_name == "lookalikes" else "target"
        for name in named:
            if not NAME.fullmatch(name):
                raise ValueError(f"the {what}'s name '{name}' must be lower case letters, digits and underscores")
        return named
