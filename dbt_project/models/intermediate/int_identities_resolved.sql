{{ config(materialized='view') }}

with

changes as (

    select * from {{ ref('identity_changes') }}

),

{# A device that turned out to be everybody's belongs to nobody from then on. #}
identities as (

    select
        identity_kind,
        identity_id,
        person_after as person_id,
        known_at as valid_from,
        changed_again_at as valid_to,
        makes_person,
        is_first
    from changes
    where person_after is not null

)

select * from identities
