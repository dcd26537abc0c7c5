"""Validates the configuration that an importer made with the reader of the program.

Settings that the reader refuses are left out and named, so that `porter-ryu check` accepts the
file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from porter_ryu.importers.reading import Imported
from porter_ryu.settings import read
from porter_ryu.settings_file import BadConfigurationError, Fault
from porter_ryu.settings_peers import MD5_KEY_MAX, PEER_NAME, PEER_NAME_RULE

_REQUIRED = ("address", "remote_as")


def remove_invalid_settings(found: Imported) -> None:
    """Removes the settings that the program refuses, and adds a line to `lost` for each."""
    for group, settings in found.groups.items():
        for key, value in list(settings.items()):
            if not value.isprintable():
                del settings[key]
                found.lost.append(f"[{group}] {key}: has characters that the file cannot contain")
    for name, key in list(found.keys.items()):
        if not 0 < len(key.encode()) <= MD5_KEY_MAX:
            del found.keys[name]
            text = f"the password must have 1 to {MD5_KEY_MAX} octets"
            found.lost.append(f"[peer:{name}] password_file: {text}")
    for name, _ in list(peer_lines(found.groups)):
        if not PEER_NAME.fullmatch(name):
            del found.groups[f"peer:{name}"]
            found.keys.pop(name, None)
            found.lost.append(f"peer {name!r} is left out: its name {PEER_NAME_RULE}")
    set_peers(found.groups)
    while faults := _faults(found.groups):
        removed = [_remove(found.groups, fault) for fault in faults]
        found.lost += dict.fromkeys(text for text in removed if text)
        if not any(removed):
            found.lost += [f"[{fault.group}] {fault.key}: {fault.message}" for fault in faults]
            return


def text_of(groups: dict[str, dict[str, str]]) -> str:
    """The groups as the text of an oslo.config file; `$` is written as `$$`."""
    return "\n".join(
        f"[{group}]\n"
        + "".join(f"{key} = {value.replace('$', '$$')}\n" for key, value in keys.items())
        for group, keys in groups.items()
    )


def _faults(groups: dict[str, dict[str, str]]) -> tuple[Fault, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "porter_ryu.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text_of(groups))
        try:
            read([path])
        except BadConfigurationError as error:
            return error.faults
    return ()


def _remove(groups: dict[str, dict[str, str]], fault: Fault) -> str:
    """Removes the setting or peer of a fault; returns a line about it, '' if it is not there."""
    name = fault.group.removeprefix("peer:")
    if name != fault.group and fault.key in _REQUIRED and fault.group in groups:
        del groups[fault.group]
        set_peers(groups)
        return f"[{fault.group}] is left out: {fault.key}: {fault.message}"
    if groups.get(fault.group, {}).pop(fault.key, None) is None:
        return ""
    return f"[{fault.group}] {fault.key} is left out: {fault.message}"


def set_peers(groups: dict[str, dict[str, str]]) -> None:
    """Sets [bgp] peers to the names of the peer groups."""
    names = [group.removeprefix("peer:") for group in groups if group.startswith("peer:")]
    groups.setdefault("bgp", {})["peers"] = ", ".join(names)


def peer_lines(groups: dict[str, dict[str, str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """The peers by name, with their settings."""
    for group, settings in groups.items():
        if group.startswith("peer:"):
            yield group.removeprefix("peer:"), settings
