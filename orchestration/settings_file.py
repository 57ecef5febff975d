"""Reads a settings file so that every complaint names file, line and the nearest valid name.

What belongs here: YAML with line numbers and the translation of pydantic's errors. Which settings exist stands in
`workspace.py` and `mapping.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]


class SettingsError(Exception):
    """A setting a person has to mend: one message with file, line and what to write instead."""

    def __init__(self, file: Path, line: int | None, message: str):
        """Keep where and what; `str()` gives `file:line: message`."""
        self.file, self.line, self.message = file, line, message
        super().__init__(f"{file}:{line}: {message}" if line else f"{file}: {message}")


def nearest(name: object, valid: Iterable[str]) -> str:
    """A hint in words: the nearest valid name, or the whole list where nothing is near and the list is short."""
    names = sorted(set(valid))
    by_folded_name = {candidate.casefold(): candidate for candidate in names}
    close = difflib.get_close_matches(str(name).casefold(), list(by_folded_name), n=1, cutoff=0.6)
    if close:
        return f"did you mean '{by_folded_name[close[0]]}'?"
    shown = ", ".join(names[:25]) + (", ..." if len(names) > 25 else "")
    return f"valid names: {shown}" if names else "no name is valid here"


class SettingsFile:
    """One YAML file and the line each of its keys stands in."""

    def __init__(self, path: Path):
        """Read `path`.

        Raises:
            SettingsError: the file is missing, is not UTF-8, is not YAML, or its top level is not a mapping.
        """
        self.path = path
        if not path.is_file():
            siblings = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
            hint = f"; {nearest(path.name, siblings)}" if siblings else ""
            raise SettingsError(path, None, f"the file is missing{hint}")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise SettingsError(path, None, f"the file is not UTF-8 (byte {error.start})") from None
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.content: Any = yaml.safe_load(text) or {}
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            raise SettingsError(path, line, f"this is not YAML: {error.problem}") from None
        if not isinstance(self.content, dict):
            raise SettingsError(path, 1, "the file must hold `key: value` lines")
        self._lines: dict[Location, int] = {}
        if node is not None:
            self._index(node, ())

    def _index(self, node: yaml.Node, location: Location) -> None:
        self._lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    raise SettingsError(self.path, key.start_mark.line + 1, f"'{key.value}' stands twice")
                seen.add(key.value)
                here = (*location, key.value)
                self._lines[here] = key.start_mark.line + 1
                self._index(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for position, value in enumerate(node.value):
                self._index(value, (*location, position))

    def line(self, location: Location) -> int | None:
        """The line of the deepest part of `location` that the file has."""
        for length in range(len(location), -1, -1):
            if location[:length] in self._lines:
                return self._lines[location[:length]]
        return None

    def error(self, location: Location, message: str) -> SettingsError:
        """A complaint about the setting at `location`."""
        return SettingsError(self.path, self.line(location), message)

    def parse(self, model: type[Model], context: dict[str, Any] | None = None) -> Model:
        """The file's content as `model`.

        Raises:
            SettingsError: the first thing that does not fit, with its line and the nearest valid name.
        """
        try:
            return model.model_validate(self.content, context=context)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            location = tuple(part for part in first["loc"] if not _is_branch_of_union(part))
            if first["type"] == "extra_forbidden":
                valid = _valid_keys(model, location[:-1])
                message = f"unknown key '{location[-1]}'; {nearest(location[-1], valid)}"
            elif first["type"] == "missing":
                message = f"'{location[-1]}' is missing"
            else:
                where = ".".join(str(part) for part in location) or "the file"
                message = f"{where}: {first['msg'].removeprefix('Value error, ')}"
            raise self.error(location, message) from None


def _is_branch_of_union(part: str | int) -> bool:
    """Pydantic names the branch of a union it tried; such a part is no key of the file."""
    return isinstance(part, str) and (part[:1].isupper() or "[" in part or part in {"int", "str", "bool", "float"})


def _valid_keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys of the (nested) model at `location`; keys of free mappings are passed over."""
    models: list[type[BaseModel]] = [model]
    for part in location:
        inner = [nested for each in models for nested in _nested_models(each.model_fields.get(str(part)))]
        models = inner or models
    return [key for each in models for key in each.model_fields]


def _nested_models(field: Any) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    pending = [field.annotation] if field is not None else []
    while pending:
        annotation = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(annotation)
        pending.extend(getattr(annotation, "__args__", ()))
    return found
