{# Who could have tried what was launched, and who did, when, as far as a week knows. Whoever may be profiled and was there before the
   launch could have; whoever came later found it there. A view: it is read week by week. #}
{%- set launches = var('adoption').launches -%}
{{ config(materialized='view') }}

with
{% if launches %}

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

launches as (

    {% for launch in launches -%}
    select
        {{ literal(launch.id) }} as launch_id,
        date '{{ launch.launched_on }}' as launched_on,
        {{ launched_at(launch) }} as launched_at,
        {{ launch_closes_at(launch) }} as closes_at
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
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

audience as (

    select
        people.as_of,
        people.person_id,
        launches.launch_id,
        launches.launched_on,
        launches.launched_at,
        launches.closes_at < people.as_of_at as is_closed
    from people
    left join first_known
        on people.person_id = first_known.person_id
    inner join launches
        on least(people.created_at, first_known.first_known_at) < launches.launched_at
        and launches.launched_at < people.as_of_at

),

trials_seen as (

    select
        weeks.as_of,
        identities.person_id,
        substr(signals.signal, 8) as launch_id,
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
        {{ literal(launch.id) }} as launch_id,
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
        launch_id,
        min(tried_at) as tried_at
    from trials_seen
    group by
        as_of,
        person_id,
        launch_id

),

launch_adoptions as (

    select
        audience.as_of,
        audience.person_id,
        audience.launch_id,
        audience.launched_on,
        audience.is_closed,
        trials.tried_at,
        (epoch(trials.tried_at) - epoch(audience.launched_at)) / 86400 as days_until_tried
    from audience
    left join trials
        on audience.as_of = trials.as_of
        and audience.person_id = trials.person_id
        and audience.launch_id = trials.launch_id

)
{% else %}

launch_adoptions as (

    select
        cast(null as date) as as_of,
        cast(null as varchar) as person_id,
        cast(null as varchar) as launch_id,
        cast(null as date) as launched_on,
        cast(null as boolean) as is_closed,
        cast(null as timestamp) as tried_at,
        cast(null as double) as days_until_tried
    where false

)
{% endif %}

select * from launch_adoptions
