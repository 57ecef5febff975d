"""What sets a persona apart, and what it is called: profiles, names and descriptions from figures alone.

Here belongs everything that turns groups into words. Finding the groups stands in `personas`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.catalogue import CATALOGUE_COLUMNS, Kind
from ml.encoding import CategoryEncoding, NumberEncoding, finite_floats, learn_encoding, level_places
from ml.made_ahead import made_ahead
from ml.people_order import hash_sample
from ml.preparation import BLOCK_ROWS

SCALE_SAMPLE = 100_000
"""People that the scales of effect sizes are learned from."""
NAMED_FROM = 0.3
"""Effect size from which a feature may give a persona its name."""
DESCRIBED_FROM = 0.2
"""Effect size from which a feature is mentioned in a description (a small effect after Cohen 1988)."""
KNOWN_FROM = 0.5
"""A persona is neither named nor described by a feature that fewer of its people have a value for."""
TRAITS_PER_NAME = 12
PRESENCE_FAMILIES = ("engagement", "source")
PRESENCE_WEIGHT = 0.6
JOINED_FROM = 0.25
"""Weight from which an adjective goes before a noun; below it a second noun says more."""
BOTH_FROM = 0.5
"""Weight from which two circumstances go before a noun: "evening mobile price watchers"."""
AVERAGE = "Average people"

PROFILE_SCHEMA = {
    "persona_id": pl.String,
    "feature": pl.String,
    "level": pl.String,
    "family": pl.String,
    "kind": pl.String,
    "label": pl.String,
    "people": pl.Int64,
    "people_share": pl.Float64,
    "known_share": pl.Float64,
    "persona_value": pl.Float64,
    "base_value": pl.Float64,
    "effect_size": pl.Float64,
    "index_value": pl.Float64,
}


def profile_personas(features: pl.DataFrame, assignments: pl.DataFrame, catalogue: pl.DataFrame) -> pl.DataFrame:
    """Compare each persona with everybody, feature by feature.

    Args:
        features: One week: person_id and feature columns, with nulls.
        assignments: person_id, persona_id. People without a persona are not part of the base.
        catalogue: The feature catalogue, see `catalogue`.

    Returns:
        By persona_id, in the order of the catalogue: persona_id; feature; level (of a category, else null); family;
        kind; label; people (in the persona); people_share 0..1; known_share 0..1, its people with a value;
        persona_value and base_value, the mean of those with a value, for flags and levels their share 0..1;
        effect_size, the difference in standard deviations (of winsorized and, where skewed, logarithmic values, so
        that a few large customers do not hide the rest); index_value, 100 = as everybody (null where the base
        value is not positive). Features that vary for fewer than 1 % of the people have no rows.
    """
    placed = features.select("person_id").join(
        assignments.select("person_id", "persona_id"), on="person_id", how="left", maintain_order="left"
    )["persona_id"]
    if placed.null_count():
        features, placed = features.filter(placed.is_not_null()), placed.drop_nulls()
    personas = sorted(placed.unique().to_list())
    if not personas:
        return pl.DataFrame(schema=PROFILE_SCHEMA)
    groups = placed.replace_strict(personas, range(len(personas)), return_dtype=pl.Int64).to_numpy()
    people = np.bincount(groups, minlength=len(personas))
    sample = hash_sample(features, SCALE_SAMPLE, seed=7)

    there = [
        entry
        for entry in catalogue.select(list(CATALOGUE_COLUMNS)).iter_rows(named=True)
        if entry["feature"] in features.columns
    ]

    def compare(entry: dict[str, Any]) -> list[Comparison]:
        name = entry["feature"]
        return _compare(features[name], sample[name], entry["kind"], groups, people)

    parts = []
    for entry, compared in zip(there, made_ahead(compare, there), strict=True):
        for level, in_persona, in_base, effects, known in compared:
            part = pl.DataFrame(
                {
                    "persona_id": personas,
                    "people": people,
                    "people_share": people / people.sum(),
                    "known_share": known / people,
                    "persona_value": in_persona,
                    "effect_size": effects,
                }
            )
            label = entry["label"] if level is None else f"{entry['label']}: {level}"
            described = {"feature": entry["feature"], "level": level, "label": label, "base_value": in_base}
            parts.append(
                part.with_columns(
                    *(pl.lit(value).alias(name) for name, value in described.items()),
                    family=pl.lit(entry["family"]),
                    kind=pl.lit(entry["kind"]),
                    index_value=100 * pl.col("persona_value") / in_base if in_base > 0 else pl.lit(None),
                )
                .select(pl.col(name).cast(kind) for name, kind in PROFILE_SCHEMA.items())
                .with_columns(pl.col(pl.Float64).fill_nan(None))
            )
    if not parts:
        return pl.DataFrame(schema=PROFILE_SCHEMA)
    return pl.concat(parts).sort("persona_id", maintain_order=True)


Comparison = tuple[str | None, NDArray[np.float64], float, NDArray[np.float64], NDArray[np.int64]]


def _compare(
    column: pl.Series, sample: pl.Series, kind: Kind, groups: NDArray[np.int64], people: NDArray[np.int64]
) -> list[Comparison]:
    """Per level (or once, as None): value per persona, value in the base, effect sizes, people with a value."""
    encoding = learn_encoding(sample, kind)
    if encoding is None:
        return []
    if isinstance(encoding, CategoryEncoding):
        places = level_places(column, encoding.levels)
        counts = np.bincount(
            groups * (len(encoding.levels) + 2) + places, minlength=len(people) * (len(encoding.levels) + 2)
        )
        table = counts.reshape(len(people), -1)
        known = people - table[:, -1]
        return [_compare_shares(level, table[:, place], known) for place, level in enumerate(encoding.levels)]
    values = finite_floats(column)
    absent = np.isnan(values)
    known = people - np.bincount(groups[absent], minlength=len(people)) if absent.any() else people
    if not isinstance(encoding, NumberEncoding):
        return [_compare_shares(None, np.bincount(groups[values > 0], minlength=len(people)), known)]
    standardized = np.empty_like(values)
    for start in range(0, len(values), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        standardized[rows] = encoding.standardize(values[rows])
    values[absent], standardized[absent] = 0.0, 0.0
    means, base = _means(values, groups, known)
    standardized_means, standardized_base = _means(standardized, groups, known)
    return [(None, means, base, standardized_means - standardized_base, known)]


def _compare_shares(level: str | None, counts: NDArray[np.int64], known: NDArray[np.int64]) -> Comparison:
    """The same of a flag or level, by how many of each persona have it."""
    shares = np.divide(counts, known, out=np.full(len(known), np.nan), where=known > 0)
    base = float(counts.sum() / known.sum())
    spread = np.sqrt(base * (1 - base))
    return level, shares, base, (shares - base) / spread if spread > 0 else np.zeros(len(known)), known


def _means(
    values: NDArray[np.float64], groups: NDArray[np.int64], known: NDArray[np.int64]
) -> tuple[NDArray[np.float64], float]:
    """Mean of those with a value, whose number is `known`: in each group (NaN if none has one), and over all."""
    sums = np.bincount(groups, weights=values, minlength=len(known))
    means = np.divide(sums, known, out=np.full(len(known), np.nan), where=known > 0)
    return means, float(sums.sum() / known.sum())


@dataclass(frozen=True)
class _Trait:
    words: str
    family: str
    weight: float
    feature: str = ""
    is_more: bool = True

    @property
    def is_noun(self) -> bool:
        """Whether the words name people: a plural such as "report readers", not an adjective such as "cautious"."""
        return self.words.endswith("s") and not self.words.endswith(("ss", "ous"))

    @property
    def is_prefix(self) -> bool:
        """Whether the words can stand before a noun: "early-morning", but not "recently on the site"."""
        return not self.is_noun and len(self.words.split()) <= 2

    @property
    def is_circumstance(self) -> bool:
        """Whether the words say when or on what people act, and so go along with another adjective."""
        return self.feature.endswith("_events_share_91d")

    @property
    def telling(self) -> float:
        """How much a noun says: what people do says more than that they come, or what they hardly do."""
        return self.weight * (1.0 if self.is_more and self.family not in PRESENCE_FAMILIES else PRESENCE_WEIGHT)

    @property
    def brief(self) -> float:
        """Weight of an adjective before a noun: of two that say about as much, the one of a single word."""
        return self.weight * (1.0 if " " not in self.words else 0.7)

    def shares_words_with(self, other: "_Trait") -> bool:
        """Whether a name of both would say a word twice."""
        return bool(set(self.words.lower().split()) & set(other.words.lower().split()))


def _nothing_is_refused(words: str) -> bool:
    return False


def name_personas(
    profiles: pl.DataFrame,
    catalogue: pl.DataFrame,
    kept_names: Mapping[str, str] | None = None,
    is_refused: Callable[[str], bool] = _nothing_is_refused,
) -> dict[str, str]:
    """Name each persona after what sets it apart most, for example "Evening mobile price watchers".

    A feature counts the more the larger its effect, and the fewer personas go further in the same direction.
    Words come from the catalogue: plural nouns name people, everything else is used as an adjective. What people do
    goes before how often they come, and an adjective before a second noun: who, and how.

    Args:
        profiles: As `profile_personas` returns them.
        catalogue: The feature catalogue; features without words give no name.
        kept_names: Names by persona_id from before. A persona keeps its name as long as it lives.
        is_refused: Whether people must not be called so. A feature whose label or words are refused names nobody, and a
            kept name that is refused is replaced.

    Returns:
        Name by persona_id, all different (also when case is ignored), in the order of the ids.
    """
    personas = sorted(profiles["persona_id"].unique().to_list())
    kept = {persona: name for persona, name in (kept_names or {}).items() if persona in personas}
    names = {persona: name for persona, name in kept.items() if not is_refused(name)}
    taken = {name.casefold() for name in names.values()}
    traits = _traits(profiles, _without_refused_words(catalogue, is_refused))
    for persona in personas:
        if persona in names:
            continue
        possible = _candidate_names(traits.get(persona, []))
        candidates = [name for name in possible if not is_refused(name)] or [AVERAGE]
        name = next((candidate for candidate in candidates if candidate.casefold() not in taken), None)
        names[persona] = name or _numbered(candidates[0], taken)
        taken.add(names[persona].casefold())
    return dict(sorted(names.items()))


def _traits(profiles: pl.DataFrame, catalogue: pl.DataFrame) -> dict[str, list[_Trait]]:
    further = pl.col("effect_size").abs().rank("ordinal", descending=True).over("feature", pl.col("effect_size") > 0)
    telling = (
        _well_known(profiles)
        .filter(pl.col("level").is_null() & (pl.col("effect_size").abs() >= NAMED_FROM))
        .join(catalogue.select("feature", "high_words", "low_words"), on="feature", maintain_order="left")
        .with_columns(
            words=pl.when(pl.col("effect_size") > 0).then("high_words").otherwise("low_words"),
            weight=pl.col("effect_size").abs().clip(upper_bound=3) * 0.5 ** (further - 1).cast(pl.Float64),
        )
        .filter(pl.col("words").str.strip_chars().str.len_chars() > 0)
        .sort(["persona_id", "weight", "feature"], descending=[False, True, False])
    )
    traits: dict[str, list[_Trait]] = {}
    columns = ("persona_id", "words", "family", "weight", "feature", pl.col("effect_size") > 0)
    for persona, words, family, weight, feature, is_more in telling.select(columns).iter_rows():
        traits.setdefault(persona, []).append(_Trait(words.strip(), family, weight, feature, is_more))
    return {persona: found[:TRAITS_PER_NAME] for persona, found in traits.items()}


def _without_refused_words(catalogue: pl.DataFrame, is_refused: Callable[[str], bool]) -> pl.DataFrame:
    told = catalogue.select("feature", "label", "high_words", "low_words").iter_rows()
    refused = [feature for feature, *words in told if any(is_refused(each) for each in words if each)]
    return catalogue.filter(~pl.col("feature").is_in(refused))


def _well_known(profiles: pl.DataFrame) -> pl.DataFrame:
    return profiles.filter(pl.col("known_share") >= KNOWN_FROM)


def _candidate_names(traits: list[_Trait]) -> list[str]:
    """All names the traits give, the best first; "Average people" where there are none."""
    nouns = sorted((trait for trait in traits if trait.is_noun), key=lambda trait: -trait.telling)
    adjectives = [trait for trait in traits if not trait.is_noun]
    names: list[str] = []
    for noun in nouns:
        fitting = [one for one in adjectives if one.is_prefix and not one.shares_words_with(noun)]
        strong = sorted((one for one in fitting if one.weight >= JOINED_FROM), key=lambda one: -one.brief)
        names += _with_circumstances(noun, strong)
        names += [f"{one.words} {noun.words}" for one in strong]
        others = [other for other in nouns if other is not noun and not other.shares_words_with(noun)]
        names += [f"{noun.words} and {other.words}" for other in others]
        names.append(noun.words)
        names += [f"{one.words} {noun.words}" for one in fitting if one not in strong]
    for first in adjectives:
        seconds = [second for second in adjectives if second is not first and not second.shares_words_with(first)]
        names += [f"{first.words}, {second.words} people" for second in seconds if second.family != first.family]
        names.append(f"{first.words} people")
    return [name[0].upper() + name[1:] for name in names] or [AVERAGE]


def _with_circumstances(noun: _Trait, adjectives: list[_Trait]) -> list[str]:
    """The noun after when and on what, where both are strong: time before device."""
    circumstances = [one for one in adjectives if one.is_circumstance and one.weight >= BOTH_FROM]
    devices = [one for one in circumstances if one.feature.startswith("mobile_")]
    times = [one for one in circumstances if not one.feature.startswith("mobile_")]
    return [f"{times[0].words} {devices[0].words} {noun.words}"] if times and devices else []


def _numbered(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name} ({number})".casefold() in taken:
        number += 1
    return f"{name} ({number})"


def describe_personas(
    profiles: pl.DataFrame, is_refused: Callable[[str], bool] = _nothing_is_refused
) -> dict[str, str]:
    """Describe each persona in a few sentences, from figures only.

    Args:
        profiles: As `profile_personas` returns them.
        is_refused: Whether people must not be described with such words; figures with such labels are left out.

    Returns:
        Text by persona_id: its share of the people, up to three features in which it is above everybody and
        two in which it is below, each of another family where there are as many, with its value and everybody's.
    """
    sentences = {}
    for (persona,), rows in profiles.group_by("persona_id", maintain_order=True):
        told = _well_known(rows).filter(pl.col("effect_size").abs() >= DESCRIBED_FROM)
        told = told.filter(~pl.Series([is_refused(label) for label in told["label"]], dtype=pl.Boolean))
        above = _of_several_families(told.filter(pl.col("effect_size") > 0), 3)
        below = _of_several_families(told.filter(pl.col("effect_size") < 0), 2)
        said = [f"{rows['people_share'][0]:.0%} of the people."]
        said += [f"What marks them: {_figures(above)}."] if above.height else []
        said += [f"Less than elsewhere: {_figures(below)}."] if below.height else []
        if not told.height:
            said.append("They are close to everybody in all that is measured.")
        sentences[persona] = " ".join(said)
    return sentences


def _of_several_families(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """The largest effects, of a second one of a family only where families run out."""
    ranked = rows.sort([pl.col("effect_size").abs(), "label"], descending=[True, False])
    ranked = ranked.with_columns(place=pl.int_range(pl.len()).over("family"))
    return ranked.sort("place", maintain_order=True).head(count).sort(pl.col("effect_size").abs(), descending=True)


def _figures(rows: pl.DataFrame) -> str:
    """`a, b and c`, each a figure in words."""
    told = [
        told_figure(label, kind, own, base)
        for label, kind, own, base in rows.select("label", "kind", "persona_value", "base_value").iter_rows()
    ]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def told_figure(label: str, kind: str, own: float, base: float) -> str:
    """Say one figure of a persona beside everybody's, as a person would.

    Args:
        label: What is measured, as the catalogue has it.
        kind: "number", "flag" or "category"; of all but numbers, the values are shares.
        own: The persona's.
        base: Everybody's.

    Examples:
        >>> told_figure("Dashboard viewed (last 4 weeks)", "number", 3.68, 1.08)
        '“dashboard viewed” 3.7 times in 4 weeks (everybody: 1.1)'
        >>> told_figure("Share of activity in the morning", "number", 0.27, 0.14)
        '27% of activity in the morning (everybody: 14%)'
    """
    small = label if label[1:2].isupper() else label[:1].lower() + label[1:]
    if kind != "number" or small.startswith("share of "):
        return f"{_share_words(small, kind, f'{own:.0%}')} (everybody: {base:.0%})"
    amount = _figure(own)
    if event := _EVENT.fullmatch(small):
        said = f"“{event[1]}” {amount} times in {event[2]} weeks"
    else:
        said = f"{amount} {small}" if _COUNTED.match(small) else f"{small} {amount}"
    return f"{said} (everybody: {_figure(base)})"


def _share_words(label: str, kind: str, own: str) -> str:
    if kind == "category" and ": " in label:
        what, level = label.split(": ", 1)
        return f"{own} with {what} “{level}”"
    if share := _SHARE.fullmatch(label):
        return f"{own} of {share[1]}"
    return f"a {label} of {own}" if label.startswith("share of ") else f"{own} {label}"


_EVENT = re.compile(r"(.+) \(last (\d+) weeks\)")
_SHARE = re.compile(r"share of ((?:activity|visits|messages|orders|revenue) (?:in|at|on|of|from|during|that) .+)")
_COUNTED = re.compile(r"days since |active (?:days|weeks) |[a-z -]+s (?:in|of) (?:a year|\d+)")


def _figure(value: float) -> str:
    digits = 0 if abs(value) >= 20 else 1 if abs(value) >= 1 else 2
    return f"{value:,.{digits}f}"
