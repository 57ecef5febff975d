{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

gains as (

    select * from {{ source('ml', 'propensity_gains') }}

),

propensity_gains as (

    select
        gains.as_of,
        cast(gains.target as varchar) as target,
        cast(gains.kind as varchar) as kind,
        cast(gains.band as varchar) as band,
        cast(gains.depth as double) as depth,
        cast(gains.people as bigint) as people,
        cast(gains.contactable_people as bigint) as contactable_people,
        {%- for measure in gain_measures() %}
        round(cast(gains.{{ measure }} as double), 6) as {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from gains
    inner join weeks
        on gains.as_of = weeks.as_of

)

select * from propensity_gains
