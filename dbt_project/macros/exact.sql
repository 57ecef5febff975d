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

{# The same for characteristics of people, in numbers that fit a register: a decimal of 38 digits takes four times as long.
   Nothing about a person is told beyond a hundred thousand million. #}
{% macro exact_amount(value) -%}
    cast(
        case
            when cast({{ value }} as double) between -1e11 and 1e11 then cast({{ value }} as double)
            else sign(cast({{ value }} as double)) * 1e11
        end as decimal(18, 6)
    )
{%- endmacro %}

{# The sum of that. Whole numbers are added as such, which takes a fifth of the time of making a decimal of each. #}
{% macro exact_total(column, type) -%}
    {%- if type | upper in ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT') -%}
    cast(
        sum(
            case
                when {{ column }} between -100000000000 and 100000000000 then {{ column }}
                else sign({{ column }}) * 100000000000
            end
        ) as decimal(38, 6)
    )
    {%- else -%}
    sum({{ exact_amount(column) }})
    {%- endif -%}
{%- endmacro %}

{# A number that is the same for the same values within one statement; not one to keep. #}
{% macro hash_of(values) -%}
    {{ adapter.dispatch('hash_of')(values) }}
{%- endmacro %}

{% macro default__hash_of(values) -%}
    hash({{ values | join(', ') }})
{%- endmacro %}

{% macro spark__hash_of(values) -%}
    xxhash64({{ values | join(', ') }})
{%- endmacro %}
