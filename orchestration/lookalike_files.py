"""Files of look-alikes: who may be written to, and hashed files for ad platforms, with a manifest.

What belongs here: reading from the warehouse who may be in a file. How people are normalized and hashed, and who is
left out, stands in `activation/hashed_audiences.py` and `activation/audiences.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from activation.audience import ADS, EMAIL
from activation.gate import Gate
from activation.gate_terms import Tables, Terms, Text
from activation.hashed_audiences import ADVERTISING, FIELDS, HASHED_FILES, HashedFile, write_hashed_audience
from activation.people import person_name_sql
from activation.sync.gated import GatedAudience
from activation.sync.protocol import FieldMapping, MappedField, Mode
from ml.phone_numbers import e164_numbers
from orchestration.audience_week import LOOKALIKE_PREFIX, PERSONA_COLUMNS, gate_rules, lookalike_title
from orchestration.lookalike_week import Lookalike
from orchestration.weeks import Week
from orchestration.workspace import Workspace

MANIFEST = "manifest.json"
MAPPING = FieldMapping("ads", tuple(MappedField(name, name) for name in FIELDS))

# Who is looked up by a platform, as the contact that stands for the person says it at the week's end.
VALUES = """
select a.identifier, p.email, p.phone as spelled, c.first_name, c.last_name, c.city, c.postal_code, c.country
from gate_approved as a
inner join intermediate.int_people as p on p.as_of = $as_of and p.person_id = a.person_id
left join staging.stg_contacts as c on c.contact_id = p.contact_id
    and c.valid_from < $as_of_at and coalesce(c.valid_to >= $as_of_at, true)
"""


@dataclass(frozen=True)
class PlatformFiles:
    """The hashed files of one look-alike.

    Attributes:
        lookalike: its name.
        seed: files with the seed's people, for a platform to look for more like them.
        listed: files with the people who were found.
    """

    lookalike: str
    seed: list[HashedFile]
    listed: list[HashedFile]


def write_platform_files(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, lookalike: Lookalike, folder: Path
) -> PlatformFiles:
    """Write the hashed files of one look-alike into a folder that is being built.

    Args:
        connection: the warehouse; `int_advertising_permissions` is computed for the week. The gate decides.
        workspace: the workspace.
        week: the week, one of those of the last run.
        lookalike: the seed and those listed.
        folder: where to write.

    Returns:
        The files, in the order of the platforms.
    """
    written: dict[str, list[HashedFile]] = {}
    for kind, people in (("seed", lookalike.seed), ("lookalikes", lookalike.scores["person_id"])):
        gate, sealed = _sealed_for_platforms(connection, workspace, week, people)
        written[kind] = [
            write_hashed_audience(
                connection,
                sealed,
                platform,
                folder / f"{lookalike.name}-{kind}-{platform}.csv",
                lookalike.settings.tiktok_phone,
            )
            for platform in lookalike.settings.platforms
        ]
        gate.close()
    return PlatformFiles(lookalike.name, written["seed"], written["lookalikes"])


def _sealed_for_platforms(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, people: pl.Series
) -> tuple[Gate, GatedAudience]:
    """Those chosen who may be looked up by a platform, sealed; the gate is to be closed when they are written."""
    chosen = people.rename("person_id").to_frame()  # noqa: F841 - DuckDB reads it by name
    at = week.as_of_at(workspace.settings.timezone)
    connection.execute(
        "create or replace temp table gate_advertising as "
        "select * from intermediate.int_advertising_permissions where as_of = ?",
        [week.as_of],
    )
    connection.execute("create or replace temp table gate_chosen as select person_id from chosen")
    gate = Gate(connection, week.as_of, at, gate_rules(workspace), Tables(contactability="gate_advertising"))
    # Not by address: who has none may be looked up by their number.
    gate.consider(
        Terms("people", ADVERTISING, ADS, HASHED_FILES, identifier="contact_id"),
        "p.person_id in (select person_id from gate_chosen)",
    )
    gate.judge()
    region = workspace.settings.identity.phone_region
    numbers = Text(("spelled", "country"), lambda frame: e164(frame.rename({"spelled": "phone"}), region))
    values = {"as_of": week.as_of, "as_of_at": at}
    return gate, gate.seal("people", VALUES, values, MAPPING, Mode.MIRROR, {"phone": numbers})


def e164(people: pl.DataFrame, region: str | None) -> pl.Series:
    """Numbers as E.164 by the country of the row, else by that of the workspace; hashes stay what they are."""
    is_hash = people["phone"].str.strip_chars().str.contains(r"^[0-9a-fA-F]{64}$").fill_null(False)
    numbers = e164_numbers(people.select("phone", "country"), region)
    return pl.select(pl.when(is_hash).then(people["phone"]).otherwise(numbers)).to_series()


def write_manifest(
    folder: Path, week: Week, files: Sequence[PlatformFiles], more: dict[str, object] | None = None
) -> None:
    """Say what the files are: per look-alike and platform rows, hash, and who was left out for which reason."""
    manifest = {
        "week": week.key,
        "as_of": week.as_of.isoformat(),
        "purpose": ADVERTISING,
        **(more or {}),
        "lookalikes": {
            one.lookalike: {
                "seed": [file.to_dict() for file in one.seed],
                "lookalikes": [file.to_dict() for file in one.listed],
            }
            for one in files
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sealed_list(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, lookalike: Lookalike
) -> tuple[Gate, GatedAudience]:
    """Those listed who may be written to, as the gate seals them; the gate is to be closed when they are written.

    Args:
        connection: the warehouse; reading is enough.
        workspace: the workspace, for whose own purpose and channel the list is.
        week: one of the weeks of the last run.
        lookalike: those listed.
    """
    own = workspace.settings.activation
    key = f"{LOOKALIKE_PREFIX}{lookalike.name}"
    gate = Gate(connection, week.as_of, week.as_of_at(workspace.settings.timezone), gate_rules(workspace))
    terms = Terms(
        key, own.purpose, own.channel, identifier="email" if own.channel == EMAIL else "contact_id", is_file=True
    )
    listed = lookalike.scores.select("person_id", "score")  # noqa: F841 - DuckDB reads it by name
    connection.execute("create or replace temp table gate_listed_people as select * from listed")
    gate.consider(terms, "p.person_id in (select person_id from gate_listed_people)")
    gate.judge()
    values = (
        f"select a.identifier, {person_name_sql('a.person_id')} as person_id, a.contact_id, "
        "$as_of::date as as_of, $key as persona_id, "
        "$name as persona_name, l.score as membership_strength, c.email, $channel as channel, $purpose as purpose, "
        "a.consent_reason as decision_reason, a.consent_recorded_at from gate_approved as a "
        "inner join gate_listed_people as l on l.person_id = a.person_id "
        "inner join intermediate.int_contactability as c on c.as_of = $as_of and c.person_id = a.person_id "
        "and c.channel = $channel and c.purpose = $purpose"
    )
    parameters = {
        "as_of": week.as_of,
        "key": key,
        "name": lookalike_title(lookalike.name),
        "channel": own.channel,
        "purpose": own.purpose,
    }
    mapping = FieldMapping("lookalike", tuple(MappedField(name, name, of) for name, of in PERSONA_COLUMNS.items()))
    return gate, gate.seal(key, values, parameters, mapping, Mode.MIRROR)
