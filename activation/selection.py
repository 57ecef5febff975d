"""Which people are meant: a small vocabulary for personas, scores and features, and the SQL it becomes.

Here belong what a selection may say, the names it uses, and its compilation. What people are selected for (a seed of
look-alikes, an audience) is not known here, nor in which file a selection stands: whoever reads the file turns a
`Complaint` into a message with its line.

A selection is a mapping; all that it says must hold::

    persona: Night owls                            # one or more personas, by id or name
    defined_persona: {is: champions, strength: {at_least: 0.8}}
    adoption_class: [innovator, early_adopter]
    message_style: novelty_seeking
    propensity: {churn: high}                      # a band, or {at_least: 0.3}
    affinity: {API: {at_least: 0.5}}               # a phrase or a group of phrases
    lookalike: like_champions                      # or {is: like_champions, rank: {at_most: 500}}
    features: {revenue_91d: {at_least: 200}, contact_country: {is: [DE, AT]}}
    all: [...]                                     # selections that all hold
    any: [...]                                     # at least one of them holds
    not: {persona: Bargain seekers}                # it does not hold

What is not known of a person meets no condition, so that `not` takes in people of whom it is not known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Location = tuple[str | int, ...]
PHRASE_GROUPS = ("trigger", "event", "target", "brand")
BANDS = ("high", "medium", "low")

RELATIONS = {
    "segment_memberships": "marts.segment_memberships",
    "person_propensities": "marts.person_propensities",
    "person_affinities": "marts.person_affinities",
    "adoption_classes": "marts.adoption_classes",
    "person_persuasion": "marts.person_persuasion",
    "lookalikes": "marts.lookalikes",
    "person_features": "features.person_features",
}
"""Where each kind of condition is looked up. All have as_of and person_id; besides: segment_type, segment_id,
segment_name, membership_strength; target, probability, band; phrase_group, phrase, score, percentile; adoption_class;
message_style; lookalike, lookalike_rank; a column per feature. Whoever selects before the marts are made gives other
tables of these columns."""


def _listed(given: Any) -> Any:
    values = given if isinstance(given, list | tuple) else [given]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class Range(_Part):
    """A range of numbers; both ends belong to it."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Range:
        if self.at_least is None and self.at_most is None:
            raise ValueError("say `at_least:` and/or `at_most:`")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"the range ends ({self.at_most:g}) before it begins ({self.at_least:g})")
        return self


class Members(_Part):
    """Segments by id or name, and how clearly people have to belong to them."""

    names: Annotated[OneOrMore, Field(alias="is")]
    strength: Range | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_meant(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"is": given}


class FeatureCondition(_Part):
    """What a feature must be: a range, one of some values, or known at all."""

    at_least: float | None = None
    at_most: float | None = None
    values: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(alias="is")] = ()
    known: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_plain_value_is_meant(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"is": given}

    @model_validator(mode="after")
    def _says_one_thing(self) -> FeatureCondition:
        is_range = self.at_least is not None or self.at_most is not None
        if sum([is_range, bool(self.values), self.known is not None]) != 1:
            raise ValueError("say `at_least:` and/or `at_most:`, `is:` and one or more values, or `known:`")
        if is_range:
            Range(at_least=self.at_least, at_most=self.at_most)
        return self


class PropensityCondition(_Part):
    """A target's band, or a range of its probability."""

    band: Annotated[tuple[Literal["high", "medium", "low"], ...], BeforeValidator(_listed)] = ()
    at_least: Annotated[float, Field(ge=0, le=1)] | None = None
    at_most: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_plain_word_is_a_band(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"band": given}

    @model_validator(mode="after")
    def _says_one_thing(self) -> PropensityCondition:
        is_range = self.at_least is not None or self.at_most is not None
        if is_range == bool(self.band):
            raise ValueError("say a band (high, medium, low), or `at_least:` and/or `at_most:`")
        if is_range:
            Range(at_least=self.at_least, at_most=self.at_most)
        return self


