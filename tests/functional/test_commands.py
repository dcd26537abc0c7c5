"""What a user types, and what comes back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fabric import Fabric, Host, wait_for
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, command


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host with one address."""
    with Fabric() as fabric:
        host, other = fabric.host("host"), fabric.host("other")
        fabric.link(host, other, ["192.168.9.1/24"], ["192.168.9.2/24"])
        host.run("ip route add default via 192.168.9.2")
        yield host


def program_on(host: Host, name: str, **bgp: object) -> Program:
    """One that has nobody to talk to."""
    return Program(host, {"bgp": {**bgp}, "bound_ip": {"mode": "none"}}, name=name)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[porter]\nalocate = true\n", "[porter] alocate: there is no such key"),
        ("[bgp]\nlocal_as = many\n", "[bgp] local_as: "),
        ("[bgp]\npeers = leaf9\n", "[bgp] peers: leaf9 is named but there is no group"),
        ("[bgp]\nnext_hops = self\n", "[bgp] next_hops: self needs [porter] node_name"),
        ("[bgp]\nhold_time = 2\n", "[bgp] hold_time: "),
        (
            "[bgp]\npeers = a\n[peer:a]\naddress = 192.0.2.1\nremote_as = 1\n"
            "hold_time = 2\npassword_file = /none\n",
            "[peer:a] password_file: cannot read /none",
        ),
        ("[bound_ip]\nmode = magic\n", "[bound_ip] mode: "),
        ("[kubernetes]\nmanifests = /nowhere\n", "[kubernetes] manifests: "),
    ],
)
@pytest.mark.parametrize("how", ["ryu-manager porter_ryu.app", "porter-ryu check"])
def test_bad_configuration_is_one_line_and_status_2(host, text, line, how):
    path = host.folder / "bad.conf"
    path.write_text(text)
    program, *words = how.split()
    shell = f"{command(program)} {' '.join(words)} --config-file {path}; echo status=$?"
    printed = host.run(["sh", "-c", f"{shell} 2>&1"])
    status = printed.strip().splitlines()[-1]
    assert status == "status=2", printed
    assert f"{path}: {line}" in host.run(["sh", "-c", f"({shell}) 2>&1"])


def test_plan_and_explain_without_an_instance(host):
    program = program_on(host, "plan")
    program.put("pool", eip("pool", "203.0.113.0/30"))
    program.put("node", node("n1", "192.168.9.11"), node("n2", "192.168.9.12", ready=False))
    program.put("web", service("web"), slice_of("web", "n1", "n2"))
    program.put("no", service("no", annotations={"eip.porter.kubesphere.io/pool": "absent"}))
    text = host.run([command("porter-ryu"), "plan", "--config-file", str(program.config)])
    assert "default/web: Announced (203.0.113.0 via 192.168.9.11)" in text
    assert "default/no: NoPool: there is no Eip absent" in text
    argv = [command("porter-ryu"), "plan", "--config-file", str(program.config), "-o", "json"]
    plan = json.loads(host.run(argv))
    assert [entry["state"] for entry in plan["services"]] == ["NoPool", "Announced"]
    argv = [command("porter-ryu"), "explain", "default/web", "--config-file", str(program.config)]
    text = host.run(argv, check=False)
    assert "node n2: no: it is not Ready" in text
    assert not (program.manifests / ".status").exists(), "plan changes nothing"


def pretended(program: Program, name: str, *objects: dict) -> Path:
    """The file of an instance over the same cluster with something more in it."""
    other = program.host.folder / f"{name}.manifests"
    shutil.copytree(program.manifests, other)
    (other / f"{name}.yaml").write_text(yaml.safe_dump_all(objects))
    config = program.host.folder / f"{name}.conf"
    config.write_text(program.config.read_text().replace(str(program.manifests), str(other)))
    return config


