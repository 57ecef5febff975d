"""What the gate is told: the terms of an audience, the rules of a workspace, and where things are looked up.

Here belong the words between the gate and its callers, and every reason it may give. What follows from them is decided
in `gate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from activation.audience import EMAIL, FrequencyCap, MarketRule
from activation.experiments import ANOTHER_EXPERIMENT, HOLDOUT, Experiment

NOT_DECIDED = "not_decided"
REASONS = {
    NOT_DECIDED: "nobody decided whether they may be contacted for this purpose over this channel",
    "erased": "they asked to be erased",
    "refused_since": "they have refused since the week ended",
    "no_identifier": "the destination could not know them: no address, or no contact id",
    "unsafe_identifier": "the address begins like a spreadsheet formula",
    "suppressed": "a destination suppresses them: they unsubscribed, complained or bounced there",
    "on_suppression_list": "they are on the workspace's suppression list",
    "market_rule": "a rule of their market forbids it",
    "refused_elsewhere": "the address, or the number, also belongs to somebody who may not be contacted",
    "same_identifier": "the address is in the audience already, with another person",
    "frequency_cap": "they have got, or get this week, as many messages as the cap allows",
    ANOTHER_EXPERIMENT: "they are in another experiment of the same exclusion group",
    HOLDOUT: "chance keeps them out, to measure what the audience brings about",
    "audience_too_small": "fewer people than the audience's minimum size may be contacted",
    # From the warehouse's decision on consent:
    "no_consent_recorded": "no consent is recorded, and no legal basis is stated",
    "no_basis_in_market": "no consent is recorded, and no legal basis is stated for their market",
    "withdrawn": "they withdrew their consent",
    "objected": "they objected",
    "no_email": "there is no e-mail address",
    "refused_at_address": "somebody refused at this address",
}
"""Every reason to keep a person back, in words."""


class GateError(Exception):
    """The gate cannot decide, and lets nobody through. The message holds nobody's data."""


@dataclass(frozen=True)
class Terms:
    """What the gate has to know of an audience.

    Attributes:
        key: Its name.
        purpose: What people have to allow it for.
        channel: Over which channel.
        destination: Where it goes.
        identifier: `email` or `contact_id`.
        is_file: Whether it becomes a file that a spreadsheet may open.
        minimum_size: With fewer people nobody passes.
        experiment: Whom chance keeps out.
        is_standing: Whether an earlier week's audience stands: nothing is sent anew, so caps do not count and nobody is
            drawn; whoever may no longer be contacted leaves all the same.
    """

    key: str
    purpose: str
    channel: str = EMAIL
    destination: str = "files"
    identifier: str = "email"
    is_file: bool = False
    minimum_size: int = 1
    experiment: Experiment | None = None
    is_standing: bool = False


@dataclass(frozen=True)
class Rules:
    """What holds for every audience of a workspace.

    Attributes:
        market_rules: By country (ISO 3166-1 alpha-2), or `unknown` for people of whom no country is known. Where that
        is
            not stated, they fall under the strictest rule of all: any of the countries may be theirs.
        frequency_caps: By channel.
        suppressed_keys: SHA-256 of identifiers (trimmed, lower case) on the workspace's own list.
    """

    market_rules: Mapping[str, MarketRule] = field(default_factory=dict)
    frequency_caps: Mapping[str, FrequencyCap] = field(default_factory=dict)
    suppressed_keys: Sequence[str] = ()


@dataclass(frozen=True)
class Tables:
    """Where the gate looks things up: SQL that the caller vouches for.

    Attributes:
        contactability: as_of, person_id, purpose, channel, contact_id, email, is_allowed, is_refused_by_now,
            decision_reason, consent_recorded_at.
        identities: person_id, identity_kind, identity_id, valid_from, valid_to.
        contacts: contact_id, email, phone, country, is_deleted, valid_from, valid_to.
        messages: contact_id, occurred_at, channel, message_action.
    """

    contactability: str = "intermediate.int_contactability"
    identities: str = "intermediate.int_identities_resolved"
    contacts: str = "staging.stg_contacts"
    messages: str = "staging.stg_messages"


@dataclass(frozen=True)
class Text:
    """A column made of others: which, and how a frame of their distinct values becomes a series of texts."""

    columns: Sequence[str]
    write: Callable[[pl.DataFrame], pl.Series]
