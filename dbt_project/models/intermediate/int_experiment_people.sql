{# Whom chance put into which group of a campaign, what they had done before, and what they did after it: for campaigns
   whose outcomes became complete in the fortnight before a scored week's end. At most some twenty thousand people of each
   group, always the same ones: the interval of what a message brings about is then a percentage point wide. #}
{%- set uplift = var('uplift') %}
{%- set within = uplift.within_days | int %}
{%- set most_people = 20000 %}

with

weeks as (

    select
        *,
        {{ local_midnight('as_of - ' ~ within) }} as complete_at,
        {{ local_midnight('as_of - ' ~ (within + 14)) }} as recent_at,
        from_at as history_from_at
    from {{ ref('int_message_history') }}

),

{# Whom chance put into a group: as messages tell, and as our own audiences drew them in earlier runs. Read twice, each time
   as far back as is needed, rather than kept: most messages of a company may be part of some trial. #}
assigned as not materialized (

    select
        contact_id,
        coalesce(campaign, 'without a name') as campaign,
        treatment_group,
        occurred_at,
        known_from_at
    from {{ ref('stg_messages') }}
    where
        treatment_group in ('treatment', 'control')
        and message_action in ('sent', 'delivered', 'withheld')
        and occurred_at >= (select min(history_from_at) from weeks)

    union all

    select
        contact_id,
        experiment as campaign,
        case when is_control then 'control' else 'treatment' end as treatment_group,
        assigned_at as occurred_at,
        assigned_at as known_from_at
    from {{ source('drawn', 'experiment_people') }}
    where contact_id is not null

),

{# Only campaigns that put somebody into a group of late: of all others nothing further is read. #}
recent_campaigns as (

    select distinct
        weeks.as_of,
        assigned.campaign
    from assigned
    inner join weeks
        on assigned.occurred_at >= weeks.recent_at
        and assigned.occurred_at < weeks.complete_at
    where assigned.occurred_at >= (select min(recent_at) from weeks)

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

contact_identities as (

    select * from identities
    where identity_kind = 'contact'

),

people as (

    select * from {{ ref('int_people') }}

),

{# By contact first: joined all at once, every message met every person of the week (62 million rows of 10,000 people). #}
assigned_contacts as (

    select
        weeks.as_of,
        weeks.as_of_at,
        weeks.complete_at,
        weeks.recent_at,
        weeks.history_from_at,
        assigned.campaign,
        assigned.contact_id,
        min(assigned.occurred_at) as assigned_at,
        max(case when assigned.treatment_group = 'treatment' then 1 else 0 end) as was_treated,
        max(case when assigned.treatment_group = 'control' then 1 else 0 end) as was_control
    from assigned
    inner join weeks
        on assigned.occurred_at >= weeks.history_from_at
        and assigned.occurred_at < weeks.as_of_at
        and coalesce(assigned.known_from_at < weeks.as_of_at, true)
    inner join recent_campaigns
        on weeks.as_of = recent_campaigns.as_of
        and assigned.campaign = recent_campaigns.campaign
    group by 1, 2, 3, 4, 5, 6, 7

),

persons_assigned as (

    select
        assigned_contacts.as_of,
        assigned_contacts.as_of_at,
        assigned_contacts.complete_at,
        assigned_contacts.recent_at,
        assigned_contacts.history_from_at,
        assigned_contacts.campaign,
        contact_identities.person_id,
        min(assigned_contacts.assigned_at) as assigned_at,
        max(assigned_contacts.was_treated) as was_treated,
        max(assigned_contacts.was_control) as was_control
    from assigned_contacts
    inner join contact_identities
        on assigned_contacts.contact_id = contact_identities.identity_id
        and {{ is_valid_at('contact_identities', 'assigned_contacts.as_of_at') }}
    group by 1, 2, 3, 4, 5, 6, 7

),

assigned_people as (

    select persons_assigned.*
    from persons_assigned
    where exists (
        select 1
        from people
        where people.as_of = persons_assigned.as_of and people.person_id = persons_assigned.person_id
    )

),

campaigns as (

    select
        as_of,
        campaign
    from assigned_people
    where assigned_at < complete_at
    group by as_of, campaign
    having max(case when assigned_at >= recent_at then 1 else 0 end) = 1

),

campaign_groups as (

    select
        assigned_people.as_of,
        assigned_people.campaign,
        assigned_people.was_treated,
        count(*) as assigned_people
    from assigned_people
    inner join campaigns
        on assigned_people.as_of = campaigns.as_of
        and assigned_people.campaign = campaigns.campaign
    where assigned_people.assigned_at < assigned_people.complete_at
    group by 1, 2, 3

),

sampled as (

    select
        assigned_people.as_of,
        assigned_people.as_of_at,
        assigned_people.history_from_at,
        assigned_people.campaign,
        campaign_groups.assigned_people,
        assigned_people.person_id,
        assigned_people.assigned_at,
        cast({{ local_time('assigned_people.assigned_at') }} as date) as assigned_on,
        assigned_people.was_treated = 1 as is_treated,
        assigned_people.was_treated + assigned_people.was_control > 1 as is_in_both
    from assigned_people
    inner join campaign_groups
        on assigned_people.as_of = campaign_groups.as_of
        and assigned_people.campaign = campaign_groups.campaign
        and assigned_people.was_treated = campaign_groups.was_treated
    where
        assigned_people.assigned_at < assigned_people.complete_at
        and (
            campaign_groups.assigned_people <= {{ most_people }}
            or cast('0x' || left(md5({{ person_name('assigned_people.person_id') }} || assigned_people.campaign), 8) as bigint)
            < 4294967296.0 * {{ most_people }} / campaign_groups.assigned_people
        )

),

identities_of_sampled as (

    select
        sampled.as_of,
        sampled.campaign,
        sampled.person_id,
        sampled.as_of_at,
        sampled.history_from_at,
        sampled.assigned_at,
        sampled.assigned_on,
        identities.identity_kind,
        identities.identity_id
    from sampled
    inner join identities
        on sampled.person_id = identities.person_id
        and {{ is_valid_at('identities', 'sampled.as_of_at') }}

),

orders as (

    select * from {{ ref('int_orders') }}

),

{# Orders as the scored week knows them, by when they were made. #}
order_totals as (

    select
        someone.as_of,
        someone.campaign,
        someone.person_id,
        count(*) filter (where orders.ordered_at < someone.assigned_at) as orders_before,
        cast(sum({{ exact('orders.revenue') }}) filter (where orders.ordered_at < someone.assigned_at) as double) as revenue_before,
        max(orders.ordered_at) filter (where orders.ordered_at < someone.assigned_at) as last_order_at,
        bool_or(
            orders.ordered_at >= someone.assigned_at
            and orders.ordered_at < someone.assigned_at + interval '{{ within }}' day
        ) as has_ordered_after
    from identities_of_sampled as someone
    inner join orders
        on someone.identity_kind = 'contact'
        and someone.identity_id = orders.contact_id
        and orders.is_purchase
        and orders.ordered_at < someone.as_of_at
        and {{ is_valid_at('orders', 'someone.as_of_at') }}
    group by 1, 2, 3

),

identity_days as (

    select * from {{ ref('int_identity_days') }}

),

day_totals as (

    select
        someone.as_of,
        someone.campaign,
        someone.person_id,
        count(distinct identity_days.event_day) filter (
            where identity_days.event_day < someone.assigned_on and identity_days.event_day >= someone.assigned_on - 28
        ) as active_days_before_28d,
        count(distinct identity_days.event_day) filter (
            where identity_days.event_day < someone.assigned_on and identity_days.event_day >= someone.assigned_on - 91
        ) as active_days_before_91d,
        {%- if uplift.outcome == 'event' %}
        bool_or(
            identity_days.event_day > someone.assigned_on
            and identity_days.event_day <= someone.assigned_on + {{ within }}
            and identity_days.named_{{ uplift.event_column }}_events > 0
        )
        {%- else %}
        false
        {%- endif %} as has_done_after
    from identities_of_sampled as someone
    inner join identity_days
        on someone.identity_kind = {{ acting_identity_kind('identity_days') }}
        and someone.identity_id = {{ acting_identity_id('identity_days') }}
        and identity_days.event_day >= someone.assigned_on - 91
        and identity_days.event_day <= someone.assigned_on + {{ within }}
        and (identity_days.delivered_on is null or identity_days.delivered_on < someone.as_of)
    group by 1, 2, 3

),

message_outcomes as (

    select * from {{ ref('int_message_outcomes') }}

),

message_totals as (

    select
        someone.as_of,
        someone.campaign,
        someone.person_id,
        count(*) as messages_before_91d,
        count(message_outcomes.clicked_from_at) filter (
            where message_outcomes.clicked_from_at < someone.assigned_at
        ) as clicks_before_91d,
        count(message_outcomes.opened_from_at) filter (
            where message_outcomes.opened_from_at < someone.assigned_at
        ) as opens_before_91d
    from identities_of_sampled as someone
    inner join message_outcomes
        on someone.identity_kind = 'contact'
        and someone.identity_id = message_outcomes.contact_id
        and message_outcomes.sent_at < someone.assigned_at
        and message_outcomes.sent_at >= someone.assigned_at - interval 91 day
        and message_outcomes.sent_at >= someone.history_from_at
    group by 1, 2, 3

),

experiment_people as (

    select
        sampled.as_of,
        sampled.campaign,
        sampled.person_id,
        sampled.assigned_people,
        sampled.assigned_at,
        sampled.is_treated,
        sampled.is_in_both,
        {% if uplift.outcome == 'event' %}coalesce(day_totals.has_done_after, false){% else %}coalesce(order_totals.has_ordered_after, false){% endif %} as outcome,
        coalesce(order_totals.orders_before, 0) as orders_before,
        coalesce(order_totals.revenue_before, 0) as revenue_before,
        {{ whole_days('order_totals.last_order_at', 'sampled.assigned_at') }} as days_since_order,
        coalesce(day_totals.active_days_before_28d, 0) as active_days_before_28d,
        coalesce(day_totals.active_days_before_91d, 0) as active_days_before_91d,
        coalesce(message_totals.messages_before_91d, 0) as messages_before_91d,
        coalesce(message_totals.opens_before_91d, 0) as opens_before_91d,
        coalesce(message_totals.clicks_before_91d, 0) as clicks_before_91d,
        {{ whole_days('people.created_at', 'sampled.assigned_at') }} as days_since_created
    from sampled
    inner join people
        on sampled.as_of = people.as_of
        and sampled.person_id = people.person_id
    left join order_totals
        on sampled.as_of = order_totals.as_of
        and sampled.campaign = order_totals.campaign
        and sampled.person_id = order_totals.person_id
    left join day_totals
        on sampled.as_of = day_totals.as_of
        and sampled.campaign = day_totals.campaign
        and sampled.person_id = day_totals.person_id
    left join message_totals
        on sampled.as_of = message_totals.as_of
        and sampled.campaign = message_totals.campaign
        and sampled.person_id = message_totals.person_id

)

select * from experiment_people
