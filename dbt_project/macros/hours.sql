{# The hours of the day in which something was done, as bits of a number: 24 for a day, four days of them beside each other
   for a weekday of four weeks. A million people's typical week costs no more by the hour than it did by four parts of the
   day, and an hour spent on two devices is counted once. #}

{# The bits of a day (an integer of 24), moved to the place of its week (0 to 3). #}
{% macro hours_of_weeks(active_hours, week) -%}
    cast({{ active_hours }} as hugeint) << (24 * {{ week }})
{%- endmacro %}

{# The bits of one hour in all four weeks. #}
{% macro bits_of_hour(hour) -%}
    {%- set bits = namespace(number=0) -%}
    {%- for week in range(4) -%}
        {%- set bits.number = bits.number + 2 ** (24 * week + hour) -%}
    {%- endfor -%}
    {{ bits.number }}
{%- endmacro %}
