"""How people change an object of the cluster: with kubectl, or in a directory of manifests, where
there is no API server that a command could ask."""

from __future__ import annotations

from msgspec import Struct


class Editing(Struct, frozen=True):
    """`directory` is that of the manifests, empty where there is an API server."""

    directory: str = ""

    def mend(self, command: str, manifest: str, change: str = "") -> str:
        """A command, or, for a directory, which manifest has to be edited and what is to be changed
        there."""
        if not self.directory:
            return command
        text = f"edit the manifest of {manifest} in {self.directory}"
        return f"{text}: {change}" if change else text
