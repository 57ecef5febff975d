with

source as (

    select * from {{ source('raw', 'orders') }}

),

stated as (

    select
        order_id,
        ordered_at,
        updated_at,
        contact_id,
        account_id,
        order_amount,
        currency,
        coalesce(lower(trim(order_status)), 'completed') as order_status,
        order_channel,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at,
        coalesce(updated_at, {{ known_from_at() }}, ordered_at, timestamp '1970-01-01') as stated_at
    from source

),

versions as (

    {{ versions('stated', 'order_id') }}

)

select * from versions
