{{ config(materialized='view') }}

with

adoption_validity as (

    select * from {{ source('ml', 'adoption_validity') }}

),

typed as (

    select
        as_of,
        cast(measure as varchar) as measure,
        cast(adoption_class as varchar) as adoption_class,
        cast(launch_id as varchar) as launch_id,
        cast(days as double) as days,
        cast(value as double) as value,
        cast(value_low as double) as value_low,
        cast(value_high as double) as value_high,
        cast(people as bigint) as people,
        cast(words as varchar) as words,
        cast(model_id as varchar) as model_id
    from adoption_validity

)

select * from typed
