{# What each person was sent in each way of persuading, and what of it was answered, within a scored week's history of
   messages: a column per way. A message may use several and counts for each of them. Empty where nothing is tagged.

   A message counts once answers to it are complete, and an answer once it is known. An order answers the last tagged
   message before it. Opens, the weakest sign, count only in weeks that know neither a click nor an order.

   Joins are by numbers that stand for texts within this statement: there are millions of rows. #}
{%- set settings = var('persuasion') -%}
{%- set tagged_by = settings.tagged_by if settings.enabled else [] -%}
{%- set counts_orders = 'ordered' in settings.responses and is_delivered(['orders', 'order_lines']) -%}

with
{% if tagged_by %}

weeks as (

    select
        as_of,
        as_of_at,
        from_at,
        as_of_at - interval '{{ complete_after_hours() }}' hour as complete_until
    from {{ ref('int_message_history') }}

),

people as (

    select
        as_of,
        person_id
    from {{ ref('int_people') }}

),

contacts_of_people as (

    select
        weeks.*,
        people.person_id,
        {{ hash_of(['identities.identity_id']) }} as contact_key
    from {{ ref('int_identities_resolved') }} as identities
    inner join weeks
        on {{ is_valid_at('identities', 'weeks.as_of_at') }}
    inner join people
        on weeks.as_of = people.as_of
        and identities.person_id = people.person_id
    where identities.identity_kind = 'contact'

),

messages as (

    select
        {{ hash_of(['contact_id']) }} as contact_key,
        sent_at,
        known_from_at,
        bounced_from_at,
        opened_from_at,
        clicked_from_at,
        {{ hash_of(kind_columns(tagged_by)) }} as kind
    from {{ ref('int_message_outcomes') }}

),

{# There are few different messages: patterns are compared with them and not with each that was sent. The limit, which
   is never reached, keeps the planner from moving that comparison to the messages. #}
kinds as (

    select distinct
        {{ hash_of(kind_columns(tagged_by)) }} as kind,
        {{ kind_columns(tagged_by) | join(', ') }}
    from {{ ref('int_message_outcomes') }}
    order by 1
    limit 100000000

),

judged_kinds as (

    select
        kind,
        {% for approach in persuasion_approaches() -%}
        {{ uses_approach(approach) }} as is_{{ approach }},
        {% endfor -%}
        {{ is_like_any('campaign', settings.randomized) }} as is_randomized
    from kinds

),

tagged_kinds as (

    select *
    from judged_kinds
    where {% for approach in persuasion_approaches() %}is_{{ approach }}{{ ' or ' if not loop.last }}{% endfor %}

),

tagged_messages as (

    select
        contacts.as_of,
        contacts.person_id,
        messages.sent_at,
        coalesce(messages.opened_from_at < contacts.as_of_at, false) as is_opened,
        {{ "coalesce(messages.clicked_from_at < contacts.as_of_at, false)" if 'clicked' in settings.responses else 'false' }} as is_clicked,
        kinds.*
    from messages
    inner join tagged_kinds as kinds
        on messages.kind = kinds.kind
    inner join contacts_of_people as contacts
        on messages.contact_key = contacts.contact_key
        and messages.sent_at >= contacts.from_at
        and messages.sent_at < contacts.complete_until
        and coalesce(messages.known_from_at < contacts.as_of_at, true)
        and coalesce(messages.bounced_from_at >= contacts.as_of_at, true)

),
{% if counts_orders %}

orders_of_people as (

    select
        contacts.as_of,
        contacts.person_id,
        orders.order_id,
        orders.ordered_at
    from {{ ref('int_orders') }} as orders
    inner join contacts_of_people as contacts
        on {{ hash_of(['orders.contact_id']) }} = contacts.contact_key
        and orders.ordered_at >= contacts.from_at
        and orders.ordered_at < contacts.as_of_at
        and {{ is_valid_at('orders', 'contacts.as_of_at') }}
    where orders.is_purchase

),

{# By days, so that no order meets all messages of its person. #}
order_days as (

    select
        *,
        cast(ordered_at as date) - cast(unnest({{ range(settings.order_days + 1) | list }}) as integer) as sent_day
    from orders_of_people

),

last_messages_before_orders as (

    select
        order_days.as_of,
        order_days.person_id,
        order_days.order_id,
        max(tagged_messages.sent_at) as sent_at
    from order_days
    inner join tagged_messages
        on order_days.as_of = tagged_messages.as_of
        and order_days.person_id = tagged_messages.person_id
        and order_days.sent_day = cast(tagged_messages.sent_at as date)
        and order_days.ordered_at >= tagged_messages.sent_at
        and order_days.ordered_at < tagged_messages.sent_at + interval '{{ settings.order_days | int }}' day
    group by 1, 2, 3

),

moments_that_brought_orders as (

    select distinct
        as_of,
        person_id,
        sent_at
    from last_messages_before_orders

),
{% endif %}

answers as (

    select
        tagged_messages.*,
        {{ 'moments.sent_at is not null' if counts_orders else 'false' }} as is_ordered
    from tagged_messages
    {% if counts_orders -%}
    left join moments_that_brought_orders as moments
        on tagged_messages.as_of = moments.as_of
        and tagged_messages.person_id = moments.person_id
        and tagged_messages.sent_at = moments.sent_at
    {%- endif %}

),

what_weeks_know as (

    select
        as_of,
        bool_or(is_clicked) as knows_clicks,
        bool_or(is_ordered) as knows_orders
    from answers
    group by as_of

),

judged as (

    select
        answers.*,
        answers.is_clicked or answers.is_ordered
        {%- if 'opened' in settings.responses %}
        or (answers.is_opened and not what_weeks_know.knows_clicks and not what_weeks_know.knows_orders)
        {%- endif %} as is_answered
    from answers
    inner join what_weeks_know
        on answers.as_of = what_weeks_know.as_of

),

counted_by_person as (

    select
        as_of,
        person_id,
        {% for approach in persuasion_approaches() -%}
        cast(count(*) filter (where is_{{ approach }}) as smallint) as {{ approach }}_sends,
        cast(count(*) filter (where is_{{ approach }} and is_answered) as smallint) as {{ approach }}_responses,
        {% if settings.randomized -%}
        cast(count(*) filter (where is_{{ approach }} and is_randomized) as smallint) as {{ approach }}_randomized_sends,
        cast(count(*) filter (where is_{{ approach }} and is_randomized and is_answered) as smallint) as {{ approach }}_randomized_responses
        {%- else -%}
        cast(0 as smallint) as {{ approach }}_randomized_sends,
        cast(0 as smallint) as {{ approach }}_randomized_responses
        {%- endif %}{{ ',' if not loop.last }}
        {% endfor %}
    from judged
    group by
        as_of,
        person_id

),

persuasion_responses as (

    select
        people.as_of,
        people.person_id,
        counted.* exclude (as_of, person_id),
        case
            when what_weeks_know.knows_clicks and what_weeks_know.knows_orders then 'clicks and orders'
            when what_weeks_know.knows_clicks then 'clicks'
            when what_weeks_know.knows_orders then 'orders'
            else {{ literal('opens' if 'opened' in settings.responses else 'clicks and orders') }}
        end as counted
    from counted_by_person as counted
    inner join people
        on counted.as_of = people.as_of
        and counted.person_id = people.person_id
    inner join what_weeks_know
        on counted.as_of = what_weeks_know.as_of

)
{% else %}

persuasion_responses as (

    select
        cast(null as date) as as_of,
        cast(null as ubigint) as person_id,
        {% for approach in persuasion_approaches() -%}
        cast(0 as smallint) as {{ approach }}_sends,
        cast(0 as smallint) as {{ approach }}_responses,
        cast(0 as smallint) as {{ approach }}_randomized_sends,
        cast(0 as smallint) as {{ approach }}_randomized_responses,
        {% endfor -%}
        cast(null as varchar) as counted
    from {{ ref('int_weeks') }}
    where false

)
{% endif %}

select * from persuasion_responses
