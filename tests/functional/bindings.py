"""What is bound on a host, as its kernel says, and BoundIps alone on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_network
from typing import ClassVar, TypeVar

from ryu.lib import hub

from fabric import Host, wait_for
from porter_ryu.domain.model import Network
from porter_ryu.node.binding_journal import BindingJournal
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.interfaces import Link
from porter_ryu.node.iproute import IpRoute
from porter_ryu.supervisor import Supervisor

T = TypeVar("T")
NONE: frozenset[Network] = frozenset()
A, B, SIX = (ip_network(text) for text in ("203.0.113.1", "203.0.113.2", "2001:db8:9::1"))
ALL: frozenset[Network] = frozenset({A, B, SIX})


def addresses(host: Host, interface: str = "e1a") -> set[str]:
    """The addresses on an interface, without link-local ones."""
    links = host.json(f"ip -j address show dev {interface}")
    return {f"{a['local']}/{a['prefixlen']}" for a in links[0]["addr_info"] if a["scope"] != "link"}


def lone(host: Host, interface: str = "e1a") -> frozenset[Network]:
    """The host routes among them."""
    texts = addresses(host, interface)
    return frozenset(ip_network(t) for t in texts if t.endswith(("/32", "/128")))


def rules(host: Host) -> frozenset[Network]:
    """The addresses for which a rule leads to table 101, whoever put it there."""
    found = host.json("ip -j -4 rule show") + host.json("ip -j -6 rule show")
    return frozenset(ip_network(rule["dst"]) for rule in found if rule.get("table") == "101")


def table(host: Host, version: int) -> list[str]:
    """Types of the default routes in table 101."""
    command = f"ip -j -{version} route show table all type"
    kinds = ("local", "blackhole", "unicast")
    return [
        kind
        for kind in kinds
        for route in host.json(f"{command} {kind}")
        if route.get("table") == "101" and route["dst"] == "default"
    ]


def becomes(look: Callable[[], T], wanted: T, seconds: float = 15) -> None:
    """Lets the greenthreads here run until it is so."""

    def after_a_turn_of_theirs() -> T:
        hub.sleep(0.05)
        return look()

    wait_for(after_a_turn_of_theirs, lambda seen: seen == wanted, seconds, "it to be")


class Unheard:
    """Tells nobody of an address: this process is not in the namespace of the host."""

    def give(self, link: Link, addresses: Iterable[Network]) -> None:
        """Notices."""

    def stop(self, addresses: Iterable[Network]) -> None:
        """Notices."""


class Instance:
    """BoundIps on a host, with a journal that an earlier one may have left; everything that it
    is to bind is known.  `interface` empty: that of the default route."""

    _running: ClassVar[list[Instance]] = []

    def __init__(
        self,
        host: Host,
        wanted: frozenset[Network] = ALL,
        mode: str = "address",
        interface: str = "",
        program: str = "",
    ) -> None:
        self.host = host
        journal = BindingJournal(str(host.folder / "state"))
        journal.load()
        before = (program,) if program else ("ip", "-n", host.namespace)
        self.supervisor = Supervisor()
        ip = IpRoute(program=before)
        self.bound = BoundIps(mode, interface, 101, journal, ip, Unheard(), self.supervisor)
        self._task = self.bound.start()
        self.bound.bind(wanted)
        self.bound.complete()
        self._running.append(self)

    def expect(
        self, networks: frozenset[Network], interface: str = "e1a", seconds: float = 15
    ) -> None:
        """Waits until just these are bound on an interface and nothing is in the way."""

        def look() -> tuple[frozenset[Network], str]:
            return lone(self.host, interface), self.bound.last_error

        becomes(look, (networks, ""), seconds)

    def end(self) -> None:
        """Stops it and waits until it does nothing any more, as after the end of a process."""
        self.bound.stop()
        hub.joinall([self._task.thread])

    @classmethod
    def end_all(cls) -> None:
        """Ends what a test started, however it went."""
        while cls._running:
            cls._running.pop().end()
