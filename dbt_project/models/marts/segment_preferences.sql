{{ config(materialized='view') }}

with

learned as (

    select * from {{ source('ml', 'segment_preferences') }}

),

personas as (

    select * from {{ source('ml', 'personas') }}

),

{# Of a persona of few people nothing is told. #}
segment_preferences as (

    select
        learned.as_of,
        cast(learned.segment_type as varchar) as segment_type,
        cast(learned.segment_id as varchar) as segment_id,
        cast(learned.dimension as varchar) as dimension,
        cast(learned.best_value as varchar) as best_value,
        cast(learned.probability as double) as probability,
        cast(learned.probability_low as double) as probability_low,
        cast(learned.probability_high as double) as probability_high,
        cast(learned.lift as double) as lift,
        cast(learned.confidence as double) as confidence,
        cast(learned.evidence as bigint) as evidence,
        cast(learned.answers as bigint) as answers,
        cast(learned.decided_by as varchar) as decided_by,
        cast(learned.abstained_reason as varchar) as abstained_reason
    from learned
    left join personas
        on learned.as_of = personas.as_of
        and learned.segment_id = personas.persona_id
    where
        learned.segment_type = 'everybody'
        or personas.people >= {{ var('minimum_cell') | int }}

)

select * from segment_preferences
