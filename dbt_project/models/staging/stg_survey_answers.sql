with

source as (

    select * from {{ source('raw', 'survey_answers') }}

),

harmonized as (

    select
        contact_id,
        answered_at,
        survey_id,
        question,
        answer,
        try_cast(trim(answer) as decimal(18, 4)) as numeric_answer,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at
    from source

)

select * from harmonized
