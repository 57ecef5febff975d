"""Who is one person, and every change of it: dbt brings the tables, `ml` decides."""

import json

from ml.identity_ledger import identity_ledger


def model(dbt, session):
    """The ledger."""
    dbt.config(materialized="table")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    identity = settings["identity"]
    kinds = ("user", "email", "phone", "device")
    return identity_ledger(
        identities=dbt.ref("int_identities_seen").pl(),
        links=dbt.ref("int_identity_links").pl(),
        decisions=dbt.source("raw", "identity_decisions").pl(),
        timezone=settings["timezone"],
        max_people={f"same_{kind}": identity[f"max_people_per_{kind}"] for kind in kinds},
        include_anonymous=identity["include_anonymous"],
    )
