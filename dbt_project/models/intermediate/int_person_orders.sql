with

{{ weeks_and_contact_identities() }},

orders as (

    select * from {{ ref('int_orders') }}

),

orders_of_people as (

    {{ versions_of_people('orders', 'ordered_at') }}

),

person_totals as (

    select
        as_of,
        as_of_at,
        person_id,
        {%- for window in ['28d', '91d', '365d'] %}
        count(*) filter (where is_purchase and ordered_at >= from_{{ window }}_at) as orders_{{ window }},
        cast(coalesce(sum({{ exact('revenue') }}) filter (where ordered_at >= from_{{ window }}_at), 0) as double) as revenue_{{ window }},
        {%- endfor %}
        count(*) filter (where is_purchase) as orders_total,
        cast(coalesce(sum({{ exact('revenue') }}), 0) as double) as revenue_total,
        count(*) filter (where not is_purchase and ordered_at >= from_365d_at) as cancelled_orders_365d,
        avg({{ exact('order_amount') }}) filter (where is_purchase and ordered_at >= from_365d_at) as average_order_amount_365d,
        min(ordered_at) filter (where is_purchase) as first_order_at,
        max(ordered_at) filter (where is_purchase) as last_order_at
    from orders_of_people
    group by
        as_of,
        as_of_at,
        person_id

),

person_orders as (

    select
        as_of,
        person_id,
        orders_28d,
        orders_91d,
        orders_365d,
        orders_total,
        revenue_28d,
        revenue_91d,
        revenue_365d,
        revenue_total,
        cancelled_orders_365d,
        {{ share_of('cancelled_orders_365d', 'orders_365d + cancelled_orders_365d') }} as cancelled_orders_share_365d,
        average_order_amount_365d,
        {{ whole_days('first_order_at', 'as_of_at') }} as days_since_first_order,
        {{ whole_days('last_order_at', 'as_of_at') }} as days_since_last_order,
        {{ share_of('epoch(last_order_at) - epoch(first_order_at)', '(orders_total - 1) * 86400') }} as days_between_orders
    from person_totals

)

select * from person_orders
