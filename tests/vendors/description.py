"""A vendor's own API description as a judge: every request and every answer of a local server is held to it.

Descriptions are read from `../shared/specs` and nothing of them is kept here. What is known to be wrong or too
lenient in one is corrected by the overlays below, each with its reason. Validation is `openapi-schema-validator`'s;
paths, parameters and bodies are found here.
"""

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
import yaml
from openapi_schema_validator import OAS30Validator, OAS31Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SPECS = Path(__file__).resolve().parents[2].parent / "shared" / "specs"
METHODS = ("get", "put", "post", "patch", "delete")


class WrongRequest(AssertionError):
    """A request the vendor's description does not allow."""


class WrongAnswer(AssertionError):
    """An answer of the local server that the vendor's description does not allow: the server is wrong."""


@dataclass(frozen=True)
class Operation:
    """One operation of a description, and where in which document it stands."""

    id: str
    document: str
    pointer: str
    definition: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]
    path_values: Mapping[str, str]


class Description:
    """One or several documents of one vendor."""

    def __init__(self, *names: str, prefix: str = "") -> None:
        missing = [name for name in names if not (SPECS / name).exists()]
        if missing:
            pytest.skip(f"the vendor's description is not here: {', '.join(missing)} is looked for beside the checkout")
        self.documents = {f"urn:{name}": _read(SPECS / name) for name in names}
        closed = {f"urn:{name}:closed": _closed_file(SPECS / name) for name in names}
        self._registry: Registry[Any] = Registry().with_resources(
            [
                (urn, Resource.from_contents(document, default_specification=DRAFT202012))
                for urn, document in (self.documents | closed).items()
            ]
        )
        self._prefix = prefix

    def operations(self) -> dict[str, Mapping[str, Any]]:
        """Every operation by its id."""
        return {
            definition.get("operationId", f"{method} {path}"): definition
            for document in self.documents.values()
            for path, methods in document["paths"].items()
            for method, definition in methods.items()
            if method in METHODS
        }

    def check_request(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Operation, Any]:
        """Hold a request to the description and return its operation and its decoded body.

        Raises:
            WrongRequest: It is not allowed.
        """
        operation = self._find(method.lower(), path)
        self._check_parameters(operation, query, headers)
        wanted = operation.definition.get("requestBody")
        if not wanted:
            if body:
                raise WrongRequest(f"{operation.id} takes no body")
            return operation, None
        wanted, pointer = self._resolved(operation.document, wanted, f"{operation.pointer}/requestBody")
        if not body:
            if wanted.get("required"):
                raise WrongRequest(f"{operation.id} needs a body")
            return operation, None
        kind = headers.get("content-type", "").split(";")[0].strip()
        if kind not in wanted["content"]:
            raise WrongRequest(
                f"{operation.id} takes {', '.join(wanted['content'])}, not {kind or 'a body without a type'}"
            )
        try:
            decoded = json.loads(body, parse_constant=_no_constant)
        except ValueError:
            raise WrongRequest(f"{operation.id}: the body is not JSON") from None
        errors = self._errors(f"{operation.document}:closed", f"{pointer}/content/{_escaped(kind)}/schema", decoded)
        if errors:
            raise WrongRequest(f"{operation.id}: {errors[0]}")
        return operation, decoded

    def check_answer(self, operation: Operation, status: int, body: Any) -> None:
        """Hold an answer to the description.

        Raises:
            WrongAnswer: It is not allowed.
        """
        answers = operation.definition["responses"]
        name = next((one for one in (str(status), f"{status // 100}XX", "default") if one in answers), None)
        if name is None:
            if status in (408, 425, 429) or status >= 500:
                return  # any server may say so, and few descriptions do
            raise WrongAnswer(f"{operation.id} never answers {status}")
        answer, pointer = self._resolved(operation.document, answers[name], f"{operation.pointer}/responses/{name}")
        content = answer.get("content")
        if not content:
            if body is not None:
                raise WrongAnswer(f"{operation.id} {status} has no body")
            return
        kind = next(iter(content))
        if "schema" in content[kind]:
            errors = self._errors(operation.document, f"{pointer}/content/{_escaped(kind)}/schema", body)
            if errors:
                raise WrongAnswer(f"{operation.id} {status}: {errors[0]}")

    def _find(self, method: str, path: str) -> Operation:
        if self._prefix and not path.startswith(self._prefix):
            raise WrongRequest(f"there is nothing at {path}")
        local = path[len(self._prefix) :]
        found: list[tuple[int, Operation]] = []
        for urn, document in self.documents.items():
            for template, methods in document["paths"].items():
                names = re.findall(r"{([^}]+)}", template)
                pattern = re.sub(r"\\{[^}]+\\}", "([^/]+)", re.escape(template))
                matched = re.fullmatch(pattern, local)
                if matched and method in methods:
                    definition = methods[method]
                    pointer = f"/paths/{_escaped(template)}/{method}"
                    parameters = [*methods.get("parameters", []), *definition.get("parameters", [])]
                    resolved = tuple(self._resolved(urn, one, "")[0] for one in parameters)
                    values = dict(zip(names, map(unquote, matched.groups()), strict=True))
                    identifier = definition.get("operationId", f"{method} {template}")
                    found.append((len(names), Operation(identifier, urn, pointer, definition, resolved, values)))
        if not found:
            raise WrongRequest(f"there is no {method.upper()} {path}")
        return min(found, key=lambda pair: pair[0])[1]

    def _check_parameters(self, operation: Operation, query: str, headers: Mapping[str, str]) -> None:
        given = parse_qsl(query, keep_blank_values=True)
        known = {one["name"] for one in operation.parameters if one["in"] == "query"}
        for name, _ in given:
            if name not in known:
                raise WrongRequest(f"{operation.id} has no parameter {name}")
        for parameter in operation.parameters:
            name, place = parameter["name"], parameter["in"]
            if place == "query":
                values = [value for key, value in given if key == name]
            elif place == "header":
                values = [headers[name.lower()]] if name.lower() in headers else []
            elif place == "path":
                values = [operation.path_values[name]]
            else:
                continue
            if not values:
                if parameter.get("required"):
                    raise WrongRequest(f"{operation.id} needs {name}")
                continue
            schema = self._resolved(operation.document, parameter.get("schema", {}), "")[0]
            value = _as_typed(values, schema, parameter)
            errors = list(self._validator(operation.document, schema).iter_errors(value))
            if errors:
                raise WrongRequest(f"{operation.id}: {name}: {errors[0].message}")

    def _resolved(self, urn: str, node: Mapping[str, Any], pointer: str) -> tuple[Mapping[str, Any], str]:
        while "$ref" in node:
            pointer = node["$ref"].removeprefix("#")
            node = self.documents[urn]
            for part in pointer.strip("/").split("/"):
                node = node[part.replace("~1", "/").replace("~0", "~")]
        return node, pointer

    def _errors(self, urn: str, pointer: str, value: Any) -> list[str]:
        validator = self._validator(urn, {"$ref": f"{urn}#{pointer}"})
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def _validator(self, urn: str, schema: Mapping[str, Any]) -> Any:
        document = self.documents[urn.removesuffix(":closed")]
        kind = OAS31Validator if document["openapi"].startswith("3.1") else OAS30Validator
        if "$ref" not in schema:
            schema = json.loads(json.dumps(schema).replace('"#/', f'"{urn}#/'))
        return kind(schema, registry=self._registry)


