"""Which settings of the kernel `check` reports, for what a host does."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter_ryu.check.kernel import Duties, kernel
from porter_ryu.domain.model import Family

NOTHING = Duties("", "", False, frozenset(), "")
BOTH = frozenset(Family)
FORWARDING = Duties("", "it forwards", False, BOTH, "")
ROUTER = Duties("", "it forwards", True, BOTH, "")
WANTED = Duties("", "", False, frozenset(), "a peer needs it")


def sysctls(root: Path, **values: str) -> str:
    """A directory like /proc/sys; `__` stands for a dot."""
    for name, value in values.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return str(root)


def found(duties: Duties, root: str) -> list[str]:
    """The commands that mend what is wrong."""
    return [result.mend for result in kernel(duties, root) if hasattr(result, "mend")]


@pytest.mark.parametrize(
    ("every", "own", "strict"),
    [
        ("0", "0", False),
        ("1", "0", True),
        ("0", "1", True),
        ("1", "1", True),
        ("2", "1", False),
        ("1", "2", False),
        ("2", "2", False),
        ("", "1", True),
        ("x", "x", False),
    ],
)
def test_the_larger_value_of_rp_filter_counts(
    tmp_path: Path, every: str, own: str, strict: bool
) -> None:
    root = sysctls(
        tmp_path, net__ipv4__conf__all__rp_filter=every, net__ipv4__conf__eth0__rp_filter=own
    )
    duties = Duties("eth0", "", False, frozenset(), "")
    expected = ["sysctl -w net.ipv4.conf.eth0.rp_filter=2"] if strict else []
    assert found(duties, root) == expected
    assert found(NOTHING, root) == [], "nothing is bound"


def test_forwarding_matters_where_packets_pass_through(tmp_path: Path) -> None:
    root = sysctls(tmp_path, net__ipv4__ip_forward="0", net__ipv6__conf__all__forwarding="0")
    assert found(NOTHING, root) == []
    four = "sysctl -w net.ipv4.ip_forward=1"
    assert found(FORWARDING, root) == [four, "sysctl -w net.ipv6.conf.all.forwarding=1"]
    only_four = Duties("", "it forwards", False, frozenset({Family.IPV4}), "")
    assert found(only_four, root) == [four]
    sysctls(tmp_path, net__ipv4__ip_forward="1", net__ipv6__conf__all__forwarding="1")
    assert found(FORWARDING, root) == []


@pytest.mark.parametrize("policy", ["0", "1", "2", "3"])
def test_the_hash_policy_matters_to_a_router(tmp_path: Path, policy: str) -> None:
    root = sysctls(
        tmp_path,
        net__ipv4__fib_multipath_hash_policy=policy,
        net__ipv6__fib_multipath_hash_policy=policy,
    )
    assert found(FORWARDING, root) == []
    expected = [f"sysctl -w net.ipv{n}.fib_multipath_hash_policy=1" for n in (4, 6)]
    assert found(ROUTER, root) == (expected if policy == "0" else [])


def test_ipv6_is_off_on_the_interface_on_all_or_in_the_kernel(tmp_path: Path) -> None:
    assert found(WANTED, str(tmp_path)) == ["start the kernel without ipv6.disable=1"]
    root = sysctls(
        tmp_path,
        net__ipv6__conf__all__disable_ipv6="1",
        net__ipv6__conf__lo__disable_ipv6="1",
        net__ipv6__conf__eth0__disable_ipv6="0",
        net__ipv6__conf__eth1__disable_ipv6="1",
    )
    assert found(WANTED, root) == [], "it is on where it is used"
    of_eth1 = Duties("eth1", "", False, frozenset(), "Eips need it")
    assert found(of_eth1, root) == ["sysctl -w net.ipv6.conf.eth1.disable_ipv6=0"]
    assert found(NOTHING, root) == []
    sysctls(tmp_path, net__ipv6__conf__eth0__disable_ipv6="1")
    assert found(WANTED, root) == ["sysctl -w net.ipv6.conf.all.disable_ipv6=0"]


def test_a_kernel_without_these_settings_has_no_findings(tmp_path: Path) -> None:
    duties = Duties("eth0", "it forwards", True, BOTH, "")
    assert found(duties, str(tmp_path)) == []
