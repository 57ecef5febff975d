with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features

),

identities as (

    select * from {{ ref('int_identities_resolved') }}
    where identity_kind = 'contact'

),

people as (

    select * from {{ ref('int_people') }}

),

deals as (

    select * from {{ ref('stg_deals') }}

),

{# A source without versions delivers closings that lie after the week: such a deal is still open. #}
deals_of_weeks as (

    select
        weeks.as_of,
        weeks.as_of_at,
        weeks.from_365d_at,
        deals.deal_id,
        deals.contact_id,
        deals.account_id,
        deals.created_at,
        deals.closed_at,
        deals.deal_amount,
        case when deals.closed_at >= weeks.as_of_at then 'open' else deals.deal_status end as deal_status
    from deals
    inner join weeks
        on deals.created_at < weeks.as_of_at
        and {{ is_valid_at('deals', 'weeks.as_of_at') }}

),

{# A deal with a contact is that person's; a deal of an account alone is everybody's who belongs to it. #}
deals_of_people as (

    select
        deals_of_weeks.*,
        identities.person_id
    from deals_of_weeks
    inner join identities
        on deals_of_weeks.contact_id = identities.identity_id
        and {{ is_valid_at('identities', 'deals_of_weeks.as_of_at') }}

    union all

    select
        deals_of_weeks.*,
        people.person_id
    from deals_of_weeks
    inner join people
        on deals_of_weeks.as_of = people.as_of
        and deals_of_weeks.account_id = people.account_id
    where deals_of_weeks.contact_id is null

),

person_deals as (

    select
        as_of,
        person_id,
        count(*) filter (where deal_status = 'open') as open_deals,
        cast(coalesce(sum({{ exact('deal_amount') }}) filter (where deal_status = 'open'), 0) as double) as open_deal_amount,
        count(*) filter (where deal_status = 'won') as won_deals_total,
        cast(coalesce(sum({{ exact('deal_amount') }}) filter (where deal_status = 'won'), 0) as double) as won_deal_amount_total,
        count(*) filter (where deal_status = 'lost') as lost_deals_total,
        count(*) filter (
            where deal_status = 'won' and coalesce(closed_at, created_at) >= from_365d_at
        ) as won_deals_365d,
        {{ whole_days('max(created_at)', 'as_of_at') }} as days_since_last_deal
    from deals_of_people
    group by
        as_of,
        as_of_at,
        person_id

)

select * from person_deals
