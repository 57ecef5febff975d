{# Whether people may be used for purposes over channels: the body of int_contactability and int_advertising_permissions.
   `wanted` is a list of {purpose, channel}. Among people who may be profiled, for the weeks of the run. #}
{% macro contactability(wanted) %}
{#- Ad platforms know people by their address, among others. -#}
{%- set by_address = ['email', 'ads'] %}
with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

people as (

    select * from {{ ref('int_people') }}
    where as_of in (select as_of from weeks)

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

{# Addresses are made comparable where they are looked at: few contacts refused. #}
contacts as (

    select
        contact_id,
        email,
        country,
        is_deleted,
        valid_from,
        valid_to
    from {{ ref('stg_contacts') }}

),

statements as (

    select * from {{ ref('int_consent_statements') }}

),

{# All that the contacts of a week's people ever said, and whether the week knew. #}
statements_of_contacts as (

    select
        weeks.as_of,
        identities.person_id,
        statements.purpose,
        statements.channel,
        statements.statement,
        statements.recorded_at,
        statements.recorded_at < weeks.as_of_at
        and coalesce(statements.known_from_at < weeks.as_of_at, true) as is_known
    from statements
    inner join identities
        on statements.contact_id = identities.identity_id
        and identities.identity_kind = 'contact'
    inner join weeks
        on {{ is_statement_of('statements', 'identities', 'weeks.as_of_at') }}

),
{% for each in wanted %}
{%- set by_market = is_basis_by_market(each.purpose) %}

statements_{{ loop.index }} as (

    select
        as_of,
        person_id,
        {{ latest_statements(each.purpose, each.channel, when='is_known') }},
        {{ is_refused_by_now(each.purpose, each.channel) }} as is_contact_refused_by_now,
        {{ is_refused_by_now(each.purpose, each.channel) }} or {{ is_refused_by_now('profiling') }} as is_refused_by_now
    from statements_of_contacts
    group by
        as_of,
        person_id

),
{%- if each.channel in by_address %}

{# An address at which anybody refused, whether they may be profiled or not, and whether the week knew it. #}
refused_addresses_{{ loop.index }} as (

    select
        weeks.as_of,
        {{ comparable_email('contacts.email') }} as email_normalized,
        coalesce(
            bool_or(greatest(said.withdrawn_at, said.objected_at) >= coalesce(said.granted_at, timestamp '0001-01-01')),
            false
        ) as is_known
    from statements_{{ loop.index }} as said
    inner join weeks
        on said.as_of = weeks.as_of
    inner join identities
        on said.person_id = identities.person_id
        and identities.identity_kind = 'contact'
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    inner join contacts
        on identities.identity_id = contacts.contact_id
        and {{ is_valid_at('contacts', 'weeks.as_of_at') }}
    where
        said.is_contact_refused_by_now
        or greatest(said.withdrawn_at, said.objected_at) >= coalesce(said.granted_at, timestamp '0001-01-01')
    group by 1, 2

),
{%- endif %}
{%- if by_market %}

bases_{{ loop.index }} as (

    {{ bases_of_people(each.purpose) }}

),
{%- endif %}

judged_{{ loop.index }} as (

    select
        people.as_of,
        people.person_id,
        people.contact_id,
        people.email_normalized as email,
        said.withdrawn_at,
        said.objected_at,
        said.granted_at,
        {%- if each.channel in by_address %}
        coalesce(said.is_refused_by_now, false) or refused_addresses.email_normalized is not null as is_refused_by_now,
        coalesce(refused_addresses.is_known, false) as is_refused_at_address,
        {%- else %}
        coalesce(said.is_refused_by_now, false) as is_refused_by_now,
        false as is_refused_at_address,
        {%- endif %}
        {%- if by_market %}
        bases.basis_statement,
        {%- endif %}
        {%- if each.channel == 'email' %}
        case
            when people.email_normalized is null then 'no_email'
            else {{ consent_decision(each.purpose, by_market) }}
        end as decision
        {%- else %}
        {{ consent_decision(each.purpose, by_market) }} as decision
        {%- endif %}
    from people
    left join statements_{{ loop.index }} as said
        on people.as_of = said.as_of
        and people.person_id = said.person_id
    {%- if each.channel in by_address %}
    left join refused_addresses_{{ loop.index }} as refused_addresses
        on people.as_of = refused_addresses.as_of
        and people.email_normalized = refused_addresses.email_normalized
    {%- endif %}
    {%- if by_market %}
    left join bases_{{ loop.index }} as bases
        on people.as_of = bases.as_of
        and people.person_id = bases.person_id
    {%- endif %}

),
{% endfor %}

contactability as (

    {%- for each in wanted %}

    select
        as_of,
        person_id,
        {{ literal(each.channel) }} as channel,
        {{ literal(each.purpose) }} as purpose,
        contact_id,
        email,
        decision in ('granted', 'legal_basis') and not is_refused_at_address as is_allowed,
        is_refused_by_now,
        case
            when decision in ('granted', 'legal_basis') and is_refused_at_address then 'refused_at_address'
            else {{ decision_reason(each.purpose, is_basis_by_market(each.purpose)) }}
        end as decision_reason,
        case decision
            when 'granted' then granted_at
            when 'withdrawn' then withdrawn_at
            when 'objected' then objected_at
        end as consent_recorded_at
    from judged_{{ loop.index }}
    {%- if not loop.last %}

    union all
    {%- endif %}
    {%- endfor %}

)

select * from contactability
{% endmacro %}
