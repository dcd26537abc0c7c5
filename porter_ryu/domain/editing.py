"""How people change an object of the cluster: with kubectl, or in a directory of manifests, where
there is no API server that a command could ask."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from porter_ryu.domain.model import Address, Kind
from porter_ryu.domain.problems import quoted

STATUS_FOLDER = ".status"
"""The folder below a directory of manifests that has the status of the objects."""


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

    def correct(self, file: str, kind: Kind, addresses: Sequence[Address] = ()) -> str:
        """What to do about a file in the directory, or a folder of status, that makes an object of
        this kind unreadable; empty: one of several files.  `addresses` are those that a Service
        has, as far as they are known."""
        where = f"{quoted(file)} in {self.directory}"
        if not file:
            return f"correct the files in {self.directory} that porter-ryu status names"
        if file.split("/", maxsplit=1)[0] != STATUS_FOLDER:
            return f"correct the file {where}"
        if not file.endswith(".json"):
            return (
                f"make {where} a folder that can be read, or restore it from a backup: it has the "
                "records, and a Service without its record may get another address"
            )
        if kind is Kind.EIP:
            return f"restore the file {where} from a backup, or remove it: it is written again"
        return (
            f"restore the file {where} from a backup, or put {_record(addresses)} there; "
            "if it is only removed, the Service may get another address"
        )


def _record(addresses: Sequence[Address]) -> str:
    """The smallest valid record of a Service that has these addresses."""
    texts = [*map(str, addresses)] or ["ADDRESS"]
    entries = ",".join(f'{{"ip":"{text}"}}' for text in texts)
    return f'{{"status":{{"loadBalancer":{{"ingress":[{entries}]}}}}}}'
