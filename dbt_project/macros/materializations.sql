{# How a table or a view takes the place of the one before: in one statement. dbt-duckdb makes it beside, looks for indexes
   and foreign keys, renames twice and drops afterwards, and each of those costs more than most tables of a small company.
   Here nothing has an index, a key, a grant or a comment: whoever adds one adds it here. #}

{% materialization table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {% if model['language'] == 'sql' %}
        {{ return(replaced_by('table', sql)) }}
    {% endif %}
    {# Python writes through a connection of its own, so beside the table that stands. #}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set unfinished_relation = make_intermediate_relation(target_relation) -%}
    {{ drop_relation_if_exists(load_cached_relation(unfinished_relation)) }}
    {% call statement('main', language='python') -%}
        {{- create_table_as(False, unfinished_relation, compiled_code, 'python') }}
    {%- endcall %}
    {% do adapter.ensure_transaction() %}
    {{ drop_relation_if_exists(load_cached_relation(this)) }}
    {% do adapter.rename_relation(unfinished_relation, target_relation) %}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{% materialization view, adapter='duckdb' %}
    {{ return(replaced_by('view', sql)) }}
{% endmaterialization %}

{% macro replaced_by(kind, sql) %}
    {%- set target_relation = this.incorporate(type=kind) -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {% if existing_relation is not none and existing_relation.type != kind %}
        {# A view that becomes a table, or the reverse: DuckDB replaces like by like. #}
        {% do adapter.drop_relation(existing_relation) %}
    {% endif %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {# In a transaction all the same: what a model asked while it was compiled may have begun one. #}
    {% call statement('main') -%}
        {% if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif %}
        {% if kind == 'table' %}{{ table_of(target_relation, sql, replaces=true) }}{% else %}
        create or replace view {{ target_relation }} as (
            {{ sql }}
        )
        {% endif %}
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmacro %}

{# A table of what a statement gives, which may read the table whose place it takes. Texts of which hardly one is there
   twice (`plain_texts` of a model) are written as they are: DuckDB would try to make a dictionary of them, which takes
   twice the time of writing them. #}
{% macro table_of(relation, sql, replaces=false) %}
    {%- set plain = config.get('plain_texts') -%}
    {%- if not plain -%}
    create {{ 'or replace ' if replaces }}table {{ relation }} as (
        {{ sql }}
    )
    {%- else -%}
    {%- set made = make_intermediate_relation(relation) if replaces else relation -%}
    create table {{ made }} (
        {%- for column in adapter.get_column_schema_from_query(sql) %}
        {{ column.quoted }} {{ column.dtype }}{{ ' using compression uncompressed' if column.name in plain }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    );
    insert into {{ made }} by name (
        {{ sql }}
    )
    {%- if replaces %};
    drop table if exists {{ relation }};
    alter table {{ made }} rename to {{ adapter.quote(relation.identifier) }}
    {%- endif %}
    {%- endif %}
{%- endmacro %}

{# Rows are inserted where they stay. dbt-duckdb writes them into a temporary table first, to see their columns, so that
   every row is written twice; here the columns are asked of the statement. Where they are not those that the table has,
   which is once after an update, dbt-duckdb's way is taken. #}
{% materialization incremental, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set is_new = existing_relation is none or existing_relation.type != 'table' or should_full_refresh() -%}
    {% if model['language'] == 'python' %}
        {# Beside the table that stands, as above; dbt lets nobody but the materialization itself run it. #}
        {%- set target_relation = this.incorporate(type='table') -%}
        {%- set given_relation = make_intermediate_relation(target_relation) -%}
        {{ drop_relation_if_exists(load_cached_relation(given_relation)) }}
        {% call statement('main', language='python') -%}
            {{- create_table_as(False, given_relation, compiled_code, 'python') }}
        {%- endcall %}
        {% do adapter.ensure_transaction() %}
        {% if is_new %}
            {{ drop_relation_if_exists(existing_relation) }}
            {% do adapter.rename_relation(given_relation, target_relation) %}
        {% else %}
            {% do process_schema_changes('append_new_columns', given_relation, existing_relation) %}
            {% do run_query('insert into ' ~ existing_relation ~ ' by name select * from ' ~ given_relation) %}
            {% do adapter.drop_relation(given_relation) %}
        {% endif %}
        {% do adapter.commit() %}
        {{ return({'relations': [target_relation]}) }}
    {% elif is_new %}
        {{ return(replaced_by('table', sql)) }}
    {% elif config.get('incremental_strategy') != 'append' or not has_columns_of(existing_relation, sql) %}
        {{ return(dbt.materialization_incremental_duckdb()) }}
    {% endif %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') -%}
        {% if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif %}
        insert into {{ existing_relation }} by name (
            {{ sql }}
        )
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [existing_relation]}) }}
{% endmaterialization %}

{# Whether a table has the columns that a statement gives, of the same types. #}
{% macro has_columns_of(relation, sql) %}
    {% set there = {} %}
    {% for column in adapter.get_columns_in_relation(relation) %}
        {% do there.update({column.name: column.data_type}) %}
    {% endfor %}
    {% set given = {} %}
    {% for column in adapter.get_column_schema_from_query(sql) %}
        {% do given.update({column.name: column.data_type}) %}
    {% endfor %}
    {# Asking began a transaction, in which what the hooks delete must not be: see macros/incremental.sql. #}
    {% do adapter.commit() %}
    {{ return(there == given) }}
{% endmacro %}

{# A check only reads, so it needs no transaction around it; one whose findings are to be kept writes. #}
{% materialization test, adapter='duckdb' %}
    {% if should_store_failures() %}
        {{ return(dbt.materialization_test_default()) }}
    {% endif %}
    {% call statement('main', fetch_result=True, auto_begin=False) -%}
        {{ get_test_sql(
            get_limit_subquery_sql(sql, config.get('limit')),
            config.get('fail_calc'),
            config.get('warn_if'),
            config.get('error_if'),
            limit=none,
        ) }}
    {%- endcall %}
    {{ return({'relations': []}) }}
{% endmaterialization %}
