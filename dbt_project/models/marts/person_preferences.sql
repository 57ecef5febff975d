{{ config(materialized='view') }}

with

learned as (

    select * from {{ source('ml', 'person_preferences') }}

),

person_preferences as (

    select
        as_of,
        person_id,
        cast(dimension as varchar) as dimension,
        cast(best_value as varchar) as best_value,
        cast(probability as double) as probability,
        cast(probability_low as double) as probability_low,
        cast(probability_high as double) as probability_high,
        cast(lift as double) as lift,
        cast(confidence as double) as confidence,
        cast(evidence as bigint) as evidence,
        cast(answers as bigint) as answers,
        cast(decided_by as varchar) as decided_by,
        cast(abstained_reason as varchar) as abstained_reason
    from learned

)

select * from person_preferences
