"""What a workspace says of customer value, of preferences (time, channel, content, offer, location) and of uplift.

What belongs here: settings. What they lead to stands in `value_week.py`, `preference_week.py` and `uplift_week.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestration.mapping import words_of


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CustomerValueSettings(_Settings):
    """How far ahead purchases and their value are expected, and whether purchases are bound by a contract.

    Attributes:
        horizon_days: days that are looked ahead.
        contractual: purchases are those of subscriptions: nobody is seen to stop before the contract ends, so nothing
            is expected from how they come.
        minimum_repeat_buyers: fewest people with a repeated purchase to learn from.
    """

    horizon_days: Annotated[int, Field(ge=7, le=1095)] = 91
    contractual: bool = False
    minimum_repeat_buyers: Annotated[int, Field(ge=50)] = 100


class PreferenceSettings(_Settings):
    """From what is learned when, over which channel and with what people are best reached.

    Attributes:
        history_days: days before the week's end whose messages, sessions and orders count.
        most_messages: messages that are read at most, the latest; where there are more, their history is shorter, but
            never than four weeks.
        response_hours: hours after a message within which an open or a click answers it.
        machine_seconds: an open or a click so soon after a message was no human's.
        minimum_trials: fewest messages with a value of a dimension; rarer ones are not judged.
        minimum_people: fewest people with a value; rarer ones might tell who somebody is.
        confidence: how sure it has to be that the best value beats the runner-up before it is called a preference.
    """

    history_days: Annotated[int, Field(ge=28, le=365)] = 182
    most_messages: Annotated[int, Field(ge=100_000)] = 2_000_000
    response_hours: Annotated[int, Field(ge=1, le=48)] = 24
    machine_seconds: Annotated[int, Field(ge=0, le=600)] = 10
    minimum_trials: Annotated[int, Field(ge=20)] = 200
    minimum_people: Annotated[int, Field(ge=10)] = 20
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.8


class UpliftSettings(_Settings):
    """What a message with a control group is meant to bring about, and within how many days.

    Attributes:
        outcome: `order`, or `event` with its name in `event`.
        within_days: days after somebody was put into a group.
        minimum_people: fewest people in either group.
    """

    outcome: Literal["order", "event"] = "order"
    event: str | None = None
    within_days: Annotated[int, Field(ge=1, le=182)] = 14
    minimum_people: Annotated[int, Field(ge=50)] = 200

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> UpliftSettings:
        if (self.outcome == "event") != bool(self.event):
            raise ValueError("`outcome: event` names the event: `event: <name>`; other outcomes name none")
        return self

    def in_words(self) -> str:
        """The outcome as a marketer would say it."""
        what = "an order" if self.outcome == "order" else words_of(self.event or "")
        return f"{what} within {self.within_days} days"


def dimension_vars(value: PreferenceSettings, uplift: UpliftSettings, event_column: str | None) -> dict[str, Any]:
    """What dbt's models read of these settings."""
    return {
        "preferences": value.model_dump(include={"history_days", "most_messages", "response_hours", "machine_seconds"}),
        "uplift": uplift.model_dump(include={"outcome", "within_days"}) | {"event_column": event_column},
    }
