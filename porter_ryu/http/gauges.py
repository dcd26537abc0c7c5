"""The gauges that /metrics has; the names are public API.

They are listed here with their labels and meaning, so that docs/metrics.md can be made from the
list.  `gauge_values` reads their values.
"""

from __future__ import annotations

from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily


class Series(GaugeMetricFamily):
    """The series of a gauge at the time of one scrape."""

    def add(self, value: float, *labels: str) -> Series:
        """Adds a series with these label values and returns the gauge."""
        self.add_metric(labels, float(value))
        return self


class Gauge(Struct, frozen=True):
    """A gauge: its name without the prefix, what it means, and the names of its labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()

    def series(self) -> Series:
        """The gauge without any series."""
        return Series(f"porter_{self.name}", self.text, labels=self.labels or None)

    def of(self, value: float) -> Series:
        """The gauge with its one value; for one without labels."""
        return self.series().add(value)


BUILD_INFO = Gauge(
    "build_info", "Always 1; the label has the version of the program.", ("version",)
)
CONFIG_INFO = Gauge(
    "config_info",
    "Always 1; the labels have settings that need a restart: the source (api-server, directory), "
    "whether the instance can assign addresses (true, false), whether BGP is enabled (true, "
    "false), and OpenFlow likewise, and the modes of [bgp] next_hops and [bound_ip].",
    ("source", "allocate", "bgp", "openflow", "next_hops", "bound_ip"),
)
READY = Gauge("ready", "1 while /readyz answers with 200.")
STOPPED = Gauge(
    "stopped",
    "1 after `porter-ryu stop` has ended the instance, while its process is still there (--stay).",
)
TASK_FAULTS = Gauge("task_faults", "Number of faults that /healthz reports.")
LOOP_LAG = Gauge("loop_lag_seconds", "Longest delay of the event loop within the last minute.")
RELOADED = Gauge(
    "config_last_reload_successful",
    "0 if the configuration that was read last is invalid, so that the one before stays in force.",
)
STATE_DIR_WRITABLE = Gauge(
    "state_dir_writable", "0 while the journal of announced paths cannot be written."
)
LEADER = Gauge("leader", "1 while this instance assigns addresses and writes status.")

LAST_EVENT = Gauge(
    "kubernetes_last_event_timestamp_seconds",
    "Unix time when an event of a watch was last read, 0 for never.  With a directory of "
    "manifests: when an object last changed.",
    ("kind",),
)
LAST_WATCH = Gauge(
    "kubernetes_last_watch_timestamp_seconds",
    "Unix time when the API server last began a watch, 0 for never.  It ends each within a minute, "
    "so this is recent also where nothing changes.",
    ("kind",),
)
LAST_LIST = Gauge(
    "kubernetes_last_list_timestamp_seconds",
    "Unix time when all objects of the kind were last read, 0 for never.  With a directory of "
    "manifests: when the directory was last scanned.",
    ("kind",),
)

SERVICES = Gauge(
    "services",
    "Number of Services that opted in, by state: Announced if an address is recorded in the status "
    "and was sent to a peer, otherwise why not; Allocated while nothing but that is missing.",
    ("state",),
)
EIP_POOL_SIZE = Gauge("eip_pool_size", "Number of addresses in the Eip.", ("eip",))
EIP_POOL_USED = Gauge(
    "eip_pool_used", "Number of addresses of the Eip that are assigned.", ("eip",)
)
EIPS_WITH_PROBLEM = Gauge(
    "eips_with_problem",
    "Number of Eips that serve and have a problem; the log and the plan describe it.",
)
AGGREGATES = Gauge(
    "aggregates", "Number of aggregates that are announced for addresses (spec.advertisements)."
)

NODES_DOUBTED = Gauge(
    "nodes_doubted",
    "1 while so many nodes became not Ready at once that the loss is not believed.",
)
NODES_DRAINED = Gauge("nodes_drained", "Number of nodes that are drained, or being drained.")
NODES_PROBED = Gauge(
    "nodes_probed", "Number of nodes that have answered a probe since the start.", ("family",)
)
NODES_PROBED_DEAD = Gauge(
    "nodes_probed_dead",
    "Number of nodes that are no next hops because they do not answer their probes.",
)
PROBES_DOUBTED = Gauge(
    "probes_doubted",
    "1 while so many nodes stopped answering probes at once that the loss is not believed.",
)
NODES_WITHOUT_WEIGHT = Gauge(
    "nodes_without_weight",
    "Number of nodes without a weight; routes that lead to one have no weights.",
)

BOUND_IPS = Gauge("bound_ips", "Number of addresses that this program has bound on this host.")

SESSION_UP = Gauge("bgp_session_up", "1 while the session is Established.", ("peer",))
SESSION_AGE = Gauge(
    "bgp_session_established_seconds",
    "Time since the session became Established; 0 while it is down.",
    ("peer",),
)
PATHS_ANNOUNCED = Gauge(
    "bgp_paths_announced",
    "Number of paths that the peer was sent (its Adj-RIB-Out).",
    ("peer", "family"),
)
PEER_INFO = Gauge(
    "bgp_peer_info",
    "Always 1; the labels have the address and the AS of the peer.",
    ("peer", "address", "remote_as"),
)
BFD_UP = Gauge(
    "bfd_session_up", "1 while the BFD session is up; only for peers with bfd = true.", ("peer",)
)

SWITCH_UP = Gauge(
    "openflow_switch_up",
    "1 while the OpenFlow switch is connected and has what it should have, except what it refuses.",
    ("datapath",),
)
SWITCH_REFUSES = Gauge(
    "openflow_refused", "Number of flows and groups that the switch refuses.", ("datapath",)
)
SWITCH_SILENT = Gauge(
    "openflow_next_hops_silent",
    "Number of next hops that do not answer the questions for their MAC at the switch.",
    ("datapath",),
)
SWITCH_DOUBTS = Gauge(
    "openflow_next_hops_doubted",
    "1 while so many next hops fell silent at once at the switch that the loss is not believed.",
    ("datapath",),
)

GAUGES = tuple(value for value in globals().values() if isinstance(value, Gauge))
"""All of them, in the order of this page."""
