{{ config(materialized='kept_table', plain_texts=['record_key', 'contact_id'], post_hook="{{ note_rows_read(['contacts']) }}") }}
{%- set probabilistic = var('identity').probabilistic -%}
{%- set described_by = probabilistic.columns.keys() | sort if probabilistic.enabled else [] -%}
{%- set rules = local_md5(tojson([1, described_by, var('delivery_grace_hours')])) -%}
{%- set loads = loads_read(['contacts'], 'record_rules', rules) -%}
{%- set names = [] -%}
{%- for column in described_by %}{% do names.append(adapter.quote(column)) %}{% endfor -%}
{%- set columns = ['record_key', 'contact_id'] + names + ['known_from_at', 'record_rules'] %}

with

source as (

    select * from {{ source('raw', 'contacts') }}
    {%- if not probabilistic.enabled %}
    where false
    {%- elif loads is not none %}
    where {{ came_after(loads.contacts) }}
    {%- endif %}

),

described as (

    select
        contact_id,
        {%- for column in names %}
        nullif(trim(regexp_replace(cast({{ column }} as varchar), '\.0$', '')), '') as {{ column }},
        {%- endfor %}
        {{ counts_from_at(contact_stated_at(), known_from_at()) }} as known_from_at
    from source

),

told as (

    select
        contact_id,
        {%- for column in names %}
        {{ column }},
        {%- endfor %}
        min(known_from_at) as known_from_at
    from described
    group by all

),

{# A contact that is described anew is compared anew; the earlier description stands. #}
keyed as (

    select
        md5(to_json([contact_id{% for column in names %}, {{ column }}{% endfor %}])) as record_key,
        *
    from told

),
{%- if loads is not none %}

earlier as (

    select * from {{ this }}
    {%- if loads.contacts >= 0 %}
    where record_key in (select record_key from keyed)
    {%- endif %}

),
{%- endif %}

records as (

    select
        {%- for column in columns[:-2] %}
        {{ column }},
        {%- endfor %}
        min(known_from_at) as known_from_at,
        '{{ rules }}' as record_rules
    from (
        select * from keyed
        {%- if loads is not none and loads.contacts >= 0 %}
        union all by name
        select {{ columns[:-1] | join(', ') }} from earlier
        {%- endif %}
    ) as together
    group by all

)

{% if loads is not none -%}
{{ changes_between('earlier', 'records', columns) }}
{%- else -%}
select {{ columns | join(', ') }} from records
{%- endif %}
