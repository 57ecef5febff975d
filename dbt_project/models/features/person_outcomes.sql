{{ config(materialized='table') }}

{%- set order_targets = var('targets') | selectattr('outcome', 'equalto', 'order') | list %}
{%- set event_targets = var('targets') | selectattr('outcome', 'equalto', 'event') | list %}
{%- set label_targets = var('targets') | selectattr('outcome', 'equalto', 'label') | list %}

with

weeks as (

    select * from {{ ref('int_weeks') }}

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

orders as (

    select * from {{ ref('int_orders') }}

),

people as (

    select * from {{ ref('int_people') }}

),

{# Outcomes are there for the people that have features, and for nobody else. #}
people_with_features as (

    select
        person_features.as_of,
        person_features.person_id
    from {{ ref('person_features') }} as person_features
    inner join weeks
        on person_features.as_of = weeks.as_of

),

{# What happened to contacts and devices after the week. An order that was once booked counts, whatever became of it:
   otherwise a past outcome would change with what we learn later. #}
happenings as (

    {%- for target in order_targets %}

    select
        {{ literal(target.name) }} as target,
        weeks.as_of,
        weeks.as_of_at,
        'contact' as identity_kind,
        orders.contact_id as identity_id,
        greatest(orders.ordered_at, orders.valid_from) as known_at
    from orders
    inner join weeks
        on orders.ordered_at >= weeks.as_of_at
        and orders.ordered_at < {{ local_midnight('weeks.as_of + ' ~ (target.within_days | int)) }}
    where orders.is_purchase

    union all
    {%- endfor %}
    {%- for target in event_targets %}

    select
        {{ literal(target.name) }} as target,
        weeks.as_of,
        weeks.as_of_at,
        {{ acting_identity_kind('identity_days') }} as identity_kind,
        {{ acting_identity_id('identity_days') }} as identity_id,
        {{ counts_from_at('identity_days.last_event_at', local_midnight('identity_days.delivered_on')) }} as known_at
    from identity_days
    inner join weeks
        on identity_days.event_day >= weeks.as_of
        and identity_days.event_day < weeks.as_of + {{ target.within_days | int }}
    where identity_days.named_{{ target.column }}_events > 0

    union all
    {%- endfor %}

    select
        cast(null as varchar) as target,
        as_of,
        as_of_at,
        cast(null as varchar) as identity_kind,
        cast(null as varchar) as identity_id,
        cast(null as timestamp) as known_at
    from weeks
    where false

),

{# Who it happened to: the person the week knew, or, of an identity that came later, the person it first was. #}
positives as (

    select
        happenings.target,
        happenings.as_of,
        identities.person_id,
        true as outcome,
        min(happenings.known_at) as outcome_known_at
    from happenings
    inner join identities
        on happenings.identity_id = identities.identity_id
        and happenings.identity_kind = identities.identity_kind
        and (
            (identities.is_first and identities.valid_from >= happenings.as_of_at)
            or ({{ is_valid_at('identities', 'happenings.as_of_at') }})
        )
    inner join people_with_features
        on happenings.as_of = people_with_features.as_of
        and identities.person_id = people_with_features.person_id
    group by
        happenings.target,
        happenings.as_of,
        identities.person_id

),

person_outcomes as (

    select * from positives
    {%- for target in label_targets %}

    union all

    select
        {{ literal(target.name) }} as target,
        as_of,
        person_id,
        lower(trim(cast(label_{{ target.label_attribute }} as varchar))) = lower(trim({{ literal(target.positive_value) }})) as outcome,
        case
            when lower(trim(cast(label_{{ target.label_attribute }} as varchar))) = lower(trim({{ literal(target.positive_value) }}))
                then contact_valid_from
        end as outcome_known_at
    from people
    where label_{{ target.label_attribute }} is not null
    {%- endfor %}

)

select * from person_outcomes
