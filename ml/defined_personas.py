"""Personas that a marketer defines, by ranges of features or by example people, and how well the data bear them out.

Here belongs turning a definition into anchors of a mixture, saying who fits, and judging the definition. The mixture
itself stands in `seeded_mixture`; how a definition is written down, with whoever reads the file.

A person who meets all ranges of one persona is in it, whatever else they do. Who misses a range a little, or is only
like the examples, is in it as far as the mixture says so; who is like none of the definitions is in none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import chi2

from ml.catalogue import Kind, inputs_of, require_one_week
from ml.encoding import NumberEncoding, encoding_from_dict, encoding_to_dict, finite_floats, learn_encoding
from ml.people_order import hash_sample
from ml.preparation import Preparation
from ml.seeded_mixture import Matrix, SeededGroups, SeededMixture

FIT_SAMPLE = 20_000
"""People that a mixture is fitted to, beside the examples."""
MOST_ANCHORS = 2_000
"""Of the people who meet all ranges, so many anchor a persona."""
RANGE_STEEPNESS = 4.0
"""What a standard deviation outside of a range costs, in logarithms of fit, for the square of it."""
MISMATCH_COST = 2.0
"""What another level than the ones named costs."""
UNKNOWN_COST = 1.0
"""What a missing value costs: less than a wrong one."""
FITS_FROM = 0.05
"""Fit by ranges below which a person is out of the question."""
MEETS_FROM = 0.5
"""Fit by ranges from which a person may be in a persona although not all rules are met: some .4 standard deviations
off."""
LIKE_EXAMPLES_FROM = 0.01
"""Share of a persona's people who are farther from its middle, below which a person is not like its examples."""
MEMBER_FROM = 0.5
"""Probability from which a person is in a persona, not in none."""
LEVEL_QUANTILES = {"low": (None, 0.25), "medium": (0.25, 0.75), "high": (0.75, None)}
STABILITY_ROWS = 3_000
STABILITY_REPEATS = 6
SUGGESTED_FROM_SHARE = 0.03
"""Share of all people from which a group nobody named is worth a suggestion."""
SUGGESTED_PURITY = 0.5
RANGE_TOO_NARROW = 0.8
"""A range that takes in less than this share of those who fit otherwise is suggested to be wider."""
RANGE_TOO_WIDE = 2.0
"""A range this many times as wide as where its people are is suggested to be narrower."""

DEFINED_SCHEMA = {
    "person_id": pl.String,
    "persona_id": pl.String,
    "strength": pl.Float64,
    "runner_up_persona_id": pl.String,
    "margin": pl.Float64,
    "fit_score": pl.Float64,
}
SUPPORT_SCHEMA = {
    "persona_id": pl.String,
    "people": pl.Int64,
    "share": pl.Float64,
    "mean_fit": pl.Float64,
    "separation": pl.Float64,
    "stability": pl.Float64,
    "nearest_persona_id": pl.String,
    "nearest_overlap": pl.Float64,
}
Level = Literal["low", "medium", "high"]


@dataclass(frozen=True)
class FeatureRule:
    """What a persona's people are like in one feature.

    Attributes:
        feature: Column name.
        low: Least value, or None.
        high: Largest value, or None.
        level: "low", "medium" or "high" in place of both: the lowest quarter, the middle half, the highest quarter of
            everybody who has a value.
        values: Levels of a category, or "true" or "false" of a flag.
        weight: How much it counts beside the persona's other rules.
    """

    feature: str
    low: float | None = None
    high: float | None = None
    level: Level | None = None
    values: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class PersonaDefinition:
    """A persona as a marketer defines it: rules, or people who are examples of it, or both."""

    persona_id: str
    rules: tuple[FeatureRule, ...] = ()
    examples: tuple[str, ...] = ()


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
            probabilities[rows] = self.mixture.probabilities(values, _evidence(self.definitions, rules[rows]))
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
        people = features["person_id"].cast(pl.String)
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
            one.persona_id, tuple(_as_range(rule, ordered[rule.feature], kinds) for rule in one.rules), one.examples
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
    evidence = _evidence(fitting, met[needed])
    examples = [place_of[rows] for rows in anchors]
    groups = SeededGroups(random_state=seed).fit(scores, _indicator(examples, len(scores)), evidence)
    mixture = groups.mixture_
    stability = _stability(scores, examples, evidence, mixture, seed)
    return DefinedModel(fitting, preparation, scales, mixture, stability, unfit)


def _fitting(
    definitions: Sequence[PersonaDefinition], features: pl.DataFrame, kinds: Mapping[str, Kind]
) -> tuple[tuple[PersonaDefinition, ...], dict[str, str]]:
    """Leave out what this week's data cannot bear: rules on absent features, examples who are not there."""
    people = set(features["person_id"].to_list()) if any(one.examples for one in definitions) else set()
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


