"""Converting manifests of OpenELB and MetalLB; everything without counterpart is named."""

from __future__ import annotations

import configparser
import contextlib
import io
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.objects import Json
from porter_ryu.cli import main
from porter_ryu.importers import acceptance
from porter_ryu.importers import metallb as from_metallb
from porter_ryu.importers import openelb as from_openelb
from porter_ryu.importers.reading import Manifest
from tests.unit import decoded

KINDS = st.sampled_from(
    [
        "Eip",
        "BgpConf",
        "BgpPeer",
        "Service",
        "IPAddressPool",
        "BGPPeer",
        "BGPAdvertisement",
        "L2Advertisement",
        "BFDProfile",
        "Community",
        "Secret",
        "Other",
    ]
)
FIELDS = st.sampled_from(
    [
        "address",
        "addresses",
        "namespaces",
        "namespaceSelector",
        "serviceAllocation",
        "priority",
        "conf",
        "neighborAddress",
        "peerAs",
        "transport",
        "timers",
        "config",
        "holdTime",
        "ports",
        "peerAddress",
        "peerASN",
        "bfdProfile",
        "nodeSelectors",
        "matchExpressions",
        "values",
        "communities",
        "peers",
        "ipAddressPools",
        "ipAddressPoolSelectors",
        "loadBalancer",
        "type",
        "ingress",
        "passwordSecret",
        "name",
        "serviceSelectors",
        "matchLabels",
        "listenAddresses",
    ]
)
METALLB = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: gold, namespace: metallb-system}
spec:
  addresses: [203.0.113.0/28, 2001:db8::/120]
  avoidBuggyIPs: true
  serviceAllocation: {priority: 10, namespaces: [shop], serviceSelectors: [{matchLabels: {a: b}}]}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: rest}
spec:
  addresses: [198.51.100.0/24]
  autoAssign: false
  serviceAllocation: {namespaceSelectors: [{matchLabels: {t: x}}, {matchLabels: {t: y}}]}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: rack1}
spec:
  myASN: 64500
  peerASN: 64501
  peerAddress: 10.0.0.1
  holdTime: 1m30s
  keepaliveTime: 30s
  password: "do not show me"
  bfdProfile: fast
  vrf: red
  nodeSelectors:
  - matchExpressions: [{key: rack, operator: In, values: [a, b]}]
---
apiVersion: metallb.io/v1beta1
kind: BFDProfile
metadata: {name: fast}
spec: {transmitInterval: 100, receiveInterval: 100, detectMultiplier: 5}
---
apiVersion: metallb.io/v1beta1
kind: Community
metadata: {name: ours}
spec: {communities: [{name: vpn, value: "64500:7"}]}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: all}
spec: {communities: [vpn, "large:64500:1:2"], localPref: 200, aggregationLength: 24}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: l2}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations:
    metallb.io/loadBalancerIPs: 203.0.113.3
    metallb.universe.tf/allow-shared-ip: it's mine
    metallb.io/ip-allocated-from-pool: gold
    metallb.io/new-thing: "1"
spec: {type: LoadBalancer}
"""
OPENELB = """
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata: {name: pool}
spec: {address: 203.0.113.1-203.0.113.9, protocol: bgp, priority: 3, namespaces: [a]}
---
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata: {name: layer2}
spec: {address: 203.0.114.0/24, protocol: layer2, interface: eth0, novel: {field: 1}}
---
apiVersion: network.kubesphere.io/v1alpha2
kind: BgpConf
metadata: {name: default}
spec: {as: 50000, listenPort: 17900, routerId: 10.0.0.5, asPerRack: {r1: 50001}}
---
apiVersion: network.kubesphere.io/v1alpha2
kind: BgpPeer
metadata: {name: leaf}
spec:
  conf: {peerAs: 50001, neighborAddress: 10.0.0.1}
  transport: {passiveMode: true, remotePort: 1790}
  ebgpMultihop: {enabled: true, multihopTtl: 3}
  addPaths: {sendMax: 8}
  afiSafis:
  - config: {family: {afi: AFI_IP, safi: SAFI_UNICAST}, enabled: true}
    addPaths: {config: {sendMax: 10}}
  - {config: {family: {afi: AFI_IP6, safi: SAFI_UNICAST}, enabled: true}}
  - {config: {family: {afi: AFI_IP6, safi: SAFI_MPLS_VPN}, enabled: true}}
  - {config: {family: {afi: AFI_L2VPN, safi: SAFI_EVPN}, enabled: false}}
  nodeSelector: {matchLabels: {rack: a}}
  gracefulRestart: {enabled: true}
