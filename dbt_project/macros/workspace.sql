{# What the workspace's settings say, in the forms the models need. #}

{% macro literal(value) -%}
    '{{ (value | string).replace("'", "''") }}'
{%- endmacro %}

{# Whether at least one of the entities is delivered: what is made of others is absent, not zero. #}
{% macro is_delivered(entities) -%}
    {% set wanted = [entities] if entities is string else entities %}
    {{ return(wanted | select('in', var('delivered_entities')) | list | length > 0) }}
{%- endmacro %}

{# The declared attributes of contacts or accounts with a role. #}
{% macro attributes(entity, role) -%}
    {% set declared = var('contact_attributes') if entity == 'contacts' else var('account_attributes') %}
    {% set chosen = declared | selectattr('role', 'equalto', role) | list %}
    {% if chosen | selectattr('name', 'equalto', 'id') | list %}
        {% do exceptions.raise_compiler_error(
            "an attribute of " ~ entity ~ " cannot be named 'id': that name is the key's"
        ) %}
    {% endif %}
    {{ return(chosen) }}
{%- endmacro %}

{# The columns of a contact or account that describe it; a declared attribute of the same name takes the place. #}
{% macro standard_columns(entity) -%}
    {% set columns = {
        'contacts': ['country', 'language', 'job_title'],
        'accounts': ['industry', 'plan', 'country', 'employee_count', 'annual_revenue'],
    }[entity] %}
    {% set declared = attributes(entity, 'feature') | map(attribute='name') | list %}
    {{ return(columns | reject('in', declared) | list) }}
{%- endmacro %}
