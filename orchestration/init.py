"""`personae init`: a new workspace, with mappings proposed for files the company has already.

What belongs here: writing the first settings. Which column is which is guessed in `proposals.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import yaml

import examples
from data_contracts.contract import ENTITIES
from data_contracts.documentation import mapping_template
from orchestration.contracts import read_contracts
from orchestration.legal_basis import TO_BE_STATED
from orchestration.mapping import TO_BE_NAMED, slug
from orchestration.proposals import propose, quoted
from orchestration.settings_file import SettingsError, nearest
from orchestration.weeks import Week
from orchestration.workspace import SETTINGS_FILE

FOLDERS_OF_EVERYBODY = 2  # /, /home and the like
READY_SOURCES = Path(examples.__file__).with_name("sources")
SETTINGS_TEMPLATE = """\
# The settings of this workspace. Every setting has a default but company and first_week; a wrong one is named with
# its line before anything runs.

company: {company}
timezone: {timezone}         # weeks begin on Monday 00:00 here
currency: EUR
data: {data}                # the folder that the mappings' files are relative to
first_week: {first_week}     # the earliest week that can be run

# Deliveries that carry their date in the file's name count for a week when they arrive at most this much later.
delivery_grace_hours: 24

# When more than this share of a file's rows break the contract, the file is refused and last week's data stands.
quarantine_threshold: 0.05

# A delivery is told of when it is more than `ratio` times longer or shorter than the median of the last 12 of its
# mapping, or when the share of missing values in a column changes by more than `missing_share`; and only when that is
# further from the median than 4 robust standard deviations.
drift: {{deliveries: 12, ratio: 1.5, missing_share: 0.1, deviations: 4}}

# Groups of fewer people are not shown in the report.
minimum_cell: 10

# An address or a device shared by more people than this does not make them one person.
identity: {{max_people_per_email: 3, max_people_per_phone: 2, max_people_per_device: 2}}

# Event names that are counted on their own, each with words for people who do it often:
# features:
#   events:
#     report_exported: report readers

# How many personas: a number, or [fewest, most] to let the data decide. Refitted every 13 weeks; ids are kept.
personas: {{k: [3, 8], refit_every_weeks: 13}}

# What to predict, of whom, and for which action: docs/propensities.md tells all of it. A template fills in the rest;
# whatever a target says itself counts instead.
{targets}
# Who may be reached, over which channel and for which purpose.
activation: {{channel: email, purpose: email_marketing}}

# On which basis (GDPR art. 6) are people used where `consents` says nothing of them? Unknown means no: without a record
# and without a basis, nobody is profiled and nobody is written to; they are counted, no more. Say it in words that
# somebody answers for, per purpose (profiling, email_marketing, advertising) and market ("*" or a country such as DE):
#   legal_basis:
#     profiling:
#       "*": {{basis: legitimate_interest, statement: "balancing test of ..., reviewed by ..."}}
#       DE: consent
#     email_marketing: existing customers, similar products (reviewed by ... on ...)
# Withdrawals and objections in `consents` hold against every basis.
{legal_basis}

schedule: {{hour: 6}}        # Monday mornings, while `personae ui` or a Dagster daemon is running
"""
ACTIVATION_EXAMPLE = """\
# Who goes out, and where to: docs/activation.md, docs/sync.md. Rename this file to activation.yml where you want it;
# without one the weekly run writes a file per persona. Every name is checked before anything runs.
audiences:
  winback:
    description: Whoever may soon be gone
    people: {persona: Night owls}            # who is meant; personas have the names that your first run finds
    purpose: email_marketing                 # what people have to allow it for
    channel: email                           # and over which channel
    destination: newsletter                  # without it: a file in .personae/activation/<week>
    mode: mirror                             # who is no longer meant leaves; or upsert, add-only, ...
    # What goes out beside address, persona and class; personal attributes are listed in every plan:
    # attributes: {first_name: contact.first_name}
    holdout: 0.1                             # chance keeps every tenth out, to measure what the audience brings about
    minimum_size: 50

destinations:
  newsletter:
    kind: klaviyo                            # brevo, hubspot, mailchimp, sendgrid, sftp, object_store, webhook, ...
    api_key: env:KLAVIYO_API_KEY             # credentials are named (env:NAME, file:PATH) and never written here
    sync: by hand                            # a run makes the plan, `personae sync` sends it; weekly: the run sends
    guards: {max_removal_share: 0.2}         # what stops a sync that looks like an accident
    # alerts: [{webhook: env:CHAT_HOOK}]     # who is told when it stops working, and when it works again

# market_rules: {NL: no unsolicited contact}
# frequency_caps: {email: {at_most: 3, within_days: 7}}
# suppression_list: do-not-contact.csv       # columns email, contact_id or identifier
"""
TEMPLATES_COMMENTED = """\
#   churn: {template: churn}                        # no order for 90 days, of people who ordered in the last 90
#   conversion: {template: conversion}              # a first order within 30 days, of people who never ordered
#   upsell: {template: upsell, attribute: plan, values_in_order: [free, team, business]}
#   interest: {template: feature_interest, event: report_exported}    # an event of `features`, of who does not use it
#   reactivation: {template: reactivation}          # anything within 30 days, of people inactive for 60
#   cancelled: {outcome: label, label: Churn, positive: "Yes"}        # a column of the contacts with the role label
#   bands, of any target, where a contact pays:   {cost: 0.5, value: 40}
#     as many as the team can call:               {by: capacity, people: 500}
#     everybody by their own amount:              {by: expected_value, cost: 0.5, amount: average_order_amount_365d}
"""
ORDER_TARGET = f"""\
targets:
  order_within_30_days: {{outcome: order, within_days: 30}}
{TEMPLATES_COMMENTED}"""
PROFILING_BASIS = """\
legal_basis:
  profiling:
    "*": {{basis: legitimate_interest, statement: {statement}}}
