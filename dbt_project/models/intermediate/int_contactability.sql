{%- set purpose = var('activation').purpose -%}
{%- set channel = var('activation').channel -%}
{%- set legal_basis = var('legal_basis').get(purpose) -%}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

people as (

    select * from {{ ref('int_people') }}

),

identities as (

    select * from {{ ref('int_identities_resolved') }}
    where identity_kind = 'contact'

),

consents as (

    select * from {{ ref('stg_consents') }}

),

messages as (

    select * from {{ ref('stg_messages') }}

),

{# Whoever unsubscribes or complains withdraws. A consent without a channel is one for every channel. #}
statements as (

    select
        contact_id,
        recorded_at,
        known_from_at,
        consent_state = 'withdrawn' as is_withdrawal
    from consents
    where
        purpose = lower({{ literal(purpose) }})
        and (channel is null or channel = lower({{ literal(channel) }}))

    union all

    select
        contact_id,
        occurred_at as recorded_at,
        known_from_at,
        true as is_withdrawal
    from messages
    where
        message_action in ('unsubscribed', 'complained')
        and channel = lower({{ literal(channel) }})

),

statements_of_people as (

    select
        weeks.as_of,
        identities.person_id,
        max(statements.recorded_at) filter (where statements.is_withdrawal) as withdrawn_at,
        max(statements.recorded_at) filter (where not statements.is_withdrawal) as granted_at
    from statements
    inner join identities
        on statements.contact_id = identities.identity_id
    inner join weeks
        on statements.recorded_at < weeks.as_of_at
        and coalesce(statements.known_from_at < weeks.as_of_at, true)
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    group by
        weeks.as_of,
        identities.person_id

),

judged as (

    select
        people.as_of,
        people.person_id,
        people.contact_id,
        people.email_normalized as email,
        statements_of_people.withdrawn_at,
        statements_of_people.granted_at,
        case
            {%- if channel == 'email' %}
            when people.email_normalized is null then 'no_email'
            {%- endif %}
            when statements_of_people.withdrawn_at >= coalesce(statements_of_people.granted_at, statements_of_people.withdrawn_at)
                then 'withdrawn'
            when statements_of_people.granted_at is not null then 'granted'
            {%- if legal_basis %}
            else 'legal_basis'
            {%- else %}
            else 'no_consent_recorded'
            {%- endif %}
        end as decision
    from people
    inner join weeks
        on people.as_of = weeks.as_of
    left join statements_of_people
        on people.as_of = statements_of_people.as_of
        and people.person_id = statements_of_people.person_id

),

contactability as (

    select
        as_of,
        person_id,
        {{ literal(channel) }} as channel,
        {{ literal(purpose) }} as purpose,
        contact_id,
        email,
        decision in ('granted', 'legal_basis') as is_allowed,
        case
            when decision = 'legal_basis' then {{ literal('legal_basis: ' ~ (legal_basis or '')) }}
            else decision
        end as decision_reason,
        case
            when decision = 'granted' then granted_at
            when decision = 'withdrawn' then withdrawn_at
        end as consent_recorded_at
    from judged

)

select * from contactability
