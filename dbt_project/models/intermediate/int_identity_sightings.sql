with

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

{# Few days are delivered late; time zones are converted only once per identity and late day. #}
first_events as (

    select
        contact_id,
        user_id,
        device_id,
        delivered_on,
        min(first_event_at) as first_event_at
    from identity_days
    group by
        contact_id,
        user_id,
        device_id,
        delivered_on

),

sightings as (

    select
        contact_id,
        user_id,
        device_id,
        min({{ counts_from_at('first_event_at', local_midnight('delivered_on')) }}) as seen_from_at
    from first_events
    group by
        contact_id,
        user_id,
        device_id

)

select * from sightings
