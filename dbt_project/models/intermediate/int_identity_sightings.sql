with

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

{# Few days are delivered late, and time zones are converted only once for each. #}
late_days as (

    select
        delivered_on,
        {{ local_midnight('delivered_on') }} as delivered_at
    from (select distinct delivered_on from identity_days where delivered_on is not null) as days

),

sightings as (

    select
        identity_days.contact_id,
        identity_days.user_id,
        identity_days.device_id,
        min({{ counts_from_at('identity_days.first_event_at', 'late_days.delivered_at') }}) as seen_from_at
    from identity_days
    left join late_days
        on identity_days.delivered_on = late_days.delivered_on
    group by
        identity_days.contact_id,
        identity_days.user_id,
        identity_days.device_id

)

select * from sightings
