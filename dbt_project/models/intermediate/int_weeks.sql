with

run_weeks as (

    select * from {{ source('raw', 'run_weeks') }}

),

{# What the events of a quarter come to; nothing where there are none. #}
event_span as (

    select
        count(*) as events,
        date_diff('day', min(occurred_at), max(occurred_at)) + 1 as days
    from {{ source('raw', 'events') }}

),

{# So many weeks are computed together that memory holds what is counted; the others take their turn after them. #}
turns as (

    select
        run_weeks.as_of,
        cast(
            floor(
                (row_number() over (partition by run_weeks.build_features order by run_weeks.as_of) - 1)
                / greatest(1, coalesce(floor({{ var('events_of_a_turn') }} * event_span.days / (91.0 * nullif(event_span.events, 0))), 520))
            ) as integer
        ) as turn
    from run_weeks
    cross join event_span

),

weeks as (

    select
        run_weeks.as_of,
        run_weeks.as_of_at,
        run_weeks.is_scored,
        run_weeks.build_features,
        run_weeks.feature_fingerprint,
        turns.turn,
        {{ local_midnight('run_weeks.as_of - 28') }} as from_28d_at,
        {{ local_midnight('run_weeks.as_of - 91') }} as from_91d_at,
        {{ local_midnight('run_weeks.as_of - 365') }} as from_365d_at
    from run_weeks
    inner join turns
        on run_weeks.as_of = turns.as_of

)

select * from weeks
