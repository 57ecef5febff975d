{{ config(plain_texts=['order_id', 'contact_id']) }}
with

orders as (

    select * from {{ ref('stg_orders') }}

),

order_lines as (

    select * from {{ ref('stg_order_lines') }}

),

delivered_order_ids as (

    select
        order_id,
        min(valid_from) as first_valid_from
    from orders
    group by order_id

),

{# What became known of an order's lines at one moment. #}
line_deliveries as (

    select
        order_id,
        {{ counts_from_at('ordered_at') }} as valid_from,
        min(ordered_at) as ordered_at,
        min(contact_id) as contact_id,
        sum({{ exact('line_amount') }}) as line_amount,
        bool_and(is_cancellation) as is_cancelled
    from order_lines
    group by 1, 2

),

{# An order made of lines grows as its lines become known. #}
orders_of_lines as (

    select
        order_id,
        valid_from,
        lead(valid_from) over (partition by order_id order by valid_from) as valid_to,
        min(ordered_at) over known_so_far as ordered_at,
        min(contact_id) over known_so_far as contact_id,
        cast(sum(line_amount) over known_so_far as double) as order_amount,
        bool_and(is_cancelled) over known_so_far as is_cancelled
    from line_deliveries
    window known_so_far as (
        partition by order_id order by valid_from
        rows between unbounded preceding and current row
    )

),

{# The order itself, once delivered, takes the place of what its lines told. #}
orders_of_lines_only as (

    select
        orders_of_lines.order_id,
        orders_of_lines.contact_id,
        orders_of_lines.ordered_at,
        orders_of_lines.order_amount,
        orders_of_lines.is_cancelled,
        orders_of_lines.valid_from,
        least(orders_of_lines.valid_to, delivered_order_ids.first_valid_from) as valid_to
    from orders_of_lines
    left join delivered_order_ids
        on orders_of_lines.order_id = delivered_order_ids.order_id
    where
        delivered_order_ids.order_id is null
        or orders_of_lines.valid_from < delivered_order_ids.first_valid_from

),

unioned as (

    select
        order_id,
        contact_id,
        account_id,
        ordered_at,
        order_amount,
        currency,
        order_status,
        order_channel,
        'orders' as made_of,
        valid_from,
        valid_to
    from orders

    union all

    select
        order_id,
        contact_id,
        cast(null as varchar) as account_id,
        ordered_at,
        order_amount,
        cast(null as varchar) as currency,
        case when is_cancelled then 'cancelled' else 'completed' end as order_status,
        cast(null as varchar) as order_channel,
        'order_lines' as made_of,
        valid_from,
        valid_to
    from orders_of_lines_only

),

{# Cancelled and returned orders are no purchases. A negative amount is a credit note: it takes money back. #}
judged as (

    select
        *,
        order_status not in ('cancelled', 'returned') and coalesce(order_amount, 0) >= 0 as is_purchase,
        case
            when order_amount < 0 or order_status not in ('cancelled', 'returned') then coalesce(order_amount, 0)
            else 0
        end as revenue
    from unioned

)

select * from judged
