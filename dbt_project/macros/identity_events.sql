{# How int_identity_events goes on from the week before instead of counting thirteen weeks again. #}

{# What the rows depend on besides the days. The number rises with what is counted. #}
{% macro identity_event_rules() -%}
    {{ return(local_md5(tojson([1, identity_day_rules()]))) }}
{%- endmacro %}

{# Whether this table has the week before the only one that is built, whole and by today's rules, and nothing that was known
   then has changed since. #}
{% macro week_before_stands(rules) -%}
    {% if not last_rows_stand('event_rules', rules) %}
        {{ return(false) }}
    {% endif %}
    {% set found = run_query(
        "with weeks as (select as_of from " ~ ref('int_weeks') ~ " where build_features) "
        "select (select count(*) from weeks) = 1 "
        "and (select list(distinct as_of) from " ~ this ~ ") = (select list(as_of - 7) from weeks) "
        "and not exists (select 1 from (" ~ changed_parts_of_days() ~ ") as parts, weeks "
        "where parts.counted_from < weeks.as_of - 7)"
    ) %}
    {{ return(found.columns[0].values()[0]) }}
{%- endmacro %}

{# The days from one to another before the end of a week, as bits of one number. #}
{% macro bits_of_days(first, last) -%}
    cast({{ 2 ** (last + 1) - 2 ** first }} as hugeint)
{%- endmacro %}
