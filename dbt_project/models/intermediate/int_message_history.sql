{# From which day on messages tell a scored week of preferences: as far back as the settings say, but no further than
   as many messages as are read at most, and always four weeks. As many tell which time suits a persona to a fraction of
   a percentage point, and nothing more of them would be seen in what a person gets. #}
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

{# By when they came and when that was known, so that each week counts what it knows. #}
counted as (

    select
        cast(messages.occurred_at as date) as sent_day,
        cast(epoch({{ counts_from_at('messages.occurred_at', 'messages.known_from_at') }}) as bigint) // 900 as known_quarter,
        greatest(
            count(*) filter (where messages.message_action = 'sent'),
            count(*) filter (where messages.message_action = 'delivered')
        ) as messages
    from {{ ref('stg_messages') }} as messages
    cross join reach
    where
        messages.message_action in ('sent', 'delivered')
        and messages.occurred_at >= reach.from_at
        and messages.occurred_at < reach.to_at
    group by 1, 2

),

days_of_weeks as (

    select
        weeks.as_of,
        counted.sent_day,
        sum(counted.messages) as messages
    from weeks
    inner join counted
        on counted.sent_day >= {{ history_start('weeks.as_of') }}
        and counted.known_quarter * 900 < epoch(weeks.as_of_at)
    group by 1, 2

),

counted_backwards as (

    select
        as_of,
        sent_day,
        sum(messages) over (partition by as_of order by sent_day desc) as messages_since
    from days_of_weeks

),

starts as (

    select
        as_of,
        min(sent_day) filter (where messages_since <= {{ var('preferences').most_messages | int }}) as starts_on,
        max(messages_since) > {{ var('preferences').most_messages | int }} as is_shortened
    from counted_backwards
    group by as_of

),

message_history as (

    select
        weeks.as_of,
        weeks.as_of_at,
        case
            when starts.is_shortened then least(weeks.as_of - 28, coalesce(starts.starts_on, weeks.as_of - 28))
            else {{ history_start('weeks.as_of') }}
        end as starts_on
    from weeks
    left join starts
        on weeks.as_of = starts.as_of

)

select
    as_of,
    as_of_at,
    starts_on,
    {{ local_midnight('starts_on') }} as from_at
from message_history
