with

{{ weeks_and_contact_identities() }},

order_lines as (

    select * from {{ ref('stg_order_lines') }}
    where not is_cancellation

),

lines_of_people as (

    {{ rows_of_people('order_lines', 'ordered_at', 'from_365d_at') }}

),

person_products as (

    select
        as_of,
        person_id,
        cast(sum({{ exact('quantity') }}) filter (where quantity > 0) as double) as items_365d,
        count(distinct product_id) as products_365d,
        count(distinct product_category) as product_categories_365d
    from lines_of_people
    group by
        as_of,
        person_id

)

select * from person_products
