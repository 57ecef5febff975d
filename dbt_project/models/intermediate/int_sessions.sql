{{ config(
    materialized='incremental',
    incremental_strategy='append',
    plain_texts=['session_key', 'session_id', 'device_id', 'contact_id'],
    on_schema_change='sync_all_columns',
    pre_hook=before_begin('{{ forget_changed_sessions() }}'),
    post_hook='{{ make_sessions() }}',
) }}

{# No rows: what it is to hold stands in macros/sessions.sql. #}
{{ sessions_of_days('1970-01-01', '1970-01-01') }}
