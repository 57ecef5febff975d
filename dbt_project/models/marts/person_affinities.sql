{# A view: what the model wrote is what is published, and a million people are not copied for it. #}
{{ config(materialized='view') }}

with

affinity_scores as (

    select * from {{ source('ml', 'affinity_scores') }}

),

person_affinities as (

    select
        as_of,
        person_id,
        cast(phrase_group as varchar) as phrase_group,
        cast(phrase as varchar) as phrase,
        cast(score as double) as score,
        cast(percentile as double) as percentile,
        cast(abstained_reason as varchar) as abstained_reason,
        cast(evidence_1 as varchar) as evidence_1,
        cast(evidence_2 as varchar) as evidence_2,
        cast(evidence_3 as varchar) as evidence_3,
        cast(model_id as varchar) as model_id
    from affinity_scores

)

select * from person_affinities
