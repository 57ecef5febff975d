{{ config(pre_hook=before_begin("{{ forget_weeks('is_scored') }}")) }}

{%- set has_companies = is_delivered('accounts') and is_delivered('contacts') %}
{%- set purpose, channel = var('activation').purpose, var('activation').channel %}

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

company_of_person as (

    select
        people.as_of,
        people.person_id,
        people.account_id
    from {{ ref('int_people') }} as people
    inner join companies
        on people.as_of = companies.as_of
        and people.account_id = companies.account_id

),

{%- endif %}

{# What is looked up of a person, once for all segments. #}
people as (

    select
        people.as_of,
        people.person_id,
        contactable.person_id is not null as is_contactable,
        {{ 'company_of_person.account_id' if has_companies else 'cast(null as varchar)' }} as account_id
    from {{ ref('int_people') }} as people
    inner join weeks
        on people.as_of = weeks.as_of
    left join contactable
        on people.as_of = contactable.as_of
        and people.person_id = contactable.person_id
    {%- if has_companies %}
    left join company_of_person
        on people.as_of = company_of_person.as_of
        and people.person_id = company_of_person.person_id
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
placed_by_company as (

    select
        as_of,
        segment_type,
        segment_id,
        account_id,
        is_contactable,
        count(*) filter (where is_member) as people,
        sum({{ exact_amount('probability') }}) as expected_people,
        sum({{ exact_amount('probability * (1 - probability)') }}) as variance,
        sum({{ exact_amount('case when probability is not null then ln(greatest(1 - probability, 1e-9)) end') }}) as nobody
    from placed
    group by
        as_of,
        segment_type,
        segment_id,
        account_id,
        is_contactable

),

by_audience as (

    select
        placed_by_company.as_of,
        placed_by_company.segment_type,
        placed_by_company.segment_id,
        audiences.audience,
        placed_by_company.account_id,
        sum(placed_by_company.people) as people,
        sum(placed_by_company.expected_people) as expected_people,
        sum(placed_by_company.variance) as variance,
        1 - exp(cast(sum(placed_by_company.nobody) as double)) as company_probability
    from placed_by_company
    inner join (
        select 'everyone' as audience
        union all
        select 'contactable' as audience
    ) as audiences
        on placed_by_company.is_contactable
        or audiences.audience = 'everyone'
    group by
        placed_by_company.as_of,
        placed_by_company.segment_type,
        placed_by_company.segment_id,
        audiences.audience,
        placed_by_company.account_id

),

sizes as (

    select
        as_of,
        segment_type,
        segment_id,
        audience,
        sum(people) as people,
        cast(sum(expected_people) as double) as expected_people,
        sqrt(cast(sum(variance) as double)) as people_error,
        count(*) filter (where people > 0 and account_id is not null) as companies,
        cast(
            sum({{ exact_amount('company_probability') }}) filter (where account_id is not null) as double
        ) as expected_companies,
        sqrt(
            cast(
                sum({{ exact_amount('company_probability * (1 - company_probability)') }})
                    filter (where account_id is not null)
                as double
            )
        ) as companies_error
    from by_audience
    group by
        as_of,
        segment_type,
        segment_id,
        audience

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
