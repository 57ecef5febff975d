{# Money and scores are added as decimals: sums of floating point numbers depend on the order threads add them in. #}
{% macro exact(amount) -%}
    cast({{ amount }} as decimal(38, 4))
{%- endmacro %}

{# A mean whose sum is exact, so that it is the same however many threads add. #}
{% macro exact_mean(value) -%}
    avg(cast({{ value }} as decimal(38, 6)))
{%- endmacro %}

{# Means over many people, rounded so that the order of adding does not show in what is published. #}
{% macro published(value) -%}
    round({{ value }}, 6)
{%- endmacro %}
