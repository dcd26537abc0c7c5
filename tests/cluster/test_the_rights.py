"""By the audit log: no right is granted that is not used.

That nothing was forbidden is checked at the end of each cluster, for all tests that ran on it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fabric import wait_for
from tests.cluster.audit import ACCOUNTS, Right, asked
from tests.cluster.harness import Cluster, web
from tests.cluster.kubelet import READY

# what any account may ask for; `porter-ryu check` does
_EVERYBODY: frozenset[Right] = frozenset({
    ("create", "authorization.k8s.io", "selfsubjectaccessreviews"), ("get", "", ""),
})  # fmt: skip


def granted(path: str) -> set[Right]:
    """Verb, group and resource of every rule in a manifest."""
    rules = [
        rule
        for obj in yaml.safe_load_all(Path(path).read_text())
        if obj["kind"] in ("ClusterRole", "Role")
        for rule in obj["rules"]
    ]
    assert all("*" not in str(rule) for rule in rules)
    return {
        (verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_an_event_that_comes_again_is_counted_up(clean: Cluster) -> None:
    """So that the right to patch Events is used whatever ran before."""
    with clean.running():
        clean.api.apply(web(), clean.pod("p1", "n1"))
        clean.routed("203.0.113.8", "n1", within=25)
        for _ in range(2):
            clean.api.kubectl("annotate", "pod", "p1", f"{READY}=false")
            clean.routed("203.0.113.8")
            clean.api.kubectl("annotate", "pod", "p1", f"{READY}-")
            clean.routed("203.0.113.8", "n1")
        wait_for(
            lambda: [
                event.get("count", 0)
                for event in clean.api.get("event")["items"]
                if (event["involvedObject"].get("name"), event["reason"])
                == ("web", "NoReadyEndpoints")
            ],
            lambda counts: max(counts, default=0) >= 2,
            10,
            "the count",
        )


def test_the_node_form_reads(clean: Cluster) -> None:
    """So that its rights are used whatever ran before."""
    account = clean.api.service_account("porter-ryu-node")
    rights = granted(ACCOUNTS["porter-ryu-node"])
    node: dict[str, object] = {"allocate": "false", "node_name": "n1"}
    with clean.running("second", account, porter=node, bound_ip={"mode": "blackhole"}):
        # it is ready when everything is listed: the watches come after that
        wait_for(
            lambda: rights - asked(clean.api, "porter-ryu-node").keys(),
            lambda idle: not idle,
            20,
            "every right to be used",
        )


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_right_is_idle(cluster: Cluster, account: str) -> None:
    assert granted(ACCOUNTS[account]) == asked(cluster.api, account).keys() - _EVERYBODY
