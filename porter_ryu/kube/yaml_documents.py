"""Parses YAML within limits that are checked before any value is built.

A kilobyte of YAML can expand to a billion nodes (aliases of aliases), and a Python object for a
node takes a hundred octets.  So this module reads the stream of events, which is as long as the
text, and adds up the size that each object would have as JSON, including its expanded aliases.  The
items of a List are parsed one by one, so that an invalid item affects only itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import yaml
from msgspec import Struct, field

from porter_ryu.kube import yaml_scalars
from porter_ryu.kube.limits import ALIAS_OCTETS, MIB, OBJECT_DEPTH, OBJECT_OCTETS
from porter_ryu.kube.yaml_scalars import ScalarError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "<<"
_NODE_OCTETS = 2  # the least size of a node in JSON, with its separator
_EVENTS_PER_PAUSE = 64
_ITEMS = "items"
_TOO_DEEP = f"is nested more than {OBJECT_DEPTH} levels deep"


class LineError(ValueError):
    """An error with its line; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class BrokenTextError(LineError):
    """A text that cannot be parsed from this line on."""


class UnfitError(LineError):
    """A document or item that is valid YAML but not a valid Kubernetes object."""


class Item(Struct, frozen=True):
    """One item of the `items` of a document: its value, or a fault that says why it has none."""

    line: int
    value: Any
    fault: str = ""


class Document(Struct, frozen=True):
    """A document.  `items` has what `store_item` returned for the items of its field `items`; None
    if it has no such field."""

    line: int
    value: Any
    items: list[Any] | None = None


class Budget(Struct):
    """The octets that expanded aliases may still add to a file."""

    alias_octets: int = ALIAS_OCTETS


class _Anchored(Struct, frozen=True):
    value: Any
    octets: int
    depth: int


