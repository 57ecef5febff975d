{# Who could have tried what was launched, and who did, when, as far as a week knows: a row per person, two columns per launch. Whoever
   may be profiled and was there before the launch could have; whoever came later found it there. A view: it is read week
   by week. #}
{%- set launches = var('adoption').launches -%}
{{ config(materialized='view') }}

with
{% if launches %}

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
        people.contact_id,
        people.account_id,
        people.created_at
    from {{ ref('int_people') }} as people
    inner join weeks
        on people.as_of = weeks.as_of

),

{# The contacts that are left may be younger than the person, or say nothing of when they were created. #}
first_known as (

    select
        person_id,
        min(valid_from) as first_known_at
    from identities
    group by person_id

),

trials_seen as (

    select
        weeks.as_of,
        identities.person_id,
        signals.signal,
        signals.first_at as tried_at
    from {{ ref('int_adoption_signals') }} as signals
    inner join weeks
        on signals.known_week < weeks.as_of
    inner join identities
        on signals.identity_kind = identities.identity_kind
        and signals.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    where starts_with(signals.signal, 'launch:')
    {%- for launch in launches if launch.column %}
    {%- set key = 'contact_id' if launch.entity == 'contacts' else 'account_id' %}
    union all
    {#- What was so before the launch was so on its first day. #}
    select
        people.as_of,
        people.person_id,
        {{ literal('launch:' ~ launch.id) }} as signal,
        greatest(stated.valid_from, {{ launched_at(launch) }}) as tried_at
    from people
    inner join {{ ref('stg_' ~ launch.entity) }} as stated
        on people.{{ key }} = stated.{{ key }}
        and stated.valid_from < people.as_of_at
        and coalesce(stated.valid_to, timestamp '9999-12-31') > {{ launched_at(launch) }}
        and stated.valid_from < {{ launch_closes_at(launch) }}
    where lower(trim(stated.{{ launch.column }})) in ({% for value in launch['values'] %}{{ literal(value | lower | trim) }}{{ ', ' if not loop.last }}{% endfor %})
    {%- endfor %}

),

trials as (

    select
        as_of,
        person_id,
        {%- for launch in launches %}
        min(tried_at) filter (where signal = {{ literal('launch:' ~ launch.id) }}) as tried_{{ launch.id }}_at{{ ',' if not loop.last }}
        {%- endfor %}
    from trials_seen
    group by
        as_of,
        person_id

),

known_people as (

    select
        people.as_of,
        people.as_of_at,
        people.person_id,
        least(people.created_at, first_known.first_known_at) as known_since_at
    from people
    left join first_known
        on people.person_id = first_known.person_id

),

launch_adoptions as (

    select
        known_people.as_of,
        known_people.person_id,
        known_people.known_since_at,
        {%- for launch in launches %}
        coalesce(
            known_people.known_since_at < {{ launched_at(launch) }} and {{ launched_at(launch) }} < known_people.as_of_at,
            false
        ) as could_try_{{ launch.id }},
        trials.tried_{{ launch.id }}_at{{ ',' if not loop.last }}
        {%- endfor %}
    from known_people
    left join trials
        on known_people.as_of = trials.as_of
        and known_people.person_id = trials.person_id

)
{% else %}

launch_adoptions as (

    select
        cast(null as date) as as_of,
        cast(null as ubigint) as person_id,
        cast(null as timestamp) as known_since_at
    where false

)
{% endif %}

select * from launch_adoptions
