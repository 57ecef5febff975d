{# How a segment is compared with everybody: expressions over one row's counts, means and spreads, each with its source.
   Every argument is an expression of SQL. They are used by `persona_index`, `market_sizes` and `trigger_subgroups`. #}

{# The 97.5 % point of the normal distribution: intervals hold in 19 of 20 cases. #}
{% macro normal_point() -%}
    1.959963985
{%- endmacro %}

{# The same point of Student's t, by the expansion of Cornish and Fisher (1938); right to a hundredth from 8 degrees on. #}
{% macro student_point(degrees) -%}
    ({{ normal_point() }} + 2.3722712 / ({{ degrees }}) + 2.8224986 / power({{ degrees }}, 2))
{%- endmacro %}

{# The mean of everybody who is not in a part; what is left by rounding alone is nothing. #}
{% macro rest_of(base_value, base_people, part_value, part_people) -%}
    {%- set rest -%}
    ({{ base_people }} * {{ base_value }} - {{ part_people }} * {{ part_value }})
        / nullif(cast({{ base_people }} - {{ part_people }} as double), 0)
    {%- endset %}
    case when abs({{ rest }}) < 1e-9 * abs({{ base_value }}) then 0 else {{ rest }} end
{%- endmacro %}

{# How probable a normal number is to lie as far from 0 as `z` on either side: the complementary error function by the
   rational approximation in Press et al., "Numerical Recipes", section 6.2 (erfcc), right to seven digits however small. #}
{% macro two_sided(z) -%}
    {%- set x = '(abs(' ~ z ~ ') / 1.4142135623730951)' %}
    {%- set t = '(1 / (1 + 0.5 * ' ~ x ~ '))' %}
    {%- set terms = [1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223] %}
    {{ t }} * exp(
        -{{ x }} * {{ x }} - 1.26551223
        {%- for term in terms %} + {{ t }} * ({{ term }}{% endfor %} + {{ t }} * 0.17087277{{ ')' * terms | length }}
    )
{%- endmacro %}

{# A standardized number of a distribution with some skewness, as the normal number that is as improbable: the third type of
   Pearson's by the cube root of Wilson and Hilferty (PNAS 1931). Without skewness it is the number itself. #}
{% macro without_skewness(z, skewness) -%}
    case
        when abs({{ skewness }}) < 1e-6 then {{ z }}
        else
            6 / ({{ skewness }}) * (cbrt(greatest(({{ skewness }}) * ({{ z }}) / 2 + 1, 0)) - 1) + ({{ skewness }}) / 6
    end
{%- endmacro %}

{# The skewness of the mean of `people` drawn by chance out of `base_people`; that of the base itself is known. #}
{% macro skewness_of_mean(base_skewness, people, base_people) -%}
    ({{ base_skewness }})
    * ({{ base_people }} - 2.0 * {{ people }}) / nullif({{ base_people }} - 2.0, 0)
    * sqrt(({{ base_people }} - 1.0) / nullif(1.0 * {{ people }} * ({{ base_people }} - {{ people }}), 0))
{%- endmacro %}

{# An end of the interval of a share: Wilson (JASA 1927). `side` is -1 or 1. #}
{% macro share_limit(share, people, side) -%}
    {%- set z = normal_point() %}
    {%- set limit -%}
    (
        {{ share }} + {{ z }} * {{ z }} / (2.0 * {{ people }})
        + ({{ side }}) * {{ z }} * sqrt({{ share }} * (1 - {{ share }}) / {{ people }} + {{ z }} * {{ z }} / (4.0 * {{ people }} * {{ people }}))
    ) / (1 + {{ z }} * {{ z }} / {{ people }})
    {%- endset %}
    case when {{ share }} {{ '<= 0' if side < 0 else '>= 1' }} then {{ 0 if side < 0 else 1 }} else {{ limit }} end
{%- endmacro %}

{# An end of the interval of a mean of skewed numbers: Hall's monotone cubic (JRSS B 1992), so that the interval reaches
   further to the side of the long tail. `side` is -1 or 1. #}
{% macro mean_limit(mean, deviation, people, skewness, side) -%}
    {%- set a = '((' ~ skewness ~ ') / sqrt(' ~ people ~ '))' %}
    {%- set point = '(' ~ (-1 * side) ~ ' * ' ~ student_point('greatest(' ~ people ~ ' - 1, 1)') ~ ')' %}
    {{ mean }} - {{ deviation }} / sqrt({{ people }}) * case
        when abs({{ a }}) < 1e-6 then {{ point }}
        else 3 / {{ a }} * (cbrt(1 + {{ a }} * ({{ point }} - {{ a }} / 6)) - 1)
    end
{%- endmacro %}

{# The ends of the interval of a ratio of two independent figures that are not negative, out of theirs: the method of
   variance estimates recovery (Donner and Zou, Statistical Methods in Medical Research 2012). The higher end is null
   where nothing keeps it from being infinite. #}
{% macro ratio_low(figure, low, other, other_high) -%}
    coalesce(
        {{ low }} * (2 * {{ figure }} - {{ low }})
        / nullif(
            {{ figure }} * {{ other }}
            + sqrt(greatest(
                power({{ figure }} * {{ other }}, 2)
                - {{ low }} * {{ other_high }} * (2 * {{ figure }} - {{ low }}) * (2 * {{ other }} - {{ other_high }}),
                0
            )),
            0
        ),
        0
    )
{%- endmacro %}

{% macro ratio_high(figure, high, other, other_low) -%}
    (
        {{ figure }} * {{ other }}
        + sqrt(greatest(
            power({{ figure }} * {{ other }}, 2)
            - {{ high }} * {{ other_low }} * (2 * {{ figure }} - {{ high }}) * (2 * {{ other }} - {{ other_low }}),
            0
        ))
    ) / nullif({{ other_low }} * (2 * {{ other }} - {{ other_low }}), 0)
{%- endmacro %}

{# The index of a segment against everybody, the segment included, out of its ratio to everybody else. It never falls
   with the ratio, so that an interval of the one is one of the other; null stands for an infinite ratio. #}
{% macro index_of_ratio(ratio, share_of_people) -%}
    100 * coalesce({{ ratio }} / ({{ share_of_people }} * {{ ratio }} + 1 - {{ share_of_people }}), 1 / {{ share_of_people }})
{%- endmacro %}

{# Whether some are counted, but too few of them to be told. #}
{% macro is_small_cell(people) -%}
    ({{ people }} > 0 and {{ people }} < {{ var('minimum_cell') | int }})
{%- endmacro %}

{# Whether the figures of a comparison may be told, though perhaps no index. #}
{% macro is_told() -%}
    coalesce(abstained_reason not like 'fewer than%', true)
{%- endmacro %}

{# From which score on somebody is said to care for a phrase: as much as one fresh mention. #}
{% macro cares_from() %}0.5{% endmacro %}
