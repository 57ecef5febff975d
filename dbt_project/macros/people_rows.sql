{# The rows of a time entity that a week knows, each with its person. Rows are narrowed to the longest window before
   anything is joined, so that a single week reads no more than it needs. #}
{% macro rows_of_people(rows, happened_at, window_start) -%}
    select
        weeks.as_of,
        weeks.as_of_at,
        weeks.from_28d_at,
        weeks.from_91d_at,
        weeks.from_365d_at,
        identities.person_id,
        rows_in_reach.*
    from (
        select *
        from {{ rows }}
        where {{ happened_at }} >= (select min({{ window_start }}) from weeks)
    ) as rows_in_reach
    inner join identities
        on identities.identity_id = rows_in_reach.contact_id
    inner join weeks
        on rows_in_reach.{{ happened_at }} >= weeks.{{ window_start }}
        and rows_in_reach.{{ happened_at }} < weeks.as_of_at
        and coalesce(rows_in_reach.known_from_at < weeks.as_of_at, true)
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
{%- endmacro %}

{# The versions of a versioned entity that a week sees, each with its person. #}
{% macro versions_of_people(versions, happened_at) -%}
    select
        weeks.as_of,
        weeks.as_of_at,
        weeks.from_28d_at,
        weeks.from_91d_at,
        weeks.from_365d_at,
        identities.person_id,
        {{ versions }}.*
    from {{ versions }}
    inner join identities
        on identities.identity_id = {{ versions }}.contact_id
    inner join weeks
        on {{ versions }}.{{ happened_at }} < weeks.as_of_at
        and {{ is_valid_at(versions, 'weeks.as_of_at') }}
        and {{ is_valid_at('identities', 'weeks.as_of_at') }}
{%- endmacro %}

{% macro weeks_and_contact_identities() -%}
weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features

),

identities as (

    select * from {{ ref('int_identities_resolved') }}
    where identity_kind = 'contact'

)
{%- endmacro %}

{# A part of a whole between 0 and 1; without a whole there is none. #}
{% macro share_of(part, whole) -%}
    ({{ part }}) / nullif(cast(({{ whole }}) as double), 0)
{%- endmacro %}