def _as_range(rule: FeatureRule, column: pl.Series, kinds: Mapping[str, Kind]) -> FeatureRule:
    """Turn a level into the range it is today, so that it means the same next week."""
    if rule.level is None or kinds[rule.feature] != "number":
        return rule
    values = finite_floats(column)
    values = values[~np.isnan(values)]
    if not len(values):
        return rule
    low, high = LEVEL_QUANTILES[rule.level]
    least = None if low is None else float(np.quantile(values, low))
    most = None if high is None else float(np.quantile(values, high))
    # Where more than a quarter have the smallest value, "high" still means more than that.
    if least is not None and least <= values.min() and (values > values.min()).any():
        least = float(values[values > values.min()].min())
    return FeatureRule(rule.feature, least, most, None, rule.values, rule.weight)


def rule_fit(
    features: pl.DataFrame, definitions: Sequence[PersonaDefinition], scales: Mapping[str, NumberEncoding]
) -> Matrix:
    """How well each person meets each persona's rules.

    Args:
        features: People, with the features the rules name.
        definitions: The personas, without levels.
        scales: Encoding of each number that a rule names.

    Returns:
        (people, personas), 1 where all rules are met (and where there are none), towards 0 the farther off and the more
        weight the rules have that are missed.
    """
    fit = np.ones((features.height, len(definitions)))
    for place, one in enumerate(definitions):
        weight = sum(rule.weight for rule in one.rules) / max(len(one.rules), 1)
        for rule in one.rules:
            cost = _cost(rule, features[rule.feature], scales.get(rule.feature))
            fit[:, place] *= np.exp(-rule.weight / weight * cost) if weight > 0 else 1.0
    return fit


def _cost(rule: FeatureRule, column: pl.Series, scale: NumberEncoding | None) -> NDArray[np.float64]:
    if rule.values:
        wanted = [value.casefold() for value in rule.values]
        text = column.cast(pl.String).str.to_lowercase()
        cost = text.is_in(wanted).cast(pl.Float64).replace_strict({1.0: 0.0, 0.0: MISMATCH_COST}, default=None)
        return cost.fill_null(UNKNOWN_COST).to_numpy().astype(np.float64)
    values = finite_floats(column)
    off = np.zeros(len(values))
    place = scale.standardize if scale is not None else (lambda given: given)
    for bound, side in ((rule.low, -1.0), (rule.high, 1.0)):
        if bound is not None:
            beyond = side * (place(values) - place(np.array([bound])))
            # Beyond the winsor limits all values are one; what is outside is outside nevertheless.
            is_out = side * (values - bound) > 0
            off = np.where(is_out, np.maximum(off, np.maximum(np.nan_to_num(beyond), 1e-3)), off)
    return np.where(np.isnan(values), UNKNOWN_COST, RANGE_STEEPNESS * off**2)


def _anchors(one: PersonaDefinition, met: NDArray[np.float64], people: pl.Series) -> NDArray[np.int64]:
    """Rows that hold a persona in place: its examples, and people who meet its rules (or come nearest to them)."""
    rows = np.flatnonzero(people.is_in(list(one.examples)).to_numpy()) if one.examples else np.empty(0, np.int64)
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


def _evidence(definitions: Sequence[PersonaDefinition], met: Matrix) -> Matrix:
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


def judge_support(
    model: DefinedModel, features: pl.DataFrame, assigned: pl.DataFrame, discovered: pl.DataFrame
) -> pl.DataFrame:
    """Say how well this week's people bear out each definition.

    Args:
        model: The model.
        features: One week.
        assigned: As `DefinedModel.assign` returns it.
        discovered: person_id, persona_id of the personas found in the data; may be empty.

    Returns:
        Per definition: persona_id; people; share 0..1 of everybody; mean_fit 0..1 of its people; separation, the
        distance of its centre from the nearest other one in standard deviations per column (null where there is no
        other); stability 0..1; nearest_persona_id, the discovered persona it overlaps most, and nearest_overlap, their
        Jaccard index.
    """
    centres = model.mixture.centres / np.sqrt(model.mixture.variance)
    distances = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distances, np.inf)
    sizes = dict(discovered.group_by("persona_id").len().iter_rows())
    shared = (
        assigned.select("person_id", "persona_id")
        .join(discovered.select("person_id", other="persona_id"), on="person_id")
        .group_by("persona_id", "other")
        .len()
    )
    rows = []
    for place, one in enumerate(model.definitions):
        members = assigned.filter(pl.col("persona_id") == one.persona_id)
        overlaps = [
            (people / (members.height + sizes[other] - people), other)
            for _, other, people in shared.filter(pl.col("persona_id") == one.persona_id).iter_rows()
        ]
        overlap, nearest = max(overlaps, default=(None, None), key=lambda pair: (pair[0], pair[1]))
        apart = distances[place].min()
        rows.append(
            {
                "persona_id": one.persona_id,
                "people": members.height,
                "share": members.height / features.height if features.height else 0.0,
                "mean_fit": members["fit_score"].mean(),
                "separation": round(float(apart), 4) if np.isfinite(apart) else None,
                "stability": model.stability[place],
                "nearest_persona_id": nearest,
                "nearest_overlap": overlap,
            }
        )
    return pl.DataFrame(rows, schema=SUPPORT_SCHEMA)


