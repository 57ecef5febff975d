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
        identities.identity_id,
        case when identities.identity_kind = 'contact' then identities.identity_id end as contact_id,
        identities.person_id
    from identities
    inner join weeks
        on {{ is_valid_at('identities', 'weeks.as_of_at') }}

),

{# The contacts of a person, the most recently valid first. Deleted contacts leave. #}
ranked_contacts as (

    select
        identities_of_week.as_of,
        identities_of_week.as_of_at,
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

people as (

    select
        ranked_contacts.as_of,
        ranked_contacts.person_id,
        ranked_contacts.contact_id,
        contacts.email_normalized,
        contacts.email,
        contacts.phone,
        contacts.account_id,
        ranked_contacts.created_at,
        {{ whole_days('ranked_contacts.created_at', 'ranked_contacts.as_of_at') }} as days_since_created,
        {%- for column in standard_columns('contacts') %}
        contacts.{{ column }} as contact_{{ column }},
        {%- endfor %}
        {%- for attribute in attributes('contacts', 'feature') %}
        contacts.attr_{{ attribute.name }} as contact_{{ attribute.name }},
        {%- endfor %}
        {%- for column in standard_columns('accounts') %}
        accounts.{{ column }} as account_{{ column }},
        {%- endfor %}
        {%- for attribute in attributes('accounts', 'feature') %}
        accounts.attr_{{ attribute.name }} as account_{{ attribute.name }},
        {%- endfor %}
        {%- for attribute in attributes('contacts', 'label') %}
        contacts.attr_{{ attribute.name }} as label_{{ attribute.name }},
        {%- endfor %}
        contacts.valid_from as contact_valid_from
    from ranked_contacts
    left join contacts
        on ranked_contacts.contact_id = contacts.contact_id
        and {{ is_valid_at('contacts', 'ranked_contacts.as_of_at') }}
    left join accounts
        on contacts.account_id = accounts.account_id
        and {{ is_valid_at('accounts', 'ranked_contacts.as_of_at') }}
    where ranked_contacts.recency_rank = 1

)

select * from people
