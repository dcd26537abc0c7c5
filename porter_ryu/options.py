"""Every option of ours, typed, with its help: the one list from which the sample file, the
validator and the settings are made."""

from __future__ import annotations

from oslo_config import cfg

from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, MODES

PORT = {"min": 1, "max": 65535}
AS_NUMBER = {"min": 1, "max": 4294967294}
WSAPI_HOST = "127.0.0.1"  # Ryu's own default is every address


def _ip(name: str, text: str, **more: object) -> cfg.Opt:
    return cfg.StrOpt(name, default="", help=text, **more)


PORTER = [
    cfg.StrOpt(
        "annotation", default="lb.kubesphere.io/v1alpha1", help="Annotation that opts a Service in."
    ),
    cfg.ListOpt(
        "annotation_values",
        default=["porter"],
        help="Its values that count (add openelb to take over from OpenELB).",
    ),
    cfg.StrOpt(
        "load_balancer_class",
        default="",
        help="Also take Services with this spec.loadBalancerClass. One with another class is "
        "never ours, even annotated.",
    ),
    cfg.StrOpt(
        "node_name",
        default="",
        help="Node name of this host; needed by next_hops = self. A binding instance need not "
        "be a Node.",
    ),
    cfg.BoolOpt(
        "allocate",
        default=True,
        help="Allocate EIPs and write status; of several such instances the one that holds the "
        "Lease acts. Needs a restart.",
    ),
    cfg.BoolOpt(
        "single_instance",
        default=True,
        help="False where several instances announce the same (see graceful_restart).",
    ),
    cfg.StrOpt(
        "state_dir",
        default="/var/lib/porter-ryu",
        help="Journal of what was announced and bound; created if missing; must outlive the "
        "process. Needs a restart.",
    ),
    cfg.IntOpt(
        "resync_seconds", default=300, min=1, help="Everything is looked at again this often."
    ),
]

KUBERNETES = [
    cfg.StrOpt("kubeconfig", default="", help="Empty: in-cluster, then the default kubeconfig."),
    cfg.StrOpt(
        "manifests",
        default="",
        help="A directory of YAML or JSON files to serve instead of an API server.",
    ),
    cfg.StrOpt("namespace", default="porter-system", help="Where the Lease lives."),
    cfg.IntOpt(
        "panic_percent",
        default=90,
        min=1,
        max=100,
        help="When more than this share of the present nodes that were Ready is lost within 60 "
        "s, the view is doubted: readiness of nodes, and of endpoints on them, stays as it was "
        "before, until the share is back below. Never at start.",
    ),
]

BGP = [
    cfg.BoolOpt("enabled", default=True, help="Announce by BGP."),
    cfg.IntOpt("local_as", default=65000, **AS_NUMBER, help="AS number of this speaker."),
    _ip("router_id", "BGP identifier; empty: this host's own InternalIPv4."),
    cfg.ListOpt(
        "listen_addresses",
        default=[],
        help='Empty: the address towards each peer; wildcards (0.0.0.0, ::) are valid; "none": '
        "never listen.",
    ),
    cfg.IntOpt("listen_port", default=179, **PORT, help="TCP port to listen on."),
    cfg.ListOpt("peers", default=[], help="Names of [peer:NAME] groups."),
    cfg.StrOpt(
        "next_hops",
        default=ENDPOINTS.name,
        choices=[(mode.name, mode.summary) for mode in MODES.values()],
        help="Which nodes a route leads to.",
    ),
    cfg.ListOpt(
        "next_hop_networks",
        default=[],
        help="Which of a node's addresses may be next hops; empty: its InternalIPs.",
    ),
    cfg.IntOpt(
        "max_next_hops",
        default=0,
        min=0,
        help="0: no limit; else a stable choice (rendezvous hash) of that many.",
    ),
    cfg.IntOpt("hold_time", default=90, min=0, max=65535, help="Seconds; 0 or at least 3."),
    cfg.StrOpt(
        "graceful_restart",
        default="auto",
        choices=["auto", "true", "false"],
        help="RFC 4724; auto: on for a single central instance, off for next_hops = self and "
        "where single_instance is false.",
    ),
    cfg.IntOpt(
        "restart_time", default=120, min=1, max=4095, help="Seconds that peers keep our routes."
    ),
]