"""
BASIS_QUESTION = (
    "Why may you profile people whose consent is not recorded? One sentence that somebody answers for, such as the\n"
    "balancing test of a legitimate interest; empty if only people who consented are to be profiled"
)
NO_TARGET = f"""\
# targets:
#   order_within_30_days: {{outcome: order, within_days: 30}}
{TEMPLATES_COMMENTED}"""


def init_workspace(
    folder: Path, extracts: list[Path], sources: Sequence[str] = (), legal_basis: str | None = None
) -> list[Path]:
    """Write a workspace.

    Args:
        folder: made if it does not exist.
        extracts: files to propose mappings for; all in one folder or below it. Where `contracts/` in the folder changes
            contracts already, the proposals follow them.
        legal_basis: in words, why people may be profiled without consent. Without it, and without consents among the
            extracts, the settings ask for it, and a run refuses to start until it is answered.
        sources: systems whose ready mappings are copied, names of `examples/sources`.

    Returns:
        The files written.

    Raises:
        SettingsError: there is a workspace already, an extract is missing or cannot be read, or a source has no ready
            mappings.
    """
    settings = folder / SETTINGS_FILE
    if settings.exists() or any((folder / "mappings").glob("*.y*ml")):
        raise SettingsError(settings, None, "there is a workspace here already")
    contracts = read_contracts(folder)
    ready = [path for name in dict.fromkeys(sources) for path in _ready_mappings(folder, name)]
    data = _common_folder(extracts) if extracts else None
    proposals = propose(extracts, data, contracts) if data else []
    first = min((each.earliest for each in proposals if each.earliest), default=date.today() - timedelta(weeks=104))
    has_orders = any(each.entity in ("orders", "order_lines") for each in proposals) or any(
        "orders" in yaml.safe_load(path.read_text(encoding="utf-8"))["entities"] for path in ready
    )
    (folder / "mappings" / "examples").mkdir(parents=True, exist_ok=True)
    settings.write_text(
        SETTINGS_TEMPLATE.format(
            company=quoted(folder.resolve().name.replace("_", " ").title() or "Company"),
            timezone="UTC",
            data=quoted(str(data)) if data else ".",
            first_week=Week.containing(first).key,
            targets=ORDER_TARGET if has_orders else NO_TARGET,
            legal_basis=_legal_basis(legal_basis, has_consents=any(each.entity == "consents" for each in proposals)),
        ),
        encoding="utf-8",
    )
    written = [settings]
    names = _distinct_names([slug(path.name.split(".")[0]) for path in extracts])
    for name, proposal in zip(names, proposals, strict=True):
        written.append(folder / "mappings" / f"{name}.yml")
        written[-1].write_text(proposal.text, encoding="utf-8")
    for path in ready:
        written.append(folder / "mappings" / path.name)
        written[-1].write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    written.append(folder / "activation.example.yml")
    written[-1].write_text(ACTIVATION_EXAMPLE, encoding="utf-8")
    for entity in ENTITIES:
        written.append(folder / "mappings" / "examples" / f"{entity}.yml")
        written[-1].write_text(mapping_template(contracts[entity]), encoding="utf-8")
    return written


def to_be_said(written: Sequence[Path]) -> list[str]:
    """What a person has to say before a run, as `file:line: what stands there`."""
    return [
        f"{path}:{number}: {line.strip()}"
        for path in written
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if TO_BE_NAMED in line or TO_BE_STATED in line
    ]


def in_words(written: Sequence[Path]) -> list[str]:
    """What was written: a line per file to read, and one for all examples of mappings."""
    lines = []
    for path in written:
        if path.name == SETTINGS_FILE:
            lines.append(f"{path}: settings")
        elif path.parent.name == "mappings":
            lines.append(f"{path}: {', '.join(yaml.safe_load(path.read_text(encoding='utf-8'))['entities'])}")
        elif path.parent.name != "examples":
            lines.append(f"{path}: who goes out, and where to; rename it to use it")
    folder = written[0].parent / "mappings" / "examples"
    return [*lines, f"{folder}/: a mapping of each entity, to copy from"]


def _legal_basis(statement: str | None, has_consents: bool) -> str:
    """The basis for profiling; a question to be answered where there would be nobody to profile."""
    if has_consents and not statement:
        return "# legal_basis: {}"
    return PROFILING_BASIS.format(statement=json.dumps(statement or TO_BE_STATED, ensure_ascii=False)).rstrip()


def _ready_mappings(folder: Path, source: str) -> list[Path]:
    names = [path.parent.name for path in READY_SOURCES.glob("*/mappings")]
    if source not in names:
        raise SettingsError(folder, None, f"no ready mappings for '{source}'; {nearest(source, names)}")
    return sorted((READY_SOURCES / source / "mappings").glob("*.yml"))


def _distinct_names(names: list[str]) -> Iterator[str]:
    """The names in order; a second one of the same gets a number."""
    for place, name in enumerate(names):
        copy = names[:place].count(name)
        yield f"{name}_{copy + 1}" if copy else name


def _common_folder(extracts: list[Path]) -> Path:
    """The folder that holds all extracts, at any depth; one so far up that it holds much else is none."""
    for path in extracts:
        if not path.is_file():
            raise SettingsError(path, None, "the file is missing")
    folders = [path.resolve().parent for path in extracts]
    common = Path(os.path.commonpath(folders))
    if common not in folders and len(common.parts) <= FOLDERS_OF_EVERYBODY:
        raise SettingsError(extracts[0], None, f"all extracts must be in one folder or below it, and not in {common}")
    return common
