{{ config(
    materialized='kept_table',
    plain_texts=['contact_id', 'user_id', 'email_hash', 'phone_hash'],
    touches='int_contact_identifiers',
    post_hook="{{ note_rows_read(['contacts']) }}",
) }}
{%- set rules = identity_graph_rules() -%}
{%- set loads = loads_read(['contacts'], 'identifier_rules', rules) -%}
{%- set columns = ['contact_id', 'user_id', 'email_hash', 'phone_hash', 'known_from_at', 'identifier_rules'] %}

with

source as (

    select * from {{ source('raw', 'contacts') }}
    {%- if loads is not none %}
    where {{ came_after(loads.contacts) }}
    {%- endif %}

),

phones as (

    select * from {{ ref('int_contact_phones') }}

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

keyed as (

    select
        contact_id,
        user_id,
        {{ email_hash('address') }} as email_hash,
        {{ phone_key('phone', 'country') }} as phone_key,
        min(known_from_at) as known_from_at
    from stated
    group by all

),

{# Every version counts: an identity that once had an address is known by it. #}
told as (

    select
        keyed.contact_id,
        keyed.user_id,
        keyed.email_hash,
        phones.phone_hash,
        min(keyed.known_from_at) as known_from_at
    from keyed
    left join phones
        on keyed.phone_key = phones.phone_key
    group by all

),
{%- if loads is not none %}

earlier as (

    select * from {{ this }}
    {%- if loads.contacts >= 0 %}
    where contact_id in (select contact_id from told)
    {%- endif %}

),
{%- endif %}

identifiers as (

    select
        contact_id,
        user_id,
        email_hash,
        phone_hash,
        min(known_from_at) as known_from_at,
        '{{ rules }}' as identifier_rules
    from (
        select * from told
        {%- if loads is not none and loads.contacts >= 0 %}
        union all
        select contact_id, user_id, email_hash, phone_hash, known_from_at from earlier
        {%- endif %}
    ) as together
    group by all

)

{% if loads is not none -%}
{{ changes_between('earlier', 'identifiers', columns) }}
{%- else -%}
select {{ columns | join(', ') }} from identifiers
{%- endif %}
