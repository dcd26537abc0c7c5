"""[openflow]: what stands beside it in a switch, and several switches."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fabric import Fabric, Host, wait_for
from fabric.connections import NO_ANSWER, Target, answers, by_node, moved
from fabric.openflow import (
    NODES,
    OpenFlowNetwork,
    install,
    sections,
    web,
)
from fabric.program import Program

EIP, EIP6, LINK = "203.0.113.8", "2001:db8::8", "192.168.7.200"
UNUSED = "192.168.7.205"  # in the pool, and no Service has it
FLOWS = range(20_000, 20_800)
FEW = range(30_000, 30_080)
WITHIN_SECONDS = 30.0
ALL = tuple(NODES)


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    """Two switches, each with a client and four nodes of its own."""
    with Fabric() as fabric:
        yield fabric


@pytest.fixture(scope="module")
def one(fabric: Fabric) -> OpenFlowNetwork:
    """The first."""
    return OpenFlowNetwork(fabric)


@pytest.fixture(scope="module")
def two(fabric: Fabric, one: OpenFlowNetwork) -> OpenFlowNetwork:
    """The second."""
    return OpenFlowNetwork(fabric, datapath_id=2, name="b")


@contextmanager
def running(
    host: Host,
    ryu: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    **openflow: object,
) -> Iterator[Program]:
    """The controller, with an EIP of each kind; `ryu` are options of Ryu's own."""
    groups = sections(openflow=openflow, DEFAULT={"ofp_listen_host": "0.0.0.0", **(ryu or {})})
    program = Program(host, groups, name=f"porter{len(list(host.folder.glob('*.conf')))}")
    install(program)
    for name, address in {"web": EIP, "web6": EIP6, "link": LINK}.items():
        web(program, name, address, *ALL)
    program.start(**(environment or {}))  # type: ignore[arg-type]
    try:
        yield program
    finally:
        print(program.tail())
        program.stop()


def test_two_switches_are_filled_each_for_itself(
    one: OpenFlowNetwork, two: OpenFlowNetwork
) -> None:
    """What happens at one changes nothing at the other; both send a flow to the same node."""
    one.switch.clear()
    two.switch.clear()
    with running(one.porter) as program:
        for network in (one, two):
            for address in (EIP, EIP6, LINK):
                network.served(address, *ALL)
        first = answers(one.client, Target(EIP), FLOWS)
        assert moved(first, answers(two.client, Target(EIP), FLOWS)) == {}
        n2 = two.nodes["n2"]
        with one.switch.flow_changes() as changes:
            n2.run(f"ip link set {two.device(n2)} down")
            two.served(EIP, "n1", "n3", "n4")
            two.switch.restart()
            two.served(EIP, "n1", "n3", "n4")
        assert changes == []
        assert moved(first, answers(one.client, Target(EIP), FLOWS)) == {}
        n2.run(f"ip link set {two.device(n2)} up")
        n2.run(f"ip -6 address replace fd00:7::12/64 dev {two.device(n2)} nodad")
        two.served(EIP, *ALL)
        web(program, "web", EIP, "n3", "n4")
        for network in (one, two):
            network.served(EIP, "n3", "n4")


def test_a_switch_that_is_not_named_is_left_alone(
    one: OpenFlowNetwork, two: OpenFlowNetwork
) -> None:
    one.switch.clear()
    two.switch.clear()
    with running(one.porter, datapaths=two.switch.datapath_id):
        two.served(EIP, *ALL)
        assert one.switch.flows() == []
        assert one.switch.groups() == {}


def test_base_none_needs_flows_of_somebody_else(one: OpenFlowNetwork) -> None:
    """Ours are beside them, and no ordinary switching is added."""
    one.switch.clear()
    with running(one.porter, base="none") as program:
        wait_for(
            lambda: [f.text for f in one.switch.flows() if EIP in f.text],
            bool,
            WITHIN_SECONDS,
            "the flows of an EIP",
        )
        one.served(EIP, NO_ANSWER)
        answers_of_nodes = "cookie=0xf00,table=0,priority=2,actions=NORMAL"
        one.switch.add_flow(answers_of_nodes)
        for address in (EIP, EIP6, LINK):
            one.served(address, *ALL)
        assert set(by_node(answers(one.client, Target(EIP), FLOWS))) == set(ALL)
        normal = [flow.cookie for flow in one.switch.flows() if "actions=NORMAL" in flow.text]
        assert normal == [0xF00]
        web(program, "web", EIP, "n1")
        one.served(EIP, "n1")


