{# First uses of what was launched, and what tells of influence, by identity and by the week in which it came to be known. Keyed
   by the identities as delivered, so that one reading of the events serves every week of a run. #}
{%- set events = adoption_events() -%}
{%- set products = adoption_products() -%}
{{ config(materialized='table' if events or products else 'view', plain_texts=['identity_id']) }}

with
{% if events or products %}

known_until as (

    select max(as_of_at) as until_at from {{ ref('int_weeks') }}
    where is_scored

),

{# What came in time needs no week of its own: it is known in the week of the first time. Influence is counted week by week. #}
seen as (

    {% for each in events -%}
    select
        {{ literal(each.signal) }} as signal,
        {{ acting_identity_kind('events') }} as identity_kind,
        {{ acting_identity_id('events') }} as identity_id,
        {{ known_week('occurred_at') if not each.launched_on else late_week('occurred_at') }} as late_week,
        min(occurred_at) as first_at,
        count(*) as times
    from {{ ref('stg_events') }} as events
    where
        event_name = {{ literal(each.event) }}
        and occurred_at < (select until_at from known_until)
        {%- if each.launched_on %}
        and occurred_at >= {{ launched_at(each) }}
        and occurred_at < {{ launch_closes_at(each) }}
        {%- endif %}
    group by 1, 2, 3, 4
    {% if not loop.last or products %}union all{% endif %}
    {% endfor %}
    {% for each in products -%}
    select
        {{ literal(each.signal) }} as signal,
        'contact' as identity_kind,
        contact_id as identity_id,
        {{ late_week('ordered_at') }} as late_week,
        min(ordered_at) as first_at,
        count(*) as times
    from {{ ref('stg_order_lines') }}
    where
        product_id = {{ literal(each.product) }}
        and not is_cancellation
        and ordered_at < (select until_at from known_until)
        and ordered_at >= {{ launched_at(each) }}
        and ordered_at < {{ launch_closes_at(each) }}
    group by 1, 2, 3, 4
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

signals as (

    select
        signal,
        identity_kind,
        identity_id,
        coalesce(late_week, {{ local_week('first_at') }}) as known_week,
        first_at,
        times
    from seen
    where identity_id is not null

)
{% else %}

signals as (

    select
        cast(null as varchar) as signal,
        cast(null as varchar) as identity_kind,
        cast(null as varchar) as identity_id,
        cast(null as date) as known_week,
        cast(null as timestamp) as first_at,
        cast(null as bigint) as times
    where false

)
{% endif %}

select * from signals
