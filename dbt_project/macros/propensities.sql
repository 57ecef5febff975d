{# The measures of past predictions, and of what the likeliest people are expected to earn, in the order of their tables.
   Published rounded: sums of many numbers may differ in the last digit from machine to machine. #}

{% macro backtest_measures() -%}
    {{ return([
        'predicted_mean', 'observed_share', 'log_loss', 'base_rate_log_loss', 'brier', 'calibration_error', 'auc',
        'auc_low', 'auc_high', 'slope', 'slope_error', 'intercept', 'intercept_error',
    ]) }}
{%- endmacro %}

{% macro gain_measures() -%}
    {{ return([
        'measured_people', 'measured_positives', 'mean_probability', 'observed', 'observed_low', 'observed_high', 'lift',
        'gain', 'profit', 'profit_low', 'profit_high',
    ]) }}
{%- endmacro %}
