{# Instants are UTC timestamps; days and hours are those of the workspace's time zone. #}

{% macro local_time(instant) -%}
    {%- if var('timezone') == 'UTC' -%}
        {{ instant }}
    {%- else -%}
        timezone({{ literal(var('timezone')) }}, timezone('UTC', {{ instant }}))
    {%- endif -%}
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
