{# How often, how recently and for how much people bought, as far as a scored week knows: what customer value is
   expected from. What was bought on one day is one purchase; what came back is taken off the day it was bought on, or, as
   a credit note, off the day of the note. #}
with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

identities as (

    select * from {{ ref('int_identities_resolved') }}
    where identity_kind = 'contact'

),

people as (

    select * from {{ ref('int_people') }}

),

orders as (

    select * from {{ ref('int_orders') }}

),

orders_of_people as (

    {{ versions_of_people('orders', 'ordered_at') }}

),

person_days as (

    select
        orders_of_people.as_of,
        orders_of_people.person_id,
        cast({{ local_time('orders_of_people.ordered_at') }} as date) as purchased_on,
        sum({{ exact('orders_of_people.revenue') }}) as revenue,
        bool_or(orders_of_people.is_purchase) as is_purchase
    from orders_of_people
    group by 1, 2, 3

),

purchase_days as (

    select
        as_of,
        person_id,
        purchased_on,
        revenue,
        date_diff(
            'day',
            lag(purchased_on) over (partition by as_of, person_id order by purchased_on),
            purchased_on
        ) as gap_days
    from person_days
    where is_purchase

),

person_purchases as (

    select
        as_of,
        person_id,
        count(*) as purchases,
        min(purchased_on) as first_purchase_on,
        max(purchased_on) as last_purchase_on,
        avg(revenue) as mean_amount,
        avg(revenue) filter (where gap_days is not null) as mean_repeat_amount,
        count(gap_days) as gaps,
        sum(cast(gap_days as bigint)) as gap_sum,
        sum(cast(gap_days as bigint) * gap_days) as gap_square_sum
    from purchase_days
    group by 1, 2

),

purchase_histories as (

    select
        person_purchases.as_of,
        person_purchases.person_id,
        person_purchases.purchases,
        person_purchases.purchases - 1 as frequency,
        date_diff('day', person_purchases.first_purchase_on, person_purchases.last_purchase_on) as recency_days,
        date_diff('day', person_purchases.first_purchase_on, person_purchases.as_of) - 1 as age_days,
        date_diff('day', person_purchases.last_purchase_on, person_purchases.as_of) - 1 as days_since_purchase,
        cast(person_purchases.mean_amount as double) as mean_amount,
        cast(person_purchases.mean_repeat_amount as double) as amount,
        case
            when person_purchases.gaps >= 3
                then sqrt(
                    greatest(
                        0,
                        (gap_square_sum - cast(gap_sum as double) * gap_sum / gaps) / (gaps - 1)
                    )
                ) / (cast(gap_sum as double) / gaps)
        end as gap_variation
    from person_purchases
    inner join people
        on person_purchases.as_of = people.as_of
        and person_purchases.person_id = people.person_id

)

select * from purchase_histories
