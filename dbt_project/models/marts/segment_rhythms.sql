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
        as_of - cast(days_before as integer) as event_day
    from weeks
    cross join (select unnest(range(1, 29)) as days_before) as window_days

),

{# Summed by identity and weekday before ids are looked up. #}
identity_weekdays as (

    select
        days_of_weeks.as_of,
        {{ acting_identity_kind('identity_days') }} as identity_kind,
        {{ acting_identity_id('identity_days') }} as identity_id,
        isodow(identity_days.event_day) as weekday,
        sum(cast(identity_days.night_events as double)) as night,
        sum(cast(identity_days.morning_events as double)) as morning,
        sum(cast(identity_days.daytime_events as double)) as daytime,
        sum(cast(identity_days.evening_events as double)) as evening
    from identity_days
    inner join days_of_weeks
        on identity_days.event_day = days_of_weeks.event_day
        and (identity_days.delivered_on is null or identity_days.delivered_on < days_of_weeks.as_of)
    group by 1, 2, 3, 4

),

person_weekdays as (

    select
        identity_weekdays.as_of,
        identities.person_id,
        identity_weekdays.weekday,
        sum(identity_weekdays.night) as night,
        sum(identity_weekdays.morning) as morning,
        sum(identity_weekdays.daytime) as daytime,
        sum(identity_weekdays.evening) as evening
    from identity_weekdays
    inner join weeks
        on identity_weekdays.as_of = weeks.as_of
    inner join identities
        on identity_weekdays.identity_kind = identities.identity_kind
        and identity_weekdays.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    group by 1, 2, 3

),

segment_weekdays as (

    select
        person_weekdays.as_of,
        memberships.segment_type,
        memberships.segment_id,
        person_weekdays.weekday,
        unnest([
            {%- for part in ['night', 'morning', 'daytime', 'evening'] %}
            {
                'day_part': '{{ part }}',
                'events': sum(person_weekdays.{{ part }}),
                'people': count(*) filter (where person_weekdays.{{ part }} > 0)
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as cell
    from person_weekdays
    inner join memberships
        on person_weekdays.as_of = memberships.as_of
        and person_weekdays.person_id = memberships.person_id
    group by 1, 2, 3, 4

),

segment_rhythms as (

    select
        as_of,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(weekday as bigint) as weekday,
        cast(cell.day_part as varchar) as day_part,
        cast(cell.events as bigint) as events,
        cast(cell.people as bigint) as people
    from segment_weekdays
    where cell.people > 0

)

select * from segment_rhythms
