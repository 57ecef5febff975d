with

sessions as (

    select
        delivered_in_week,
        case when contact_id is not null then 'contact' else 'device' end as identity_kind,
        coalesce(contact_id, device_id) as identity_id,
        session_order,
        started_at,
        channel,
        page_views_in_week
    from {{ ref('int_sessions') }}

),

first_sessions as (

    select
        identity_kind,
        identity_id,
        delivered_in_week,
        min(session_order) as first_order,
        min(started_at) as first_session_at,
        arg_min(channel, session_order) as first_channel,
        arg_min(page_views_in_week, session_order) as first_page_views_in_week
    from sessions
    group by
        identity_kind,
        identity_id,
        delivered_in_week

)

select * from first_sessions
