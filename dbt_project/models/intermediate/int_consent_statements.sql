{{ config(materialized='view') }}

with

consents as (

    select * from {{ ref('stg_consents') }}

),

messages as (

    select * from {{ ref('stg_messages') }}

),

{# Whoever unsubscribes or complains withdraws, for every purpose over that channel. #}
statements as (

    select
        contact_id,
        purpose,
        channel,
        consent_state as statement,
        recorded_at,
        known_from_at
    from consents

    union all

    select
        contact_id,
        cast(null as varchar) as purpose,
        {{ consent_word('channel') }} as channel,
        'withdrawn' as statement,
        occurred_at as recorded_at,
        known_from_at
    from messages
    where message_action in ('unsubscribed', 'complained')

)

select * from statements