@cache
def _closed_file(path: Path) -> dict[str, Any]:
    return _closed(_read(path))


@cache
def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        document = json.loads(path.read_text("utf-8"))
    else:
        document = yaml.load(path.read_text("utf-8"), Loader=_WithoutTimestamps)
    for methods in document["paths"].values():
        for definition in methods.values() if isinstance(methods, dict) else ():
            if isinstance(definition, dict) and "responses" in definition:
                definition["responses"] = {str(status): one for status, one in definition["responses"].items()}
            for parameter in definition.get("parameters", []) if isinstance(definition, dict) else ():
                # Klaviyo: the required header `revision` has a default, which would stand for its absence.
                if parameter.get("required"):
                    parameter.get("schema", {}).pop("default", None)
    _corrected(path.name, document)
    return document


def _corrected(name: str, document: dict[str, Any]) -> None:
    """Correct what is known to be wrong in a description, each with its reason."""
    if name == "sendgrid-tsg_mc_contacts_v3.json":
        # The custom fields of a request are named by id (`w1` is an example), and numbers are numbers.
        request = document["components"]["schemas"]["ContactRequest"]["properties"]["custom_fields"]
        request["properties"] = {}
        request["additionalProperties"] = {"type": ["string", "number"]}
        # The id of a deletion job is called an object; its use as a path parameter of the import status says text.
        deleted = document["paths"]["/v3/marketing/contacts"]["delete"]["responses"]["202"]["content"]
        deleted["application/json"]["schema"]["properties"]["job_id"]["type"] = "string"
    if name == "brevo-v3-2024-11.yml":
        # Attributes of a contact are the account's own; an empty object would close them.
        for schema in document["components"]["schemas"].values():
            attributes = schema.get("properties", {}).get("attributes") if isinstance(schema, dict) else None
            if isinstance(attributes, dict) and attributes.get("properties") == {}:
                del attributes["properties"]


class _WithoutTimestamps(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Brevo's description has an example that looks like a timestamp and is none."""


_WithoutTimestamps.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _closed(document: dict[str, Any]) -> dict[str, Any]:
    """All descriptions leave requests open, so that a misspelled field passes: here an unknown field is an error.

    Parts of an `allOf` stay open, because each would refuse the other's fields.
    """
    closed = copy.deepcopy(document)

    def close(node: Any, may_close: bool) -> None:
        if isinstance(node, list):
            for one in node:
                close(one, may_close)
        elif isinstance(node, dict):
            if may_close and isinstance(node.get("properties"), dict) and "additionalProperties" not in node:
                node["additionalProperties"] = False
            for name, value in node.items():
                if name == "properties" and isinstance(value, dict):
                    for schema in value.values():
                        close(schema, True)
                else:
                    close(value, name != "allOf" and (may_close or name in ("items", "schema")))

    close(closed, True)
    return closed


def _as_typed(values: list[str], schema: Mapping[str, Any], parameter: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "array":
        parts = values if parameter.get("explode", True) else values[0].split(",")
        return [_as_typed([part], schema.get("items", {}), {}) for part in parts]
    text = values[0]
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _no_constant(name: str) -> Any:
    raise ValueError(name)
