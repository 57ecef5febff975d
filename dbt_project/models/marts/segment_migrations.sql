{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

persona_assignments as (

    select * from {{ source('ml', 'persona_assignments') }}
    where persona_id is not null

),

weeks_with_assignments as (

    select distinct
        as_of,
        persona_type
    from persona_assignments

),

{# A week without one before it has nobody who could have moved. #}
comparable_weeks as (

    select
        weeks.as_of,
        previous.as_of as previous_as_of,
        previous.persona_type
    from weeks
    inner join weeks_with_assignments as previous
        on weeks.as_of - 7 = previous.as_of
    inner join weeks_with_assignments as current_week
        on weeks.as_of = current_week.as_of
        and previous.persona_type = current_week.persona_type

),

now_in as (

    select
        comparable_weeks.as_of,
        comparable_weeks.previous_as_of,
        persona_assignments.persona_type,
        persona_assignments.person_id,
        persona_assignments.persona_id,
        persona_assignments.movement
    from persona_assignments
    inner join comparable_weeks
        on persona_assignments.as_of = comparable_weeks.as_of
        and persona_assignments.persona_type = comparable_weeks.persona_type

),

before_in as (

    select
        comparable_weeks.as_of,
        comparable_weeks.previous_as_of,
        persona_assignments.persona_type,
        persona_assignments.person_id,
        persona_assignments.persona_id
    from persona_assignments
    inner join comparable_weeks
        on persona_assignments.as_of = comparable_weeks.previous_as_of
        and persona_assignments.persona_type = comparable_weeks.persona_type

),

moves as (

    select
        coalesce(now_in.as_of, before_in.as_of) as as_of,
        coalesce(now_in.previous_as_of, before_in.previous_as_of) as previous_as_of,
        coalesce(now_in.persona_type, before_in.persona_type) as segment_type,
        before_in.persona_id as from_segment_id,
        now_in.persona_id as to_segment_id,
        count(*) as people,
        count(*) filter (
            where before_in.persona_id <> now_in.persona_id and now_in.movement = 'redrawn'
        ) as redrawn_people,
        count(*) filter (where before_in.persona_id <> now_in.persona_id) as changed_people
    from now_in
    full outer join before_in
        on now_in.as_of = before_in.as_of
        and now_in.persona_type = before_in.persona_type
        and now_in.person_id = before_in.person_id
    group by 1, 2, 3, 4, 5

),

{# Counted where last week's class was looked up anyway. #}
adoption_moves as (

    select
        adoption_moves.as_of,
        adoption_moves.previous_as_of,
        'adoption_class' as segment_type,
        adoption_moves.from_class as from_segment_id,
        adoption_moves.to_class as to_segment_id,
        adoption_moves.people,
        0 as redrawn_people,
        case when from_class <> to_class then people else 0 end as changed_people
    from {{ source('ml', 'adoption_moves') }} as adoption_moves
    inner join weeks
        on adoption_moves.as_of = weeks.as_of

),

all_moves as (

    select * from moves
    union all
    select * from adoption_moves

),

segment_migrations as (

    select
        as_of,
        previous_as_of,
        cast(segment_type as varchar) as segment_type,
        cast(from_segment_id as varchar) as from_segment_id,
        cast(to_segment_id as varchar) as to_segment_id,
        cast(people as bigint) as people,
        cast(people as double) / sum(people) over (partition by as_of, segment_type) as people_share,
        cast(changed_people - redrawn_people as bigint) as moved_people,
        cast(redrawn_people as bigint) as redrawn_people
    from all_moves

)

select * from segment_migrations
