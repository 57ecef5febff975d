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

segment_people as (

    select
        as_of,
        segment_type,
        segment_id,
        count(*) as people
    from memberships
    group by 1, 2, 3

),

{# One pass over the segments' people and one over everybody, a column per characteristic. #}
segment_means as (

    select
        memberships.as_of,
        memberships.segment_type,
        memberships.segment_id,
        {%- for feature in measures %}
        {{ exact_mean('person_features.' ~ feature.name) }} as {{ feature.name }},
        {%- endfor %}
        count(*) as people
    from memberships
    inner join person_features
        on memberships.as_of = person_features.as_of
        and memberships.person_id = person_features.person_id
    group by 1, 2, 3

),

base_means as (

    select
        as_of,
        {%- for feature in measures %}
        {{ exact_mean(feature.name) }} as {{ feature.name }},
        stddev_pop(cast({{ feature.name }} as double)) as {{ feature.name }}__sd,
        {%- endfor %}
        count(*) as people
    from person_features
    group by as_of

),

{# A list of one struct per characteristic, unfolded into rows: a union of as many selects says the same, and takes
   those who trace columns through SQL several seconds. #}
measures as (

    {%- if measures %}

    select
        segment_means.as_of,
        segment_means.segment_type,
        segment_means.segment_id,
        unnest([
            {%- for feature in measures %}
            {
                'characteristic': '{{ feature.name }}',
                'label': {{ literal(feature.label) }},
                'family': '{{ feature.family }}',
                'kind': '{{ feature.kind }}',
                'unit': {{ literal('share' if feature.kind == 'flag' else feature.unit) }},
                'segment_value': segment_means.{{ feature.name }},
                'base_value': base_means.{{ feature.name }},
                'base_sd': base_means.{{ feature.name }}__sd
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as measure
    from segment_means
    inner join base_means
        on segment_means.as_of = base_means.as_of
    {%- else %}

    select
        as_of,
        segment_type,
        segment_id,
        {
            'characteristic': cast(null as varchar),
            'label': cast(null as varchar),
            'family': cast(null as varchar),
            'kind': cast(null as varchar),
            'unit': cast(null as varchar),
            'segment_value': cast(null as double),
            'base_value': cast(null as double),
            'base_sd': cast(null as double)
        } as measure
    from segment_people
    where false
    {%- endif %}

),

measure_profiles as (

    select
        as_of,
        segment_type,
        segment_id,
        measure.characteristic as characteristic,
        measure.label as label,
        measure.family as family,
        measure.kind as kind,
        measure.unit as unit,
        measure.segment_value as segment_value,
        measure.base_value as base_value,
        measure.base_sd as base_sd
    from measures

),
{% for feature in categories %}

{{ feature.name }}__counts as (

    select
        as_of,
        cast({{ feature.name }} as varchar) as level,
        count(*) as people
    from person_features
    where {{ feature.name }} is not null
    group by 1, 2

),

{{ feature.name }}__levels as (

    select
        as_of,
        level,
        people / sum(people) over (partition by as_of) as base_value,
        row_number() over (partition by as_of order by people desc, level asc) as level_rank
    from {{ feature.name }}__counts

),

{{ feature.name }}__segment_counts as (

    select
        memberships.as_of,
        memberships.segment_type,
        memberships.segment_id,
        cast(person_features.{{ feature.name }} as varchar) as level,
        count(*) as people
    from memberships
    inner join person_features
        on memberships.as_of = person_features.as_of
        and memberships.person_id = person_features.person_id
    where person_features.{{ feature.name }} is not null
    group by 1, 2, 3, 4

),

{{ feature.name }}__segment_totals as (

    select
        as_of,
        segment_type,
        segment_id,
        sum(people) as people
    from {{ feature.name }}__segment_counts
    group by 1, 2, 3

),
{% endfor %}

{# Of a category, the share of each of its most frequent levels among the people whose level is known. #}
category_profiles as (

    {%- for feature in categories %}

    select
        totals.as_of,
        totals.segment_type,
        totals.segment_id,
        '{{ feature.name }}=' || levels.level as characteristic,
        {{ literal(feature.label ~ ': ') }} || levels.level as label,
        '{{ feature.family }}' as family,
        'category' as kind,
        'share' as unit,
        coalesce(counts.people, 0) / cast(totals.people as double) as segment_value,
        levels.base_value,
        sqrt(levels.base_value * (1 - levels.base_value)) as base_sd
    from {{ feature.name }}__segment_totals as totals
    inner join {{ feature.name }}__levels as levels
        on totals.as_of = levels.as_of
        and levels.level_rank <= {{ levels_shown }}
    left join {{ feature.name }}__segment_counts as counts
        on totals.as_of = counts.as_of
        and totals.segment_type = counts.segment_type
        and totals.segment_id = counts.segment_id
        and levels.level = counts.level

    union all
    {%- endfor %}

    select * from measure_profiles
    where false

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
