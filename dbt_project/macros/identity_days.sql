{# How int_identity_days is built: some days at a time, so that memory does not grow with history.

   raw.changed_days says which parts of days have to be counted again: of a day, what came by the same delivery. The
   model's own statement counts the first days, the hook after it the others, all in one transaction. #}

{# Events that are counted in one statement, more or less. #}
{% macro events_at_a_time() %}{{ return(2000000) }}{% endmacro %}

{# What the rows depend on besides the events. The number rises with what is counted below. #}
{% macro identity_day_rules() -%}
    {{ return(local_md5(tojson([2, var('timezone'), var('delivery_grace_hours'), var('event_names')], sort_keys=true))) }}
{%- endmacro %}

{# Whether the table has rows, all of them counted by today's rules. #}
{% macro identity_days_stand() -%}
    {% if not is_incremental() %}
        {{ return(false) }}
    {% endif %}
    {% set found = run_query("select distinct day_rules from " ~ this) %}
    {{ return(found.columns[0].values() | list == [identity_day_rules()]) }}
{%- endmacro %}

{# The parts of days that changed; `counted_from` is the day since which a part is known. A few events that come a week
   late are a part of their own, and the day they lie in is not counted again for them. #}
{% macro changed_parts_of_days() -%}
    select distinct
        changed_day as event_day,
        greatest(changed_day, coalesce(cast({{ local_time(known_from_at()) }} as date), changed_day)) as counted_from
    from {{ source('raw', 'changed_days') }}
    where entity = 'events'
{%- endmacro %}

{# Before: everything counts as changed where the table does not stand; what changed is forgotten. #}
{% macro forget_changed_days() -%}
    {% if not execute %}
        {{ return('') }}
    {% endif %}
    {% set stand = identity_days_stand() %}
    {% if not stand %}
        {% do run_query(
            "insert into " ~ source('raw', 'changed_days') ~ " select 'events', days.day, deliveries._delivered_at from ("
            ~ all_event_days() ~ ") as days cross join (select distinct _delivered_at from " ~ source('raw', 'events')
            ~ ") as deliveries"
        ) %}
    {% endif %}
    {%- if is_incremental() -%}
        delete from {{ this }} as counted
        {%- if stand %}
        using ({{ changed_parts_of_days() }}) as parts
        where
            parts.event_day = counted.event_day
            and parts.counted_from = coalesce(counted.delivered_on, counted.event_day)
        {%- endif %}
    {%- endif -%}
{%- endmacro %}

{# Every local day that an event can lie in. #}
{% macro all_event_days() -%}
    select cast(unnest(generate_series(
        cast(min(occurred_at) as date) - interval 1 day, cast(max(occurred_at) as date) + interval 1 day, interval 1 day
    )) as date) as day
    from {{ source('raw', 'events') }}
{%- endmacro %}

{# The days a query returns, as lists of consecutive days to be counted together: [[first, last], ...]. #}
{% macro in_chunks(days_query) -%}
    {% set days = run_query(days_query).columns[0].values() | list %}
    {% set span = run_query(
        "select count(*), date_diff('day', min(occurred_at), max(occurred_at)) + 1 from " ~ source('raw', 'events')
    ).rows[0] %}
    {% set days_together = [1, ((span[1] or 1) | int * events_at_a_time()) // ([span[0] | int, 1] | max)] | max %}
    {% set chunks = [] %}
    {% for some in days | batch(days_together) %}
        {% do chunks.append([some | first, some | last]) %}
    {% endfor %}
    {{ return(chunks) }}
{%- endmacro %}

{# The days that changed, in the chunks they are counted in; the first is the model's own statement's. #}
{% macro chunks_of_changed_days() -%}
    {% set changed = "select changed_day as day from " ~ source('raw', 'changed_days') ~ " where entity = 'events'" %}
    {% set days = changed if identity_days_stand() else changed ~ " union " ~ all_event_days() %}
    {{ return(in_chunks("select distinct day from (" ~ days ~ ") where day is not null order by day")) }}
{%- endmacro %}

{% macro first_identity_days() -%}
    {% set chunks = chunks_of_changed_days() if execute else [] %}
    {{ return(chunks[0] if chunks else ['1970-01-01', '1970-01-01']) }}
{%- endmacro %}

{# After: the other chunks. #}
{% macro count_other_identity_days() -%}
    {% for chunk in (chunks_of_changed_days() if execute else [])[1:] %}
        {% do run_query("insert into " ~ this ~ " by name " ~ identity_days(chunk[0], chunk[1])) %}
    {% endfor %}
{%- endmacro %}

{# Counts of the events of some days. A local day reaches into at most three UTC days; looking at those alone lets the
   warehouse pass over the rest and keeps the conversion of time zones short. #}
{% macro identity_days(first_day, last_day) -%}
with

events as (

    select * from {{ ref('stg_events') }}

),

changed_parts as (

    {{ changed_parts_of_days() }}

),

changed_since as (

    select {{ local_midnight('min(counted_from)') }} as changed_since_at
    from changed_parts

),

{# What was known before any part that changed is left out before clocks are asked. #}
nearby_events as (

    select events.*
    from events
    inner join changed_since
        on {{ counts_from_at('events.occurred_at', 'events.known_from_at') }} >= changed_since.changed_since_at
    where
        events.occurred_at >= date '{{ first_day }}' - interval 1 day
        and events.occurred_at < date '{{ last_day }}' + interval 2 day

),

localized as (

    select
        *,
        {{ local_time_near(first_day, last_day, 'occurred_at') }} as local_at,
        cast({{ local_time('known_from_at') }} as date) as known_on
    from nearby_events

),

clocked as (

    select
        *,
        cast(local_at as date) as event_day,
        hour(local_at) as hour_of_day
    from localized

),

identity_days as (

    select
        clocked.event_day,
        contact_id,
        user_id,
        device_id,
        case when known_on > clocked.event_day then known_on end as delivered_on,
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
        bit_or(cast(1 as integer) << cast(hour_of_day as integer)) as active_hours,
        cast(count(*) filter (where isodow(clocked.event_day) >= 6) as integer) as weekend_events,
        cast(count(*) filter (where device_type in ('mobile', 'tablet', 'phone', 'smartphone')) as integer) as mobile_events,
        {%- for event in var('event_names') %}
        cast(count(*) filter (where event_name = {{ literal(event.event_name) }}) as integer) as named_{{ event.column }}_events,
        {%- endfor %}
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at,
        '{{ identity_day_rules() }}' as day_rules
    from clocked
    inner join changed_parts
        on clocked.event_day = changed_parts.event_day
        and greatest(clocked.event_day, coalesce(known_on, clocked.event_day)) = changed_parts.counted_from
    where
        coalesce(contact_id, user_id, device_id) is not null
        and clocked.event_day between date '{{ first_day }}' and date '{{ last_day }}'
    group by
        clocked.event_day,
        contact_id,
        user_id,
        device_id,
        case when known_on > clocked.event_day then known_on end

)

select * from identity_days
{%- endmacro %}
