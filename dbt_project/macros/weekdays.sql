{# The weekday with the most active days, the first of several. Of the bits of `active_days` the first stands for the day
   before `as_of`, a Sunday, the second for the Saturday before, and so on for 13 weeks. #}
{% macro main_weekday(active_days) -%}
    {%- set weekdays = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] -%}
    {%- set counts = [] -%}
    {%- for weekday in weekdays -%}
        {%- set bits = namespace(number=0) -%}
        {%- for week in range(13) -%}
            {%- set bits.number = bits.number + 2 ** (7 - weekdays.index(weekday) + 7 * week) -%}
        {%- endfor -%}
        {%- do counts.append('bit_count(' ~ active_days ~ ' & ' ~ bits.number ~ ')') -%}
    {%- endfor -%}
    case greatest({{ counts | join(', ') }})
        {%- for weekday in weekdays %}
        when {{ counts[loop.index0] }} then '{{ weekday }}'
        {%- endfor %}
    end
{%- endmacro %}
