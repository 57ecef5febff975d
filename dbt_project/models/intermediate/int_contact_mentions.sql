{{ config(
    materialized='kept_table',
    plain_texts=['contact_id'],
    touches='int_contact_mentions',
    post_hook="{{ note_rows_read(['messages', 'survey_answers', 'consents']) }}",
) }}
{%- set told_in = [('stg_messages', 'occurred_at'), ('stg_survey_answers', 'answered_at'), ('stg_consents', 'recorded_at')] -%}
{%- set rules = identity_graph_rules() -%}
{%- set loads = loads_read(['messages', 'survey_answers', 'consents'], 'mention_rules', rules) -%}
{%- set goes_on = loads is not none and loads.values() | min >= 0 -%}
{%- set columns = ['contact_id', 'stated_from_at', 'told_from_at', 'mention_rules'] %}

with

{# A version may turn out never to have been valid, so all of them are looked at. #}
stated as (

    select
        contact_id,
        min(valid_from) as stated_from_at
    from (
        {%- for model in ['int_orders', 'stg_deals', 'stg_tickets'] %}
        select contact_id, valid_from from {{ ref(model) }}
        {%- if not loop.last %}
        union all
        {%- endif %}
        {%- endfor %}
    ) as versions
    where contact_id is not null
    group by contact_id

),

{# What happened, happened: of what was read already only what came since can tell of an earlier moment. #}
told as (

    select
        contact_id,
        min(told_from_at) as told_from_at
    from (
        {%- for model, happened_at in told_in %}
        select contact_id, min({{ counts_from_at(happened_at) }}) as told_from_at
        from {{ ref(model) }}
        {%- if goes_on %}
        where {{ came_after(loads[model[4:]]) }}
        {%- endif %}
        group by contact_id
        {%- if not loop.last %}
        union all
        {%- endif %}
        {%- endfor %}
    ) as happened
    where contact_id is not null
    group by contact_id

),

named as (

    select
        coalesce(stated.contact_id, told.contact_id) as contact_id,
        stated.stated_from_at,
        told.told_from_at,
        '{{ rules }}' as mention_rules
    from stated
    full join told
        on stated.contact_id = told.contact_id

){% if loads is not none %},

compared as (

    select
        coalesce(named.contact_id, kept.contact_id) as contact_id,
        kept.contact_id is not null as was_there,
        kept.stated_from_at as stated_before,
        kept.told_from_at as told_before,
        named.stated_from_at,
        {% if goes_on %}least(named.told_from_at, kept.told_from_at){% else %}named.told_from_at{% endif %} as told_from_at
    from {{ this }} as kept
    full join named
        on kept.contact_id = named.contact_id

),

differing as (

    select * from compared
    where
        not was_there
        or stated_before is distinct from stated_from_at
        or told_before is distinct from told_from_at

)

select contact_id, stated_from_at, told_from_at, '{{ rules }}' as mention_rules, true as is_there
from differing
where coalesce(stated_from_at, told_from_at) is not null
union all
select contact_id, stated_before, told_before, '{{ rules }}', false
from differing
where was_there
{%- else %}

select {{ columns | join(', ') }} from named
{%- endif %}