PEER = [
    _ip("address", "Address of the peer.", required=True),
    cfg.IntOpt("remote_as", required=True, **AS_NUMBER, help="AS number of the peer."),
    cfg.IntOpt("port", default=179, **PORT, help="TCP port of the peer."),
    cfg.StrOpt(
        "mode",
        default="both",
        choices=["active", "passive", "both"],
        help="Which side opens the connection.",
    ),
    _ip("local_address", "Address to speak from; empty: the kernel's choice."),
    cfg.StrOpt("password_file", default="", help="File with the TCP MD5 key (RFC 2385)."),
    cfg.BoolOpt("ttl_security", default=False, help="GTSM (RFC 5082)."),
    cfg.IntOpt("multihop_ttl", default=1, min=1, max=255, help="eBGP beyond one hop."),
    cfg.IntOpt("hold_time", min=0, max=65535, help="Overrides [bgp] hold_time."),
    cfg.IntOpt(
        "connect_retry",
        default=5,
        min=1,
        max=3600,
        help="Seconds before the first retry; backs off from there. Limits our own connects only.",
    ),
    cfg.BoolOpt("add_path", default=True, help="Offer ADD-PATH send (RFC 7911)."),
    cfg.ListOpt("families", default=["ipv4", "ipv6"], help="Address families to announce."),
    cfg.StrOpt(
        "node_selector",
        default="",
        help="Label selector: a central instance offers this peer only those nodes as next "
        "hops; a node instance peers only if its node matches.",
    ),
    cfg.ListOpt("communities", default=[], help="As 65000:1, no-export, 65000:1:2 (large)."),
    cfg.IntOpt("local_pref", min=0, max=4294967295, help="LOCAL_PREF, to an internal peer."),
    cfg.IntOpt("med", min=0, max=4294967295, help="MULTI_EXIT_DISC."),
    cfg.IntOpt(
        "as_path_prepend", default=0, min=0, max=32, help="How often our AS is put in once more."
    ),
    cfg.BoolOpt("bfd", default=False, help="BFD (RFC 5880, 5881)."),
    cfg.IntOpt("bfd_interval_ms", default=300, min=50, max=60000, help="Milliseconds."),
    cfg.IntOpt("bfd_multiplier", default=3, min=1, max=255, help="Detection multiplier."),
]

BOUND_IP = [
    cfg.StrOpt(
        "mode",
        default="address",
        choices=[
            ("address", "a secondary address on the interface"),
            ("rule", "ip rule over a local default route"),
            ("blackhole", "ip rule over a blackhole default route"),
            ("none", "nothing is bound"),
        ],
        help="How EIPs are bound on this host.",
    ),
    cfg.StrOpt("interface", default="", help="Empty: the interface of the default route."),
    cfg.IntOpt(
        "table", default=101, min=1, max=4294967295, help="Routing table of rule and blackhole."
    ),
]

PEER_PREFIX = "peer:"
# read by Ryu's own libraries, where an application loads them
FOREIGN_GROUPS = frozenset({"ovsdb", "bgp-app"})
GROUPS = {"porter": PORTER, "kubernetes": KUBERNETES, "bgp": BGP, "bound_ip": BOUND_IP}
# beside the groups of the peers; every other key needs a restart
RELOADED = frozenset({("bgp", "peers"), ("bgp", "hold_time")})


def of_ryu() -> list[cfg.Opt]:
    """Every option that stands in [DEFAULT]: those of Ryu, and of whatever else is loaded."""
    import ryu.app.wsgi
    import ryu.base.app_manager  # with the controller: the two import one another
    import ryu.flags
    import ryu.log
    import ryu.topology.switches  # noqa: F401 - each registers its own
    from ryu.cfg import CONF

    # a ConfigOpts lists the names of what is registered, but not the options themselves
    options = {name: info["opt"] for name, info in CONF._opts.items()}
    # ryu.cmd.manager cannot be imported for the names of its own: that patches and logs
    options = {option.dest: option for option in _OF_THE_MANAGER} | options
    return [option for name, option in options.items() if name not in _OF_OSLO]


_OF_THE_MANAGER = [
    cfg.ListOpt("app_lists"),
    cfg.MultiStrOpt("app"),
    cfg.StrOpt("pid_file"),
    cfg.BoolOpt("enable_debugger"),
    cfg.StrOpt("user_flags"),
]
_OF_OSLO = frozenset({"config_file", "config_dir", "config_source"})  # every ConfigOpts has them


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """The oslo.config.opts entry point; [peer:leaf1] stands for every [peer:NAME]."""
    return [*GROUPS.items(), ("peer:leaf1", PEER)]
