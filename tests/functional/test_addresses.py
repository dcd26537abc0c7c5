"""Addresses as a user sees them: forged records, invalid Eips, restarts, and a plan of a dump."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from fabric import Fabric, Host, wait_for
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, command

ON_HOST, LEFT_BOUND = "203.0.113.2", "203.0.113.9"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host that has an address of a pool, and an address that another load balancer bound."""
    with Fabric() as fabric:
        host, other = fabric.host("host"), fabric.host("other")
        device = fabric.link(host, other, ["192.168.9.1/24"], ["192.168.9.2/24"])
        host.run("ip route add default via 192.168.9.2")
        host.run(f"ip address add {ON_HOST}/28 dev lo")
        host.run(f"ip address add {LEFT_BOUND}/32 dev {device}")
        yield host


def program_on(host: Host, name: str, mode: str = "none") -> Program:
    """An instance without peers."""
    program = Program(host, {"bgp": {"router_id": "192.168.9.1"}, "bound_ip": {"mode": mode}}, name)
    program.put("node", node("n1", "203.0.113.1"))
    return program


def address(program: Program, name: str, *expected: str) -> None:
    """Waits until exactly these addresses are recorded for a Service."""
    wait_for(
        lambda: [
            entry.get("ip", entry)
            for entry in program.status("services", f"default/{name}")
            .get("loadBalancer", {})
            .get("ingress", [])
        ],
        lambda seen: seen == list(expected),
        3,
        f"{name} to have {expected}",
    )


def recorded(obj: Json, *entries: Json) -> Json:
    """An object with these entries in its status."""
    return {**obj, "status": {"loadBalancer": {"ingress": list(entries)}}}


def test_a_forged_record_is_corrected_and_never_announced(host: Host) -> None:
    program = program_on(host, "forged")
    program.put("pool", eip("pool", "203.0.113.0/28"))
    program.put(
        "web",
        service("web"),
        recorded(service("node"), {"ip": "203.0.113.1"}),
        recorded(service("host"), {"ip": ON_HOST}),
        recorded(service("outside"), {"ip": "8.8.8.8", "ipMode": "Proxy"}),
        recorded(service("odd"), {"ip": "203.0.113.12", "ipMode": "Proxy"}, {"hostname": "x.y"}),
    )
    program.start()
    address(program, "host", "203.0.113.0")
    address(program, "node", "203.0.113.3")
    address(program, "outside", "203.0.113.4")
    address(program, "odd", "203.0.113.12")
    address(program, "web", "203.0.113.5")
    wait_for(
        lambda: [r["address"] for r in program.get("/v1/services/default/outside")["routes"]],
        ["203.0.113.4"].__eq__,
        3,
        "a route to the address on record alone",
    )
    program.stop()


def test_an_eip_that_becomes_invalid_keeps_serving_over_a_restart(host: Host) -> None:
    program = program_on(host, "broken")
    program.put("pool", eip("pool", "203.0.113.4/30"))
    program.put("web", service("web"))
    program.start()
    address(program, "web", "203.0.113.4")
    program.put("pool", eip("pool", "203.0.113.4/99"))
    wait_for(
        lambda: program.status("eips", "pool").get("conditions", [{}])[0].get("message", ""),
        lambda text: "203.0.113.4/30, stays in force" in text,
        3,
        "the report",
    )
    program.stop()
    program.start()
    program.put("late", service("late"))
    address(program, "late", "203.0.113.5")
    address(program, "web", "203.0.113.4")
    program.stop()


def test_an_address_that_an_earlier_load_balancer_left_bound_stays_with_its_service(
    host: Host,
) -> None:
    program = program_on(host, "moved", mode="address")
    program.put("pool", eip("pool", "203.0.113.8/29"))
    program.put("web", recorded(service("web"), {"ip": LEFT_BOUND}), service("other"))
    program.start()
    address(program, "web", LEFT_BOUND)
    address(program, "other", "203.0.113.8")
    program.stop()


def test_plan_and_explain_of_a_dump_of_a_cluster(host: Host) -> None:
    program = program_on(host, "dump")
    (program.manifests / "node.yaml").unlink()
    dump = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            recorded(service("kept"), {"ip": "203.0.113.6", "ipMode": "VIP"}),
            service("new"),
            service("asking", annotations={"eip.porter.kubesphere.io/v1alpha1": "203.0.113.6"}),
            service("other", ours=False),
            slice_of("kept", "n1"),
            slice_of("new", "n2"),
            node("n1", "192.168.9.11"),
            node("n2", "192.168.9.12", ready=False),
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}},
            eip("pool", "203.0.113.4/30"),
        ],
    }
    (program.manifests / "all.yaml").write_text(yaml.safe_dump(dump))
    ours = [command("porter-ryu"), "plan", "--config-file", str(program.config), "-o", "json"]
    plan = {entry["name"]: entry for entry in json.loads(host.run(ours))["services"]}
    assert set(plan) == {"kept", "new", "asking"}
    assert plan["kept"]["addresses"] == ["203.0.113.6"]
    assert plan["new"]["addresses"] == ["203.0.113.4"]
    assert plan["asking"]["state"] == "AddressInUse"

    def first_line(name: str) -> str:
        argv = ["env", "COLUMNS=300", command("porter-ryu"), "explain", f"default/{name}"]
        return host.run([*argv, "--config-file", str(program.config)], check=False).splitlines()[0]

    assert (
        first_line("asking") == "default/asking: AddressInUse: 203.0.113.6 is held by default/kept"
    )
    assert "n2: it is not Ready" in first_line("new")
    assert "it has no annotation lb.kubesphere.io/v1alpha1: porter" in first_line("other")
    assert "203.0.113.6" in first_line("kept")
