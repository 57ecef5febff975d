{# Who may be used for what. The ledger decides; where it says nothing, the basis that the workspace states for the
   purpose in the person's market; else unknown means no. Statements are those of int_consent_statements.

   Grants hold for exactly what they name. What speaks against is read widely:
   - a withdrawal of the purpose: over all channels, over the one, or over one nobody knows; of profiling as a whole;
   - an objection (GDPR art. 21), whatever purpose it names, against all marketing and the profiling for it;
   - a withdrawal of `direct_marketing`, which is the same;
   - an unsubscription or complaint, against everything over its channel. #}

{% macro known_channels() %}{{ return(['email', 'sms', 'push', 'phone', 'post', 'whatsapp', 'in_app', 'web', 'ads']) }}{% endmacro %}

{# Names of purposes and channels as they are compared: E-Mail marketing is email_marketing. #}
{% macro consent_word(name) -%}
    regexp_replace(regexp_replace(lower(trim({{ name }})), '[^a-z0-9]+', '_', 'g'), '(^|_)e_mail', '\1email')
{%- endmacro %}

{% macro speaks_for(purpose, channel=none) -%}
    (
        statement = 'granted'
        and purpose = {{ consent_word(literal(purpose)) }}
        and {% if channel %}(channel is null or channel = {{ consent_word(literal(channel)) }}){% else %}channel is null{% endif %}
    )
{%- endmacro %}

{% macro objects() -%}
    (statement = 'objected' or (statement = 'withdrawn' and purpose = 'direct_marketing'))
{%- endmacro %}

{% macro withdraws(purpose, channel=none) -%}
    (
        statement = 'withdrawn'
        {%- if channel %}
        and (purpose is null or purpose = {{ consent_word(literal(purpose)) }})
        and (
            channel is null
            or channel = {{ consent_word(literal(channel)) }}
            or channel not in ('{{ known_channels() | join("', '") }}')
        )
        {%- else %}
        and purpose = {{ consent_word(literal(purpose)) }}
        {%- endif %}
    )
{%- endmacro %}

{# Whose statement it is: the person's that the contact belongs to. What speaks against stays with every person the
   contact ever belonged to: whoever is deleted, or moves to another address, leaves the refusal behind. #}
{% macro is_statement_of(statements, identities, instant) -%}
    {{ identities }}.valid_from < {{ instant }}
    and (
        {{ statements }}.statement <> 'granted'
        or coalesce({{ identities }}.valid_to, timestamp '9999-12-31') >= {{ instant }}
    )
{%- endmacro %}

{# The latest moment of each kind of statement. At the same moment what speaks against wins, in whatever order rows came. #}
{% macro latest_statements(purpose, channel=none, when='true') -%}
    max(recorded_at) filter (where {{ speaks_for(purpose, channel) }} and {{ when }}) as granted_at,
    max(recorded_at) filter (where {{ withdraws(purpose, channel) }} and {{ when }}) as withdrawn_at,
    max(recorded_at) filter (where {{ objects() }} and {{ when }}) as objected_at
{%- endmacro %}

{# Whether the last word of all is against, whatever a week knew of it. #}
{% macro is_refused_by_now(purpose, channel=none) -%}
    coalesce(
        max(recorded_at) filter (where {{ withdraws(purpose, channel) }} or {{ objects() }})
        >= coalesce(max(recorded_at) filter (where {{ speaks_for(purpose, channel) }}), timestamp '0001-01-01'),
        false
    )
{%- endmacro %}

{# What follows from the latest statements and the basis; with `by_market`, that of `bases_of_people`. #}
{% macro consent_decision(purpose, by_market) -%}
    {%- set everywhere = 'true' if has_basis_everywhere(purpose) else 'false' -%}
    case
        when objected_at >= coalesce(granted_at, objected_at) then 'objected'
        when withdrawn_at >= coalesce(granted_at, withdrawn_at) then 'withdrawn'
        when granted_at is not null then 'granted'
        when {{ 'coalesce(has_basis, ' ~ everywhere ~ ')' if by_market else everywhere }} then 'legal_basis'
        else '{{ 'no_basis_in_market' if bases_of(purpose) else 'no_consent_recorded' }}'
    end
{%- endmacro %}

{# The decision, and the words of the basis where it is one. #}
{% macro decision_reason(purpose, by_market) -%}
    {%- set everywhere = literal(statement_everywhere(purpose)) -%}
    case
        when decision = 'legal_basis'
            then 'legal_basis: ' || {{ 'coalesce(basis_statement, ' ~ everywhere ~ ')' if by_market else everywhere }}
        else decision
    end
{%- endmacro %}

{# The bases stated for a purpose that need no consent. #}
{% macro bases_of(purpose) -%}
    {{ return(var('legal_basis').get(purpose, []) | rejectattr('basis', 'equalto', 'consent') | list) }}
{%- endmacro %}

{% macro has_basis_everywhere(purpose) -%}
    {{ return(bases_of(purpose) | selectattr('market', 'equalto', '*') | list | length > 0) }}
{%- endmacro %}

{% macro is_basis_by_market(purpose) -%}
    {{ return(var('legal_basis').get(purpose, []) | rejectattr('market', 'equalto', '*') | list | length > 0) }}
{%- endmacro %}

{# Whether a person has a basis without consent: in every country that one of the contacts states. Where none does, only
   what holds everywhere counts. Needs `weeks` and `identities`; contacts that are deleted do not count. #}
{% macro bases_of_people(purpose) -%}
    {%- set country = 'upper(trim(contacts.country))' -%}
    {%- set stated = var('legal_basis').get(purpose, []) -%}
    select
        weeks.as_of,
        identities.person_id,
        bool_and(
            case {{ country }}
                {%- for each in stated if each.market != '*' %}
                when {{ literal(each.market) }} then {{ 'false' if each.basis == 'consent' else 'true' }}
                {%- endfor %}
                else {{ 'true' if has_basis_everywhere(purpose) else 'false' }}
            end
        ) as has_basis,
        min(
            case {{ country }}
                {%- for each in stated if each.market != '*' %}
                when {{ literal(each.market) }} then {{ literal(each.statement) }}
                {%- endfor %}
                else {{ literal(statement_everywhere(purpose)) }}
            end
        ) as basis_statement
    from identities
    inner join weeks
        on {{ is_valid_at('identities', 'weeks.as_of_at') }}
    inner join contacts
        on identities.identity_id = contacts.contact_id
        and {{ is_valid_at('contacts', 'weeks.as_of_at') }}
    where
        identities.identity_kind = 'contact'
        and nullif({{ country }}, '') is not null
        and not contacts.is_deleted
    group by
        weeks.as_of,
        identities.person_id
{%- endmacro %}

{% macro statement_everywhere(purpose) -%}
    {% set everywhere = bases_of(purpose) | selectattr('market', 'equalto', '*') | list %}
    {{ return(everywhere[0].statement if everywhere else '') }}
{%- endmacro %}
