{# A view: what was estimated is what is published; there are a few rows per segment. #}
{{ config(materialized='view') }}

with

estimates as (

    select * from {{ source('ml', 'persuasion_estimates') }}

),

{# Of a segment of few people nothing is told. #}
segment_persuasion as (

    select
        as_of,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(segment_name as varchar) as segment_name,
        cast(approach as varchar) as approach,
        cast(approach_rank as bigint) as approach_rank,
        cast(observed_rank as bigint) as observed_rank,
        cast(sends as bigint) as sends,
        cast(responses as bigint) as responses,
        cast(response_rate as double) as response_rate,
        cast(rate_low as double) as rate_low,
        cast(rate_high as double) as rate_high,
        cast(probability_best as double) as probability_best,
        cast(evidence as varchar) as evidence,
        cast(message_style as varchar) as message_style,
        cast(withheld_reason as varchar) as withheld_reason,
        cast(is_randomized as boolean) as is_randomized,
        cast(counted_responses as varchar) as counted_responses,
        cast(caution as varchar) as caution,
        cast(abstained_reason as varchar) as abstained_reason,
        cast(model_id as varchar) as model_id
    from estimates
    where people >= {{ var('minimum_cell') | int }}

)

select * from segment_persuasion
