"""Whom chance keeps out: sticky, balanced within each persona, and in one experiment of an exclusion group only.

Here belongs the draw. What the experiment is about, and what people then do, is not known here.

Each person has a number from a hash of experiment and person, and those with the lowest are kept out. Of a persona's
people who come into the experiment in a week so many are taken that the persona's control group is, to less than one
person, the share it shall be (the stratum is the persona that a person came in with; where a stratum's count is
rounded is drawn as well). Who was drawn stays where they are: `activation.experiment_people` remembers, also when
they change persona, leave and come back, or are merged with another person of the same contact.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from activation.people import person_name_sql

HOLDOUT = "holdout"
ANOTHER_EXPERIMENT = "in_another_experiment"
NO_PERSONA = ""
_PERSON = person_name_sql("p.person_id")


@dataclass(frozen=True)
class Experiment:
    """An experiment: its name, the share that is kept out, and the group within which nobody is in two."""

    name: str
    share: float
    exclusion_group: str | None = None


def draw_sql(*parts: str) -> str:
    """SQL for a number from 0 to below 1 that a hash of some texts decides."""
    text = " || chr(10) || ".join(parts)
    return f"cast(cast('0x' || left(md5({text}), 13) as bigint) as double) / 4503599627370496.0"


def assign_experiments(
    connection: duckdb.DuckDBPyConnection,
    experiments: Sequence[tuple[int, Experiment]],
    standing: Collection[int] = (),
) -> None:
    """Refuse whom chance keeps out, and whoever is in another experiment of the same group.

    Reads and changes `gate_judged` (audience, person, persona_id, refusal); reads `gate_people` (person, person_id),
    `gate_permissions` (permission, person, contact_id) and `activation.experiment_people`. Leaves `gate_newcomers`: who
    was drawn now.

    Args:
        connection: The warehouse.
        experiments: By number of the audience.
        standing: Audiences for which nobody is drawn anew.
    """
    numbers = {name: place for place, name in enumerate(dict.fromkeys(one.name for _, one in experiments))}
    frame = pl.DataFrame(
        [
            (audience, numbers[one.name], one.name, one.share, one.exclusion_group, audience in standing)
            for audience, one in experiments
        ],
        schema={
            "audience": pl.Int16,
            "number": pl.Int16,
            "experiment": pl.String,
            "share": pl.Float64,
            "exclusion_group": pl.String,
            "is_standing": pl.Boolean,
        },
        orient="row",
    )
    connection.register("declared", frame.to_arrow())
    connection.execute("create or replace temp table gate_experiments as select * from declared")
    connection.unregister("declared")
    for statement in (_REMEMBERED, _ENTRIES, _ELSEWHERE, _NEWCOMERS):
        connection.execute(statement)
    connection.execute(REFUSE.format(reason=ANOTHER_EXPERIMENT, table="gate_elsewhere"))
    connection.execute(_KEPT_OUT)
    connection.execute(REFUSE.format(reason=HOLDOUT, table="gate_kept_out"))


# Everybody who was drawn before, by the person they are now: by their id, else by that of their contact.
_REMEMBERED = """
create or replace temp table gate_remembered as
with declared as (
    select experiment, any_value(number) as number, any_value(exclusion_group) as exclusion_group
    from gate_experiments group by experiment
),
drawn as (
    select d.number, d.exclusion_group, e.person_id, e.contact_id, e.is_control, e.as_of
    from activation.experiment_people as e inner join declared as d on d.experiment = e.experiment
),
by_person as (
    select d.number, d.exclusion_group, p.person, d.is_control, d.as_of, 0 as distance
    from drawn as d inner join gate_people as p on p.person_id = d.person_id
),
contacts as (
    select contact_id, min(person) as person from gate_permissions
    where contact_id is not null and exists (select 1 from activation.experiment_people)
    group by contact_id
),
by_contact as (
    select d.number, d.exclusion_group, c.person, d.is_control, d.as_of, 1 as distance
    from drawn as d inner join contacts as c on c.contact_id = d.contact_id
)
select number, exclusion_group, person,
    arg_min(is_control, (distance, as_of, not is_control)) as is_control, min(as_of) as as_of
