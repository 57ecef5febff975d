"""What of a person can go out: the sources that a mapping may name, and the SQL that reads them.

Here belongs the vocabulary of fields. Which of them an audience maps is said in `audience`; who goes out, in `gate`.

By default a destination gets the identifier, the persona and the adoption class. Labels (what was predicted or
learned of a person) and personal attributes (what a contact or a feature says) go out only where they are mapped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from activation.audience import Audience, fingerprint
from activation.people import person_name_sql
from activation.selection import PHRASE_GROUPS, RELATIONS, Complaint, Location
from activation.sync.payload import quoted
from activation.sync.protocol import FieldMapping, FieldType, MappedField

PLAIN = {
    "as_of": FieldType.DATE,
    "person_id": FieldType.TEXT,
    "contact_id": FieldType.TEXT,
    "identifier": FieldType.TEXT,
    "persona_id": FieldType.TEXT,
    "persona_name": FieldType.TEXT,
    "membership_strength": FieldType.NUMBER,
    "defined_persona": FieldType.TEXT,
    "defined_persona_name": FieldType.TEXT,
    "adoption_class": FieldType.TEXT,
    "message_style": FieldType.TEXT,
    "channel": FieldType.TEXT,
    "purpose": FieldType.TEXT,
    "decision_reason": FieldType.TEXT,
    "consent_recorded_at": FieldType.TIMESTAMP,
}
"""Sources that are one word, with their types."""

PREFIXED = ("propensity", "affinity", "preference", "feature", "contact")
"""Sources of the form `prefix.name`."""

DEFAULT_FIELDS = ("persona_id", "persona_name", "adoption_class")

CONTACT_COLUMNS = (
    "email",
    "phone",
    "first_name",
    "last_name",
    "job_title",
    "country",
    "city",
    "postal_code",
    "language",
    "timezone",
)
PERSONAL = ("feature", "contact")
_PARAMETER = re.compile(r"\$(field_\d+)")
PREFERENCES = ("send_time", "weekday", "channel", "content", "offer", "purchase_channel", "location")


@dataclass(frozen=True)
class Known:
    """What a mapping may name.

    Attributes:
        features: Kind of each feature: number, flag or category.
        attributes: Extra columns of contacts that a mapping declares as feature, label or text, without prefix; their
            types are text or number.
        sensitive: Features and attributes of a special category of personal data (GDPR art. 9): they go nowhere.
        targets: What is predicted.
        phrases: Phrases that are scored.
        missing: Sources that are there in other workspaces, and why not here.
    """

    features: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    sensitive: Collection[str] = ()
    targets: Collection[str] = ()
    phrases: Collection[str] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


def parts(source: str) -> tuple[str, str]:
    """A source as prefix and name; the prefix is empty where it is one word.

    Examples:
        >>> parts("propensity.churn"), parts("persona_id")
        (('propensity', 'churn'), ('', 'persona_id'))
    """
    prefix, point, name = source.partition(".")
    return (prefix, name) if point else ("", source)


def is_personal(source: str) -> bool:
    """Whether a source is a personal attribute, beyond identifier, persona, class and labels."""
    return parts(source)[0] in PERSONAL


def valid_sources(known: Known) -> list[str]:
    """Every source that can be named."""
    return [
        *PLAIN,
        *(f"propensity.{name}{suffix}" for name in known.targets for suffix in ("", ".probability")),
        *(f"affinity.{name}" for name in (*PHRASE_GROUPS, *known.phrases)),
        *(f"preference.{name}" for name in PREFERENCES),
        *(f"contact.{name}" for name in (*CONTACT_COLUMNS, *known.attributes) if name not in known.sensitive),
        *(f"feature.{name}" for name in known.features if name not in known.sensitive),
    ]


def field_complaints(audience: Audience, known: Known) -> Iterator[Complaint]:
    """Hold the attributes of an audience to what there is.

    Yields:
        Each thing that does not fit, located from the audience down.
    """
    valid = set(valid_sources(known))
    for name, attribute in audience.attributes.items():
        location: Location = ("attributes", name)
        if name in (*DEFAULT_FIELDS, "identifier"):
            yield Complaint(location, f"'{name}' goes out anyway; take the line out, or call the field otherwise")
        elif parts(attribute.source)[0] in PERSONAL and parts(attribute.source)[1] in known.sensitive:
            yield Complaint(
                location, f"'{attribute.source}' is of a special category (GDPR art. 9): it goes to no destination"
            )
        elif attribute.source in known.missing:
            yield Complaint(location, f"'{attribute.source}' is known of nobody: {known.missing[attribute.source]}")
        elif attribute.source not in valid:
            yield Complaint(
                location, f"'{attribute.source}' is nothing that can go out", attribute.source, tuple(sorted(valid))
            )


def type_of(source: str, known: Known) -> FieldType:
    """The type a source has at a destination where the mapping says nothing."""
    prefix, name = parts(source)
    if prefix == "":
        return PLAIN[name]
    if prefix == "propensity":
        return FieldType.NUMBER if name.endswith(".probability") and name not in known.targets else FieldType.TEXT
    if prefix == "affinity":
        return FieldType.NUMBER
    if prefix == "feature":
        return {"number": FieldType.NUMBER, "flag": FieldType.BOOLEAN}.get(known.features[name], FieldType.TEXT)
    if prefix == "contact" and known.attributes.get(name) == "number":
        return FieldType.NUMBER
    return FieldType.TEXT


def mapping_of(
    audience: Audience, known: Known, relations: Collection[str], unasked: Sequence[str] = DEFAULT_FIELDS
) -> FieldMapping:
    """Everything that goes out for an audience beside the identifier, content aside.

    Args:
        audience: What a workspace declares.
        known: For the types.
        relations: Tables that are there, as `schema.table`: without classes, no class goes out.
        unasked: What goes out though the audience does not map it, of `DEFAULT_FIELDS`.
    """
    fields = [
        MappedField(name, name, PLAIN[name])
        for name in unasked
        if name != "adoption_class" or RELATIONS["adoption_classes"] in relations
    ]
    fields += [
        MappedField(name, one.source, one.type or type_of(one.source, known), one.nulls)
        for name, one in audience.attributes.items()
    ]
    return FieldMapping(fingerprint(audience), tuple(fields))


def personal_fields(fields: Iterable[MappedField]) -> list[str]:
    """Which of the fields are personal attributes, each with its source."""
    return [f"{one.name} ({one.source})" for one in fields if is_personal(one.source)]


@dataclass
class _Joined:
    joins: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)

    def value(self, given: Any) -> str:
        name = f"field_{len(self.parameters)}"
        self.parameters[name] = given
        return f"${name}"


def values_sql(
    sources: Sequence[str],
    as_of: date,
    as_of_at: datetime,
    terms: tuple[str, str],
    segment_type: str = "persona",
) -> tuple[str, dict[str, Any]]:
    """SQL for the sources of people who passed the gate, a row each.

    Args:
        sources: What is to be read, each once.
        as_of: The week the values are of.
        as_of_at: Its end as a moment in UTC.
        terms: Purpose and channel.
        segment_type: What `persona_id` of `gate_approved` is an id of.

    Returns:
        SQL over `gate_approved as a` with a column per source and `identifier`, and its parameters.
    """
    joined = _Joined()
    columns = []
    for place, source in enumerate(sources):
        if source != "identifier":
            value = _source_sql(joined, f"f{place}", source, as_of, as_of_at, terms, segment_type)
            columns.append(f"{value} as {quoted(source)}")
    selected = ", ".join(["a.identifier", *columns])
    sql = f"select {selected} from gate_approved as a {' '.join(joined.joins)}"
    named = set(_PARAMETER.findall(sql))
    return sql, {name: value for name, value in joined.parameters.items() if name in named}


def _source_sql(
    joined: _Joined,
    alias: str,
    source: str,
    as_of: date,
    as_of_at: datetime,
    terms: tuple[str, str],
    segment_type: str,
) -> str:
    """SQL for one source; what it has to be joined with goes into `joined`."""
    week = joined.value(as_of)
    decided = {
        "as_of": f"cast({week} as date)",
        "person_id": person_name_sql("a.person_id"),
        "contact_id": "a.contact_id",
        "persona_id": "a.persona_id",
        "channel": joined.value(terms[1]),
        "purpose": joined.value(terms[0]),
        "decision_reason": "a.consent_reason",
        "consent_recorded_at": "a.consent_recorded_at",
    }
    prefix, name = parts(source)
    if source in decided:
        return decided[source]
    if source in ("persona_name", "membership_strength"):
        return _membership_sql(joined, alias, source, week, segment_type)
    if prefix == "contact":
        return _contact_sql(joined, alias, name, joined.value(as_of_at))
    what, table, condition = _looked_up(joined, prefix, name)
    joined.joins.append(
        f"left join (select person_id, any_value({what}) as it from {table} where as_of = {week} and ({condition}) "
        f"and person_id in (select person_id from gate_approved) group by person_id) as {alias} "
        f"on {alias}.person_id = a.person_id"
    )
    return f"{alias}.it"


def _looked_up(joined: _Joined, prefix: str, name: str) -> tuple[str, str, str]:
    """Column, table and condition of a source of which a person has one row in a week."""
    plain = {
        "defined_persona": ("segment_id", RELATIONS["segment_memberships"], "segment_type = 'defined_persona'"),
        "defined_persona_name": ("segment_name", RELATIONS["segment_memberships"], "segment_type = 'defined_persona'"),
        "adoption_class": ("adoption_class", RELATIONS["adoption_classes"], "true"),
        "message_style": ("message_style", RELATIONS["person_persuasion"], "true"),
    }
    if prefix == "":
        return plain[name]
    if prefix == "propensity":
        target = joined.value(name.removesuffix(".probability"))
        column = "probability" if name.endswith(".probability") else "band"
        return column, RELATIONS["person_propensities"], f"target = {target}"
    if prefix == "affinity":
        what = "phrase_group = {0} and phrase is null" if name in PHRASE_GROUPS else "phrase = {0}"
        return "score", RELATIONS["person_affinities"], what.format(joined.value(name))
    if prefix == "preference":
        return "best_value", "marts.person_preferences", f"dimension = {joined.value(name)}"
    return quoted(name), RELATIONS["person_features"], "true"


def _membership_sql(joined: _Joined, alias: str, column: str, week: str, segment_type: str) -> str:
    """The name of the persona (or list) that somebody is in, or how clearly they are."""
    if segment_type == "lookalike":
        names = "select *, 'lookalike-' || lookalike as list, 'Look-alike ' || replace(lookalike, '_', ' ') as title"
        joined.joins.append(
            f"left join ({names} from marts.lookalikes) as {alias} on {alias}.as_of = {week} "
            f"and {alias}.person_id = a.person_id and {alias}.list = a.persona_id"
        )
        return f"{alias}.{'title' if column == 'persona_name' else 'score'}"
    joined.joins.append(
        f"left join {RELATIONS['segment_memberships']} as {alias} on {alias}.as_of = {week} "
        f"and {alias}.person_id = a.person_id and {alias}.segment_id = a.persona_id "
        f"and {alias}.segment_type = {joined.value(segment_type)}"
    )
    return f"{alias}.{'segment_name' if column == 'persona_name' else 'membership_strength'}"


def _contact_sql(joined: _Joined, alias: str, name: str, at: str) -> str:
    """What the contact that stands for a person said at a moment."""
    column = {"email": "email_normalized"}.get(name, name) if name in CONTACT_COLUMNS else f"attr_{name}"
    joined.joins.append(
        f"left join staging.stg_contacts as {alias} on {alias}.contact_id = a.contact_id and not {alias}.is_deleted "
        f"and {alias}.valid_from < {at} and coalesce({alias}.valid_to, timestamp '9999-12-31') >= {at}"
    )
    return f"{alias}.{quoted(column)}"
