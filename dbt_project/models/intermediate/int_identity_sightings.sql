{{ config(materialized='kept_table', touches='int_identity_sightings', plain_texts=['contact_id', 'user_id', 'device_id']) }}
{# Whom the changed days may have shown first is looked for among all days again, everybody else can only turn out to have
   been seen earlier. Days are named where they are read: DuckDB would keep all of them in memory for a part of the
   statement that is used twice. #}
{%- set stands = last_rows_stand('day_rules', identity_day_rules()) -%}
{%- set names = ['contact_id', 'user_id', 'device_id'] -%}
{%- set days = ref('int_identity_days') -%}
{%- set read_columns = (names + ['delivered_on', 'first_event_at']) | join(', ') -%}

with

{# Few days are delivered late, and time zones are converted only once for each. #}
late_days as (

    select
        delivered_on,
        {{ local_midnight('delivered_on') }} as delivered_at
    from (select distinct delivered_on from {{ days }} where delivered_on is not null) as days

),

{%- if stands %}

changed_parts as (

    {{ changed_parts_of_days() }}

),

changed_span as (

    select
        {{ local_midnight('min(counted_from)') }} as from_at,
        {{ local_midnight('max(counted_from) + 1') }} as to_at
    from changed_parts

),

{# What a part of a day tells counts from the day it is known on. A span is a comparison of numbers; which of its days
   changed would ask the clocks for every sighting. #}
doubtful as (

    select {{ hash_of(names) }} as key
    from {{ this }} as sightings
    inner join changed_span
        on sightings.seen_from_at >= changed_span.from_at
        and sightings.seen_from_at < changed_span.to_at

),

looked_at as (

    select identity_days.{{ (names + ['delivered_on', 'first_event_at']) | join(', identity_days.') }}
    from {{ days }} as identity_days
    inner join changed_parts
        on identity_days.event_day = changed_parts.event_day
        and coalesce(identity_days.delivered_on, identity_days.event_day) = changed_parts.counted_from

    union all

    {# Should two keys be the same, some days are looked at for nothing. #}
    select {{ read_columns }}
    from {{ days }} as identity_days
    where {{ hash_of(names) }} in (select key from doubtful)

),
{%- else %}

looked_at as (

    select {{ read_columns }} from {{ days }} as identity_days

),
{%- endif %}

seen as (

    select
        {%- for name in names %}
        looked_at.{{ name }},
        {%- endfor %}
        min({{ counts_from_at('looked_at.first_event_at', 'late_days.delivered_at') }}) as seen_from_at
    from looked_at
    left join late_days
        on looked_at.delivered_on = late_days.delivered_on
    group by
        {%- for name in names %}
        looked_at.{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}

),

{%- if stands %}

{# Should two keys be the same, some rows are compared for nothing. #}
earlier as (

    select
        *,
        {{ hash_of(names) }} in (select key from doubtful) as is_doubtful
    from {{ this }}
    where
        {{ hash_of(names) }} in (select key from doubtful)
        or {{ hash_of(names) }} in (select {{ hash_of(names) }} from seen)

),
{%- endif %}

sightings as (

    select
        {{ names | join(', ') }},
        min(seen_from_at) as seen_from_at,
        '{{ identity_day_rules() }}' as day_rules
    from (
        select * from seen
        {%- if stands %}
        union all
        select {{ names | join(', ') }}, seen_from_at from earlier where not is_doubtful
        {%- endif %}
    ) as told
    group by {{ names | join(', ') }}

)

{% if stands -%}
{{ changes_between('earlier', 'sightings', names + ['seen_from_at', 'day_rules']) }}
{%- else -%}
select * from sightings
{%- endif %}
