{{ config(materialized='view') }}

with

{# Of the contacts alone: what one row of a contact names together with it. Of what was done: who was signed in, and on
   which device. This view names tables only, because whoever erases people reads it from elsewhere. #}
ties_by_identifier as (
    {%- for source in ['int_contact_identifiers', 'int_identity_sightings'] %}

    select * from (
        {{ ties_in(source, ref(source)) }}
    ) as {{ source }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

ties_by_match as (

    {{ ties_in('contact_matches', ref('contact_matches')) }}

),

links_by_identifier as (

    select
        identity_kind,
        identity_id,
        other_kind,
        other_id,
        link_kind,
        min(linked_from_at) as linked_from_at,
        cast(null as double) as match_weight
    from ties_by_identifier
    group by
        identity_kind,
        identity_id,
        other_kind,
        other_id,
        link_kind

),

{# Two contacts that were described several ways are linked since they first matched. #}
links_by_match as (

    select
        identity_kind,
        identity_id,
        other_kind,
        other_id,
        link_kind,
        min(linked_from_at) as linked_from_at,
        arg_max(match_weight, (-epoch_us(linked_from_at), match_weight)) as match_weight
    from ties_by_match
    group by
        identity_kind,
        identity_id,
        other_kind,
        other_id,
        link_kind

),

links as (

    select * from links_by_identifier
    union all
    select * from links_by_match

)

select * from links
