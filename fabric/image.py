"""Builds an image from a Dockerfile without a registry or a container runtime.

debootstrap makes the base, every instruction runs in a chroot, and a container is a chroot in its
own namespaces.  Only the instructions in our Dockerfile are supported.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from fabric import FabricError, Host

_BASES = {"debian:12-slim": "bookworm"}
_BUILD_SECONDS = 600
_PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
_HOST_FILES = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf")
_HOST_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_CERTIFICATES = "/etc/of-the-host.crt"  # a path that no package uses
_HOST_FOLDERS = ("etc/apt/apt.conf.d", "etc/apt/auth.conf.d")


@dataclass
class Stage:
    """A root file system and the settings from the instructions."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


class ImageBuilder:
    """Builds in `folder`; `context` is the build context."""

    def __init__(self, folder: Path, context: Path) -> None:
        self._folder = folder
        self._context = context
        self._stages: dict[str, Stage] = {}
        self._now: Stage | None = None

    def build(self, dockerfile: Path) -> Stage:
        """Builds a Dockerfile; returns the last stage."""
        text = re.sub(r"\\\n", " ", dockerfile.read_text())
        for line in text.splitlines():
            word, _, rest = line.strip().partition(" ")
            if word and not word.startswith("#"):
                getattr(self, f"_{word.lower()}")(rest.strip())
        if self._now is None:
            raise FabricError(f"{dockerfile} has no FROM")
        return self._now

    def _from(self, rest: str) -> None:
        reference, _, name = rest.partition(" AS ")
        base = reference.partition("@")[0]
        root = self._folder / f"stage{len(self._stages)}"
        subprocess.run(["cp", "-a", str(self._base(base)), str(root)], check=True)
        self._now = self._stages[name or root.name] = Stage(root)

    def _base(self, name: str) -> Path:
        """A minimal Debian, with the settings of this host for its package mirrors."""
        root = self._folder / "base"
        if not root.exists():
            _run(["debootstrap", "--variant=minbase", _BASES[name], str(root)])
            for file in (*_HOST_FILES, *_HOST_FOLDERS):
                source, target = Path("/") / file, root / file
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, dirs_exist_ok=True)
                elif source.exists():
                    shutil.copyfile(source, target)
            certificates = os.environ.get("PIP_CERT", _HOST_CERTIFICATES)
            if os.path.exists(certificates):
                shutil.copyfile(certificates, root / _CERTIFICATES.lstrip("/"))
        return root

    def _run(self, rest: str) -> None:
        stage = self._stage
        script = f"cd {stage.folder} && {rest}"
        _run(["chroot", str(stage.root), "/bin/sh", "-ec", script], self._environment)

    @property
    def _stage(self) -> Stage:
        if self._now is None:
            raise FabricError("an instruction is before the first FROM")
        return self._now

    @property
    def _environment(self) -> dict[str, str]:
        path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        quiet = {"DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
        pip = {k: v for k, v in os.environ.items() if k in _PIP}
        if (self._stage.root / _CERTIFICATES.lstrip("/")).exists():
            pip["PIP_CERT"] = _CERTIFICATES
        return {**path, **quiet, **pip, **self._stage.environment}

    def _copy(self, rest: str) -> None:
        words = shlex.split(rest)
        source = self._context
        if words[0].startswith("--from="):
            source = self._stages[words.pop(0).removeprefix("--from=")].root
        target = self._stage.root / f"{self._stage.folder}/{words[1]}".replace("//", "/").lstrip(
            "/"
        )
        if words[1].startswith("/"):
            target = self._stage.root / words[1].lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        origin = source / words[0].lstrip("/")
        subprocess.run(["cp", "-a", "-T", str(origin), str(target)], check=True)

    def _env(self, rest: str) -> None:
        for word in shlex.split(rest):
            key, _, value = word.partition("=")
            self._stage.environment[key] = value

    def _workdir(self, rest: str) -> None:
        self._stage.folder = rest
        (self._stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _user(self, rest: str) -> None:
        self._stage.user = rest

    def _entrypoint(self, rest: str) -> None:
        self._stage.entrypoint = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self._stage.command = json.loads(rest)


def run_image(
    host: Host,
    image: Stage,
    volumes: dict[str, Path],
    user: str | None = None,
    capabilities: tuple[str, ...] = (),
) -> subprocess.Popen[bytes]:
    """Starts a container on a host, with a read-only root, only these capabilities, no new
    privileges and the host network.  `volumes` maps mount points to folders."""
    root = image.root
    mounts = [f"mount --bind {root} {root}", f"mount -o remount,ro,bind {root}"]
    for where, folder in volumes.items():
        mounts.append(f"mount --bind {folder} {root}{where}")
    mounts += [f"mount -t proc proc {root}/proc", f"mount -t sysfs sysfs {root}/sys"]
    uid, _, gid = (user or image.user).partition(":")
    caps = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    privileges = [
        "setpriv",
        *(f"--reuid={uid}", f"--regid={gid or uid}", "--clear-groups", "--no-new-privs"),
        *(f"--bounding-set={caps}", f"--inh-caps={caps}"),
    ]
    environment = [f"{key}={value}" for key, value in image.environment.items()]
    argv = ["env", "-i", *environment, *privileges, *image.entrypoint, *image.command]
    script = " && ".join([*mounts, f"exec chroot {root} {shlex.join(argv)}"])
    return host.spawn(["unshare", "-m", "sh", "-c", script], "image.log")


def _run(argv: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        argv, capture_output=True, text=True, env=environment, timeout=_BUILD_SECONDS, check=False
    )
    if done.returncode:
        raise FabricError(f"{shlex.join(argv)}: {(done.stdout + done.stderr)[-3000:]}")
