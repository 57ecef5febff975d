{# The channel a visit came by, from what its first page view says. By these rules, the first that fits:

   paid            utm_medium says that somebody paid: cpc, ppc, cpm, paid..., display, banner, retargeting, affiliate
   email           utm_medium or utm_source says e-mail or newsletter
   social          utm_medium or utm_source says social or names a network; else the referrer is a network
   organic_search  utm_medium is organic; else the referrer is a search engine
   referral        utm_medium is referral; else the referrer is another site
   other           some other campaign
   direct          nothing, or the site itself #}
{% macro channel_of(referrer, utm_source, utm_medium, landing_page) -%}
    {%- set networks = [
        'social', 'facebook', 'instagram', 'linkedin', 'lnkd', 'twitter', 'youtube', 'tiktok', 'pinterest', 'reddit', 'xing',
        'threads', 'snapchat', 'mastodon', 'bsky',
    ] -%}
    {%- set engines = '(^|[.])(google|bing|duckduckgo|yahoo|ecosia|baidu|yandex|qwant|startpage|search|seznam|naver)[.]' -%}
    {%- set medium = 'lower(' ~ utm_medium ~ ')' -%}
    {%- set source = 'lower(' ~ utm_source ~ ')' -%}
    {%- set host = site_of(referrer) -%}
    case
        when {{ referrer }} is null and {{ utm_medium }} is null and {{ utm_source }} is null then 'direct'
        when {{ medium }} in ('cpc', 'ppc', 'cpm', 'cpv', 'cpa', 'display', 'banner', 'retargeting', 'affiliate', 'affiliates')
            or {{ medium }} like 'paid%' then 'paid'
        when {{ medium }} in ('email', 'e-mail', 'e_mail', 'mail', 'newsletter') or {{ source }} in ('email', 'e-mail', 'newsletter')
            then 'email'
        when {{ medium }} like '%social%' or {{ medium }} = 'sm' or {{ source }} in ('{{ networks | join("', '") }}') then 'social'
        when {{ medium }} = 'organic' then 'organic_search'
        when {{ medium }} = 'referral' then 'referral'
        when {{ utm_medium }} is not null or {{ utm_source }} is not null then 'other'
        when {{ host }} = coalesce({{ site_of(landing_page) }}, '') or {{ host }} = '' then 'direct'
        when {{ host }} in ('t.co', 'x.com') or regexp_matches({{ host }}, '(^|[.])({{ networks | join("|") }})[.]') then 'social'
        when regexp_matches({{ host }}, '{{ engines }}') then 'organic_search'
        else 'referral'
    end
{%- endmacro %}

{# The host of an address, without www. #}
{% macro site_of(address) -%}
    replace(lower(split_part(split_part(split_part({{ address }}, '://', 2), '/', 1), '?', 1)), 'www.', '')
{%- endmacro %}

{% macro channels() %}{{ return(['direct', 'organic_search', 'paid', 'referral', 'social', 'email', 'other']) }}{% endmacro %}
