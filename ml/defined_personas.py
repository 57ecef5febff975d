"""Personas that a marketer defines, by ranges of features or by example people, and how well the data bear them out.

Here belongs turning a definition into anchors of a mixture, and saying who fits. The definition itself stands in
`persona_definitions`, the mixture in `seeded_mixture`, what the data say of a definition in `defined_support`.

A person who meets all ranges of one persona is in it, whatever else they do. Who misses a range a little, or is only
like the examples, is in it as far as the mixture says so; who is like none of the definitions is in none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import chi2

from ml.catalogue import Kind, inputs_of, require_one_week
from ml.encoding import NumberEncoding, encoding_from_dict, encoding_to_dict, learn_encoding
from ml.people_order import hash_sample
from ml.persona_definitions import FeatureRule, PersonaDefinition, as_range, rule_fit
from ml.preparation import Preparation
from ml.seeded_mixture import Matrix, SeededGroups, SeededMixture

FIT_SAMPLE = 20_000
"""People that a mixture is fitted to, beside the examples."""
MOST_ANCHORS = 2_000
"""Of the people who meet all ranges, so many anchor a persona."""
FITS_FROM = 0.05
"""Fit by ranges below which a person is out of the question."""
MEETS_FROM = 0.5
"""Fit by ranges from which a person may be in a persona although not all rules are met: some .4 standard deviations
off."""
LIKE_EXAMPLES_FROM = 0.01
"""Share of a persona's people who are farther from its middle, below which a person is not like its examples."""
MEMBER_FROM = 0.5
"""Probability from which a person is in a persona, not in none."""
STABILITY_ROWS = 3_000
STABILITY_REPEATS = 6

DEFINED_SCHEMA = {
    "person_id": pl.UInt64,
    "persona_id": pl.String,
    "strength": pl.Float64,
    "runner_up_persona_id": pl.String,
    "margin": pl.Float64,
    "fit_score": pl.Float64,
}


