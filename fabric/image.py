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
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fabric import FabricError, Host
from fabric.layers import Layers, copy, digest, layers

_BASES = {"debian:12-slim": "bookworm"}
_BUILD_SECONDS = 600
_SETTINGS = ("env", "workdir", "user", "entrypoint", "cmd")
_PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
_HOST_FILES = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf")
_HOST_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_CERTIFICATES = "/etc/of-the-host.crt"  # a path that no package uses
_HOST_FOLDERS = ("etc/apt/apt.conf.d", "etc/apt/auth.conf.d")


@dataclass(frozen=True, slots=True)
class _Instruction:
    """A line of a Dockerfile: its word in lower case, and the rest."""

    word: str
    rest: str


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
    """Builds in `folder`; `context` is the build context.  What a stage is before the sources come
    into it is kept in the cache of the user (`fabric.layers`)."""

    def __init__(self, folder: Path, context: Path) -> None:
        self._folder = folder
        self._context = context
        self._stages: dict[str, Stage] = {}
        self._now: Stage | None = None
        self.base_megabytes = 0

    def build(self, dockerfile: Path) -> Stage:
        """Builds a Dockerfile; returns the last stage."""
        with layers() as kept:
            for reference, instructions in _stages(dockerfile):
                self._build_stage(kept, reference, instructions)
            kept.remove_others()
        if self._now is None:
            raise FabricError(f"{dockerfile} has no FROM")
        return self._now

    def _build_stage(self, kept: Layers, rest: str, instructions: list[_Instruction]) -> None:
        reference, _, name = rest.partition(" AS ")
        files = [file for path in _host_files() for file in path.rglob("*") if file.is_file()]
        files += [path for path in _host_files() if path.is_file()]
        made_of = [reference, *(f"{k}={v}" for k, v in sorted(_pip_settings().items()))]
        base = kept.get(f"base-{digest(made_of, files)}", partial(_make_base, reference))
        self.base_megabytes = megabytes(base)
        stage = Stage(self._folder / f"stage{len(self._stages)}")
        self._now = self._stages[name or stage.root.name] = stage

        first = instructions[: _until_sources(instructions)]
        copied = [self._context / shlex.split(i.rest)[0] for i in first if i.word == "copy"]
        made_of += [f"{instruction.word} {instruction.rest}" for instruction in first]

        def make(root: Path) -> None:
            copy(base, root)
            self._carry_out(Stage(root), first)

        layer = kept.get(f"stage-{digest(made_of, [*files, *copied])}", make)
        copy(layer, stage.root)
        self._carry_out(stage, [i for i in first if i.word in _SETTINGS])
        self._carry_out(stage, instructions[len(first) :])

    def _carry_out(self, stage: Stage, instructions: list[_Instruction]) -> None:
        self._now = stage
        for instruction in instructions:
            getattr(self, f"_{instruction.word}")(instruction.rest)

    def _run(self, rest: str) -> None:
        stage = self._stage
        script = f"cd {stage.folder} && {rest}"
        _run(["chroot", str(stage.root), "/bin/sh", "-ec", script], self._environment)

    @property
    def _stage(self) -> Stage:
        assert self._now is not None
        return self._now

    @property
    def _environment(self) -> dict[str, str]:
        path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        quiet = {"DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
        pip = _pip_settings()
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


def megabytes(root: Path) -> int:
    """The size of a root file system."""
    return int(subprocess.check_output(["du", "-sm", str(root)], text=True).split()[0])


def _stages(dockerfile: Path) -> Iterator[tuple[str, list[_Instruction]]]:
    """What is after each FROM, and the instructions that follow it."""
    text = re.sub(r"\\\n", " ", dockerfile.read_text())
    found: list[tuple[str, list[_Instruction]]] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            found.append((rest.strip(), []))
        elif word and not word.startswith("#"):
            if not found:
                raise FabricError("an instruction is before the first FROM")
            found[-1][1].append(_Instruction(word.lower(), rest.strip()))
    yield from found


def _until_sources(instructions: list[_Instruction]) -> int:
    """How many instructions are before the one that copies all sources, or another stage."""
    for number, instruction in enumerate(instructions):
        if instruction.word == "copy" and instruction.rest.startswith((". ", "--from=")):
            return number
    return len(instructions)


def _make_base(reference: str, root: Path) -> None:
    """A minimal Debian, with the settings of this host for its package mirrors."""
    _run(["debootstrap", "--variant=minbase", _BASES[reference.partition("@")[0]], str(root)])
    for source in _host_files():
        target = root / source.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    certificates = os.environ.get("PIP_CERT", _HOST_CERTIFICATES)
    if os.path.exists(certificates):
        shutil.copyfile(certificates, root / _CERTIFICATES.lstrip("/"))


def _host_files() -> list[Path]:
    return [path for name in (*_HOST_FILES, *_HOST_FOLDERS) if (path := Path("/") / name).exists()]


def _pip_settings() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key in _PIP}


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
