with

source as (

    select * from {{ source('raw', 'tickets') }}

),

stated as (

    select
        ticket_id,
        created_at,
        solved_at,
        updated_at,
        contact_id,
        subject,
        ticket_category,
        priority,
        ticket_status,
        satisfaction,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at,
        coalesce(updated_at, {{ known_from_at() }}, created_at, timestamp '1970-01-01') as stated_at
    from source

),

versions as (

    {{ versions('stated', 'ticket_id') }}

)

select * from versions