@dataclass(frozen=True)
class DefinedModel:
    """A frozen model of defined personas.

    Attributes:
        definitions: The personas, levels turned into ranges.
        preparation: Of all persona inputs.
        scales: Encoding of each number that a rule names.
        mixture: The fitted mixture, a named group per definition.
        stability: Per definition 0..1; how alike its members come out from other samples.
        unfit: Definitions that could not be fitted, and why.
    """

    definitions: tuple[PersonaDefinition, ...]
    preparation: Preparation
    scales: dict[str, NumberEncoding]
    mixture: SeededMixture
    stability: tuple[float, ...]
    unfit: dict[str, str] = field(default_factory=dict)

    @property
    def persona_ids(self) -> list[str]:
        """The personas that could be fitted, in order of definition."""
        return [definition.persona_id for definition in self.definitions]

    @property
    def features_(self) -> list[str]:
        """The features the model needs."""
        ruled = [rule.feature for definition in self.definitions for rule in definition.rules]
        return list(dict.fromkeys([*self.preparation.features_, *ruled]))

    def score(self, features: pl.DataFrame) -> tuple[Matrix, Matrix]:
        """Say for each person how probable each persona is, and how well they fit it.

        Args:
            features: One week, in any order.

        Returns:
            Probabilities (people, personas + 1), in the last column of none; fit (people, personas), 0..1.
        """
        probabilities = np.empty((features.height, len(self.definitions) + 1))
        fits = np.empty((features.height, len(self.definitions)))
        rules = rule_fit(features, self.definitions, self.scales)
        for start, scores in self.preparation.transform_chunks(features):
            rows = slice(start, start + len(scores))
            values = scores.astype(np.float64)
            squares = self.mixture.squared_distances(values)[:, : len(self.definitions)]
            likeness = chi2.sf(squares, max(values.shape[1], 1))
            fits[rows] = _fit(self.definitions, rules[rows], likeness)
            probabilities[rows] = self.mixture.probabilities(values, rule_evidence(self.definitions, rules[rows]))
        return _obey_rules(self.definitions, rules, probabilities), fits

    def assign(
        self, features: pl.DataFrame, incumbents: pl.DataFrame | None = None, odds_to_move: float = 1.0
    ) -> pl.DataFrame:
        """Say who is in which defined persona. People who are in none have no row.

        Args:
            features: One week.
            incumbents: person_id, persona_id of the week before.
            odds_to_move: How many times as probable another persona (or none) has to be before a person leaves the one
                they were in.

        Returns:
            By person_id: person_id; persona_id; strength 0..1, its probability; runner_up_persona_id, the most
            probable other one; margin -1..1; fit_score 0..1.

        Raises:
            ValueError: Several weeks, a person twice, or a feature is missing.
        """
        require_one_week(features)
        people = features["person_id"]
        probabilities, fits = self.score(features)
        count = len(self.definitions)
        rows = np.arange(len(people))
        fitting = np.where(fits >= self._gate(), probabilities[:, :count], 0.0)
        chosen = fitting.argmax(axis=1)
        is_member = fitting[rows, chosen] >= MEMBER_FROM
        if incumbents is not None and incumbents.height:
            before = (
                people.to_frame()
                .join(incumbents.select("person_id", "persona_id"), on="person_id", how="left", maintain_order="left")[
                    "persona_id"
                ]
                .replace_strict(self.persona_ids, range(count), default=-1, return_dtype=pl.Int64)
                .fill_null(-1)
                .to_numpy()
            )
            own = probabilities[rows, np.maximum(before, 0)]
            fits_before = fitting[rows, np.maximum(before, 0)] > 0
            held = (before >= 0) & fits_before & (probabilities.max(axis=1) < odds_to_move * own)
            chosen, is_member = np.where(held, before, chosen), is_member | held
        strength = probabilities[rows, chosen]
        others = probabilities[:, :count].copy()
        others[rows, chosen] = -1.0
        second = others.argmax(axis=1)
        ids = pl.Series(self.persona_ids, dtype=pl.String)
        return (
            pl.DataFrame(
                {
                    "person_id": people,
                    "persona_id": ids.gather(chosen),
                    "strength": strength.round(6),
                    "runner_up_persona_id": ids.gather(second) if count > 1 else None,
                    "margin": (strength - np.maximum(others[rows, second], 0.0)).round(6),
                    "fit_score": fits[rows, chosen].round(6),
                },
                schema=DEFINED_SCHEMA,
            )
            .filter(pl.Series(is_member))
            .sort("person_id")
        )

    def _gate(self) -> NDArray[np.float64]:
        return np.array([MEETS_FROM if definition.rules else LIKE_EXAMPLES_FROM for definition in self.definitions])

    def to_dict(self) -> dict[str, Any]:
        """Write as a JSON object."""
        return {
            "definitions": [asdict(definition) for definition in self.definitions],
            "preparation": self.preparation.to_dict(),
            "scales": {name: encoding_to_dict(scale) for name, scale in self.scales.items()},
            "mixture": self.mixture.to_dict(),
            "stability": list(self.stability),
            "unfit": self.unfit,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        scales = {name: encoding_from_dict(scale) for name, scale in state["scales"].items()}
        return cls(
            definitions=tuple(_definition_from_dict(one) for one in state["definitions"]),
            preparation=Preparation.from_dict(state["preparation"]),
            scales={name: scale for name, scale in scales.items() if isinstance(scale, NumberEncoding)},
            mixture=SeededMixture.from_dict(state["mixture"]),
            stability=tuple(state["stability"]),
            unfit=dict(state["unfit"]),
        )


def _definition_from_dict(state: Mapping[str, Any]) -> PersonaDefinition:
    rules = tuple(FeatureRule(**{**rule, "values": tuple(rule["values"])}) for rule in state["rules"])
    return PersonaDefinition(state["persona_id"], rules, tuple(state["examples"]))


def fit_defined_personas(
    features: pl.DataFrame, catalogue: pl.DataFrame, definitions: Sequence[PersonaDefinition], seed: int = 7
) -> DefinedModel | dict[str, str]:
    """Fit the personas a marketer has defined to one week's people.

    Args:
        features: One week: person_id, the persona inputs and every feature a rule names.
        catalogue: The feature catalogue.
        definitions: The personas; examples are person ids.
        seed: Random seed.

    Returns:
        The model; where none of the definitions could be fitted, why not, by persona.

    Raises:
        ValueError: Several weeks or a person twice.
    """
    require_one_week(features)
    kinds: dict[str, Kind] = dict(catalogue.select("feature", "kind").iter_rows())
    ordered = hash_sample(features, features.height, seed)
    fitting, unfit = _fitting(definitions, ordered, kinds)
    inputs = inputs_of(catalogue, features.columns, "is_persona_input")
    preparation = Preparation(sample_size=50_000, random_state=seed).fit(ordered, inputs)
    if not fitting or preparation.n_columns_ == 0:
        return unfit or {one.persona_id: "no feature tells people apart" for one in definitions}
    scales = _scales(fitting, ordered, kinds)
    fitting = tuple(
        PersonaDefinition(
            one.persona_id, tuple(as_range(rule, ordered[rule.feature], kinds) for rule in one.rules), one.examples
        )
        for one in fitting
    )
    met = rule_fit(ordered, fitting, scales)
    anchors = [_anchors(one, met[:, place], ordered["person_id"]) for place, one in enumerate(fitting)]
    for one, rows in zip(fitting, anchors, strict=True):
        if len(rows) == 0:
            unfit[one.persona_id] = "nobody comes near to what it says"
    keep = [place for place, rows in enumerate(anchors) if len(rows)]
    if not keep:
        return unfit
    fitting, anchors, met = tuple(fitting[place] for place in keep), [anchors[place] for place in keep], met[:, keep]
    needed = np.unique(np.concatenate([np.arange(min(FIT_SAMPLE, ordered.height)), *anchors]))
    place_of = np.full(ordered.height, -1, dtype=np.int64)
    place_of[needed] = np.arange(len(needed))
    scores = preparation.transform(ordered[needed]).astype(np.float64)
    evidence = rule_evidence(fitting, met[needed])
    examples = [place_of[rows] for rows in anchors]
    groups = SeededGroups(random_state=seed).fit(scores, _indicator(examples, len(scores)), evidence)
    mixture = groups.mixture_
    stability = _stability(scores, examples, evidence, mixture, seed)
    return DefinedModel(fitting, preparation, scales, mixture, stability, unfit)


def _fitting(
    definitions: Sequence[PersonaDefinition], features: pl.DataFrame, kinds: Mapping[str, Kind]
) -> tuple[tuple[PersonaDefinition, ...], dict[str, str]]:
    """Leave out what this week's data cannot bear: rules on absent features, examples who are not there."""
    named = pl.Series([person for one in definitions for person in one.examples], dtype=pl.UInt64)
    people = set(named.filter(named.is_in(features["person_id"].implode())).to_list())
    fitting, unfit = [], {}
    for one in definitions:
        rules = tuple(rule for rule in one.rules if rule.feature in features.columns and rule.feature in kinds)
        examples = tuple(person for person in one.examples if person in people)
        if one.rules and len(rules) < len(one.rules):
            missing = ", ".join(rule.feature for rule in one.rules if rule not in rules)
            unfit[one.persona_id] = f"this week has no {missing}"
        elif not rules and not examples:
            unfit[one.persona_id] = "none of its example people is known this week"
        else:
            fitting.append(PersonaDefinition(one.persona_id, rules, examples))
    return tuple(fitting), unfit


def _scales(
    definitions: Sequence[PersonaDefinition], features: pl.DataFrame, kinds: Mapping[str, Kind]
) -> dict[str, NumberEncoding]:
    named = dict.fromkeys(rule.feature for one in definitions for rule in one.rules if kinds[rule.feature] == "number")
    learned = {name: learn_encoding(features[name].head(50_000), "number") for name in named}
    return {name: scale for name, scale in learned.items() if isinstance(scale, NumberEncoding)}


def _anchors(one: PersonaDefinition, met: NDArray[np.float64], people: pl.Series) -> NDArray[np.int64]:
    """Rows that hold a persona in place: its examples, and people who meet its rules (or come nearest to them)."""
    rows = (
        np.flatnonzero(people.is_in(pl.Series(one.examples, dtype=pl.UInt64).implode()).to_numpy())
        if one.examples
        else np.empty(0, np.int64)
    )
    if one.rules:
        meeting = np.flatnonzero(met >= 1.0)
        if not len(meeting):
            meeting = np.flatnonzero(met >= FITS_FROM)
        rows = np.unique(np.concatenate([rows, meeting[:MOST_ANCHORS]]))
    return rows.astype(np.int64)


def _indicator(examples: Sequence[NDArray[np.int64]], people: int) -> NDArray[np.bool_]:
    """(people, personas), who is an example of what; ranges that overlap may have the same people."""
    indicator = np.zeros((people, len(examples)), dtype=bool)
    for place, rows in enumerate(examples):
        indicator[rows, place] = True
    return indicator


def rule_evidence(definitions: Sequence[PersonaDefinition], met: Matrix) -> Matrix:
    """What the rules say beside the mixture: nothing where they are met, no where they are missed by far."""
    with np.errstate(divide="ignore"):
        evidence = np.log(np.where(met >= FITS_FROM, met, 0.0))
    ruled = np.array([bool(one.rules) for one in definitions])
    return np.where(ruled, evidence, 0.0)


def _obey_rules(definitions: Sequence[PersonaDefinition], met: Matrix, probabilities: Matrix) -> Matrix:
    """Who meets all rules of a persona is in it; of several such, the mixture decides between them alone."""
    ruled = np.array([bool(one.rules) for one in definitions])
    meets = (met >= 1.0) & ruled
    any_met = meets.any(axis=1)
    among = np.where(meets, np.maximum(probabilities[:, :-1], 1e-12), 0.0)
    decided = np.column_stack([among / np.maximum(among.sum(axis=1, keepdims=True), 1e-300), np.zeros(len(met))])
    return np.where(any_met[:, None], decided, probabilities)


def _fit(definitions: Sequence[PersonaDefinition], met: Matrix, likeness: Matrix) -> Matrix:
    ruled = np.array([bool(one.rules) for one in definitions])
    return np.where(ruled, met, likeness)


def _stability(
    scores: Matrix, examples: Sequence[NDArray[np.int64]], evidence: Matrix, mixture: SeededMixture, seed: int
) -> tuple[float, ...]:
    """How alike each persona's members come out when it is fitted to other samples, as mean Jaccard index."""
    random = np.random.default_rng(seed)
    part = np.arange(min(STABILITY_ROWS, len(scores)))
    members = mixture.probabilities(scores[part], evidence[part])[:, :-1] >= MEMBER_FROM
    free = len(mixture.centres) - mixture.named
    found = []
    for _ in range(STABILITY_REPEATS):
        drawn = random.choice(part, len(part))
        chosen = [rows[random.integers(0, len(rows), min(len(rows), 200))] for rows in examples]
        rows = np.concatenate([drawn, *chosen])
        starts = np.cumsum([len(drawn), *(len(one) for one in chosen)])
        places = [np.arange(first, last) for first, last in pairwise(starts)]
        again = SeededGroups(free, random_state=seed).fit(scores[rows], _indicator(places, len(rows)), evidence[rows])
        theirs = again.predict_proba(scores[part], evidence[part])[:, :-1] >= MEMBER_FROM
        both, either = (members & theirs).sum(axis=0), (members | theirs).sum(axis=0)
        found.append(np.where(either > 0, both / np.maximum(either, 1), 1.0))
    return tuple(np.mean(found, axis=0).round(4).tolist())
