{# Which messages use which way of persuading, when answers to them are complete, and whom a rule of the block list means. #}

{# Columns of messages that tell which way of persuading they use, besides those that are carried in any case. #}
{% macro carried_message_columns() -%}
    {{ return(var('persuasion').tagged_by | reject('in', ['channel', 'campaign', 'offer', 'content']) | list) }}
{%- endmacro %}

{# Attributes that only the block list reads: they are nobody's feature. #}
{% macro protecting_columns(entity) -%}
    {%- set read_anyway = attributes(entity, 'feature') + attributes(entity, 'label') + attributes(entity, 'text') -%}
    {%- set columns = [] -%}
    {%- for name in var('persuasion').attributes[entity] if name not in read_anyway | map(attribute='name') | list -%}
    {%- do columns.append('attr_' ~ name) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{# Hours after which no answer to a message is still to come. #}
{% macro complete_after_hours() -%}
    {%- set orders = 24 * (var('persuasion').order_days | int) if 'ordered' in var('persuasion').responses else 0 -%}
    {{- [var('preferences').response_hours | int, orders] | max -}}
{%- endmacro %}

{# Whether a text is like one of the patterns, in which % and _ have a backslash before them where they are meant. #}
{% macro is_like_any(column, patterns) -%}
    coalesce(
    {%- for pattern in patterns %}
        {{ 'or ' if not loop.first }}lower({{ column }}) like {{ literal(pattern) }} escape '\'
    {%- else %}
        false
    {%- endfor %},
        false
    )
{%- endmacro %}

{# The columns that a message's kind is told by: those that tags name, and the campaign, in which chance may decide. #}
{% macro kind_columns(tagged_by) -%}
    {{ return(tagged_by + (['campaign'] if 'campaign' not in tagged_by else [])) }}
{%- endmacro %}

{# Whether a message of a kind uses a way of persuading, by any of its tags. #}
{% macro uses_approach(approach) -%}
    {%- set tags = var('persuasion').tags | selectattr('approach', 'equalto', approach) | list -%}
    ({% for tag in tags %}{{ is_like_any(tag.property, tag.patterns) }}{{ ' or ' if not loop.last }}{% else %}false{% endfor %})
{%- endmacro %}

{# Whether a text is one of some words, however they are written. #}
{% macro is_one_of(column, words) -%}
    coalesce(lower(trim(cast({{ column }} as varchar))) in (
    {%- for word in words -%}
        {{ literal((word | string).strip().lower()) }}{{ ', ' if not loop.last }}
    {%- endfor -%}), false)
{%- endmacro %}

{# Whether a value is one of some, or lies in a range. #}
{% macro meets(column, rule) -%}
    {%- if rule['values'] -%}
    ({{ is_one_of(column, rule['values']) }}
    {%- if rule.numbers %} or coalesce(try_cast({{ column }} as double) in ({{ rule.numbers | join(', ') }}), false){% endif %})
    {%- else -%}
    coalesce(
        {%- if rule.at_least is not none %}
        try_cast({{ column }} as double) >= {{ rule.at_least | float }}
        {%- endif %}
        {%- if rule.at_least is not none and rule.at_most is not none %} and {% endif %}
        {%- if rule.at_most is not none %}
        try_cast({{ column }} as double) <= {{ rule.at_most | float }}
        {%- endif %},
        false
    )
    {%- endif -%}
{%- endmacro %}

{# The ways of persuading (Cialdini), in the order of the tables. #}
{% macro persuasion_approaches() -%}
    {{ return(['reciprocity', 'commitment', 'social_proof', 'authority', 'liking', 'scarcity', 'unity']) }}
{%- endmacro %}
