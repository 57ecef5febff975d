{{ config(materialized='view') }}

with

ties as (
    {%- for source in identity_sources() if ties_in(source, '') | trim %}

    select * from (
        {{ ties_in(source, ref(source)) }}
    ) as {{ source }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from ties
