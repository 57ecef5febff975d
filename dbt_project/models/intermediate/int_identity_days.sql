{{ config(
    materialized='incremental',
    incremental_strategy='append',
    plain_texts=['contact_id', 'user_id', 'device_id'],
    on_schema_change='sync_all_columns',
    pre_hook=before_begin('{{ forget_changed_days() }}'),
    post_hook='{{ count_other_identity_days() }}',
) }}

{% set first_days = first_identity_days() %}

{{ identity_days(first_days[0], first_days[1]) }}
