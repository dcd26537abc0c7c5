"""Every option of Porter-Ryu with its type and help text.

The sample file, the validator and the settings are made from this one list.
"""

from __future__ import annotations

from oslo_config import cfg

from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, MODES
from porter_ryu.domain.nodes.weights import UNWEIGHTED, WEIGHTS
from porter_ryu.openflow.config import (
    DEFAULT_BUCKETS,
    DEFAULT_VIRTUAL_MAC,
    MAX_BUCKETS,
    MIN_BUCKETS,
)

PORT = {"min": 1, "max": 65535}
AS_NUMBER = {"min": 1, "max": 4294967294}
WSAPI_HOST = "127.0.0.1"  # Ryu's own default is to listen on every address


def _ip(name: str, text: str, **more: object) -> cfg.Opt:
    return cfg.StrOpt(name, default="", help=text, **more)


PORTER = [
    cfg.StrOpt(
        "annotation", default="lb.kubesphere.io/v1alpha1", help="Annotation that opts a Service in."
    ),
    cfg.ListOpt(
        "annotation_values",
        default=["porter"],
        help="Values of the annotation that opt a Service in; add openelb to take over from "
        "OpenELB.",
    ),
    cfg.StrOpt(
        "load_balancer_class",
        default="",
        help="Also serve Services with this spec.loadBalancerClass. A Service with another class "
        "is never served, even if it has the annotation.",
    ),
    cfg.StrOpt(
        "node_name",
        default="",
        help="Name of the Kubernetes Node that this host is; required by next_hops = self. An "
        "instance that binds addresses need not run on a Node.",
    ),
    cfg.BoolOpt(
        "allocate",
        default=True,
        help="Allocate EIPs and write status. Of several such instances only the one that holds "
        "the Lease acts. A change needs a restart.",
    ),
    cfg.BoolOpt(
        "single_instance",
        default=True,
        help="Set to false if several instances announce the same routes (see graceful_restart).",
    ),
    cfg.StrOpt(
        "state_dir",
        default="/var/lib/porter-ryu",
        help="Directory for the journals of announced routes and bound addresses; created if "
        "missing. It must survive a restart of the process. A change needs a restart.",
    ),
    cfg.IntOpt(
        "resync_seconds", default=300, min=1, help="Interval between full resyncs, in seconds."
    ),
    cfg.ListOpt(
        "http_names",
        default=[],
        help="Names in the Host field by which a reverse proxy on this host asks for the HTTP "
        "interface. Over loopback, requests for other names than these, localhost and the name "
        "of this host are refused; addresses are always answered.",
    ),
]

KUBERNETES = [
    cfg.StrOpt(
        "kubeconfig",
        default="",
        help="Path of a kubeconfig file; empty: the in-cluster configuration, or else the "
        "default kubeconfig.",
    ),
    cfg.StrOpt(
        "manifests",
        default="",
        help="Directory of YAML or JSON manifests to read instead of an API server.",
    ),
    cfg.StrOpt("namespace", default="porter-system", help="Namespace of the Lease."),
    cfg.IntOpt(
        "panic_percent",
        default=90,
        min=1,
        max=100,
        help="If more than this percentage of the Ready nodes become not Ready within 60 s, the "
        "loss is not believed: the readiness of nodes, and of endpoints on them, is kept as it "
        "was until the percentage is below this limit again. Does not apply at start.",
    ),
]

BGP = [
    cfg.BoolOpt("enabled", default=True, help="Announce routes by BGP."),
    cfg.IntOpt("local_as", default=65000, **AS_NUMBER, help="AS number of this speaker."),
    _ip("router_id", "BGP identifier; empty: the IPv4 InternalIP of this host."),
    cfg.ListOpt(
        "listen_addresses",
        default=[],
        help="Addresses to listen on; empty: the local address used to reach each peer; "
        '0.0.0.0 and :: are allowed; "none": do not listen.',
    ),
    cfg.IntOpt("listen_port", default=179, **PORT, help="TCP port to listen on."),
    cfg.ListOpt("peers", default=[], help="Names of the peers: one [peer:NAME] group each."),
    cfg.StrOpt(
        "next_hops",
        default=ENDPOINTS.name,
        choices=[(mode.name, mode.summary) for mode in MODES.values()],
        help="Which nodes a route leads to.",
    ),
    cfg.ListOpt(
        "next_hop_networks",
        default=[],
        help="Networks from which the next hop address of a node is chosen; empty: its "
        "InternalIPs.",
    ),
    cfg.IntOpt(
        "max_next_hops",
        default=0,
        min=0,
        help="Largest number of next hops of a route, chosen by a stable rendezvous hash; 0: no "
        "limit.",
    ),
    cfg.StrOpt(
        "weights",
        default=UNWEIGHTED.name,
        choices=[(mode.name, mode.summary) for mode in WEIGHTS.values()],
        help="What the share of a next hop in the traffic depends on. The routers get it as link "
        "bandwidth community. Routes that may lead to nodes without an endpoint (Cluster, unless "
        "next_hops is endpoints) have no weights.",
    ),
    cfg.IntOpt(
        "hold_time", default=90, min=0, max=65535, help="Hold time in seconds: 0, or at least 3."
    ),
    cfg.StrOpt(
        "graceful_restart",
        default="auto",
        choices=[
            (
                "auto",
                "on for a single central instance; off if next_hops is self or "
                "single_instance is false",
            ),
            ("true", "on"),
            ("false", "off"),
        ],
        help="Graceful restart (RFC 4724).",
    ),
    cfg.IntOpt(
        "restart_time",
        default=120,
        min=1,
        max=4095,
        help="Restart Time in seconds: how long peers keep the routes of this speaker while it "
        "restarts.",
    ),
]

