{{ config(materialized='table_in_turns') }}

{%- set shown_channels = channels() | reject('equalto', 'other') | list -%}
{%- set counts = ['sessions_91d', 'sessions_28d', 'page_views_91d', 'bounces_91d', 'seconds_91d'] -%}
{%- set described = ['channel', 'device_type', 'browser', 'language', 'country'] -%}

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

),

person_totals as (

    select
        weeks.as_of,
        weeks.as_of_at,
        identities.person_id,
        {%- for count in counts %}
        sum(identity_totals.{{ count }}) as {{ count }},
        {%- endfor %}
        {%- for channel in shown_channels %}
        sum(identity_totals.{{ channel }}_91d) as {{ channel }}_91d,
        {%- endfor %}
        max(identity_totals.last_session_at) as last_session_at,
        max(identity_totals.last_order) as last_order,
        max(identity_totals.last_keyword_order) as last_keyword_order
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

{# The session a number stands for: one of them, should two share it. #}
sessions_by_order as (

    select
        session_order,
        min(keyword) as keyword,
        {%- for column in described %}
        min({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from sessions
    where session_order in (
        select last_order from person_totals union all select last_keyword_order from person_totals
    )
    group by session_order

),

searches as (

    select
        person_totals.as_of,
        person_totals.person_id,
        lower(trim(sessions_by_order.keyword)) as last_keyword
    from person_totals
    inner join sessions_by_order
        on person_totals.last_keyword_order = sessions_by_order.session_order

),

{# Words that only a few people searched with may be anything, also somebody's name. #}
keywords_of_many as (

    select
        as_of,
        last_keyword
    from searches
    group by
        as_of,
        last_keyword
    having count(*) >= 10

),

searches_of_many as (

    select searches.*
    from searches
    inner join keywords_of_many
        on searches.as_of = keywords_of_many.as_of
        and searches.last_keyword = keywords_of_many.last_keyword

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
        cast(sessions_28d as bigint) as web_sessions_28d,
        cast(sessions_91d as bigint) as web_sessions_91d,
        {{ share_of('page_views_91d', 'sessions_91d') }} as pages_per_session_91d,
        {{ share_of('seconds_91d / 60', 'sessions_91d') }} as minutes_per_session_91d,
        {{ share_of('bounces_91d', 'sessions_91d') }} as bounced_sessions_share_91d,
        {{ whole_days('last_session_at', 'as_of_at') }} as days_since_last_session,
        {%- for channel in shown_channels %}
        {{ share_of(channel ~ '_91d', 'sessions_91d') }} as {{ channel }}_sessions_share_91d,
        {%- endfor %}
        first_touches.first_channel as first_touch_channel,
        last_sessions.channel as last_touch_channel,
        last_sessions.device_type as session_device_type,
        last_sessions.browser as session_browser,
        last_sessions.language as session_language,
        last_sessions.country as session_country,
        searches_of_many.last_keyword as last_search_keyword
    from person_totals
    inner join sessions_by_order as last_sessions
        on person_totals.last_order = last_sessions.session_order
    left join searches_of_many
        on person_totals.as_of = searches_of_many.as_of
        and person_totals.person_id = searches_of_many.person_id
    left join first_touches
        on person_totals.as_of = first_touches.as_of
        and person_totals.person_id = first_touches.person_id

)

select * from person_sessions
