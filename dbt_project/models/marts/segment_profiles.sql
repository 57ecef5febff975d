{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

{%- set features = feature_catalogue() %}
{%- set measures = features | rejectattr('kind', 'equalto', 'category') | list %}
{%- set categories = features | selectattr('kind', 'equalto', 'category') | list %}
{%- set levels_shown = 8 %}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

memberships as (

    select
        segment_memberships.as_of,
        segment_memberships.person_id,
        segment_memberships.segment_type,
        segment_memberships.segment_id
    from {{ ref('segment_memberships') }} as segment_memberships
    inner join weeks
        on segment_memberships.as_of = weeks.as_of

),

person_features as (

    select person_features.*
    from {{ ref('person_features') }} as person_features
    inner join weeks
        on person_features.as_of = weeks.as_of

),

{# People who belong to the same segments are added up once, whatever the number of segments: what a segment or
   everybody comes to is added from there. #}
person_segments as (

    select
        as_of,
        person_id,
        sum(cast({{ hash_of(['segment_type', 'segment_id']) }} as hugeint)) as combination
    from memberships
    group by
        as_of,
        person_id

),

members as (

    select
        coalesce(person_segments.combination, 0) as combination,
        person_features.*
    from person_features
    left join person_segments
        on person_features.as_of = person_segments.as_of
        and person_features.person_id = person_segments.person_id

),

{# Which segments a combination stands for is told by any one of its people. #}
combination_segments as (

    select
        memberships.as_of,
        representatives.combination,
        memberships.segment_type,
        memberships.segment_id
    from memberships
    inner join (
        select
            as_of,
            combination,
            min(person_id) as person_id
        from person_segments
        group by
            as_of,
            combination
    ) as representatives
        on memberships.as_of = representatives.as_of
        and memberships.person_id = representatives.person_id

),

segment_people as (

    select
        as_of,
        segment_type,
        segment_id,
        count(*) as people
    from memberships
    group by
        as_of,
        segment_type,
        segment_id

),

{# One pass over everybody, then a list of one struct per characteristic, unfolded into rows: a union of as many selects
   says the same, and takes those who trace columns through SQL several seconds. #}
combination_measures as (

    {%- if measures %}

    select
        as_of,
        combination,
        unnest([
            {%- for feature in measures %}
            {
                'characteristic': '{{ feature.name }}',
                'label': {{ literal(feature.label) }},
                'family': '{{ feature.family }}',
                'kind': '{{ feature.kind }}',
                'unit': {{ literal('share' if feature.kind == 'flag' else feature.unit) }},
                'people': count({{ feature.name }}),
                'total': sum({{ exact_amount(feature.name) }}),
                'variance': var_pop(cast({{ feature.name }} as double))
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as measure
    from members
    group by
        as_of,
        combination
    {%- else %}

    select
        as_of,
        combination,
        {
            'characteristic': cast(null as varchar),
            'label': cast(null as varchar),
            'family': cast(null as varchar),
            'kind': cast(null as varchar),
            'unit': cast(null as varchar),
            'people': cast(null as bigint),
            'total': cast(null as decimal(38, 6)),
            'variance': cast(null as double)
        } as measure
    from members
    where false
    {%- endif %}

),

measures as (

    select
        as_of,
        combination,
        measure.characteristic as characteristic,
        measure.label as label,
        measure.family as family,
        measure.kind as kind,
        measure.unit as unit,
        measure.people as people,
        measure.total as total,
        measure.variance as variance
    from combination_measures
    where measure.people > 0

),

base_means as (

    select
        as_of,
        characteristic,
        sum(people) as people,
        cast(sum(total) as double) / sum(people) as base_value
    from measures
    group by
        as_of,
        characteristic

),

{# The variance of a whole is what its parts vary by within, and what their means vary by between. #}
base_measures as (

    select
        measures.as_of,
        measures.characteristic,
        base_means.base_value,
        sqrt(
            sum(
                measures.people
                * (
                    measures.variance
                    + power(cast(measures.total as double) / measures.people - base_means.base_value, 2)
                )
                order by measures.combination asc
            )
            / base_means.people
        ) as base_sd
    from measures
    inner join base_means
        on measures.as_of = base_means.as_of
        and measures.characteristic = base_means.characteristic
    group by
        measures.as_of,
        measures.characteristic,
        base_means.base_value,
        base_means.people

),

segment_measures as (

    select
        measures.as_of,
        combination_segments.segment_type,
        combination_segments.segment_id,
        measures.characteristic,
        measures.label,
        measures.family,
        measures.kind,
        measures.unit,
        cast(sum(measures.total) as double) / sum(measures.people) as segment_value
    from measures
    inner join combination_segments
        on measures.as_of = combination_segments.as_of
        and measures.combination = combination_segments.combination
    group by
        measures.as_of,
        combination_segments.segment_type,
        combination_segments.segment_id,
        measures.characteristic,
        measures.label,
        measures.family,
        measures.kind,
        measures.unit

),

measure_profiles as (

    select
        segment_measures.as_of,
        segment_measures.segment_type,
        segment_measures.segment_id,
        segment_measures.characteristic,
        segment_measures.label,
        segment_measures.family,
        segment_measures.kind,
        segment_measures.unit,
        segment_measures.segment_value,
        base_measures.base_value,
        base_measures.base_sd
    from segment_measures
    inner join base_measures
        on segment_measures.as_of = base_measures.as_of
        and segment_measures.characteristic = base_measures.characteristic

),

{# How many people of a combination have each level of each category. #}
combination_levels as (

    {%- if categories %}

    select
        as_of,
        combination,
        count(*) as people,
        case
            {%- for feature in categories %}
            when grouping({{ feature.name }}) = 0 then '{{ feature.name }}'
            {%- endfor %}
        end as feature,
        case
            {%- for feature in categories %}
            when grouping({{ feature.name }}) = 0 then cast({{ feature.name }} as varchar)
            {%- endfor %}
        end as level
    from members
    group by grouping sets (
        {%- for feature in categories %}
        (as_of, combination, {{ feature.name }}){{ ',' if not loop.last }}
        {%- endfor %}
    )
    {%- else %}

    select
        as_of,
        combination,
        cast(null as bigint) as people,
        cast(null as varchar) as feature,
        cast(null as varchar) as level
    from members
    where false
    {%- endif %}

),

known_levels as (

    select * from combination_levels
    where level is not null

),

base_levels as (

    select
        as_of,
        feature,
        level,
        people / sum(people) over (partition by as_of, feature) as base_value,
        row_number() over (partition by as_of, feature order by people desc, level asc) as level_rank
    from (
        select
            as_of,
            feature,
            level,
            sum(people) as people
        from known_levels
        group by
            as_of,
            feature,
            level
    ) as counted

),

segment_levels as (

    select
        known_levels.as_of,
        combination_segments.segment_type,
        combination_segments.segment_id,
        known_levels.feature,
        known_levels.level,
        sum(known_levels.people) as people
    from known_levels
    inner join combination_segments
        on known_levels.as_of = combination_segments.as_of
        and known_levels.combination = combination_segments.combination
    group by
        known_levels.as_of,
        combination_segments.segment_type,
        combination_segments.segment_id,
        known_levels.feature,
        known_levels.level

),

segment_totals as (

    select
        as_of,
        segment_type,
        segment_id,
        feature,
        sum(people) as people
    from segment_levels
    group by
        as_of,
        segment_type,
        segment_id,
        feature

),

{# Of a category, the share of each of its most frequent levels among the people whose level is known. #}
category_profiles as (

    select
        segment_totals.as_of,
        segment_totals.segment_type,
        segment_totals.segment_id,
        base_levels.feature || '=' || base_levels.level as characteristic,
        {{ said_of(categories, 'base_levels.feature', 'label') }} || ': ' || base_levels.level as label,
        {{ said_of(categories, 'base_levels.feature', 'family') }} as family,
        'category' as kind,
        'share' as unit,
        coalesce(segment_levels.people, 0) / cast(segment_totals.people as double) as segment_value,
        base_levels.base_value,
        sqrt(base_levels.base_value * (1 - base_levels.base_value)) as base_sd
    from segment_totals
    inner join base_levels
        on segment_totals.as_of = base_levels.as_of
        and segment_totals.feature = base_levels.feature
        and base_levels.level_rank <= {{ levels_shown }}
    left join segment_levels
        on segment_totals.as_of = segment_levels.as_of
        and segment_totals.segment_type = segment_levels.segment_type
        and segment_totals.segment_id = segment_levels.segment_id
        and base_levels.feature = segment_levels.feature
        and base_levels.level = segment_levels.level

),

profiles as (

    select * from measure_profiles
    union all
    select * from category_profiles

),

segment_profiles as (

    select
        profiles.as_of,
        cast(profiles.segment_type as varchar) as segment_type,
        cast(profiles.segment_id as varchar) as segment_id,
        cast(profiles.characteristic as varchar) as characteristic,
        cast(profiles.label as varchar) as label,
        cast(profiles.family as varchar) as family,
        cast(profiles.kind as varchar) as kind,
        cast(profiles.unit as varchar) as unit,
        cast({{ published('profiles.segment_value') }} as double) as segment_value,
        cast({{ published('profiles.base_value') }} as double) as base_value,
        cast({{ published('100 * profiles.segment_value / nullif(profiles.base_value, 0)') }} as double) as index_value,
        cast({{ published('(profiles.segment_value - profiles.base_value) / nullif(profiles.base_sd, 0)') }} as double) as effect_size,
        cast(segment_people.people as bigint) as people
    from profiles
    inner join segment_people
        on profiles.as_of = segment_people.as_of
        and profiles.segment_type = segment_people.segment_type
        and profiles.segment_id = segment_people.segment_id
    where profiles.segment_value is not null

)

select * from segment_profiles
