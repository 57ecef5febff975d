{# How high a value stands in a declared order, from 1 on; null where it has no place in it. #}
{% macro place_in_order(column, values) -%}
    case lower(trim(cast({{ column }} as varchar)))
        {%- for value in values %}
        when {{ literal((value | string).strip().lower()) }} then {{ loop.index }}
        {%- endfor %}
    end
{%- endmacro %}

{# Contacts whose attribute, or whose account's, stood higher at some moment of the horizon than at the week's end: as_of,
   as_of_at, contact_id, upgraded_at. Who joins a higher account counts as little as who had no value: the account they
   had then is followed. #}
{% macro upgrades_of_contacts(target) -%}
    {%- set key = target.entity[:-1] ~ '_id' %}
    {%- set ends_at = local_midnight('weeks.as_of + ' ~ (target.within_days | int)) %}
    select
        weeks.as_of,
        weeks.as_of_at,
        {{ 'before.contact_id' if target.entity == 'contacts' else 'members.contact_id' }},
        min(later.valid_from) as upgraded_at
    from (
        select *, {{ place_in_order(target.attribute_column, target['values']) }} as place
        from {{ ref('stg_' ~ target.entity) }}
    ) as before
    inner join weeks
        on {{ is_valid_at('before', 'weeks.as_of_at') }}
    inner join (
        select *, {{ place_in_order(target.attribute_column, target['values']) }} as place
        from {{ ref('stg_' ~ target.entity) }}
    ) as later
        on before.{{ key }} = later.{{ key }}
        and later.place > before.place
        and later.valid_from >= weeks.as_of_at
        and later.valid_from < {{ ends_at }}
    {%- if target.entity == 'accounts' %}
    inner join {{ ref('stg_contacts') }} as members
        on before.account_id = members.account_id
        and {{ is_valid_at('members', 'weeks.as_of_at') }}
    {%- endif %}
    group by 1, 2, 3
{%- endmacro %}
