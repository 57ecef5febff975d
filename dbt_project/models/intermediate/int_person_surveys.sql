with

{{ weeks_and_contact_identities() }},

survey_answers as (

    select * from {{ ref('stg_survey_answers') }}

),

answers_of_people as (

    {{ rows_of_people('survey_answers', 'answered_at', 'from_365d_at') }}

),

person_surveys as (

    select
        as_of,
        person_id,
        count(*) as survey_answers_365d,
        avg(numeric_answer) as survey_score_365d,
        {{ whole_days('max(answered_at)', 'as_of_at') }} as days_since_last_survey
    from answers_of_people
    group by
        as_of,
        as_of_at,
        person_id

)

select * from person_surveys
