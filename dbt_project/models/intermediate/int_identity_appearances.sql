{{ config(materialized='view') }}

with

{# Every entity that names a contact makes it known. #}
appearances as (
    {%- for source in identity_sources() if appearances_in(source, '') | trim %}

    select * from (
        {{ appearances_in(source, ref(source)) }}
    ) as {{ source }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from appearances
