"""What a user types, and what comes back."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fabric import Fabric, Host, wait_for
from fabric.objects import Json, eip, node, service, slice_of
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
    """A program without peers."""
    return Program(host, {"bgp": {**bgp}, "bound_ip": {"mode": "none"}}, name=name)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[porter]\nalocate = true\n", "[porter] alocate: there is no such key"),
        ("[bgp]\nlocal_as = many\n", "[bgp] local_as: "),
        ("[bgp]\npeers = leaf9\n", "[bgp] peers: leaf9 is listed, but there is no group"),
        ("[bgp]\nnext_hops = self\n", "[bgp] next_hops: self needs [porter] node_name"),
        ("[bgp]\nhold_time = 2\n", "[bgp] hold_time: "),
        (
            "[bgp]\npeers = a\n[peer:a]\naddress = 192.0.2.1\nremote_as = 1\n"
            "hold_time = 2\npassword_file = /none\n",
            "[peer:a] password_file: cannot read /none",
        ),
        ("[bound_ip]\nmode = magic\n", "[bound_ip] mode: "),
        ("[kubernetes]\nmanifests = /nowhere\n", "[kubernetes] manifests: "),
        ("[porter]\nannotation = a$b\n", "[porter] annotation: 'a$b': $ refers to an option"),
        ("[bgp]\nlocal_as = 1\nlocal_as = 2\n", "[bgp] local_as: is set twice, in lines 2 and 3"),
        ("[prter]\n", "[prter]: there is no such group; did you mean [porter]?"),
        ("[DEFAULT]\nwsapi_prot = 80\n", "[DEFAULT] wsapi_prot: there is no such key"),
        ("[porter]\nallocate = true # why\n", "[porter] allocate: 'true # why': a comment must"),
        (
            "[bgp]\npeers = a\n[peer:a]\naddress = fe80::1%eth9\nremote_as = 1\n",
            "[peer:a] address: fe80::1%eth9 is link-local: unnumbered peering is not supported",
        ),
        (
            "[porter]\nstate_dir = /etc/hostname/state\n[bgp]\nrouter_id = 1.1.1.1\nlocal_as = x\n",
            "[bgp] local_as: 'x' is not a whole number",
        ),
    ],
)
@pytest.mark.parametrize(
    "how", ["ryu-manager porter_ryu.app", "porter-ryu run", "porter-ryu check", "porter-ryu plan"]
)
def test_bad_configuration_is_one_line_and_status_2(
    host: Host, text: str, line: str, how: str
) -> None:
    path = host.folder / "bad.conf"
    path.write_text(text)
    status, printed = ended(host, how, path)
    assert status == 2, printed
    assert any(
        shown.startswith(f"{path}: line ") and line in shown for shown in printed.splitlines()
    ), printed
    assert "Traceback" not in printed


def ended(host: Host, how: str, path: Path) -> tuple[int, str]:
    """The exit status and the output of a command."""
    program, *words = how.split()
    argv = host.inside([command(program), *words, "--config-file", str(path)])
    out = subprocess.STDOUT
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=out, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("how", ["porter-ryu run", "porter-ryu check"])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[bgp]\nlocal_as 5\n", "line 2: 'local_as 5' is neither [group] nor key = value"),
        (b"\x7fELF\0", "line 1: contains a NUL character, so it is not text"),
        (b"[porter]\nnode_name = M\xfc\n", "line 2: is not UTF-8 text"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_ryu_cannot_parse_is_one_line_too(
    host: Host, how: str, content: bytes | None, line: str
) -> None:
    path = host.folder / "unparsable.conf"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    assert ended(host, how, path) == (2, f"{path}: {line}\n")


def test_a_second_instance_with_the_same_state_dir_exits_before_it_does_anything(
    host: Host,
) -> None:
    first = program_on(host, "first", router_id="192.168.9.1").start()
    second = program_on(host, "second", router_id="192.168.9.1")
    text = second.config.read_text().replace("second.state", "first.state")
    second.config.write_text(f"[DEFAULT]\nwsapi_port = 8081\n{text}")
    for how in ("ryu-manager porter_ryu.app", "porter-ryu run"):
        status, printed = ended(host, how, second.config)
        state_dir = host.folder / "first.state"
        assert status == 2, printed
        in_use = f"{second.config}: [porter] state_dir: {state_dir} is in use by process "
        assert in_use in printed
        assert "Traceback" not in printed
        assert "wsgi" not in printed.replace("creating context wsgi", "")
    assert ended(host, "porter-ryu plan", second.config)[0] == 0, "it reads, and takes no lock"
    wait_for(first.is_ready, bool, 5, "the first to be ready, as before")
    first.kill()
    second.process = host.spawn(
        [command("ryu-manager"), "porter_ryu.app", "--config-file", str(second.config)], second.log
    )
    ready = "curl -s -o /dev/null -w %{http_code} http://127.0.0.1:8081/readyz"
    wait_for(lambda: host.run(ready, check=False), lambda code: code == "200", 60, "the second")
    assert second.stop() == 0


def test_a_state_dir_that_cannot_be_written_is_one_line(host: Host) -> None:
    program = program_on(host, "unwritable", router_id="192.168.9.1")
    text = program.config.read_text().replace(f"{host.folder}/unwritable.state", "/proc/state")
    program.config.write_text(text)
    status, printed = ended(host, "porter-ryu run", program.config)
    assert status == 2, printed
    assert f"{program.config}: [porter] state_dir: /proc/state cannot be written: " in printed
    assert "Traceback" not in printed


def test_plan_and_explain_without_an_instance(host: Host) -> None:
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
    argv = [command("porter-ryu"), "plan", "--drain", "n1", "--config-file", str(program.config)]
    text = host.run(argv, check=False)
    assert text.startswith("With n1 drained, 1 Service has no other node and would stay on n1.\n")
    argv = [command("porter-ryu"), "explain", "default/web", "--config-file", str(program.config)]
    done = subprocess.run(host.inside(argv), capture_output=True, text=True, check=False)
    text = done.stdout
    assert done.returncode == 1, "nothing is announced yet"
    assert text.startswith("default/web: would be announced: 203.0.113.0\n")
    assert "node n2: no: it is not Ready" in text
    assert not (program.manifests / ".status").exists(), "plan changes nothing"


def test_plan_with_manifests_that_are_not_applied(host: Host) -> None:
    program = program_on(host, "staged")
    program.put("pool", eip("pool", "203.0.113.0"))
    program.put("node", node("n1", "192.168.9.11"))
    program.put("web", service("web"), slice_of("web", "n1"))
    program.put("zz", service("zz"), slice_of("zz", "n1"))
    more = host.folder / "more.yaml"
    more.write_text(
        yaml.safe_dump_all(
            [
                eip("more", "203.0.113.4/30"),
                eip("twice", "203.0.113.0/30"),
                {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}},
            ]
        )
    )
    argv = [command("porter-ryu"), "plan", "--config-file", str(program.config), "--with"]

    def planned(path: str, *words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            host.inside([*argv, path, *words]), capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    status, text, _ = planned(str(more))
    assert status == 1, "something would change"
    assert text.splitlines() == [
        "eip more: Valid, 1 of 4 used (203.0.113.4/30)",
        "eip twice: Overlaps, 0 of 4 used (203.0.113.0/30): overlaps with Eip pool, which",
        "    comes first (by age, then by name)",
        "1 Service would change",
        "  default/zz (203.0.113.4) in Eip more: PoolExhausted -> Announced via n1",
    ]
    more.write_text(yaml.safe_dump(eip("pool", "203.0.113.0")))
    assert planned(str(more))[0] == 0, "as it is"
    more.write_text(yaml.safe_dump(eip("own", "192.168.9.0/28")))
    told = (
        "Eip own contains 192.168.9.1 of this host, 192.168.9.2 of the default gateway of this "
        "host, 192.168.9.11 of node n1: no Service gets them"
    )
    assert json.loads(planned(str(more), "-o", "json")[1])["warnings"] == [told]
    assert not (program.manifests / ".status").exists(), "plan changes nothing"
    more.write_text("spec: {address: [}")
    for path, why in {
        str(more): "line 1: ",
        str(host.folder): "is a directory",
        "/absent.yaml": "there is no such file",
        "/dev/zero": "is not a regular file",
        str(program.config): "line 1: ",
    }.items():
        status, text, error = planned(path)
        assert (status, text, error.count("\n")) == (2, "", 1)
        assert error.startswith(f"{path}: {why}")


def pretended(program: Program, name: str, *objects: Json) -> Path:
    """The configuration of an instance for the same cluster with more objects."""
    other = program.host.folder / f"{name}.manifests"
    shutil.copytree(program.manifests, other)
    (other / f"{name}.yaml").write_text(yaml.safe_dump_all(objects))
    config = program.host.folder / f"{name}.conf"
    config.write_text(program.config.read_text().replace(str(program.manifests), str(other)))
    return config


def test_http_status_explain_and_stop(host: Host) -> None:
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
    assert program.metric('porter_services{state="NoReadyEndpoints"}') == 1
    assert program.metric('porter_eip_pool_used{eip="pool"}') == 1
    url = ["--url", "http://127.0.0.1:8080"]
    text = host.run([command("porter-ryu"), "status", *url], check=False)
    assert text.startswith("1 of 1 Services cannot be reached: no ready endpoint\n")
    text = host.run([command("porter-ryu"), "explain", "default/web", *url], check=False)
    assert text.startswith("default/web: NoReadyEndpoints: no endpoint is ready")
    diff = [command("porter-ryu"), "plan", "--diff", *url, "--config-file", str(program.config)]
    assert host.run(diff).strip() == "nothing would change"
    argv = [*diff[:-1], str(pretended(program, "two", service("two")))]
    text = host.run(argv, check=False)
    assert "in Eip pool: not ours -> NoReadyEndpoints" in text
    assert "default/web" not in text
    shell = f"{shlex.join(argv)} > /dev/null; echo exit $?"
    assert host.run(["sh", "-c", shell]) == "exit 1\n"
    text = host.run([command("porter-ryu"), "explain", "default/gone", *url], check=False)
    assert "there is no such Service" in text
    assert "Warning" not in host.log(program.log), "no library's warning on the screen"
    assert "RLock" not in host.log(program.log)
    assert program.stop() == 0


def test_run_is_the_same_program(host: Host) -> None:
    program = program_on(host, "run", router_id="192.168.9.1")
    argv = [command("porter-ryu"), "run", "--config-file", str(program.config)]
    program.process = host.spawn(argv, program.log)
    wait_for(program.is_ready, bool, 60, "it to be ready")
    assert program.stop() == 0


def test_a_reload_names_every_key_that_needs_a_restart(host: Host) -> None:
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
        program.logs(f"{key}: runs with ")
    assert host.log(program.log).count("needs a restart") == 3
    assert program.stop() == 0
