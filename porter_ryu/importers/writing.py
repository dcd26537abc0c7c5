"""Writes what an importer found: eips.yaml, porter_ryu.conf, annotate.sh and key files."""

from __future__ import annotations

import os

import yaml

from porter_ryu.importers.reading import Imported

_KEY_MODE = 0o600


def write(found: Imported, directory: str) -> list[str]:
    """Writes into a directory, created if missing; returns the paths.  Raises OSError."""
    os.makedirs(directory, exist_ok=True)
    paths = []
    for name, key in found.keys.items():
        path = os.path.abspath(os.path.join(directory, f"{name}.key"))
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _KEY_MODE), "w") as file:
            file.write(key)
        found.groups[f"peer:{name}"]["password_file"] = path
        paths.append(path)
    texts = {
        "eips.yaml": yaml.safe_dump_all(found.eips, sort_keys=False),
        "porter_ryu.conf": _oslo(found.groups),
    }
    if found.commands:
        texts["annotate.sh"] = "\n".join(["#!/bin/sh", "set -e", *found.commands, ""])
    for name, text in texts.items():
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        paths.append(path)
    return paths


def _oslo(groups: dict[str, dict[str, str]]) -> str:
    return "\n".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        for group, keys in groups.items()
    )
