{# How much reach a person has and how much the person made, per signal that the workspace names: events counted since ever,
   attributes as they stand. Empty where nothing is named. A view: it is read week by week. #}
{%- set attributes_of = [] -%}
{%- for kind in ['reach', 'creation'] %}
    {%- for each in var('adoption')[kind] if each.column %}
        {%- do attributes_of.append({'kind': kind, 'column': each.column}) %}
    {%- endfor %}
{%- endfor -%}
{%- set has_signals = var('adoption').launches and (var('adoption').reach or var('adoption').creation) -%}
{{ config(materialized='view') }}

with
{% if has_signals %}

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

people as (

    select
        people.as_of,
        weeks.as_of_at,
        people.person_id,
        people.contact_id
    from {{ ref('int_people') }} as people
    inner join weeks
        on people.as_of = weeks.as_of

),

counted as (

    select
        weeks.as_of,
        identities.person_id,
        split_part(signals.signal, ':', 1) as kind,
        signals.signal,
        cast(sum(signals.times) as double) as amount
    from {{ ref('int_adoption_signals') }} as signals
    inner join weeks
        on signals.known_week < weeks.as_of
    inner join identities
        on signals.identity_kind = identities.identity_kind
        and signals.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    where not starts_with(signals.signal, 'launch:')
    group by 1, 2, 3, 4

),

stated as (

    {% for each in attributes_of -%}
    select
        people.as_of,
        people.person_id,
        '{{ each.kind }}' as kind,
        '{{ each.kind }}:{{ each.column }}' as signal,
        cast(contacts.{{ each.column }} as double) as amount
    from people
    inner join {{ ref('stg_contacts') }} as contacts
        on people.contact_id = contacts.contact_id
        and {{ is_valid_at('contacts', 'people.as_of_at') }}
    where contacts.{{ each.column }} > 0
    {% if not loop.last %}union all{% endif %}
    {% else -%}
    select * from counted
    where false
    {% endfor %}
),

influence as (

    select counted.*
    from counted
    inner join people
        on counted.as_of = people.as_of
        and counted.person_id = people.person_id
    union all
    select * from stated

)
{% else %}

influence as (

    select
        cast(null as date) as as_of,
        cast(null as ubigint) as person_id,
        cast(null as varchar) as kind,
        cast(null as varchar) as signal,
        cast(null as double) as amount
    where false

)
{% endif %}

select * from influence
