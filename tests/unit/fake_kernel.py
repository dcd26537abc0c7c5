"""A fake kernel: `ip` over a few sets of addresses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from porter_ryu.domain.model import Network
from porter_ryu.node.command import IpError, RefusedError
from porter_ryu.node.interfaces import Link


class Kernel:
    """Interfaces by index with their addresses, and the interface of the default route.

    `broken`: the error of every command, if not empty.  `refused`: addresses that cannot be added.
    """

    def __init__(self) -> None:
        self.names = {2: "eth0"}
        self.at = {2: {"192.168.0.5/24"}}
        self.default: str | None = "eth0"
        self.broken = ""
        self.refused: set[str] = set()
        self.commands: list[tuple[str, ...]] = []

    @property
    def addresses(self) -> set[str]:
        return self.at[2]

    def __call__(self, argv: Sequence[str], text: str = "") -> str:
        self.commands.append(tuple(argv))
        if self.broken:
            raise IpError(self.broken)
        if "-batch" in argv:
            errors = [error for line in text.splitlines() if (error := self._line(line.split()))]
            if errors:
                raise RefusedError(errors[0])
            return ""
        if "route" in argv:
            route = {"dst": "default", "gateway": "192.168.0.1", "dev": self.default}
            return json.dumps([route] if self.default and "-4" in argv else [])
        return json.dumps([self._link(index) for index in self.names])

    def _link(self, index: int) -> dict[str, object]:
        pairs = [address.split("/") for address in sorted(self.at[index])]
        infos = [{"local": a, "prefixlen": int(n)} for a, n in pairs]
        return {"ifindex": index, "ifname": self.names[index], "addr_info": infos}

    def _line(self, words: list[str]) -> str:
        assert words[0] == "address"
        assert words[3] == "dev"
        index = {name: index for index, name in self.names.items()}.get(words[4])
        if index is None:
            return f"Cannot find device {words[4]}"
        if words[2] in self.refused:
            return "RTNETLINK answers: refused"
        if (words[2] in self.at[index]) == (words[1] == "add"):
            return "RTNETLINK answers: no"
        if words[1] == "add":
            self.at[index].add(words[2])
        else:
            self.at[index].remove(words[2])
        return ""


class Told:
    """Records of which addresses the hosts on a link are told; by name of the interface."""

    def __init__(self) -> None:
        self.given: list[tuple[str, set[Network]]] = []
        self.stopped: set[Network] = set()

    def give(self, link: Link, addresses: Iterable[Network]) -> None:
        """Notices."""
        self.given.append((link.name, set(addresses)))

    def stop(self, addresses: Iterable[Network]) -> None:
        """Notices."""
        self.stopped |= set(addresses)
