{# The columns of person_features in this workspace: the standard ones as described in person_features.yml, the declared
   attributes and events as the settings describe them. A list of {name, label, family, unit, kind,
   is_persona_input}. #}
{% macro feature_catalogue() -%}
    {% if not execute %}
        {{ return([]) }}
    {% endif %}
    {% set features = [] %}
    {% set attribute_kinds = attribute_kinds() %}
    {% for entity, prefix, family in [('contacts', 'contact_', 'profile'), ('accounts', 'account_', 'account')] %}
        {% if is_delivered(entity) %}
            {# A special category is told in no profile, also where it may be a feature. #}
            {% for attribute in attributes(entity, 'feature') if not attribute.is_sensitive %}
                {% do features.append({
                    'name': prefix ~ attribute.name,
                    'label': attribute.label,
                    'family': family,
                    'unit': '',
                    'kind': attribute_kinds[entity].get('attr_' ~ attribute.name, 'category'),
                    'is_persona_input': prefix ~ attribute.name not in var('persona_excludes'),
                }) %}
            {% endfor %}
        {% endif %}
    {% endfor %}
    {% if is_delivered('events') %}
        {% for event in var('event_names') %}
            {% do features.append({
                'name': event.column ~ '_events_28d',
                'label': var('event_labels')[event.event_name],
                'family': 'product',
                'unit': 'count',
                'kind': 'number',
                'is_persona_input': event.column ~ '_events_28d' not in var('persona_excludes'),
            }) %}
        {% endfor %}
    {% endif %}
    {% set declared = features | map(attribute='name') | list %}
    {% for column in graph.nodes['model.personae.person_features'].columns.values() %}
        {% set meta = column.config.meta %}
        {% if meta.kind and column.name not in declared and (not meta.entities or is_delivered(meta.entities)) %}
            {% do features.append({
                'name': column.name,
                'label': meta.label,
                'family': meta.family,
                'unit': meta.unit,
                'kind': meta.kind,
                'is_persona_input': meta.persona_input and column.name not in var('persona_excludes'),
            }) %}
        {% endif %}
    {% endfor %}
    {{ return(features) }}
{%- endmacro %}

{# What the declared attributes hold, by the types of their columns in raw. #}
{% macro attribute_kinds() -%}
    {% set kinds = {'contacts': {}, 'accounts': {}} %}
    {% for entity in kinds %}
        {% for column in adapter.get_columns_in_relation(source('raw', entity)) %}
            {% set type = column.dtype | upper %}
            {% set kind = 'flag' if type == 'BOOLEAN' else 'category' if 'CHAR' in type else 'number' %}
            {% do kinds[entity].update({column.name: kind}) %}
        {% endfor %}
    {% endfor %}
    {{ return(kinds) }}
{%- endmacro %}

{# The types of a table's columns, by name. #}
{% macro types_of_columns(relation) -%}
    {% set types = {} %}
    {% if execute %}
        {% for column in adapter.get_columns_in_relation(relation) %}
            {% do types.update({column.name: column.dtype}) %}
        {% endfor %}
    {% endif %}
    {{ return(types) }}
{%- endmacro %}

{# What the catalogue says of the feature that a column names, as an expression. #}
{% macro said_of(features, feature_column, key) -%}
    {%- if features -%}
        case {{ feature_column }}
            {%- for feature in features %}
            when '{{ feature.name }}' then {{ literal(feature[key]) }}
            {%- endfor %}
        end
    {%- else -%}
        ''
    {%- endif -%}
{%- endmacro %}

{# Whether something the catalogue says of the feature that a column names is true. #}
{% macro is_true_of(features, feature_column, key) -%}
    {%- set names = features | selectattr(key) | map(attribute='name') | list -%}
    {{ feature_column ~ " in ('" ~ names | join("', '") ~ "')" if names else 'false' }}
{%- endmacro %}
