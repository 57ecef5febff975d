{# How int_identity_events goes on from the week before instead of counting thirteen weeks again. #}

{# What the rows depend on besides the days. The number rises with what is counted. #}
{% macro identity_event_rules() -%}
    {{ return(as_number(local_md5(tojson([1, identity_day_rules()])))) }}
{%- endmacro %}

{# The weeks to build that can go on from the week before, as dates in SQL: it stands in this table, counted by today's
   rules, and nothing that was known then has changed since. #}
{% macro weeks_after_standing_ones(rules) -%}
    {% if not last_rows_stand('event_rules', rules) %}
        {{ return([]) }}
    {% endif %}
    {% set found = run_query(
        "select weeks.as_of from " ~ ref('int_weeks') ~ " as weeks "
        "where weeks.build_features and weeks.as_of - 7 in (select as_of from " ~ this ~ ") "
        "and weeks.as_of - 7 <= coalesce((select min(counted_from) from (" ~ changed_parts_of_days() ~ ")), weeks.as_of) "
        "order by weeks.as_of"
    ) %}
    {% set literals = [] %}
    {% for week in found.columns[0].values() %}{% do literals.append("date '" ~ week ~ "'") %}{% endfor %}
    {{ return(literals) }}
{%- endmacro %}

{# The days from one to another before the end of a week, as bits of one number. #}
{% macro bits_of_days(first, last) -%}
    cast({{ 2 ** (last + 1) - 2 ** first }} as hugeint)
{%- endmacro %}
