"""Who may be reached: one file per persona, only people who may be contacted over the workspace's channel."""

from collections import Counter
from collections.abc import Iterator
from datetime import date

import dagster as dg
import duckdb
import polars as pl

from activation.audiences import write_audience_files
from orchestration.defs.partitions import run_weeks, weekly
from orchestration.sql import identifier
from orchestration.warehouse import Warehouse
from orchestration.workspace import ActivationSettings, Workspace

PEOPLE_AT_A_TIME = 250_000
# Who is in which file: personas, and the look-alikes that the workspace declares.
LISTS = (
    "select as_of, person_id, segment_id, segment_name, membership_strength from marts.segment_memberships "
    "where segment_type in ('persona', 'defined_persona') union all "
    "select as_of, person_id, 'lookalike-' || lookalike, 'Look-alike ' || replace(lookalike, '_', ' '), score "
    "from marts.lookalikes"
)


def activation_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """One CSV per persona and week."""

    @dg.asset(
        key=["activation", "audience_files"],
        deps=[
            ["marts", "segment_memberships"],
            ["marts", "person_propensities"],
            ["marts", "lookalikes"],
            ["intermediate", "int_contactability"],
        ],
        group_name="activation",
        description="One CSV per persona with the people who may be contacted, and a manifest of who was left out.",
        kinds={"csv"},
        **weekly(workspace),
    )
    def write_files(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        rows = 0
        left_out: Counter[str] = Counter()
        names: dict[str, int] = {}
        targets = list(workspace.settings.targets)
        with warehouse.connect(read_only=True) as connection:
            for week in run_weeks(context):
                files = write_audience_files(
                    _members(connection, week.as_of, targets, workspace.settings.activation),
                    workspace.activation_folder / week.key,
                    targets,
                )
                names = {f"{file.persona_id}: {file.persona_name}": file.rows for file in files}
                rows += sum(file.rows for file in files)
                for file in files:
                    left_out.update(file.left_out)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows,
                "files of the last week": names,
                "left out, by reason": dict(left_out),
                "folder": dg.MetadataValue.path(str(workspace.activation_folder)),
            }
        )

    return write_files


def _members(
    connection: duckdb.DuckDBPyConnection, as_of: date, targets: list[str], audience: ActivationSettings
) -> Iterator[pl.DataFrame]:
    """Everybody with a persona or in a list of look-alikes in a week, a part at a time."""
    probabilities = "".join(f", max(p.probability) filter (p.target = ?) as {identifier(target)}" for target in targets)
    columns = "".join(f", q.{identifier(target)}" for target in targets)
    result = connection.execute(
        "with probabilities as (select p.person_id"
        f"{probabilities} from marts.person_propensities as p where p.as_of = ? group by p.person_id) "
        "select m.as_of, m.person_id, m.segment_id as persona_id, m.segment_name as persona_name, "
        "m.membership_strength, c.contact_id, c.email, c.channel, c.purpose, "
        # A file is there to be used now: whoever refused after the week is in no file of it either.
        "c.is_allowed and not c.is_refused_by_now as is_allowed, "
        "case when c.is_allowed and c.is_refused_by_now then 'refused_since' else c.decision_reason end "
        "as decision_reason, "
        "c.consent_recorded_at"
        f"{columns} from ({LISTS}) as m "
        "inner join intermediate.int_contactability as c on c.as_of = m.as_of and c.person_id = m.person_id "
        "and c.channel = ? and c.purpose = ? "
        "left join probabilities as q on q.person_id = m.person_id "
        "where m.as_of = ? order by m.person_id",
        [*targets, as_of, audience.channel, audience.purpose, as_of],
    )
    for batch in result.fetch_record_batch(PEOPLE_AT_A_TIME):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a record batch is a frame
        yield frame
