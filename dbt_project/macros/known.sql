{# Who knew what when. A row that states its delivery counts from its delivery minus the grace period on;
   a row that does not is taken as known at once. #}

{% macro known_from_at() -%}
    _delivered_at - interval '{{ var("delivery_grace_hours") | int }}' hour
{%- endmacro %}

{# When a version of a contact was stated: a source without a date of its own states it as it delivers. #}
{% macro contact_stated_at() -%}
    coalesce(updated_at, {{ known_from_at() }}, created_at, timestamp '1970-01-01')
{%- endmacro %}

{# From when on a row of a time entity counts: when it happened, or when it was delivered, whichever is later. #}
{% macro counts_from_at(happened_at, known_from_at='known_from_at') -%}
    greatest({{ happened_at }}, coalesce({{ known_from_at }}, {{ happened_at }}))
{%- endmacro %}

{# When the next version of a key begins: the earliest beginning among the later ones in the order in which they were
   stated. #}
{% macro until_next_version(valid_from, key) -%}
    min({{ valid_from }}) over (
        partition by {{ key }}
        order by
            stated_at asc,
            _load_sequence asc nulls first,
            _file asc nulls first,
            _row_number asc nulls first
        rows between 1 following and unbounded following
    )
{%- endmacro %}

{# The versions of a key, each valid from when it was stated and known until a later statement is known.
   `relation` has the columns `stated_at` and `known_from_at`. A version that reached us only after a later statement
   was never valid and leaves. #}
{% macro versions(relation, key) -%}
    select *
    from (
        select
            *,
            {{ until_next_version('valid_from', key) }} as valid_to
        from (
            select
                *,
                {{ counts_from_at('stated_at') }} as valid_from
            from {{ relation }}
        ) as stated
    ) as ordered
    where valid_to is null or valid_from < valid_to
{%- endmacro %}

{# The same where rows are many and wide and few keys have a second version: only those are put in order, by what decides
   their order, so that a million rows are not carried through it. `rows` is the table that `relation` selects from row by
   row, `stated_at` what is there called so; a row is known again by key, load, file and number. #}
{% macro versions_of_wide_rows(relation, key, rows, stated_at) -%}
    {%- set row_id = [key, '_load_sequence', '_file', '_row_number'] %}
    select
        {{ relation }}.*,
        {{ counts_from_at('stated_at') }} as valid_from,
        followed.valid_to
    from {{ relation }}
    left join (
        select
            {{ row_id | join(', ') }},
            {{ until_next_version(counts_from_at('stated_at'), key) }} as valid_to
        from (
            select
                {{ row_id | join(', ') }},
                {{ stated_at }} as stated_at,
                {{ known_from_at() }} as known_from_at
            from {{ rows }}
            where {{ key }} in (select {{ key }} from {{ rows }} group by {{ key }} having count(*) > 1)
        ) as several
    ) as followed
        {%- for column in row_id %}
        {{ 'on' if loop.first else 'and' }} {{ relation }}.{{ column }} is not distinct from followed.{{ column }}
        {%- endfor %}
    where followed.valid_to is null or {{ counts_from_at('stated_at') }} < followed.valid_to
{%- endmacro %}

{# The version, or the identity, that a week sees. Plain comparisons: an `or` would keep outer joins from hashing. #}
{% macro is_valid_at(relation, instant) -%}
    {{ relation }}.valid_from < {{ instant }}
    and coalesce({{ relation }}.valid_to, timestamp '9999-12-31') >= {{ instant }}
{%- endmacro %}
