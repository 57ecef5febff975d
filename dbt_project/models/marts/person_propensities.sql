{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

propensity_scores as (

    select * from {{ source('ml', 'propensity_scores') }}

),

person_propensities as (

    select
        propensity_scores.as_of,
        propensity_scores.person_id,
        cast(propensity_scores.target as varchar) as target,
        cast(propensity_scores.probability as double) as probability,
        cast(propensity_scores.band as varchar) as band,
        cast(propensity_scores.abstained_reason as varchar) as abstained_reason,
        cast(propensity_scores.model_id as varchar) as model_id
    from propensity_scores
    inner join weeks
        on propensity_scores.as_of = weeks.as_of

)

select * from person_propensities
