{# A view: each part stands in a table already, and a million people are not copied for it. Nothing is read twice or over
   all weeks, so that a filter on the week reaches every table. #}
{{ config(materialized='view') }}

with

{# Everybody who may be profiled, in the weeks that were scored. #}
people as (

    select
        person_features.as_of,
        person_features.person_id
    from {{ ref('person_features') }} as person_features
    semi join {{ source('ml', 'persona_weeks') }} as persona_weeks
        on person_features.as_of = persona_weeks.as_of

),

personas as (

    select
        as_of,
        person_id,
        segment_id,
        segment_name,
        membership_strength,
        model_id
    from {{ ref('segment_memberships') }}
    where segment_type = 'persona'

),

defined_personas as (

    select
        as_of,
        person_id,
        segment_id,
        segment_name,
        membership_strength,
        model_id
    from {{ ref('segment_memberships') }}
    where segment_type = 'defined_persona'

),

adoption_classes as (

    select * from {{ ref('adoption_classes') }}

),

person_persuasion as (

    select * from {{ ref('person_persuasion') }}

),

{# Of two phrases that are as strong their numbers decide, so that it is the same one whoever asks. #}
affinity_scores as (

    select
        as_of,
        person_id,
        phrase_group,
        phrase,
        score,
        abstained_reason,
        model_id,
        cast(round(score * 1e9) as bigint) * 8589934592 + cast({{ text_id('phrase') }} % 8589934592 as bigint) as strength
    from {{ source('ml', 'affinity_scores') }}

),

{# The scores of the groups, and the strongest phrase of each. #}
affinities as (

    select
        as_of,
        person_id,
        {%- for group in ['brand', 'trigger', 'event', 'target'] %}
        max(score) filter (where phrase is null and phrase_group = '{{ group }}') as {{ group }}_score,
        {%- endfor %}
        {%- for group in ['trigger', 'event', 'target'] %}
        max_by(phrase, strength) filter (where phrase_group = '{{ group }}') as {{ group }}_phrase,
        {%- endfor %}
        any_value(model_id) as affinity_model_id,
        any_value(abstained_reason) filter (where phrase is null and phrase_group = 'brand') as affinity_abstained_reason
    from affinity_scores
    group by
        as_of,
        person_id

),

propensities as (

    select
        as_of,
        person_id,
        {#- Sorted afterwards, by the target: to aggregate in order takes many times as long. #}
        list_sort(list(
            {
                'target': cast(target as varchar),
                'probability': cast(probability as double),
                'band': cast(band as varchar),
                'abstained_reason': cast(abstained_reason as varchar),
                'model_id': cast(model_id as varchar)
            }
        )) as propensities
    from {{ ref('person_propensities') }}
    group by
        as_of,
        person_id

),

person_labels as (

    select
        people.as_of,
        people.person_id,
        personas.segment_id as persona_id,
        personas.segment_name as persona_name,
        personas.membership_strength,
        case when personas.person_id is null then 'belongs to no persona' end as persona_abstained_reason,
        personas.model_id as persona_model_id,
        defined_personas.segment_id as defined_persona_id,
        defined_personas.segment_name as defined_persona_name,
        defined_personas.membership_strength as defined_membership_strength,
        case when defined_personas.person_id is null then 'is like no persona that was defined' end
            as defined_persona_abstained_reason,
        defined_personas.model_id as defined_persona_model_id,
        adoption_classes.adoption_class,
        adoption_classes.adoption_class_name,
        adoption_classes.innovativeness,
        case when adoption_classes.person_id is null then 'no launches are declared' else adoption_classes.abstained_reason end
            as adoption_abstained_reason,
        adoption_classes.model_id as adoption_model_id,
        person_persuasion.message_style,
        person_persuasion.approach_1,
        person_persuasion.approach_2,
        person_persuasion.approach_3,
        person_persuasion.evidence as persuasion_evidence,
        person_persuasion.withheld_approaches,
        case when person_persuasion.person_id is null then 'no messages are tagged' else person_persuasion.abstained_reason end
            as persuasion_abstained_reason,
        person_persuasion.model_id as persuasion_model_id,
        affinities.brand_score,
        affinities.trigger_score,
        affinities.trigger_phrase,
        affinities.event_score,
        affinities.event_phrase,
        affinities.target_score,
        affinities.target_phrase,
        case when affinities.person_id is null then 'no phrases are listed' else affinities.affinity_abstained_reason end
            as affinity_abstained_reason,
        affinities.affinity_model_id,
        propensities.propensities
    from people
    left join personas
        on people.as_of = personas.as_of
        and people.person_id = personas.person_id
    left join defined_personas
        on people.as_of = defined_personas.as_of
        and people.person_id = defined_personas.person_id
    left join adoption_classes
        on people.as_of = adoption_classes.as_of
        and people.person_id = adoption_classes.person_id
    left join person_persuasion
        on people.as_of = person_persuasion.as_of
        and people.person_id = person_persuasion.person_id
    left join affinities
        on people.as_of = affinities.as_of
        and people.person_id = affinities.person_id
    left join propensities
        on people.as_of = propensities.as_of
        and people.person_id = propensities.person_id

)

select * from person_labels