def test_check_finds_what_stands_in_the_way(host):
    def check(**sections: dict[str, object]) -> tuple[int, str]:
        program = Program(host, sections, name=f"check{len(list(host.folder.iterdir()))}")
        argv = [command("porter-ryu"), "check", "--config-file", str(program.config)]
        done = subprocess.run(host.inside(argv), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    leaf = {"address": "192.168.9.2", "remote_as": 65001}
    bgp = {"local_as": 65000, "router_id": "192.168.9.1", "peers": "leaf"}
    quiet = {"bound_ip": {"mode": "none"}, "bgp": bgp, "peer:leaf": leaf}
    assert check(**quiet) == (0, "the configuration and this host are fine\n")
    status, text = check(**{**quiet, "peer:leaf": {**leaf, "local_address": "10.9.9.9"}})
    assert (status, text) == (1, "[peer:leaf] local_address: 10.9.9.9 is not of this host\n")
    status, text = check(**{**quiet, "bound_ip": {"interface": "eth77"}})
    assert (status, text) == (1, "[bound_ip] interface: there is no interface eth77\n")
    status, text = check(**{**quiet, "bgp": {**bgp, "listen_addresses": "192.168.9.1, 10.9.9.9"}})
    assert (status, text) == (1, "[bgp] listen_addresses: 10.9.9.9 is not of this host\n")
    listener = "import socket,time; s=socket.create_server(('192.168.9.1',179)); time.sleep(60)"
    host.spawn([sys.executable, "-c", listener], "listener.log")
    wait_for(lambda: check(**quiet)[1], lambda t: "another process listens" in t, 10, "the port")
    status, text = check(**{**quiet, "porter": {"state_dir": "/etc/hostname/state"}})
    assert status == 1
    assert "state_dir: /etc/hostname/state cannot be written" in text


def test_http_status_explain_and_stop(host):
    program = program_on(host, "http", router_id="192.168.9.1")
    program.put("pool", eip("pool", "203.0.113.0/30"))
    program.put("web", service("web"))
    program.start()
    wait_for(
        lambda: program.get("/v1/services")[0]["recorded"],
        lambda recorded: recorded == ["203.0.113.0"],
        3,
        "the record",
    )
    assert program.get("/v1/services/default/web")["state"] == "NoReadyEndpoints"
    assert program.get("/v1/eips")[0]["usage"] == 1
    assert program.get("/v1/peers") == []
    metrics = host.run("curl -s http://127.0.0.1:8080/metrics")
    assert 'porter_services{state="NoReadyEndpoints"} 1.0' in metrics
    assert 'porter_eip_pool_used{eip="pool"} 1.0' in metrics
    url = ["--url", "http://127.0.0.1:8080"]
    text = host.run([command("porter-ryu"), "status", *url])
    assert "eip pool: Valid, 1 of 4 used" in text
    text = host.run([command("porter-ryu"), "explain", "default/web", *url], check=False)
    assert text.startswith("default/web: NoReadyEndpoints: no endpoint is ready")
    diff = [command("porter-ryu"), "plan", "--diff", *url, "--config-file", str(program.config)]
    assert host.run(diff).strip() == "nothing would change"
    argv = [*diff[:-1], str(pretended(program, "two", service("two")))]
    assert "default/two: not ours -> NoReadyEndpoints" in host.run(argv)
    assert "default/web" not in host.run(argv)
    text = host.run([command("porter-ryu"), "explain", "default/gone", *url], check=False)
    assert "there is no such Service" in text
    assert "Warning" not in host.log(program.log), "no library's warning on the screen"
    assert "RLock" not in host.log(program.log)
    assert program.stop() == 0


def test_run_is_the_same_program(host):
    program = program_on(host, "run", router_id="192.168.9.1")
    argv = [command("porter-ryu"), "run", "--config-file", str(program.config)]
    program.process = host.spawn(argv, program.log)
    wait_for(program.is_ready, bool, 15, "it to be ready")
    assert program.stop() == 0


def test_a_reload_says_of_every_key_that_it_needs_a_restart(host):
    program = program_on(host, "reload", router_id="192.168.9.1").start()
    more = {
        "kubernetes": "panic_percent = 50",
        "bound_ip": "table = 77",
        "porter": "annotation = a",
    }
    with open(program.config, "a", encoding="utf-8") as file:
        file.writelines(f"[{group}]\n{line}\n" for group, line in more.items())
    program.process.send_signal(1)
    for key in ("[kubernetes] panic_percent", "[bound_ip] table", "[porter] annotation"):
        wait_for(
            lambda: host.log(program.log),
            lambda log, key=key: f"{key} was changed: that needs a restart" in log,
            5,
            f"a word about {key}",
        )
    assert host.log(program.log).count("needs a restart") == 3
    assert program.stop() == 0
