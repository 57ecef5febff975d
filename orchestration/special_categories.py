"""Special categories of personal data (GDPR art. 9): refused as features, and asked about where a name looks like one.

What belongs here: the categories, the words that names of columns and events are screened for, and the rules. The
screen of columns and events asks for a decision, it makes none: what a column is called may mean something else. What a
group of people is called is read by people, so words that tell of a special category, or stand for one, are refused
there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestration.proxy_words import HARMLESS, PROXIES
from orchestration.settings_file import nearest

Category = Literal[
    "health", "religion", "politics", "ethnicity", "sexual_life", "union_membership", "genetics", "biometrics"
]
CATEGORIES: dict[str, str] = {
    "health": "health data",
    "religion": "religious or philosophical beliefs",
    "politics": "political opinions",
    "ethnicity": "racial or ethnic origin",
    "sexual_life": "sex life or sexual orientation",
    "union_membership": "trade union membership",
    "genetics": "genetic data",
    "biometrics": "biometric data",
}
NEEDS_A_CONDITION = "special_category_needs_a_condition"
NEEDS_A_DECISION = "special_category_needs_a_decision"
IS_NO_TARGET = "special_category_is_no_target"
NAMES_NOBODY = "special_category_names_nobody"

# Beginnings of words in English, German, French, Spanish, Italian and Dutch; "=" before a whole word. Accents are
# written without: krank, sante, salud.
SCREEN: dict[str, str] = {
    "health": (
        "health illness disease diagnos medic patient pharma prescription symptom therap disabilit pregnan "
        "fertil diabet cancer allerg =hiv =bmi =hospital =hospitals surger mental depress addict =drug =drugs "
        "disorder vaccin gesundheit krank behinder schwanger pflegegrad arznei apotheke impf =sucht =sante "
        "maladie malade handicap grossesse =enceinte ordonnance =salud enferm discapacidad embaraz farmac "
        "=salute malattia gravidanza gezondheid ziekte zwanger"
    ),
    "religion": (
        "relig =faith church mosque synagog worship prayer muslim islam christian catholic protestant jewish "
        "hindu buddh atheis halal kosher denomination =belief =beliefs philosophical konfession kirche "
        "=glaube evangelisch katholisch moschee eglise croyance mosquee iglesia creencia chiesa kerk geloof"
    ),
    "politics": (
        "politic ideolog =voter =voters voting =conservative =liberal socialist communist =republican "
        "=democrat partei politisch wahlverhalten politique electeur politica =partido =partito politiek"
    ),
    "ethnicity": (
        "ethnic =race racial =skin_color =skin_colour ancestry hispanic =latino ethni =rasse hautfarbe "
        "abstammung migrationshintergrund =raza =razza =ras"
    ),
    "sexual_life": "sexual =sex_life lgbt =gay lesbian bisex transgender sexuell homosex sexuel seksueel",
    "union_membership": (
        "union_member =trade_union =labor_union =labour_union gewerkschaft =syndicat syndical =sindicato "
        "sindacat vakbond"
    ),
    "genetics": "genetic genom =dna =gene gentest genetisch genetique",
    "biometrics": "biometr fingerprint =iris face_scan face_template voiceprint fingerabdruck empreinte",
}
_FOLDED = str.maketrans("àáâäãåçèéêëìíîïñòóôöõùúûüýÿ", "aaaaaaceeeeiiiinooooouuuuyy")


class Condition(BaseModel):
    """The condition of GDPR art. 9(2) that a special category rests on, with a sentence somebody answers for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: Literal[
        "explicit_consent",
        "employment_law",
        "vital_interests",
        "nonprofit_body",
        "made_public_by_the_person",
        "legal_claims",
        "substantial_public_interest",
        "health_care",
        "public_health",
        "research",
    ]
    statement: str = Field(min_length=10)


def check_category(given: Any) -> Any:
    """A category as a mapping states it; `no` (false) says that a column is none.

    Raises:
        ValueError: it is no category, with the nearest one.
    """
    if given is None or given is False or given in CATEGORIES:
        return given
    if given is True:
        raise ValueError(f"say which: {', '.join(CATEGORIES)}; or `no`")
    raise ValueError(f"'{given}' is no special category; {nearest(given, CATEGORIES)}")


