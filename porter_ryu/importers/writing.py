"""Writes the result of an import: eips.yaml, porter_ryu.conf, annotate.sh and key files.

It never writes outside the folder, whatever the names of the objects, and never overwrites a file
with other content.
"""

from __future__ import annotations

import os
from urllib.parse import quote

import yaml

from porter_ryu import atomic_file
from porter_ryu.importers.acceptance import text_of
from porter_ryu.importers.reading import Imported, ImportingError

_KEY_SUFFIX = ".key"


def write(found: Imported, directory: str) -> list[str]:
    """Writes into a directory, which is created if missing; returns the paths.

    Raises ImportingError, and writes nothing, if a file exists with other content.  Raises OSError.
    """
    texts: dict[str, str] = {}
    for name, key in found.keys.items():
        file = f"{quote(name, safe='')}{_KEY_SUFFIX}"
        texts[file] = key
        path = os.path.abspath(os.path.join(directory, file))
        if f"peer:{name}" in found.groups:
            found.groups[f"peer:{name}"]["password_file"] = path
    texts["eips.yaml"] = yaml.safe_dump_all(found.eips, sort_keys=False)
    texts["porter_ryu.conf"] = text_of(found.groups)
    if found.commands:
        texts["annotate.sh"] = "\n".join(["#!/bin/sh", "set -e", *found.commands, ""])
    paths = {os.path.join(directory, name): text.encode() for name, text in texts.items()}
    edited = [path for path, data in paths.items() if _differs(path, data)]
    if edited:
        raise ImportingError(
            f"{', '.join(edited)}: exists with other content: move it, or choose another --output"
        )
    for path, data in paths.items():
        atomic_file.write(path, data, private=path.endswith(_KEY_SUFFIX))
    return list(paths)


def _differs(path: str, data: bytes) -> bool:
    if not os.path.lexists(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(data) + 1) != data
    except OSError:
        return True
