"""The HTTP interface of a running instance: who can stop it, and on which addresses it answers."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from fabric import Fabric, Host, wait_for
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, command

OURS, OTHER = "192.168.9.1", "192.168.9.2"
EIP = "203.0.113.0"
URL = ["--url", "http://127.0.0.1:8080"]


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    """Two hosts on one link."""
    with Fabric() as fabric:
        host, other = fabric.host("host"), fabric.host("other")
        fabric.link(host, other, [f"{OURS}/24"], [f"{OTHER}/24"])
        host.run(f"ip route add default via {OTHER}")
        other.run(f"ip route add {EIP}/30 via {OURS}")
        yield fabric


@pytest.fixture
def host(fabric: Fabric) -> Host:
    """The host on which the program runs."""
    return fabric.hosts["host"]


@pytest.fixture
def other(fabric: Fabric) -> Host:
    """The other host."""
    return fabric.hosts["other"]


def program_on(host: Host, name: str, **sections: Mapping[str, object]) -> Program:
    """A program with a Service that is announced as soon as there is a peer."""
    program = Program(
        host,
        {"bgp": {"router_id": OURS}, "bound_ip": {"mode": "none"}, **sections},
        name=name,
    )
    program.put("pool", eip("pool", f"{EIP}/30"))
    program.put("web", service("web"), slice_of("web", "n1"), node("n1", "192.168.9.11"))
    return program


def status(
    host: Host,
    words: str,
    path: str = "/v1/stop",
    address: str = "127.0.0.1",
    seconds: float = 30,
) -> str:
    """The status code that curl prints; 000 without a response."""
    url = f"http://{address}:8080{path}"
    argv = [
        "curl",
        "-gs",
        "-m",
        str(seconds),
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        url,
        *words.split(),
    ]
    return host.run(argv, check=False)


def test_only_a_user_who_can_read_the_token_can_stop_it(host: Host, other: Host) -> None:
    program = program_on(host, "stop", DEFAULT={"wsapi_host": "0.0.0.0"}).start()
    token = host.run(["cat", program.token_file]).strip()
    assert host.run(["stat", "-c", "%a", program.token_file]).strip() == "600"
    words = ["-X", "POST", "-H", f"Authorization: Bearer {token}"]

    def ask(*more: str, address: str = "127.0.0.1", of: Host = host) -> str:
        url = f"http://{address}:8080/v1/stop"
        argv = ["curl", "-gs", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}", url]
        return of.run([*argv, *words, *more], check=False)

    assert ask("-H", "Origin: http://127.0.0.1:8080") == "403"
    assert ask("-H", "Origin: null") == "403"
    assert ask("-H", "Host: rebound.example:8080") == "403"
    assert ask("-H", "Host:", "-0") == "403"
    assert ask(address=OURS) == "403", "this host, but not over loopback"
    assert ask(address=OURS, of=other) == "403"
    assert ask("-H", "Host: localhost:8080", address=OURS, of=other) == "403"
    assert status(host, "-XPOST") == "401"
    assert status(host, "-XPOST -HAuthorization:Basic") == "401"
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    argv = [command("porter-ryu"), "stop", "--withdraw", *URL, "--token-file", program.token_file]
    done = subprocess.run(
        host.inside([*nobody, *argv]), capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    wait_for(program.is_ready, bool, 5, "it to be ready: none of these requests stopped it")
    assert "stopping" in program.end_for_good()
    wait_for(program.process.poll, lambda s: s is not None, 10, "its end")
    assert program.process.returncode == 0


def test_every_start_makes_a_new_token(host: Host) -> None:
    program = program_on(host, "token").start()
    first = host.run(["cat", program.token_file])
    assert program.stop() == 0
    program.start()
    assert host.run(["cat", program.token_file]) != first
    assert program.stop() == 0


@pytest.mark.parametrize("where", ["::", "0.0.0.0"])
def test_nothing_answers_on_an_eip(host: Host, other: Host, where: str) -> None:
    """Nor if an IPv4 client connects to the IPv6 wildcard."""
    bound = {"DEFAULT": {"wsapi_host": where}, "bound_ip": {"mode": "address"}}
    program = program_on(host, f"eip{len(where)}", **bound).start()
    wait_for(
        lambda: host.run("ip -br address show"), lambda text: f"{EIP}/32" in text, 5, "the EIP"
    )
    for of in (host, other):
        assert status(of, "", "/healthz", EIP) == "000"
        assert status(of, "", "/v1/services", EIP) == "000"
        assert status(of, "", "/healthz", OURS) == "200"
    if where == "::":
        assert status(host, "", "/healthz", "[::1]") == "200"
    program.end_for_good()
    wait_for(program.process.poll, lambda s: s is not None, 10, "its end")


def test_a_port_in_use_is_one_line_and_status_2(host: Host) -> None:
    first = program_on(host, "first").start()
    second = program_on(host, "second").start(ready=False)
    wait_for(second.process.poll, lambda s: s is not None, 15, "the end of the second")
    assert second.process.returncode == 2
    [line] = [text for text in host.log(second.log).splitlines() if "8080" in text]
    assert line.endswith("cannot listen on 127.0.0.1 port 8080: Address already in use")
    assert "Traceback" not in host.log(second.log)
    wait_for(first.is_ready, bool, 5, "the first to be ready, as before")
    assert first.stop() == 0


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("203.0.113.99", "cannot listen on 203.0.113.99 port 8080"),
        ("no.such.host.invalid", "cannot listen on no.such.host.invalid port 8080"),
        ("::zz", "'::zz' is neither an IP address nor the name of a host"),
    ],
)
def test_an_unusable_address_is_one_line_and_status_2(host: Host, where: str, why: str) -> None:
    name = f"bad{len(where)}"
    program = program_on(host, name, DEFAULT={"wsapi_host": where})
    program.start(ready=False, RES_OPTIONS="timeout:1 attempts:1")  # no server answers there
    wait_for(program.process.poll, lambda s: s is not None, 15, "its end")
    assert program.process.returncode == 2
    assert why in host.log(program.log)
    assert "Traceback" not in host.log(program.log)


def test_a_route_that_no_peer_was_sent_is_not_reported_as_announced(host: Host) -> None:
    peer = {"address": OTHER, "remote_as": 65001}
    bgp = {"router_id": OURS, "peers": "leaf"}
    program = program_on(host, "alone", bgp=bgp, **{"peer:leaf": peer}).start()
    wait_for(
        lambda: program.get("/v1/services")[0]["recorded"], lambda r: r == [EIP], 5, "the record"
    )
    [line] = program.get("/v1/services")
    assert (line["state"], line["announced"]) == ("Allocated", False)
    assert line["message"] == "no peer that is to be sent it has had a session yet: leaf"
    entry = program.get("/v1/services/default/web")
    assert (entry["state"], entry["announced"]) == ("Allocated", False)
    argv = [command("porter-ryu"), "explain", "default/web", *URL, "-o", "json"]
    done = subprocess.run(host.inside(argv), capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "Allocated")
    assert program.metric('porter_bgp_session_up{peer="leaf"}') == 0
    program.config.write_text(program.config.read_text().replace("peers = leaf", "peers ="))
    wait_for(lambda: program.get("/v1/peers"), lambda peers: peers == [], 5, "the peer to go")
    assert "porter_bgp_session_up{" not in program.metrics()
    assert program.stop() == 0


def test_it_answers_again_after_a_lack_of_file_descriptors(host: Host) -> None:
    program = program_on(host, "files").start()
    pid = program.process.pid
    limit = host.run(f"prlimit --pid {pid} --nofile --noheadings -o SOFT,HARD").split()
    host.run(f"prlimit --pid {pid} --nofile=3:{limit[1]}")  # it has more than three already
    assert status(host, "", "/v1/peers", seconds=5) == "000"
    host.run(f"prlimit --pid {pid} --nofile={limit[0]}:{limit[1]}")
    wait_for(lambda: status(host, "", "/v1/peers"), lambda s: s == "200", 5, "an answer")
    assert "accepting an HTTP connection failed: [Errno 24]" in host.log(program.log)
    assert program.stop() == 0


def test_a_stopping_instance_reports_why_it_is_not_ready(host: Host) -> None:
    program = program_on(host, "ending").start()
    program.end_for_good("--stay")
    wait_for(lambda: status(host, "", "/readyz"), lambda s: s == "503", 5, "it to be not ready")
    wait_for(
        lambda: host.run("curl -s 127.0.0.1:8080/readyz"),
        lambda text: bool(
            re.fullmatch(
                r"stopped by the operator \(since 20[-0-9]+T[0-9:.]+Z\): "
                r"all routes are withdrawn, and all addresses unbound\n",
                text,
            )
        ),
        5,
        "everything to be withdrawn",
    )
    text = host.run("curl -s 127.0.0.1:8080/readyz")
    assert host.run("curl -s 127.0.0.1:8080/healthz") == text
    assert status(host, "", "/healthz") == "200"
    told = program.get("/v1/status")
    assert told["summary"] == text.strip()
    assert [problem["reason"] for problem in told["problems"]] == ["Stopped"]
    assert "\nporter_stopped 1.0\n" in host.run("curl -s 127.0.0.1:8080/metrics")
    assert program.stop() == 0