from (select * from by_person union all by name select * from by_contact)
group by number, exclusion_group, person
"""

# Who comes in this week, or stays: nobody has spoken against them so far.
_ENTRIES = f"""
create or replace temp table gate_entries as
with entries as (
    select e.number, j.person, min(j.audience) filter (where not e.is_standing) as audience,
        bool_and(e.is_standing) as is_standing,
        coalesce(min_by(j.persona_id, j.audience), '{NO_PERSONA}') as persona_id, min(j.permission) as permission
    from gate_judged as j
    inner join gate_experiments as e on e.audience = j.audience
    where j.refusal is null
    group by e.number, j.person
)
select e.*, r.person is not null as is_remembered
from entries as e left join gate_remembered as r on r.number = e.number and r.person = e.person
"""

# Within an exclusion group: the experiment a person was drawn for first, else the one a hash prefers of those that
# want them.
_ELSEWHERE = f"""
create or replace temp table gate_elsewhere as
with experiments as (
    select number, any_value(experiment) as experiment, any_value(exclusion_group) as exclusion_group
    from gate_experiments where exclusion_group is not null group by number
),
wanted as (
    select e.number, e.person, e.is_standing, x.exclusion_group, x.experiment
    from gate_entries as e inner join experiments as x on x.number = e.number
),
before as (
    select exclusion_group, person, arg_min(number, (as_of, number)) as number
    from gate_remembered where exclusion_group is not null group by exclusion_group, person
),
now as (
    select w.exclusion_group, w.person,
        arg_max(w.number, ({draw_sql("w.exclusion_group", "w.experiment", _PERSON)}, w.number)) as number
    from wanted as w inner join gate_people as p on p.person = w.person
    where not w.is_standing
    group by w.exclusion_group, w.person
)
select a.audience, w.person
from wanted as w
inner join gate_experiments as a on a.number = w.number
left join before on before.exclusion_group = w.exclusion_group and before.person = w.person
left join now on now.exclusion_group = w.exclusion_group and now.person = w.person
where coalesce(before.number, now.number, w.number) <> w.number
"""

_NEWCOMERS = f"""
create or replace temp table gate_newcomers as
with experiments as (
    select number, any_value(experiment) as experiment, any_value(share) as share
    from gate_experiments group by number
),
newcomers as (
    select e.number, e.persona_id, e.person, e.audience, e.permission
    from gate_entries as e
    where not e.is_remembered and not e.is_standing and not exists (
        select 1 from gate_elsewhere as o where o.audience = e.audience and o.person = e.person
    )
),
before as (
    select experiment, persona_id, count(*) as people from activation.experiment_people group by experiment, persona_id
),
counted as (
    select number, persona_id, count(*) as people from newcomers group by number, persona_id
),
strata as (
    select c.number, c.persona_id,
        floor((coalesce(b.people, 0) + c.people) * x.share + {draw_sql("x.experiment", "c.persona_id")})
        - floor(coalesce(b.people, 0) * x.share + {draw_sql("x.experiment", "c.persona_id")}) as wanted
    from counted as c
    inner join experiments as x on x.number = c.number
    left join before as b on b.experiment = x.experiment and b.persona_id = c.persona_id
),
drawn as (
    select n.number, n.persona_id, n.person, {draw_sql("x.experiment", _PERSON)} as draw
    from newcomers as n
    inner join experiments as x on x.number = n.number
    inner join gate_people as p on p.person = n.person
),
ranked as (
    select number, persona_id, person,
        row_number() over (partition by number, persona_id order by draw, person) as place
    from drawn
),
controls as (
    select r.number, r.person
    from ranked as r inner join strata as s on s.number = r.number and s.persona_id = r.persona_id
    where r.place <= s.wanted
)
select n.*, c.person is not null as is_control
from newcomers as n left join controls as c on c.number = n.number and c.person = n.person
"""

_KEPT_OUT = """
create or replace temp table gate_kept_out as
with controls as (
    select number, person from gate_newcomers where is_control
    union all
    select number, person from gate_remembered where is_control
)
select e.audience, c.person from controls as c inner join gate_experiments as e on e.number = c.number
"""

REFUSE = """
update gate_judged set refusal = '{reason}'
where refusal is null and (audience, person) in (select (audience, person) from {table})
"""
