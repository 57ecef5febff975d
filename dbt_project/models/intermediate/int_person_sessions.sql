{{ config(materialized='table_in_turns') }}

{%- set weekdays = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] -%}
{%- set dayparts = ['night', 'morning', 'daytime', 'evening'] -%}
{%- set counted = ['sessions_91d', 'sessions_28d', 'page_views_91d', 'bounces_91d'] -%}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features and turn = {{ this_turn() }}

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

sessions as (

    select
        started_on,
        started_at,
        delivered_in_week,
        case when contact_id is not null then 'contact' else 'device' end as identity_kind,
        coalesce(contact_id, device_id) as identity_id,
        {{ session_order() }} as session_order,
        page_views,
        events,
        duration_seconds,
        page_views_in_week,
        events_in_week,
        epoch(ended_in_week_at) - epoch(started_at) as duration_seconds_in_week,
        started_hour,
        started_weekday,
        channel,
        keyword,
        device_type,
        browser,
        language,
        country
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
        sessions.*,
        case when days_of_weeks.days_before = 1 then sessions.page_views_in_week else sessions.page_views end as pages,
        case when days_of_weeks.days_before = 1 then sessions.events_in_week else sessions.events end as actions,
        case
            when days_of_weeks.days_before = 1 then sessions.duration_seconds_in_week else sessions.duration_seconds
        end as seconds
    from sessions
    inner join days_of_weeks
        on sessions.started_on = days_of_weeks.started_on
        and (sessions.delivered_in_week is null or sessions.delivered_in_week < days_of_weeks.as_of)

),

{# Counts of a kind are digits of one number: a week has few sessions and many kinds. #}
identity_totals as (

    select
        as_of,
        identity_kind,
        identity_id,
        sum(1.0::double) as sessions_91d,
        sum(case when days_before <= 28 then 1.0::double else 0 end) as sessions_28d,
        sum(cast(pages as double)) as page_views_91d,
        sum(case when actions = 1 then 1.0::double else 0 end) as bounces_91d,
        sum({{ exact('seconds') }}) as seconds_91d,
        sum({{ digit_of('channel', channels()) }}) as channel_counts,
        sum({{ digit_at('started_weekday - 1') }}) as weekday_counts,
        sum({{ digit_at(daypart('started_hour')) }}) as daypart_counts,
        max(started_at) as last_session_at,
        max(session_order) as last_order,
        {%- for column in ['channel', 'keyword', 'device_type', 'browser', 'language', 'country'] %}
        arg_max({{ column }}, session_order) as last_{{ column }},
        {%- endfor %}
        max(session_order) filter (where keyword is not null) as last_keyword_order
    from sessions_of_weeks
    where pages > 0
    group by
        as_of,
        identity_kind,
        identity_id

),

person_totals as (

    select
        weeks.as_of,
        weeks.as_of_at,
        identities.person_id,
        {%- for count in counted %}
        cast(sum(identity_totals.{{ count }}) as bigint) as {{ count }},
        {%- endfor %}
        cast(sum(identity_totals.seconds_91d) as double) as seconds_91d,
        {%- for kind in ['channel', 'weekday', 'daypart'] %}
        sum(identity_totals.{{ kind }}_counts) as {{ kind }}_counts,
        {%- endfor %}
        max(identity_totals.last_session_at) as last_session_at,
        {%- for column in ['channel', 'device_type', 'browser', 'language', 'country'] %}
        arg_max(identity_totals.last_{{ column }}, identity_totals.last_order) as last_{{ column }},
        {%- endfor %}
        lower(trim(arg_max(identity_totals.last_keyword, identity_totals.last_keyword_order))) as last_keyword
    from identity_totals
    inner join weeks
        on identity_totals.as_of = weeks.as_of
    inner join identities
        on identity_totals.identity_kind = identities.identity_kind
        and identity_totals.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    group by
        weeks.as_of,
        weeks.as_of_at,
        identities.person_id

),

{# Words that only a few people searched with may be anything, also somebody's name. #}
keywords_of_many as (

    select
        as_of,
        last_keyword
    from person_totals
    where last_keyword is not null
    group by
        as_of,
        last_keyword
    having count(*) >= 10

),

first_touches as (

    select
        weeks.as_of,
        identities.person_id,
        arg_min(first_sessions.first_channel, first_sessions.first_order) as first_channel
    from {{ ref('int_first_sessions') }} as first_sessions
    inner join weeks
        on first_sessions.first_session_at < weeks.as_of_at
        and (first_sessions.delivered_in_week is null or first_sessions.delivered_in_week < weeks.as_of)
        and (
            first_sessions.first_page_views_in_week > 0
            or first_sessions.first_session_at < weeks.as_of_at - interval 2 day
        )
    inner join identities
        on first_sessions.identity_kind = identities.identity_kind
        and first_sessions.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    group by
        weeks.as_of,
        identities.person_id

),

person_sessions as (

    select
        person_totals.as_of,
        person_totals.person_id,
        person_totals.sessions_28d as web_sessions_28d,
        person_totals.sessions_91d as web_sessions_91d,
        {{ share_of('page_views_91d', 'sessions_91d') }} as pages_per_session_91d,
        {{ share_of('seconds_91d / 60', 'sessions_91d') }} as minutes_per_session_91d,
        {{ share_of('bounces_91d', 'sessions_91d') }} as bounced_sessions_share_91d,
        {{ whole_days('last_session_at', 'as_of_at') }} as days_since_last_session,
        {%- for channel in channels() %}
        {{ share_of(digit('channel_counts', loop.index0), 'sessions_91d') }} as {{ channel }}_sessions_share_91d,
        {%- endfor %}
        {{ most_frequent('weekday_counts', weekdays) }} as main_session_weekday,
        {{ most_frequent('daypart_counts', dayparts) }} as main_session_daypart,
        first_touches.first_channel as first_touch_channel,
        last_channel as last_touch_channel,
        last_device_type as session_device_type,
        last_browser as session_browser,
        last_language as session_language,
        last_country as session_country,
        keywords_of_many.last_keyword as last_search_keyword
    from person_totals
    left join keywords_of_many
        on person_totals.as_of = keywords_of_many.as_of
        and person_totals.last_keyword = keywords_of_many.last_keyword
    left join first_touches
        on person_totals.as_of = first_touches.as_of
        and person_totals.person_id = first_touches.person_id

)

select * from person_sessions
