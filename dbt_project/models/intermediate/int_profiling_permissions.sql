{{ config(plain_texts=['contact_id']) }}
{%- set purpose = 'profiling' -%}
{%- set by_market = is_basis_by_market(purpose) -%}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features or is_scored

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

contacts as (

    select * from {{ ref('stg_contacts') }}

),

statements as (

    select * from {{ ref('int_consent_statements') }}
    where {{ speaks_for(purpose) }} or {{ withdraws(purpose) }} or {{ objects() }}

),

identities_of_week as (

    select
        weeks.as_of,
        weeks.as_of_at,
        identities.identity_id,
        case when identities.identity_kind = 'contact' then identities.identity_id end as contact_id,
        identities.person_id
    from identities
    inner join weeks
        on {{ is_valid_at('identities', 'weeks.as_of_at') }}
    where identities.makes_person

),

{# The contacts of a person, the most recently valid first. Deleted contacts leave. #}
ranked_contacts as (

    select
        identities_of_week.as_of,
        identities_of_week.person_id,
        identities_of_week.contact_id,
        min(contacts.created_at) over (
            partition by identities_of_week.as_of, identities_of_week.person_id
        ) as created_at,
        row_number() over (
            partition by identities_of_week.as_of, identities_of_week.person_id
            order by contacts.valid_from desc nulls last, identities_of_week.identity_id asc
        ) as recency_rank
    from identities_of_week
    left join contacts
        on identities_of_week.contact_id = contacts.contact_id
        and {{ is_valid_at('contacts', 'identities_of_week.as_of_at') }}
    where not coalesce(contacts.is_deleted, false)

),

{# What any contact of a person said, as far as the week knows. #}
statements_of_people as (

    select
        weeks.as_of,
        identities.person_id,
        {{ latest_statements(purpose) }}
    from statements
    inner join identities
        on statements.contact_id = identities.identity_id
        and identities.identity_kind = 'contact'
    inner join weeks
        on statements.recorded_at < weeks.as_of_at
        and coalesce(statements.known_from_at < weeks.as_of_at, true)
        and {{ is_statement_of('statements', 'identities', 'weeks.as_of_at') }}
    group by
        weeks.as_of,
        identities.person_id

),
{% if by_market %}

bases_of_people as (

    {{ bases_of_people(purpose) }}

),
{% endif %}

judged as (

    select
        ranked_contacts.as_of,
        ranked_contacts.person_id,
        ranked_contacts.contact_id,
        ranked_contacts.created_at,
        {%- if by_market %}
        bases_of_people.basis_statement,
        {%- endif %}
        {{ consent_decision(purpose, by_market) }} as decision
    from ranked_contacts
    left join statements_of_people
        on ranked_contacts.as_of = statements_of_people.as_of
        and ranked_contacts.person_id = statements_of_people.person_id
    {%- if by_market %}
    left join bases_of_people
        on ranked_contacts.as_of = bases_of_people.as_of
        and ranked_contacts.person_id = bases_of_people.person_id
    {%- endif %}
    where ranked_contacts.recency_rank = 1

),

permissions as (

    select
        as_of,
        person_id,
        contact_id,
        created_at,
        decision in ('granted', 'legal_basis') as is_allowed,
        {{ decision_reason(purpose, by_market) }} as decision_reason
    from judged

)

select * from permissions
