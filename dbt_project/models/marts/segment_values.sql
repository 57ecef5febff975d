{{ config(materialized='view') }}

with

ml_segment_values as (

    select * from {{ source('ml', 'segment_values') }}

),

value_models as (

    select * from {{ source('ml', 'value_models') }}

),

{# Of a few people, sums would tell what single ones are worth. #}
segment_values as (

    select
        ml_segment_values.as_of,
        cast(ml_segment_values.segment_type as varchar) as segment_type,
        cast(ml_segment_values.segment_id as varchar) as segment_id,
        cast(value_models.horizon_days as bigint) as horizon_days,
        cast(ml_segment_values.buyers as bigint) as buyers,
        {%- for column in ['expected_purchases', 'expected_value', 'expected_value_low', 'expected_value_high', 'alive_probability'] %}
        cast(
            case when ml_segment_values.buyers >= {{ var('minimum_cell') | int }} then {{ published('ml_segment_values.' ~ column) }} end
            as double
        ) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from ml_segment_values
    inner join value_models
        on ml_segment_values.as_of = value_models.as_of

)

select * from segment_values
