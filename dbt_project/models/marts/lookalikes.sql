{# A view: what the model wrote is what is published. #}
{{ config(materialized='view') }}

with

lookalike_scores as (

    select * from {{ source('ml', 'lookalike_scores') }}

),

lookalikes as (

    select
        as_of,
        person_id,
        cast(lookalike as varchar) as lookalike,
        cast(lookalike_rank as bigint) as lookalike_rank,
        cast(score as double) as score,
        cast(probability as double) as probability,
        cast(model_id as varchar) as model_id
    from lookalike_scores

)

select * from lookalikes
