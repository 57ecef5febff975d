{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

permissions as (

    select * from {{ ref('int_profiling_permissions') }}
    where not is_allowed

),

counted as (

    select
        permissions.as_of,
        permissions.decision_reason as reason,
        count(*) as people
    from permissions
    inner join weeks
        on permissions.as_of = weeks.as_of
    group by
        permissions.as_of,
        permissions.decision_reason

),

people_left_out as (

    select
        as_of,
        cast('profiling' as varchar) as purpose,
        cast(reason as varchar) as reason,
        cast(case when people >= {{ var('minimum_cell') | int }} then people end as bigint) as people,
        people < {{ var('minimum_cell') | int }} as is_suppressed
    from counted

)

select * from people_left_out
