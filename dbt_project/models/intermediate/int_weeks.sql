with

run_weeks as (

    select * from {{ source('raw', 'run_weeks') }}

),

weeks as (

    select
        as_of,
        as_of_at,
        is_scored,
        build_features,
        feature_fingerprint,
        {{ local_midnight('as_of - 28') }} as from_28d_at,
        {{ local_midnight('as_of - 91') }} as from_91d_at,
        {{ local_midnight('as_of - 365') }} as from_365d_at
    from run_weeks

)

select * from weeks
