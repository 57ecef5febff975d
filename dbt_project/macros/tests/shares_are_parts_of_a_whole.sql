{# Every feature whose unit is a share lies between 0 and 1. #}
{% test shares_are_parts_of_a_whole(model) %}

select
    as_of,
    person_id
from {{ model }}
where
    false
    {%- for feature in feature_catalogue() if feature.unit == 'share' and feature.kind == 'number' %}
    or {{ feature.name }} not between 0 and 1
    {%- endfor %}

{% endtest %}
