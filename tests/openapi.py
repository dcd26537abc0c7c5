"""docs/openapi.yaml as what answers must look like, and the keys in it that no answer has had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Document:
    """The document; `check` an answer of each path, then ask for the `unseen` keys."""

    def __init__(self) -> None:
        text = (Path(__file__).parents[1] / "docs/openapi.yaml").read_text()
        self._root = yaml.safe_load(text)
        self.paths: dict[str, dict[str, Json]] = self._root["paths"]
        self._seen: set[tuple[int, str]] = set()

    @property
    def operations(self) -> set[tuple[str, str]]:
        """Every path and method."""
        return {(path, method.upper()) for path, item in self.paths.items() for method in item}

    def parameters(self, path: str, where: str = "query") -> set[str]:
        """The names of the parameters of a path."""
        (operation,) = self.paths[path].values()
        found = [self._resolved(entry) for entry in operation.get("parameters", ())]
        return {entry["name"] for entry in found if entry["in"] == where}

    def check(self, path: str, answer: Json, status: int = 200) -> None:
        """Asserts that an answer of a path has the form in the document, and no key beyond it."""
        (operation,) = self.paths[path].values()
        response = self._resolved(operation["responses"][str(status)])
        schema = response["content"]["application/json"]["schema"]
        errors = list(self._errors(schema, answer, path))
        assert not errors, errors[:10]

    def check_schema(self, name: str, value: Json) -> None:
        """Asserts that a value has the form of a named schema."""
        errors = list(self._errors(self._root["components"]["schemas"][name], value, name))
        assert not errors, errors[:10]

    def unseen(self) -> list[str]:
        """The keys of the schemas that were in no answer so far."""
        schemas = self._root["components"]["schemas"]
        return [
            where
            for name, schema in schemas.items()
            for where, owner, key in _keys(schema, name)
            if (owner, key) not in self._seen
        ]

    def _resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            found = self._root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def _errors(self, schema: Json, value: Json, where: str) -> Iterator[str]:
        schema = self._resolved(schema)
        if "allOf" in schema or "oneOf" in schema:
            yield from self._errors_of_parts(schema, value, where)
            return
        if value is None:
            if not schema.get("nullable"):
                yield f"{where} is null"
            return
        wanted = schema["type"]
        fits = isinstance(value, _TYPES[wanted]) and (
            wanted == "boolean" or not isinstance(value, bool)
        )
        if not fits:
            yield f"{where} is {value!r}, not of type {wanted}"
        elif wanted == "string":
            yield from _errors_of_text(schema, value, where)
        elif wanted == "array":
            for number, entry in enumerate(value):
                yield from self._errors(schema["items"], entry, f"{where}[{number}]")
        elif wanted == "object":
            yield from self._errors_of_object(schema, value, where)

    def _errors_of_parts(self, schema: Json, value: Json, where: str) -> Iterator[str]:
        for part in schema.get("allOf", ()):
            yield from self._errors(part, value, where)
        choices = [list(self._errors(part, value, where)) for part in schema.get("oneOf", ())]
        yield from min(choices, key=len, default=[])

    def _errors_of_object(self, schema: Json, value: Json, where: str) -> Iterator[str]:
        properties = schema.get("properties", {})
        more = schema.get("additionalProperties")
        for key in schema.get("required", ()):
            if key not in value:
                yield f"{where} has no {key}"
        for key, entry in value.items():
            if key in properties:
                self._seen.add((id(schema), key))
                yield from self._errors(properties[key], entry, f"{where}.{key}")
            elif more is not None:
                yield from self._errors(more, entry, f"{where}.{key}")
            else:
                yield f"{where}.{key} is not in the document"


def _errors_of_text(schema: Json, value: str, where: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}, not one of {schema['enum']}"
    if schema.get("format") == "date-time" and not _TIME.fullmatch(value):
        yield f"{where} is {value!r}, not a time"


def _keys(schema: Json, where: str) -> Iterator[tuple[str, int, str]]:
    """Each key of a schema and of those in it: its name, its owner, and the key."""
    for key, part in schema.get("properties", {}).items():
        yield f"{where}.{key}", id(schema), key
        yield from _keys(part, f"{where}.{key}")
    if "items" in schema:
        yield from _keys(schema["items"], f"{where}[]")
