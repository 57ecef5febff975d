# Telephone numbers as E.164, hashed: each number as written is read once, in whatever week it first comes.


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    import json

    from ml.phone_numbers import phone_hashes

    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    known = f"where phone_key not in (select phone_key from {dbt.this})" if dbt.is_incremental else ""
    source = dbt.ref("int_contact_phone_spellings")
    new = session.sql(f"select * from source {known}").pl()
    return phone_hashes(new, default_region=settings["identity"]["phone_region"])
