"""Reads a settings file so that every complaint names file, line and the nearest valid name.

What belongs here: YAML with line numbers, the translation of pydantic's errors, and types of values that several
settings have. Which settings exist stands in `workspace.py` and `mapping.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import available_timezones

import yaml
from pydantic import AfterValidator, BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]
# Reads in a tenth of the time; what is no YAML is read once more by the other, whose words people are told.
_FAST_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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


def _check_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"'{name}' is no time zone; {nearest(name, available_timezones())}")
    return name


TimeZoneName = Annotated[str, AfterValidator(_check_time_zone)]


def _composed(text: str) -> tuple[yaml.SafeLoader, yaml.Node | None]:
    """The nodes of a text, and the loader that says what they mean."""
    try:
        loader = _FAST_LOADER(text)
        return loader, loader.get_single_node()
    except yaml.YAMLError:
        loader = yaml.SafeLoader(text)
        return loader, loader.get_single_node()


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
        self._read(text)

    @classmethod
    def of_text(cls, name: str, text: str) -> SettingsFile:
        """Settings that stand in no file: what a command was given, under a name for complaints."""
        file = cls.__new__(cls)
        file.path = Path(name)
        file._read(text)
        return file

    def _read(self, text: str) -> None:
        path = self.path
        self._lines: dict[Location, int] = {}
        self._seen: set[int] = set()
        try:
            loader, node = _composed(text)
            self.content: Any = {} if node is None else self._value(loader, node, ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            raise SettingsError(path, line, f"this is not YAML: {error.problem}") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise SettingsError(path, line, f"this is not YAML: {error.reason}") from None
        if not isinstance(self.content, dict):
            raise SettingsError(path, 1, "the file must hold `key: value` lines")

    def _value(self, loader: yaml.SafeLoader, node: yaml.Node, location: Location) -> Any:
        """What a node says, and each line on the way. Keys are names: `No:` and `2024:` are the text as written."""
        line = node.start_mark.line + 1
        self._lines.setdefault(location, line)
        if isinstance(node, yaml.ScalarNode):
            try:
                return loader.construct_object(node)
            except ValueError as error:  # a date such as 2026-02-30
                raise SettingsError(self.path, line, f"'{node.value}' cannot be: {error}") from None
        if id(node) in self._seen:
            raise SettingsError(self.path, line, "an alias is not supported here; write it out")
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(loader, item, (*location, place)) for place, item in enumerate(node.value)]
        content: dict[str, Any] = {}
        for key, value in node.value:
            key_line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise SettingsError(self.path, key_line, "a key must be a name")
            if key.value in content:
                raise SettingsError(self.path, key_line, f"'{key.value}' stands twice")
            self._lines[(*location, key.value)] = key_line
            content[key.value] = self._value(loader, value, (*location, key.value))
        return content

    def line(self, location: Location) -> int | None:
        """The line of the deepest part of `location` that the file has."""
        for length in range(len(location), -1, -1):
            if location[:length] in self._lines:
                return self._lines[location[:length]]
        return None

    def error(self, location: Location, message: str) -> SettingsError:
        """A complaint about the setting at `location`."""
        return SettingsError(self.path, self.line(location), message)

    def parse(self, model: type[Model], within: Location = ()) -> Model:
        """The file's content as `model`, or what stands at `within`, which must be there.

        Raises:
            SettingsError: one thing that does not fit, with its line and the nearest valid name.
        """
        content = self.content
        for part in within:
            content = content[part]
        try:
            return model.model_validate(content)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            # A key that is not known explains why another one is missing.
            first = min(errors, key=lambda each: each["type"] != "extra_forbidden")
            location = self._location(first["loc"], within, is_missing=first["type"] == "missing")
            if first["type"] == "extra_forbidden":
                valid = _valid_keys(model, location[len(within) : -1])
                message = f"unknown key '{location[-1]}'; {nearest(location[-1], valid)}"
            elif first["type"] == "missing":
                message = f"'{location[-1]}' is missing"
            else:
                where = ".".join(str(part) for part in location) or "the file"
                hint = '; put it in "quotes"' if first["type"] == "string_type" else ""
                message = f"{where}: {first['msg'].removeprefix('Value error, ')}{hint}"
            raise self.error(location, message) from None

    def _location(self, parts: Location, within: Location, is_missing: bool) -> Location:
        """The keys among pydantic's parts, which also name the branch of a union that was tried."""
        location = within
        for part in parts:
            if (*location, part) in self._lines:
                location = (*location, part)
        return (*location, parts[-1]) if is_missing else location


def _valid_keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys of the (nested) model at `location`; keys of free mappings are passed over."""
    models: list[type[BaseModel]] = [model]
    for part in location:
        inner = [nested for each in models for nested in _nested_models(_field(each, str(part)))]
        models = inner or models
    return [field.alias or key for each in models for key, field in each.model_fields.items()]


def _field(model: type[BaseModel], key: str) -> Any:
    return next((field for name, field in model.model_fields.items() if key == (field.alias or name)), None)


def _nested_models(field: Any) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    pending = [field.annotation] if field is not None else []
    while pending:
        annotation = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(annotation)
        pending.extend(getattr(annotation, "__args__", ()))
    return found
