{{ config(materialized='table_in_turns', plain_texts=['identity_id']) }}

{%- set shown_channels = channels() | reject('equalto', 'other') | list -%}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features and turn = {{ this_turn() }}

),

sessions as (

    select
        *,
        case when contact_id is not null then 'contact' else 'device' end as identity_kind,
        coalesce(contact_id, device_id) as identity_id
    from {{ ref('int_sessions') }}

),

{# Each of a week's 91 days once: joined by equality, and small enough to prune sessions before they are read. #}
days_of_weeks as (

    select
        as_of,
        as_of - cast(days_before as integer) as started_on,
        cast(days_before as integer) as days_before
    from weeks
    cross join (select unnest(range(1, 92)) as days_before) as window_days

),

{# What a week knows of a session: of one that goes on after its end, the part before. #}
sessions_of_weeks as (

    select
        days_of_weeks.as_of,
        days_of_weeks.days_before,
        sessions.identity_kind,
        sessions.identity_id,
        sessions.session_order,
        sessions.channel,
        sessions.started_at,
        case when sessions.keyword is not null then sessions.session_order end as keyword_order,
        case when days_before = 1 then sessions.page_views_in_week else sessions.page_views end as page_views,
        case when days_before = 1 then sessions.events_in_week else sessions.events end as events,
        case when days_before = 1 then sessions.duration_seconds_in_week else sessions.duration_seconds end as seconds
    from sessions
    inner join days_of_weeks
        on sessions.started_on = days_of_weeks.started_on
        and (sessions.delivered_in_week is null or sessions.delivered_in_week < days_of_weeks.as_of)

),

{# Numbers only, added as doubles, which are exact for whole ones: texts would cost more than all the rest. #}
identity_totals as (

    select
        as_of,
        identity_kind,
        identity_id,
        sum(1.0::double) as sessions_91d,
        sum(case when days_before <= 28 then 1.0::double else 0 end) as sessions_28d,
        sum(cast(page_views as double)) as page_views_91d,
        sum(case when events = 1 then 1.0::double else 0 end) as bounces_91d,
        sum(cast(seconds as double)) as seconds_91d,
        {%- for channel in shown_channels %}
        sum(case when channel = '{{ channel }}' then 1.0::double else 0 end) as {{ channel }}_91d,
        {%- endfor %}
        max(started_at) as last_session_at,
        max(session_order) as last_order,
        max(keyword_order) as last_keyword_order
    from sessions_of_weeks
    where page_views > 0
    group by
        as_of,
        identity_kind,
        identity_id

)

select * from identity_totals
