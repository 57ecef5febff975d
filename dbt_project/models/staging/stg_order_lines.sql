with

source as (

    select * from {{ source('raw', 'order_lines') }}

),

harmonized as (

    select
        order_id,
        ordered_at,
        line_number,
        contact_id,
        product_id,
        product_name,
        product_category,
        quantity,
        unit_price,
        coalesce(line_amount, quantity * unit_price) as line_amount,
        coalesce(is_cancellation, false) as is_cancellation,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at
    from source

)

select * from harmonized
