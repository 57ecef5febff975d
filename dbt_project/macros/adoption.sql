{# Launches, and what tells of influence: where they are seen, by the workspace's settings. #}

{# Signals that are events, each with the instants between which they count: `launch:<id>`, `reach:<n>`, `creation:<n>`. #}
{% macro adoption_events() -%}
    {% set found = [] %}
    {% for launch in var('adoption').launches if launch.event %}
        {% do found.append({'signal': 'launch:' ~ launch.id, 'event': launch.event, 'launched_on': launch.launched_on}) %}
    {% endfor %}
    {% for kind in ['reach', 'creation'] %}
        {% for each in var('adoption')[kind] if each.event %}
            {% do found.append({'signal': kind ~ ':' ~ each.event, 'event': each.event, 'launched_on': none}) %}
        {% endfor %}
    {% endfor %}
    {{ return(found if is_delivered('events') else []) }}
{%- endmacro %}

{# Launches that are products, one entry per product. #}
{% macro adoption_products() -%}
    {% set found = [] %}
    {% for launch in var('adoption').launches %}
        {% for product in launch.products %}
            {% do found.append({'signal': 'launch:' ~ launch.id, 'product': product, 'launched_on': launch.launched_on}) %}
        {% endfor %}
    {% endfor %}
    {{ return(found if is_delivered('order_lines') else []) }}
{%- endmacro %}

{# From a launch's day on, and as long as trying it counts. #}
{% macro launched_at(launch) -%}
    {{ local_midnight("date '" ~ launch.launched_on ~ "'") }}
{%- endmacro %}

{% macro launch_closes_at(launch) -%}
    {{ local_midnight("date '" ~ launch.launched_on ~ "' + " ~ var('adoption').observed_days | int) }}
{%- endmacro %}

{# The Monday of the week in which a row came to count: a week ends after it or not, so a week knows what has it before its end. #}
{% macro known_week(happened_at) -%}
    {{ local_week(counts_from_at(happened_at)) }}
{%- endmacro %}

{# The same of a row that was known only after it happened; null of all others, which are most. #}
{% macro late_week(happened_at) -%}
    case when known_from_at > {{ happened_at }} then {{ known_week(happened_at) }} end
{%- endmacro %}
