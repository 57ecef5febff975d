{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

persona_assignments as (

    select * from {{ source('ml', 'persona_assignments') }}

),

personas as (

    select * from {{ source('ml', 'personas') }}

),

propensity_scores as (

    select * from {{ source('ml', 'propensity_scores') }}

),

adoption_scores as (

    select * from {{ source('ml', 'adoption_scores') }}

),

persona_memberships as (

    select
        persona_assignments.as_of,
        persona_assignments.person_id,
        persona_assignments.persona_type as segment_type,
        persona_assignments.persona_id as segment_id,
        coalesce(personas.persona_name, persona_assignments.persona_id) as segment_name,
        persona_assignments.strength as membership_strength,
        persona_assignments.margin,
        persona_assignments.runner_up_persona_id as runner_up_segment_id,
        persona_assignments.fit_score,
        persona_assignments.deciding_feature_1,
        persona_assignments.deciding_feature_2,
        persona_assignments.deciding_feature_3,
        persona_assignments.model_id
    from persona_assignments
    inner join weeks
        on persona_assignments.as_of = weeks.as_of
    left join personas
        on persona_assignments.as_of = personas.as_of
        and persona_assignments.persona_id = personas.persona_id
    where persona_assignments.persona_id is not null

),

band_memberships as (

    select
        propensity_scores.as_of,
        propensity_scores.person_id,
        'propensity_band' as segment_type,
        propensity_scores.target || ':' || propensity_scores.band as segment_id,
        replace(propensity_scores.target, '_', ' ') || ': ' || propensity_scores.band as segment_name,
        propensity_scores.probability as membership_strength,
        cast(null as double) as margin,
        cast(null as varchar) as runner_up_segment_id,
        cast(null as double) as fit_score,
        cast(null as varchar) as deciding_feature_1,
        cast(null as varchar) as deciding_feature_2,
        cast(null as varchar) as deciding_feature_3,
        propensity_scores.model_id
    from propensity_scores
    inner join weeks
        on propensity_scores.as_of = weeks.as_of
    where propensity_scores.band is not null

),

{# Whoever is unclassified is in no class. #}
adoption_memberships as (

    select
        adoption_scores.as_of,
        adoption_scores.person_id,
        'adoption_class' as segment_type,
        adoption_scores.adoption_class as segment_id,
        adoption_scores.adoption_class_name as segment_name,
        adoption_scores.class_probability as membership_strength,
        cast(null as double) as margin,
        cast(null as varchar) as runner_up_segment_id,
        cast(null as double) as fit_score,
        cast(null as varchar) as deciding_feature_1,
        cast(null as varchar) as deciding_feature_2,
        cast(null as varchar) as deciding_feature_3,
        adoption_scores.model_id
    from adoption_scores
    inner join weeks
        on adoption_scores.as_of = weeks.as_of
    where adoption_scores.adoption_class <> 'unclassified'

),

memberships as (

    select * from persona_memberships
    union all
    select * from band_memberships
    union all
    select * from adoption_memberships

),

typed as (

    select
        as_of,
        person_id,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(segment_name as varchar) as segment_name,
        cast(membership_strength as double) as membership_strength,
        cast(margin as double) as margin,
        cast(runner_up_segment_id as varchar) as runner_up_segment_id,
        cast(fit_score as double) as fit_score,
        cast(deciding_feature_1 as varchar) as deciding_feature_1,
        cast(deciding_feature_2 as varchar) as deciding_feature_2,
        cast(deciding_feature_3 as varchar) as deciding_feature_3,
        cast(model_id as varchar) as model_id
    from memberships

)

select * from typed
