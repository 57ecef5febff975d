{# Written anew from what it was: whom the changed days may have shown first is looked for among all days again, everybody else can only turn out to have been seen earlier. #}
{%- set stands = last_rows_stand('day_rules', identity_day_rules()) -%}
{%- set names = ['contact_id', 'user_id', 'device_id'] -%}

with

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

{# Few days are delivered late, and time zones are converted only once for each. #}
late_days as (

    select
        delivered_on,
        {{ local_midnight('delivered_on') }} as delivered_at
    from (select distinct delivered_on from identity_days where delivered_on is not null) as days

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
last_sightings as (

    select
        sightings.*,
        coalesce(sightings.seen_from_at >= changed_span.from_at and sightings.seen_from_at < changed_span.to_at, false) as is_doubtful
    from {{ this }} as sightings
    cross join changed_span

),

looked_at as (

    select identity_days.*
    from identity_days
    inner join changed_parts
        on identity_days.event_day = changed_parts.event_day
        and coalesce(identity_days.delivered_on, identity_days.event_day) = changed_parts.counted_from

    union all

    {# Should two hashes be the same, some days are looked at for nothing. #}
    select *
    from identity_days
    where {{ hash_of(names) }} in (select {{ hash_of(names) }} from last_sightings where is_doubtful)

),
{%- else %}

looked_at as (

    select * from identity_days

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

sightings as (

    {%- if stands %}

    select
        {{ names | join(', ') }},
        min(seen_from_at) as seen_from_at
    from (
        select {{ names | join(', ') }}, seen_from_at from last_sightings where not is_doubtful
        union all
        select {{ names | join(', ') }}, seen_from_at from seen
    ) as last_and_seen
    group by {{ names | join(', ') }}
    {%- else %}

    select * from seen
    {%- endif %}

)

select
    *,
    '{{ identity_day_rules() }}' as day_rules
from sightings
