{# Tables that are kept from run to run, of which a run replaces the rows that changed and no others. Their SQL tells
   either all rows, or, in a column `is_there`, which rows are new and which ones have gone. Ledgers of what they read and
   of what they changed are raw.rows_read and raw.touched_identities; each is written in the transaction of the rows. #}

{% materialization kept_table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set told_relation = make_intermediate_relation(target_relation) -%}
    {{ drop_relation_if_exists(load_cached_relation(told_relation)) }}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main', language=model['language']) -%}
        {%- if model['language'] == 'sql' %}
            {{- table_of(told_relation, compiled_code) }}
        {%- else %}
            {{- create_table_as(False, told_relation, compiled_code, model['language']) }}
        {%- endif %}
    {%- endcall %}
    {% do adapter.ensure_transaction() %}
    {% set columns = adapter.get_columns_in_relation(told_relation) | map(attribute='quoted') | list %}
    {% set goes_on = adapter.quote('is_there') in columns %}
    {% if goes_on %}
        {% do columns.remove(adapter.quote('is_there')) %}
        {% do run_query(replacement_of_rows(target_relation, told_relation, columns)) %}
    {% endif %}
    {% set touched = config.get('touches') %}
    {% if touched and goes_on %}
        {% do run_query("insert into raw.touched_identities " ~ touched_identities(touched, told_relation)) %}
    {% elif touched and (existing_relation is none or has_rows(existing_relation) or has_rows(told_relation)) %}
        {% do run_query("insert into raw.touched_identities values (null, null, null)") %}
    {% endif %}
    {% if goes_on %}
        {% do adapter.drop_relation(told_relation) %}
    {% else %}
        {{ drop_relation_if_exists(existing_relation) }}
        {% do adapter.rename_relation(told_relation, target_relation) %}
    {% endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{% macro has_rows(relation) -%}
    {{ return(run_query("select 1 from " ~ relation ~ " limit 1").rows | length > 0) }}
{%- endmacro %}

{# Rows go by all that stands in them, so that a table without a key, or with one that may be null, can be kept. #}
{% macro replacement_of_rows(relation, told_relation, columns) -%}
    delete from {{ relation }} as kept
    using {{ told_relation }} as told
    where not told.is_there
    {%- for column in columns %}
        and kept.{{ column }} is not distinct from told.{{ column }}
    {%- endfor %};
    insert into {{ relation }} ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from {{ told_relation }} where is_there
{%- endmacro %}

{# The rows that differ between what stands and what should, as a kept table is told of them. #}
{% macro changes_between(earlier, now, columns) -%}
    {%- set named = columns | join(', ') -%}
    select {{ named }}, true as is_there
    from (select {{ named }} from {{ now }} except select {{ named }} from {{ earlier }}) as came
    union all
    select {{ named }}, false
    from (select {{ named }} from {{ earlier }} except select {{ named }} from {{ now }}) as went
{%- endmacro %}

{# Up to which load the raw rows of some entities are in this table already, by the entity's name: -1 where all of them
   have to be read again, because some that were read have gone; none where the table does not stand. #}
{% macro loads_read(entities, rules_column, rules) -%}
    {% if not last_rows_stand(rules_column, rules) %}
        {{ return(none) }}
    {% endif %}
    {% set loads = {} %}
    {% for entity in entities %}
        {% set told = run_query(
            "select load_sequence, rows, fingerprint from raw.rows_read "
            "where model = '" ~ this.identifier ~ "' and entity = '" ~ entity ~ "'"
        ).rows | list %}
        {% set there = run_query(rows_until(entity, told[0][0])).rows[0] if told else [] %}
        {% do loads.update({entity: told[0][0] if told and there | list == told[0] | list else -1}) %}
    {% endfor %}
    {{ return(loads) }}
{%- endmacro %}

{# The rows of an entity up to some load, as a number of them and a number that another row would change. #}
{% macro rows_until(entity, load_sequence) -%}
    select
        {{ load_sequence }} as load_sequence,
        count(*) as rows,
        coalesce(bit_xor({{ hash_of(['_source', '_file', '_load_id', '_load_sequence', '_row_number']) }}), 0) as fingerprint
    from {{ source('raw', entity) }}
    where coalesce(_load_sequence, 0) <= {{ load_sequence }}
{%- endmacro %}

{# The rows that came after those that were read. Rows without a load, of which only tests know, are of load 0. #}
{% macro came_after(load_sequence) -%}
    coalesce(_load_sequence, 0) > {{ load_sequence }}
{%- endmacro %}

{# After: all rows that are there were read. #}
{% macro note_rows_read(entities) -%}
    {%- for entity in entities %}
    insert or replace into raw.rows_read
    select '{{ this.identifier }}', '{{ entity }}', until.*
    from (
        {{ rows_until(entity, '(select coalesce(max(_load_sequence), 0) from ' ~ source('raw', entity) ~ ')') }}
    ) as until;
    {%- endfor %}
{%- endmacro %}
