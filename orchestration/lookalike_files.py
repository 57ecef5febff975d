"""Files of look-alikes: who may be written to, and hashed files for ad platforms, with a manifest.

What belongs here: reading from the warehouse who may be in a file. How people are normalized and hashed, and who is
left out, stands in `activation/hashed_audiences.py` and `activation/audiences.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from activation.hashed_audiences import ADVERTISING, HashedFile, write_hashed_audience
from ml.phone_numbers import e164_numbers
from orchestration.lookalike_week import Lookalike
from orchestration.weeks import Week
from orchestration.workspace import Workspace

MANIFEST = "manifest.json"
PEOPLE_AT_A_TIME = 250_000

# Who is looked up by a platform, as the contact that stands for the person says it at the week's end.
CHOSEN = """
select p.person_id, p.email, p.phone, c.first_name, c.last_name, c.city, c.postal_code, c.country,
    a.purpose, coalesce(a.is_allowed and not a.is_refused_by_now, false) as is_allowed,
    case when a.is_allowed and a.is_refused_by_now then 'refused_since' else a.decision_reason end as decision_reason
from intermediate.int_people as p
semi join chosen as s on s.person_id = p.person_id
inner join intermediate.int_advertising_permissions as a on a.as_of = p.as_of and a.person_id = p.person_id
left join staging.stg_contacts as c on c.contact_id = p.contact_id
    and c.valid_from < $as_of_at and coalesce(c.valid_to >= $as_of_at, true)
where p.as_of = $as_of
order by p.person_id
"""
# Whose addresses and numbers nobody is looked up by: of contacts, deleted or not, of everybody who may not be used for
# advertising, also of people who may not be profiled. The writer compares them exactly; here they are only narrowed.
REFUSED = """
with identifiers as (
    select distinct lower(trim(email)) as email, right(regexp_replace(phone, '[^0-9]', '', 'g'), 7) as number
    from looked_up where is_allowed
),
contacts as (
    select i.person_id, c.email, c.phone, c.country, lower(trim(c.email)) as address,
        right(regexp_replace(c.phone, '[^0-9]', '', 'g'), 7) as number
    from staging.stg_contacts as c
    inner join intermediate.int_identities_resolved as i on i.identity_kind = 'contact' and i.identity_id = c.contact_id
    where c.email is not null or c.phone is not null
),
shared as (
    select * from contacts
    where address in (select email from identifiers where email <> '')
        or number in (select number from identifiers where number <> '')
)
select distinct s.email, s.phone, s.country from shared as s
anti join (
    select person_id from intermediate.int_advertising_permissions
    where as_of = $as_of and is_allowed and not is_refused_by_now
) as a on a.person_id = s.person_id
order by all
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
        connection: the warehouse; `int_advertising_permissions` is computed for the week.
        workspace: the workspace.
        week: the week, one of those of the last run.
        lookalike: the seed and those listed.
        folder: where to write.

    Returns:
        The files, in the order of the platforms.
    """
    written: dict[str, list[HashedFile]] = {}
    for kind, people in (("seed", lookalike.seed), ("lookalikes", lookalike.scores["person_id"])):
        frame, refused = _people(connection, workspace, week, people)
        written[kind] = [
            write_hashed_audience(
                frame,
                platform,
                folder / f"{lookalike.name}-{kind}-{platform}.csv",
                lookalike.settings.tiktok_phone,
                refused,
            )
            for platform in lookalike.settings.platforms
        ]
    return PlatformFiles(lookalike.name, written["seed"], written["lookalikes"])


def _people(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, week: Week, people: pl.Series
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The chosen people as a platform's file needs them, and addresses and numbers that were refused."""
    chosen = people.rename("person_id").to_frame()  # noqa: F841 - DuckDB reads it by name
    at = week.as_of_at(workspace.settings.timezone)
    looked_up = connection.execute(CHOSEN, {"as_of": week.as_of, "as_of_at": at}).pl()
    refused = connection.execute(REFUSED, {"as_of": week.as_of}).pl()
    region = workspace.settings.identity.phone_region
    return (
        looked_up.with_columns(phone=_e164(looked_up, region)),
        refused.select("email", phone=_e164(refused, region)),
    )


def _e164(people: pl.DataFrame, region: str | None) -> pl.Series:
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


def members(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, lookalike: Lookalike
) -> Iterator[pl.DataFrame]:
    """Those listed, as `activation.audiences.build_audience_files` takes them, a part at a time."""
    activation = workspace.settings.activation
    listed = lookalike.scores  # noqa: F841 - DuckDB reads it by name
    result = connection.execute(
        "select l.as_of, l.person_id, 'lookalike-' || l.lookalike as persona_id, "
        "'Look-alike ' || replace(l.lookalike, '_', ' ') as persona_name, l.score as membership_strength, "
        "c.contact_id, c.email, c.channel, c.purpose, c.is_allowed and not c.is_refused_by_now as is_allowed, "
        "case when c.is_allowed and c.is_refused_by_now then 'refused_since' else c.decision_reason end "
        "as decision_reason, c.consent_recorded_at from listed as l "
        "inner join intermediate.int_contactability as c on c.as_of = l.as_of and c.person_id = l.person_id "
        "and c.channel = ? and c.purpose = ? order by l.lookalike_rank",
        [activation.channel, activation.purpose],
    )
    for batch in result.fetch_record_batch(PEOPLE_AT_A_TIME):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a record batch is a frame
        yield frame
