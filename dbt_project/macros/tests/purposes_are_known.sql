{# Purposes in the ledger that no rule reads: their statements change nothing, perhaps because of their spelling. #}
{% test purposes_are_known(model, column_name) %}

{{ config(severity='warn') }}

{%- set asked_for = var('contact_purposes') | map(attribute='purpose') | list %}
{%- set known = ['profiling', 'email_marketing', 'advertising', 'direct_marketing', var('activation').purpose] + asked_for %}

select distinct {{ column_name }}
from {{ model }}
where
    {{ column_name }} is not null
    {%- for purpose in known %}
    and {{ column_name }} <> {{ consent_word(literal(purpose)) }}
    {%- endfor %}

{% endtest %}
