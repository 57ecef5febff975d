with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features or is_scored

),

identities as (

    select * from {{ ref('int_identities_resolved') }}
    where makes_person

),

contacts as (

    select * from {{ ref('stg_contacts') }}

),

accounts as (

    select * from {{ ref('stg_accounts') }}

),

identities_of_week as (

    select
        weeks.as_of,
        weeks.as_of_at,
        identities.identity_kind,
        identities.identity_id,
        identities.person_id
    from identities
    inner join weeks
        on {{ is_valid_at('identities', 'weeks.as_of_at') }}

),

contacts_of_week as (

    select
        weeks.as_of,
        contacts.*
    from contacts
    inner join weeks
        on {{ is_valid_at('contacts', 'weeks.as_of_at') }}

),

accounts_of_week as (

    select
        weeks.as_of,
        accounts.*
    from accounts
    inner join weeks
        on {{ is_valid_at('accounts', 'weeks.as_of_at') }}

),

{# The contacts of a person, the most recently valid first. Deleted contacts leave. #}
ranked_contacts as (

    select
        identities_of_week.as_of,
        identities_of_week.as_of_at,
        identities_of_week.person_id,
        case when identities_of_week.identity_kind = 'contact' then identities_of_week.identity_id end as contact_id,
        min(contacts_of_week.created_at) over (
            partition by identities_of_week.as_of, identities_of_week.person_id
        ) as created_at,
        row_number() over (
            partition by identities_of_week.as_of, identities_of_week.person_id
            order by contacts_of_week.valid_from desc nulls last, identities_of_week.identity_id asc
        ) as recency_rank
    from identities_of_week
    left join contacts_of_week
        on identities_of_week.as_of = contacts_of_week.as_of
        and identities_of_week.identity_kind = 'contact'
        and identities_of_week.identity_id = contacts_of_week.contact_id
    where not coalesce(contacts_of_week.is_deleted, false)

),

people as (

    select
        ranked_contacts.as_of,
        ranked_contacts.person_id,
        ranked_contacts.contact_id,
        contacts_of_week.email_normalized,
        contacts_of_week.email,
        contacts_of_week.phone,
        contacts_of_week.account_id,
        ranked_contacts.created_at,
        {{ whole_days('ranked_contacts.created_at', 'ranked_contacts.as_of_at') }} as days_since_created,
        {%- for column in standard_columns('contacts') %}
        contacts_of_week.{{ column }} as contact_{{ column }},
        {%- endfor %}
        {%- for attribute in attributes('contacts', 'feature') %}
        contacts_of_week.attr_{{ attribute.name }} as contact_{{ attribute.name }},
        {%- endfor %}
        {%- for column in standard_columns('accounts') %}
        accounts_of_week.{{ column }} as account_{{ column }},
        {%- endfor %}
        {%- for attribute in attributes('accounts', 'feature') %}
        accounts_of_week.attr_{{ attribute.name }} as account_{{ attribute.name }},
        {%- endfor %}
        {%- for attribute in attributes('contacts', 'label') %}
        contacts_of_week.attr_{{ attribute.name }} as label_{{ attribute.name }},
        {%- endfor %}
        contacts_of_week.valid_from as contact_valid_from
    from ranked_contacts
    left join contacts_of_week
        on ranked_contacts.as_of = contacts_of_week.as_of
        and ranked_contacts.contact_id = contacts_of_week.contact_id
    left join accounts_of_week
        on ranked_contacts.as_of = accounts_of_week.as_of
        and contacts_of_week.account_id = accounts_of_week.account_id
    where ranked_contacts.recency_rank = 1

)

select * from people
