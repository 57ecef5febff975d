{# What each person was sent in each way of persuading, and what of it was answered, within a scored week's history of
   messages. A message may use several ways and counts for each of them. Empty where the workspace tags nothing.

   A message counts once answers to it are complete, and an answer once it is known. An order answers the last tagged
   message before it. Opens, the weakest sign, count only in weeks that know neither a click nor an order. #}
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

identities as (

    select * from {{ ref('int_identities_resolved') }}
    where identity_kind = 'contact'

),

people as (

    select
        as_of,
        person_id
    from {{ ref('int_people') }}

),

messages as (

    select * from {{ ref('int_message_outcomes') }}

),

{# There are few different messages: patterns are compared with them and not with each that was sent. #}
kinds_of_message as (

    select distinct
        {{ tagged_by | join(', ') }}
    from messages

),

tagged_kinds as (

    {% for each in settings.tags -%}
    select
        {{ tagged_by | join(', ') }},
        {{ literal(each.approach) }} as approach
    from kinds_of_message
    where {{ is_like_any(each.property, each.patterns) }}
    {{ 'union' if not loop.last }}
    {% endfor %}

),

tagged_messages as (

    select
        weeks.as_of,
        identities.person_id,
        messages.sent_at,
        {% for property in tagged_by -%}
        messages.{{ property }},
        {% endfor -%}
        {{ is_like_any('messages.campaign', settings.randomized) }} as is_randomized,
        coalesce(messages.opened_from_at < weeks.as_of_at, false) as is_opened,
        coalesce(messages.clicked_from_at < weeks.as_of_at, false) as is_clicked
    from messages
    inner join weeks
        on messages.sent_at >= weeks.from_at
        and messages.sent_at < weeks.complete_until
        and coalesce(messages.known_from_at < weeks.as_of_at, true)
        and coalesce(messages.bounced_from_at >= weeks.as_of_at, true)
    inner join identities
        on messages.contact_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    where
        exists (
            select 1
            from tagged_kinds
            where {{ same_values('messages', 'tagged_kinds', tagged_by) }}
        )

),

messages_of_people as (

    select tagged_messages.*
    from tagged_messages
    inner join people
        on tagged_messages.as_of = people.as_of
        and tagged_messages.person_id = people.person_id

),
{% if counts_orders %}

orders_of_people as (

    select
        weeks.as_of,
        identities.person_id,
        orders.order_id,
        orders.ordered_at,
        cast(orders.ordered_at as date) as utc_day
    from {{ ref('int_orders') }} as orders
    inner join weeks
        on orders.ordered_at >= weeks.from_at
        and orders.ordered_at < weeks.as_of_at
        and {{ is_valid_at('orders', 'weeks.as_of_at') }}
    inner join identities
        on orders.contact_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    where orders.is_purchase

),

{# By days, so that no order meets all messages of its person. #}
order_days as (

    select
        orders_of_people.*,
        orders_of_people.utc_day - cast(days.days_before as integer) as sent_day
    from orders_of_people
    cross join (select unnest({{ range(settings.order_days + 1) | list }}) as days_before) as days

),

last_messages_before_orders as (

    select
        order_days.as_of,
        order_days.person_id,
        order_days.order_id,
        max(messages_of_people.sent_at) as sent_at
    from order_days
    inner join messages_of_people
        on order_days.as_of = messages_of_people.as_of
        and order_days.person_id = messages_of_people.person_id
        and order_days.sent_day = cast(messages_of_people.sent_at as date)
        and order_days.ordered_at >= messages_of_people.sent_at
        and order_days.ordered_at < messages_of_people.sent_at + interval '{{ settings.order_days | int }}' day
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
        messages_of_people.*,
        {{ 'messages_of_people.is_clicked' if 'clicked' in settings.responses else 'false' }} as counts_as_click,
        {{ 'moments.sent_at is not null' if counts_orders else 'false' }} as counts_as_order
    from messages_of_people
    {% if counts_orders -%}
    left join moments_that_brought_orders as moments
        on messages_of_people.as_of = moments.as_of
        and messages_of_people.person_id = moments.person_id
        and messages_of_people.sent_at = moments.sent_at
    {%- endif %}

),

what_weeks_know as (

    select
        as_of,
        bool_or(counts_as_click) as knows_clicks,
        bool_or(counts_as_order) as knows_orders
    from answers
    group by as_of

),

judged as (

    select
        answers.*,
        what_weeks_know.knows_clicks,
        what_weeks_know.knows_orders,
        answers.counts_as_click or answers.counts_as_order
        {%- if 'opened' in settings.responses %}
        or (answers.is_opened and not what_weeks_know.knows_clicks and not what_weeks_know.knows_orders)
        {%- endif %} as is_answered
    from answers
    inner join what_weeks_know
        on answers.as_of = what_weeks_know.as_of

),

persuasion_responses as (

    select
        judged.as_of,
        judged.person_id,
        tagged_kinds.approach,
        count(*) as sends,
        count(*) filter (where judged.is_answered) as responses,
        count(*) filter (where judged.is_randomized) as randomized_sends,
        count(*) filter (where judged.is_randomized and judged.is_answered) as randomized_responses,
        case
            when judged.knows_clicks and judged.knows_orders then 'clicks and orders'
            when judged.knows_clicks then 'clicks'
            when judged.knows_orders then 'orders'
            else {{ literal('opens' if 'opened' in settings.responses else 'clicks and orders') }}
        end as counted
    from judged
    inner join tagged_kinds
        on {{ same_values('judged', 'tagged_kinds', tagged_by) }}
    group by
        judged.as_of,
        judged.person_id,
        tagged_kinds.approach,
        judged.knows_clicks,
        judged.knows_orders

)
{% else %}

persuasion_responses as (

    select
        cast(null as date) as as_of,
        cast(null as varchar) as person_id,
        cast(null as varchar) as approach,
        cast(0 as bigint) as sends,
        cast(0 as bigint) as responses,
        cast(0 as bigint) as randomized_sends,
        cast(0 as bigint) as randomized_responses,
        cast(null as varchar) as counted
    from {{ ref('int_weeks') }}
    where false

)
{% endif %}

select * from persuasion_responses
