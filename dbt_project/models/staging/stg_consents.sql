with

source as (

    select * from {{ source('raw', 'consents') }}

),

harmonized as (

    select
        contact_id,
        recorded_at,
        {{ consent_word('purpose') }} as purpose,
        nullif({{ consent_word('channel') }}, '') as channel,
        consent_state,
        consent_source,
        text_version,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at
    from source

)

select * from harmonized
