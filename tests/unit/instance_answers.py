"""What a running instance answers, as literals, for tests of the commands that read it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
TIME = "2026-03-01T08:31:02.114Z"


def peer(name: str, state: str = "Established", **more: object) -> Json:
    """An entry of /v1/peers."""
    return {
        "name": name,
        "peer": name,
        "address": "192.0.2.1",
        "localAddress": "192.0.2.9",
        "remoteAs": 65001,
        "state": state,
        "since": TIME,
        "establishedSeconds": 5.0,
        "holdTime": 90,
        "families": ["ipv4"],
        "addPath": ["ipv4"],
        "gracefulRestart": True,
        "role": "none",
        "peerRole": "none",
        "paths": {"ipv4": 7},
        "lastUp": TIME,
        "lastUpdateSent": TIME,
        "lastError": "",
        "lastDown": None,
        "routesKeptUntil": None,
        "pathsLeft": 0,
        "dampedSeconds": 0,
        "bfd": None,
        "hint": "",
        **more,
    }


def eip(name: str, **more: object) -> Json:
    """An entry of /v1/eips."""
    return {
        "name": name,
        "address": "203.0.113.0/24",
        "ready": True,
        "reason": "Valid",
        "message": "",
        "problem": "",
        "disabled": False,
        "usage": 10,
        "poolSize": 256,
        "used": {},
        "growth": None,
        "growthReason": "it did not fill in the last 60 minutes",
        **more,
    }


def version(recorded_since: str = TIME) -> Json:
    """The answer of /v1/version."""
    return {
        "version": "0.1.0",
        "python": "3.11.2",
        "ryu": "4.34",
        "startedAt": TIME,
        "recordedSince": recorded_since,
        "incompleteBefore": {} if recorded_since == TIME else {"route": recorded_since},
    }


def change(text: str, **more: object) -> Json:
    """An entry of /v1/changes, of a route that `text` says."""
    return {
        "sequence": 7,
        "time": TIME,
        "kind": "route",
        "object": "203.0.113.8",
        "from": "",
        "to": text,
        "cause": "Service default/web",
        "about": ["203.0.113.8", "default/web"],
        "secondsToWire": 0.004,
        "parts": [],
        **more,
    }


def status(**more: object) -> Json:
    """The answer of /v1/status, when all is well."""
    return {
        "version": "0.1.0",
        "startedAt": TIME,
        "recordedSince": TIME,
        "now": TIME,
        "ready": True,
        "unready": "",
        "faults": [],
        "role": "leader",
        "source": {
            "what": "API server https://192.0.2.5:6443",
            "lastEvent": {"Service": TIME},
            "lastList": {"Service": TIME},
            "trouble": "",
        },
        "summary": "all is well: 10 Services announced to 1 peer",
        "ok": True,
        "problems": [],
        "services": {"total": 10, "states": {"Announced": 10}},
        "notes": [],
        "peers": {"total": 1, "established": 1},
        "sessions": {"total": 1, "established": 1},
        "switches": {"total": 0, "filled": 0},
        "eips": {"total": 1, "ready": 1, "size": 256, "used": 10},
        "nodes": {"total": 5, "usable": 5, "draining": 0, "drained": 0, "unusable": []},
        **more,
    }


def problem(what: str, **more: object) -> Json:
    """An entry of the problems in /v1/status."""
    return {
        "what": what,
        "reason": "NoReadyEndpoints",
        "services": 2,
        "atRisk": 0,
        "objects": ["default/a", "default/b"],
        "objectsTotal": 2,
        "mend": "kubectl get endpointslices",
        **more,
    }


def route(prefix: str, hop: str, **more: object) -> Json:
    """An entry of /v1/peers/NAME/routes."""
    return {
        "prefix": prefix,
        "nextHop": hop,
        "node": "n1",
        "pathId": 5,
        "communities": [],
        "med": None,
        "localPref": None,
        "asPathPrepend": 0,
        "weight": None,
        "announced": True,
        "since": TIME,
        **more,
    }


def address(text: str, *holders: str, **more: object) -> Json:
    """An answer of /v1/addresses/ADDRESS; the holders are in the namespace default."""
    return {
        "address": text,
        "state": "Held" if holders else "Free",
        "free": not holders,
        "why": f"{', '.join(holders)} holds it" if holders else "it is free in Eip pool",
        "eip": "pool",
        "holders": [{"namespace": "default", "name": name} for name in holders],
        "recorded": [],
        "foreign": [],
        "claimants": [],
        "owners": [],
        **more,
    }


def node(name: str, **more: object) -> Json:
    """An entry of /v1/nodes."""
    return {
        "node": name,
        "addresses": ["192.0.2.11"],
        "usable": True,
        "reason": "NextHop",
        "why": "",
        "mend": "",
        "draining": False,
        "drained": False,
        "dead": False,
        "services": 2,
        "alone": 0,
        "waiting": 0,
        "waitingAlone": 0,
        "share": 20.0,
        **more,
    }


def node_dependents(name: str, *dependents: str, **more: object) -> Json:
    """An answer of /v1/nodes/NAME."""
    lists = ("dependentsAlone", "dependentsOthersDrained", "unserved")
    depending = {"dependents": [*dependents], **{name: [] for name in lists}}
    times = {"since": TIME, "recordedSince": TIME}
    return {"found": True, "lastGood": [], **node(name), **times, **depending, **more}


def explanation(name: str, **more: object) -> Json:
    """An entry of /v1/services/default/NAME that is announced to leaf1."""
    return {
        "namespace": "default",
        "name": name,
        "found": True,
        "ours": True,
        "lastGood": [],
        "state": "Announced",
        "announced": True,
        "addresses": ["203.0.113.8"],
        "eips": ["pool"],
        "recorded": ["203.0.113.8"],
        "message": "",
        "mend": "",
        "request": None,
        "pools": [
            {"eip": "pool", "usable": True, "reason": "Available", "why": "it has free ones"}
        ],
        "routes": [
            {
                "address": "203.0.113.8",
                "eip": "pool",
                "recorded": True,
                "sharedWith": [],
                "claimants": [],
                "nodes": [
                    {"node": f"n{n}", "nextHop": f"192.0.2.{n}", "reason": "NextHop", "why": ""}
                    for n in (10, 2, 1)
                ],
                "paths": [],
                "peers": {"leaf1": ["192.0.2.1", "192.0.2.2"], "leaf2": ["192.0.2.1", "192.0.2.2"]},
                "shares": {},
                "aggregates": [],
                "notFor": [],
                "notSent": [{"peer": "leaf3", "why": "its session is Active: Connection refused"}],
            }
        ],
        **more,
    }
