"""Files of Kubernetes objects: YAML with several documents, JSON, and Lists in both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from porter_ryu.kube.fields import Json

_BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc, valid-type]
    """YAML as Kubernetes reads it: a time is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _BASE.yaml_implicit_resolvers.items()
}


class BrokenFileError(ValueError):
    """A file that cannot be parsed; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read(name: str, text: str) -> Iterator[tuple[int, Json]]:
    """The objects in the text of a file with the lines they start at; raises BrokenFileError."""
    for line, document in _json(text) if name.endswith(".json") else _yaml(text):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise BrokenFileError(line, "is not an object")
        yield from _unpacked(line, document)


def _unpacked(line: int, document: Json) -> Iterator[tuple[int, Json]]:
    items = document.get("items")
    if not str(document.get("kind", "")).endswith("List") or not isinstance(items, list):
        yield line, document
        return
    for item in items:
        if not isinstance(item, dict):
            raise BrokenFileError(line, "has an item that is not an object")
        yield from _unpacked(line, item)


def _json(text: str) -> Iterator[tuple[int, Any]]:
    try:
        yield 1, json.loads(text)
    except json.JSONDecodeError as error:
        raise BrokenFileError(error.lineno, error.msg) from error


def _yaml(text: str) -> Iterator[tuple[int, Any]]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            yield node.start_mark.line + 1, loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise BrokenFileError(mark.line + 1 if mark else 1, problem) from error
    finally:
        loader.dispose()
