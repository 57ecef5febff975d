{# What people write, read and are called, as texts: which columns of which entities, how a text is written to be compared,
   and how its weight falls with age. #}

{# Columns that hold text, by source: `state` is what an entity goes on stating about a contact or its account, `happened`
   the moment of what is said once. Attributes with the role text are notes on contacts and descriptions of companies. #}
{% macro text_columns() -%}
    {% set found = [
        {'source': 'job_title', 'entity': 'contacts', 'column': 'job_title'},
        {'source': 'company', 'entity': 'accounts', 'column': 'account_name'},
        {'source': 'company', 'entity': 'accounts', 'column': 'industry'},
    ] %}
    {% for attribute in attributes('contacts', 'text') %}
        {% do found.append({'source': 'note', 'entity': 'contacts', 'column': 'attr_' ~ attribute.name}) %}
    {% endfor %}
    {% for attribute in attributes('accounts', 'text') %}
        {% do found.append({'source': 'company', 'entity': 'accounts', 'column': 'attr_' ~ attribute.name}) %}
    {% endfor %}
    {% do found.extend([
        {'source': 'ticket', 'entity': 'tickets', 'column': 'subject'},
        {'source': 'survey', 'entity': 'survey_answers', 'column': 'answer'},
        {'source': 'page', 'entity': 'events', 'column': 'page_title'},
        {'source': 'search', 'entity': 'events', 'column': 'keyword'},
        {'source': 'product', 'entity': 'order_lines', 'column': 'product_name'},
        {'source': 'product', 'entity': 'order_lines', 'column': 'product_category'},
        {'source': 'message', 'entity': 'messages', 'column': 'campaign'},
        {'source': 'message', 'entity': 'messages', 'column': 'offer'},
        {'source': 'message', 'entity': 'messages', 'column': 'content'},
    ]) %}
    {% set told = [] %}
    {% for each in found if var('affinity').source_weights[each.source] > 0 and is_delivered(each.entity) %}
        {% do told.append(each) %}
    {% endfor %}
    {{ return(told) }}
{%- endmacro %}

{# A text as it is compared: lower case, without addresses, links and long numbers, which say who somebody is and not what
   they care for, and no longer than two thousand letters. #}
{% macro normalized_text(text) -%}
    trim(
        regexp_replace(
            regexp_replace(
                lower(nfc_normalize(left({{ text }}, 2000))),
                '\S+@\S+|https?://\S+|www\.\S+|\+?\d[\d\s/().-]{5,}\d|\d{5,}',
                ' ',
                'g'
            ),
            '[\s_]+',
            ' ',
            'g'
        )
    )
{%- endmacro %}

{# The number of a text: the same in every run and on every machine. #}
{% macro text_id(text) -%}
    md5_number_lower({{ text }})
{%- endmacro %}

{% macro half_life_of(source) -%}
    {{ var('affinity').half_life_days[source] | int }}
{%- endmacro %}

{# From when on texts of a source count at all: after four half-lives a sixteenth is left. #}
{% macro texts_count_from(source, as_of='weeks.as_of') -%}
    {{ local_midnight(as_of ~ ' - ' ~ 4 * var('affinity').half_life_days[source] | int) }}
{%- endmacro %}

{# What is left of a text after its age, in millionths: sums of whole numbers do not depend on the order of adding. #}
{% macro freshness(source, said_at, as_of_at) -%}
    cast(
        round(
            1e6 * pow(0.5, greatest(0, date_diff('day', {{ said_at }}, {{ as_of_at }})) / {{ half_life_of(source) }}.0)
        ) as bigint
    )
{%- endmacro %}

{# Texts that a row of a time entity says once, with the identity that said it. Messages have a model of their own that
   knows what humans opened; see `int_contact_texts`. #}
{% macro texts_said_once(source, relation, column, said_at, identity_kind, identity_id, known_from_at, where='true') -%}
    select
        weeks.as_of,
        '{{ source }}' as source,
        {{ identity_kind }} as identity_kind,
        {{ identity_id }} as identity_id,
        texts.text_id,
        sum({{ freshness(source, 'said.' ~ said_at, 'weeks.as_of_at') }}) as freshness,
        max(cast({{ local_time('said.' ~ said_at) }} as date)) as seen_on
    from {{ relation }} as said
    inner join texts
        on said.{{ column }} = texts.delivered_text
    inner join weeks
        on said.{{ said_at }} >= {{ texts_count_from(source) }}
        and said.{{ said_at }} < weeks.as_of_at
        and {{ known_from_at }}
    where {{ where }}
    group by 1, 2, 3, 4, 5
{%- endmacro %}