class AffinityCondition(_Part):
    """A range of an affinity's score (0 to 1), or of its percentile (0 to 100)."""

    at_least: Annotated[float, Field(ge=0, le=1)] | None = None
    at_most: Annotated[float, Field(ge=0, le=1)] | None = None
    percentile: Range | None = None

    @model_validator(mode="after")
    def _says_something(self) -> AffinityCondition:
        if self.at_least is None and self.at_most is None and self.percentile is None:
            raise ValueError("say `at_least:` and/or `at_most:` of the score, or `percentile:`")
        return self


class Lookalikes(_Part):
    """Lists of look-alikes by name, and how far down the list people may stand."""

    names: Annotated[OneOrMore, Field(alias="is")]
    rank: Range | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_meant(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"is": given}


class Selection(_Part):
    """People of a week, by what is known of them. Everything that is said must hold."""

    persona: Members | None = None
    defined_persona: Members | None = None
    adoption_class: OneOrMore | None = None
    message_style: OneOrMore | None = None
    propensity: dict[str, PropensityCondition] = Field(default_factory=dict)
    affinity: dict[str, AffinityCondition] = Field(default_factory=dict)
    lookalike: Lookalikes | None = None
    features: dict[str, FeatureCondition] = Field(default_factory=dict)
    all_of: Annotated[tuple[Selection, ...], Field(alias="all")] = ()
    any_of: Annotated[tuple[Selection, ...], Field(alias="any")] = ()
    not_in: Annotated[Selection | None, Field(alias="not")] = None

    @model_validator(mode="after")
    def _says_who(self) -> Selection:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError(f"say who is meant, by one or more of: {', '.join(sorted(CONDITIONS))}")
        return self

    def parts(self, location: Location = ()) -> Iterator[tuple[Location, Selection]]:
        """This selection and all within it, each with where it stands."""
        yield location, self
        for key, inner in (("all", self.all_of), ("any", self.any_of)):
            for place, one in enumerate(inner):
                yield from one.parts((*location, key, place))
        if self.not_in is not None:
            yield from self.not_in.parts((*location, "not"))

    def feature_names(self) -> list[str]:
        """The features that decide who is selected, in alphabetical order."""
        return sorted({name for _, part in self.parts() for name in part.features})

    def segments(self) -> Iterator[tuple[Location, str, str]]:
        """Each persona named, with where it stands and its type: persona or defined_persona."""
        for location, part in self.parts():
            for kind in ("persona", "defined_persona"):
                members: Members | None = getattr(part, kind)
                for name in members.names if members else ():
                    yield (*location, kind), kind, name


CONDITIONS = [field.alias or name for name, field in Selection.model_fields.items()]


@dataclass(frozen=True)
class Names:
    """What a selection may name.

    Attributes:
        features: Kind of each feature: number, flag or category.
        special_categories: Features of a special category of personal data (GDPR art. 9): they select nobody.
        targets: What is predicted.
        phrases: Phrases that are scored.
        defined_personas: Ids and names of the personas that marketers define.
        lookalikes: Lists of look-alikes.
        adoption_classes: The classes there are; None where that is not known yet.
        message_styles: The styles there are; None where that is not known yet.
    """

    features: Mapping[str, str] = field(default_factory=dict)
    special_categories: Collection[str] = ()
    targets: Collection[str] = ()
    phrases: Collection[str] = ()
    defined_personas: Collection[str] = ()
    lookalikes: Collection[str] = ()
    adoption_classes: Collection[str] | None = None
    message_styles: Collection[str] | None = None


@dataclass(frozen=True)
class Complaint:
    """Something a person has to mend.

    Attributes:
        location: Keys and places from the selection down.
        message: What is wrong.
        valid: The names that would do, where a name is wrong.
        name: The wrong name.
    """

    location: Location
    message: str
    name: str = ""
    valid: tuple[str, ...] = ()


