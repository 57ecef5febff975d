{# What the people of each segment, and everybody, have of each characteristic, in sums: what profiles and indexes are made
   from, so that everybody is read once. Characteristics are features, levels of categories, phrases that people care for
   and the contents and offers they answer. Only the weeks of this run. #}

{%- set features = feature_catalogue() %}
{%- set measures = features | rejectattr('kind', 'equalto', 'category') | list %}
{%- set numbers = features | selectattr('kind', 'equalto', 'number') | list %}
{%- set categories = features | selectattr('kind', 'equalto', 'category') | list %}
{%- set types = types_of_columns(ref('person_features')) %}
{%- set levels_shown = 8 %}
{%- set score_labels = {
    'brand': 'Care for the brand, 0 to 1',
    'trigger': 'Response to triggers, 0 to 1',
    'event': 'Signs of events, 0 to 1',
    'target': 'Likeness to targets, 0 to 1',
} %}
{%- set phrase_labels = {'trigger': 'Responds to: ', 'event': 'Signs of: ', 'target': 'Is like: '} %}
{%- set preference_labels = {'content': 'Answers the content', 'offer': 'Answers the offer'} %}

{#- Everybody's features, and everybody's with the segments they are in. Written where they are read, because each reader
    needs other columns: a part of the query that several read is kept whole, which takes longer than the reading. #}
{%- set features_of_weeks %}
        select person_features.*
        from {{ ref('person_features') }} as person_features
        inner join weeks
            on person_features.as_of = weeks.as_of
{%- endset %}
{%- set members %}
        select
            coalesce(person_segments.combination, 0) as combination,
            person_features.*
        from {{ ref('person_features') }} as person_features
        inner join weeks
            on person_features.as_of = weeks.as_of
        left join person_segments
            on person_features.as_of = person_segments.as_of
            and person_features.person_id = person_segments.person_id
{%- endset %}

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

{# Which segments a combination stands for is told by any one of its people; all of them are part of everybody, and so is
   who belongs to none. #}
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
    union all
    select distinct
        as_of,
        combination,
        'everybody' as segment_type,
        'everybody' as segment_id
    from person_segments
    union all
    select
        as_of,
        0 as combination,
        'everybody' as segment_type,
        'everybody' as segment_id
    from weeks

),

{# One pass over everybody, then a list of one struct per characteristic, unfolded into rows: a union of as many selects
   says the same, and takes those who trace columns through SQL several seconds. #}
combination_features as (

    {%- if measures %}

    select
        as_of,
        combination,
        unnest([
            {%- for feature in measures %}
            {
                'characteristic': '{{ feature.name }}',
                'people': count({{ feature.name }}),
                'total': {{ exact_total(feature.name, types[feature.name]) }},
                'variance': var_pop(cast({{ feature.name }} as double))
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as measure
    from ({{ members }}
    ) as members
    group by
        as_of,
        combination
    {%- else %}

    select
        as_of,
        combination,
        {
            'characteristic': cast(null as varchar),
            'people': cast(null as bigint),
            'total': cast(null as decimal(38, 6)),
            'variance': cast(null as double)
        } as measure
    from ({{ members }}
    ) as members
    where false
    {%- endif %}

),

{%- if var('affinity').enabled %}

{# Scores of groups, and the phrases that people care for: of everybody else with enough text the score is below that. #}
affinity_scores as (

    select
        affinity_scores.as_of,
        affinity_scores.person_id,
        affinity_scores.phrase_group,
        affinity_scores.phrase,
        affinity_scores.score
    from {{ source('ml', 'affinity_scores') }} as affinity_scores
    inner join weeks
        on affinity_scores.as_of = weeks.as_of
    where
        (affinity_scores.phrase is null or affinity_scores.score >= {{ cares_from() }})
        and affinity_scores.score is not null

),

combination_affinities as (

    select
        affinity_scores.as_of,
        coalesce(person_segments.combination, 0) as combination,
        affinity_scores.phrase_group,
        affinity_scores.phrase,
        count(*) as people,
        sum({{ exact_amount('affinity_scores.score') }}) as total,
        var_pop(affinity_scores.score) as variance
    from affinity_scores
    left join person_segments
        on affinity_scores.as_of = person_segments.as_of
        and affinity_scores.person_id = person_segments.person_id
    group by
        affinity_scores.as_of,
        coalesce(person_segments.combination, 0),
        affinity_scores.phrase_group,
        affinity_scores.phrase

),

{%- endif %}

combination_measures as (

    select
        as_of,
        combination,
        measure.characteristic as characteristic,
        measure.people as people,
        measure.total as total,
        measure.variance as variance
    from combination_features
    where measure.people > 0
    {%- if var('affinity').enabled %}
    union all
    select
        as_of,
        combination,
        phrase_group || '_score' as characteristic,
        people,
        total,
        variance
    from combination_affinities
    where phrase is null
    {%- endif %}

),

segment_means as (

    select
        combination_segments.as_of,
        combination_segments.segment_type,
        combination_segments.segment_id,
        combination_measures.characteristic,
        sum(combination_measures.people) as people,
        cast(sum(combination_measures.total) as double) / sum(combination_measures.people) as segment_value
    from combination_measures
    inner join combination_segments
        on combination_measures.as_of = combination_segments.as_of
        and combination_measures.combination = combination_segments.combination
    group by
        combination_segments.as_of,
        combination_segments.segment_type,
        combination_segments.segment_id,
        combination_measures.characteristic

),

{# The variance of a whole is what its parts vary by within, and what their means vary by between. #}
segment_variances as (

    select
        segment_means.as_of,
        segment_means.segment_type,
        segment_means.segment_id,
        segment_means.characteristic,
        segment_means.people,
        segment_means.segment_value,
        sum(
            combination_measures.people
            * (
                combination_measures.variance
                + power(
                    cast(combination_measures.total as double) / combination_measures.people
                    - segment_means.segment_value,
                    2
                )
            )
            order by combination_measures.combination asc
        )
        / segment_means.people as variance
    from segment_means
    inner join combination_segments
        on segment_means.as_of = combination_segments.as_of
        and segment_means.segment_type = combination_segments.segment_type
        and segment_means.segment_id = combination_segments.segment_id
    inner join combination_measures
        on combination_segments.as_of = combination_measures.as_of
        and combination_segments.combination = combination_measures.combination
        and segment_means.characteristic = combination_measures.characteristic
    group by
        segment_means.as_of,
        segment_means.segment_type,
        segment_means.segment_id,
        segment_means.characteristic,
        segment_means.people,
        segment_means.segment_value

),

{# How uneven the numbers are among everybody. #}
shapes as (

    select
        as_of,
        shape.characteristic as characteristic,
        shape.skewness as skewness
    from (
        {%- if numbers %}
        select
            as_of,
            unnest([
                {%- for feature in numbers %}
                {'characteristic': '{{ feature.name }}', 'skewness': skewness(cast({{ feature.name }} as double))}{{ ',' if not loop.last }}
                {%- endfor %}
            ]) as shape
        from ({{ features_of_weeks }}
        ) as person_features
        group by as_of
        {%- else %}
        select
            as_of,
            {'characteristic': cast(null as varchar), 'skewness': cast(null as double)} as shape
        from ({{ features_of_weeks }}
        ) as person_features
        where false
        {%- endif %}
    ) as measured
    {%- if var('affinity').enabled %}
    union all
    select
        as_of,
        phrase_group || '_score' as characteristic,
        skewness(score) as skewness
    from affinity_scores
    where phrase is null
    group by
        as_of,
        phrase_group
    {%- endif %}

),

feature_measures as (

    select
        segment_variances.as_of,
        segment_variances.segment_type,
        segment_variances.segment_id,
        segment_variances.characteristic,
        {{ said_of(measures, 'segment_variances.characteristic', 'label') }} as label,
        {{ said_of(measures, 'segment_variances.characteristic', 'family') }} as family,
        {{ said_of(measures, 'segment_variances.characteristic', 'kind') }} as kind,
        {{ said_of(measures, 'segment_variances.characteristic', 'unit') }} as unit,
        {{ is_true_of(measures, 'segment_variances.characteristic', 'is_persona_input') }} as is_persona_input,
        segment_variances.people,
        segment_variances.segment_value,
        segment_variances.variance,
        shapes.skewness
    from segment_variances
    left join shapes
        on segment_variances.as_of = shapes.as_of
        and segment_variances.characteristic = shapes.characteristic

),

{# How many people of a combination have each level of each category. #}
combination_categories as (

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
    from ({{ members }}
    ) as members
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
    from ({{ members }}
    ) as members
    where false
    {%- endif %}

),

{# What people's own answers say they answer best; what is guessed from others says nothing of them. #}
combination_preferences as (

    select
        person_preferences.as_of,
        coalesce(person_segments.combination, 0) as combination,
        count(*) as people,
        person_preferences.dimension as feature,
        person_preferences.best_value as level
    from {{ source('ml', 'person_preferences') }} as person_preferences
    inner join weeks
        on person_preferences.as_of = weeks.as_of
    left join person_segments
        on person_preferences.as_of = person_segments.as_of
        and person_preferences.person_id = person_segments.person_id
    where
        person_preferences.dimension in ('{{ preference_labels | join("', '") }}')
        and person_preferences.decided_by = 'person'
        and person_preferences.best_value is not null
    group by
        person_preferences.as_of,
        coalesce(person_segments.combination, 0),
        person_preferences.dimension,
        person_preferences.best_value

),

{%- set all_categories = categories + [] %}
{%- for dimension, label in preference_labels.items() %}
    {%- do all_categories.append({'name': dimension, 'label': label, 'family': 'interest', 'is_persona_input': false}) %}
{%- endfor %}

known_levels as (

    select * from combination_categories
    where level is not null
    union all
    select * from combination_preferences

),

segment_levels as (

    select
        combination_segments.as_of,
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
        combination_segments.as_of,
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

most_frequent_levels as (

    select
        as_of,
        feature,
        level
    from segment_levels
    where segment_type = 'everybody'
    qualify row_number() over (partition by as_of, feature order by people desc, level asc) <= {{ levels_shown }}

),

{# Of a category, the share of each of its most frequent levels among the people whose level is known. #}
category_measures as (

    select
        segment_totals.as_of,
        segment_totals.segment_type,
        segment_totals.segment_id,
        most_frequent_levels.feature || '=' || most_frequent_levels.level as characteristic,
        {{ said_of(all_categories, 'most_frequent_levels.feature', 'label') }} || ': ' || most_frequent_levels.level as label,
        {{ said_of(all_categories, 'most_frequent_levels.feature', 'family') }} as family,
        'category' as kind,
        'share' as unit,
        {{ is_true_of(all_categories, 'most_frequent_levels.feature', 'is_persona_input') }} as is_persona_input,
        segment_totals.people,
        coalesce(segment_levels.people, 0) / cast(segment_totals.people as double) as segment_value,
        coalesce(segment_levels.people, 0) / cast(segment_totals.people as double)
            * (1 - coalesce(segment_levels.people, 0) / cast(segment_totals.people as double)) as variance,
        cast(null as double) as skewness
    from segment_totals
    inner join most_frequent_levels
        on segment_totals.as_of = most_frequent_levels.as_of
        and segment_totals.feature = most_frequent_levels.feature
    left join segment_levels
        on segment_totals.as_of = segment_levels.as_of
        and segment_totals.segment_type = segment_levels.segment_type
        and segment_totals.segment_id = segment_levels.segment_id
        and most_frequent_levels.feature = segment_levels.feature
        and most_frequent_levels.level = segment_levels.level

),

{%- if var('affinity').enabled %}

segment_phrases as (

    select
        combination_segments.as_of,
        combination_segments.segment_type,
        combination_segments.segment_id,
        combination_affinities.phrase_group,
        combination_affinities.phrase,
        sum(combination_affinities.people) as people
    from combination_affinities
    inner join combination_segments
        on combination_affinities.as_of = combination_segments.as_of
        and combination_affinities.combination = combination_segments.combination
    group by
        combination_segments.as_of,
        combination_segments.segment_type,
        combination_segments.segment_id,
        combination_affinities.phrase_group,
        combination_affinities.phrase

),

judged as (

    select
        as_of,
        segment_type,
        segment_id,
        people
    from segment_phrases
    where
        phrase_group = 'brand'
        and phrase is null

),

{# Who has enough text either cares for a phrase or does not; a phrase is told of all segments where anybody cares. #}
phrase_measures as (

    select
        judged.as_of,
        judged.segment_type,
        judged.segment_id,
        phrases.phrase_group || '=' || phrases.phrase as characteristic,
        case phrases.phrase_group
            {%- for group, label in phrase_labels.items() %}
            when '{{ group }}' then '{{ label }}'
            {%- endfor %}
        end || phrases.phrase as label,
        phrases.phrase_group as family,
        'flag' as kind,
        'share' as unit,
        false as is_persona_input,
        judged.people,
        coalesce(segment_phrases.people, 0) / cast(judged.people as double) as segment_value,
        coalesce(segment_phrases.people, 0) / cast(judged.people as double)
            * (1 - coalesce(segment_phrases.people, 0) / cast(judged.people as double)) as variance,
        cast(null as double) as skewness
    from judged
    inner join segment_phrases as phrases
        on judged.as_of = phrases.as_of
        and phrases.segment_type = 'everybody'
        and phrases.phrase_group in ('{{ phrase_labels | join("', '") }}')
        and phrases.phrase is not null
    left join segment_phrases
        on judged.as_of = segment_phrases.as_of
        and judged.segment_type = segment_phrases.segment_type
        and judged.segment_id = segment_phrases.segment_id
        and phrases.phrase_group = segment_phrases.phrase_group
        and phrases.phrase = segment_phrases.phrase

),

{%- endif %}

segment_measures as (

    select
        as_of,
        segment_type,
        segment_id,
        characteristic,
        {%- if var('affinity').enabled %}
        case characteristic
            {%- for group, label in score_labels.items() %}
            when '{{ group }}_score' then '{{ label }}'
            {%- endfor %}
            else label
        end as label,
        case characteristic
            {%- for group in score_labels %}
            when '{{ group }}_score' then '{{ 'interest' if group == 'brand' else group }}'
            {%- endfor %}
            else family
        end as family,
        coalesce(kind, 'number') as kind,
        coalesce(case kind when 'flag' then 'share' else unit end, 'score') as unit,
        {%- else %}
        label,
        family,
        kind,
        case kind when 'flag' then 'share' else unit end as unit,
        {%- endif %}
        coalesce(is_persona_input, false) as is_persona_input,
        cast(people as bigint) as people,
        segment_value,
        variance,
        skewness
    from feature_measures
    union all
    select * from category_measures
    {%- if var('affinity').enabled %}
    union all
    select * from phrase_measures
    {%- endif %}

)

select * from segment_measures
