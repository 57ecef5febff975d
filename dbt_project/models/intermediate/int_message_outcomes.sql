{# Each message that people got within the history of a scored week: when it came on their own clock, what it was, and
   since when its first human answers are known. Keyed by contact, so that a merge of people never rewrites it.

   Joins are by numbers that stand for texts within this statement: there are tens of millions of rows. #}
{{ config(plain_texts=['contact_id']) }}
{%- set history = ref('int_message_history') -%}
{%- set reach = ['1970-01-01', '1970-01-01'] -%}
{%- if execute -%}
    {# Asked before, and not joined: what lies before is then not even read. #}
    {%- set reach = run_query(
        "select coalesce(min(from_at), '1970-01-01'), coalesce(max(as_of_at), '1970-01-01') from " ~ history
    ).rows[0] -%}
{%- endif -%}
{%- set is_within_reach -%}
    messages.occurred_at >= timestamp '{{ reach[0] }}'
        and messages.occurred_at < timestamp '{{ reach[1] }}'
{%- endset %}

with

{# Since when a sending tool is known to tell at all what was sent, and what machines did: some report deliveries only. #}
tools as (

    select
        coalesce(_source, '') as tool,
        min({{ counts_from_at('occurred_at') }}) filter (where message_action = 'sent') as tells_sendings_from_at,
        min({{ counts_from_at('occurred_at') }}) filter (where tells_machines) as tells_machines_from_at
    from {{ ref('stg_messages') }}
    group by 1
    {# There are a few; a limit tells that to whoever plans the joins. #}
    order by 1
    limit 1000

),

received as (

    select
        messages.contact_id,
        messages.channel,
        messages.campaign,
        messages.offer,
        messages.content,
        {%- for column in carried_message_columns() %}
        messages.{{ column }},
        {%- endfor %}
        messages.occurred_at as sent_at,
        messages.known_from_at,
        cast(messages.occurred_at as date) as utc_day,
        {{ hash_of(['messages.contact_id', 'messages.channel']) }} as recipient,
        {{ hash_of(['messages.contact_id', 'messages.channel', 'messages.campaign', 'messages.occurred_at']) }} as message_key
    from {{ ref('stg_messages') }} as messages
    left join tools
        on coalesce(messages._source, '') = tools.tool
    where
        {{ is_within_reach }}
        and (
            messages.message_action = 'sent'
            or (
                messages.message_action = 'delivered'
                and coalesce(
                    {{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }} < tools.tells_sendings_from_at,
                    true
                )
            )
        )

),

{# What came back of messages: bounces too. #}
answers as (

    select
        {{ hash_of(['messages.contact_id', 'messages.channel']) }} as recipient,
        messages.campaign,
        messages.message_action,
        messages.occurred_at,
        {{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }} as counts_from_at,
        cast(messages.occurred_at as date) as utc_day,
        messages.message_action = 'bounced' or coalesce(
            tools.tells_machines_from_at <= {{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }}, false
        ) as is_surely_no_machine
    from {{ ref('stg_messages') }} as messages
    left join tools
        on coalesce(messages._source, '') = tools.tool
    where
        {{ is_within_reach }}
        and messages.message_action in ('opened', 'clicked', 'bounced')
        and not messages.is_machine

),

doubtful_answers as (

    select * from answers
    where not is_surely_no_machine

),

{# Where a tool does not mark machines: they open and click within seconds of the delivery. #}
deliveries as (

    select
        {{ hash_of(['messages.contact_id', 'messages.channel']) }} as recipient,
        messages.occurred_at,
        {{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }} as counts_from_at,
        cast(messages.occurred_at as date) as utc_day
    from {{ ref('stg_messages') }} as messages
    left join tools
        on coalesce(messages._source, '') = tools.tool
    where
        {{ is_within_reach }}
        and messages.message_action in ('sent', 'delivered')
        and coalesce(
            {{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }} < tools.tells_machines_from_at, true
        )

),

answers_of_machines as (

    select distinct
        answers.recipient,
        answers.message_action,
        answers.occurred_at
    from doubtful_answers as answers
    inner join deliveries
        on answers.recipient = deliveries.recipient
        and (answers.utc_day = deliveries.utc_day or answers.utc_day = deliveries.utc_day + 1)
        and answers.occurred_at >= deliveries.occurred_at
        and answers.occurred_at <= deliveries.occurred_at + interval '{{ var("preferences").machine_seconds | int }}' second
        and deliveries.counts_from_at <= answers.counts_from_at

),

{# An answer may come on the day of the message or on those after it: joined by day, no message meets all answers. #}
answers_of_humans as (

    select
        answers.recipient,
        answers.campaign,
        answers.message_action,
        answers.occurred_at,
        answers.counts_from_at,
        answers.utc_day - cast(days.days_before as integer) as sent_day
    from answers
    left join answers_of_machines
        on answers.recipient = answers_of_machines.recipient
        and answers.message_action = answers_of_machines.message_action
        and answers.occurred_at = answers_of_machines.occurred_at
    cross join (select unnest({{ answer_days() }}) as days_before) as days
    where answers_of_machines.recipient is null

),

{# An answer that names its campaign answers the messages of that campaign, another all messages of its channel. #}
answered as (

    select
        received.message_key,
        min(answers.counts_from_at) filter (where answers.message_action = 'bounced') as bounced_from_at,
        min(answers.counts_from_at) filter (where answers.message_action = 'opened') as opened_from_at,
        min(answers.counts_from_at) filter (where answers.message_action = 'clicked') as clicked_from_at
    from answers_of_humans as answers
    inner join received
        on answers.recipient = received.recipient
        and answers.sent_day = received.utc_day
        and coalesce(answers.campaign = received.campaign, true)
        and answers.occurred_at >= received.sent_at
        and answers.occurred_at < received.sent_at + interval '{{ var("preferences").response_hours | int }}' hour
    group by received.message_key

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

zones as (

    select {{ literal(var('timezone')) }} as timezone
    union
    select timezone from zones_of_contacts

),

{# Clocks are asked once per zone and quarter of an hour: no zone is off by less. #}
clocks as (

    select
        quarters.quarter_hour,
        {{ hash_of(['zones.timezone', 'quarters.quarter_hour']) }} as clock_key,
        {{ clock_of('zones.timezone', 'make_timestamp(quarters.quarter_hour * 900000000)') }} as local_at
    from zones
    cross join (
        select
            unnest(
                range(
                    cast(epoch(timestamp '{{ reach[0] }}') as bigint) // 900,
                    cast(epoch(timestamp '{{ reach[1] }}') as bigint) // 900 + 1
                )
            ) as quarter_hour
    ) as quarters

),

{# Working days but Fridays, Fridays, and weekends (0 to 2), by the two hours of the day (0 to 11). #}
slots as (

    select
        clock_key,
        cast(isodow(local_at) as tinyint) as weekday,
        cast(
            12 * case when isodow(local_at) < 5 then 0 when isodow(local_at) = 5 then 1 else 2 end + hour(local_at) // 2
            as tinyint
        ) as slot
    from clocks

),

on_their_clock as (

    select
        received.*,
        {{ hash_of([
            "coalesce(zones_of_contacts.timezone, " ~ literal(var('timezone')) ~ ")",
            "cast(epoch(received.sent_at) as bigint) // 900",
        ]) }} as clock_key
    from received
    left join zones_of_contacts
        on received.contact_id = zones_of_contacts.contact_id
        and {{ is_valid_at('zones_of_contacts', 'received.sent_at') }}

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
        {%- for column in carried_message_columns() %}
        sent.{{ column }},
        {%- endfor %}
        slots.slot,
        slots.weekday,
        answered.bounced_from_at,
        answered.opened_from_at,
        answered.clicked_from_at
    from on_their_clock as sent
    inner join slots
        on sent.clock_key = slots.clock_key
    left join answered
        on sent.message_key = answered.message_key

)

select * from message_outcomes
