"""Times the resolution of 1,000,000 contacts with 3,000,000 identifiers, in dbt, as the weekly job runs it.

    python -m benchmarks.identity [--contacts 1000000] [--folder FOLDER]

The company is made up: 96 % of contacts are people of their own, the rest stand twice or three times under the same
address; families share telephone numbers and a tablet; offices share an address, a switchboard, a meeting room's
screen. Everything becomes known over 52 weeks. Seconds are dbt's own, per model; memory is the resident memory of its
process.
"""

import argparse
import json
import resource
import tempfile
from datetime import date
from pathlib import Path

from benchmarks.febrl import run_dbt
from orchestration.ingest.tables import make_raw_tables
from orchestration.warehouse import Warehouse
from orchestration.workspace import Workspace

MODELS = (
    "int_contact_identifiers",
    "int_contact_phones",
    "int_contact_mentions",
    "int_identity_sightings",
    "int_contact_records",
    "int_contact_comparables",
    "contact_matches",
    "identity_changes",
)
SETTINGS = "company: Made up\nfirst_week: 2025-11-10\nmemory_limit: 1500MB\nidentity: {phone_region: DE}\n"
MAPPING = "extract: {files: none.csv}\nentities: {contacts: {columns: {contact_id: id}}, events: {columns: "
MAPPING += "{occurred_at: at, event_type: kind}}}\n"
# hash() of DuckDB scatters evenly; the number after the colon makes another draw.
CONTACTS = """
insert into raw.contacts by name
select
    'c' || i as contact_id,
    case when hash(i || ':user') % 10 < 2 then 'u' || human end as user_id,
    case
        when hash(i || ':none') % 20 = 0 then null
        when hash(human || ':office') % 50 = 0 then 'info@office' || human % 2000 || '.example'
        when hash(i || ':writing') % 2 = 0 then 'person' || human || '@mail' || human % 900 || '.example'
        else ' Person' || human || '@Mail' || human % 900 || '.Example'
    end as email,
    case
        when hash(i || ':phone') % 10 < 2 then null
        when hash(human || ':switchboard') % 20 = 0 then '+49 30 ' || (2000000 + human % 5000)
        when hash(i || ':national') % 2 = 0 then '030 / ' || (30000000 + household)
        else '+49 30 ' || (30000000 + household)
    end as phone,
    'DE' as country,
    timestamp '2025-11-10 01:00:00' + interval (hash(i || ':week') % 364) day as created_at,
    i as _row_number
from (
    select
        i,
        case when i % 25 = 0 and i > 100 then hash(i || ':twin') % (i - 100) else i end as human,
        i // 3 + (hash(i || ':household') % 3) * 10000000 as household
    from range({contacts}) as numbers (i)
)
"""
EVENTS = """
insert into raw.events by name
select
    contact_id,
    case
        when hash(contact_id || use || ':room') % 100 = 0 then 'room' || hash(contact_id || use) % 4000
        when hash(contact_id || use || ':tablet') % 20 = 0 then 'tablet' || right(contact_id, 5)
        else 'd' || contact_id || use
    end as device_id,
    'page_view' as event_type,
    created_at + interval (hash(contact_id || use || ':day') % 100) day as occurred_at
from raw.contacts
cross join range(2) as uses (use)
where hash(contact_id || use || ':uses') % 10 < 7
"""


def main() -> None:
    """Make the company, resolve it twice, print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the workspace here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = _workspace(arguments.folder or Path(folder), arguments.contacts)
        first = _resolve(workspace, "+int_identities_resolved")
        before = _processor_seconds()
        later = _resolve(workspace, *MODELS)
        _print(workspace, first, later)
        print(f"processor seconds of the later run, dbt's start included: {_processor_seconds() - before:.1f}")


def _workspace(folder: Path, contacts: int) -> Workspace:
    (folder / "mappings").mkdir(parents=True, exist_ok=True)
    (folder / "personae.yml").write_text(SETTINGS)
    (folder / "mappings" / "made_up.yml").write_text(MAPPING)
    workspace = Workspace.open(folder)
    workspace.state_folder.mkdir(exist_ok=True)
    with Warehouse.of(workspace).connect() as connection:
        make_raw_tables(connection)
        connection.execute(CONTACTS.format(contacts=contacts))
        connection.execute(EVENTS)
        connection.execute("insert into raw.run_weeks values (?, ?, true, true, '')", [date(2026, 11, 16)] * 2)
    return workspace


def _resolve(workspace: Workspace, *models: str) -> dict[str, float]:
    """Seconds of each model."""
    run_dbt(workspace, "run", "--select", *models)
    results = json.loads((workspace.dbt_target_folder / "run_results.json").read_text())["results"]
    return {result["unique_id"].split(".")[-1]: result["execution_time"] for result in results}


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print(workspace: Workspace, first: dict[str, float], later: dict[str, float]) -> None:
    with Warehouse.of(workspace).connect(read_only=True) as connection:
        counted = connection.execute(
            "select count(distinct other_kind || other_id), count(*) from intermediate.int_identity_links"
        ).fetchall()[0]
        changes = connection.execute(
            "select reason, count(*) from intermediate.identity_changes group by reason order by reason"
        ).fetchall()
    print(f"{counted[0]:,} identifiers, {counted[1]:,} links; changes: {dict(changes)}")
    print("| model | first run, s | later week, s |\n| --- | ---: | ---: |")
    for model in MODELS:
        print(f"| {model} | {first[model]:.1f} | {later[model]:.1f} |")
    print(f"| together | {sum(first[each] for each in MODELS):.1f} | {sum(later.values()):.1f} |")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"peak memory of dbt: {peak:.2f} GB")


if __name__ == "__main__":
    main()
