"""A running instance: peers and reserved addresses, at start and at a reload."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from porter_ryu.domain.model import Eip, Kind, Node, Service
from porter_ryu.domain.objects import Object
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.domain.planner import Planner, Policy
from porter_ryu.domain.ports import Observer
from porter_ryu.effects import Effects
from porter_ryu.history.change import ChangeKind
from porter_ryu.instance import Instance
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.manifests import Manifests
from porter_ryu.leadership import Leadership
from porter_ryu.node.binding_journal import BindingJournal
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.host import HostMonitor
from porter_ryu.node.iproute import IpRoute
from porter_ryu.null_parts import NoLease, NoLiveness, NoSpeaker, NoSwitches, NoWriter
from porter_ryu.reconciler import Reconciler
from porter_ryu.settings import Settings, read
from porter_ryu.supervisor import Supervisor
from tests.unit.fake_kernel import Kernel, Told
from tests.unit.until import until
from tests.unit.world import endpoints, key, node, service

ONE = "[peer:one]\naddress = 192.168.0.11\nremote_as = 65001\n"
TWO = "[peer:two]\naddress = 192.168.0.12\nremote_as = 65002\nnode_selector = rack=b\n"
BOTH = f"[bgp]\npeers = one, two\n{ONE}{TWO}"
POOL = Eip("pool", "192.168.0.0/28")  # contains the host, its gateway and the peers


N1 = node("n1", "192.168.0.21")


def asking(address: str) -> Service:
    """A Service that requests an address."""
    return service("web", requested=address)


class Speaker(NoSpeaker):
    """Remembers the peers that it was given, and how it was stopped."""

    def __init__(self) -> None:
        self.sets: list[list[str]] = []
        self.stopped: list[bool] = []

    def set_peers(self, peers: Iterable[PeerConfig]) -> None:
        """Remembers their names."""
        self.sets.append([peer.name for peer in peers])

    def stop(self, withdraw: bool) -> str:
        """Remembers it."""
        self.stopped.append(withdraw)
        return ""


class Silent(Manifests):
    """A source that reads nothing: the test stores objects itself."""

    def start(self, observer: Observer) -> None:
        """Reads nothing."""


class Scene:
    """An instance over an empty directory, on a host with 192.168.0.5 and a gateway."""

    def __init__(self, folder: Path, text: str) -> None:
        self._folder = folder
        (folder / "manifests").mkdir()
        settings = self.read(text)
        self.supervisor, self.speaker, self.kernel = Supervisor(), Speaker(), Kernel()
        ip = IpRoute(self.kernel)
        journal = BindingJournal(str(folder / "state"), "boot")
        journal.load()
        host = HostMonitor(ip, "", journal.bound_among)
        host.scan()
        planner = Planner(Policy(settings.bgp.next_hops), leading=True)
        bindings = BoundIps("address", "", 101, journal, ip, Told(), self.supervisor)
        writer = NoWriter()
        leadership = Leadership(planner, writer, bind_only_leading=False)
        effects = Effects([self.speaker], bindings, writer, leadership)
        codec = Codec("lb.kubesphere.io/v1alpha1", frozenset(["porter"]))
        source = Silent(settings.manifests, codec, False, self.supervisor)
        self.instance = Instance(
            self.supervisor,
            planner,
            Reconciler(planner, effects, 300),
            source,
            writer,
            self.speaker,
            bindings,
            NoLease(),
            leadership,
            host,
            NoLiveness(),
            NoSwitches(),
            settings,
        )
        self.instance.start()

    def read(self, text: str) -> Settings:
        """The settings from a configuration file with this text."""
        path = self._folder / "porter.conf"
        head = (
            f"[kubernetes]\nmanifests = {self._folder}/manifests\n"
            f"[porter]\nstate_dir = {self._folder}/state\n"
        )
        path.write_text(head + text)
        return read([str(path)])

    def turn(self, web: Service, n1: Node = N1) -> str:
        """Takes a turn with a Service that runs on a node; returns its state."""
        lists: dict[Kind, list[Object]] = {
            Kind.EIP: [POOL],
            Kind.NODE: [n1],
            Kind.NAMESPACE: [],
            Kind.SERVICE: [web],
            Kind.ENDPOINT_SLICE: [endpoints("web", "n1")],
        }
        for kind, objects in lists.items():
            self.instance.reconciler.replace(kind, objects, 0.0)
        self.instance.reconciler.turn()
        return self.instance.planner.decisions[key("web")].state

    def end(self, withdraw: bool = False) -> str:
        """Stops it; returns what could not be unbound."""
        left = self.instance.stop(withdraw)
        until(lambda: self.supervisor.faults == (), "no task is at fault")
        return left


OURS, GATEWAY, PEER, FREE = "192.168.0.5", "192.168.0.1", "192.168.0.11", "192.168.0.9"


@pytest.mark.parametrize("address", [OURS, GATEWAY, PEER, "192.168.0.12"])
def test_addresses_of_this_host_its_gateway_and_its_peers_are_not_assigned(
    tmp_path: Path, address: str
) -> None:
    scene = Scene(tmp_path, BOTH)
    assert scene.turn(asking(address)) == "AddressInUse"
    assert scene.turn(asking(FREE)) == "Announced"
    scene.end()


def test_addresses_of_sessions_are_not_assigned_before_this_host_has_them(tmp_path: Path) -> None:
    fan_out = "local_addresses = 192.168.0.7, 192.168.0.8\n"
    scene = Scene(tmp_path, f"[bgp]\npeers = one\n{ONE}{fan_out}")
    assert scene.speaker.sets == [["one@192.168.0.7", "one@192.168.0.8"]]
    assert scene.turn(asking("192.168.0.8")) == "AddressInUse"
    assert scene.turn(asking(FREE)) == "Announced"
    scene.end()


def test_a_reload_sets_the_peers_and_frees_the_address_of_a_removed_one(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, BOTH)
    assert scene.speaker.sets == [["one", "two"]]
    scene.instance.apply(scene.read(f"[bgp]\npeers = two\n{TWO}"))
    assert scene.speaker.sets[-1] == ["two"]
    assert scene.turn(asking(PEER)) == "Announced"
    assert scene.turn(asking("192.168.0.12")) == "AddressInUse"
    scene.end()


def test_a_node_instance_speaks_to_the_peers_that_select_its_node_as_it_is_now(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, BOTH.replace("[bgp]\n", "[bgp]\nnext_hops = self\n") + NODE_NAME)
    assert scene.speaker.sets[-1] == ["one"], "the node is not known yet"
    scene.turn(asking(FREE), node("n1", "192.168.0.21", labels={"rack": "b"}))
    assert scene.speaker.sets[-1] == ["one", "two"]
    scene.turn(asking(FREE), node("n1", "192.168.0.21", labels={"rack": "a"}))
    assert scene.speaker.sets[-1] == ["one"]
    scene.end()


NODE_NAME = "[porter]\nnode_name = n1\n"
NEEDS_RESTART = "needs a restart"


def test_each_changed_key_that_needs_a_restart_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path, BOTH)
    scene.instance.apply(scene.read(BOTH))
    assert NEEDS_RESTART not in caplog.text
    scene.instance.apply(scene.read(f"{BOTH}[kubernetes]\npanic_percent = 50\n{NODE_NAME}"))
    told = (
        f"[porter] node_name: runs with nothing, the file says n1: {NEEDS_RESTART}",
        f"[kubernetes] panic_percent: runs with 90, the file says 50: {NEEDS_RESTART}",
    )
    assert [text for text in caplog.messages if "restart" in text] == list(told)
    assert scene.instance.pending == told
    scene.instance.reload(scene.read(BOTH), "SIGHUP")
    assert not scene.instance.pending
    scene.instance.reload(scene.read(f"{BOTH}{NODE_NAME}"), "SIGHUP")
    reloads = [c.after for c in scene.instance.history.since(0) if c.kind is ChangeKind.RELOAD]
    assert reloads == ["in force, peers: as before", f"in force, peers: as before; {told[0]}"]
    scene.end()


def test_unused_peer_groups_and_ipv4_over_ipv6_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path, f"[bgp]\npeers = one\n{ONE}{TWO}")
    assert "[peer:two]: is not used: [bgp] peers does not list it" in caplog.text
    six = f"[bgp]\npeers = six\n{ONE.replace('one', 'six').replace('192.168.0.11', 'fd00::1')}"
    scene.instance.apply(scene.read(six))
    assert "the file has a peer with IPv4 routes over IPv6 (RFC 8950): needs a" in caplog.text
    scene.end()


@pytest.mark.parametrize("withdraw", [False, True])
def test_stop_closes_sessions_and_no_peers_are_set_after_it(tmp_path: Path, withdraw: bool) -> None:
    scene = Scene(tmp_path, BOTH)
    scene.turn(asking(FREE))
    assert scene.end(withdraw) == ""
    assert scene.speaker.stopped == [withdraw]
    before = len(scene.speaker.sets)
    scene.instance.apply(scene.read(f"[bgp]\npeers = two\n{TWO}"))
    scene.turn(asking(FREE), node("n1", "192.168.0.21", labels={"rack": "b"}))
    assert len(scene.speaker.sets) == before
    assert not scene.instance.reconciler.synced


class Leaving(BoundIps):
    """Bindings of which one cannot be unbound."""

    def __init__(self) -> None:
        """Nothing is bound."""

    def stop(self, withdraw: bool = False, seconds: float = 0.0) -> str:
        """Returns what is left."""
        return f"{FREE} is still bound" if withdraw else ""


def test_stop_returns_what_could_not_be_unbound(tmp_path: Path) -> None:
    scene = Scene(tmp_path, BOTH)
    scene.instance.bound_ips.stop(withdraw=False)
    scene.instance.bound_ips = Leaving()
    assert scene.end(withdraw=True) == f"{FREE} is still bound"
