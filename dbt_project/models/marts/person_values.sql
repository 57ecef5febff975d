{# A view: what the model wrote is what is published, and a million people are not copied for it. #}
{{ config(materialized='view') }}

with

customer_values as (

    select * from {{ source('ml', 'customer_values') }}

),

person_values as (

    select
        as_of,
        person_id,
        cast(expected_purchases as double) as expected_purchases,
        cast(purchase_probability as double) as purchase_probability,
        cast(expected_value as double) as expected_value,
        cast(expected_purchase_value as double) as expected_purchase_value,
        cast(alive_probability as double) as alive_probability,
        cast(recency_score as bigint) as recency_score,
        cast(frequency_score as bigint) as frequency_score,
        cast(monetary_score as bigint) as monetary_score,
        cast(rfm_segment as varchar) as rfm_segment,
        cast(abstained_reason as varchar) as abstained_reason,
        cast(model_id as varchar) as model_id
    from customer_values

)

select * from person_values
