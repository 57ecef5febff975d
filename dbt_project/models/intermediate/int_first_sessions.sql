{# Written anew from what it was: whose first session began in the span of days whose sessions were made again is looked for among
   all sessions, everybody else can only have had an earlier one. #}
{%- set stands = last_rows_stand('session_rules', session_rules()) -%}
{%- set visitor = ['identity_kind', 'identity_id', 'delivered_in_week'] -%}
{%- set first_columns = ['first_order', 'first_session_at', 'first_channel', 'first_page_views_in_week'] -%}

with

sessions as (

    select
        delivered_in_week,
        case when contact_id is not null then 'contact' else 'device' end as identity_kind,
        coalesce(contact_id, device_id) as identity_id,
        started_on,
        session_order,
        started_at,
        channel,
        page_views_in_week
    from {{ ref('int_sessions') }}

),

{%- if stands %}

changed_days as (

    {{ changed_days_of_sessions() }}

),

changed_span as (

    select
        {{ local_midnight('min(day)') }} as from_at,
        {{ local_midnight('max(day) + 1') }} as to_at
    from changed_days

),

{# A span is a comparison of numbers; which of its days changed would ask the clocks for everybody. #}
last_first_sessions as (

    select
        first_sessions.*,
        coalesce(
            first_sessions.first_session_at >= changed_span.from_at and first_sessions.first_session_at < changed_span.to_at,
            false
        ) as is_doubtful
    from {{ this }} as first_sessions
    cross join changed_span

),

looked_at as (

    select * from sessions
    where started_on in (select day from changed_days)

    union all

    {# Should two hashes be the same, some sessions are looked at for nothing. #}
    select * from sessions
    where
        {{ hash_of(visitor) }} in (select {{ hash_of(visitor) }} from last_first_sessions where is_doubtful)
        and started_on not in (select day from changed_days)

),
{%- else %}

looked_at as (

    select * from sessions

),
{%- endif %}

found as (

    select
        {{ visitor | join(', ') }},
        min(session_order) as first_order,
        min(started_at) as first_session_at,
        arg_min(channel, session_order) as first_channel,
        arg_min(page_views_in_week, session_order) as first_page_views_in_week
    from looked_at
    group by {{ visitor | join(', ') }}

),

first_sessions as (

    {%- if stands %}

    select
        {{ visitor | join(', ') }},
        min(first_order) as first_order,
        min(first_session_at) as first_session_at,
        arg_min(first_channel, first_order) as first_channel,
        arg_min(first_page_views_in_week, first_order) as first_page_views_in_week
    from (
        select {{ (visitor + first_columns) | join(', ') }} from last_first_sessions where not is_doubtful
        union all
        select {{ (visitor + first_columns) | join(', ') }} from found
    ) as last_and_found
    group by {{ visitor | join(', ') }}
    {%- else %}

    select * from found
    {%- endif %}

)

select
    *,
    '{{ session_rules() }}' as session_rules
from first_sessions
