{{ config(materialized='view') }}
{%- set probabilistic = var('identity').probabilistic -%}
{%- set columns = probabilistic.columns.keys() | sort if probabilistic.enabled else [] -%}

with

source as (

    select * from {{ source('raw', 'contacts') }}

),

described as (

    select
        contact_id,
        {%- for column in columns %}
        nullif(trim(regexp_replace(cast({{ adapter.quote(column) }} as varchar), '\.0$', '')), '') as {{ adapter.quote(column) }},
        {%- endfor %}
        {{ counts_from_at(contact_stated_at(), known_from_at()) }} as known_from_at
    from source

),

{# A contact that is described anew is compared anew; the earlier description stands. #}
records as (

    select
        md5(to_json([contact_id{% for column in columns %}, {{ adapter.quote(column) }}{% endfor %}])) as record_key,
        contact_id,
        {%- for column in columns %}
        {{ adapter.quote(column) }},
        {%- endfor %}
        min(known_from_at) as known_from_at
    from described
    {%- if not probabilistic.enabled %}
    where false
    {%- endif %}
    group by all

)

select * from records
