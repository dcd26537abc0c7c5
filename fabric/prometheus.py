"""A real Prometheus on a host, which scrapes the program there and evaluates queries and rules."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any

import yaml

from fabric import FabricError, Host, end, wait_for

_LISTEN = "127.0.0.1:9090"
_SECONDS = 30.0

Series = dict[str, Any]
"""A series in the answer to a query: its labels in `metric`, and its value."""


class Prometheus:
    """Scrapes the program on this host twice a second; `groups` are rule groups."""

    def __init__(self, host: Host, groups: Sequence[dict[str, Any]]) -> None:
        if shutil.which("prometheus") is None:
            raise FabricError("prometheus is missing: install the Debian package prometheus")
        self._host = host
        folder = host.folder / "prometheus"
        folder.mkdir()
        rules, config = folder / "rules.yaml", folder / "prometheus.yaml"
        rules.write_text(yaml.safe_dump({"groups": list(groups)}))
        targets = [{"targets": ["127.0.0.1:8080"]}]
        document = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "porter-ryu", "static_configs": targets}],
        }
        config.write_text(yaml.safe_dump(document))
        self._argv = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={_LISTEN}",
        ]
        self._process: Any = None

    def start(self) -> Prometheus:
        """Starts it, and waits until it has scraped the program a few times."""
        self._process = self._host.spawn(self._argv, "prometheus.log")
        scrapes = "count_over_time(up[1m]) > 3 and up == 1"
        wait_for(lambda: self._ask(scrapes), bool, _SECONDS, "Prometheus to scrape")
        return self

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            end(self._process)

    def query(self, text: str) -> list[Series]:
        """The result of a query now; raises FabricError if it is invalid."""
        answer = self._get("/api/v1/query", text)
        if answer["status"] != "success":
            raise FabricError(f"{text}: {answer['error']}")
        found: list[Series] = answer["data"]["result"]
        return found

    def rules(self) -> dict[str, Series]:
        """Every alert by its name, with its `health` and `lastError`."""
        groups = self._get("/api/v1/rules", "")["data"]["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def _ask(self, text: str) -> list[Series]:
        """As `query`, without any result while it does not answer yet."""
        try:
            return self.query(text)
        except (FabricError, ValueError):
            return []

    def _get(self, path: str, query: str) -> Any:
        argv = ["curl", "-s", "-m", "10", "-G", "--data-urlencode", f"query={query}"]
        return json.loads(self._host.run([*argv, f"http://{_LISTEN}{path}"]))
