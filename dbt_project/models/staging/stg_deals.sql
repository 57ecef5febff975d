with

source as (

    select * from {{ source('raw', 'deals') }}

),

stated as (

    select
        deal_id,
        created_at,
        closed_at,
        updated_at,
        contact_id,
        account_id,
        deal_stage,
        coalesce(lower(trim(deal_status)), 'open') as deal_status,
        deal_amount,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at,
        coalesce(updated_at, {{ known_from_at() }}, created_at, timestamp '1970-01-01') as stated_at
    from source

),

versions as (

    {{ versions('stated', 'deal_id') }}

)

select * from versions
