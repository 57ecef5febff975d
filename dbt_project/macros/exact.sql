{# Money and scores are added as decimals: sums of floating point numbers depend on the order threads add them in. #}
{% macro exact(amount) -%}
    cast({{ amount }} as decimal(38, 4))
{%- endmacro %}

{# Means over many people, rounded so that the order of adding does not show in what is published. #}
{% macro published(value) -%}
    round({{ value }}, 6)
{%- endmacro %}
