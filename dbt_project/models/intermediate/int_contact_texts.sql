{# Which texts tell of a person in a scored week, how often and how lately: of people who may be profiled only, and only
   what was said, and known, before the week's end. A view: it is read week by week, so memory does not grow with weeks. #}
{%- set columns = text_columns() if var('affinity').enabled else [] -%}
{%- set happened = {'tickets': 'created_at', 'survey_answers': 'answered_at', 'events': 'occurred_at', 'order_lines': 'ordered_at'} -%}
{{ config(materialized='view') }}

with
{% if columns %}

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

texts as (

    select
        delivered_text,
        text_id
    from {{ ref('int_texts') }}

),

people as (

    select
        people.as_of,
        people.person_id,
        people.contact_id,
        people.account_id,
        weeks.as_of_at
    from {{ ref('int_people') }} as people
    inner join weeks
        on people.as_of = weeks.as_of

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

{# What the entity goes on stating does not age; a note was written when its version was stated. #}
stated as (

    {% for each in columns if each.entity in ('contacts', 'accounts') -%}
    select
        people.as_of,
        people.person_id,
        '{{ each.source }}' as source,
        texts.text_id,
        {%- if each.source == 'note' %}
        {{ freshness('note', 'stated.valid_from', 'people.as_of_at') }} as freshness,
        {%- else %}
        1000000 as freshness,
        {%- endif %}
        cast({{ local_time('stated.valid_from') }} as date) as seen_on
    from people
    inner join {{ ref('stg_' ~ each.entity) }} as stated
        on people.{{ 'contact_id' if each.entity == 'contacts' else 'account_id' }} = stated.{{ 'contact_id' if each.entity == 'contacts' else 'account_id' }}
        and {{ is_valid_at('stated', 'people.as_of_at') }}
    inner join texts
        on stated.{{ each.column }} = texts.delivered_text
    {% if not loop.last %}union all{% endif %}
    {% else -%}
    select
        cast(null as date) as as_of,
        cast(null as ubigint) as person_id,
        cast(null as varchar) as source,
        cast(null as ubigint) as text_id,
        cast(null as bigint) as freshness,
        cast(null as date) as seen_on
    where false
    {% endfor %}
),

said_once as (

    {% for each in columns if each.entity in happened -%}
    {%- set known = is_valid_at('said', 'weeks.as_of_at') if each.entity == 'tickets' else 'coalesce(said.known_from_at < weeks.as_of_at, true)' -%}
    {%- set rows = {'survey_answers': 'said.numeric_answer is null', 'order_lines': 'not said.is_cancellation'}.get(each.entity, 'true') -%}
    {{ texts_said_once(
        each.source, ref('stg_' ~ each.entity), each.column, happened[each.entity],
        acting_identity_kind('said') if each.entity == 'events' else "'contact'",
        acting_identity_id('said') if each.entity == 'events' else 'said.contact_id',
        known, rows
    ) }}
    union all
    {% endfor %}
    {#- A message says something once a human opened it or clicked. #}
    {% for each in columns if each.entity == 'messages' -%}
    {{ texts_said_once(
        'message', ref('int_message_outcomes'), each.column, 'sent_at', "'contact'", 'said.contact_id',
        'coalesce(said.known_from_at < weeks.as_of_at, true)',
        'least(coalesce(said.opened_from_at, said.clicked_from_at), coalesce(said.clicked_from_at, said.opened_from_at)) < weeks.as_of_at'
    ) }}
    union all
    {% endfor %}
    select
        cast(null as date) as as_of,
        cast(null as varchar) as source,
        cast(null as varchar) as identity_kind,
        cast(null as varchar) as identity_id,
        cast(null as ubigint) as text_id,
        cast(null as bigint) as freshness,
        cast(null as date) as seen_on
    where false

),

said_by_people as (

    select
        people.as_of,
        people.person_id,
        said_once.source,
        said_once.text_id,
        said_once.freshness,
        said_once.seen_on
    from said_once
    inner join identities
        on said_once.identity_id = identities.identity_id
        and said_once.identity_kind = identities.identity_kind
    inner join people
        on identities.person_id = people.person_id
        and said_once.as_of = people.as_of
        and {{ is_valid_at('identities', 'people.as_of_at') }}

),

together as (

    select
        as_of,
        person_id,
        source,
        text_id,
        cast(sum(freshness) as bigint) as freshness,
        max(seen_on) as seen_on
    from (
        select * from stated
        union all
        select * from said_by_people
    ) as told
    group by
        as_of,
        person_id,
        source,
        text_id

),

{# The second and third time say less than the first. #}
contact_texts as (

    select
        as_of,
        person_id,
        source,
        text_id,
        seen_on,
        case source
            {%- for source, weight in var('affinity').source_weights.items() %}
            when '{{ source }}' then {{ weight }}
            {%- endfor %}
        end * log2(1 + freshness / 1e6) as weight
    from together

)
{% else %}

contact_texts as (

    select
        cast(null as date) as as_of,
        cast(null as ubigint) as person_id,
        cast(null as varchar) as source,
        cast(null as ubigint) as text_id,
        cast(null as date) as seen_on,
        cast(null as double) as weight
    where false

)
{% endif %}

select * from contact_texts
