with

{{ weeks_and_contact_identities() }},

messages as (

    select
        contact_id,
        occurred_at,
        known_from_at,
        message_action
    from {{ ref('stg_messages') }}
    where not (is_machine and message_action in ('opened', 'clicked'))

),

messages_of_people as (

    {{ rows_of_people('messages', 'occurred_at', 'from_91d_at') }}

),

person_totals as (

    select
        as_of,
        as_of_at,
        person_id,
        count(*) filter (where message_action = 'sent') as messages_sent_91d,
        count(*) filter (where message_action = 'delivered') as messages_delivered_91d,
        {%- for action in ['opened', 'clicked'] %}
        count(*) filter (where message_action = '{{ action }}' and occurred_at >= from_28d_at) as messages_{{ action }}_28d,
        count(*) filter (where message_action = '{{ action }}') as messages_{{ action }}_91d,
        max(occurred_at) filter (where message_action = '{{ action }}') as last_{{ action }}_at,
        {%- endfor %}
        count(*) filter (where message_action = 'bounced') as messages_bounced_91d,
        count(*) filter (where message_action in ('unsubscribed', 'complained')) as unsubscribes_91d
    from messages_of_people
    group by
        as_of,
        as_of_at,
        person_id

),

{# Not every sending tool reports what was sent: then what was delivered tells. #}
person_messages as (

    select
        as_of,
        person_id,
        greatest(messages_sent_91d, messages_delivered_91d) as messages_received_91d,
        messages_opened_28d,
        messages_opened_91d,
        messages_clicked_28d,
        messages_clicked_91d,
        messages_bounced_91d,
        unsubscribes_91d,
        {%- for action in ['opened', 'clicked'] %}
        case
            when greatest(messages_sent_91d, messages_delivered_91d) > 0
                then least(
                    1.0,
                    cast(messages_{{ action }}_91d as double) / greatest(messages_sent_91d, messages_delivered_91d)
                )
        end as messages_{{ action }}_share_91d,
        {{ whole_days('last_' ~ action ~ '_at', 'as_of_at') }} as days_since_message_{{ action }}{{ ',' if not loop.last }}
        {%- endfor %}
    from person_totals

)

select * from person_messages
