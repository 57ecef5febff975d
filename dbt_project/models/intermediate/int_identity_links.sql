{{ config(materialized='view') }}

with

contacts as (

    select * from {{ ref('int_contact_identifiers') }}

),

phones as (

    select * from {{ ref('int_contact_phones') }}

),

sightings as (

    select * from {{ ref('int_identity_sightings') }}

),

matches as (

    select * from {{ ref('contact_matches') }}

),

{# Of the contacts alone: what one row of a contact names together with it. #}
links_of_contacts as (

    select 'contact' as identity_kind, contact_id as identity_id, 'user' as other_kind, user_id as other_id, known_from_at
    from contacts
    where user_id is not null

    union all

    select 'contact', contact_id, 'email', email_hash, known_from_at
    from contacts
    where email_hash is not null

    union all

    select 'contact', contacts.contact_id, 'phone', phones.phone_hash, contacts.known_from_at
    from contacts
    inner join phones
        on contacts.phone_key = phones.phone_key
    where phones.phone_hash is not null

),

{# Of what was done: who was signed in, and on which device. #}
links_of_sightings as (

    select 'contact' as identity_kind, contact_id as identity_id, 'user' as other_kind, user_id as other_id, seen_from_at as known_from_at
    from sightings
    where contact_id is not null and user_id is not null

    union all

    select
        case when contact_id is not null then 'contact' else 'user' end,
        coalesce(contact_id, user_id),
        'device',
        device_id,
        seen_from_at
    from sightings
    where device_id is not null and coalesce(contact_id, user_id) is not null

),

links_by_identifier as (

    select
        identity_kind,
        identity_id,
        other_kind,
        other_id,
        'same_' || other_kind as link_kind,
        min(known_from_at) as linked_from_at,
        cast(null as double) as match_weight
    from (
        select * from links_of_contacts
        union all
        select * from links_of_sightings
    ) as named_together
    group by
        identity_kind,
        identity_id,
        other_kind,
        other_id

),

{# Two contacts that were described several ways are linked since they first matched. #}
links_by_match as (

    select
        'contact' as identity_kind,
        contact_id as identity_id,
        'contact' as other_kind,
        other_contact_id as other_id,
        'probabilistic_match' as link_kind,
        min(matched_from_at) as linked_from_at,
        arg_max(match_weight, (-epoch_us(matched_from_at), match_weight)) as match_weight
    from matches
    where is_match
    group by
        contact_id,
        other_contact_id

),

links as (

    select * from links_by_identifier
    union all
    select * from links_by_match

)

select * from links
