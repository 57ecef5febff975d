{# What people chose themselves within the history of a scored week: over which channel they bought, and from where they
   came to the web site. #}
with

weeks as (

    select
        *,
        {{ history_start('as_of') }} as history_starts_on
    from {{ ref('int_weeks') }}
    where is_scored

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

people as (

    select * from {{ ref('int_people') }}

),

orders as (

    select
        *,
        cast({{ local_time('ordered_at') }} as date) as ordered_on
    from {{ ref('int_orders') }}
    where
        is_purchase
        and order_channel is not null

),

purchases as (

    select
        weeks.as_of,
        identities.person_id,
        'purchase_channel' as dimension,
        orders.order_channel as value,
        count(*) as choices
    from orders
    inner join weeks
        on orders.ordered_on >= weeks.history_starts_on
        and orders.ordered_on < weeks.as_of
        and {{ is_valid_at('orders', 'weeks.as_of_at') }}
    inner join identities
        on identities.identity_kind = 'contact'
        and orders.contact_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    group by 1, 2, 3, 4

),

{# Only where sessions tell of a place at all. #}
sessions as (

    select
        case when contact_id is not null then 'contact' else 'device' end as identity_kind,
        coalesce(contact_id, device_id) as identity_id,
        started_on,
        delivered_in_week,
        country
    from {{ ref('int_sessions') }}
    where country is not null

),

visits as (

    select
        weeks.as_of,
        sessions.identity_kind,
        sessions.identity_id,
        sessions.country,
        count(*) as choices
    from sessions
    inner join weeks
        on sessions.started_on >= weeks.history_starts_on
        and sessions.started_on < weeks.as_of
        and (sessions.delivered_in_week is null or sessions.delivered_in_week < weeks.as_of)
    group by 1, 2, 3, 4

),

places as (

    select
        visits.as_of,
        identities.person_id,
        'location' as dimension,
        visits.country as value,
        cast(sum(visits.choices) as bigint) as choices
    from visits
    inner join weeks
        on visits.as_of = weeks.as_of
    inner join identities
        on visits.identity_kind = identities.identity_kind
        and visits.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    group by 1, 2, 3, 4

),

unioned as (

    select * from purchases
    union all
    select * from places

),

person_choices as (

    select unioned.*
    from unioned
    inner join people
        on unioned.as_of = people.as_of
        and unioned.person_id = people.person_id

)

select * from person_choices
