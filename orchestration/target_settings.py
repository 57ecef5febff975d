"""`targets:` in `personae.yml`: what is to be predicted, of whom, for which action, and how it is banded and refitted.

What belongs here: what a target may say, the templates, and checking it against what the workspace delivers. How
eligibility becomes SQL stands in `eligibility.py`, what a week makes of a target in `propensity_week.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestration.mapping import Attribute, slug, words_of
from orchestration.settings_file import Location, SettingsFile, nearest

Outcome = Literal["order", "first_order", "no_order", "event", "activity", "no_activity", "upgrade", "label"]
LONGEST_EVENT_MEMORY = 91
"""Days that the features look back on events."""

TEMPLATES: dict[str, dict[str, Any]] = {
    "churn": {
        "outcome": "no_order",
        "within_days": 90,
        "eligible": {"ordered_within_days": 90},
        "action": "win them back before they are gone",
    },
    "conversion": {
        "outcome": "first_order",
        "within_days": 30,
        "eligible": {"never_ordered": True},
        "action": "help with a first order",
    },
    "upsell": {
        "outcome": "upgrade",
        "within_days": 60,
        "attribute": "plan",
        "action": "offer the next plan",
    },
    "feature_interest": {
        "outcome": "event",
        "within_days": 30,
        "action": "show what it does to those who do not use it yet",
    },
    "reactivation": {
        "outcome": "activity",
        "within_days": 30,
        "eligible": {"inactive_for_days": 60},
        "action": "invite them back",
    },
}
"""What a template says; whatever a target says itself counts instead."""

_NEEDS = {
    "event": {"event": "the event: `event: <name>`"},
    "upgrade": {
        "attribute": "the attribute that moves up: `attribute: <name>`",
        "values_in_order": "its values from the lowest up: `values_in_order: [free, team, business]`",
    },
    "label": {"label": "the column: `label: <name>`", "positive": "the value: `positive: <value>`"},
}
_HAPPENS_BY = {"order": "order", "first_order": "order", "no_order": "order", "no_activity": "activity"}
_NEGATED = ("no_order", "no_activity")


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class FeatureCondition(_Settings):
    """What a feature must be: a range, or one of some values."""

    at_least: float | None = None
    at_most: float | None = None
    values: Annotated[tuple[str, ...], Field(alias="is")] = ()

    @model_validator(mode="before")
    @classmethod
    def _a_plain_value_is_meant(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"is": given}

    @field_validator("values", mode="before")
    @classmethod
    def _one_value_is_a_list(cls, given: Any) -> Any:
        listed = given if isinstance(given, list | tuple) else [given]
        return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in listed)

    @model_validator(mode="after")
    def _says_one_thing(self) -> FeatureCondition:
        is_range = self.at_least is not None or self.at_most is not None
        if is_range == bool(self.values):
            raise ValueError("say `at_least:` and/or `at_most:`, or `is:` and one or more values")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"the range ends ({self.at_most:g}) before it begins ({self.at_least:g})")
        return self


class Eligibility(_Settings):
    """Of whom a target is predicted: all conditions hold at the week's end. Of nobody else is anything said.

    Attributes:
        has_ordered: bought before, whenever.
        never_ordered: did not.
        ordered_within_days: bought in the last so many days.
        active_within_days: did anything, or bought, in the last so many days.
        inactive_for_days: known for so many days, and did nothing and bought nothing in them.
        features: features by name, each with a range or values.
    """

    has_ordered: bool = False
    never_ordered: bool = False
    ordered_within_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    active_within_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    inactive_for_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    features: dict[str, FeatureCondition] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _a_plain_word_is_a_condition(cls, given: Any) -> Any:
        if given is None or given == "everybody":
            return {}
        if isinstance(given, str):
            words = ("everybody", "has_ordered", "never_ordered")
            if given not in words:
                raise ValueError(f"'{given}' says nothing of who is eligible; {nearest(given, words)}")
            return {given: True}
        return given

    @model_validator(mode="after")
    def _somebody_can_be_eligible(self) -> Eligibility:
        if self.never_ordered and (self.has_ordered or self.ordered_within_days):
            raise ValueError("nobody has ordered and never ordered")
        if self.active_within_days and self.inactive_for_days and self.inactive_for_days >= self.active_within_days:
            raise ValueError(
                f"nobody was active in the last {self.active_within_days} days "
                f"and inactive for {self.inactive_for_days}"
            )
        return self

    @property
    def reads_orders(self) -> bool:
        """Whether it cannot be told without orders."""
        return bool(self.has_ordered or self.never_ordered or self.ordered_within_days)


class BandSettings(_Settings):
    """How probabilities become high, medium and low.

    Attributes:
        by: `threshold`: high from a probability on (by default where a contact pays: cost over value; where neither is
            declared twice the base rate); `capacity`: high are the so many most likely people; `expected_value`: high
            is who is worth more than a contact costs, by their own amount.
        high: probability from which it is high.
        medium: probability from which it is medium; by default the base rate.
        people: how many people there is capacity for.
        medium_people: how many come next; by default twice as many.
        cost: what contacting one person costs.
        value: what it brings when somebody does what the target names (of churn: what keeping somebody is worth).
        amount: a feature with each person's own amount, such as `average_order_amount_365d`; who has none is given the
            mean of those who have.
        margin: what is left of that amount.
    """

    by: Literal["threshold", "capacity", "expected_value"] = "threshold"
    high: Annotated[float, Field(gt=0, le=1)] | None = None
    medium: Annotated[float, Field(ge=0, le=1)] | None = None
    people: Annotated[int, Field(ge=1)] | None = None
    medium_people: Annotated[int, Field(ge=0)] | None = None
    cost: Annotated[float, Field(gt=0)] | None = None
    value: Annotated[float, Field(gt=0)] | None = None
    amount: str | None = None
    margin: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _a_plain_word_is_the_way(cls, given: Any) -> Any:
        return {"by": given} if isinstance(given, str) else given

    @field_validator("by", mode="before")
    @classmethod
    def _the_way_is_known(cls, given: Any) -> Any:
        return _known(given, ("threshold", "capacity", "expected_value"), "way to band people")

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> BandSettings:
        if self.by == "capacity" and self.people is None:
            raise ValueError("bands by capacity say for how many people: `people: 500`")
        if self.by != "capacity" and (self.people is not None or self.medium_people is not None):
            raise ValueError("`people:` and `medium_people:` belong to `by: capacity`")
        if self.by != "threshold" and (self.high is not None or self.medium is not None):
            raise ValueError("`high:` and `medium:` belong to `by: threshold`")
        if self.high is not None and self.medium is not None and self.medium > self.high:
            raise ValueError(f"medium begins ({self.medium:g}) above high ({self.high:g})")
        if self.by == "expected_value" and (self.cost is None or (self.value is None and self.amount is None)):
            raise ValueError(
                "bands by expected value say what a contact costs and what it brings: `cost:` and `value:`"
            )
        if self.value is not None and self.amount is not None:
            raise ValueError("say `value:` (the same for everybody) or `amount:` (each person's own)")
        if self.amount is not None and self.by != "expected_value":
            raise ValueError("`amount:` belongs to `by: expected_value`")
        if self.by == "threshold" and self.high is None and (self.cost is None) != (self.value is None):
            raise ValueError("a contact pays from cost / value on: say both, `cost:` and `value:`")
        if self.cost is not None and self.value is not None and self.cost >= self.value * self.margin:
            raise ValueError(
                f"a contact costs {self.cost:g} and brings at most {self.value * self.margin:g}: it never pays"
            )
        return self


class ModelSettings(_Settings):
    """When a target's model is fitted anew, and what a new one has to show.

    Attributes:
        refit_every_weeks: weeks between refits; every week by default, because what is learned late costs more than any
            choice between algorithms brings.
        compare_every_weeks: weeks between comparisons of all algorithms; drift and broken calibration bring one early.
        worse_at_most: a newly fitted model takes over where its log loss on the measured week is at most by this share
            above the standing model's.
        suspects: what becomes of features that look as if they knew the future.
        keep_weeks: weeks for which every fitted model is kept whole; of older ones, only the standing one and the one
            before it.
    """

    refit_every_weeks: Annotated[int, Field(ge=1, le=52)] = 1
    compare_every_weeks: Annotated[int, Field(ge=1, le=520)] = 13
    worse_at_most: Annotated[float, Field(ge=0, le=1)] = 0.02
    suspects: Literal["leave_out", "block", "keep"] = "leave_out"
    keep_weeks: Annotated[int, Field(ge=0, le=520)] = 8


class Target(_Settings):
    """What is to be predicted: an outcome within a horizon, or a label column; of whom, and what for."""

    template: str | None = None
    outcome: Outcome
    within_days: Annotated[int, Field(ge=1, le=730)] = 30
    event: str | None = None
    attribute: str | None = None
    values_in_order: tuple[str, ...] = ()
    label: str | None = None
    positive: str | None = None
    eligible: Eligibility = Eligibility()
    action: Annotated[str, Field(max_length=200)] | None = None
    bands: BandSettings = BandSettings()
    monotonic: dict[str, Literal["increasing", "decreasing"]] = Field(default_factory=dict)
    model: ModelSettings = ModelSettings()
    training_weeks: Annotated[int, Field(ge=1, le=52)] = 4
    minimum_positives: Annotated[int, Field(ge=10)] = 50
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_template_fills_in_the_rest(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("template") not in TEMPLATES:
            return given
        template = TEMPLATES[given["template"]]
        if given["template"] == "feature_interest" and given.get("event"):
            unused = {f"{slug(str(given['event']))}_events_28d": {"at_most": 0}}
            template = {**template, "eligible": {"features": unused}}
        return {**template, **given}

    @field_validator("template", mode="before")
    @classmethod
    def _the_template_is_known(cls, given: Any) -> Any:
        return given if given is None else _known(given, TEMPLATES, "template")

    @field_validator("outcome", mode="before")
    @classmethod
    def _the_outcome_is_known(cls, given: Any) -> Any:
        return _known(given, get_args(Outcome), "outcome")

    @field_validator("values_in_order", mode="before")
    @classmethod
    def _values_are_text(cls, given: Any) -> Any:
        return tuple(str(value) for value in given) if isinstance(given, list | tuple) else given

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> Target:
        for needed, words in _NEEDS.get(self.outcome, {}).items():
            if not getattr(self, needed):
                raise ValueError(f"a target with `outcome: {self.outcome}` names {words}")
        for outcome, needs in _NEEDS.items():
            stray = next((name for name in needs if getattr(self, name) and outcome != self.outcome), None)
            if stray:
                raise ValueError(f"`{stray}:` belongs to `outcome: {outcome}`, and this is `outcome: {self.outcome}`")
        folded = [value.strip().casefold() for value in self.values_in_order]
        if self.outcome == "upgrade" and (len(folded) < 2 or len(set(folded)) < len(folded)):
            raise ValueError("`values_in_order:` needs at least two values, each once, from the lowest up")
        if self.outcome == "first_order" and (self.eligible.has_ordered or self.eligible.ordered_within_days):
            raise ValueError("a first order is predicted of people who never ordered")
        return self

    def in_words(self, name: str) -> str:
        """The target as a marketer would say it."""
        if self.description:
            return self.description
        within = f"within {self.within_days} days"
        return {
            "order": f"an order {within}",
            "first_order": f"a first order {within}",
            "no_order": f"no order for {self.within_days} days",
            "event": f"{words_of(self.event or '')} {within}",
            "activity": f"active again {within}" if self.eligible.inactive_for_days else f"activity {within}",
            "no_activity": f"no activity for {self.within_days} days",
            "upgrade": f"{words_of(self.attribute or '')} upgraded {within}",
            "label": f"{words_of(name)} ({self.label} is {self.positive})",
        }[self.outcome]

    @property
    def happens_by_default(self) -> bool:
        """What is true of somebody of whom nothing is recorded: of no order, that it came true."""
        return self.outcome in _NEGATED

    @property
    def conditions(self) -> Eligibility:
        """Who is eligible, with what the outcome itself asks for."""
        if self.outcome == "first_order":
            return self.eligible.model_copy(update={"never_ordered": True})
        return self.eligible

    def as_var(self, name: str, attributes: Mapping[str, Collection[Attribute]]) -> dict[str, Any]:
        """What dbt's models need to know.

        Args:
            name: the target's name.
            attributes: the declared attributes of contacts and of accounts.
        """
        told = {
            "name": name,
            "outcome": _HAPPENS_BY.get(self.outcome, self.outcome),
            "happens_by_default": self.happens_by_default,
            "within_days": self.within_days,
            "column": slug(self.event) if self.event else None,
            "label_attribute": slug(self.label) if self.label else None,
            "positive_value": self.positive,
        }
        if self.outcome == "upgrade":
            entity, column = upgraded_column(self, attributes)
            told |= {"entity": entity, "attribute_column": column, "values": list(self.values_in_order)}
        return told


def upgraded_column(target: Target, attributes: Mapping[str, Collection[Attribute]]) -> tuple[str, str]:
    """The staged entity and column that an upgrade is seen in."""
    entity, name = _entity_and_name(str(target.attribute))
    declared = {one.name for one in attributes.get(entity, ()) if one.role == "feature"}
    return entity, f"attr_{name}" if name in declared else name


def upgraded_feature(target: Target) -> str:
    """The feature that says at which value somebody stands."""
    entity, name = _entity_and_name(str(target.attribute))
    return f"{entity.removesuffix('s')}_{name}"


def _entity_and_name(attribute: str) -> tuple[str, str]:
    """Of `contact_tier` and `account_plan`; a bare name is an account's."""
    name = slug(attribute)
    for entity in ("contacts", "accounts"):
        prefix = f"{entity.removesuffix('s')}_"
        if name.startswith(prefix):
            return entity, name.removeprefix(prefix)
    return "accounts", name