class YamlReader(Struct):
    """Parses one text that starts at line `line`.

    `store_item` is called with each item of the `items` of a document and returns what to store for
    it; `give_way` is called often.
    """

    text: str
    line: int
    store_item: Callable[[Item], Any]
    budget: Budget
    give_way: Callable[[], None]
    _anchors: dict[str, _Anchored | None] = field(default_factory=dict)
    _left: int = OBJECT_OCTETS
    _events: int = 0
    _open: int = 0
    _loader: Any = None

    def documents(self) -> Iterator[Document]:
        """All documents; raises BrokenTextError, UnfitError."""
        self._loader = _LOADER(self.text)
        try:
            while self._loader.check_event():
                event = self._next()
                if isinstance(event, yaml.DocumentStartEvent):
                    self._anchors.clear()
                    self._left = OBJECT_OCTETS
                    yield self._document()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            line = self.line + (mark.line if mark else 0)
            raise BrokenTextError(line, problem) from error
        finally:
            self._loader.dispose()

    # -- events ----------------------------------------------------------------------------------

    def _next(self) -> Any:
        self._events += 1
        if self._events % _EVENTS_PER_PAUSE == 0:
            self.give_way()
        event = self._loader.get_event()
        if isinstance(event, yaml.CollectionStartEvent):
            self._open += 1
            if self._open > OBJECT_DEPTH:
                # stop: the time that libyaml takes grows with the square of the depth
                raise BrokenTextError(self._at(event), _TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open -= 1
        return event

    def _ends(self) -> bool:
        return bool(self._loader.check_event(yaml.MappingEndEvent, yaml.SequenceEndEvent))

    def _at(self, event: Any) -> int:
        return int(self.line + event.start_mark.line)

    # -- a document --------------------------------------------------------------------------------

    def _document(self) -> Document:
        event = self._next()
        line = self._at(event)
        if not isinstance(event, yaml.MappingStartEvent):
            return Document(line, self._node(event))
        anchor = self._opens(event)
        fields: dict[str, Any] = {}
        items: list[Any] | None = None
        explicit: set[str] = set()
        while not self._ends():
            name_event = self._next()
            if self._is(name_event, _ITEMS) and self._loader.check_event(yaml.SequenceStartEvent):
                self._claim(name_event, _ITEMS, explicit)
                items = self._items(self._next())
            else:
                self._member(name_event, fields, explicit)
        self._next()
        if anchor:
            self._anchors.pop(anchor, None)
        return Document(line, fields, items)

    @staticmethod
    def _is(event: Any, name: str) -> bool:
        return isinstance(event, yaml.ScalarEvent) and event.value == name

    def _items(self, start: Any) -> list[Any]:
        """The items of a document, each with its own size limit."""
        self._opens(start)
        outside, level, stored = self._left, self._open, []
        while not self._ends():
            event = self._next()
            line = self._at(event)
            self._left = OBJECT_OCTETS
            try:
                item = Item(line, self._node(event))
            except UnfitError as error:
                while self._open > level:
                    self._next()
                item = Item(error.line, None, str(error))
            stored.append(self.store_item(item))
        self._next()
        self._left = outside
        return stored

    # -- nodes -------------------------------------------------------------------------------------

    def _node(self, event: Any) -> Any:
        """The value that begins with an event."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._left
        anchor = self._opens(event)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._spend(event, _NODE_OCTETS)
            value = []
            while not self._ends():
                value.append(self._node(self._next()))
            self._next()
        else:
            self._spend(event, _NODE_OCTETS)
            value = {}
            explicit: set[str] = set()
            while not self._ends():
                self._member(self._next(), value, explicit)
            self._next()
        if anchor:
            self._anchors[anchor] = _Anchored(value, before - self._left, _depth(value))
        return value

    def _opens(self, event: Any) -> str:
        """The anchor of a node, which cannot be referred to before the node ends."""
        anchor = event.anchor or ""
        if anchor:
            self._anchors[anchor] = None
        return anchor

    def _alias(self, event: Any) -> Any:
        line = self._at(event)
        if event.anchor not in self._anchors:
            raise UnfitError(line, f"unknown anchor {event.anchor[:40]!r}")
        found = self._anchors[event.anchor]
        if found is None:
            raise UnfitError(line, f"anchor {event.anchor[:40]!r} contains itself")
        self.budget.alias_octets -= found.octets
        if self.budget.alias_octets < 0:
            limit = f"more than {ALIAS_OCTETS // MIB} MiB in one file"
            raise BrokenTextError(line, f"expanded aliases have {limit}")
        if self._open + found.depth > OBJECT_DEPTH:
            raise UnfitError(line, _TOO_DEEP)
        self._spend(event, found.octets)
        return found.value

    def _member(self, event: Any, fields: dict[str, Any], explicit: set[str]) -> None:
        """Adds a key, which is the event, and its value to the fields of an object."""
        line = self._at(event)
        if self._is_merge(event):
            self._merge(line, self._node(self._next()), fields)
            return
        name = self._node(event)
        if isinstance(name, dict | list):
            raise UnfitError(line, "a key is neither a string nor a number")
        try:
            text = yaml_scalars.key(name)
        except ScalarError as error:
            raise UnfitError(line, str(error)) from error
        self._claim(event, text, explicit)
        fields[text] = self._node(self._next())

    def _claim(self, event: Any, name: str, explicit: set[str]) -> None:
        # kubectl uses the last of two equal keys in YAML, but the API server refuses them in JSON
        if name in explicit:
            raise UnfitError(self._at(event), f"key {name[:40]!r} is already set")
        explicit.add(name)

    @staticmethod
    def _is_merge(event: Any) -> bool:
        if not isinstance(event, yaml.ScalarEvent) or event.value != _MERGE:
            return False
        return bool(event.implicit[0]) or event.tag == "tag:yaml.org,2002:merge"

    @staticmethod
    def _merge(line: int, merged: Any, fields: dict[str, Any]) -> None:
        """Merges keys like go-yaml v2: if several sources have a key, the first one counts."""
        sources = merged if isinstance(merged, list) else [merged]
        if not all(isinstance(source, dict) for source in sources):
            raise UnfitError(line, "the value of << must be an object or a list of objects")
        for source in reversed(sources):
            fields.update(source)

    def _scalar(self, event: Any) -> Any:
        self._spend(event, len(event.value) + _NODE_OCTETS)
        tag = None if event.tag is None or event.tag == "!" else event.tag
        plain = bool(event.implicit[0]) and event.tag is None
        try:
            return yaml_scalars.scalar(event.value, tag, plain)
        except ScalarError as error:
            raise UnfitError(self._at(event), str(error)) from error

    def _spend(self, event: Any, octets: int) -> None:
        self._left -= octets
        if self._left < 0:
            limit = f"{OBJECT_OCTETS / MIB} MiB"
            raise UnfitError(self._at(event), f"an object is larger than {limit}")


def _depth(value: Any) -> int:
    """The levels of a value; visits each shared value only once."""
    depths: dict[int, int] = {}

    def of(node: Any) -> int:
        if not isinstance(node, dict | list):
            return 0
        known = depths.get(id(node))
        if known is None:
            below = node.values() if isinstance(node, dict) else node
            known = depths[id(node)] = 1 + max(map(of, below), default=0)
        return known

    return of(value)
