"""The program as a user runs it: stock ryu-manager on a host, with a directory of manifests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from fabric import FabricError, Host, end, wait_for
from fabric.files import replace
from fabric.http_get import get

Json = dict[str, Any]
Sections = Mapping[str, Mapping[str, object]]
_INSTALLED = "/etc/porter-ryu/manifests"
# in the mount namespace of the process alone
_SHOW_INSTALLED = (
    'mount -t overlay overlay -o lowerdir="$1":/etc /etc && '
    f'mount --bind "$2" {_INSTALLED} && shift 2 && exec "$@"'
)
_READY_SECONDS = 60.0  # on two cores, with all tests in parallel


def command(name: str) -> str:
    """The path of a command in the environment that runs the tests."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FabricError(f"{name} is not installed")
    return found


class Program:
    """One instance; `sections` are the groups of its configuration file.  `installed`: it sees its
    manifests where an operator would have them, as pictures for the documentation need it."""

    def __init__(
        self,
        host: Host,
        sections: Sections,
        name: str = "porter",
        manifests: Path | None = None,
        installed: bool = False,
    ) -> None:
        self.host = host
        self.manifests = manifests or host.folder / f"{name}.manifests"
        self.manifests.mkdir(exist_ok=True)
        self.config = host.folder / f"{name}.conf"
        self.log = f"{name}.log"
        self._files: dict[str, list[Json]] = {}
        defaults: dict[str, dict[str, object]] = {
            "porter": {"state_dir": host.folder / f"{name}.state"},
            "kubernetes": {"manifests": _INSTALLED if installed else self.manifests},
        }
        merged = {
            group: {**defaults.get(group, {}), **sections.get(group, {})}
            for group in {**defaults, **sections}
        }
        self.config.write_text(
            "\n".join(
                f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
                for group, keys in merged.items()
            )
        )
        self._state_dir = Path(str(merged["porter"]["state_dir"]))
        self._process: subprocess.Popen[bytes] | None = None
        self._under: list[str] = []
        if installed:
            etc = host.folder / f"{name}.etc"
            (etc / _INSTALLED.removeprefix("/etc/")).mkdir(parents=True)
            self._under = ["sh", "-c", _SHOW_INSTALLED, "sh", str(etc), str(self.manifests)]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, running or ended; raises FabricError before the first start."""
        if self._process is None:
            raise FabricError(f"{self.config.name} was never started")
        return self._process

    @process.setter
    def process(self, process: subprocess.Popen[bytes]) -> None:
        """Sets a process that was not started by `start`."""
        self._process = process

    def start(
        self, ready: bool = True, under: Sequence[str] = (), beside: str = "", **environment: str
    ) -> Program:
        """Starts the program, and waits until it is ready.  `under` is a command that runs it,
        `beside` another Ryu application in the same process."""
        apps = [*filter(None, [beside]), "porter_ryu.app"]
        argv = [
            *self._under,
            *under,
            command("ryu-manager"),
            *apps,
            "--config-file",
            str(self.config),
        ]
        environment["PYTHONUNBUFFERED"] = "1"
        self.process = self.host.spawn(argv, self.log, environment)
        if ready:
            try:
                wait_for(self.is_ready, bool, _READY_SECONDS, "the program to be ready")
            except FabricError as error:
                raise FabricError(f"{error}: {self.tail()}") from error
        return self

    def stop(self) -> int:
        """Ends the program by SIGTERM; returns its exit status."""
        return end(self._process) if self._process is not None else 0

    @property
    def token_file(self) -> str:
        """The path of its control token."""
        return str(self._state_dir / "control.token")

    def end_for_good(self, *more: str, port: int = 8080) -> str:
        """Runs `porter-ryu stop --withdraw`; returns its output."""
        url = ["--url", f"http://127.0.0.1:{port}", "--token-file", self.token_file]
        return self.host.run([command("porter-ryu"), "stop", "--withdraw", *url, *more])

    def kill(self) -> None:
        """Ends the program by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def is_ready(self) -> bool:
        """Whether /readyz answers with 200; raises FabricError if the program ended."""
        if self._process is not None and self._process.poll() is not None:
            raise FabricError(f"the program ended: {self.tail()}")
        return self.answers("/readyz")

    def answers(self, path: str) -> bool:
        """Whether a path of its HTTP interface answers with 200."""
        try:
            return get(self.host, path, 5).status == HTTPStatus.OK
        except FabricError:
            return False

    def get(self, path: str) -> Any:
        """JSON from its HTTP interface."""
        return json.loads(get(self.host, path, 60).text)

    def metrics(self, within: float = 30) -> str:
        """The text of /metrics."""
        return get(self.host, "/metrics", within).text

    def metric(self, series: str, within: float = 30) -> float | None:
        """The value of a series, which is named with its labels; None if it does not exist."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.metrics(within), re.MULTILINE)
        return float(found[1]) if found else None

    def counted(self, name: str, **labels: str) -> dict[str, float]:
        """The series of a counter with these labels that are not 0, and their values."""
        pattern = rf"^({re.escape(name)}\{{.*\}}) (\S+)$"
        found = re.findall(pattern, self.metrics(), re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return {
            series: float(value)
            for series, value in found
            if float(value) and all(text in series for text in wanted)
        }

    def loop_lag(self, within: float = 30) -> float:
        """The greatest delay of its event loop within the last minute, in seconds."""
        lag = self.metric("porter_loop_lag_seconds", within)
        assert lag is not None, "there is no porter_loop_lag_seconds"
        return lag

    def tail(self) -> str:
        """The end of its output."""
        return self.host.log(self.log)[-2000:]

    def logs(self, text: str, seconds: float = 5) -> None:
        """Waits until its output has a text."""
        wait_for(lambda: self.host.log(self.log), lambda log: text in log, seconds, text)

    def put(self, file: str, *objects: Json) -> None:
        """Writes objects to a file of the directory, atomically."""
        replace(self.manifests / f"{file}.yaml", yaml.safe_dump_all(objects))

    def put_list(self, file: str, objects: Sequence[Json]) -> None:
        """Writes many objects to a file of the directory, atomically, as JSON, which is faster."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        replace(self.manifests / f"{file}.json", text)

    def remove(self, file: str) -> None:
        """Removes a file."""
        (self.manifests / f"{file}.yaml").unlink()

    def status(self, kind: str, name: str) -> Json:
        """The written status of `services`, `NAMESPACE/NAME` or `eips`, `NAME`."""
        path = self.manifests / ".status" / kind / f"{name}.json"
        try:
            text = path.read_text()
        except FileNotFoundError:
            return {}
        found: Json = json.loads(text)["status"]
        return found
