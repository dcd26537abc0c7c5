"""The files in deploy/ fit each other and what the package asks for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)
MANIFESTS = ("deploy/porter-ryu.yaml", "deploy/porter-ryu-node.yaml")


def locked() -> dict[str, str]:
    """The versions that the image is built with."""
    text = Path("deploy/requirements.txt").read_text()
    return {canonicalize_name(name): version for name, version in LOCKED.findall(text)}


def test_the_image_has_every_requirement_in_a_version_that_is_allowed() -> None:
    versions = locked()
    for line in Path("requirements.txt").read_text().split():
        requirement = Requirement(line)
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"`make lock` is due: {line}, {version}"


def test_every_package_and_the_base_are_named_by_hash() -> None:
    for name in ("deploy/requirements.txt", "deploy/requirements-build.txt"):
        entries = re.split(r"\n(?=[A-Za-z])", Path(name).read_text().partition("\n")[2])
        assert entries
        assert all("--hash=sha256:" in entry for entry in entries)
    bases = re.findall(r"^FROM (\S+)", Path("deploy/Dockerfile").read_text(), re.MULTILINE)
    assert len(bases) == 2
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", base) for base in bases)


@pytest.mark.parametrize("name", MANIFESTS)
def test_no_manifest_asks_for_latest(name: str) -> None:
    images = re.findall(r"image: (\S+)", Path(name).read_text())
    assert images
    assert all(":" in image and not image.endswith(":latest") for image in images)


def test_the_namespace_lets_the_deployment_through() -> None:
    objects = yaml.safe_load_all(Path(MANIFESTS[0]).read_text())
    (namespace,) = [obj for obj in objects if obj["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"


def test_the_alerts_are_an_object_for_the_namespace_of_the_deployment() -> None:
    rules = yaml.safe_load(Path("deploy/alerts.yaml").read_text())
    assert (rules["apiVersion"], rules["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    objects = yaml.safe_load_all(Path(MANIFESTS[0]).read_text())
    (namespace,) = [obj for obj in objects if obj["kind"] == "Namespace"]
    assert rules["metadata"]["namespace"] == namespace["metadata"]["name"]


@pytest.mark.parametrize(
    ("image", "status"),
    [
        ("reg:5000/porter-ryu:1.0", 0),
        ("reg/porter-ryu@sha256:0a", 0),
        ("reg/porter-ryu:latest", 2),
        ("reg:5000/porter-ryu", 2),
        ("", 2),
    ],
)
def test_a_release_has_both_manifests_with_one_image(
    tmp_path: Path, image: str, status: int
) -> None:
    for name in ("Makefile", *MANIFESTS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(Path(name).read_text())
    argv = ["make", "-s", "-C", str(tmp_path), "release", f"IMG={image}"]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == status
    for name in ("release.yaml", "release-node.yaml"):
        path = tmp_path / "deploy" / name
        assert path.exists() == (status == 0)
        if status == 0:
            assert re.findall(r"image: (\S+)", path.read_text()) == [image]


@pytest.mark.parametrize(
    ("name", "kind", "needed"),
    [
        (MANIFESTS[0], "Deployment", ["NET_ADMIN", "NET_BIND_SERVICE"]),
        (MANIFESTS[1], "DaemonSet", ["NET_ADMIN"]),
    ],
)
def test_a_manifest_gives_the_capabilities_that_every_user_needs_and_no_other(
    name: str, kind: str, needed: list[str]
) -> None:
    objects = yaml.safe_load_all(Path(name).read_text())
    (workload,) = [obj for obj in objects if obj["kind"] == kind]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": needed}


def test_the_docs_say_when_the_deployment_needs_net_raw() -> None:
    """The one capability that depends on where the EIPs are."""
    comment = next(
        line for line in Path(MANIFESTS[0]).read_text().splitlines() if "# NET_RAW" in line
    )
    page = Path(comment.rpartition(" ")[2]).read_text()
    assert "**It needs `NET_RAW`**" in page
