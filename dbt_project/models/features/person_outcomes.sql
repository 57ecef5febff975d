{{ config(materialized='table') }}

{%- set has_orders = is_delivered(['orders', 'order_lines']) %}
{%- set order_targets = var('targets') | selectattr('outcome', 'equalto', 'order') | list %}
{%- set event_targets = var('targets') | selectattr('outcome', 'equalto', 'event') | list %}
{%- set activity_targets = var('targets') | selectattr('outcome', 'equalto', 'activity') | list %}
{%- set upgrade_targets = var('targets') | selectattr('outcome', 'equalto', 'upgrade') | list %}
{%- set label_targets = var('targets') | selectattr('outcome', 'equalto', 'label') | list %}
{%- set by_default = var('targets') | selectattr('happens_by_default', 'defined') | selectattr('happens_by_default') | list %}

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
{% for target in upgrade_targets %}

{{ target.name }}_upgrades as (

    {{ upgrades_of_contacts(target) }}

),
{% endfor %}

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

    {%- for target in order_targets + (activity_targets if has_orders else []) %}

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
    {%- for target in event_targets + (activity_targets if is_delivered('events') else []) %}

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
    {%- if target.outcome == 'event' %}
    where identity_days.named_{{ target.column }}_events > 0
    {%- endif %}

    union all
    {%- endfor %}
    {%- for target in upgrade_targets %}

    select
        {{ literal(target.name) }} as target,
        as_of,
        as_of_at,
        'contact' as identity_kind,
        contact_id as identity_id,
        upgraded_at as known_at
    from {{ target.name }}_upgrades

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

{# Who it happened to: the person the week knew, or, of an identity that came later, the person it first was. Of a target
   that asks for nothing to happen, it says that the outcome did not come true. #}
happened as (

    select
        happenings.target,
        happenings.as_of,
        identities.person_id,
        {%- if by_default %}
        happenings.target not in ({% for target in by_default %}{{ literal(target.name) }}{{ ', ' if not loop.last }}{% endfor %}) as outcome,
        {%- else %}
        true as outcome,
        {%- endif %}
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

    select * from happened
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
