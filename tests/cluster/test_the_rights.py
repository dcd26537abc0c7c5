"""From the audit log of all that the tests before did: nothing was forbidden, and no right is
granted that was not used.

The last file of this tier by its name; alone it has nothing to judge and says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fabric import wait_for
from fabric.control_plane import NAMESPACE
from tests.cluster.harness import Cluster, web
from tests.cluster.kubelet import READY

ACCOUNTS = {
    "porter-ryu": "deploy/porter-ryu.yaml",
    "porter-ryu-node": "deploy/porter-ryu-node.yaml",
}
Right = tuple[str, str, str]


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


def asked(cluster: Cluster, account: str) -> dict[Right, set[int]]:
    """What an account asked for, with the answers."""
    seen: dict[Right, set[int]] = {}
    for entry in cluster.api.audited():
        if entry["user"]["username"] != f"system:serviceaccount:{NAMESPACE}:{account}":
            continue
        ref = entry.get("objectRef", {})
        resource = "/".join(filter(None, (ref.get("resource", ""), ref.get("subresource", ""))))
        right = (entry["verb"], ref.get("apiGroup", ""), resource)
        seen.setdefault(right, set()).add(entry.get("responseStatus", {}).get("code", 0))
    return seen


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
                for event in clean.api.get("events")["items"]
                if (event["involvedObject"]["name"], event["reason"]) == ("web", "NoReadyEndpoints")
            ],
            lambda counts: max(counts, default=0) >= 2,
            10,
            "the count",
        )


@pytest.mark.parametrize("account", ACCOUNTS)
def test_nothing_was_forbidden_and_no_right_is_idle(cluster: Cluster, account: str) -> None:
    seen = asked(cluster, account)
    if not seen:
        pytest.fail(f"{account} asked for nothing: run the whole tier, not this file alone")
    # a server that is starting refuses everybody until it has read its own rules
    forbidden = {right for right, codes in seen.items() if 403 in codes and 200 not in codes}
    assert not forbidden
    assert granted(ACCOUNTS[account]) == seen.keys()
