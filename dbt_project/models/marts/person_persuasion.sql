{# A view: what was written is what is published, and a million people are not copied for it. #}
{{ config(materialized='view') }}

with

persuasion_people as (

    select * from {{ source('ml', 'persuasion_people') }}

),

person_persuasion as (

    select
        as_of,
        person_id,
        cast(message_style as varchar) as message_style,
        cast(approach_1 as varchar) as approach_1,
        cast(approach_2 as varchar) as approach_2,
        cast(approach_3 as varchar) as approach_3,
        cast(evidence as varchar) as evidence,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(persona_message_style as varchar) as persona_message_style,
        cast(adoption_class_message_style as varchar) as adoption_class_message_style,
        cast(withheld_approaches as varchar) as withheld_approaches,
        cast(withheld_reason as varchar) as withheld_reason,
        {%- for approach in persuasion_approaches() %}
        cast({{ approach }}_sends as bigint) as {{ approach }}_sends,
        cast({{ approach }}_responses as bigint) as {{ approach }}_responses,
        {%- endfor %}
        cast(abstained_reason as varchar) as abstained_reason,
        cast(model_id as varchar) as model_id
    from persuasion_people

)

select * from person_persuasion
