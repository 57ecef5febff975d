with

source as (

    select * from {{ source('raw', 'contacts') }}

),

stated as (

    select
        contact_id,
        nullif(trim(user_id), '') as user_id,
        lower(trim(email)) as address,
        nullif(trim(phone), '') as phone,
        country,
        {{ counts_from_at(contact_stated_at(), known_from_at()) }} as known_from_at
    from source

),

{# Every version counts: an identity that once had an address is known by it. #}
identifiers as (

    select
        contact_id,
        user_id,
        {{ email_hash('address') }} as email_hash,
        {{ phone_key('phone', 'country') }} as phone_key,
        min(known_from_at) as known_from_at
    from stated
    group by all

)

select * from identifiers
