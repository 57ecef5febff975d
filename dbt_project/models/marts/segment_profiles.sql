{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

{# What people care for and answer stands in `persona_index`. #}
segment_measures as (

    select segment_measures.*
    from {{ ref('segment_measures') }} as segment_measures
    inner join weeks
        on segment_measures.as_of = weeks.as_of
    where segment_measures.family not in ('interest', 'trigger', 'event', 'target')

),

segment_people as (

    select
        segment_memberships.as_of,
        segment_memberships.segment_type,
        segment_memberships.segment_id,
        count(*) as people
    from {{ ref('segment_memberships') }} as segment_memberships
    inner join weeks
        on segment_memberships.as_of = weeks.as_of
    group by
        segment_memberships.as_of,
        segment_memberships.segment_type,
        segment_memberships.segment_id

),

base_measures as (

    select
        as_of,
        characteristic,
        segment_value as base_value,
        sqrt(variance) as base_sd
    from segment_measures
    where segment_type = 'everybody'

),

segment_profiles as (

    select
        segment_measures.as_of,
        cast(segment_measures.segment_type as varchar) as segment_type,
        cast(segment_measures.segment_id as varchar) as segment_id,
        cast(segment_measures.characteristic as varchar) as characteristic,
        cast(segment_measures.label as varchar) as label,
        cast(segment_measures.family as varchar) as family,
        cast(segment_measures.kind as varchar) as kind,
        cast(segment_measures.unit as varchar) as unit,
        cast({{ published('segment_measures.segment_value') }} as double) as segment_value,
        cast({{ published('base_measures.base_value') }} as double) as base_value,
        cast(
            {{ published('100 * segment_measures.segment_value / nullif(base_measures.base_value, 0)') }} as double
        ) as index_value,
        cast(
            {{ published('(segment_measures.segment_value - base_measures.base_value) / nullif(base_measures.base_sd, 0)') }}
            as double
        ) as effect_size,
        cast(segment_people.people as bigint) as people
    from segment_measures
    inner join segment_people
        on segment_measures.as_of = segment_people.as_of
        and segment_measures.segment_type = segment_people.segment_type
        and segment_measures.segment_id = segment_people.segment_id
    inner join base_measures
        on segment_measures.as_of = base_measures.as_of
        and segment_measures.characteristic = base_measures.characteristic
    where segment_measures.segment_value is not null

)

select * from segment_profiles