def test_what_is_no_eip_goes_as_before(one: OpenFlowNetwork) -> None:
    """Between hosts, and to an address of a pool that no Service has but a host."""
    one.switch.clear()
    with running(one.porter) as program:
        one.served(EIP, *ALL)
        n2 = one.nodes["n2"]
        n2.run(f"ip address add {UNUSED}/24 dev {one.device(n2)}")
        one.client.run(f"ip neigh flush dev {one.device(one.client)}")
        for address, name in ((NODES["n3"], "n3"), ("fd00:7::14", "n4"), (UNUSED, "n2")):
            one.served(address, name)
        # the virtual MAC leads nowhere for what is no EIP
        web(program, "web", EIP)
        one.served(EIP, NO_ANSWER)
        one.served(LINK, *ALL)
        n2.run(f"ip address del {UNUSED}/24 dev {one.device(n2)}")


def test_a_switch_that_knows_openflow_13_alone(one: OpenFlowNetwork) -> None:
    """It has no choice of what is hashed; TCP flows reach every node and stay."""
    one.switch.clear()
    one.switch.configure("set", "bridge", "ovs0", "protocols=OpenFlow10,OpenFlow13")
    try:
        with running(one.porter) as program:
            for address in (EIP, EIP6, LINK):
                one.served(address, *ALL)
            first = answers(one.client, Target(EIP), FLOWS)
            assert moved(first, answers(one.client, Target(EIP), FLOWS)) == {}
            web(program, "web", EIP, "n1", "n2", "n3")
            one.served(EIP, "n1", "n2", "n3")
            found = answers(one.client, Target(EIP), FLOWS)
            assert moved(first, found, besides="n4") == {}
    finally:
        protocols = "protocols=OpenFlow13,OpenFlow14,OpenFlow15"
        one.switch.configure("set", "bridge", "ovs0", protocols)


def test_with_openflow_disabled_no_port_is_open_and_nothing_of_it_is_loaded(
    one: OpenFlowNetwork,
) -> None:
    """But its options."""
    imports = {"PYTHONPROFILEIMPORTTIME": "1"}
    with running(one.porter, environment=imports, enabled="false") as program:
        assert ":6653" not in program.host.run("ss -Hltn")
        log = program.host.log(program.log)
    assert "porter_ryu.app\n" in log
    found = set(re.findall(r"\| +(porter_ryu\.openflow\.\w+)$", log, re.MULTILINE))
    assert found == {"porter_ryu.openflow.config"}


def certificate(folder: Path, name: str, by: Path | None) -> tuple[Path, Path]:
    """A new key and a certificate of it, by an authority or (None) by itself."""
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    argv += ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(made)]
    if by is not None:
        argv += ["-CA", str(by), "-CAkey", str(by.with_suffix(".key"))]
    subprocess.run(argv, check=True, capture_output=True)
    return key, made


def test_tls_by_the_options_of_ryu(one: OpenFlowNetwork) -> None:
    """A switch with a certificate of the authority is filled; one with another, or without TLS, is
    not."""
    folder = one.fabric.folder
    _, authority = certificate(folder, "authority", None)
    _, stranger = certificate(folder, "stranger", None)
    key, ours = certificate(folder, "controller", authority)
    ryu = {"ctl_privkey": key, "ctl_cert": ours, "ca_certs": authority, "ofp_ssl_listen_port": 6653}
    one.switch.clear()
    one.switch.use_certificate(*certificate(folder, "impostor", stranger), authority)
    try:
        with running(one.porter, ryu) as program:
            program.logs("failed at TLS", WITHIN_SECONDS)
            one.switch.connect(one.controller, tls=True)
            assert one.switch.flows() == []
            one.switch.use_certificate(*certificate(folder, "switch", authority), authority)
            one.served(EIP, *ALL)
    finally:
        one.switch.connect(one.controller)
