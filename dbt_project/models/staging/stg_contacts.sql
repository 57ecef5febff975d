with

source as (

    select * from {{ source('raw', 'contacts') }}

),

stated as (

    select
        contact_id,
        user_id,
        created_at,
        updated_at,
        email,
        {{ comparable_email('email') }} as email_normalized,
        phone,
        first_name,
        last_name,
        job_title,
        account_id,
        country,
        city,
        postal_code,
        language,
        timezone,
        coalesce(is_deleted, false) as is_deleted,
        {%- for attribute in attributes('contacts', 'feature') + attributes('contacts', 'label') + attributes('contacts', 'text') %}
        attr_{{ attribute.name }},
        {%- endfor %}
        {%- for column in protecting_columns('contacts') %}
        {{ column }},
        {%- endfor %}
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at,
        {{ contact_stated_at() }} as stated_at
    from source

),

versions as (

    {{ versions_of_wide_rows('stated', 'contact_id', source('raw', 'contacts'), contact_stated_at()) }}

)

select * from versions
