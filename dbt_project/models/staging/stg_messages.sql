with

source as (

    select * from {{ source('raw', 'messages') }}

),

harmonized as (

    select
        message_id,
        occurred_at,
        contact_id,
        message_action,
        lower(trim(channel)) as channel,
        campaign,
        offer,
        content,
        coalesce(is_machine, false) as is_machine,
        is_machine is not null as tells_machines,
        lower(trim(treatment_group)) as treatment_group,
        {%- for column in var('persuasion').message_columns %}
        {{ column }},
        {%- endfor %}
        _source,
        _load_sequence,
        _file,
        _row_number,
        {{ known_from_at() }} as known_from_at
    from source

)

select * from harmonized
