{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='sync_all_columns',
    full_refresh=false,
    pre_hook=before_begin("{{ forget_weeks('build_features') }}"),
) }}

with

weeks as (

    select * from {{ ref('int_weeks') }}
    where build_features

),

people as (

    select * from {{ ref('int_people') }}

),

person_events as (

    select * from {{ ref('int_person_events') }}

),

person_sessions as (

    select * from {{ ref('int_person_sessions') }}

),

person_orders as (

    select * from {{ ref('int_person_orders') }}

),

person_products as (

    select * from {{ ref('int_person_products') }}

),

person_messages as (

    select * from {{ ref('int_person_messages') }}

),

person_tickets as (

    select * from {{ ref('int_person_tickets') }}

),

person_surveys as (

    select * from {{ ref('int_person_surveys') }}

),

person_deals as (

    select * from {{ ref('int_person_deals') }}

),

{# What is not delivered has no column; who did nothing has counts of zero, and neither recency nor shares. #}
person_features as (

    select
        people.as_of,
        people.person_id,
        weeks.feature_fingerprint,
        {%- if is_delivered('events') %}
        coalesce(person_events.events_28d, 0) as events_28d,
        coalesce(person_events.events_91d, 0) as events_91d,
        coalesce(person_events.active_days_28d, 0) as active_days_28d,
        coalesce(person_events.active_days_91d, 0) as active_days_91d,
        coalesce(person_events.active_weeks_91d, 0) as active_weeks_91d,
        coalesce(person_events.sessions_28d, 0) as sessions_28d,
        coalesce(person_events.sessions_91d, 0) as sessions_91d,
        coalesce(person_events.page_views_28d, 0) as page_views_28d,
        coalesce(person_events.page_views_91d, 0) as page_views_91d,
        coalesce(person_events.product_uses_28d, 0) as product_uses_28d,
        coalesce(person_events.product_uses_91d, 0) as product_uses_91d,
        coalesce(person_events.searches_28d, 0) as searches_28d,
        coalesce(person_events.downloads_28d, 0) as downloads_28d,
        coalesce(person_events.form_submits_28d, 0) as form_submits_28d,
        {%- for event in var('event_names') %}
        coalesce(person_events.{{ event.column }}_events_28d, 0) as {{ event.column }}_events_28d,
        {%- endfor %}
        person_events.days_since_last_event,
        person_events.events_per_active_day_91d,
        person_events.events_trend,
        person_events.night_events_share_91d,
        person_events.morning_events_share_91d,
        person_events.daytime_events_share_91d,
        person_events.evening_events_share_91d,
        person_events.weekend_events_share_91d,
        person_events.mobile_events_share_91d,
        coalesce(person_sessions.web_sessions_28d, 0) as web_sessions_28d,
        coalesce(person_sessions.web_sessions_91d, 0) as web_sessions_91d,
        person_sessions.pages_per_session_91d,
        person_sessions.minutes_per_session_91d,
        person_sessions.bounced_sessions_share_91d,
        person_sessions.days_since_last_session,
        person_sessions.direct_sessions_share_91d,
        person_sessions.organic_search_sessions_share_91d,
        person_sessions.paid_sessions_share_91d,
        person_sessions.referral_sessions_share_91d,
        person_sessions.social_sessions_share_91d,
        person_sessions.email_sessions_share_91d,
        person_events.main_weekday,
        case
            greatest(
                person_events.night_events_share_91d,
                person_events.morning_events_share_91d,
                person_events.daytime_events_share_91d,
                person_events.evening_events_share_91d
            )
            {%- for daypart in ['night', 'morning', 'daytime', 'evening'] %}
            when person_events.{{ daypart }}_events_share_91d then '{{ daypart }}'
            {%- endfor %}
        end as main_daypart,
        person_sessions.first_touch_channel,
        person_sessions.last_touch_channel,
        person_sessions.session_device_type,
        person_sessions.session_browser,
        person_sessions.session_language,
        person_sessions.session_country,
        person_sessions.last_search_keyword,
        {%- endif %}
        {%- if is_delivered(['orders', 'order_lines']) %}
        coalesce(person_orders.orders_28d, 0) as orders_28d,
        coalesce(person_orders.orders_91d, 0) as orders_91d,
        coalesce(person_orders.orders_365d, 0) as orders_365d,
        coalesce(person_orders.orders_total, 0) as orders_total,
        coalesce(person_orders.revenue_28d, 0) as revenue_28d,
        coalesce(person_orders.revenue_91d, 0) as revenue_91d,
        coalesce(person_orders.revenue_365d, 0) as revenue_365d,
        coalesce(person_orders.revenue_total, 0) as revenue_total,
        coalesce(person_orders.cancelled_orders_365d, 0) as cancelled_orders_365d,
        person_orders.cancelled_orders_share_365d,
        person_orders.average_order_amount_365d,
        person_orders.days_since_first_order,
        person_orders.days_since_last_order,
        person_orders.days_between_orders,
        {%- endif %}
        {%- if is_delivered('order_lines') %}
        coalesce(person_products.items_365d, 0) as items_365d,
        coalesce(person_products.products_365d, 0) as products_365d,
        coalesce(person_products.product_categories_365d, 0) as product_categories_365d,
        {%- endif %}
        {%- if is_delivered('messages') %}
        coalesce(person_messages.messages_received_91d, 0) as messages_received_91d,
        coalesce(person_messages.messages_opened_28d, 0) as messages_opened_28d,
        coalesce(person_messages.messages_opened_91d, 0) as messages_opened_91d,
        coalesce(person_messages.messages_clicked_28d, 0) as messages_clicked_28d,
        coalesce(person_messages.messages_clicked_91d, 0) as messages_clicked_91d,
        coalesce(person_messages.messages_bounced_91d, 0) as messages_bounced_91d,
        coalesce(person_messages.unsubscribes_91d, 0) as unsubscribes_91d,
        person_messages.messages_opened_share_91d,
        person_messages.messages_clicked_share_91d,
        person_messages.days_since_message_opened,
        person_messages.days_since_message_clicked,
        {%- endif %}
        {%- if is_delivered('tickets') %}
        coalesce(person_tickets.tickets_91d, 0) as tickets_91d,
        coalesce(person_tickets.tickets_365d, 0) as tickets_365d,
        coalesce(person_tickets.open_tickets, 0) as open_tickets,
        person_tickets.resolution_hours_365d,
        person_tickets.ticket_satisfaction_365d,
        person_tickets.days_since_last_ticket,
        {%- endif %}
        {%- if is_delivered('survey_answers') %}
        coalesce(person_surveys.survey_answers_365d, 0) as survey_answers_365d,
        person_surveys.survey_score_365d,
        person_surveys.days_since_last_survey,
        {%- endif %}
        {%- if is_delivered('deals') %}
        coalesce(person_deals.open_deals, 0) as open_deals,
        coalesce(person_deals.open_deal_amount, 0) as open_deal_amount,
        coalesce(person_deals.won_deals_total, 0) as won_deals_total,
        coalesce(person_deals.won_deals_365d, 0) as won_deals_365d,
        coalesce(person_deals.won_deal_amount_total, 0) as won_deal_amount_total,
        coalesce(person_deals.lost_deals_total, 0) as lost_deals_total,
        person_deals.days_since_last_deal,
        {%- endif %}
        {%- if is_delivered('accounts') %}
        {%- for column in standard_columns('accounts') %}
        people.account_{{ column }},
        {%- endfor %}
        {%- for attribute in attributes('accounts', 'feature') %}
        people.account_{{ attribute.name }},
        {%- endfor %}
        {%- endif %}
        {%- if is_delivered('contacts') %}
        people.days_since_created,
        {%- for column in standard_columns('contacts') %}
        people.contact_{{ column }},
        {%- endfor %}
        {%- for attribute in attributes('contacts', 'feature') %}
        people.contact_{{ attribute.name }},
        {%- endfor %}
        {%- endif %}
        people.email_normalized is not null as has_email
    from people
    inner join weeks
        on people.as_of = weeks.as_of
    {%- for domain in ['events', 'sessions', 'orders', 'products', 'messages', 'tickets', 'surveys', 'deals'] %}
    left join person_{{ domain }}
        on people.as_of = person_{{ domain }}.as_of
        and people.person_id = person_{{ domain }}.person_id
    {%- endfor %}

)

select * from person_features
