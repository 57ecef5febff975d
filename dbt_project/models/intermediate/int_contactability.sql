{#- The purposes and channels that people may be reached for. -#}
{{ contactability([var('activation')]) }}
