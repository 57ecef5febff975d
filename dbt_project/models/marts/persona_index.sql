{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

segment_measures as (

    select segment_measures.*
    from {{ ref('segment_measures') }} as segment_measures
    inner join weeks
        on segment_measures.as_of = weeks.as_of

),

segment_names as (

    select
        segment_memberships.as_of,
        segment_memberships.segment_type,
        segment_memberships.segment_id,
        min(segment_memberships.segment_name) as segment_name
    from {{ ref('segment_memberships') }} as segment_memberships
    inner join weeks
        on segment_memberships.as_of = weeks.as_of
    where segment_memberships.segment_type in ('persona', 'defined_persona', 'adoption_class')
    group by
        segment_memberships.as_of,
        segment_memberships.segment_type,
        segment_memberships.segment_id

),

base as (

    select
        as_of,
        characteristic,
        people as base_people,
        segment_value as base_value,
        variance as base_variance,
        {# Of a share the skewness follows from the share. #}
        case
            when kind = 'number' then coalesce(skewness, 0)
            else coalesce((1 - 2 * segment_value) / nullif(sqrt(segment_value * (1 - segment_value)), 0), 0)
        end as base_skewness
    from segment_measures
    where segment_type = 'everybody'

),

{# A segment beside everybody, and beside everybody else: what is left of everybody's sums without the segment's. #}
compared as (

    select
        segment_measures.as_of,
        segment_measures.segment_type,
        segment_measures.segment_id,
        segment_names.segment_name,
        segment_measures.characteristic,
        segment_measures.label,
        segment_measures.family,
        segment_measures.kind,
        segment_measures.unit,
        segment_measures.is_persona_input,
        segment_measures.kind = 'number' as is_number,
        cast(segment_measures.people as double) as people,
        segment_measures.segment_value,
        segment_measures.variance,
        cast(base.base_people as double) as base_people,
        base.base_value,
        base.base_variance,
        base.base_skewness,
        cast(base.base_people - segment_measures.people as double) as other_people,
        {{ rest_of('base.base_value', 'base.base_people', 'segment_measures.segment_value', 'segment_measures.people') }}
            as other_value
    from segment_measures
    inner join segment_names
        on segment_measures.as_of = segment_names.as_of
        and segment_measures.segment_type = segment_names.segment_type
        and segment_measures.segment_id = segment_names.segment_id
    inner join base
        on segment_measures.as_of = base.as_of
        and segment_measures.characteristic = base.characteristic

),

spread as (

    select
        *,
        {# Of a share the difference is one of people, who are whole: half a person is taken off it. #}
        sign(segment_value - base_value)
        * greatest(abs(segment_value - base_value) - case when is_number then 0 else 0.5 / people end, 0) as gap,
        {# A few people who happen to be alike say little of how their like vary: not less than everybody does. #}
        greatest(
            sqrt(variance * people / nullif(people - 1, 0)),
            coalesce(sqrt(base_variance) * abs(segment_value / nullif(base_value, 0)), 0)
        ) as deviation,
        sqrt(
            greatest(
                base_people * base_variance
                - people * variance
                - people * other_people / base_people * power(segment_value - other_value, 2),
                0
            )
            / nullif(other_people, 0)
        ) as other_deviation
    from compared

),

{# How far the segment's mean lies from what as many people drawn by chance would have. #}
standardized as (

    select
        *,
        gap / nullif(sqrt(base_variance / people * other_people / nullif(base_people - 1, 0)), 0) as z,
        {{ skewness_of_mean('base_skewness', 'people', 'base_people') }} as mean_skewness
    from spread

),

{# What is more probable of the two: with the long tail that the base has, or without. Where everybody is the same, nothing
   is tested. #}
tested as (

    select
        *,
        case when z is not null then least(abs(z), abs({{ without_skewness('z', 'mean_skewness') }})) end as careful_z
    from standardized

),

probable as (

    select
        *,
        {{ two_sided('careful_z') }} as p_value
    from tested

),

{# Benjamini and Hochberg (JRSS B 1995) over everything that is told of a week. #}
ranked as (

    select
        *,
        row_number() over (
            partition by as_of, p_value is null
            order by p_value asc, segment_type asc, segment_id asc, characteristic asc
        ) as p_rank,
        count(p_value) over (partition by as_of) as tests
    from probable

),

adjusted as (

    select
        *,
        {{ published('least(min(p_value * tests / p_rank) over (partition by as_of, p_value is null order by p_rank asc rows between current row and unbounded following), 1)') }}
            as adjusted_p_value
    from ranked

),

{# Ends of the intervals of both parts. Of a number they are told once people are more than its skewness squared. #}
limits as (

    select
        *,
        case
            when not is_number then {{ share_limit('segment_value', 'people', -1) }}
            when people >= power(base_skewness, 2)
                then {{ mean_limit('segment_value', 'deviation', 'people', 'base_skewness', -1) }}
        end as value_low,
        case
            when not is_number then {{ share_limit('segment_value', 'people', 1) }}
            when people >= power(base_skewness, 2)
                then {{ mean_limit('segment_value', 'deviation', 'people', 'base_skewness', 1) }}
        end as value_high,
        case
            when not is_number then {{ share_limit('other_value', 'other_people', -1) }}
            when other_people >= power(base_skewness, 2)
                then {{ mean_limit('other_value', 'other_deviation', 'other_people', 'base_skewness', -1) }}
        end as other_low,
        case
            when not is_number then {{ share_limit('other_value', 'other_people', 1) }}
            when other_people >= power(base_skewness, 2)
                then {{ mean_limit('other_value', 'other_deviation', 'other_people', 'base_skewness', 1) }}
        end as other_high
    from adjusted

),

ratios as (

    select
        *,
        segment_value >= 0 and other_value >= 0 and base_value > 0 and other_people > 0
        and value_low is not null and other_low is not null as has_interval,
        {{ ratio_low('segment_value', 'greatest(value_low, 0)', 'other_value', 'other_high') }} as ratio_low,
        case
            when other_low > 0 then {{ ratio_high('segment_value', 'value_high', 'other_value', 'other_low') }}
        end as ratio_high
    from limits

),

judged as (

    select
        *,
        case
            when people < {{ var('minimum_cell') | int }} then 'fewer than {{ var('minimum_cell') | int }} people'
            when not is_number and (
                {{ is_small_cell('round(people * segment_value)') }}
                or {{ is_small_cell('round(base_people * base_value)') }}
            ) then 'fewer than {{ var('minimum_cell') | int }} people have it'
            when not is_number and (
                {{ is_small_cell('round(people * (1 - segment_value))') }}
                or {{ is_small_cell('round(base_people * (1 - base_value))') }}
            ) then 'fewer than {{ var('minimum_cell') | int }} people do not have it'
            when base_value > 0 and segment_value >= 0 then null
            else 'no index: the average is not above 0'
        end as abstained_reason,
        case
            when people < {{ var('minimum_cell') | int }} then null
            when adjusted_p_value <= 0.05 then case when segment_value > base_value then 'over' else 'under' end
        end as direction
    from ratios

),

persona_index as (

    select
        as_of,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(segment_name as varchar) as segment_name,
        cast(
            case
                when family in ('interest', 'trigger', 'event', 'target') then family
                when characteristic like 'last_search_keyword=%' then 'interest'
                when family in ('profile', 'location') then 'demographic'
                when family = 'account' then 'firmographic'
                else 'behavioural'
            end as varchar
        ) as characteristic_type,
        cast(characteristic as varchar) as characteristic,
        cast(label as varchar) as label,
        cast(family as varchar) as family,
        cast(kind as varchar) as kind,
        cast(unit as varchar) as unit,
        is_persona_input and segment_type = 'persona' as is_persona_input,
        cast(case when people >= {{ var('minimum_cell') | int }} then people end as bigint) as people,
        cast(case when base_people >= {{ var('minimum_cell') | int }} then base_people end as bigint) as base_people,
        cast(case when {{ is_told() }} then {{ published('segment_value') }} end as double) as segment_value,
        cast(case when {{ is_told() }} then {{ published('value_low') }} end as double) as value_low,
        cast(case when {{ is_told() }} then {{ published('value_high') }} end as double) as value_high,
        cast(case when {{ is_told() }} then {{ published('base_value') }} end as double) as base_value,
        cast(
            case when abstained_reason is null then {{ published('100 * segment_value / base_value') }} end as double
        ) as index_value,
        cast(
            case
                when abstained_reason is null and has_interval
                    then {{ published(index_of_ratio('ratio_low', '(people / base_people)')) }}
            end as double
        ) as index_low,
        cast(
            case
                when abstained_reason is null and has_interval
                    then {{ published(index_of_ratio('ratio_high', '(people / base_people)')) }}
            end as double
        ) as index_high,
        cast(case when {{ is_told() }} then {{ published('p_value') }} end as double) as p_value,
        cast(case when {{ is_told() }} then adjusted_p_value end as double) as adjusted_p_value,
        direction is not null as is_significant,
        cast(direction as varchar) as direction,
        cast(abstained_reason as varchar) as abstained_reason
    from judged

)

select * from persona_index