"""


def porter_ryu(*argv: str) -> tuple[int, str, str]:
    """Runs a command; returns its exit status, output and error output."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(argv)
    return status, out.getvalue(), err.getvalue()


def run(tmp_path: Path, origin: str, text: str, status: int = 1) -> tuple[str, Path]:
    """Runs an import; returns its output and its folder.  The status is 1 if something is lost."""
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / "all.yaml").write_text(text)
    out = tmp_path / "out"
    ended, told, complaint = porter_ryu("import", origin, f"{tmp_path}/in", "--output", str(out))
    assert ended == status, complaint
    return told, out


def accepted(out: Path) -> None:
    """Asserts that `check` accepts the file; findings on this host do not matter."""
    status, _, complaint = porter_ryu("check", "--config-file", f"{out}/porter_ryu.conf")
    assert (status in (0, 1), complaint) == (True, "")


ENTRY = {
    "communities": ["64500:7", "64500:1:2"],
    "localPref": 200,
    "aggregationLength": 24,
}


def test_metallb(tmp_path: Path) -> None:
    told, out = run(tmp_path, "metallb", METALLB)
    gold, rest = yaml.safe_load_all((out / "eips.yaml").read_text())
    assert gold["spec"] == {
        "address": "203.0.113.0/28, 2001:db8::/120",
        "avoidBuggyIPs": True,
        "namespaces": ["shop"],
        "serviceSelector": {"matchLabels": {"a": "b"}},
        "priority": 10,
        "advertisements": [ENTRY],
    }
    assert rest["spec"] == {
        "address": "198.51.100.0/24",
        "autoAssign": False,
        "priority": 11,
        "disable": True,
        "advertisements": [ENTRY],
    }
    conf = (out / "porter_ryu.conf").read_text()
    for line in (
        "local_as = 64500",
        "peers = rack1",
        "remote_as = 64501",
        "hold_time = 90",
        "bfd_interval_ms = 100",
        "bfd_multiplier = 5",
        "node_selector = rack in (a, b)",
    ):
        assert line in conf.splitlines()
    accepted(out)
    key = out / "rack1.key"
    assert key.read_text() == "do not show me"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "do not show me" not in told + conf
    for what in (
        "vrf",
        "keepaliveTime",
        "receiveInterval",
        "L2Advertisement",
    ):
        assert what in told
    assert "BGPAdvertisement" not in told
    assert "namespaceSelectors" in told
    assert "new-thing" in told
    assert "ip-allocated" not in told
    assert (out / "annotate.sh").read_text().splitlines()[2] == (
        "kubectl annotate service -n shop web --overwrite lb.kubesphere.io/v1alpha1=porter "
        "eip.porter.kubesphere.io/v1alpha1=203.0.113.3 "
        """'eip.porter.kubesphere.io/share=it'"'"'s mine'"""
    )


def test_openelb(tmp_path: Path) -> None:
    told, out = run(tmp_path, "openelb", OPENELB)
    pool, layer2 = yaml.safe_load_all((out / "eips.yaml").read_text())
    assert pool["spec"]["priority"] == 3
    assert layer2["spec"]["protocol"] == "layer2"
    assert layer2["spec"]["autoAssign"] is False
    conf = (out / "porter_ryu.conf").read_text().splitlines()
    for line in (
        "annotation_values = porter, openelb",
        "local_as = 50000",
        "listen_port = 17900",
        "mode = passive",
        "port = 1790",
        "multihop_ttl = 3",
        "node_selector = rack=a",
        "add_path = true",
        "families = ipv4, ipv6",
    ):
        assert line in conf
    accepted(out)
    assert "AFI_L2VPN" not in told
    for what in (
        "AFI_IP6 SAFI_MPLS_VPN",
        "layer2",
        "novel.field",
        "asPerRack.r1",
        "gracefulRestart.enabled",
    ):
        assert what in told


