{{ config(materialized='view') }}

with

expected as (

    select * from {{ source('ml', 'person_uplift') }}

),

person_uplift as (

    select
        as_of,
        person_id,
        cast(campaign as varchar) as campaign,
        cast(outcome as varchar) as outcome,
        cast(learner as varchar) as learner,
        cast(uplift as double) as uplift,
        cast(place as bigint) as place,
        cast(part as bigint) as part,
        cast(part_effect as double) as part_effect,
        cast(part_effect_low as double) as part_effect_low,
        cast(part_effect_high as double) as part_effect_high,
        cast(abstained_reason as varchar) as abstained_reason
    from expected

)

select * from person_uplift
