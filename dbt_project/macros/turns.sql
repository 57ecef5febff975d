{# Weeks that are computed in turns, so that memory does not grow with their number: two weeks of a million people took
   28 s together, because they were spilled, and 8 s one after the other. #}

{# The number of the turn that a model's SQL is written for: the first. `table_in_turns` repeats it for the others. #}
{% macro this_turn() -%}
    0 /* this turn */
{%- endmacro %}

{# A table whose SQL names {{ this_turn() }}: made of the first turn's rows, the other turns' rows are added. It is made
   beside the one that stands, which a model may read, and takes its place when it is whole. #}
{% materialization table_in_turns, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set unfinished_relation = make_intermediate_relation(target_relation) -%}
    {{ drop_relation_if_exists(load_cached_relation(unfinished_relation)) }}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') -%}
        {{ table_of(unfinished_relation, sql) }}
    {%- endcall %}
    {% set turns = run_query("select distinct turn from " ~ ref('int_weeks') ~ " where build_features and turn > 0 order by turn") %}
    {% for turn in turns.columns[0].values() %}
        {% do run_query(
            "insert into " ~ unfinished_relation ~ " " ~ sql | replace(this_turn() | trim, turn ~ " /* this turn */")
        ) %}
    {% endfor %}
    {% if existing_relation is not none %}
        {% do adapter.drop_relation(existing_relation) %}
    {% endif %}
    {% do adapter.rename_relation(unfinished_relation, target_relation) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
