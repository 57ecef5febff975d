"""Who is one person, and every change of it: dbt brings the tables, `ml` decides."""

import json

from ml.identity_ledger import identity_ledger

# An address or number of a single contact links nobody: most are, and need not leave the warehouse.
SHARED = """
with links as materialized (select * from all_links)
select * from links
where
    other_kind not in ('email', 'phone')
    or other_id in (
        select other_id from links where other_kind in ('email', 'phone') group by other_id having count(*) > 1
    )
"""


def model(dbt, session):
    """The ledger."""
    dbt.config(materialized="table")
    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    identity = settings["identity"]
    kinds = ("user", "email", "phone", "device")
    return identity_ledger(
        identities=dbt.ref("int_identities_seen").pl(),
        links=dbt.ref("int_identity_links").query("all_links", SHARED).pl(),
        decisions=dbt.source("raw", "identity_decisions").pl(),
        timezone=settings["timezone"],
        max_people={f"same_{kind}": identity[f"max_people_per_{kind}"] for kind in kinds},
        include_anonymous=identity["include_anonymous"],
    )
