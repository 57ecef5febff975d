{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

{%- set has_companies = is_delivered('accounts') and is_delivered('contacts') %}
{%- set purpose, channel = var('activation').purpose, var('activation').channel %}
{#- Who is counted, and which of them that are. #}
{%- set audiences = {'everyone': '', 'contactable': ' and is_contactable'} %}
{%- set nobody = 'case when probability is not null then ln(greatest(1 - probability, 1e-9)) end' %}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where is_scored

),

memberships as (

    select segment_memberships.*
    from {{ ref('segment_memberships') }} as segment_memberships
    inner join weeks
        on segment_memberships.as_of = weeks.as_of

),

contactable as (

    select
        as_of,
        person_id
    from {{ ref('int_contactability') }}
    where
        channel = {{ literal(channel) }}
        and purpose = {{ literal(purpose) }}
        and is_allowed

),

{%- if has_companies %}

companies as (

    select
        accounts.account_id,
        weeks.as_of
    from {{ ref('stg_accounts') }} as accounts
    inner join weeks
        on {{ is_valid_at('accounts', 'weeks.as_of_at') }}

),

{%- endif %}

{# What is looked up of a person, once for all segments. #}
people as (

    select
        people.as_of,
        people.person_id,
        contactable.person_id is not null as is_contactable,
        {{ 'companies.account_id' if has_companies else 'cast(null as varchar)' }} as account_id
    from {{ ref('int_people') }} as people
    inner join weeks
        on people.as_of = weeks.as_of
    left join contactable
        on people.as_of = contactable.as_of
        and people.person_id = contactable.person_id
    {%- if has_companies %}
    left join companies
        on people.as_of = companies.as_of
        and people.account_id = companies.account_id
    {%- endif %}

),

segment_names as (

    select
        as_of,
        segment_type,
        segment_id,
        min(segment_name) as segment_name
    from memberships
    group by
        as_of,
        segment_type,
        segment_id

),

{# Who stands in a segment, and how probable it is; who comes second somewhere belongs there with what probability is left.
   A band is drawn by a rule: who is in it is. #}
standing as (

    select
        as_of,
        person_id,
        segment_type,
        segment_id,
        true as is_member,
        case when segment_type in ('persona', 'defined_persona') then membership_strength end as probability
    from memberships
    union all
    select
        as_of,
        person_id,
        segment_type,
        runner_up_segment_id as segment_id,
        false as is_member,
        membership_strength - margin as probability
    from memberships
    where
        segment_type in ('persona', 'defined_persona')
        and runner_up_segment_id is not null
        and membership_strength - margin > 0

),

placed as (

    select
        standing.as_of,
        standing.segment_type,
        standing.segment_id,
        standing.is_member,
        case when standing.probability is not null then least(greatest(standing.probability, 0), 1) end as probability,
        coalesce(people.is_contactable, false) as is_contactable,
        people.account_id
    from standing
    left join people
        on standing.as_of = people.as_of
        and standing.person_id = people.person_id

),

{# Companies first, so that people are counted from far fewer rows. Nobody of a company belongs where all of them do not. #}
companies_of_segments as (

    select
        as_of,
        segment_type,
        segment_id,
        account_id,
        {%- for audience, among in audiences.items() %}
        count(*) filter (where is_member{{ among }}) as {{ audience }}_people,
        sum({{ exact_amount('probability') }}) filter (where true{{ among }}) as {{ audience }}_expected_people,
        sum({{ exact_amount('probability * (1 - probability)') }}) filter (where true{{ among }}) as {{ audience }}_variance,
        1 - exp(cast(sum({{ exact_amount(nobody) }}) filter (where true{{ among }}) as double))
            as {{ audience }}_company_probability{{ ',' if not loop.last }}
        {%- endfor %}
    from placed
    group by
        as_of,
        segment_type,
        segment_id,
        account_id

),

sizes_by_audience as (

    select
        as_of,
        segment_type,
        segment_id,
        unnest([
            {%- for audience in audiences %}
            {
                'audience': '{{ audience }}',
                'people': sum({{ audience }}_people),
                'expected_people': cast(sum({{ audience }}_expected_people) as double),
                'people_error': sqrt(cast(sum({{ audience }}_variance) as double)),
                'companies': count(*) filter (where {{ audience }}_people > 0 and account_id is not null),
                'expected_companies': cast(
                    sum({{ exact_amount(audience ~ '_company_probability') }}) filter (where account_id is not null) as double
                ),
                'companies_error': sqrt(
                    cast(
                        sum({{ exact_amount(audience ~ '_company_probability * (1 - ' ~ audience ~ '_company_probability)') }})
                            filter (where account_id is not null)
                        as double
                    )
                )
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as size
    from companies_of_segments
    group by
        as_of,
        segment_type,
        segment_id

),

sizes as (

    select
        as_of,
        segment_type,
        segment_id,
        size.audience as audience,
        size.people as people,
        size.expected_people as expected_people,
        size.people_error as people_error,
        size.companies as companies,
        size.expected_companies as expected_companies,
        size.companies_error as companies_error
    from sizes_by_audience

),

{# A segment of which nobody may be contacted has a row that says so. #}
sizes_of_segments as (

    select
        segment_names.as_of,
        segment_names.segment_type,
        segment_names.segment_id,
        segment_names.segment_name,
        audiences.audience,
        coalesce(sizes.people, 0) as people,
        sizes.expected_people,
        sizes.people_error,
        coalesce(sizes.companies, 0) as companies,
        sizes.expected_companies,
        sizes.companies_error,
        {{ is_small_cell('coalesce(sizes.people, 0)') }} as is_suppressed
    from segment_names
    inner join (
        select 'everyone' as audience
        union all
        select 'contactable' as audience
    ) as audiences
        on true
    left join sizes
        on segment_names.as_of = sizes.as_of
        and segment_names.segment_type = sizes.segment_type
        and segment_names.segment_id = sizes.segment_id
        and audiences.audience = sizes.audience

),

market_sizes as (

    select
        as_of,
        cast(segment_type as varchar) as segment_type,
        cast(segment_id as varchar) as segment_id,
        cast(segment_name as varchar) as segment_name,
        cast(audience as varchar) as audience,
        cast(case audience when 'contactable' then {{ literal(purpose) }} end as varchar) as purpose,
        cast(case audience when 'contactable' then {{ literal(channel) }} end as varchar) as channel,
        cast(case when not is_suppressed then people end as bigint) as people,
        cast(case when not is_suppressed then {{ published('expected_people') }} end as double) as expected_people,
        cast(
            case
                when not is_suppressed and expected_people is not null
                    then {{ published('greatest(expected_people - ' ~ normal_point() ~ ' * people_error, 0)') }}
            end as double
        ) as people_low,
        cast(
            case
                when not is_suppressed
                    then {{ published('expected_people + ' ~ normal_point() ~ ' * people_error') }}
            end as double
        ) as people_high,
        cast(case when not is_suppressed and {{ has_companies | lower }} then companies end as bigint) as companies,
        cast(case when not is_suppressed and {{ has_companies | lower }} then {{ published('expected_companies') }} end as double) as expected_companies,
        cast(
            case
                when not is_suppressed and {{ has_companies | lower }} and expected_companies is not null
                    then {{ published('greatest(expected_companies - ' ~ normal_point() ~ ' * companies_error, 0)') }}
            end as double
        ) as companies_low,
        cast(
            case
                when not is_suppressed and {{ has_companies | lower }}
                    then {{ published('expected_companies + ' ~ normal_point() ~ ' * companies_error') }}
            end as double
        ) as companies_high,
        is_suppressed
    from sizes_of_segments

)

select * from market_sizes
