select
    cast(null as varchar) as contact_id, cast(null as varchar) as other_contact_id, cast(null as timestamp) as matched_from_at,
    cast(null as double) as match_weight, false as is_match where false
