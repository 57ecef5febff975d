{{ config(materialized='table_in_turns', plain_texts=['identity_id']) }}

{%- set bands = ['night', 'morning', 'daytime', 'evening', 'weekend', 'mobile'] -%}
{%- set named = var('event_names') | map(attribute='column') | list -%}
{%- set counts_91d = ['events', 'sessions', 'page_views', 'product_events'] -%}
{%- set counts_28d = counts_91d + ['searches', 'downloads', 'form_submits'] -%}

{# Each sum of a window: its name, what is added, and over how many days. #}
{%- set sums = [] -%}
{%- for count in counts_91d %}{% do sums.append([count ~ '_91d', count, 91]) %}{% endfor -%}
{%- for count in counts_28d %}{% do sums.append([count ~ '_28d', count, 28]) %}{% endfor -%}
{%- for band in bands %}{% do sums.append([band ~ '_events_91d', band ~ '_events', 91]) %}{% endfor -%}
{%- for column in named %}{% do sums.append(['named_' ~ column ~ '_events_28d', 'named_' ~ column ~ '_events', 28]) %}{% endfor %}

{# Summed by identity first, by person after: a hundred days shrink to one row before ids are looked up. Active days
   are bits of one number, so that two devices of a person on the same day count once. Counts are added as doubles,
   which are exact for them and need two thirds of the memory of integer sums: 93 s became 55 s for a million people and
   six weeks, because less is spilled.

   A week after one that stands here, only what entered the windows since and what left them is counted: three weeks of
   days instead of thirteen. As sums are exact, that gives the very same numbers. Days are named where they are read:
   DuckDB would keep all of them in memory for a part of the statement that is used twice. #}
{%- set all_days = ref('int_identity_days') %}
{%- set counted_from = 'coalesce(delivered_on, event_day)' %}
{%- set weeks_that_go_on = weeks_after_standing_ones(identity_event_rules()) %}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features and turn = {{ this_turn() }}

),

{%- if weeks_that_go_on %}

{# A day's part is new if it was not known a week ago. What leaves a window now was in it then, so it was known then. Dates
   stand as such: so the days between, which are most, are not read. Days that came late are few. #}
looked_at as (

    {%- for as_of in weeks_that_go_on %}
    {%- for nearest, farthest, came_late in [(1, 7, false), (8, 28, true), (29, 35, false), (36, 91, true), (92, 98, false)] %}

    select
        {{ as_of }} as as_of,
        cast({{ as_of }} - event_day as integer) as days_before,
        {{ counted_from }} >= {{ as_of }} - 7 as is_new,
        *
    from {{ all_days }}
    where
        event_day between {{ as_of }} - {{ farthest }} and {{ as_of }} - {{ nearest }}
        {%- if came_late %}
        and delivered_on >= {{ as_of }} - 7
        and delivered_on < {{ as_of }}
        {%- else %}
        and {{ counted_from }} < {{ as_of }}
        {%- endif %}
    {%- if not loop.last %}

    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}

    union all
    {%- endif %}
    {%- endfor %}

),

{# Of this turn: another turn's weeks go on there. #}
moves as (

    select
        looked_at.as_of,
        {{ acting_identity_kind('looked_at') }} as identity_kind,
        {{ acting_identity_id('looked_at') }} as identity_id,
        {%- for days in [91, 28] %}
        cast(
            case
                when is_new and days_before <= {{ days }} then 1
                when not is_new and days_before between {{ days + 1 }} and {{ days + 7 }} then -1
                else 0
            end as double
        ) as change_{{ days }}d,
        {%- endfor %}
        {%- for source in sums | map(attribute=1) | unique %}
        {{ source }},
        {%- endfor %}
        case when is_new and days_before <= 91 then cast(1 as hugeint) << days_before end as active_days,
        case when is_new and days_before <= 91 then last_event_at end as last_event_at
    from looked_at
    inner join weeks
        on looked_at.as_of = weeks.as_of

),

changes as (

    select
        as_of,
        identity_kind,
        identity_id,
        {%- for name, source, days in sums %}
        change_{{ days }}d * {{ source }} as {{ name }},
        {%- endfor %}
        active_days,
        last_event_at
    from moves

    union all

    {# Days are a week further back, and those beyond the ninety-first are out of sight. #}
    select
        weeks.as_of,
        totals.identity_kind,
        totals.identity_id,
        {%- for name, source, days in sums %}
        cast(totals.{{ name }} as double) as {{ name }},
        {%- endfor %}
        (totals.active_days & {{ bits_of_days(1, 84) }}) << 7 as active_days,
        totals.last_event_at
    from {{ this }} as totals
    inner join weeks
        on totals.as_of = weeks.as_of - 7
    where weeks.as_of in ({{ weeks_that_go_on | join(', ') }})

),

totals_that_go_on as (

    select
        as_of,
        identity_kind,
        identity_id,
        {%- for name, source, days in sums %}
        sum({{ name }}) as {{ name }},
        {%- endfor %}
        coalesce(bit_or(active_days), 0) as active_days,
        max(last_event_at) as last_event_at
    from changes
    group by
        as_of,
        identity_kind,
        identity_id
    having coalesce(bit_or(active_days), 0) <> 0

),

{%- endif %}

{# Each of a week's 91 days once: joined by equality, and small enough to prune the days before they are read. #}
days_of_weeks as (

    select
        as_of,
        as_of - cast(days_before as integer) as event_day,
        cast(days_before as integer) as days_before
    from weeks
    cross join (select unnest(range(1, 92)) as days_before) as window_days
    {%- if weeks_that_go_on %}
    where as_of not in ({{ weeks_that_go_on | join(', ') }})
    {%- endif %}

),

totals_of_all_days as (

    select
        days_of_weeks.as_of,
        {{ acting_identity_kind('identity_days') }} as identity_kind,
        {{ acting_identity_id('identity_days') }} as identity_id,
        {%- for name, source, days in sums %}
        {%- if days < 91 %}
        sum(cast(case when days_before <= {{ days }} then {{ source }} else 0 end as double)) as {{ name }},
        {%- else %}
        sum(cast(identity_days.{{ source }} as double)) as {{ name }},
        {%- endif %}
        {%- endfor %}
        bit_or(cast(1 as hugeint) << days_of_weeks.days_before) as active_days,
        max(identity_days.last_event_at) as last_event_at
    from {{ all_days }} as identity_days
    inner join days_of_weeks
        on identity_days.event_day = days_of_weeks.event_day
        and coalesce(identity_days.delivered_on, identity_days.event_day) < days_of_weeks.as_of
    group by 1, 2, 3

),

identity_totals as (

    {%- if weeks_that_go_on %}

    select * from totals_that_go_on
    union all
    {%- endif %}

    select * from totals_of_all_days

)

{# Stored as integers: those pack to a fraction of what doubles take, and writing them is a third of the work here. #}
select
    as_of,
    identity_kind,
    identity_id,
    {%- for name, source, days in sums %}
    cast({{ name }} as integer) as {{ name }},
    {%- endfor %}
    active_days,
    last_event_at,
    {{ identity_event_rules() }} as event_rules
from identity_totals
