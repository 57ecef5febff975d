{# A person's id says nothing about the person and never changes while its first identity stays the same. Within the
   warehouse it is a number, which is joined and written in half the time of a text. #}
{% macro person_id_of(kind, identity_id) -%}
    cast('0x' || left(md5({{ kind }} || ':' || {{ identity_id }}), 16) as ubigint)
{%- endmacro %}

{# What a person is called wherever people or tools read it: in published tables, in files, at destinations. #}
{% macro person_name(person_id) -%}
    format('p_{:016x}', {{ person_id }})
{%- endmacro %}

{# What mail providers make of an address, by domain: whether they ignore dots, what follows a plus, and under which
   other name the same mailbox is reached. Sources: the help pages of Google ("dots don't matter", "plus addressing",
   googlemail.com), Microsoft (plus addressing), Apple (iCloud aliases), Proton (+ aliases; dots, hyphens and underscores
   are ignored), Fastmail (plus addressing). A provider that is not here is taken at its word. #}
{% macro mail_providers() -%}
    {{ return({
        'gmail.com': {'plus': true, 'dots': true},
        'googlemail.com': {'plus': true, 'dots': true, 'same_as': 'gmail.com'},
        'outlook.com': {'plus': true},
        'hotmail.com': {'plus': true},
        'live.com': {'plus': true},
        'msn.com': {'plus': true},
        'icloud.com': {'plus': true},
        'me.com': {'plus': true, 'same_as': 'icloud.com'},
        'mac.com': {'plus': true, 'same_as': 'icloud.com'},
        'proton.me': {'plus': true, 'dots': true},
        'protonmail.com': {'plus': true, 'dots': true, 'same_as': 'proton.me'},
        'pm.me': {'plus': true, 'dots': true, 'same_as': 'proton.me'},
        'fastmail.com': {'plus': true},
    }) }}
{%- endmacro %}

{# The domains of the providers with a property, as a list for SQL. #}
{% macro _providers_with(property) -%}
    {%- set found = [] -%}
    {%- for domain, rules in mail_providers().items() if rules.get(property) %}{% do found.append("'" ~ domain ~ "'") %}{% endfor -%}
    ({{ found | join(', ') }})
{%- endmacro %}

{# The SHA-256 of an address as its provider reads it; an address that comes hashed stays as it is, and what is neither
   says nothing. `address` is trimmed and in lower case. #}
{% macro email_hash(address) -%}
    {%- set domain = "split_part(" ~ address ~ ", '@', -1)" -%}
    {%- set mailbox = "left(" ~ address ~ ", length(" ~ address ~ ") - length(" ~ domain ~ ") - 1)" -%}
    case
        when {{ address }} not like '%_@_%'
            then case when length({{ address }}) = 64 and regexp_full_match({{ address }}, '[0-9a-f]{64}') then {{ address }} end
        when {{ domain }} in {{ _providers_with('plus') }}
            then sha256(
                case
                    when {{ domain }} in {{ _providers_with('dots') }} then replace(split_part({{ mailbox }}, '+', 1), '.', '')
                    else split_part({{ mailbox }}, '+', 1)
                end
                || '@'
                || case {{ domain }}
                    {%- for name, rules in mail_providers().items() if rules.same_as %}
                    when '{{ name }}' then '{{ rules.same_as }}'
                    {%- endfor %}
                    else {{ domain }}
                end
            )
        else sha256({{ address }})
    end
{%- endmacro %}

{# What a phone number is looked up by: the number as written, the country it is read in, and nothing readable. #}
{% macro phone_key(phone, country) -%}
    md5({{ phone }} || '|' || coalesce(upper(trim({{ country }})), ''))
{%- endmacro %}

{# Who did something: the contact where one is named, else the login, else the device. #}
{% macro acting_identity_kind(relation) -%}
    case
        when {{ relation }}.contact_id is not null then 'contact'
        when {{ relation }}.user_id is not null then 'user'
        else 'device'
    end
{%- endmacro %}

{% macro acting_identity_id(relation) -%}
    coalesce({{ relation }}.contact_id, {{ relation }}.user_id, {{ relation }}.device_id)
{%- endmacro %}

{# An address as it is compared with others. #}
{% macro comparable_email(email) -%}
    nullif(lower(trim({{ email }})), '')
{%- endmacro %}
