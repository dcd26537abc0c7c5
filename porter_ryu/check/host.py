"""Whether this host lets the program bind addresses, send probes and keep its journals."""

from __future__ import annotations

import os
import shlex

from porter_ryu.check.finding import Finding, Results, command, silent
from porter_ryu.check.running import Running
from porter_ryu.domain.model import Family
from porter_ryu.liveness import echo_socket
from porter_ryu.liveness.echo import MARK_OCTETS
from porter_ryu.liveness.probes import ProbeKind
from porter_ryu.log import reason_of
from porter_ryu.node.iproute import IpError, IpRoute
from porter_ryu.node.link_notices import open_socket
from porter_ryu.planning import read_journal
from porter_ryu.settings import Settings

_CAP_NET_ADMIN = 12  # linux/capability.h
_NET_ADMIN = "run it as root, or with the capability CAP_NET_ADMIN"
_NET_RAW = "run it with the capability CAP_NET_RAW"


def interface_of(settings: Settings, ip: IpRoute) -> str:
    """The interface where EIPs are bound; empty if nothing is bound, or it cannot be told."""
    if settings.bind_mode == "none":
        return ""
    try:
        return settings.interface or ip.default_routes().interface or ""
    except IpError:
        return ""


def binding(settings: Settings, ip: IpRoute) -> Results:
    """The interface, and the rights that binding needs."""
    if settings.bind_mode == "none":
        return
    where, name = "[bound_ip] interface", settings.interface
    try:
        name = name or ip.default_routes().interface or ""
    except IpError as error:
        yield Finding(where, str(error), "install iproute2, and run this as root")
        return
    if not name:
        if settings.bind_mode == "address":
            what = "is empty, and this host has no default route"
            yield Finding(where, what, "set interface to a name that `ip -br link` shows")
        return
    if not os.path.isdir(f"/sys/class/net/{name}"):
        what = f"there is no interface {name}"
        yield Finding(where, what, "set interface to a name that `ip -br link` shows")
        return
    if _is_down(name):
        what = f"the interface {name} is down"
        yield Finding(where, what, command("ip", "link", "set", name, "up"))
    if not _has_net_admin():
        what = f"{settings.bind_mode} needs NET_ADMIN, which this process does not have"
        yield Finding("[bound_ip] mode", what, _NET_ADMIN)
    elif settings.bind_mode == "address":
        yield from _link_notices()


def _has_net_admin() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        return bool(int(fields["CapEff"], 16) >> _CAP_NET_ADMIN & 1)
    except (OSError, ValueError, KeyError):
        return os.geteuid() == 0


def _is_down(name: str) -> bool:
    try:
        with open(f"/sys/class/net/{name}/operstate", encoding="ascii") as file:
            return file.read().strip() in ("down", "lowerlayerdown", "notpresent")
    except OSError:
        return False


def _link_notices() -> Results:
    try:
        open_socket().close()
    except OSError as error:
        what = f"neighbours on the link are not told of an EIP that is bound: {reason_of(error)}"
        yield Finding("[bound_ip] mode", what, _NET_RAW)


def echo(settings: Settings) -> Results:
    """Whether this process may send ICMP echo requests."""
    if not any(probe.kind is ProbeKind.ICMP for probe in settings.liveness.probes):
        return
    try:
        echo_socket.EchoSocket(Family.IPV4, bytes(MARK_OCTETS)).close()
    except OSError as error:
        what = f"icmp {echo_socket.NEEDS}: {reason_of(error)}"
        mend = command("sysctl", "-w", "net.ipv4.ping_group_range=0 2147483647")
        yield Finding("[liveness] probes", what, mend)


def directories(settings: Settings, running: Running) -> Results:
    """Where the program writes files.  A running instance has its state_dir already."""
    if running.pid is None:
        yield from _writable("[porter] state_dir", settings.state_dir)
    if os.path.isdir(settings.state_dir):
        yield from _journal(settings)
    if settings.manifests and settings.allocate:
        yield from _writable("[kubernetes] manifests", os.path.join(settings.manifests, ".status"))


def _journal(settings: Settings) -> Results:
    """What is wrong with the journal of the addresses that the program has bound."""
    with silent("porter_ryu.node.binding_journal"):
        journal = read_journal(settings)
    if journal.read_error:
        mend = "make it readable for the user that runs the program"
        yield Finding("[porter] state_dir", journal.read_error, mend)
    elif journal.damage:
        what = f"{journal.damage}; addresses that it has lost count as bound by somebody else"
        mend = "restore it from a backup, or unbind by hand what no Service has any more"
        yield Finding("[porter] state_dir", what, mend)


def _writable(where: str, path: str) -> Results:
    folder = os.path.abspath(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        mend = f"{command('mkdir', '-p', path)}; chown it to the user that runs the program"
        yield Finding(where, f"{path} cannot be written", mend)
        return
    try:
        state = os.statvfs(folder)
    except OSError:
        return
    # a file system without blocks has no limit of its own
    if (state.f_blocks and not state.f_bavail) or (state.f_files and not state.f_favail):
        what = f"{path}: the file system has no space left"
        yield Finding(where, what, f"df -h {shlex.quote(folder)}; free some")
