"""Who would be looked up by an ad platform, and by what: addresses and telephone numbers, each as keys that compare.

Here belongs when two spellings are one address or number. A platform that is given an address or number of somebody who
allowed it looks up everybody who has it, so nobody is let out with one that belongs to somebody who did not.

Keys are made to find too much rather than too little: addresses without spaces and in lower case, of Gmail also
without dots and `+suffix`; of numbers the last nine digits, which the same number has with and without its country's
code. What comes hashed is compared with the hashes of what comes plain.
"""

from __future__ import annotations

from datetime import datetime

import duckdb

from activation.gate_terms import Tables

# A row for each key of each contact's address and number.
_KEYS = """
create or replace temp table gate_keys as
with contacts as (
    select i.person_id,
        nullif(regexp_replace(lower(c.email), '\\s', '', 'g'), '') as email,
        lower(trim(c.phone)) as phone,
        not c.is_deleted and c.valid_from < $at and coalesce(c.valid_to, timestamp '9999-12-31') >= $at
            and i.valid_from < $at and coalesce(i.valid_to, timestamp '9999-12-31') >= $at as is_current
    from {contacts} as c
    inner join {identities} as i on i.identity_id = c.contact_id and i.identity_kind = 'contact'
    where c.email is not null or c.phone is not null
),
spelled as (
    select *,
        regexp_extract(email, '^([^@]+)@(gmail|googlemail)\\.com$', 1) as gmail,
        regexp_replace(phone, '[^0-9]', '', 'g') as dialled
    from contacts
),
digits as (
    select *, if(starts_with(phone, '+'), dialled, if(starts_with(dialled, '00'), dialled[3:], null)) as international
    from spelled
),
keys as (
    select person_id, is_current, unnest(
        list_concat(
            case
                when email is null then []
                when regexp_full_match(email, '[0-9a-f]{{64}}') then [email]
                when gmail = '' then [sha256(email)]
                else [
                    sha256(email),
                    sha256(replace(regexp_replace(gmail, '\\+.*$', ''), '.', '') || '@gmail.com')
                ]
            end,
            case
                when phone is null then []
                when regexp_full_match(phone, '[0-9a-f]{{64}}') then [phone]
                when length(dialled) < 7 then []
                when international is null then [right(dialled, 9)]
                else [right(dialled, 9), sha256(international), sha256('+' || international)]
            end
        )
    ) as key
    from digits
)
select distinct p.person, k.is_current, k.key
from keys as k left join gate_people as p on p.person_id = k.person_id
"""

# Of everybody who may not be used, whether the week considered them or not: of all their contacts, also former ones.
_LOOKUPS = """
create or replace temp table gate_lookups as
with barred as (
    select l.key from gate_keys as l left join gate_consents as c on c.person = l.person
    where c.person is null or c.consent_refusal is not null
)
select person, bool_or(key in (select key from barred)) as is_barred
from gate_keys where is_current and person is not null
group by person
"""


def look_up_identifiers(connection: duckdb.DuckDBPyConnection, at: datetime, tables: Tables) -> None:
    """Find who has something to be looked up by, and who shares it with somebody who may not be.

    Reads `gate_people` and `gate_consents` (person, consent_refusal). Leaves `gate_lookups` (person, is_barred), with
    those only who have an address or a number.

    Args:
        connection: The warehouse.
        at: The week's end, in UTC.
        tables: Where contacts and identities are.
    """
    connection.execute(_KEYS.format(contacts=tables.contacts, identities=tables.identities), {"at": at})
    connection.execute(_LOOKUPS)
    connection.execute("drop table gate_keys")
