{# Counts of several kinds as digits of one number, 18 bits each: one sum in place of seven, and no digit overflows
   before a quarter of a million. #}

{% macro digit_at(position) -%}
    cast(1 as hugeint) << (18 * ({{ position }}))
{%- endmacro %}

{% macro digit_of(column, kinds) -%}
    case {{ column }}
        {%- for kind in kinds %}
        when '{{ kind }}' then {{ digit_at(loop.index0) }}
        {%- endfor %}
        else cast(0 as hugeint)
    end
{%- endmacro %}

{% macro digit(number, position) -%}
    (({{ number }} >> {{ 18 * position }}) & 262143)
{%- endmacro %}

{# The kind with the highest count, the first of several. #}
{% macro most_frequent(number, kinds) -%}
    case greatest({% for kind in kinds %}{{ digit(number, loop.index0) }}{{ ', ' if not loop.last }}{% endfor %})
        {%- for kind in kinds %}
        when {{ digit(number, loop.index0) }} then '{{ kind }}'
        {%- endfor %}
    end
{%- endmacro %}

{# The part of the day an hour lies in, as its place among night, morning, daytime and evening. #}
{% macro daypart(hour) -%}
    case when {{ hour }} < 6 then 0 when {{ hour }} < 9 then 1 when {{ hour }} < 18 then 2 else 3 end
{%- endmacro %}