def test_porter_v0_0_1(tmp_path: Path) -> None:
    """Its Eips are namespaced: of two with one name the second is reported, and not written."""
    one, two = (
        {
            "apiVersion": "network.kubesphere.io/v1alpha1",
            "kind": "Eip",
            "metadata": {"name": "pool", "namespace": namespace},
            "spec": {"address": address, "disable": False},
        }
        for namespace, address in (("a", "10.0.0.0/28"), ("b", "10.0.1.0/28"))
    )
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [one, two]})
    told, out = run(tmp_path, "openelb", text)
    eips = list(yaml.safe_load_all((out / "eips.yaml").read_text()))
    assert [(e["metadata"], e["spec"]["address"]) for e in eips] == [
        ({"name": "pool"}, "10.0.0.0/28")
    ]
    assert "metadata.namespace 'a'" in told
    assert "10.0.1.0/28" in told


def metallb(kind: str, name: str, spec: Json, **metadata: object) -> Json:
    """An object of MetalLB."""
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "metallb-system", **metadata},
        "spec": spec,
    }


def openelb(kind: str, name: str, spec: Json, **metadata: object) -> Json:
    """An object of OpenELB."""
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def peer(name: str = "rack1", address: str = "10.0.0.1", **spec: object) -> Json:
    """A BGPPeer of MetalLB."""
    fields = {"myASN": 64500, "peerASN": 64501, "peerAddress": address, **spec}
    return metallb("BGPPeer", name, fields)


