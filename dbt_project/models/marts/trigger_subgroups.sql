{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

{%- set is_declared = var('affinity').enabled %}
{%- set has_clicks = is_delivered('messages') %}
{%- set sources = ['page', 'search', 'product', 'message'] %}
{%- set told = 3 %}

with

{# Outside the condition: what a run replaces is looked up there whether phrases are listed or not. #}
weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),
{% if is_declared %}

memberships as (

    select segment_memberships.*
    from {{ ref('segment_memberships') }} as segment_memberships
    inner join weeks
        on segment_memberships.as_of = weeks.as_of
    where segment_memberships.segment_type in ('persona', 'defined_persona')

),

contactable as (

    select
        as_of,
        person_id
    from {{ ref('int_contactability') }}
    where
        channel = {{ literal(var('activation').channel) }}
        and purpose = {{ literal(var('activation').purpose) }}
        and is_allowed

),

clicks as (

    select
        person_features.as_of,
        person_features.person_id,
        {{ 'person_features.messages_received_91d' if has_clicks else 'cast(null as bigint)' }} as messages_received,
        {{ 'person_features.messages_clicked_91d' if has_clicks else 'cast(null as bigint)' }} as messages_clicked
    from {{ ref('person_features') }} as person_features
    inner join weeks
        on person_features.as_of = weeks.as_of

),

people as (

    select
        memberships.as_of,
        memberships.person_id,
        memberships.segment_type,
        memberships.segment_id,
        contactable.person_id is not null as is_contactable,
        coalesce(clicks.messages_received, 0) > 0 as is_written_to,
        coalesce(clicks.messages_clicked, 0) > 0 and clicks.messages_received > 0 as has_clicked
    from memberships
    left join contactable
        on memberships.as_of = contactable.as_of
        and memberships.person_id = contactable.person_id
    left join clicks
        on memberships.as_of = clicks.as_of
        and memberships.person_id = clicks.person_id

),

segments as (

    select
        as_of,
        segment_type,
        segment_id,
        cast(count(*) filter (where is_written_to) as double) as segment_written_to,
        count(*) filter (where has_clicked) as segment_clicked
    from people
    group by
        as_of,
        segment_type,
        segment_id

),

{# Who responds to a trigger: whose texts say it as clearly as one fresh mention. #}
responses as (

    select
        people.as_of,
        people.person_id,
        people.segment_type,
        people.segment_id,
        people.is_contactable,
        people.is_written_to,
        people.has_clicked,
        affinity_scores.phrase,
        affinity_scores.evidence_1,
        affinity_scores.evidence_2,
        affinity_scores.evidence_3
    from {{ source('ml', 'affinity_scores') }} as affinity_scores
    inner join people
        on affinity_scores.as_of = people.as_of
        and affinity_scores.person_id = people.person_id
    where
        affinity_scores.phrase_group = 'trigger'
        and affinity_scores.phrase is not null
        and affinity_scores.score >= {{ cares_from() }}

),

subgroups as (

    select
        as_of,
        segment_type,
        segment_id,
        phrase,
        count(*) as people,
        count(*) filter (where is_contactable) as contactable_people,
        cast(count(*) filter (where is_written_to) as double) as written_to,
        count(*) filter (where has_clicked) as clicked
    from responses
    group by
        as_of,
        segment_type,
        segment_id,
        phrase

),

{# Pages, searches, products and messages that made their scores. What few people said is told of nobody. #}
contents as (

    select
        as_of,
        segment_type,
        segment_id,
        phrase,
        content,
        count(distinct person_id) as people
    from (
        {% for piece in range(1, 4) -%}
        select
            as_of,
            segment_type,
            segment_id,
            phrase,
            person_id,
            evidence_{{ piece }} as content
        from responses
        {% if not loop.last %}union all
        {% endif %}
        {%- endfor %}
    ) as pieces
    where split_part(content, ': ', 1) in ('{{ sources | join("', '") }}')
    group by
        as_of,
        segment_type,
        segment_id,
        phrase,
        content
    having count(distinct person_id) >= {{ var('minimum_cell') | int }}

),

ranked_contents as (

    select
        *,
        row_number() over (
            partition by as_of, segment_type, segment_id, phrase
            order by people desc, content asc
        ) as place
    from contents

),

contents_of_subgroups as (

    select
        as_of,
        segment_type,
        segment_id,
        phrase,
        {%- for place in range(1, told + 1) %}
        max(content) filter (where place = {{ place }}) as content_{{ place }},
        max(people) filter (where place = {{ place }}) as content_{{ place }}_people{{ ',' if not loop.last }}
        {%- endfor %}
    from ranked_contents
    where place <= {{ told }}
    group by
        as_of,
        segment_type,
        segment_id,
        phrase

),

{# Clicks of those who respond beside those of the rest of the persona. #}
compared as (

    select
        subgroups.*,
        segments.segment_written_to,
        cast(segments.segment_clicked as double) / nullif(segments.segment_written_to, 0) as segment_clicked_share,
        cast(subgroups.clicked as double) / nullif(subgroups.written_to, 0) as clicked_share,
        segments.segment_written_to - subgroups.written_to as others_written_to,
        (segments.segment_clicked - subgroups.clicked)
        / nullif(segments.segment_written_to - subgroups.written_to, 0) as others_clicked_share
    from subgroups
    inner join segments
        on subgroups.as_of = segments.as_of
        and subgroups.segment_type = segments.segment_type
        and subgroups.segment_id = segments.segment_id

),

limits as (

    select
        *,
        {{ share_limit('clicked_share', 'nullif(written_to, 0)', -1) }} as clicked_low,
        {{ share_limit('clicked_share', 'nullif(written_to, 0)', 1) }} as clicked_high,
        {{ share_limit('others_clicked_share', 'nullif(others_written_to, 0)', -1) }} as others_low,
        {{ share_limit('others_clicked_share', 'nullif(others_written_to, 0)', 1) }} as others_high
    from compared

),

judged as (

    select
        *,
        {{ ratio_low('clicked_share', 'clicked_low', 'others_clicked_share', 'others_high') }} as ratio_low,
        case
            when others_low > 0 then {{ ratio_high('clicked_share', 'clicked_high', 'others_clicked_share', 'others_low') }}
        end as ratio_high,
        case when people < {{ var('minimum_cell') | int }} then 'fewer than {{ var('minimum_cell') | int }} people' end
            as abstained_reason,
        people >= {{ var('minimum_cell') | int }}
        and written_to >= {{ var('minimum_cell') | int }}
        and not {{ is_small_cell('clicked') }} as tells_clicks
    from limits

),

trigger_subgroups as (

    select
        judged.as_of,
        judged.segment_type,
        judged.segment_id,
        persona_index.segment_name,
        judged.phrase,
        case when judged.abstained_reason is null then judged.people end as people,
        case when judged.abstained_reason is null then persona_index.segment_value end as people_share,
        case when judged.abstained_reason is null then persona_index.index_value end as index_value,
        case when judged.abstained_reason is null then persona_index.index_low end as index_low,
        case when judged.abstained_reason is null then persona_index.index_high end as index_high,
        case
            when judged.abstained_reason is null and not {{ is_small_cell('judged.contactable_people') }}
                then judged.contactable_people
        end as contactable_people,
        case when judged.tells_clicks then {{ published('judged.clicked_share') }} end as clicked_share,
        case when judged.tells_clicks then {{ published('judged.segment_clicked_share') }} end as segment_clicked_share,
        case
            when judged.tells_clicks
                then {{ published('100 * judged.clicked_share / nullif(judged.segment_clicked_share, 0)') }}
        end as click_index,
        case
            when judged.tells_clicks and judged.segment_clicked_share > 0 and judged.others_written_to > 0
                then {{ published(index_of_ratio('judged.ratio_low', '(judged.written_to / judged.segment_written_to)')) }}
        end as click_index_low,
        case
            when judged.tells_clicks and judged.segment_clicked_share > 0 and judged.others_written_to > 0
                then {{ published(index_of_ratio('judged.ratio_high', '(judged.written_to / judged.segment_written_to)')) }}
        end as click_index_high,
        {%- for place in range(1, told + 1) %}
        contents_of_subgroups.content_{{ place }},
        contents_of_subgroups.content_{{ place }}_people,
        {%- endfor %}
        judged.abstained_reason
    from judged
    inner join {{ ref('persona_index') }} as persona_index
        on judged.as_of = persona_index.as_of
        and judged.segment_type = persona_index.segment_type
        and judged.segment_id = persona_index.segment_id
        and persona_index.characteristic = 'trigger=' || judged.phrase
    left join contents_of_subgroups
        on judged.as_of = contents_of_subgroups.as_of
        and judged.segment_type = contents_of_subgroups.segment_type
        and judged.segment_id = contents_of_subgroups.segment_id
        and judged.phrase = contents_of_subgroups.phrase

),
{% else %}

trigger_subgroups as (

    select
        cast(null as date) as as_of,
        {%- for column in ['segment_type', 'segment_id', 'segment_name', 'phrase', 'people', 'people_share', 'index_value', 'index_low', 'index_high', 'contactable_people', 'clicked_share', 'segment_clicked_share', 'click_index', 'click_index_low', 'click_index_high'] %}
        null as {{ column }},
        {%- endfor %}
        {%- for place in range(1, told + 1) %}
        null as content_{{ place }},
        null as content_{{ place }}_people,
        {%- endfor %}
        null as abstained_reason
    where false

),
{% endif %}

typed as (

    select
        as_of,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(segment_name as varchar) as segment_name,
        cast(phrase as varchar) as phrase,
        cast(people as bigint) as people,
        cast(people_share as double) as people_share,
        cast(index_value as double) as index_value,
        cast(index_low as double) as index_low,
        cast(index_high as double) as index_high,
        cast(contactable_people as bigint) as contactable_people,
        cast(clicked_share as double) as clicked_share,
        cast(segment_clicked_share as double) as segment_clicked_share,
        cast(click_index as double) as click_index,
        cast(click_index_low as double) as click_index_low,
        cast(click_index_high as double) as click_index_high,
        {%- for place in range(1, told + 1) %}
        cast(content_{{ place }} as varchar) as content_{{ place }},
        cast(content_{{ place }}_people as bigint) as content_{{ place }}_people,
        {%- endfor %}
        cast(abstained_reason as varchar) as abstained_reason
    from trigger_subgroups

)

select * from typed
