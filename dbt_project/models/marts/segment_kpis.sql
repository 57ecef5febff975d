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
        persona_assignments.as_of,
        persona_assignments.persona_id,
        {{ 'person_features.revenue_91d' if has_revenue else 'cast(null as double)' }} as revenue_91d,
        coalesce(contactability.is_allowed, false) as is_reachable,
        propensity_scores.probability
    from persona_assignments
    inner join weeks
        on persona_assignments.as_of = weeks.as_of
    left join person_features
        on persona_assignments.as_of = person_features.as_of
        and persona_assignments.person_id = person_features.person_id
    left join contactability
        on persona_assignments.as_of = contactability.as_of
        and persona_assignments.person_id = contactability.person_id
    left join propensity_scores
        on persona_assignments.as_of = propensity_scores.as_of
        and persona_assignments.person_id = propensity_scores.person_id

),

persona_totals as (

    select
        as_of,
        persona_id,
        count(*) as people,
        cast(sum({{ exact('revenue_91d') }}) as double) as revenue_91d,
        count(*) filter (where is_reachable) as reachable_people,
        {{ published(exact_mean('probability')) }} as mean_probability
    from people
    group by
        as_of,
        persona_id

),

{# A persona that nobody is in this week is still listed. #}
personas_of_weeks as (

    select
        personas.as_of,
        personas.persona_id,
        personas.persona_name,
        personas.description,
        coalesce(persona_totals.people, 0) as people,
        {{ 'coalesce(persona_totals.revenue_91d, 0)' if has_revenue else 'persona_totals.revenue_91d' }} as revenue_91d,
        coalesce(persona_totals.reachable_people, 0) as reachable_people,
        persona_totals.mean_probability
    from personas
    inner join weeks
        on personas.as_of = weeks.as_of
    left join persona_totals
        on personas.as_of = persona_totals.as_of
        and personas.persona_id = persona_totals.persona_id

),

segment_kpis as (

    select
        as_of,
        cast(persona_id as varchar) as segment_id,
        cast(persona_name as varchar) as segment_name,
        cast(description as varchar) as description,
        cast(people as bigint) as people,
        cast(people as double) / nullif(sum(people) over (partition by as_of), 0) as people_share,
        cast(revenue_91d as double) as revenue_91d,
        cast(revenue_91d as double)
            / nullif(cast(sum({{ exact('revenue_91d') }}) over (partition by as_of) as double), 0) as revenue_share,
        cast(reachable_people as bigint) as reachable_people,
        cast({{ literal(first_target) if first_target else 'null' }} as varchar) as target,
        cast(mean_probability as double) as mean_probability
    from personas_of_weeks

)

select * from segment_kpis
