{# Written anew from what it was: whose first session began in the span of days whose sessions were made again is looked
   for among all sessions, everybody else can only have had an earlier one. #}
{{ config(plain_texts=['identity_id']) }}
{%- set stands = last_rows_stand('session_rules', as_number(session_rules())) -%}
{%- set visitor = ['identity_kind', 'identity_id', 'delivered_in_week'] -%}
{%- set first_columns = ['first_order', 'first_session_at', 'first_channel', 'first_page_views_in_week'] -%}

{# Read where they are needed: DuckDB would keep all of them in memory for a part of the statement that is used twice. #}
{%- set sessions -%}
(
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
    ) as sessions
{%- endset -%}

with

{%- if stands %}

changed_starts as (

    {{ changed_starts_of_sessions() }}

),

changed_span as (

    select
        {{ local_midnight('min(day)') }} as from_at,
        {{ local_midnight('max(day) + 1') }} as to_at
    from changed_starts

),

{# A span is a comparison of numbers; which of its days changed would ask the clocks for everybody. #}
doubtful as (

    select {{ hash_of(visitor) }} as key
    from {{ this }} as first_sessions
    inner join changed_span
        on first_sessions.first_session_at >= changed_span.from_at
        and first_sessions.first_session_at < changed_span.to_at

),

looked_at as (

    select *
    from {{ sessions }}
    where started_on in (select day from changed_starts)

    union all

    {# Should two keys be the same, some sessions are looked at for nothing. #}
    select *
    from {{ sessions }}
    where
        {{ hash_of(visitor) }} in (select key from doubtful)
        and started_on not in (select day from changed_starts)

),
{%- else %}

looked_at as (

    select *
    from {{ sessions }}

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

{%- if stands %}

undoubted as (

    select {{ (visitor + first_columns) | join(', ') }}
    from {{ this }}
    where {{ hash_of(visitor) }} not in (select key from doubtful)

),
{%- endif %}

first_sessions as (

    {%- if stands %}

    select
        {%- for name in visitor %}
        coalesce(found.{{ name }}, undoubted.{{ name }}) as {{ name }},
        {%- endfor %}
        {%- for column in first_columns %}
        case
            when coalesce(found.first_order < undoubted.first_order, undoubted.first_order is null) then found.{{ column }}
            else undoubted.{{ column }}
        end as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from undoubted
    full join found
        on undoubted.identity_kind = found.identity_kind
        and undoubted.identity_id = found.identity_id
        and undoubted.delivered_in_week is not distinct from found.delivered_in_week
    {%- else %}

    select * from found
    {%- endif %}

)

select
    *,
    {{ as_number(session_rules()) }} as session_rules
from first_sessions
