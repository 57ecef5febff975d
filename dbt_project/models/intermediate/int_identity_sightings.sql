with

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

sightings as (

    select
        contact_id,
        user_id,
        device_id,
        min({{ counts_from_at('first_event_at', local_midnight('delivered_on')) }}) as seen_from_at
    from identity_days
    group by
        contact_id,
        user_id,
        device_id

)

select * from sightings
