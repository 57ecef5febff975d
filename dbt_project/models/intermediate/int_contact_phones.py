"""Telephone numbers as E.164, hashed: each number as written is read once, in whatever week it first comes."""

import json

from ml.phone_numbers import phone_hashes
from ml.slices import in_one_piece


def model(dbt, session):
    """The hashes of the numbers that are new, or of all."""
    dbt.config(materialized="incremental", incremental_strategy="append")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    spellings = dbt.ref("int_contact_phone_spellings")
    if dbt.is_incremental:
        spellings = spellings.filter(f"phone_key not in (select phone_key from {dbt.this})")
    return phone_hashes(in_one_piece(spellings), default_region=settings["identity"]["phone_region"])
