{# Whom the workspace's block list spares from pressure in a scored week, and why, in the words of the list: by what
   contacts and accounts state, by what people did, by what they asked support for. Segments on the list are added where
   memberships are known. Empty where the list is. #}
{%- set rules = var('persuasion').spared if var('persuasion').enabled else [] -%}
{%- set attribute_rules = rules | selectattr('kind', 'in', ['contacts', 'accounts']) | list -%}
{%- set event_rules = rules | selectattr('kind', 'equalto', 'event') | list if is_delivered('events') else [] -%}
{%- set ticket_rules = rules | selectattr('kind', 'equalto', 'ticket') | list if is_delivered('tickets') else [] -%}

with
{% if attribute_rules or event_rules or ticket_rules %}

weeks as (

    select
        as_of,
        as_of_at
    from {{ ref('int_weeks') }}
    where is_scored

),

identities as (

    select * from {{ ref('int_identities_resolved') }}

),

found as (

    {% for rule in attribute_rules -%}
    select
        weeks.as_of,
        identities.person_id,
        {{ rule.number }} as rule_number
    from {{ ref('stg_contacts') }} as contacts
    {% if rule.kind == 'accounts' -%}
    inner join {{ ref('stg_accounts') }} as accounts
        on contacts.account_id = accounts.account_id
    {% endif -%}
    inner join weeks
        on {{ is_valid_at('contacts', 'weeks.as_of_at') }}
        {{ 'and ' ~ is_valid_at('accounts', 'weeks.as_of_at') if rule.kind == 'accounts' }}
    inner join identities
        on identities.identity_kind = 'contact'
        and contacts.contact_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    where {{ meets(rule.kind ~ '.' ~ rule.column, rule) }}
    {{ 'union' if not loop.last or event_rules or ticket_rules }}
    {% endfor -%}

    {% for rule in event_rules -%}
    select
        weeks.as_of,
        identities.person_id,
        {{ rule.number }} as rule_number
    from (
        select
            {{ acting_identity_kind('events') }} as identity_kind,
            {{ acting_identity_id('events') }} as identity_id,
            events.occurred_at,
            events.known_from_at
        from {{ ref('stg_events') }} as events
        where {{ is_one_of('events.event_name', rule['values']) }}
    ) as events
    inner join weeks
        on events.occurred_at >= weeks.as_of_at - interval '{{ rule.within_days | int }}' day
        and events.occurred_at < weeks.as_of_at
        and coalesce(events.known_from_at < weeks.as_of_at, true)
    inner join identities
        on events.identity_kind = identities.identity_kind
        and events.identity_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    {{ 'union' if not loop.last or ticket_rules }}
    {% endfor -%}

    {% for rule in ticket_rules -%}
    select
        weeks.as_of,
        identities.person_id,
        {{ rule.number }} as rule_number
    from {{ ref('stg_tickets') }} as tickets
    inner join weeks
        on tickets.created_at >= weeks.as_of_at - interval '{{ rule.within_days | int }}' day
        and tickets.created_at < weeks.as_of_at
        and {{ is_valid_at('tickets', 'weeks.as_of_at') }}
    inner join identities
        on identities.identity_kind = 'contact'
        and tickets.contact_id = identities.identity_id
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
    where {{ is_one_of('tickets.ticket_category', rule['values']) }}
    {{ 'union' if not loop.last }}
    {% endfor %}

),

people_spared_pressure as (

    select
        found.as_of,
        found.person_id,
        found.rule_number
    from found
    inner join {{ ref('int_people') }} as people
        on found.as_of = people.as_of
        and found.person_id = people.person_id

)
{% else %}

people_spared_pressure as (

    select
        cast(null as date) as as_of,
        cast(null as ubigint) as person_id,
        cast(0 as integer) as rule_number
    from {{ ref('int_weeks') }}
    where false

)
{% endif %}

select * from people_spared_pressure
