"""Writing extracts: the same frame as delimited text, JSON Lines or Parquet, and always the same bytes.

What belongs here: formats and names of files. Which columns an extract has stands with the system that writes it.
"""

import gzip
from collections import Counter
from datetime import date
from pathlib import Path
from typing import IO, Literal, cast

import polars as pl

FileFormat = Literal["csv", "parquet"]
LOCAL_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
UTC_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

# Each extract as its system would export it: name -> (folder, ending, delimiter). In Parquet only the ending differs.
EXTRACTS: dict[str, tuple[str, str, str]] = {
    "contacts": ("crm", "csv", ","),
    "accounts": ("crm", "csv", ","),
    "events": ("product", "jsonl.gz", ""),
    "releases": ("releases", "csv", ","),
    "hits": ("web", "csv.gz", ","),
    "invoices": ("billing", "csv", ";"),
    "mailings": ("email", "csv.gz", ","),
    "tickets": ("helpdesk", "csv", ","),
    "survey": ("helpdesk", "csv", ","),
    "consents": ("preferences", "csv", ","),
}


class ExtractWriter:
    """Writes each week's extracts below a folder and counts their rows."""

    def __init__(self, folder: Path, file_format: FileFormat):
        """Write below `folder`/extracts in `file_format`."""
        self.folder = folder
        self.file_format = file_format
        self.rows: Counter[str] = Counter({name: 0 for name in EXTRACTS})
        self.files: Counter[str] = Counter({name: 0 for name in EXTRACTS})

    def write(self, extract: str, delivered: date, frame: pl.DataFrame) -> Path:
        """Write one extract's file of one delivery and return its path.

        Args:
            extract: a name in `EXTRACTS`.
            delivered: the Monday that stands in the file's name.
            frame: the rows, in order. Timestamps with a zone are written as ISO 8601 in UTC, those without as local.
        """
        system, ending, delimiter = EXTRACTS[extract]
        if self.file_format == "parquet":
            ending = "parquet"
        path = self.folder / "extracts" / system / f"{extract}_{delivered.isoformat()}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending == "parquet":
            frame.write_parquet(path, compression="zstd", compression_level=1)
        else:
            _write_text(_with_utc_as_text(frame), path, ending, delimiter)
        self.rows[extract] += frame.height
        self.files[extract] += 1
        return path


def _write_text(frame: pl.DataFrame, path: Path, ending: str, delimiter: str) -> None:
    with path.open("wb") as file:
        if not ending.endswith(".gz"):
            frame.write_csv(file, separator=delimiter, datetime_format=LOCAL_TIME_FORMAT)
            return
        # No name and no time in the header: the same rows must be the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=1, mtime=0) as zipped:
            compressed = cast(IO[bytes], zipped)
            if ending == "jsonl.gz":
                frame.write_ndjson(compressed)
            else:
                frame.write_csv(compressed, separator=delimiter, datetime_format=LOCAL_TIME_FORMAT)


def _with_utc_as_text(frame: pl.DataFrame) -> pl.DataFrame:
    in_utc = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone]
    return frame.with_columns(pl.col(in_utc).dt.to_string(UTC_TIME_FORMAT))
