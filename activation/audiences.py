"""Audience files: one CSV per persona, with the people who may be contacted and nobody else.

Here belongs what such a file holds and who is left out of it. Whether a person may be contacted is decided in the
warehouse (`int_contactability`); here that decision is only ever obeyed. How the finished folder becomes visible is
`publishing`.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from activation.publishing import file_sha256, publish_folder
from activation.spreadsheets import harmless

AUDIENCE_COLUMNS = {
    "as_of": "The date up to which, exclusively, everything known about the person was counted.",
    "person_id": "The pipeline's key for the person; the file is sorted by it.",
    "persona_id": "The persona's id, which stays the same from week to week; also the name of the file.",
    "persona_name": "The persona's name in words.",
    "membership_strength": "How clearly the person belongs to the persona, from 0 (barely) to 1 (typical).",
    "contact_id": "The person's id in the system that delivered the contact.",
    "email": "The address, as delivered, without spaces around it; never twice in one file over the channel email.",
    "channel": "The channel the permission is for.",
    "purpose": "The purpose the permission is for.",
    "decision_reason": "Why the person may be contacted.",
    "consent_recorded_at": "When the consent behind the decision was recorded, in UTC; empty where it rests on none.",
}
"""The columns of every audience file, in order, with what each says. Propensity columns follow them."""

EMAIL = "email"
"""The channel that reaches people by their e-mail address; every other one reaches them by their contact id."""

MANIFEST = "manifest.json"

NO_PERSONA = "belongs to no persona"
NO_REASON = "no reason stated"
NO_ADDRESS = "no address"
REFUSED_ELSEWHERE = "the address also belongs to somebody who may not be contacted"
UNSAFE_ADDRESS = "the address begins like a spreadsheet formula"
SAME_ADDRESS = "the address is in the file already"

_TYPES: dict[str, pl.DataType] = {
    "as_of": pl.Date(),
    "person_id": pl.String(),
    "persona_id": pl.String(),
    "persona_name": pl.String(),
    "membership_strength": pl.Float64(),
    "contact_id": pl.String(),
    "email": pl.String(),
    "channel": pl.String(),
    "purpose": pl.String(),
    "is_allowed": pl.Boolean(),
    "decision_reason": pl.String(),
    "consent_recorded_at": pl.Datetime("us"),
}
_PERSONA_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", re.ASCII)
_PROPENSITY_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,79}", re.ASCII)
_FORMULA_IN_ADDRESS = r"^[=+\-@]"
_SPOOL = ".spool"


@dataclass(frozen=True)
class AudienceFile:
    """One published audience file.

    Attributes:
        persona_id: The persona whose people it holds.
        persona_name: The persona's name in words.
        path: The file.
        rows: People in it, the header not counted.
        sha256: Of the file's bytes, in hexadecimal digits.
        left_out: People of the persona who are not in the file, by reason.
    """

    persona_id: str
    persona_name: str
    path: Path
    rows: int
    sha256: str
    left_out: dict[str, int]


def write_audience_files(
    members: pl.DataFrame | Iterable[pl.DataFrame],
    folder: Path,
    propensity_columns: Sequence[str] = (),
    keep_unlinked: int = 0,
) -> list[AudienceFile]:
    """Write one CSV per persona and a manifest, and let the week's folder lead to them in one step.

    Fails closed: only a row whose `is_allowed` is true is written; null is not true. An address that any row refuses
    is written for nobody. Frames are taken one at a time and set down on disk per persona, so memory holds one frame
    or one persona's people, whichever is more. The same members give the same bytes, in whatever order they come.

    Args:
        members: One row per person, for one week, one purpose and one channel, whole or in pieces: as_of (date),
            person_id, persona_id (nullable: left out), persona_name, membership_strength (0 to 1), contact_id,
            email (nullable: left out), channel, purpose, is_allowed (boolean), decision_reason, consent_recorded_at
            (timestamp in UTC, nullable), and the propensity columns.
        folder: `<root>/<week>`; becomes a link to a version below `<root>/.versions`.
        propensity_columns: Further columns to write, with a number from 0 to 1 each, null where nothing was said.
        keep_unlinked: Replaced versions to keep; none, because they hold addresses that may since have been withdrawn.

    Returns:
        The files in order of persona id. A persona whose people were all left out has a file with a header only, so
        that whoever mirrors the file empties the audience.

    Raises:
        ValueError: A column is missing or of the wrong type; members are of several weeks, purposes or channels, or
            of another week than the folder's; a persona id or a column's name cannot be used as a name.
    """
    _check_propensity_columns(propensity_columns)
    frames = [members] if isinstance(members, pl.DataFrame) else members
    written: list[AudienceFile] = []

    def build(draft: Path) -> None:
        written.extend(build_audience_files(frames, draft, folder.name, propensity_columns))

    version = publish_folder(build, folder.parent, folder.name, also_latest=False, keep_unlinked=keep_unlinked)
    return [
        AudienceFile(one.persona_id, one.persona_name, version / one.path.name, one.rows, one.sha256, one.left_out)
        for one in written
    ]


def _check_propensity_columns(columns: Sequence[str]) -> None:
    taken = set(_TYPES)
    for column in columns:
        if not _PROPENSITY_COLUMN.fullmatch(column) or column in taken:
            raise ValueError(f"{column!r} cannot be the name of a propensity column")
        taken.add(column)


def build_audience_files(
    frames: Iterable[pl.DataFrame], draft: Path, week: str, propensity_columns: Sequence[str] = ()
) -> list[AudienceFile]:
    """Write the files and the manifest into a folder that somebody else publishes; see `write_audience_files`."""
    spool = _Spool(draft / _SPOOL, week, propensity_columns)
    for frame in frames:
        spool.add(frame)
    files = [_write_persona(persona_id, spool, draft) for persona_id in sorted(spool.names)]
    spool.remove()
    _write_manifest(files, spool, draft / MANIFEST, week)
    return files


class _Spool:
    """What has come in so far: the people who may be written on disk, the others counted, refused addresses kept."""

    def __init__(self, folder: Path, week: str, propensity_columns: Sequence[str]) -> None:
        self.types = _TYPES | {column: pl.Float64() for column in propensity_columns}
        self.names: dict[str, str] = {}
        self.left_out: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.without_persona = 0
        self.stated: dict[str, str | None] = {"purpose": None, "channel": None}
        self.refused_addresses = pl.Series("address", [], pl.String)
        self._folder = folder
        self._as_of = date.fromisoformat(week) + timedelta(days=7)
        self._pieces = 0
        folder.mkdir()

    def add(self, frame: pl.DataFrame) -> None:
        """Take in one frame of members."""
        rows = _conform(frame, self.types)
        self._check_one_context(rows)
        rows = rows.with_columns(
            pl.col("email").str.strip_chars(),
            pl.col("is_allowed").fill_null(False),
            pl.col("decision_reason").fill_null(NO_REASON),
        ).with_columns(_address())
        refused = rows.filter(~pl.col("is_allowed"))
        self.refused_addresses = pl.concat([self.refused_addresses, refused["address"].drop_nulls()]).unique()

        self.without_persona += rows["persona_id"].null_count()
        rows = rows.filter(pl.col("persona_id").is_not_null())
        for persona_id, name in rows.group_by("persona_id").agg(pl.col("persona_name").min()).iter_rows():
            if not _PERSONA_ID.fullmatch(persona_id):
                raise ValueError("A persona id holds something other than letters, digits, - and _")
            self.names[persona_id] = min(self.names.get(persona_id, name or persona_id), name or persona_id)
        reason = _reason_to_leave_out()
        for persona_id, why, people in rows.group_by("persona_id", reason.alias("why")).len().iter_rows():
            if why is not None:
                self.left_out[persona_id][why] += people
        for (persona_id,), piece in rows.filter(reason.is_null()).partition_by("persona_id", as_dict=True).items():
            target = self._folder / str(persona_id)
            target.mkdir(exist_ok=True)
            piece.write_parquet(target / f"{self._pieces}.parquet", compression="lz4")
        self._pieces += 1

    def _check_one_context(self, rows: pl.DataFrame) -> None:
        if rows.height == 0:
            return
        if not (rows["as_of"] == self._as_of).fill_null(False).all():
            raise ValueError(f"Members of another week than the one that ends before {self._as_of}")
        for column, stated in self.stated.items():
            values = rows[column].unique()
            if len(values) != 1 or values[0] is None or stated not in (None, values[0]):
                raise ValueError(f"Members of more than one {column}, or of none: one file answers for one {column}")
            self.stated[column] = values[0]

    def allowed_people(self, persona_id: str) -> pl.DataFrame:
        """Return one persona's people who may be contacted, as far as their own rows say."""
        pieces = sorted((self._folder / persona_id).glob("*.parquet"))
        if not pieces:
            return pl.DataFrame(schema=self.types | {"address": pl.String()})
        return pl.concat([pl.read_parquet(piece) for piece in pieces])

    def remove(self) -> None:
        """Delete the spool, so that it is no part of what is published."""
        for path in sorted(self._folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self._folder.rmdir()


def _conform(frame: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
    missing = [column for column in types if column not in frame.columns]
    if missing:
        raise ValueError(f"Members lack the columns {', '.join(missing)}")
    if frame.schema["is_allowed"] not in (pl.Boolean, pl.Null):
        raise ValueError(f"is_allowed must be true or false, not {frame.schema['is_allowed']}")
    frame = frame.select(*types)
    if getattr(frame.schema["consent_recorded_at"], "time_zone", None):
        utc = pl.col("consent_recorded_at").dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        frame = frame.with_columns(utc)
    try:
        return frame.cast(types)  # type: ignore[arg-type]
    except pl.exceptions.PolarsError:
        # Polars would quote the values that do not fit, and they are people's.
        raise ValueError("Members hold a column of the wrong type") from None


def _address() -> pl.Expr:
    """What people are reached by: their e-mail address, in any case one; over any other channel their contact id."""
    return (
        pl.when(pl.col("channel") == EMAIL)
        .then(pl.col("email").str.to_lowercase())
        .otherwise(pl.col("contact_id").str.strip_chars())
        .alias("address")
    )


def _reason_to_leave_out() -> pl.Expr:
    """Say why a row is not written, null where nothing in the row itself speaks against it."""
    return (
        pl.when(~pl.col("is_allowed"))
        .then(pl.col("decision_reason"))
        .when(pl.col("address").is_null() | (pl.col("address") == ""))
        .then(pl.lit(NO_ADDRESS))
        .when(pl.col("address").str.contains(_FORMULA_IN_ADDRESS))
        .then(pl.lit(UNSAFE_ADDRESS))
    )


def _write_persona(persona_id: str, spool: _Spool, draft: Path) -> AudienceFile:
    allowed = spool.allowed_people(persona_id)
    not_refused = allowed.filter(~pl.col("address").is_in(spool.refused_addresses.implode()))
    once = not_refused.sort("person_id", "contact_id", "email").unique("address", keep="first", maintain_order=True)
    left_out = spool.left_out[persona_id]
    left_out[REFUSED_ELSEWHERE] += allowed.height - not_refused.height
    left_out[SAME_ADDRESS] += not_refused.height - once.height

    path = draft / f"{persona_id}.csv"
    columns = [column for column in spool.types if column != "is_allowed"]
    once.select(columns).with_columns(_harmless_text(columns, spool.types)).write_csv(
        path,
        line_terminator="\r\n",
        datetime_format="%Y-%m-%dT%H:%M:%SZ",
        date_format="%Y-%m-%d",
        float_precision=6,
        float_scientific=False,
    )
    return AudienceFile(
        persona_id=persona_id,
        persona_name=spool.names[persona_id],
        path=path,
        rows=once.height,
        sha256=file_sha256(path),
        left_out={reason: people for reason, people in sorted(left_out.items()) if people},
    )


def _harmless_text(columns: Sequence[str], types: dict[str, pl.DataType]) -> list[pl.Expr]:
    """Make text harmless for spreadsheets. Addresses were checked before."""
    return [harmless(pl.col(column)) for column in columns if types[column] == pl.String]


def _write_manifest(files: Sequence[AudienceFile], spool: _Spool, path: Path, week: str) -> None:
    left_out: Counter[str] = Counter({NO_PERSONA: spool.without_persona})
    for file in files:
        left_out.update(file.left_out)
    manifest = {
        "week": week,
        "as_of": (date.fromisoformat(week) + timedelta(days=7)).isoformat(),
        **spool.stated,
        "columns": [column for column in spool.types if column != "is_allowed"],
        "rows": sum(file.rows for file in files),
        "left_out": {reason: people for reason, people in sorted(left_out.items()) if people},
        "files": [
            {
                "file": file.path.name,
                "persona_id": file.persona_id,
                "persona_name": file.persona_name,
                "rows": file.rows,
                "sha256": file.sha256,
                "left_out": file.left_out,
            }
            for file in files
        ],
    }
    path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
