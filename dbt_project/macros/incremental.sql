{# Incremental tables delete what a run replaces before they append. The deletion stands outside the transaction because
   DuckDB does not alter a table in the transaction that deleted from it; what a failed run deleted is built again by
   the next, since neither ledger of changes nor fingerprints are settled before a run succeeded. #}

{% macro forget_weeks(flag) -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where as_of in (select as_of from {{ ref('int_weeks') }} where {{ flag }})
    {%- endif -%}
{%- endmacro %}

{# Whether a model that reads its own last rows finds them, all of them made by today's rules. Such a model is a table that
   is written anew from what it was and from what changed, so a run that dies leaves the last one's. #}
{% macro last_rows_stand(rules_column, rules) -%}
    {% if not execute or should_full_refresh() %}
        {{ return(false) }}
    {% endif %}
    {% set existing = adapter.get_relation(this.database, this.schema, this.identifier) %}
    {% if existing is none or rules_column not in adapter.get_columns_in_relation(existing) | map(attribute='name') %}
        {{ return(false) }}
    {% endif %}
    {{ return(run_query("select distinct " ~ rules_column ~ " from " ~ this).columns[0].values() | list == [rules]) }}
{%- endmacro %}

{# Rules as a number, for tables that are written anew every week: a text in each of two million rows takes half a second
   of packing. #}
{% macro as_number(rules) -%}
    {{ return(rules[:15] | int(base=16)) }}
{%- endmacro %}
