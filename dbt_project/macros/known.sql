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

{# The versions of a key, each valid from when it was stated and known until a later statement is known.
   `relation` has the columns `stated_at` and `known_from_at`. A version that reached us only after a later statement
   was never valid and leaves. #}
{% macro versions(relation, key) -%}
    select *
    from (
        select
            *,
            min(valid_from) over (
                partition by {{ key }}
                order by
                    stated_at asc,
                    _load_sequence asc nulls first,
                    _file asc nulls first,
                    _row_number asc nulls first
                rows between 1 following and unbounded following
            ) as valid_to
        from (
            select
                *,
                {{ counts_from_at('stated_at') }} as valid_from
            from {{ relation }}
        ) as stated
    ) as ordered
    where valid_to is null or valid_from < valid_to
{%- endmacro %}

{# The version, or the identity, that a week sees. Plain comparisons: an `or` would keep outer joins from hashing. #}
{% macro is_valid_at(relation, instant) -%}
    {{ relation }}.valid_from < {{ instant }}
    and coalesce({{ relation }}.valid_to, timestamp '9999-12-31') >= {{ instant }}
{%- endmacro %}
