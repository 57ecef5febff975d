with

source as (

    select * from {{ source('raw', 'events') }}

),

harmonized as (

    select
        event_id,
        occurred_at,
        contact_id,
        user_id,
        device_id,
        session_id,
        event_type,
        event_name,
        page_url,
        page_title,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        keyword,
        lower(trim(device_type)) as device_type,
        browser,
        country,
        language,
        event_value,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at
    from source

)

select * from harmonized
