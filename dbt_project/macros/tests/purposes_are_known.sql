{# Purposes in the ledger that no rule reads: their statements change nothing, perhaps because of their spelling. #}
{% test purposes_are_known(model, column_name) %}

{{ config(severity='warn') }}

{%- set known = ['profiling', 'email_marketing', 'advertising', 'direct_marketing', var('activation').purpose] %}

select distinct {{ column_name }}
from {{ model }}
where
    {{ column_name }} is not null
    {%- for purpose in known %}
    and {{ column_name }} <> {{ consent_word(literal(purpose)) }}
    {%- endfor %}

{% endtest %}
