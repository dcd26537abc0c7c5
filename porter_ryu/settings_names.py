"""Finds groups and keys that nobody reads: misspelled, in the wrong group, written twice, or left
over.

oslo.config ignores all of them, so what a user wrote there would be without effect and without a
word.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator

from porter_ryu.options import FOREIGN_GROUPS, GROUPS, PEER, PEER_PREFIX
from porter_ryu.options_of_ryu import of_ryu
from porter_ryu.settings_file import Document, Fault
from porter_ryu.settings_reader import DEFAULT, Reader, variable

_NO_KEY = "there is no such key in this group"


def check_names(r: Reader, peers: Iterable[str]) -> None:
    """Records a fault for each unknown group or key, and for each key that a file sets twice.

    Remarks: a [peer:NAME] group that [bgp] peers does not name, which may be kept for later, and a
    group that begins twice in a file.
    """
    peer_groups = {PEER_PREFIX + name for name in peers}
    known = {*GROUPS, DEFAULT, *peer_groups}
    for document in r.documents:
        r.faults += _names(r, document, known)
    for document in r.documents:
        r.faults += _twice(r, document)
        r.remarks += _groups_in_pieces(document)
    _variables(r, peer_groups)
    _unused_peers(r, peer_groups)


def _names(r: Reader, document: Document, known: set[str]) -> Iterator[Fault]:
    for group, keys in document.groups.items():
        if group in known or group.startswith(PEER_PREFIX):
            names = _keys_of(r, group)
            for key, entry in keys.items():
                if key not in names:
                    message = f"{_NO_KEY}{_key_suggestion(key, group, names)}"
                    yield Fault(document.path, group, key, message, entry.line)
        elif not _is_foreign(group):
            message = f"there is no such group{_suggestion(group.strip(), known, '[{}]')}"
            yield Fault(document.path, group, "", message, document.headers[group][0])


def _keys_of(r: Reader, group: str) -> set[str]:
    if group.startswith(PEER_PREFIX):
        return {option.dest for option in PEER}
    return {key for of_group, key in r.options if of_group == group}


def _twice(r: Reader, document: Document) -> Iterator[Fault]:
    for group, key, lines in document.duplicates:
        option = r.options.get((group, key))
        if not _is_foreign(group) and not (option is not None and option.multi):
            message = f"is set twice, in lines {lines[0]} and {lines[1]}"
            yield Fault(document.path, group, key, message, lines[1])


def _groups_in_pieces(document: Document) -> Iterator[Fault]:
    for group, lines in document.headers.items():
        if len(lines) > 1 and not _is_foreign(group):
            where = ", ".join(map(str, lines))
            message = f"the group begins {len(lines)} times, in lines {where}"
            mend = "put its keys under one header"
            yield Fault(document.path, group, "", message, lines[-1], mend)


def _variables(r: Reader, peer_groups: set[str]) -> None:
    """Environment variables that are meant for a group of ours, but name no key of it."""
    for group in sorted({*GROUPS, *peer_groups}):
        names = _keys_of(r, group)
        known = {variable(group, key) for key in names}
        prefix = variable(group, "")
        for name in sorted(os.environ):
            if name.upper().startswith(prefix) and name not in known:
                key = name[len(prefix) :].lower()
                hint = f"; did you mean {name.upper()}?" if name.upper() in known else ""
                message = f"{_NO_KEY}{hint or _key_suggestion(key, group, names)}"
                r.faults.append(Fault(f"environment {name}", group, key, message))


def _unused_peers(r: Reader, peer_groups: set[str]) -> None:
    for group in sorted(r.groups - peer_groups):
        if group.startswith(PEER_PREFIX) and any(d.groups.get(group) for d in r.documents):
            name = group.removeprefix(PEER_PREFIX)
            message = "is not used: [bgp] peers does not list it"
            r.remark(group, "", message, f"add {name} to [bgp] peers, or remove the group")


def _is_foreign(group: str) -> bool:
    """Whether another library reads a group."""
    return group in FOREIGN_GROUPS or group.startswith("oslo_")


def _key_suggestion(key: str, group: str, known: Iterable[str]) -> str:
    """Where a key belongs, or which one may be meant."""
    plain = key.strip().replace("-", "_")
    peer = [("peer:NAME", PEER)] if not group.startswith(PEER_PREFIX) else []
    places = [*GROUPS.items(), *peer, (DEFAULT, of_ryu())]
    elsewhere = [g for g, options in places if g != group and plain in {o.dest for o in options}]
    near = _suggestion(plain, known, "{}")
    return f"; it belongs to [{elsewhere[0]}]" if elsewhere and plain not in known else near


def _suggestion(name: str, known: Iterable[str], form: str) -> str:
    by_lower_case = {entry.lower(): entry for entry in known}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, 1)
    return f"; did you mean {form.format(by_lower_case[matches[0]])}?" if matches else ""
