"""What our ServiceAccounts asked of the API server, by its audit log."""

from __future__ import annotations

from fabric.control_plane import NAMESPACE, ControlPlane

ACCOUNTS = {
    "porter-ryu": "deploy/porter-ryu.yaml",
    "porter-ryu-node": "deploy/porter-ryu-node.yaml",
}
"""Each account with the manifest that grants its rights."""
Right = tuple[str, str, str]
"""Verb, group and resource."""


def asked(api: ControlPlane, account: str) -> dict[Right, set[int]]:
    """What an account asked for, with the status codes of the answers."""
    seen: dict[Right, set[int]] = {}
    for entry in api.audited():
        if entry["user"]["username"] != f"system:serviceaccount:{NAMESPACE}:{account}":
            continue
        ref = entry.get("objectRef", {})
        resource = "/".join(filter(None, (ref.get("resource", ""), ref.get("subresource", ""))))
        right = (entry["verb"], ref.get("apiGroup", ""), resource)
        seen.setdefault(right, set()).add(entry.get("responseStatus", {}).get("code", 0))
    return seen


def forbidden(api: ControlPlane) -> set[tuple[str, Right]]:
    """What was forbidden to an account and never allowed: a server that is starting refuses
    everybody until it has read its own rules."""
    return {
        (account, right)
        for account in ACCOUNTS
        for right, codes in asked(api, account).items()
        if 403 in codes and 200 not in codes
    }
