{%- set identity = var('identity') -%}

with

contacts as (

    select * from {{ ref('stg_contacts') }}

),

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

identity_sightings as (

    select
        contact_id,
        device_id,
        min({{ counts_from_at('first_event_at', local_midnight('delivered_on')) }}) as seen_from_at
    from identity_days
    group by
        contact_id,
        device_id

),

{# Every entity that names a contact makes it known. #}
contact_sightings as (

    select contact_id, min(valid_from) as seen_from_at from contacts group by contact_id
    union all
    select contact_id, min(seen_from_at) as seen_from_at from identity_sightings group by contact_id
    {%- for model in ['int_orders', 'stg_deals', 'stg_tickets'] %}
    union all
    select contact_id, min(valid_from) as seen_from_at from {{ ref(model) }} group by contact_id
    {%- endfor %}
    {%- for model, happened_at in [
        ('stg_messages', 'occurred_at'), ('stg_survey_answers', 'answered_at'), ('stg_consents', 'recorded_at')
    ] %}
    union all
    select contact_id, min({{ counts_from_at(happened_at) }}) as seen_from_at from {{ ref(model) }} group by contact_id
    {%- endfor %}

),

first_sightings as (

    select
        contact_id,
        min(seen_from_at) as seen_from_at
    from contact_sightings
    where contact_id is not null
    group by contact_id

),

email_contacts as (

    select
        email_normalized,
        contact_id,
        min(valid_from) as had_from_at
    from contacts
    where email_normalized is not null
    group by
        email_normalized,
        contact_id

),

{# Arrival never changes afterwards: who comes later only adds to the end. #}
email_arrivals as (

    select
        email_normalized,
        contact_id,
        row_number() over in_order_of_arrival as arrival,
        first_value(contact_id) over in_order_of_arrival as first_contact_id
    from email_contacts
    window in_order_of_arrival as (
        partition by email_normalized order by had_from_at asc, contact_id asc
    )

),

canonical_contacts as (

    select
        contacts.contact_id,
        contacts.valid_from,
        case
            when email_arrivals.arrival <= {{ identity.max_people_per_email }} then email_arrivals.first_contact_id
            else contacts.contact_id
        end as canonical_contact_id,
        1 as precedence
    from contacts
    left join email_arrivals
        on contacts.email_normalized = email_arrivals.email_normalized
        and contacts.contact_id = email_arrivals.contact_id

    union all

    select
        contact_id,
        seen_from_at as valid_from,
        contact_id as canonical_contact_id,
        0 as precedence
    from first_sightings

),

canonical_changes as (

    select *
    from (
        select
            *,
            lag(canonical_contact_id) over (
                partition by contact_id order by valid_from asc, precedence asc
            ) as previous_contact_id
        from canonical_contacts
    ) as compared
    where previous_contact_id is null or previous_contact_id <> canonical_contact_id

),

contact_intervals as (

    select
        contact_id,
        canonical_contact_id,
        valid_from,
        lead(valid_from) over (
            partition by contact_id order by valid_from asc, precedence asc
        ) as valid_to
    from canonical_changes

),

contact_identities as (

    select
        'contact' as identity_kind,
        contact_id as identity_id,
        {{ person_id_of('contact', 'canonical_contact_id') }} as person_id,
        valid_from,
        valid_to
    from contact_intervals
    where valid_to is null or valid_from < valid_to

),

device_arrivals as (

    select
        device_id,
        contact_id,
        seen_from_at,
        row_number() over (partition by device_id order by seen_from_at asc, contact_id asc) as arrival
    from identity_sightings
    where device_id is not null and contact_id is not null

),

{# A device belongs to the first contact that identified on it, until it turns out to be everybody's. #}
device_owners as (

    select
        device_id,
        min(contact_id) filter (where arrival = 1) as contact_id,
        min(seen_from_at) as valid_from,
        min(seen_from_at) filter (where arrival = {{ identity.max_people_per_device + 1 }}) as valid_to
    from device_arrivals
    group by device_id

),

device_identities as (

    select
        'device' as identity_kind,
        device_owners.device_id as identity_id,
        contact_identities.person_id,
        greatest(device_owners.valid_from, contact_identities.valid_from) as valid_from,
        least(device_owners.valid_to, contact_identities.valid_to) as valid_to
    from device_owners
    inner join contact_identities
        on device_owners.contact_id = contact_identities.identity_id
    where
        (device_owners.valid_to is null or contact_identities.valid_from < device_owners.valid_to)
        and (contact_identities.valid_to is null or device_owners.valid_from < contact_identities.valid_to)

),

{%- if identity.include_anonymous %}

device_sightings as (

    select
        device_id,
        min(seen_from_at) as seen_from_at
    from identity_sightings
    where device_id is not null
    group by device_id

),

{# Before anybody identified on it, a device is a person of its own. #}
anonymous_identities as (

    select
        'device' as identity_kind,
        device_sightings.device_id as identity_id,
        {{ person_id_of('device', 'device_sightings.device_id') }} as person_id,
        device_sightings.seen_from_at as valid_from,
        device_owners.valid_from as valid_to
    from device_sightings
    left join device_owners
        on device_sightings.device_id = device_owners.device_id
    where device_owners.device_id is null or device_sightings.seen_from_at < device_owners.valid_from

),

{%- endif %}

unioned as (

    select *, true as makes_person from contact_identities
    union all
    select *, false as makes_person from device_identities
    {%- if identity.include_anonymous %}
    union all
    select *, true as makes_person from anonymous_identities
    {%- endif %}

),

identities as (

    select
        identity_kind,
        identity_id,
        person_id,
        valid_from,
        valid_to,
        makes_person,
        lag(valid_from) over (partition by identity_kind, identity_id order by valid_from) is null as is_first
    from unioned
    where valid_to is null or valid_from < valid_to

)

select * from identities
