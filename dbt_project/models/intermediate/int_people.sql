{# Whoever may not be profiled ends here: every table by person after this one is made of these people. #}
{{ config(plain_texts=['contact_id', 'email', 'email_normalized', 'phone']) }}
with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features or is_scored

),

permitted_people as (

    select
        permissions.as_of,
        permissions.person_id,
        permissions.contact_id,
        permissions.created_at,
        weeks.as_of_at
    from {{ ref('int_profiling_permissions') }} as permissions
    inner join weeks
        on permissions.as_of = weeks.as_of
    where permissions.is_allowed

),

contacts as (

    select * from {{ ref('stg_contacts') }}

),

accounts as (

    select * from {{ ref('stg_accounts') }}

),

people as (

    select
        permitted_people.as_of,
        permitted_people.person_id,
        permitted_people.contact_id,
        contacts.email_normalized,
        contacts.email,
        contacts.phone,
        contacts.account_id,
        permitted_people.created_at,
        {{ whole_days('permitted_people.created_at', 'permitted_people.as_of_at') }} as days_since_created,
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
    from permitted_people
    left join contacts
        on permitted_people.contact_id = contacts.contact_id
        and {{ is_valid_at('contacts', 'permitted_people.as_of_at') }}
    left join accounts
        on contacts.account_id = accounts.account_id
        and {{ is_valid_at('accounts', 'permitted_people.as_of_at') }}

)

select * from people
