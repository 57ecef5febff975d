{# Incremental tables delete what a run replaces before they append. The deletion stands outside the transaction because
   DuckDB does not alter a table in the transaction that deleted from it; what a failed run deleted is built again by
   the next, since neither ledger of changes nor fingerprints are settled before a run succeeded. #}

{% macro forget_weeks(flag) -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where as_of in (select as_of from {{ ref('int_weeks') }} where {{ flag }})
    {%- endif -%}
{%- endmacro %}

{# What the rows of int_identity_days depend on besides the events. #}
{% macro identity_day_rules() -%}
    {{ return(local_md5(tojson([var('timezone'), var('delivery_grace_hours'), var('event_names')], sort_keys=true))) }}
{%- endmacro %}

{# Whether only changed days need building: the table has rows, all of them built by today's rules. #}
{% macro builds_changed_days_only() -%}
    {% if not execute or not is_incremental() %}
        {{ return(false) }}
    {% endif %}
    {% set found = run_query("select distinct day_rules from " ~ this) %}
    {{ return(found.columns[0].values() | list == [identity_day_rules()]) }}
{%- endmacro %}

{% macro forget_changed_days() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where day_rules <> '{{ identity_day_rules() }}'
            or event_day in (select changed_day from {{ source('raw', 'changed_days') }} where entity = 'events')
    {%- endif -%}
{%- endmacro %}
