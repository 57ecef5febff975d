{# Each message that people got within the history of a scored week: when it came on their own clock, what it was, and
   since when its first human answers are known. Keyed by contact, so that a merge of people never rewrites it. #}
with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

reach as (

    select
        min({{ local_midnight(history_start('as_of')) }}) as from_at,
        max(as_of_at) as to_at
    from weeks

),

messages as (

    select
        stg_messages.*,
        cast(stg_messages.occurred_at as date) as utc_day
    from {{ ref('stg_messages') }} as stg_messages
    inner join reach
        on stg_messages.occurred_at >= reach.from_at
        and stg_messages.occurred_at < reach.to_at

),

{# Since when a sending tool is known to tell at all what was sent, and what machines did: some report deliveries only. #}
tools as (

    select
        _source,
        min({{ counts_from_at('occurred_at') }}) filter (where message_action = 'sent') as tells_sendings_from_at,
        min({{ counts_from_at('occurred_at') }}) filter (where tells_machines) as tells_machines_from_at
    from {{ ref('stg_messages') }}
    group by _source

),

received as (

    select
        messages.contact_id,
        messages.channel,
        messages.campaign,
        messages.offer,
        messages.content,
        messages.occurred_at as sent_at,
        messages.utc_day,
        messages.known_from_at
    from messages
    inner join tools
        on messages._source is not distinct from tools._source
    where
        messages.message_action = 'sent'
        or (
            messages.message_action = 'delivered'
            and coalesce({{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }} < tools.tells_sendings_from_at, true)
        )

),

bounces as (

    select
        contact_id,
        channel,
        campaign,
        utc_day,
        min({{ counts_from_at('occurred_at') }}) as bounced_from_at
    from messages
    where message_action = 'bounced'
    group by 1, 2, 3, 4

),

{# An answer may come on the day of the message or on those after it: joined by day, no message meets all answers. #}
answers as (

    select
        messages.contact_id,
        messages.channel,
        messages.campaign,
        messages.message_action,
        messages.occurred_at,
        {{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }} as counts_from_at,
        messages.utc_day - cast(days.days_before as integer) as sent_day,
        coalesce(
            tools.tells_machines_from_at <= {{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }}, false
        ) as machines_are_told
    from messages
    inner join tools
        on messages._source is not distinct from tools._source
    cross join (select unnest({{ answer_days() }}) as days_before) as days
    where
        messages.message_action in ('opened', 'clicked')
        and not messages.is_machine

),

answers_without_marks as (

    select * from answers
    where not machines_are_told

),

{# Where a tool does not mark machines: they open and click within seconds of the delivery. #}
deliveries as (

    select
        messages.contact_id,
        messages.channel,
        messages.utc_day,
        messages.occurred_at,
        {{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }} as counts_from_at
    from messages
    where messages.message_action in ('sent', 'delivered')

),

answers_of_machines as (

    select distinct
        answers.contact_id,
        answers.channel,
        answers.message_action,
        answers.occurred_at
    from answers_without_marks as answers
    inner join deliveries
        on answers.contact_id = deliveries.contact_id
        and answers.channel = deliveries.channel
        and answers.sent_day = deliveries.utc_day
        and answers.occurred_at >= deliveries.occurred_at
        and answers.occurred_at <= deliveries.occurred_at + interval '{{ var("preferences").machine_seconds | int }}' second
        and deliveries.counts_from_at <= answers.counts_from_at

),

answers_of_humans as (

    select answers.*
    from answers
    left join answers_of_machines
        on answers.contact_id = answers_of_machines.contact_id
        and answers.channel = answers_of_machines.channel
        and answers.message_action = answers_of_machines.message_action
        and answers.occurred_at = answers_of_machines.occurred_at
    where answers_of_machines.contact_id is null

),

{# An answer that names its campaign answers the messages of that campaign, another all messages of its channel. #}
answered as (

    select
        received.contact_id,
        received.channel,
        received.campaign,
        received.sent_at,
        min(answers.counts_from_at) filter (where answers.message_action = 'opened') as opened_from_at,
        min(answers.counts_from_at) filter (where answers.message_action = 'clicked') as clicked_from_at
    from answers_of_humans as answers
    inner join received
        on answers.contact_id = received.contact_id
        and answers.channel = received.channel
        and answers.sent_day = received.utc_day
        and coalesce(answers.campaign = received.campaign, true)
        and answers.occurred_at >= received.sent_at
        and answers.occurred_at < received.sent_at + interval '{{ var("preferences").response_hours | int }}' hour
    group by 1, 2, 3, 4

),

zones_of_contacts as (

    select
        contacts.contact_id,
        contacts.timezone,
        contacts.valid_from,
        contacts.valid_to
    from {{ ref('stg_contacts') }} as contacts
    where contacts.timezone in ({{ known_time_zones() }})

),

on_their_clock as (

    select
        received.*,
        coalesce(zones_of_contacts.timezone, {{ literal(var('timezone')) }}) as timezone,
        cast(epoch(received.sent_at) as bigint) // 900 as quarter_hour
    from received
    left join zones_of_contacts
        on received.contact_id = zones_of_contacts.contact_id
        and {{ is_valid_at('zones_of_contacts', 'received.sent_at') }}

),

{# Clocks are asked once per zone and quarter of an hour: no zone is off by less. #}
clocks as (

    select
        timezone,
        quarter_hour,
        {{ clock_of('timezone', 'make_timestamp(quarter_hour * 900000000)') }} as local_at
    from (select distinct timezone, quarter_hour from on_their_clock)

),

{# Working days but Fridays, Fridays, and weekends (0 to 2), by the two hours of the day (0 to 11). #}
slots as (

    select
        timezone,
        quarter_hour,
        cast(isodow(local_at) as tinyint) as weekday,
        cast(
            12 * case when isodow(local_at) < 5 then 0 when isodow(local_at) = 5 then 1 else 2 end + hour(local_at) // 2
            as tinyint
        ) as slot
    from clocks

),

message_outcomes as (

    select
        sent.contact_id,
        sent.sent_at,
        sent.known_from_at,
        sent.channel,
        sent.campaign,
        sent.offer,
        sent.content,
        slots.slot,
        slots.weekday,
        bounces.bounced_from_at,
        answered.opened_from_at,
        answered.clicked_from_at
    from on_their_clock as sent
    inner join slots
        on sent.timezone = slots.timezone
        and sent.quarter_hour = slots.quarter_hour
    left join bounces
        on sent.contact_id = bounces.contact_id
        and sent.channel = bounces.channel
        and coalesce(sent.campaign, '') = coalesce(bounces.campaign, '')
        and sent.utc_day = bounces.utc_day
    left join answered
        on sent.contact_id = answered.contact_id
        and sent.channel = answered.channel
        and coalesce(sent.campaign, '') = coalesce(answered.campaign, '')
        and sent.sent_at = answered.sent_at

)

select * from message_outcomes
