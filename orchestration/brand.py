"""`brand/`: what the brand and its products are, and the phrases that show that somebody cares.

What belongs here: what `brand/brief.md` and `brand/phrases.yml` may say, checked before a run. Proposals for phrases
are made in `phrase_suggestions.py`; scores in `affinity_week.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml.phrases import LANGUAGES, LONGEST_PHRASE, Phrase
from orchestration.settings_file import Location, SettingsError, SettingsFile, nearest
from orchestration.special_categories import CATEGORIES, NEEDS_A_DECISION, looks_like

BRAND_FOLDER = "brand"
BRIEF_FILE = "brief.md"
PHRASES_FILE = "phrases.yml"
LISTS = {"triggers": "trigger", "events": "event", "targets": "target"}
MOST_PHRASES = 1000
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)


class Part(BaseModel):
    """A part of `phrases.yml`: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PhraseSettings(Part):
    """A phrase, what it counts for, its language, and texts that say the same in other words."""

    phrase: Annotated[str, Field(min_length=2, max_length=100)]
    weight: Annotated[float, Field(gt=0, le=10)] = 1.0
    language: str | None = None
    examples: Annotated[tuple[Annotated[str, Field(min_length=2, max_length=500)], ...], Field(max_length=20)] = ()

    @model_validator(mode="before")
    @classmethod
    def _a_plain_text_is_the_phrase(cls, given: Any) -> Any:
        return {"phrase": given} if isinstance(given, str) else given

    @field_validator("phrase")
    @classmethod
    def _has_words(cls, phrase: str) -> str:
        words = len(_WORD.findall(phrase))
        if not 1 <= words <= LONGEST_PHRASE:
            raise ValueError(f"'{phrase}' has {words} words; a phrase has 1 to {LONGEST_PHRASE}")
        return phrase

    @field_validator("language")
    @classmethod
    def _is_known(cls, language: str | None) -> str | None:
        if language is not None and language not in LANGUAGES:
            raise ValueError(f"'{language}' is no language whose inflections are known; {nearest(language, LANGUAGES)}")
        return language


class PhrasesFile(Part):
    """Everything `brand/phrases.yml` may say."""

    language: str = "en"
    triggers: tuple[PhraseSettings, ...] = ()
    events: tuple[PhraseSettings, ...] = ()
    targets: tuple[PhraseSettings, ...] = ()
    not_sensitive: tuple[str, ...] = ()

    @field_validator("language")
    @classmethod
    def _is_known(cls, language: str) -> str:
        return PhraseSettings(phrase="any", language=language).language or language


@dataclass(frozen=True)
class Brand:
    """The brief, and the phrases in the order of the file; the names of the brief come last."""

    brief: str = ""
    phrases: tuple[Phrase, ...] = ()

    @property
    def is_declared(self) -> bool:
        """Whether there is anything to score."""
        return bool(self.phrases)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that decides what a text says of a phrase."""
        told = [[one.group, one.text, one.weight, one.language, list(one.examples)] for one in self.phrases]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def names_in(brief: str) -> list[str]:
    """Names of the brand and its products: the headings of the brief, each once.

    Examples:
        >>> names_in("# Havelgrid\\nMetrics.\\n## Automation packs\\n## Havelgrid")
        ['Havelgrid', 'Automation packs']
    """
    found: dict[str, str] = {}
    for heading in _HEADING.findall(brief):
        name = " ".join(heading.split())
        found.setdefault(name.casefold(), name)
    return [name for name in found.values() if 1 <= len(_WORD.findall(name)) <= LONGEST_PHRASE]


def read_brand(folder: Path) -> Brand:
    """Read `brand/` of a workspace; without `phrases.yml` nothing is scored.

    Raises:
        SettingsError: anything a person has to mend, with file, line and the nearest valid name.
    """
    brand = folder / BRAND_FOLDER
    brief = _brief(brand / BRIEF_FILE)
    path = brand / PHRASES_FILE
    if not path.exists():
        _check_names(brand)
        return Brand(brief)
    file = SettingsFile(path)
    settings = file.parse(PhrasesFile)
    listed = {name: getattr(settings, name) for name in LISTS}
    if not any(listed.values()):
        raise file.error((), f"no phrase is listed; list some under {', '.join(LISTS)}, or remove the file")
    if sum(map(len, listed.values())) > MOST_PHRASES:
        raise file.error((), f"there are more than {MOST_PHRASES} phrases")
    _check_phrases(file, settings, listed)
    phrases = [
        Phrase(LISTS[name], " ".join(one.phrase.split()), one.weight, one.language or settings.language, one.examples)
        for name, ones in listed.items()
        for one in ones
    ]
    names = [Phrase("brand", name, 1.0, settings.language) for name in names_in(brief) if looks_like(name) is None]
    return Brand(brief, (*phrases, *names))


def _check_phrases(file: SettingsFile, settings: PhrasesFile, listed: dict[str, tuple[PhraseSettings, ...]]) -> None:
    """Each phrase stands once, and none is of a special category unless somebody decided that it is not."""
    places: dict[str, Location] = {}
    for name, ones in listed.items():
        for number, one in enumerate(ones):
            here: Location = (name, number)
            folded = " ".join(_WORD.findall(one.phrase.casefold()))
            if folded in places:
                first = file.line(places[folded])
                raise file.error(here, f"'{one.phrase}' stands twice, here and in line {first}")
            places[folded] = here
            for text in (one.phrase, *one.examples):
                category = None if one.phrase in settings.not_sensitive else looks_like(text)
                if category:
                    raise file.error(
                        here,
                        f"'{text}' looks like {CATEGORIES[category]} (rule {NEEDS_A_DECISION}, GDPR art. 9): nobody is "
                        f"scored by it; take it out, or state that it is none with `not_sensitive: [{one.phrase}]`",
                    )
    known = [one.phrase for ones in listed.values() for one in ones]
    for number, phrase in enumerate(settings.not_sensitive):
        if phrase not in known:
            raise file.error(
                ("not_sensitive", number), f"'{phrase}' is no phrase of this file; {nearest(phrase, known)}"
            )


def _brief(path: Path) -> str:
    if not path.exists():
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(path, None, f"the file is not UTF-8 (byte {error.start})") from None


def _check_names(brand: Path) -> None:
    """A slip in a file's name must not switch everything off without a word."""
    if not brand.is_dir():
        return
    for path in sorted(brand.iterdir()):
        if path.suffix in (".yml", ".yaml") and ".proposed" not in path.name:
            raise SettingsError(path, None, f"unknown file '{path.name}'; did you mean '{PHRASES_FILE}'?")