def complaints(selection: Selection, names: Names) -> Iterator[Complaint]:
    """Hold a selection to the names there are, before anything runs.

    Personas found in the data have their ids and names from the data: they are looked up when people are selected.

    Args:
        selection: What somebody wrote.
        names: What may be named.

    Yields:
        Each thing that does not fit, in the order in which it stands.
    """
    for location, part in selection.parts():
        yield from _about_groups(location, part, names)
        for name in part.propensity:
            if name not in names.targets:
                yield _unknown((*location, "propensity", name), "is no target", name, names.targets)
        for name in part.affinity:
            if name not in PHRASE_GROUPS and name not in names.phrases:
                valid = (*PHRASE_GROUPS, *names.phrases)
                yield _unknown((*location, "affinity", name), "is neither a phrase nor a group of them", name, valid)
        for name, condition in part.features.items():
            yield from _about_feature((*location, "features", name), name, condition, names)


def _about_groups(location: Location, part: Selection, names: Names) -> Iterator[Complaint]:
    for name in part.defined_persona.names if part.defined_persona else ():
        if name.casefold() not in {each.casefold() for each in names.defined_personas}:
            yield _unknown((*location, "defined_persona"), "is no defined persona", name, names.defined_personas)
    for key, given, known in (
        ("adoption_class", part.adoption_class, names.adoption_classes),
        ("message_style", part.message_style, names.message_styles),
    ):
        for name in given or ():
            if known is not None and name not in known:
                yield _unknown((*location, key), f"is no {key.replace('_', ' ')}", name, known)
    for name in part.lookalike.names if part.lookalike else ():
        if name not in names.lookalikes:
            yield _unknown((*location, "lookalike"), "is no list of look-alikes", name, names.lookalikes)


def _about_feature(location: Location, name: str, condition: FeatureCondition, names: Names) -> Iterator[Complaint]:
    if name in names.special_categories:
        yield Complaint(location, f"'{name}' is of a special category (GDPR art. 9): nobody is selected by it")
    elif name not in names.features:
        yield _unknown(location, "is no feature", name, names.features)
    elif names.features[name] == "number" and condition.values:
        yield Complaint(location, f"'{name}' is a number; say `at_least:` and/or `at_most:`")
    elif names.features[name] != "number" and (condition.at_least is not None or condition.at_most is not None):
        yield Complaint(location, f"'{name}' is no number; say `is:` and one or more of its values")


def _unknown(location: Location, what: str, name: str, valid: Collection[str]) -> Complaint:
    return Complaint(location, f"'{name}' {what}", name, tuple(valid))


@dataclass(frozen=True)
class CompiledSelection:
    """A selection as SQL.

    Attributes:
        sql: A truth value, never null, about the person `person_id` of the week `$as_of`; the person's table has the
            alias it was compiled for.
        parameters: The value of each named parameter in `sql`.
    """

    sql: str
    parameters: dict[str, Any]


def compile_selection(
    selection: Selection,
    as_of: date,
    relations: Mapping[str, str] = RELATIONS,
    alias: str = "p",
    prefix: str = "selection",
) -> CompiledSelection:
    """Turn a selection into SQL in which every value is a parameter and every name is quoted.

    Args:
        selection: What somebody wrote, without complaints.
        as_of: The week, by its exclusive end.
        relations: Table by the names in `RELATIONS`: SQL that the caller vouches for.
        alias: Of the table with `person_id` that the truth value is about.
        prefix: What the names of parameters begin with, so that two selections can stand in one query.

    Returns:
        SQL and parameters, for DuckDB.

    Raises:
        KeyError: A condition needs a relation that is not there.

    Examples:
        >>> found = compile_selection(Selection.model_validate({"propensity": {"churn": "high"}}), date(2026, 11, 16))
        >>> found.sql
        '(p.person_id in (select person_id from marts.person_propensities where as_of = $selection_as_of and target = \
$selection_1 and band in ($selection_2)))'
        >>> found.parameters["selection_1"], found.parameters["selection_2"]
        ('churn', 'high')
    """
    compiler = _Compiler(dict(relations), alias, prefix, {f"{prefix}_as_of": as_of})
    return CompiledSelection(compiler.whole(selection), compiler.parameters)


