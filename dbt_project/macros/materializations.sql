{# How a table or a view takes the place of the one before: in one statement within one transaction. dbt-duckdb makes it
   beside, looks for indexes and foreign keys, renames twice and drops afterwards, and each of those costs more than most
   tables of a small company. Here nothing has an index, a key, a grant or a comment: whoever adds one adds it here. #}

{% materialization table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {%- set language = model['language'] -%}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if language == 'python' %}
        {# Python writes through a connection of its own, so beside the table that stands. #}
        {%- set unfinished_relation = make_intermediate_relation(target_relation) -%}
        {{ drop_relation_if_exists(load_cached_relation(unfinished_relation)) }}
        {% call statement('main', language=language) -%}
            {{- create_table_as(False, unfinished_relation, compiled_code, language) }}
        {%- endcall %}
        {% do adapter.ensure_transaction() %}
        {{ drop_relation_if_exists(existing_relation) }}
        {% do adapter.rename_relation(unfinished_relation, target_relation) %}
    {% else %}
        {{ drop_what_is_no('table', existing_relation) }}
        {% call statement('main') -%}
            {{- hold_to_contract(sql) }}
            create or replace table {{ target_relation }} as (
                {{ sql }}
            )
        {%- endcall %}
    {% endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{% materialization view, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {{ drop_what_is_no('view', load_cached_relation(this)) }}
    {% call statement('main') -%}
        {{- hold_to_contract(sql) }}
        create or replace view {{ target_relation }} as (
            {{ sql }}
        )
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{# A model that was a view and becomes a table, or the reverse: DuckDB replaces like by like. #}
{% macro drop_what_is_no(kind, existing_relation) -%}
    {% if existing_relation is not none and existing_relation.type != kind %}
        {% do adapter.ensure_transaction() %}
        {% do adapter.drop_relation(existing_relation) %}
    {% endif %}
{%- endmacro %}

{# Names and types of the columns, where the model promises them. #}
{% macro hold_to_contract(sql) -%}
    {% if config.get('contract').enforced %}
        {{ get_assert_columns_equivalent(sql) }}
    {% endif %}
{%- endmacro %}
