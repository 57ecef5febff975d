{# At most one row per combination of columns among the rows that meet a condition. #}
{% test one_per(model, columns, condition) %}

select
    {{ columns | join(', ') }},
    count(*) as occurrences
from {{ model }}
where {{ condition }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
