# Who is one person, and every change of it: dbt brings the tables, `ml` decides.


def model(dbt, session):
    dbt.config(materialized="table")
    import json

    from ml.identity_ledger import identity_ledger

    settings = json.loads(dbt.config.meta_get("workspace_settings"))
    return identity_ledger(
        identities=dbt.ref("int_identities_seen").pl(),
        links=dbt.ref("int_identity_links").pl(),
        decisions=dbt.source("raw", "identity_decisions").pl(),
        timezone=settings["timezone"],
        max_people={
            f"same_{kind}": settings["identity"][f"max_people_per_{kind}"]
            for kind in ("user", "email", "phone", "device")
        },
        include_anonymous=settings["identity"]["include_anonymous"],
    )
