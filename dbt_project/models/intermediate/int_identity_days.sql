{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='sync_all_columns',
    pre_hook=before_begin('{{ forget_changed_days() }}'),
) }}

with

events as (

    select * from {{ ref('stg_events') }}

),

{% if builds_changed_days_only() %}

changed_days as (

    select distinct changed_day as event_day
    from {{ source('raw', 'changed_days') }}
    where entity = 'events'

),

{# A local day reaches into at most three UTC days; looking at those first keeps the conversion of time zones short. #}
utc_days as (

    select distinct changed_days.event_day + cast(days_apart.days as integer) as utc_day
    from changed_days
    cross join (select unnest([-1, 0, 1]) as days) as days_apart

),

nearby_events as (

    select *
    from events
    where
        occurred_at >= (select cast(min(utc_day) as timestamp) from utc_days)
        and occurred_at < (select cast(max(utc_day) + 1 as timestamp) from utc_days)
        and cast(occurred_at as date) in (select utc_day from utc_days)

),

localized as (

    select
        *,
        {{ local_time('occurred_at') }} as local_at,
        cast({{ local_time('known_from_at') }} as date) as known_on
    from nearby_events

),

clocked as (

    select
        localized.*,
        cast(localized.local_at as date) as event_day,
        hour(localized.local_at) as hour_of_day
    from localized
    where cast(localized.local_at as date) in (select event_day from changed_days)

),

{% else %}

localized as (

    select
        *,
        {{ local_time('occurred_at') }} as local_at,
        cast({{ local_time('known_from_at') }} as date) as known_on
    from events

),

clocked as (

    select
        *,
        cast(local_at as date) as event_day,
        hour(local_at) as hour_of_day
    from localized

),

{% endif %}

identity_days as (

    select
        event_day,
        contact_id,
        device_id,
        case when known_on > event_day then known_on end as delivered_on,
        cast(count(*) as integer) as events,
        cast(count(*) filter (where event_type = 'page_view') as integer) as page_views,
        cast(count(*) filter (where event_type = 'product_use') as integer) as product_events,
        cast(count(*) filter (where event_type = 'search') as integer) as searches,
        cast(count(*) filter (where event_type = 'download') as integer) as downloads,
        cast(count(*) filter (where event_type = 'form_submit') as integer) as form_submits,
        cast(count(distinct session_id) as integer) as sessions,
        cast(count(*) filter (where hour_of_day < 6) as integer) as night_events,
        cast(count(*) filter (where hour_of_day between 6 and 8) as integer) as morning_events,
        cast(count(*) filter (where hour_of_day between 9 and 17) as integer) as daytime_events,
        cast(count(*) filter (where hour_of_day >= 18) as integer) as evening_events,
        cast(count(*) filter (where isodow(event_day) >= 6) as integer) as weekend_events,
        cast(count(*) filter (where device_type in ('mobile', 'tablet', 'phone', 'smartphone')) as integer) as mobile_events,
        {%- for event in var('event_names') %}
        cast(count(*) filter (where event_name = {{ literal(event.event_name) }}) as integer) as named_{{ event.column }}_events,
        {%- endfor %}
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at,
        '{{ identity_day_rules() }}' as day_rules
    from clocked
    where contact_id is not null or device_id is not null
    group by
        event_day,
        contact_id,
        device_id,
        case when known_on > event_day then known_on end

)

select * from identity_days
