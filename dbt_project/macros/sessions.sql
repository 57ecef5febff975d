{# How int_sessions is built: only from days that changed and their neighbours, some days at a time.

   A session is what a visitor does on the web under one session id of the tracker; where the tracker gives none, with no
   more than 30 minutes between two events. It belongs to the local day it starts on and may run past midnight, but not
   past a second one: what still goes on then is another session, a day each. So what one day holds depends on the two
   days before it, and nothing grows without end. What is delivered weeks late makes sessions of its own, so that a week
   never changes. #}

{% macro web_events_at_a_time() %}{{ return(4000000) }}{% endmacro %}

{# What the rows depend on besides the events. #}
{% macro session_rules() -%}
    {{ return(local_md5(tojson(['1', var('timezone'), var('delivery_grace_hours')]))) }}
{%- endmacro %}

{# Whether the table has rows, all of them made by today's rules. #}
{% macro sessions_stand() -%}
    {% if not is_incremental() %}
        {{ return(false) }}
    {% endif %}
    {{ return(run_query("select distinct session_rules from " ~ this).columns[0].values() | list == [session_rules()]) }}
{%- endmacro %}

{# In which later week something of a day was delivered; null where it came within the week. No zone is more than 14 hours
   ahead: what is known before then is known within the week. #}
{% macro delivered_in_week(day, known_from_at) -%}
    case
        when
            {{ known_from_at }} > date_trunc('week', {{ day }}) + interval 154 hour
            and date_trunc('week', {{ local_time(known_from_at) }}) > date_trunc('week', {{ day }})
            then cast(date_trunc('week', {{ local_time(known_from_at) }}) as date)
    end
{%- endmacro %}

{# The days on which sessions start that a change of the events may change: the day before, which may run into it, and two
   days after, whose sessions may have begun there. A few events that come late change late sessions only. #}
{% macro changed_starts_of_sessions() -%}
    select distinct
        cast(changed.changed_day + cast(neighbours.days as integer) as date) as day,
        changed.delivered_in_week
    from (
        select distinct
            changed_day,
            {{ delivered_in_week('changed_day', '(' ~ known_from_at() ~ ')') }} as delivered_in_week
        from {{ source('raw', 'changed_days') }}
        where entity = 'events'
    ) as changed
    cross join (select unnest(range(-1, 3)) as days) as neighbours
{%- endmacro %}

{# Those days, or all. #}
{% macro days_of_sessions(all_days) -%}
    {%- if all_days %}
    select distinct cast(day + cast(days as integer) as date) as day
    from ({{ all_event_days() }}) as every_day
    cross join (select unnest(range(-1, 3)) as days) as neighbours
    where day is not null
    {%- else %}
    select distinct day from ({{ changed_starts_of_sessions() }}) as starts
    {%- endif %}
{%- endmacro %}

{# Before: sessions that start on such a day are forgotten; all of them where the rules changed. #}
{% macro forget_changed_sessions() -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }} as sessions
        {%- if sessions_stand() %}
        using ({{ changed_starts_of_sessions() }}) as starts
        where
            starts.day = sessions.started_on
            and coalesce(starts.delivered_in_week, date '0001-01-01')
            = coalesce(sessions.delivered_in_week, date '0001-01-01')
        {%- endif %}
    {%- endif -%}
{%- endmacro %}

{# The days as spans of days without a gap, to be worked on together: [[first, last], ...]. #}
{% macro session_chunks(all_days) -%}
    {% if not execute %}
        {{ return([]) }}
    {% endif %}
    {% set days = run_query("select day from (" ~ days_of_sessions(all_days) ~ ") as days order by day").columns[0].values() | list %}
    {% if not days %}
        {{ return([]) }}
    {% endif %}
    {# Counted between those days: over all of history this took longer than a week's sessions. #}
    {% set span = run_query(
        "select count(*), date_diff('day', min(occurred_at), max(occurred_at)) + 1 from " ~ source('raw', 'events')
        ~ " where " ~ is_web_event()
        ~ " and occurred_at >= date '" ~ days | first ~ "' and occurred_at < date '" ~ days | last ~ "' + 1"
    ).rows[0] %}
    {% set days_together = [2, ((span[1] or 1) | int * web_events_at_a_time()) // ([span[0] | int, 1] | max)] | max %}
    {% set chunks = [] %}
    {% for day in days %}
        {% set open = chunks and (day - chunks[-1][1]).days == 1 and (day - chunks[-1][0]).days < days_together %}
        {% if open %}
            {% do chunks.append([chunks.pop()[0], day]) %}
        {% else %}
            {% do chunks.append([day, day]) %}
        {% endif %}
    {% endfor %}
    {{ return(chunks) }}
{%- endmacro %}

{# The model's own statement makes no rows; the hook after it makes those of every chunk, in the same transaction. #}
{% macro make_sessions() -%}
    {% set all_days = not (execute and sessions_stand()) %}
    {% for chunk in session_chunks(all_days) %}
        {% do run_query("insert into " ~ this ~ " by name " ~ sessions_of_days(chunk[0], chunk[1], all_days)) %}
        {% set long = "session_days > 2" %}
        {% if run_query("select count(*) from " ~ this ~ " where " ~ long).rows[0][0] %}
            {% do run_query("insert into " ~ this ~ " by name " ~ sessions_of_days(chunk[0], chunk[1], all_days, long_ones=true)) %}
            {% do run_query("delete from " ~ this ~ " where " ~ long) %}
        {% endif %}
    {% endfor %}
{%- endmacro %}

{% macro is_web_event() -%}
    (event_type = 'page_view' or page_url is not null)
{%- endmacro %}

{# Sessions that start between two days. With `long_ones`, those that the table holds as longer than two days are made
   again, cut at the midnights. Rows of one moment are told apart by their place in the file: a tracker writes in order.
   Unless all days are made, only those sessions that may have changed, of the events near them. #}
{% macro sessions_of_days(first_day, last_day, all_days=true, long_ones=false) -%}
with
{%- if not all_days %}

changed_starts as (

    {{ changed_starts_of_sessions() }}

),

days_near_changes as (

    select distinct
        cast(changed_starts.day + cast(neighbours.days as integer) as date) as event_day,
        coalesce(changed_starts.delivered_in_week, date '0001-01-01') as delivered_in_week
    from changed_starts
    cross join (select unnest(range(-2, 2)) as days) as neighbours

),
{%- endif %}

web_events as (

    select
        device_id,
        case when device_id is null then contact_id end as visitor_contact_id,
        contact_id,
        session_id,
        occurred_at,
        (epoch_ms(occurred_at) << 21) | (coalesce(_row_number, 0) & 2097151) as event_order,
        cast({{ local_time_near(first_day, last_day, 'occurred_at') }} as date) as event_day,
        known_from_at,
        event_type = 'page_view' as is_page_view,
        page_url,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        keyword,
        device_type,
        browser,
        language,
        country
    from {{ ref('stg_events') }}
    where
        {{ is_web_event() }}
        and coalesce(device_id, contact_id) is not null
        and occurred_at >= date '{{ first_day }}' - interval 3 day
        and occurred_at < date '{{ last_day }}' + interval 3 day

),

known_events as (

    select
        *,
        {{ delivered_in_week('event_day', 'known_from_at') }} as delivered_in_week
    from web_events
    where event_day between date '{{ first_day }}' - 2 and date '{{ last_day }}' + 1

),

nearby_events as (

    select known_events.*
    from known_events
    {%- if not all_days %}
    inner join days_near_changes
        on known_events.event_day = days_near_changes.event_day
        and coalesce(known_events.delivered_in_week, date '0001-01-01') = days_near_changes.delivered_in_week
    {%- endif %}

),

events_with_id as (

    select
        *,
        session_id as session_key
    from nearby_events
    where session_id is not null

),

events_without_id as (

    select
        *,
        coalesce(
            occurred_at - lag(occurred_at) over visitors > interval 30 minute,
            true
        ) as begins
    from nearby_events
    where session_id is null
    window visitors as (partition by device_id, visitor_contact_id, delivered_in_week order by occurred_at)

),

events_by_silence as (

    select
        * exclude (begins),
        cast(
            max(case when begins then occurred_at end) over (
                partition by device_id, visitor_contact_id, delivered_in_week
                order by occurred_at
            ) as varchar
        ) as session_key
    from events_without_id

),

keyed as (

    select * from events_with_id
    union all
    select * from events_by_silence

),
{%- if long_ones %}

long_sessions as (

    select distinct
        device_id,
        visitor_contact_id,
        delivered_in_week,
        session_key
    from {{ this }}
    where session_days > 2

),

days_of_long_sessions as (

    select distinct
        keyed.device_id,
        keyed.visitor_contact_id,
        keyed.delivered_in_week,
        keyed.session_key,
        keyed.event_day
    from keyed
    inner join long_sessions
        on keyed.device_id is not distinct from long_sessions.device_id
        and keyed.visitor_contact_id is not distinct from long_sessions.visitor_contact_id
        and keyed.delivered_in_week is not distinct from long_sessions.delivered_in_week
        and keyed.session_key = long_sessions.session_key

),

{# A day goes on with the session of the day before, unless that one had gone on already. #}
cut_days as (

    select
        *,
        case
            when
                lag(event_day) over sessions = event_day - 1
                and coalesce(lag(event_day, 2) over sessions <> event_day - 2, true)
                then event_day - 1
            else event_day
        end as part
    from days_of_long_sessions
    window sessions as (
        partition by device_id, visitor_contact_id, delivered_in_week, session_key order by event_day
    )

),

parted as (

    select
        keyed.*,
        cut_days.part
    from keyed
    inner join cut_days
        on keyed.device_id is not distinct from cut_days.device_id
        and keyed.visitor_contact_id is not distinct from cut_days.visitor_contact_id
        and keyed.delivered_in_week is not distinct from cut_days.delivered_in_week
        and keyed.session_key = cut_days.session_key
        and keyed.event_day = cut_days.event_day

),
{%- else %}

parted as (

    select
        *,
        null as part
    from keyed

),
{%- endif %}

counted as (

    select
        device_id,
        visitor_contact_id,
        delivered_in_week,
        session_key,
        max(session_id) as session_id,
        min(event_day) as started_on,
        cast(max(event_day) - min(event_day) + 1 as integer) as session_days,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        cast(count(*) as integer) as events,
        cast(count(*) filter (where is_page_view) as integer) as page_views,
        min(contact_id) as contact_id,
        max(occurred_at) filter (where isodow(event_day) = 7) as ended_on_sunday_at,
        cast(count(*) filter (where isodow(event_day) = 7) as integer) as events_on_sunday,
        cast(count(*) filter (where is_page_view and isodow(event_day) = 7) as integer) as page_views_on_sunday,
        min(contact_id) filter (where isodow(event_day) = 7) as contact_id_on_sunday,
        arg_max_null(page_url, event_order) filter (where is_page_view) as exit_page,
        arg_min_null(page_url, event_order) filter (where is_page_view) as landing_page,
        {%- for column in ['referrer', 'utm_source', 'utm_medium', 'utm_campaign', 'keyword', 'device_type', 'browser', 'language', 'country'] %}
        arg_min_null({{ column }}, event_order) filter (where is_page_view) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from parted
    group by
        device_id,
        visitor_contact_id,
        delivered_in_week,
        session_key
        {%- if long_ones %},
        part
        {%- endif %}

),

{# A week that ends within a session knows of what came before its end. #}
sessions as (

    select
        started_on,
        device_id,
        visitor_contact_id,
        case when goes_on_next_week then contact_id_on_sunday else contact_id end as contact_id,
        session_id,
        session_key,
        delivered_in_week,
        session_days,
        started_at,
        ended_at,
        cast((epoch_ms(ended_at) - epoch_ms(started_at)) // 1000 as integer) as duration_seconds,
        cast(hour({{ local_time_near(first_day, last_day, 'started_at') }}) as tinyint) as started_hour,
        cast(isodow(started_on) as tinyint) as started_weekday,
        {# Orders sessions by their start, those of one moment always in the same way. #}
        (epoch_ms(started_at) << 20) | cast(hash(device_id, session_key) & 1048575 as bigint) as session_order,
        events,
        page_views,
        events = 1 as is_bounce,
        landing_page,
        exit_page,
        {{ channel_of('referrer', 'utm_source', 'utm_medium', 'landing_page') }} as channel,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        keyword,
        device_type,
        browser,
        language,
        country,
        case when goes_on_next_week then events_on_sunday else events end as events_in_week,
        case when goes_on_next_week then page_views_on_sunday else page_views end as page_views_in_week,
        cast(
            (epoch_ms(case when goes_on_next_week then ended_on_sunday_at else ended_at end) - epoch_ms(started_at)) // 1000
            as integer
        ) as duration_seconds_in_week,
        '{{ session_rules() }}' as session_rules
    from (
        select
            *,
            isodow(started_on) = 7 and session_days > 1 as goes_on_next_week
        from counted
        where page_views > 0
    ) as visits

)

select * from sessions
where
    {%- if not long_ones %}
    {# Kept until they are cut, wherever they start. #}
    (session_days > 2 and started_on + session_days > date '{{ first_day }}')
    or
    {%- endif %}
    (
        started_on between date '{{ first_day }}' and date '{{ last_day }}'
        {%- if not long_ones %}
        and session_days <= 2
        {%- endif %}
        {%- if not all_days %}
        and (started_on, coalesce(delivered_in_week, date '0001-01-01')) in (
            select (day, coalesce(delivered_in_week, date '0001-01-01')) from changed_starts
        )
        {%- endif %}
    )
{%- endmacro %}
