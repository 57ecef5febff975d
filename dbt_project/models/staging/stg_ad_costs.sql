with

source as (

    select * from {{ source('raw', 'ad_costs') }}

),

harmonized as (

    select
        cost_date,
        utm_source,
        utm_medium,
        utm_campaign,
        impressions,
        clicks,
        cost,
        currency,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at
    from source

)

select * from harmonized
