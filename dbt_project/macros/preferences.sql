{# When a message came on the recipient's own clock, and which answers are a human's. #}

{# The names of time zones that this database knows. #}
{% macro known_time_zones() -%}
    {{ adapter.dispatch('known_time_zones')() }}
{%- endmacro %}

{% macro default__known_time_zones() -%}
    select name from pg_timezone_names()
{%- endmacro %}

{# The clock of a time zone that stands in a column, at an instant in UTC. #}
{% macro clock_of(zone, instant) -%}
    timezone({{ zone }}, {{ instant_of_utc(instant) }})
{%- endmacro %}

{# The local day a scored week's history of messages begins on. #}
{% macro history_start(as_of) -%}
    ({{ as_of }} - {{ var('preferences').history_days | int }})
{%- endmacro %}

{# Days after that of the message on which an answer to it may come. #}
{% macro answer_days() -%}
    {{ return(range((var('preferences').response_hours | int + 23) // 24 + 1) | list) }}
{%- endmacro %}
