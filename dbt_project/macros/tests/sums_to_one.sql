{# The shares of each group make a whole. #}
{% test sums_to_one(model, column_name, by) %}

select
    {{ by | join(', ') }},
    sum({{ column_name }}) as total
from {{ model }}
group by {{ by | join(', ') }}
having abs(sum({{ column_name }}) - 1) > 1e-9

{% endtest %}