def check_targets(
    file: SettingsFile,
    targets: Mapping[str, Target],
    features: Mapping[str, str],
    entities: Collection[str],
    events: Collection[str],
    labels: Mapping[str, str],
) -> None:
    """What a target says must exist.

    Args:
        file: `personae.yml`.
        targets: the targets by name.
        features: kind of every feature there is.
        entities: the entities that are delivered.
        events: the events that are counted on their own.
        labels: role of each attribute of the contacts, by its name in the extract.

    Raises:
        SettingsError: the first thing to be mended, with its line and the nearest valid name.
    """
    has_orders = bool({"orders", "order_lines"} & set(entities))
    for name, target in targets.items():
        here: Location = ("targets", name)
        if target.outcome == "label" and labels.get(target.label or "") != "label":
            candidates = [source for source, role in labels.items() if role == "label"]
            raise file.error(
                (*here, "label"),
                f"'{target.label}' is no attribute with the role label in a contacts mapping; "
                + nearest(target.label, candidates),
            )
        if target.outcome == "event" and target.event not in events:
            raise file.error(
                (*here, "event"), f"'{target.event}' is not among features.events; {nearest(target.event, events)}"
            )
        if "order" in target.outcome and not has_orders:
            raise file.error((*here, "outcome"), "no mapping delivers orders or order_lines")
        if "activity" in target.outcome and not (has_orders or "events" in entities):
            raise file.error((*here, "outcome"), "no mapping delivers events, orders or order_lines")
        if target.outcome == "upgrade":
            described = [
                feature
                for feature, kind in features.items()
                if kind == "category" and feature.startswith(("contact_", "account_"))
            ]
            if upgraded_feature(target) not in described:
                raise file.error(
                    (*here, "attribute"),
                    f"'{target.attribute}' is no attribute of contacts or accounts with the role feature; "
                    + nearest(upgraded_feature(target), described),
                )
        _check_eligibility(file, here, target, features, entities, has_orders)
        for feature in target.monotonic:
            _check_number(file, (*here, "monotonic", feature), feature, features)
        if target.bands.amount is not None:
            _check_number(file, (*here, "bands", "amount"), target.bands.amount, features)