def groups(out: Path) -> dict[str, dict[str, str]]:
    """The configuration that was written."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(out / "porter_ryu.conf")
    return {name: dict(parser[name]) for name in parser.sections()}


def eips(out: Path) -> dict[str, Json]:
    """The specs of the Eips that were written."""
    loaded = yaml.safe_load_all((out / "eips.yaml").read_text())
    return {entry["metadata"]["name"]: entry["spec"] for entry in loaded}


EVERYTHING = metallb("BGPAdvertisement", "all", {})

# unusual fields of a peer, a part of the printed line, and the settings in its group
ODD_PEERS: dict[str, tuple[Json, str, dict[str, str]]] = {
    "a hold time in milliseconds": ({"holdTime": "3000ms"}, "", {"hold_time": "3"}),
    "a fractional hold time": ({"holdTime": "1.5m"}, "", {"hold_time": "90"}),
    "a hold time without sense": ({"holdTime": "soon"}, "is not a duration", {}),
    "a hold time that no router takes": ({"holdTime": "1s"}, "hold_time is left out", {}),
    "port 0": ({"peerPort": 0}, "", {}),
    "port 70000": ({"peerPort": 70000}, "port is left out", {}),
    "a port that is a list": ({"peerPort": [179]}, "is of a wrong type", {}),
    "several selectors": (
        {"nodeSelectors": [{"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "c"}}]},
        "only one is supported",
        {},
    ),
    "multihop": ({"ebgpMultiHop": True}, "", {"multihop_ttl": "255"}),
    "multihop with BFD": (
        {"ebgpMultiHop": True, "bfdProfile": "fast"},
        "multihop BFD has no counterpart",
        {"multihop_ttl": "255"},
    ),
    "a fast BFD": (
        {"bfdProfile": "fast"},
        "the minimum here is 50 ms",
        {"bfd": "true", "bfd_interval_ms": "50", "bfd_multiplier": "3"},
    ),
    "a source of another family": (
        {"sourceAddress": "2001:db8::1"},
        "local_address is left out",
        {},
    ),
    "a line break": ({"sourceAddress": "10.0.0.5\n[bgp]"}, "cannot contain", {}),
}


@pytest.mark.parametrize("name", ODD_PEERS)
def test_check_accepts_the_file_for_any_metallb_peer(tmp_path: Path, name: str) -> None:
    fields, told, has = ODD_PEERS[name]
    fast = metallb("BFDProfile", "fast", {"transmitInterval": 10, "detectMultiplier": 3})
    objects = [EVERYTHING, peer(**fields), fast]
    lost, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects))
    assert told in lost
    known = {"address": "10.0.0.1", "remote_as": "64501"}
    assert groups(out)["peer:rack1"] == {**known, **has}
    accepted(out)


def test_invalid_peers_are_left_out_and_named(tmp_path: Path) -> None:
    objects = [
        EVERYTHING,
        peer("good"),
        peer("same", "10.0.0.1"),
        peer("unnumbered", "", interface="eth0"),
        peer("nowhere", "no address"),
    ]
    lost, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects))
    assert groups(out)["bgp"]["peers"] == "good"
    assert [name for name in groups(out) if name.startswith("peer:")] == ["peer:good"]
    assert "unnumbered, on eth0" in lost
    assert "[peer:same] is left out" in lost
    assert "[peer:nowhere] is left out" in lost
    accepted(out)


def test_two_peers_of_one_bfd_profile_have_its_timers(tmp_path: Path) -> None:
    profile = metallb("BFDProfile", "slow", {"transmitInterval": 400, "detectMultiplier": 7})
    peers = [peer(f"p{n}", f"10.0.0.{n}", bfdProfile="slow") for n in (1, 2)]
    _, out = run(tmp_path, "metallb", yaml.safe_dump_all([EVERYTHING, profile, *peers]), 0)
    for number in (1, 2):
        group = groups(out)[f"peer:p{number}"]
        assert (group["bfd_interval_ms"], group["bfd_multiplier"]) == ("400", "7")


def test_a_pool_that_bgp_does_not_announce_is_disabled(tmp_path: Path) -> None:
    objects = [
        metallb("IPAddressPool", "both", {"addresses": ["10.1.0.0/24"]}),
        metallb("IPAddressPool", "l2", {"addresses": ["10.2.0.0/24"]}),
        metallb("IPAddressPool", "labelled", {"addresses": ["10.3.0.0/24"]}, labels={"a": "b"}),
        metallb("IPAddressPool", "nobody", {"addresses": ["10.4.0.0/24"]}),
        metallb("L2Advertisement", "l2", {"ipAddressPools": ["l2", "both"]}),
        metallb(
            "BGPAdvertisement",
            "bgp",
            {
                "ipAddressPools": ["both"],
                "ipAddressPoolSelectors": [{"matchLabels": {"a": "b"}}],
                "communities": ["65535:65281"],
            },
        ),
        peer(),
    ]
    lost, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects))
    disabled = {name for name, spec in eips(out).items() if spec.get("disable")}
    assert disabled == {"l2", "nobody"}
    assert "IPAddressPool l2: is announced only by layer 2" in lost
    assert "IPAddressPool nobody: is not announced" in lost
    entries = [{"communities": ["65535:65281"]}]
    advertised = {name: spec.get("advertisements") for name, spec in eips(out).items()}
    assert advertised == {"both": entries, "l2": None, "labelled": entries, "nobody": None}
    assert "communities" not in groups(out)["peer:rack1"]


def test_pools_with_a_service_allocation_come_first(tmp_path: Path) -> None:
    def pool(name: str, **allocation: object) -> Json:
        spec: Json = {"addresses": [f"10.{len(name)}.0.0/24"]}
        if allocation:
            spec["serviceAllocation"] = allocation
        return metallb("IPAddressPool", name, spec)

    objects = [
        EVERYTHING,
        pool("a"),
        pool("bb", priority=5, namespaces=["x"]),
        pool("ccc", namespaces=["x"]),
    ]
    _, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects), 0)
    priorities = {name: spec["priority"] for name, spec in eips(out).items()}
    assert sorted(priorities, key=priorities.__getitem__) == ["bb", "ccc", "a"]


def test_advertisements_are_entries_of_the_eips_that_they_select(tmp_path: Path) -> None:
    rack = {"matchLabels": {"rack": "a"}}
    zone = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z"]}]}
    objects = [
        *(
            metallb("IPAddressPool", name, {"addresses": [f"10.{number}.0.0/16"]})
            for number, name in enumerate(("plain", "both", "far"))
        ),
        metallb("BGPAdvertisement", "all", {"ipAddressPools": ["plain", "both"]}),
        metallb(
            "BGPAdvertisement",
            "near",
            {
                "ipAddressPools": ["both"],
                "peers": ["p1"],
                "nodeSelectors": [rack, zone],
                "communities": ["1:2"],
            },
        ),
        metallb(
            "BGPAdvertisement",
            "far",
            {"ipAddressPools": ["far"], "aggregationLength": 16, "aggregationLengthV6": 64},
        ),
        peer("p1"),
        peer("p2", "10.0.0.2"),
    ]
    _, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects), 0)
    near: Json = {"peers": ["p1"], "communities": ["1:2"]}
    assert {name: spec.get("advertisements") for name, spec in eips(out).items()} == {
        "plain": None,
        "both": [{}, {**near, "nodeSelector": rack}, {**near, "nodeSelector": zone}],
        "far": [{"aggregationLength": 16, "aggregationLengthV6": 64}],
    }
    assert "communities" not in groups(out)["peer:p1"]
    for spec in eips(out).values():
        assert decoded.eip(objects_of_eip(spec)).invalid is None


def objects_of_eip(spec: Json) -> Json:
    """An Eip with this spec."""
    return {"kind": "Eip", "metadata": {"name": "pool"}, "spec": spec}


# fields of an advertisement, the printed reason, and the entries that are left
ODD_ADVERTISEMENTS: dict[str, tuple[Json, str, list[Json] | None]] = {
    "an alias that is not defined": ({"communities": ["vpn"]}, "'vpn' is not a community", None),
    "one community of two": (
        {"communities": ["65536:1", "1:1"]},
        "is not a number of 16 bits; it is left out",
        [{"communities": ["1:1"]}],
    ),
    "a preference that is too large": ({"localPref": 2**32}, "is left out: localPref is more", []),
    "a preference that is text": ({"localPref": "high"}, "is of a wrong type", None),
    "a length that is too long": (
        {"aggregationLength": 33},
        "is left out: aggregationLength is more than 32",
        [],
    ),
    "a selector that selects nothing": (
        {"nodeSelectors": [{"matchExpressions": [{"key": "a", "operator": "Like"}]}]},
        "is left out: spec.advertisements[0].nodeSelector: unknown operator 'Like'",
        [],
    ),
    "one selector of two": (
        {"nodeSelectors": [{"matchLabels": {"a": 1}}, {"matchLabels": {"a": "b"}}]},
        "is left out: nodeSelector.matchLabels: a key or its value is not text",
        [{"nodeSelector": {"matchLabels": {"a": "b"}}}],
    ),
    "only some Services": (
        {"serviceSelectors": [{"matchLabels": {"a": "b"}}]},
        "is left out: serviceSelectors has no counterpart",
        [],
    ),
    "a new field": ({"novel": 1}, "novel = 1 has no counterpart", None),
}


@pytest.mark.parametrize("name", ODD_ADVERTISEMENTS)
def test_what_an_advertisement_cannot_say_is_named(tmp_path: Path, name: str) -> None:
    """If no entry is left, the Eip is disabled: without entries it would be announced to all."""
    fields, reason, entries = ODD_ADVERTISEMENTS[name]
    pool = metallb("IPAddressPool", "pool", {"addresses": ["10.1.0.0/24"]})
    objects = [pool, metallb("BGPAdvertisement", "odd", fields), peer()]
    lost, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects))
    assert "BGPAdvertisement odd: " in lost
    assert reason in lost
    spec = eips(out)["pool"]
    assert spec.get("advertisements") == (entries or None)
    assert spec.get("disable", False) is (entries == [])


def test_more_than_an_eip_can_have_disables_it(tmp_path: Path) -> None:
    pool = metallb("IPAddressPool", "pool", {"addresses": ["10.1.0.0/24"]})
    many = [metallb("BGPAdvertisement", f"a{i}", {"localPref": i}) for i in range(33)]
    lost, out = run(tmp_path, "metallb", yaml.safe_dump_all([pool, *many, peer()]))
    assert "has more than 32 entries; the Eip is disabled" in lost
    assert eips(out)["pool"]["disable"] is True


def test_services_of_another_class_and_sharing_across_namespaces(tmp_path: Path) -> None:
    def service(name: str, namespace: str, **spec: object) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": {"metallb.io/allow-shared-ip": "key"},
            },
            "spec": {"type": "LoadBalancer", **spec},
        }

    objects = [
        service("a", "one"),
        service("b", "two"),
        service("c", "two", loadBalancerClass="other.io/lb"),
    ]
    lost, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects))
    assert "Service two/c: has loadBalancerClass 'other.io/lb'" in lost
    assert "Services one/a, two/b share an address by key 'key'" in lost
    assert " c " not in (out / "annotate.sh").read_text()


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_key_in_a_secret_is_used_and_never_printed(tmp_path: Path, where: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/basic-auth",
        "metadata": {"name": "bgp", "namespace": "metallb-system"},
        "data": {"password": "aHVzaCBodXNo"},
    }
    asked = peer(passwordSecret={"name": "bgp"}, password="", keepaliveTime="1s")
    objects = [EVERYTHING, asked, *([secret] if where == "here" else [])]
    lost, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects))
    assert "aHVzaCBodXNo" not in lost
    if where == "here":
        assert (out / "rack1.key").read_text() == "hush hush"
    else:
        assert "passwordSecret metallb-system/bgp is not in the files" in lost


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    objects = [EVERYTHING, peer("../../evil", password="x"), peer("/etc/evil", "10.0.0.2")]
    _, out = run(tmp_path, "metallb", yaml.safe_dump_all(objects))
    assert not (tmp_path.parent / "evil.key").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert all(path.parent == out for path in out.iterdir())
    accepted(out)


def test_a_link_in_the_folder_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "eips.yaml").symlink_to(victim)
    run(tmp_path, "metallb", yaml.safe_dump_all([EVERYTHING]), 2)
    assert victim.read_text() == "mine"


def test_a_file_with_other_content_is_not_overwritten(tmp_path: Path) -> None:
    text = yaml.safe_dump_all([EVERYTHING, peer()])
    _, out = run(tmp_path, "metallb", text, 0)
    run(tmp_path, "metallb", text, 0)
    conf = out / "porter_ryu.conf"
    conf.write_text(conf.read_text() + "# mine\n")
    status, told, complaint = porter_ryu(
        "import", "metallb", f"{tmp_path}/in", "--output", str(out)
    )
    assert (status, told) == (2, "")
    assert "porter_ryu.conf: exists with other content" in complaint
    assert conf.read_text().endswith("# mine\n")


def test_eips_of_openelb_serve_the_same_services(tmp_path: Path) -> None:
    default = {"eip.openelb.kubesphere.io/is-default-eip": "true"}
    objects = [
        openelb("Eip", "plain", {"address": "10.1.0.0/24"}),
        openelb("Eip", "bound", {"address": "10.2.0.0/24", "namespaces": ["a"], "priority": 7}),
        openelb("Eip", "default", {"address": "10.3.0.0/24"}, annotations=default),
    ]
    lost, out = run(tmp_path, "openelb", yaml.safe_dump_all(objects))
    specs = eips(out)
    assert specs["plain"]["autoAssign"] is False
    assert "autoAssign" not in specs["bound"]
    assert "autoAssign" not in specs["default"]
    assert specs["default"]["priority"] > specs["bound"]["priority"]
    assert "Eip plain: is neither the default Eip nor bound" in lost
    assert "Eip default: is the default Eip, which is used last" in lost


def test_services_of_openelb_with_one_address_get_a_sharing_key(tmp_path: Path) -> None:
    def service(name: str, namespace: str, address: str, port: int) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": "LoadBalancer", "ports": [{"port": port}]},
            "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
        }

    objects = [
        service("a", "one", "10.0.0.1", 80),
        service("b", "one", "10.0.0.1", 81),
        service("c", "one", "10.0.0.2", 80),
        service("d", "two", "10.0.0.2", 81),
        service("e", "one", "10.0.0.3", 80),
        service("f", "one", "10.0.0.3", 80),
    ]
    lost, out = run(tmp_path, "openelb", yaml.safe_dump_all(objects))
    commands = (out / "annotate.sh").read_text().splitlines()[2:]
    key = "eip.porter.kubesphere.io/share=shared-10.0.0.1"
    assert [line.split()[-1] for line in commands] == [key, key]
    assert (
        "Services one/c, two/d have the address 10.0.0.2: here only Services of one namespace"
        in lost
    )
    assert "Services one/e, one/f have the address 10.0.0.3: they have a port in common" in lost


def test_multihop_of_openelb_without_a_ttl_allows_any_number_of_hops(tmp_path: Path) -> None:
    conf = {"neighborAddress": "10.0.0.1", "peerAs": 50001}
    leaf = openelb("BgpPeer", "leaf", {"conf": conf, "ebgpMultihop": {"enabled": True}})
    _, out = run(tmp_path, "openelb", yaml.safe_dump_all([leaf]), 0)
    assert groups(out)["peer:leaf"]["multihop_ttl"] == "255"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(FIELDS, below, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize("origin", [from_metallb, from_openelb], ids=["metallb", "openelb"])
@settings(max_examples=25, deadline=None)
@given(spec=st.dictionaries(FIELDS, ANY, max_size=6), kind=KINDS)
def test_any_spec_is_converted_or_named(origin: ModuleType, spec: Json, kind: object) -> None:
    document = {"kind": kind, "metadata": {"name": "x"}, "spec": spec, "status": spec}
    found = origin.convert([Manifest(document), Manifest(document)])
    acceptance.remove_invalid_settings(found)


@pytest.mark.parametrize("text", ["a: [}", "[1]"])
def test_an_invalid_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    status, _, complaint = porter_ryu("import", "metallb", str(tmp_path))
    assert status == 2
    assert "bad.yaml:1" in complaint
