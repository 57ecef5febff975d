{# Values lie between two bounds, both included; nulls pass. `bounds` is a mapping of columns to [lowest, highest]: one
   question for all of them, as in `never_null`. #}
{% test within(model, bounds) %}

select {{ bounds.keys() | join(', ') }}
from {{ model }}
where
    {%- for column, (lowest, highest) in bounds.items() %}
    {{ 'or ' if not loop.first }}{{ column }} < {{ lowest }} or {{ column }} > {{ highest }}
    {%- endfor %}

{% endtest %}
