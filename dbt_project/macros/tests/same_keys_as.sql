{# No key is lost and none appears between two tables, in the weeks of this run that have the flag. #}
{% test same_keys_as(model, to, columns, where_weeks) %}

with

weeks as (

    select as_of from {{ ref('int_weeks') }}
    where {{ where_weeks }}

),

here as (

    select {{ columns | join(', ') }} from {{ model }}
    where as_of in (select as_of from weeks)

),

there as (

    select {{ columns | join(', ') }} from {{ to }}
    where as_of in (select as_of from weeks)

),

lost as (

    select * from there
    except
    select * from here

),

appeared as (

    select * from here
    except
    select * from there

)

select * from lost
union all
select * from appeared

{% endtest %}