def needed_relations(selection: Selection) -> set[str]:
    """The relations that a selection is looked up in, by the names in `RELATIONS`."""
    needed = set()
    for _, part in selection.parts():
        for name, says in (
            ("segment_memberships", part.persona or part.defined_persona),
            ("person_propensities", part.propensity),
            ("person_affinities", part.affinity),
            ("adoption_classes", part.adoption_class),
            ("person_persuasion", part.message_style),
            ("lookalikes", part.lookalike),
            ("person_features", part.features),
        ):
            if says:
                needed.add(name)
    return needed


@dataclass
class _Compiler:
    relations: dict[str, str]
    alias: str
    prefix: str
    parameters: dict[str, Any]

    def whole(self, selection: Selection) -> str:
        conditions = list(self._conditions(selection))
        conditions += [self.whole(one) for one in selection.all_of]
        if selection.any_of:
            conditions.append(f"({' or '.join(self.whole(one) for one in selection.any_of)})")
        if selection.not_in is not None:
            conditions.append(f"not {self.whole(selection.not_in)}")
        return f"({' and '.join(conditions)})"

    def _conditions(self, selection: Selection) -> Iterator[str]:
        for kind, members in (("persona", selection.persona), ("defined_persona", selection.defined_persona)):
            if members is not None:
                yield self._members(kind, members)
        if selection.adoption_class:
            yield self._among("adoption_classes", f"adoption_class in ({self._values(selection.adoption_class)})")
        if selection.message_style:
            yield self._among("person_persuasion", f"message_style in ({self._values(selection.message_style)})")
        for target, propensity in selection.propensity.items():
            conditions = [f"target = {self._value(target)}"]
            conditions += [f"band in ({self._values(propensity.band)})"] if propensity.band else []
            conditions += self._range("probability", propensity)
            yield self._among("person_propensities", *conditions)
        for name, affinity in selection.affinity.items():
            yield self._affinity(name, affinity)
        if selection.lookalike:
            conditions = [f"lookalike in ({self._values(selection.lookalike.names)})"]
            conditions += self._range("lookalike_rank", selection.lookalike.rank) if selection.lookalike.rank else []
            yield self._among("lookalikes", *conditions)
        if selection.features:
            conditions = [each for name, one in selection.features.items() for each in self._feature(name, one)]
            yield self._among("person_features", *conditions)

    def _members(self, kind: str, members: Members) -> str:
        names = [name.casefold() for name in members.names]
        ids = names if kind == "persona" else [*names, *(f"defined-{name}" for name in names)]
        conditions = [
            f"segment_type = {self._value(kind)}",
            f"(lower(segment_id) in ({self._values(ids)}) or lower(segment_name) in ({self._values(names)}))",
        ]
        if members.strength:
            conditions += self._range("membership_strength", members.strength)
        return self._among("segment_memberships", *conditions)

    def _affinity(self, name: str, affinity: AffinityCondition) -> str:
        told = self._value(name)
        what = f"phrase_group = {told} and phrase is null" if name in PHRASE_GROUPS else f"phrase = {told}"
        conditions = [what, *self._range("score", affinity)]
        if affinity.percentile:
            conditions += self._range("percentile", affinity.percentile)
        return self._among("person_affinities", *conditions)

    def _feature(self, name: str, condition: FeatureCondition) -> Iterator[str]:
        column = quoted(name)
        if condition.known is not None:
            yield f"{column} is {'not ' if condition.known else ''}null"
        elif condition.values:
            listed = self._values([value.strip().casefold() for value in condition.values])
            yield f"lower(trim(cast({column} as varchar))) in ({listed})"
        else:
            yield from self._range(column, condition)

    def _range(self, column: str, given: Any) -> list[str]:
        bounds = ((">=", given.at_least), ("<=", given.at_most))
        return [f"{column} {sign} {self._value(bound)}" for sign, bound in bounds if bound is not None]

    def _among(self, relation: str, *conditions: str) -> str:
        where = " and ".join([f"as_of = ${self.prefix}_as_of", *conditions])
        return f"{self.alias}.person_id in (select person_id from {self.relations[relation]} where {where})"

    def _values(self, values: Collection[str]) -> str:
        return ", ".join(self._value(value) for value in values)

    def _value(self, value: Any) -> str:
        name = f"{self.prefix}_{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"


def quoted(name: str) -> str:
    """A name as quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