def looks_like(name: str) -> str | None:
    """The special category that a name of a column or event looks like.

    Examples:
        >>> looks_like("Konfession"), looks_like("prayer-times viewed"), looks_like("erase_requested")
        ('religion', 'religion', None)
    """
    return _first_found(_folded(name), SCREEN)


@lru_cache(maxsize=10_000)
def words_tell_of(words: str) -> str | None:
    """The special category that a name for people reveals, or stands for.

    Stricter than `looks_like`: what people are called is read, and nobody decides over each reader. It knows words for
    what is bought, worn, visited, celebrated or joined as well (`proxy_words.py`).

    Examples:
        >>> words_tell_of("Ramadan shoppers"), words_tell_of("Rollstuhl-Käufer"), words_tell_of("Black Friday shoppers")
        ('religion', 'health', None)
    """
    folded = _folded(words)
    for phrase in HARMLESS:
        folded = folded.replace(f"_{phrase}_", "_")
    return _first_found(folded, SCREEN) or _first_found(folded, PROXIES)


def _folded(name: str) -> str:
    """A name in plain small letters, with one `_` before, between and after its words."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().translate(_FOLDED)
    return "_" + re.sub(r"[^a-z0-9]+", "_", words).strip("_") + "_"


def _first_found(folded: str, screen: dict[str, str]) -> str | None:
    for category, screened in screen.items():
        for word in screened.split():
            if f"_{word[1:]}_" in folded if word.startswith("=") else f"_{word}" in folded:
                return category
    return None


def complaint_about(
    name: str, role: str, sensitive: str | bool | None, condition: Condition | None = None
) -> str | None:
    """What is wrong with using a column as it is meant to be used; null where nothing is.

    Args:
        name: the column, as its extract calls it.
        role: what it is for; only features, labels and texts are looked at.
        sensitive: the category the mapping states; false says that it is none, null says nothing.
        condition: the condition of art. 9(2) that the mapping states.
    """
    if role not in ("feature", "label", "text"):
        return None
    if sensitive is None and (category := looks_like(name)):
        return (
            f"'{name}' looks like {CATEGORIES[category]} (rule {NEEDS_A_DECISION}, GDPR art. 9): decide with "
            f"`{{role: sensitive, sensitive: {category}}}`, which keeps it out, or `{{role: {role}, sensitive: no}}`"
        )
    if not sensitive:
        return None
    what = f"'{name}' is {CATEGORIES[str(sensitive)]}, a special category"
    if role == "label":
        return f"{what}: it is not predicted (rule {IS_NO_TARGET}, GDPR art. 9(1)); give it the role sensitive"
    if condition is None:
        return (
            f"{what}: it is no feature (rule {NEEDS_A_CONDITION}, GDPR art. 9(1)) unless a condition of art. 9(2) is "
            'stated: `legal_basis: {condition: explicit_consent, statement: "..."}`; or give it the role sensitive'
        )
    return None


def is_refused_as_a_name(words: str) -> bool:
    """Whether no group of people may be called so, nor be described with it."""
    return words_tell_of(words) is not None


def complaint_about_event(name: str) -> str | None:
    """What is wrong with counting an event as a feature; null where nothing is."""
    category = looks_like(name)
    if category is None:
        return None
    return (
        f"'{name}' looks like {CATEGORIES[category]} (rule {NEEDS_A_DECISION}, GDPR art. 9): take it out, or state "
        f"that it is none with `features: {{not_sensitive: [{name}]}}`"
    )


def complaint_about_words(words: str, what: str) -> str | None:
    """What is wrong with calling a group of people so, or with a label that is shown; null where nothing is.

    Args:
        words: the name or label.
        what: what it is, such as "a persona's name".
    """
    category = words_tell_of(words)
    if category is None:
        return None
    return (
        f"'{words}' tells of {CATEGORIES[category]}, or stands for it (rule {NAMES_NOBODY}, GDPR art. 9): {what} must "
        "not; choose other words"
    )
