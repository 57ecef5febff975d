{#- A view: only look-alikes and what goes to ad platforms ask, and pay. -#}
{{ config(materialized='view') }}

{{ contactability([{'purpose': 'advertising', 'channel': 'ads'}]) }}
