{# Each distinct text that was delivered about or by contacts, and how it is compared. A dictionary: who said a text, and
   when, stands in int_contact_texts. It is made anew in every run, so a text that nobody delivers any more is in no table.
   Nothing is read where the workspace lists no phrases. #}
{%- set enabled = var('affinity').enabled -%}
{{ config(materialized='table' if enabled else 'view') }}

with
{% if enabled and text_columns() %}

delivered as (

    {% for each in text_columns() -%}
    select distinct {{ each.column }} as delivered_text
    from {{ ref('stg_' ~ each.entity) }}
    where
        {{ each.column }} is not null
        {%- if each.entity == 'survey_answers' %}
        and numeric_answer is null
        {%- endif %}
    {% if not loop.last %}union{% endif %}
    {% endfor %}
),

normalized as (

    select
        delivered_text,
        {{ normalized_text('delivered_text') }} as text
    from delivered

),

texts as (

    select
        {{ text_id('text') }} as text_id,
        text,
        delivered_text
    from normalized
    where regexp_matches(text, '\pL\pL')

)
{% else %}

texts as (

    select
        cast(null as ubigint) as text_id,
        cast(null as varchar) as text,
        cast(null as varchar) as delivered_text
    where false

)
{% endif %}

select * from texts