def suggest_groups(model: DefinedModel, features: pl.DataFrame) -> pl.DataFrame:
    """Find groups of people whom no definition names.

    Args:
        model: The model; its free groups are the candidates.
        features: One week.

    Returns:
        person_id, persona_id ("unnamed-1", the largest first) of the people in groups that hold at least 3 % of
        everybody; empty where there is none.
    """
    free = len(model.mixture.centres) - model.mixture.named
    if free == 0 or features.height == 0:
        return pl.DataFrame(schema={"person_id": pl.String, "persona_id": pl.String})
    rules = rule_fit(features, model.definitions, model.scales)
    group = np.empty(features.height, dtype=np.int64)
    for start, scores in model.preparation.transform_chunks(features):
        rows = slice(start, start + len(scores))
        joint = model.mixture.log_joint(scores.astype(np.float64), _evidence(model.definitions, rules[rows]))
        shares = np.exp(joint - joint.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        best = shares.argmax(axis=1)
        is_free = (best >= model.mixture.named) & (best < len(model.mixture.centres))
        group[rows] = np.where(is_free & (shares.max(axis=1) >= SUGGESTED_PURITY), best - model.mixture.named, -1)
    sizes = np.bincount(group[group >= 0], minlength=free)
    large = [place for place in np.argsort(-sizes, kind="stable") if sizes[place] >= SUGGESTED_FROM_SHARE * len(group)]
    names = {int(place): f"unnamed-{number}" for number, place in enumerate(large, 1)}
    labels = pl.Series(group).replace_strict(names, default=None, return_dtype=pl.String)
    return (
        pl.DataFrame({"person_id": features["person_id"], "persona_id": labels})
        .drop_nulls("persona_id")
        .sort("person_id")
    )


@dataclass(frozen=True)
class RangeSuggestion:
    """A range that would suit the people better.

    Attributes:
        persona_id: The persona.
        feature: The feature.
        low: Suggested least value, or None.
        high: Suggested largest value, or None.
        reason: Why, in words.
    """

    persona_id: str
    feature: str
    low: float | None
    high: float | None
    reason: str


def suggest_ranges(model: DefinedModel, features: pl.DataFrame, assigned: pl.DataFrame) -> list[RangeSuggestion]:
    """Say which ranges leave out, or reach far beyond, the people who fit a persona otherwise.

    Args:
        model: The model.
        features: One week.
        assigned: As `DefinedModel.assign` returns it.

    Returns:
        The suggestions, in order of definition.
    """
    suggestions = []
    for place, one in enumerate(model.definitions):
        probabilities = None
        for rule in one.rules:
            if rule.values or (rule.low is None and rule.high is None):
                continue
            others = tuple(other for other in one.rules if other is not rule)
            if not others and not one.examples:
                continue
            if others:
                fits_otherwise = (
                    rule_fit(features, (PersonaDefinition(one.persona_id, others),), model.scales)[:, 0] >= 1
                )
            else:
                probabilities = model.score(features)[0] if probabilities is None else probabilities
                fits_otherwise = probabilities[:, place] >= MEMBER_FROM
            values = finite_floats(features[rule.feature])
            values = values[fits_otherwise & ~np.isnan(values)]
            if len(values) >= 30:
                suggestion = _better_range(one.persona_id, rule, values)
                suggestions += [suggestion] if suggestion else []
    return suggestions


def _better_range(persona_id: str, rule: FeatureRule, values: NDArray[np.float64]) -> RangeSuggestion | None:
    low, high = (
        -np.inf if rule.low is None else rule.low,
        np.inf if rule.high is None else rule.high,
    )
    inside = float(((values >= low) & (values <= high)).mean())
    least, most = (float(np.quantile(values, share)) for share in (0.05, 0.95))
    # Where a one-sided rule would have to give way altogether, it is what the persona is about.
    is_the_point = (rule.high is None and least <= values.min()) or (rule.low is None and most >= values.max())
    if inside < RANGE_TOO_NARROW and not is_the_point:
        return RangeSuggestion(
            persona_id,
            rule.feature,
            None if rule.low is None else _rounded(min(least, rule.low)),
            None if rule.high is None else _rounded(max(most, rule.high)),
            f"of those who fit everything else, {inside:.0%} are within the range; nine in ten lie between "
            f"{_rounded(least):g} and {_rounded(most):g}",
        )
    if rule.low is not None and rule.high is not None and most > least:
        if (rule.high - rule.low) > RANGE_TOO_WIDE * (most - least):
            return RangeSuggestion(
                persona_id,
                rule.feature,
                _rounded(least),
                _rounded(most),
                f"the range is {(rule.high - rule.low) / (most - least):.1f} times as wide as where nine in ten of "
                "those who fit everything else are",
            )
    return None


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
