{# A view: what was scored is what is published, and a million people are not copied for it. #}
{{ config(materialized='view') }}

with

propensity_scores as (

    select * from {{ source('ml', 'propensity_scores') }}

),

person_propensities as (

    select
        as_of,
        person_id,
        cast(target as varchar) as target,
        cast(probability as double) as probability,
        cast(band as varchar) as band,
        cast(abstained_reason as varchar) as abstained_reason,
        cast(model_id as varchar) as model_id
    from propensity_scores

)

select * from person_propensities
