{# At any moment at most one row of a key is valid. #}
{% test intervals_do_not_overlap(model, columns) %}

select *
from (
    select
        {{ columns | join(', ') }},
        valid_to,
        lead(valid_from) over (partition by {{ columns | join(', ') }} order by valid_from) as next_valid_from
    from {{ model }}
) as followed
where next_valid_from is not null and (valid_to is null or valid_to > next_valid_from)

{% endtest %}
