{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

memberships as (

    select * from {{ ref('segment_memberships') }}
    where segment_type in ('persona', 'defined_persona')

),

{# Four weeks: each weekday four times, and recent enough to plan by. #}
days_of_weeks as (

    select
        as_of,
        as_of - cast(days_before as integer) as event_day,
        cast((days_before - 1) // 7 as integer) as weeks_before
    from weeks
    cross join (select unnest(range(1, 29)) as days_before) as window_days

),

active_days as (

    select
        days_of_weeks.as_of,
        {{ acting_identity_kind('identity_days') }} as identity_kind,
        {{ acting_identity_id('identity_days') }} as identity_id,
        isodow(identity_days.event_day) as weekday,
        {{ hours_of_weeks('identity_days.active_hours', 'days_of_weeks.weeks_before') }} as active_hours
    from identity_days
    inner join days_of_weeks
        on identity_days.event_day = days_of_weeks.event_day
        and (identity_days.delivered_on is null or identity_days.delivered_on < days_of_weeks.as_of)

),

{# Bits are put together, not counted: an hour in which a person used two devices is one hour. #}
person_weekdays as (

    select
        active_days.as_of,
        identities.person_id,
        active_days.weekday,
        bit_or(active_days.active_hours) as active_hours
    from active_days
    inner join weeks
        on active_days.as_of = weeks.as_of
    inner join identities
        on active_days.identity_kind = identities.identity_kind
        and active_days.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    group by 1, 2, 3

),

{# People whose hours are the same are counted first: most have one or two, so that hours are looked at far fewer times. #}
segment_hours as (

    select
        person_weekdays.as_of,
        memberships.segment_type,
        memberships.segment_id,
        person_weekdays.weekday,
        person_weekdays.active_hours,
        count(*) as people
    from person_weekdays
    inner join memberships
        on person_weekdays.as_of = memberships.as_of
        and person_weekdays.person_id = memberships.person_id
    group by 1, 2, 3, 4, 5

),

segment_weekdays as (

    select
        as_of,
        segment_type,
        segment_id,
        weekday,
        unnest([
            {%- for hour in range(24) %}
            {
                'hour': {{ hour }},
                'active_hours': sum(people * bit_count(active_hours & {{ bits_of_hour(hour) }})),
                'people': sum(people) filter (where active_hours & {{ bits_of_hour(hour) }} <> 0)
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as cell
    from segment_hours
    group by 1, 2, 3, 4

),

segment_rhythms as (

    select
        as_of,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(weekday as bigint) as weekday,
        cast(cell.hour as bigint) as hour,
        cast(cell.active_hours as bigint) as active_hours,
        cast(cell.people as bigint) as people
    from segment_weekdays
    where cell.people > 0

)

select * from segment_rhythms
