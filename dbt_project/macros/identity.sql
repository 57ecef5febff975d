{# A person's id says nothing about the person and never changes while its first identity stays the same. #}
{% macro person_id_of(kind, identity_id) -%}
    'p_' || left(md5('{{ kind }}:' || {{ identity_id }}), 16)
{%- endmacro %}
