"""The image, by the steps of its Dockerfile, as the manifests run it.

Not tried: a container runtime itself, and pulling the base from a registry (debootstrap makes one).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fabric import Fabric, Host, end, wait_for
from fabric.image import ImageBuilder, Stage, megabytes, run_image
from fabric.leaves import Bird, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, Sections

OURS, LEAF = "192.168.9.1", "192.168.9.2"
MOST_MEGABYTES = 220


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    """A host for the container, and a leaf."""
    with Fabric() as fabric:
        host, leaf = fabric.host("host"), fabric.host("leaf")
        fabric.link(host, leaf, [f"{OURS}/24"], [f"{LEAF}/24"])
        host.run(f"ip route add default via {LEAF}")
        yield fabric


@pytest.fixture(scope="module")
def builder(fabric: Fabric) -> ImageBuilder:
    """It builds from the files that `docker build` would get."""
    context = fabric.folder / "context"
    context.mkdir()
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    ignored = Path(".dockerignore").read_text().split()
    for name in listed.stdout.splitlines():
        if name.split("/", 1)[0] not in ignored:
            target = context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, target)
    return ImageBuilder(fabric.folder, context)


@pytest.fixture(scope="module")
def image(builder: ImageBuilder) -> Stage:
    """The image."""
    return builder.build(Path("deploy/Dockerfile"))


def manifest(kind: str) -> Json:
    """An object of the shipped manifest."""
    every = yaml.safe_load_all(Path("deploy/porter-ryu.yaml").read_text())
    return next(obj for obj in every if obj["kind"] == kind)


def container(host: Host, program: Program, image: Stage, **how: Any) -> subprocess.Popen[bytes]:
    """Starts a container with the configuration of a program that is not started itself."""
    state = host.folder / f"{program.config.stem}.state"
    state.mkdir(exist_ok=True)
    state.chmod(0o777)
    config = host.folder / "config"
    config.mkdir(exist_ok=True)
    text = program.config.read_text().replace(str(program.manifests), "/mnt")
    text = text.replace(
        f"state_dir = {host.folder}/{program.config.stem}.state", "state_dir = /srv"
    )
    (config / "porter_ryu.conf").write_text(text)
    volumes = {"/etc/porter-ryu": config, "/srv": state, "/mnt": program.manifests}
    (image.root / "etc/porter-ryu").mkdir(exist_ok=True)
    return run_image(host, image, volumes, **how)


def test_it_is_small_and_can_run_as_nobody(
    fabric: Fabric, builder: ImageBuilder, image: Stage
) -> None:
    assert megabytes(image.root) - builder.base_megabytes < MOST_MEGABYTES
    assert not (image.root / "opt/porter-ryu/bin/pip").exists()
    assert not (image.root / "usr/bin/gcc").exists()
    host = fabric.hosts["host"]
    bgp = {"local_as": 65000, "router_id": OURS, "listen_port": 1790}
    sections: Sections = {"bgp": bgp, "bound_ip": {"mode": "none"}, "porter": {"allocate": "false"}}
    program = Program(host, sections, name="nobody")
    process = program.process = container(host, program, image)
    log = "image.log"
    wait_for(program.is_ready, bool, 30, f"it to be ready: {host.log(log)}")
    status = _status(process)
    assert status["Uid"].split()[0] == "65534"
    assert int(status["CapEff"], 16) == 0
    assert end(process) == 0


def test_it_binds_and_announces_as_in_the_deployment(fabric: Fabric, image: Stage) -> None:
    deployment = manifest("Deployment")["spec"]["template"]["spec"]
    context = deployment["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"]["drop"] == ["ALL"]
    capabilities = tuple(name.lower() for name in context["capabilities"]["add"])
    host = fabric.hosts["host"]
    leaf = Bird(fabric.hosts["leaf"], 65001, LEAF, [Neighbour(OURS, 65000, passive=False)]).start()
    sections: Sections = {
        "bgp": {"local_as": 65000, "router_id": OURS, "peers": "leaf"},
        # it listens on 179 and is called: that needs NET_BIND_SERVICE
        "peer:leaf": {"address": LEAF, "remote_as": 65001, "mode": "passive"},
        "bound_ip": {"mode": "address"},
    }
    program = Program(host, sections, name="deployed")
    program.put("all", eip("pool", "203.0.113.8/29"), service("web"), slice_of("web", "n1"))
    program.put("node", node("n1", "192.168.9.7"))
    process = program.process = container(
        host, program, image, user=str(context["runAsUser"]), capabilities=capabilities
    )
    wait_for(leaf.routes, lambda r: r == {"203.0.113.8": frozenset(["192.168.9.7"])}, 30, "route")
    bound = "ip -br address show"
    wait_for(lambda: host.run(bound), lambda text: "203.0.113.8/32" in text, 5, "the binding")
    kept = int(_status(process)["CapEff"], 16)
    assert kept == 1 << 12 | 1 << 10, "NET_ADMIN and NET_BIND_SERVICE, and nothing else"
    assert end(process) == 0
    leaf.stop()


def _status(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """/proc/PID/status of the program in the container, as the same process that was started."""
    assert b"porter_ryu.app" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
