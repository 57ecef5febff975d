{{ config(materialized='view') }}

with

measured as (

    select * from {{ source('ml', 'uplift_results') }}

),

{# Groups of few people are not counted out. #}
uplift_results as (

    select
        as_of,
        cast(campaign as varchar) as campaign,
        cast(outcome as varchar) as outcome,
        cast(learner as varchar) as learner,
        cast(case when treated >= {{ var('minimum_cell') | int }} then treated end as bigint) as treated,
        cast(case when control >= {{ var('minimum_cell') | int }} then control end as bigint) as control,
        cast(outcome_rate_treated as double) as outcome_rate_treated,
        cast(outcome_rate_control as double) as outcome_rate_control,
        cast(effect as double) as effect,
        cast(effect_low as double) as effect_low,
        cast(effect_high as double) as effect_high,
        cast(balance_p_value as double) as balance_p_value,
        cast(qini as double) as qini,
        cast(qini_low as double) as qini_low,
        cast(qini_high as double) as qini_high,
        cast(uplift_at_30 as double) as uplift_at_30,
        cast(uplift_at_30_low as double) as uplift_at_30_low,
        cast(uplift_at_30_high as double) as uplift_at_30_high,
        cast(is_worth_targeting as boolean) as is_worth_targeting,
        cast(verdict as varchar) as verdict,
        cast(abstained_reason as varchar) as abstained_reason
    from measured

)

select * from uplift_results
