with

{{ weeks_and_contact_identities() }},

tickets as (

    select * from {{ ref('stg_tickets') }}

),

tickets_of_people as (

    {{ versions_of_people('tickets', 'created_at') }}

),

{# A source without versions delivers solutions that lie after the week: the week does not see them. #}
tickets_as_known as (

    select
        as_of,
        as_of_at,
        from_91d_at,
        from_365d_at,
        person_id,
        created_at,
        case when solved_at < as_of_at then solved_at end as solved_at,
        case
            when solved_at >= as_of_at then true
            when solved_at is not null then false
            else coalesce(lower(ticket_status) not in ('solved', 'closed', 'resolved'), true)
        end as is_open,
        case when solved_at is null or solved_at < as_of_at then satisfaction end as satisfaction
    from tickets_of_people

),

person_tickets as (

    select
        as_of,
        person_id,
        count(*) filter (where created_at >= from_91d_at) as tickets_91d,
        count(*) filter (where created_at >= from_365d_at) as tickets_365d,
        count(*) filter (where is_open) as open_tickets,
        avg(epoch_us(solved_at) - epoch_us(created_at)) filter (
            where created_at >= from_365d_at
        ) / 3.6e9 as resolution_hours_365d,
        avg({{ exact('satisfaction') }}) filter (where created_at >= from_365d_at) as ticket_satisfaction_365d,
        {{ whole_days('max(created_at)', 'as_of_at') }} as days_since_last_ticket
    from tickets_as_known
    group by
        as_of,
        as_of_at,
        person_id

)

select * from person_tickets
