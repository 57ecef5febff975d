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

    select * from {{ ref('int_sessions') }}

),

identity_totals as (

    select * from {{ ref('int_identity_sessions') }}

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
