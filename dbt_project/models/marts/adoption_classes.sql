{# A view: what the model wrote is what is published, and a million people are not copied for it. #}
{{ config(materialized='view') }}

with

adoption_scores as (

    select * from {{ source('ml', 'adoption_scores') }}

),

adoption_classes as (

    select
        as_of,
        person_id,
        cast(adoption_class as varchar) as adoption_class,
        cast(adoption_class_name as varchar) as adoption_class_name,
        cast(curve_class as varchar) as curve_class,
        cast(innovativeness as double) as innovativeness,
        cast(class_probability as double) as class_probability,
        cast(launches_seen as bigint) as launches_seen,
        cast(launches_adopted as bigint) as launches_adopted,
        cast(abstained_reason as varchar) as abstained_reason,
        cast(model_id as varchar) as model_id
    from adoption_scores

)

select * from adoption_classes
