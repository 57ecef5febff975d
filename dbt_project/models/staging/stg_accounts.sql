with

source as (

    select * from {{ source('raw', 'accounts') }}

),

stated as (

    select
        account_id,
        created_at,
        updated_at,
        account_name,
        industry,
        employee_count,
        annual_revenue,
        country,
        plan,
        {%- for attribute in attributes('accounts', 'feature') + attributes('accounts', 'label') + attributes('accounts', 'text') %}
        attr_{{ attribute.name }},
        {%- endfor %}
        {%- for column in protecting_columns('accounts') %}
        {{ column }},
        {%- endfor %}
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at,
        coalesce(updated_at, {{ known_from_at() }}, created_at, timestamp '1970-01-01') as stated_at
    from source

),

versions as (

    {{ versions('stated', 'account_id') }}

)

select * from versions
