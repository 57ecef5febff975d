{{ config(materialized='table_in_turns') }}

{%- set bands = ['night', 'morning', 'daytime', 'evening', 'weekend', 'mobile'] -%}
{%- set named = var('event_names') | map(attribute='column') | list -%}
{%- set counts_91d = ['events', 'sessions', 'page_views', 'product_events'] -%}
{%- set counts_28d = counts_91d + ['searches', 'downloads', 'form_submits'] -%}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features and turn = {{ this_turn() }}

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

identity_totals as (

    select * from {{ ref('int_identity_events') }}

),

person_totals as (

    select
        weeks.as_of,
        weeks.as_of_at,
        identities.person_id,
        {%- for count in counts_91d %}
        cast(sum(cast(identity_totals.{{ count }}_91d as double)) as bigint) as {{ count }}_91d,
        {%- endfor %}
        {%- for count in counts_28d %}
        cast(sum(cast(identity_totals.{{ count }}_28d as double)) as bigint) as {{ count }}_28d,
        {%- endfor %}
        {%- for band in bands %}
        cast(sum(cast(identity_totals.{{ band }}_events_91d as double)) as bigint) as {{ band }}_events_91d,
        {%- endfor %}
        {%- for column in named %}
        cast(sum(cast(identity_totals.named_{{ column }}_events_28d as double)) as bigint) as named_{{ column }}_events_28d,
        {%- endfor %}
        bit_or(identity_totals.active_days) as active_days,
        max(identity_totals.last_event_at) as last_event_at
    from identity_totals
    inner join weeks
        on identity_totals.as_of = weeks.as_of
    inner join identities
        on identity_totals.identity_kind = identities.identity_kind
        and identity_totals.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    group by 1, 2, 3

),

person_events as (

    select
        as_of,
        person_id,
        events_28d,
        events_91d,
        cast(bit_count(active_days & {{ (2 ** 29) - 2 }}) as bigint) as active_days_28d,
        cast(bit_count(active_days) as bigint) as active_days_91d,
        cast(
            {%- for week in range(13) %}
            cast(((active_days >> {{ 7 * week + 1 }}) & 127) > 0 as integer){{ ' +' if not loop.last }}
            {%- endfor %}
            as bigint
        ) as active_weeks_91d,
        {{ main_weekday('active_days') }} as main_weekday,
        sessions_28d,
        sessions_91d,
        page_views_28d,
        page_views_91d,
        product_events_28d as product_uses_28d,
        product_events_91d as product_uses_91d,
        searches_28d,
        downloads_28d,
        form_submits_28d,
        {%- for column in named %}
        named_{{ column }}_events_28d as {{ column }}_events_28d,
        {%- endfor %}
        {{ whole_days('last_event_at', 'as_of_at') }} as days_since_last_event,
        {{ share_of('events_91d', 'bit_count(active_days)') }} as events_per_active_day_91d,
        {{ share_of('events_28d * 91.0', 'events_91d * 28') }} as events_trend,
        {%- for band in bands %}
        {{ share_of(band ~ '_events_91d', 'events_91d') }} as {{ band }}_events_share_91d{{ ',' if not loop.last }}
        {%- endfor %}
    from person_totals

)

select * from person_events
