{{ config(materialized='view') }}

with

source as (

    select * from {{ source('raw', 'contacts') }}

),

spellings as (

    select distinct
        {{ phone_key('trim(phone)', 'country') }} as phone_key,
        trim(phone) as phone,
        upper(trim(country)) as country
    from source
    where trim(phone) <> ''

)

select * from spellings