def _check_eligibility(
    file: SettingsFile,
    here: Location,
    target: Target,
    features: Mapping[str, str],
    entities: Collection[str],
    has_orders: bool,
) -> None:
    place: Location = (*here, "eligible")
    eligible = target.eligible
    if eligible.reads_orders and not has_orders:
        raise file.error(place, "who is eligible depends on orders, and no mapping delivers orders or order_lines")
    for days in (eligible.active_within_days, eligible.inactive_for_days):
        if days is None:
            continue
        if not has_orders and "events" not in entities:
            raise file.error(place, "who is eligible depends on activity, and no mapping delivers events or orders")
        if "events" in entities and days > LONGEST_EVENT_MEMORY:
            raise file.error(place, f"{days} days: activity is looked back on for at most {LONGEST_EVENT_MEMORY} days")
    for feature, condition in eligible.features.items():
        where = (*place, "features", feature)
        if feature not in features:
            raise file.error(where, f"unknown feature '{feature}'; {nearest(feature, features)}")
        if (features[feature] == "number") == bool(condition.values):
            say = "`at_least:` and/or `at_most:`" if condition.values else "`is:` and one or more of its values"
            raise file.error(where, f"'{feature}' is {'a' if condition.values else 'no'} number; say {say}")


def _check_number(file: SettingsFile, where: Location, feature: str, features: Mapping[str, str]) -> None:
    numbers = [name for name, kind in features.items() if kind == "number"]
    if feature not in features:
        raise file.error(where, f"unknown feature '{feature}'; {nearest(feature, numbers)}")
    if feature not in numbers:
        raise file.error(where, f"'{feature}' is a {features[feature]}, no number; {nearest(feature, numbers)}")


def misspelt_value(stated: Collection[str], found: Collection[str]) -> tuple[str, str] | None:
    """A stated value that no row has, and what to say of it; None where every one may be meant.

    A value that nobody has yet is no mistake, unless one that people have looks like it, or none of the stated is
    there.

    Args:
        stated: values that the settings name.
        found: values that the column has; where it has none, nothing can be said.
    """
    there = {value.strip().casefold(): value for value in found}
    absent = [value for value in stated if value.strip().casefold() not in there]
    if not absent or not there:
        return None
    spare = [folded for folded in there if folded not in {value.strip().casefold() for value in stated}]
    for value in absent:
        if len(absent) == len(stated) or difflib.get_close_matches(value.strip().casefold(), spare, n=1, cutoff=0.75):
            return value, f"no row has the value '{value}'; {nearest(value, found)}"
    return None


def _known(given: Any, valid: Collection[str], what: str) -> Any:
    if given not in valid:
        raise ValueError(f"'{given}' is no {what}; {nearest(given, valid)}")
    return given