NO_ROLE = "none"
PEER = [
    _ip("address", "Address of the peer.", required=True),
    cfg.IntOpt("remote_as", required=True, **AS_NUMBER, help="AS number of the peer."),
    cfg.IntOpt("port", default=179, **PORT, help="TCP port of the peer."),
    cfg.StrOpt(
        "mode",
        default="both",
        choices=[
            ("active", "this speaker"),
            ("passive", "the peer"),
            ("both", "either side"),
        ],
        help="Which side opens the connection.",
    ),
    _ip("local_address", "Local address of the session; empty: the kernel chooses it."),
    cfg.ListOpt(
        "local_addresses",
        default=[],
        help="Fan-out, for a router without ADD-PATH: one session from each of these addresses of "
        "this host, each with one path of a prefix, to another node on each session. The router "
        "has ECMP over its sessions. For a central instance only.",
    ),
    cfg.StrOpt(
        "role",
        default=NO_ROLE,
        choices=[
            ("provider", "the peer is a customer of this AS"),
            ("customer", "this AS is a customer of the peer"),
            ("peer", "neither is a customer of the other"),
            (NO_ROLE, "no role is sent or checked"),
        ],
        help="Role of this AS in the peering (RFC 9234); for an external peer only.",
    ),
    cfg.StrOpt("password_file", default="", help="File with the TCP MD5 key (RFC 2385)."),
    cfg.BoolOpt("ttl_security", default=False, help="Use GTSM (RFC 5082)."),
    cfg.IntOpt("multihop_ttl", default=1, min=1, max=255, help="TTL for eBGP multihop."),
    cfg.IntOpt(
        "hold_time",
        min=0,
        max=65535,
        help="Hold time in seconds for this peer; empty: [bgp] hold_time.",
    ),
    cfg.IntOpt(
        "connect_retry",
        default=5,
        min=1,
        max=3600,
        help="Seconds before the first retry; later retries back off. Limits only connections "
        "opened by this speaker.",
    ),
    cfg.BoolOpt("add_path", default=True, help="Offer ADD-PATH send (RFC 7911)."),
    cfg.ListOpt("families", default=["ipv4", "ipv6"], help="Address families to announce."),
    cfg.StrOpt(
        "node_selector",
        default="",
        help="Label selector for nodes. A central instance announces to this peer only next hops "
        "on matching nodes. An instance with next_hops = self peers only if its own node "
        "matches.",
    ),
    cfg.ListOpt(
        "communities",
        default=[],
        help="Communities to attach, as 65000:1, no-export or 65000:1:2 (large).",
    ),
    cfg.IntOpt("local_pref", min=0, max=4294967295, help="LOCAL_PREF; for an internal peer only."),
    cfg.IntOpt("med", min=0, max=4294967295, help="MULTI_EXIT_DISC."),
    cfg.IntOpt(
        "as_path_prepend",
        default=0,
        min=0,
        max=32,
        help="How many extra times local_as is prepended to the AS_PATH.",
    ),
    cfg.BoolOpt("bfd", default=False, help="Run BFD with this peer (RFC 5880, 5881)."),
    cfg.IntOpt(
        "bfd_interval_ms",
        default=300,
        min=50,
        max=60000,
        help="Interval between BFD control packets, in milliseconds.",
    ),
    cfg.IntOpt("bfd_multiplier", default=3, min=1, max=255, help="BFD detection multiplier."),
]

