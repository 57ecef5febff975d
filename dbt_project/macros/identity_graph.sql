{# The graph of identities: what makes one known, and what names two of them, per table that tells of it. Kept tables
   say by these which identities a change of their rows touches. #}

{# What the tables of contacts depend on besides raw rows. The number rises with what is read of them. #}
{% macro identity_graph_rules() -%}
    {{ return(local_md5(tojson([1, var('delivery_grace_hours'), mail_providers()], sort_keys=true))) }}
{%- endmacro %}

{% macro identity_sources() -%}
    {{ return(['int_contact_identifiers', 'int_identity_sightings', 'int_contact_mentions', 'contact_matches']) }}
{%- endmacro %}

{# Identities that a table names: identity_kind, identity_id, seen_from_at. #}
{% macro appearances_in(source, relation) -%}
    {%- if source == 'int_contact_identifiers' %}
    select 'contact' as identity_kind, contact_id as identity_id, known_from_at as seen_from_at from {{ relation }}
    union all
    select 'user', user_id, known_from_at from {{ relation }} where user_id is not null
    {%- elif source == 'int_identity_sightings' %}
    select 'contact' as identity_kind, contact_id as identity_id, seen_from_at from {{ relation }} where contact_id is not null
    union all
    select 'user', user_id, seen_from_at from {{ relation }} where user_id is not null
    union all
    select 'device', device_id, seen_from_at
    from {{ relation }}
    where
        device_id is not null
        {%- if not var('identity').include_anonymous %}
        and coalesce(contact_id, user_id) is not null
        {%- endif %}
    {%- elif source == 'int_contact_mentions' %}
    select 'contact' as identity_kind, contact_id as identity_id, least(stated_from_at, told_from_at) as seen_from_at
    from {{ relation }}
    {%- endif %}
{%- endmacro %}

{# Links that a table tells of, where two rows may tell of the same one: identity_kind, identity_id, other_kind, other_id,
   link_kind, linked_from_at, match_weight. #}
{% macro ties_in(source, relation) -%}
    {%- if source == 'int_contact_identifiers' %}
    {%- for kind, column in [('user', 'user_id'), ('email', 'email_hash'), ('phone', 'phone_hash')] %}
    select
        'contact' as identity_kind,
        contact_id as identity_id,
        '{{ kind }}' as other_kind,
        {{ column }} as other_id,
        'same_{{ kind }}' as link_kind,
        known_from_at as linked_from_at,
        cast(null as double) as match_weight
    from {{ relation }}
    where {{ column }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- elif source == 'int_identity_sightings' %}
    {#- Who was signed in, and on which device. #}
    select
        'contact' as identity_kind,
        contact_id as identity_id,
        'user' as other_kind,
        user_id as other_id,
        'same_user' as link_kind,
        seen_from_at as linked_from_at,
        cast(null as double) as match_weight
    from {{ relation }}
    where contact_id is not null and user_id is not null
    union all
    select
        case when contact_id is not null then 'contact' else 'user' end,
        coalesce(contact_id, user_id),
        'device',
        device_id,
        'same_device',
        seen_from_at,
        null
    from {{ relation }}
    where device_id is not null and coalesce(contact_id, user_id) is not null
    {%- elif source == 'contact_matches' %}
    select
        'contact' as identity_kind,
        contact_id as identity_id,
        'contact' as other_kind,
        other_contact_id as other_id,
        'probabilistic_match' as link_kind,
        matched_from_at as linked_from_at,
        match_weight
    from {{ relation }}
    where is_match
    {%- endif %}
{%- endmacro %}

{# What some rows of a table touch: an identity, or both ends of a link and since when it is known. #}
{% macro touched_identities(source, relation) -%}
    {%- set appearances, ties = appearances_in(source, relation) | trim, ties_in(source, relation) | trim -%}
    {%- if appearances %}
    select {{ hash_of(['identity_kind', 'identity_id']) }} as identity_key, null as other_key, null as linked_from_at
    from ({{ appearances }}) as appearances
    {%- endif %}
    {%- if appearances and ties %}
    union
    {%- endif %}
    {%- if ties %}
    select {{ hash_of(['identity_kind', 'identity_id']) }}, {{ hash_of(['other_kind', 'other_id']) }}, linked_from_at
    from ({{ ties }}) as ties
    {%- endif %}
{%- endmacro %}
