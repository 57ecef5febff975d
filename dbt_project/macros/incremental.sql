{# Incremental tables delete what a run replaces before they append. The deletion stands outside the transaction because
   DuckDB does not alter a table in the transaction that deleted from it; what a failed run deleted is built again by
   the next, since neither ledger of changes nor fingerprints are settled before a run succeeded. #}

{% macro forget_weeks(flag) -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where as_of in (select as_of from {{ ref('int_weeks') }} where {{ flag }})
    {%- endif -%}
{%- endmacro %}
