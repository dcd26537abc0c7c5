"""Settings of the kernel (sysctl) that lose packets of EIPs, or spread them badly.

Only those that matter for what this instance does: a host that only speaks BGP forwards nothing.
"""

from __future__ import annotations

import os

from msgspec import Struct

from porter_ryu.check.finding import Finding, Results, command
from porter_ryu.domain.model import Family

_ROOT = "/proc/sys"
_STRICT = 1  # rp_filter
_NOT_INTERFACES = ("all", "default", "lo")
_FORWARDING = {
    Family.IPV4: "net.ipv4.ip_forward",
    Family.IPV6: "net.ipv6.conf.all.forwarding",
}


class Duties(Struct, frozen=True):
    """What this host does with packets.

    `interface`: where EIPs are bound, or that of the default route; empty: none.  `forwards`: why
    packets to EIPs pass through this host, empty if they do not.  `routes`: a peer is on this host,
    so this kernel has its ECMP routes.  `families` of the EIPs that there are.  `needs_ipv6`: why,
    empty if it does not.
    """

    interface: str
    forwards: str
    routes: bool
    families: frozenset[Family]
    needs_ipv6: str


def kernel(duties: Duties, root: str = _ROOT) -> Results:
    """Each sysctl that is wrong for these duties; `root` is the directory of the sysctls."""
    if duties.interface:
        yield from _rp_filter(duties.interface, root)
    if duties.needs_ipv6:
        yield from _ipv6(duties, root)
    for family in sorted(duties.families | {Family.IPV4}):
        if duties.forwards:
            yield from _is_one(root, _FORWARDING[family], f"is 0, but {duties.forwards}")
        if duties.routes:
            name = f"net.ipv{family.value}.fib_multipath_hash_policy"
            text = "is 0: without the ports, all connections of a client go to one node"
            yield from _is_one(root, name, text)


def _rp_filter(interface: str, root: str) -> Results:
    """The kernel uses the larger value of `all` and of the interface."""
    name = f"net.ipv4.conf.{interface}.rp_filter"
    found = [_value(root, f"net/ipv4/conf/{scope}/rp_filter") for scope in ("all", interface)]
    if max((value for value in found if value is not None), default=0) == _STRICT:
        what = (
            "is 1 (strict): the kernel drops a packet to an EIP if the reply would leave by "
            "another interface"
        )
        yield Finding(name, what, command("sysctl", "-w", f"{name}=2"))


def _ipv6(duties: Duties, root: str) -> Results:
    try:
        every = sorted(set(os.listdir(f"{root}/net/ipv6/conf")) - {*_NOT_INTERFACES})
    except OSError:
        what = f"this kernel has no IPv6, but {duties.needs_ipv6}"
        yield Finding("IPv6", what, "start the kernel without ipv6.disable=1")
        return
    wanted = [duties.interface] if duties.interface in every else every
    off = [name for name in wanted if _value(root, f"net/ipv6/conf/{name}/disable_ipv6") == 1]
    if off and len(off) == len(wanted):
        name = f"net.ipv6.conf.{off[0] if len(wanted) == 1 else 'all'}.disable_ipv6"
        what = f"is 1: IPv6 is off, but {duties.needs_ipv6}"
        yield Finding(name, what, command("sysctl", "-w", f"{name}=0"))


def _is_one(root: str, name: str, what: str) -> Results:
    if _value(root, name.replace(".", "/")) == 0:
        yield Finding(name, what, command("sysctl", "-w", f"{name}=1"))


def _value(root: str, path: str) -> int | None:
    """The number in a file of /proc/sys; None if there is none."""
    try:
        with open(f"{root}/{path}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
