{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

{%- set has_events = is_delivered('events') %}
{%- set has_orders = is_delivered(['orders', 'order_lines']) %}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

person_features as (

    select * from {{ ref('person_features') }}

),

memberships as (

    select * from {{ ref('segment_memberships') }}
    where segment_type in ('persona', 'defined_persona')

),

{# What people do says where they stand; where events are not delivered, what they buy does, at a slower pace. #}
staged as (

    select
        memberships.as_of,
        memberships.segment_type,
        memberships.segment_id,
        case
            {%- if is_delivered('contacts') %}
            when person_features.days_since_created <= 28 then 'new'
            {%- elif has_orders %}
            when person_features.days_since_first_order <= 91 then 'new'
            {%- endif %}
            {%- if has_events %}
            when person_features.days_since_last_event <= 28 then 'active'
            when person_features.days_since_last_event <= 91 then 'cooling'
            {%- elif has_orders %}
            when person_features.days_since_last_order <= 91 then 'active'
            when person_features.days_since_last_order <= 365 then 'cooling'
            {%- endif %}
            else 'dormant'
        end as stage
    from memberships
    inner join weeks
        on memberships.as_of = weeks.as_of
    inner join person_features
        on memberships.as_of = person_features.as_of
        and memberships.person_id = person_features.person_id

),

segment_stages as (

    select
        as_of,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(stage as varchar) as stage,
        cast(count(*) as bigint) as people
    from staged
    where {{ 'true' if has_events or has_orders else 'false' }}
    group by
        as_of,
        segment_type,
        segment_id,
        stage

)

select * from segment_stages
