{{ config(materialized='view') }}

with

sightings as (

    select * from {{ ref('int_identity_sightings') }}

),

contacts as (

    select * from {{ ref('int_contact_identifiers') }}

),

{# Every entity that names a contact makes it known. #}
seen as (

    select 'contact' as identity_kind, contact_id as identity_id, known_from_at as seen_from_at from contacts
    union all
    select 'user', user_id, known_from_at from contacts
    union all
    select 'contact', contact_id, seen_from_at from sightings
    union all
    select 'user', user_id, seen_from_at from sightings
    union all
    select 'device', device_id, seen_from_at from sightings
    {%- if not var('identity').include_anonymous %}
    where coalesce(contact_id, user_id) is not null
    {%- endif %}
    {%- for model in ['int_orders', 'stg_deals', 'stg_tickets'] %}
    union all
    select 'contact', contact_id, min(valid_from) from {{ ref(model) }} group by contact_id
    {%- endfor %}
    {%- for model, happened_at in [
        ('stg_messages', 'occurred_at'), ('stg_survey_answers', 'answered_at'), ('stg_consents', 'recorded_at')
    ] %}
    union all
    select 'contact', contact_id, min({{ counts_from_at(happened_at) }}) from {{ ref(model) }} group by contact_id
    {%- endfor %}

),

identities as (

    select
        identity_kind,
        identity_id,
        min(seen_from_at) as seen_from_at,
        {{ person_id_of('identity_kind', 'identity_id') }} as own_person_id
    from seen
    where identity_id is not null
    group by
        identity_kind,
        identity_id

)

select * from identities
