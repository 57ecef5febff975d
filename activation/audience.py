"""What an audience is: who is meant, for what purpose, over which channel, where to, and what of a person goes out.

Here belongs what can be said of an audience, and the checks that need nothing else. The file it is said in is read in
`orchestration/activation_file.py`; who passes is decided in `gate`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from activation.selection import Selection
from activation.sync.protocol import FieldType, Mode, NullPolicy

FILES = "files"
"""The destination every workspace has: files in its activation folder."""

EMAIL = "email"
"""The channel that reaches people by their e-mail address; every other one reaches them by their contact id."""

ADS = "ads"
"""The channel of ad platforms, which look people up by their addresses and numbers."""

KEY = re.compile(r"[a-z][a-z0-9_-]{0,79}", re.ASCII)
FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ .-]{0,79}", re.ASCII)
UNKNOWN_MARKET = "unknown"

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class Attribute(_Part):
    """One thing of a person that goes out, under a name of the destination's."""

    source: str
    type: FieldType | None = None
    nulls: NullPolicy = NullPolicy.SKIP

    @model_validator(mode="before")
    @classmethod
    def _a_plain_text_is_the_source(cls, given: Any) -> Any:
        return {"source": given} if isinstance(given, str) else given


class Holdout(_Part):
    """People whom chance keeps out, so that it can be measured what the audience brings about.

    Attributes:
        share: How many of a persona's people.
        experiment: Audiences of one experiment keep the same people out; the audience's own name where none is given.
        exclusion_group: Nobody is in two experiments of one group.
    """

    share: Annotated[float, Field(gt=0, lt=1)]
    experiment: Annotated[str, Field(pattern=KEY.pattern)] | None = None
    exclusion_group: Annotated[str, Field(pattern=KEY.pattern)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_number_is_the_share(cls, given: Any) -> Any:
        return {"share": given} if isinstance(given, int | float) and not isinstance(given, bool) else given


class Schedule(_Part):
    """Every how many weeks an audience is made anew, and a day of the first of them."""

    every_weeks: Annotated[int, Field(ge=1, le=52)] = 1
    starting: date | None = None

    @model_validator(mode="before")
    @classmethod
    def _weekly_is_a_word(cls, given: Any) -> Any:
        return {} if given == "weekly" else given


class ContentBlock(_Part):
    """A text with placeholders; each has a default for people of whom the value is not known.

    Attributes:
        template: The text, in Jinja2.
        file: A file of the workspace that holds it instead.
        format: Whether values are escaped for HTML.
        defaults: By placeholder.
    """

    template: Annotated[str, Field(min_length=1, max_length=100_000)] | None = None
    file: str | None = None
    format: Literal["text", "html"] = "text"
    defaults: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _a_plain_text_is_the_template(cls, given: Any) -> Any:
        return {"template": given} if isinstance(given, str) else given

    @field_validator("defaults", mode="before")
    @classmethod
    def _defaults_are_text(cls, given: Any) -> Any:
        return {str(key): str(value) for key, value in given.items()} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _one_text(self) -> ContentBlock:
        if (self.template is None) == (self.file is None):
            raise ValueError("say either `template:` or `file:`")
        return self


class Audience(_Part):
    """One audience, as a workspace declares it.

    Attributes:
        people: Who is meant.
        description: For people.
        purpose: What they have to allow it for.
        channel: And over which channel.
        destination: Where it goes.
        mode: What a sync may do there.
        identifier: By what the destination knows people; the address over the channel email, else the contact id.
        attributes: What goes out beside identifier, persona, class and what content needs.
        holdout: Whom chance keeps out.
        minimum_size: With fewer people nobody goes out.
        schedule: When it is made anew.
        content: Texts that go out with it.
    """

    people: Selection
    description: Annotated[str, Field(max_length=400)] = ""
    purpose: Annotated[str, Field(min_length=1)]
    channel: Annotated[str, Field(min_length=1)] = EMAIL
    destination: str = FILES
    mode: Mode = Mode.MIRROR
    identifier: Literal["email", "contact_id"] | None = None
    attributes: dict[str, Attribute] = Field(default_factory=dict)
    holdout: Holdout | None = None
    minimum_size: Annotated[int, Field(ge=1)] = 1
    schedule: Schedule = Schedule()
    content: dict[str, ContentBlock] = Field(default_factory=dict)

    @field_validator("attributes", "content")
    @classmethod
    def _names_can_be_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if not FIELD_NAME.fullmatch(name):
                raise ValueError(f"'{name}' cannot be the name of a field: letters, digits, spaces and _ . -")
        return given

    @property
    def identified_by(self) -> Literal["email", "contact_id"]:
        """Which of a person's identifiers goes out."""
        return self.identifier or ("email" if self.channel == EMAIL else "contact_id")

    def experiment(self, key: str) -> str | None:
        """The experiment that it belongs to; none without a holdout."""
        return (self.holdout.experiment or key) if self.holdout else None


class FrequencyCap(_Part):
    """How many messages a person gets over a channel within so many days, the coming one included."""

    at_most: Annotated[int, Field(ge=1, le=100)]
    within_days: Annotated[int, Field(ge=1, le=366)]


class MarketRule(_Part):
    """What holds in one market: no contact without consent, whatever basis is stated; or none at all."""

    rule: Literal["no_unsolicited_contact", "no_contact", "allowed"]
    channels: Annotated[
        tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _a_plain_word_is_the_rule(cls, given: Any) -> Any:
        return {"rule": given.strip().replace(" ", "_")} if isinstance(given, str) else given

    def holds_over(self, channel: str) -> bool:
        """Whether it is about this channel."""
        return not self.channels or channel in self.channels


class PublishGates(_Part):
    """What makes a week's audiences look like an accident.

    Attributes:
        size_jump: Of the people last published, how large a change may be.
        size_jump_floor: In people; smaller changes are none.
        source_max_age_days: How old the newest row of a source may be at the end of the week.
        consent_shrink: Which share of the statements that were counted before may be gone.
    """

    size_jump: Annotated[float, Field(gt=0, le=100)] = 0.5
    size_jump_floor: Annotated[int, Field(ge=0)] = 100
    source_max_age_days: Annotated[int, Field(ge=1, le=366)] = 14
    consent_shrink: Share = 0.0


Gate = Literal["size_jump", "empty_source", "stale_source", "overlap", "failing_contracts", "consent_ledger_shrank"]


class Accepted(_Part):
    """Somebody looked at what a publish gate found in one week, and wants it. A wrong name stays a mistake."""

    week: date
    gate: Gate
    audience: str | None = None
    reason: Annotated[str, Field(min_length=3)]


class Destination(BaseModel):
    """A destination: its kind, and what a connector of that kind needs to know. Credentials are named, not stated."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str

    @property
    def options(self) -> dict[str, Any]:
        """Everything beside the kind."""
        return dict(self.model_extra or {})


class Activation(_Part):
    """Everything `activation.yml` may say; `purposes` names those of the ledger that no other setting knows."""

    purposes: tuple[str, ...] = ()
    destinations: dict[str, Destination] = Field(default_factory=dict)
    audiences: dict[str, Audience] = Field(default_factory=dict)
    suppression_list: str | None = None
    market_rules: dict[str, MarketRule] = Field(default_factory=dict)
    frequency_caps: dict[str, FrequencyCap] = Field(default_factory=dict)
    never_together: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    publish_gates: PublishGates = PublishGates()
    accepted: tuple[Accepted, ...] = ()

    @field_validator("audiences", "destinations")
    @classmethod
    def _keys_are_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        for key in given:
            if not KEY.fullmatch(key):
                raise ValueError(f"'{key}' must be lower case letters, digits, - and _, beginning with a letter")
        return given

    @property
    def is_declared(self) -> bool:
        """Whether the workspace says which audiences it wants."""
        return bool(self.audiences)

    def asked_for(self) -> list[tuple[str, str]]:
        """Each purpose and channel that is asked for, once."""
        return list(dict.fromkeys((one.purpose, one.channel) for one in self.audiences.values()))


def fingerprint(audience: Audience) -> str:
    """A short hash of what an audience says: part of the version of what it sends."""
    content: Mapping[str, Any] = audience.model_dump(mode="json", by_alias=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
