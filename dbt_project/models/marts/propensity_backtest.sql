{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

compared as (

    select * from {{ source('ml', 'propensity_backtest') }}

),

propensity_backtest as (

    select
        compared.as_of,
        compared.scored_as_of,
        cast(compared.target as varchar) as target,
        cast(compared.segment_type as varchar) as segment_type,
        cast(compared.segment_id as varchar) as segment_id,
        cast(compared.people as bigint) as people,
        cast(compared.positives as bigint) as positives,
        {%- for measure in backtest_measures() %}
        round(cast(compared.{{ measure }} as double), 6) as {{ measure }},
        {%- endfor %}
        cast(compared.complaint as varchar) as complaint
    from compared
    inner join weeks
        on compared.as_of = weeks.as_of

)

select * from propensity_backtest