DRAIN = [
    cfg.StrOpt(
        "annotation",
        default="porter.kubesphere.io/drain",
        help='Annotation that drains a Node with any value but "false"; empty: no annotation does.',
    ),
    cfg.ListOpt(
        "taints",
        default=["ToBeDeletedByClusterAutoscaler"],
        help="Keys of taints that drain a Node; empty: no taint does.",
    ),
    cfg.BoolOpt(
        "cordoned",
        default=False,
        help="Whether a cordoned Node is drained, too. People also cordon Nodes for other reasons.",
    ),
    cfg.IntOpt(
        "seconds",
        default=30,
        min=0,
        max=86400,
        help="How long a drained Node is announced with the community GRACEFUL_SHUTDOWN "
        "(65535:0, RFC 8326) and the MED below, in seconds. Then its paths are withdrawn. The last "
        "path of a route is not withdrawn.",
    ),
    cfg.IntOpt(
        "med",
        default=4294967295,
        min=0,
        max=4294967295,
        help="MULTI_EXIT_DISC of the paths to a drained Node.",
    ),
]

LIVENESS = [
    cfg.ListOpt(
        "probes",
        default=[],
        help="How a central instance asks the nodes itself whether they live: icmp, tcp:PORT or "
        "http:PORT/PATH, such as http:10256/healthz for kube-proxy. A node that answered a probe "
        "once and then misses it `multiplier` times in a row is no next hop. Empty: nodes are not "
        "asked.",
    ),
    cfg.IntOpt(
        "interval_ms",
        default=250,
        min=50,
        max=60000,
        help="Interval between two probes of a node, in milliseconds.",
    ),
    cfg.IntOpt(
        "multiplier",
        default=3,
        min=1,
        max=255,
        help="How many misses in a row make a node dead, and how many answers in a row bring it "
        "back.",
    ),
]

OPENFLOW = [
    cfg.BoolOpt(
        "enabled",
        default=False,
        help="Also write the routes as flows into every OpenFlow switch that connects to this "
        "process (ofp_listen_host and ofp_tcp_listen_port in [DEFAULT]). For a central instance "
        "only.",
    ),
    cfg.ListOpt(
        "datapaths",
        default=[],
        help="Datapath identifiers of the switches, hexadecimal; empty: every switch that "
        "connects.",
    ),
    cfg.StrOpt(
        "virtual_mac",
        default=DEFAULT_VIRTUAL_MAC,
        help="MAC address with which the switches answer ARP and neighbour solicitation, and to "
        "which packets for EIPs are sent.",
    ),
    cfg.ListOpt(
        "gateways",
        default=[],
        help="Addresses besides the EIPs for which the switches answer: next hops for static "
        "routes of routers. They are assigned to no Service.",
    ),
    cfg.StrOpt(
        "base",
        default="normal",
        choices=[
            ("normal", "the switch forwards them as an ordinary switch"),
            ("none", "flows of somebody else say what becomes of them"),
        ],
        help="What becomes of packets that are not for an EIP.",
    ),
    cfg.IntOpt(
        "buckets",
        default=DEFAULT_BUCKETS,
        min=MIN_BUCKETS,
        max=MAX_BUCKETS,
        help="Buckets of each group: more of them follow the weights more closely.",
    ),
    cfg.StrOpt(
        "affinity",
        default="none",
        choices=[
            ("none", "the hash of its addresses and ports decides for each packet"),
            ("conntrack", "the switch remembers it (Open vSwitch)"),
        ],
        help="How a connection stays on its node. With conntrack it does so while the node is "
        "drained, and when other nodes return.",
    ),
    cfg.IntOpt(
        "probe_ms",
        default=300,
        min=50,
        max=60000,
        help="Interval between two questions for the MAC address of a next hop, in milliseconds. "
        "A next hop that does not answer two of them is left out.",
    ),
]

BOUND_IP = [
    cfg.StrOpt(
        "mode",
        default="address",
        choices=[
            ("address", "a secondary address on the interface"),
            ("rule", "an ip rule that points to a table with a local default route"),
            ("blackhole", "an ip rule that points to a table with a blackhole default route"),
            ("none", "nothing is bound"),
        ],
        help="How EIPs are bound on this host.",
    ),
    cfg.StrOpt(
        "interface",
        default="",
        help="Interface for the addresses; empty: the interface of the default route.",
    ),
    cfg.IntOpt(
        "table",
        default=101,
        min=1,
        max=4294967295,
        help="Routing table for the modes rule and blackhole.",
    ),
]

PEER_PREFIX = "peer:"
# groups that Ryu's own libraries read if an application loads them
FOREIGN_GROUPS = frozenset({"ovsdb", "bgp-app"})
GROUPS = {
    "porter": PORTER,
    "kubernetes": KUBERNETES,
    "bgp": BGP,
    "drain": DRAIN,
    "liveness": LIVENESS,
    "openflow": OPENFLOW,
    "bound_ip": BOUND_IP,
}
# keys that a reload applies, besides the [peer:NAME] groups; every other key needs a restart
RELOADED = frozenset({("bgp", "peers"), ("bgp", "hold_time"), ("porter", "http_names")})


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """The oslo.config.opts entry point; [peer:leaf1] stands for every [peer:NAME]."""
    return [*GROUPS.items(), ("peer:leaf1", PEER)]
