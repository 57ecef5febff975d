{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

{%- set has_revenue = is_delivered(['orders', 'order_lines']) %}
{%- set first_target = (var('targets') | first).name if var('targets') else none %}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

personas as (

    select * from {{ source('ml', 'personas') }}

),

persona_assignments as (

    select * from {{ source('ml', 'persona_assignments') }}
    where persona_id is not null

),

{# Whoever is unclassified is in no class. #}
adoption_scores as (

    select * from {{ source('ml', 'adoption_scores') }}
    where adoption_class <> 'unclassified'

),

segments_of_people as (

    select
        as_of,
        person_id,
        persona_type,
        persona_id
    from persona_assignments

    union all

    select
        as_of,
        person_id,
        'adoption_class' as persona_type,
        adoption_class as persona_id
    from adoption_scores

),

segments as (

    select
        as_of,
        persona_type,
        persona_id,
        persona_name,
        description
    from personas

    union all

    select distinct
        as_of,
        'adoption_class' as persona_type,
        adoption_class as persona_id,
        adoption_class_name as persona_name,
        cast(null as varchar) as description
    from adoption_scores

),

propensity_scores as (

    select * from {{ source('ml', 'propensity_scores') }}
    where target = {{ literal(first_target or '') }}

),

person_features as (

    select * from {{ ref('person_features') }}

),

contactability as (

    select * from {{ ref('int_contactability') }}
    where
        channel = {{ literal(var('activation').channel) }}
        and purpose = {{ literal(var('activation').purpose) }}

),

people as (

    select
        segments_of_people.as_of,
        segments_of_people.persona_type,
        segments_of_people.persona_id,
        {{ 'person_features.revenue_91d' if has_revenue else 'cast(null as double)' }} as revenue_91d,
        coalesce(contactability.is_allowed, false) as is_reachable,
        propensity_scores.probability
    from segments_of_people
    inner join weeks
        on segments_of_people.as_of = weeks.as_of
    left join person_features
        on segments_of_people.as_of = person_features.as_of
        and segments_of_people.person_id = person_features.person_id
    left join contactability
        on segments_of_people.as_of = contactability.as_of
        and segments_of_people.person_id = contactability.person_id
    left join propensity_scores
        on segments_of_people.as_of = propensity_scores.as_of
        and segments_of_people.person_id = propensity_scores.person_id

),

persona_totals as (

    select
        as_of,
        persona_type,
        persona_id,
        count(*) as people,
        cast(sum({{ exact('revenue_91d') }}) as double) as revenue_91d,
        count(*) filter (where is_reachable) as reachable_people,
        {{ published(exact_mean('probability')) }} as mean_probability
    from people
    group by
        as_of,
        persona_type,
        persona_id

),

{# A persona that nobody is in this week is still listed. Shares of a class are of everybody in a class, those of a persona
   of whatever type of everybody with a persona found in the data. #}
{%- set whole = "case when persona_type = 'adoption_class' then persona_type else 'persona' end" %}
personas_of_weeks as (

    select
        segments.as_of,
        segments.persona_type,
        segments.persona_id,
        segments.persona_name,
        segments.description,
        coalesce(persona_totals.people, 0) as people,
        {{ 'coalesce(persona_totals.revenue_91d, 0)' if has_revenue else 'persona_totals.revenue_91d' }} as revenue_91d,
        coalesce(persona_totals.reachable_people, 0) as reachable_people,
        persona_totals.mean_probability
    from segments
    inner join weeks
        on segments.as_of = weeks.as_of
    left join persona_totals
        on segments.as_of = persona_totals.as_of
        and segments.persona_type = persona_totals.persona_type
        and segments.persona_id = persona_totals.persona_id

),

segment_kpis as (

    select
        as_of,
        cast(persona_type as varchar) as segment_type,
        cast(persona_id as varchar) as segment_id,
        cast(persona_name as varchar) as segment_name,
        cast(description as varchar) as description,
        cast(people as bigint) as people,
        cast(people as double)
            / nullif(
                sum(case when persona_type <> 'defined_persona' then people end) over (partition by as_of, {{ whole }}), 0
            ) as people_share,
        cast(revenue_91d as double) as revenue_91d,
        cast(revenue_91d as double)
            / nullif(
                cast(
                    sum(case when persona_type <> 'defined_persona' then {{ exact('revenue_91d') }} end)
                        over (partition by as_of, {{ whole }})
                    as double
                ),
                0
            ) as revenue_share,
        cast(reachable_people as bigint) as reachable_people,
        cast({{ literal(first_target) if first_target else 'null' }} as varchar) as target,
        cast(mean_probability as double) as mean_probability
    from personas_of_weeks

)

select * from segment_kpis
