{{ config(materialized='view') }}

with

appearances as (

    select * from {{ ref('int_identity_appearances') }}

),

identities as (

    select
        identity_kind,
        identity_id,
        min(seen_from_at) as seen_from_at,
        {{ person_id_of('identity_kind', 'identity_id') }} as own_person_id
    from appearances
    group by
        identity_kind,
        identity_id

)

select * from identities
