{# Instants are UTC timestamps; days and hours are those of the workspace's time zone. #}

{% macro local_time(instant) -%}
    {%- if var('timezone') == 'UTC' -%}
        {{ instant }}
    {%- else -%}
        timezone({{ literal(var('timezone')) }}, {{ instant_of_utc(instant) }})
    {%- endif -%}
{%- endmacro %}

{# A UTC timestamp as an instant, which clocks can be asked about. `timezone('UTC', ...)` says the same, and asks a calendar:
   140 ns instead of 7. #}
{% macro instant_of_utc(timestamp) -%}
    make_timestamptz(epoch_us({{ timestamp }}))
{%- endmacro %}

{# The Monday of the local week an instant lies in. No clock was ever 16 hours from UTC: only near a Monday is it asked. #}
{% macro local_week(instant) -%}
    cast(
        case
            when
                date_trunc('week', {{ instant }} - interval 16 hour) = date_trunc('week', {{ instant }} + interval 16 hour)
                then date_trunc('week', {{ instant }})
            else date_trunc('week', {{ local_time(instant) }})
        end as date
    )
{%- endmacro %}

{# The same for instants near some days, at most four days off: an addition instead of a question to the calendar, which
   takes a third of the time of a statement that counts events. #}
{% macro local_time_near(first_day, last_day, instant) -%}
    {%- set offsets = clock_offsets(first_day, last_day) if execute and var('timezone') != 'UTC' else [] -%}
    {%- if not offsets -%}
        {{ local_time(instant) }}
    {%- elif offsets | length == 1 -%}
        ({{ instant }} + interval '{{ offsets[0][1] }}' second)
    {%- else -%}
        ({{ instant }} + case
            {%- for from_at, seconds in offsets[1:] | reverse %}
            when {{ instant }} >= timestamp '{{ from_at }}' then interval '{{ seconds }}' second
            {%- endfor %}
            else interval '{{ offsets[0][1] }}' second
        end)
    {%- endif -%}
{%- endmacro %}

{# How many seconds the workspace's clocks are ahead of UTC near some days, and from when on. Clocks change at quarters of
   an hour; nothing where one did not (Monrovia until 1972), or where the days lie years apart. #}
{% macro clock_offsets(first_day, last_day) -%}
    {%- set asked -%}
        with quarters as (
            select unnest(generate_series(
                date '{{ first_day }}' - interval 4 day, date '{{ last_day }}' + interval 5 day, interval 15 minute
            )) as quarter
            where date '{{ last_day }}' - date '{{ first_day }}' < 500
        ),
        offsets as (
            select quarter, cast(epoch({{ local_time('quarter') }}) - epoch(quarter) as integer) as seconds from quarters
        ),
        changes as (
            select quarter, seconds, lag(seconds) over (order by quarter) as seconds_before from offsets
        )
        select cast(quarter as varchar), seconds from changes
        where seconds is distinct from seconds_before
        order by quarter
    {%- endset -%}
    {%- set offsets = run_query(asked).rows | map('list') | list -%}
    {%- set between_quarters = offsets | map(attribute=1) | reject('divisibleby', 900) | list -%}
    {{ return([] if between_quarters else offsets) }}
{%- endmacro %}

{% macro local_midnight(day) -%}
    {%- if var('timezone') == 'UTC' -%}
        cast({{ day }} as timestamp)
    {%- else -%}
        timezone('UTC', timezone({{ literal(var('timezone')) }}, cast({{ day }} as timestamp)))
    {%- endif -%}
{%- endmacro %}

{% macro whole_days(from_instant, to_instant) -%}
    cast(floor((epoch({{ to_instant }}) - epoch({{ from_instant }})) / 86400) as bigint)
{%- endmacro %}
