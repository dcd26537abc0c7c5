"""spec.advertisements and communities from JSON: limits, one clear reason, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fabric import objects
from porter_ryu.domain.communities import Communities, parse_communities
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import EipStatus
from porter_ryu.domain.verdict import PoolReason
from porter_ryu.kube.eip_codec import encode_status
from tests.unit import decoded
from tests.unit.world import World, node, service

FULL = {
    "peers": ["leaf1", "leaf2"],
    "nodeSelector": {
        "matchLabels": {"rack": "a"},
        "matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}],
    },
    "communities": ["65000:1", "65000:1:2", "no-export"],
    "localPref": 200,
    "med": 0,
    "asPathPrepend": 3,
    "aggregationLength": 24,
    "aggregationLengthV6": 64,
}


def eip(**spec: Any) -> Any:
    """A decoded Eip."""
    return decoded.eip(objects.eip("pool", "10.0.0.0/24", **spec))


def test_every_field_is_read() -> None:
    value = eip(advertisements=[FULL, {}], allowedCommunities=["blackhole", "1:2:3"])
    assert value.invalid is None
    full, empty = value.advertisements
    assert full == AdvertisementEntry(
        peers=frozenset(["leaf1", "leaf2"]),
        nodes=parse_selector("rack in (a), !gpu"),
        communities=parse_communities(["65000:1", "65000:1:2", "no-export"]),
        local_pref=200,
        med=0,
        as_path_prepend=3,
        aggregation_length=24,
        aggregation_length_v6=64,
    )
    assert empty == AdvertisementEntry()
    assert value.allowed_communities == Communities((0xFFFF029A,), ((1, 2, 3),))


def test_the_length_of_one_address_aggregates_nothing() -> None:
    lengths = {"aggregationLength": 32, "aggregationLengthV6": 128}
    (entry,) = eip(advertisements=[lengths]).advertisements
    assert entry == AdvertisementEntry()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"peers": [""]}, "spec.advertisements[1].peers: '' is not a name of a peer"),
        ({"peers": ["p" * 64]}, "spec.advertisements[1].peers: 'ppp"),
        ({"peers": ["p"] * 65}, "spec.advertisements[1].peers: has more than 64 entries"),
        ({"peers": "leaf1"}, "spec.advertisements[1].peers is not a list"),
        (
            {"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
            "spec.advertisements[1].nodeSelector: unknown operator 'Like' for label 'a'",
        ),
        (
            {"nodeSelector": {"matchLabels": {"a": 1}}},
            "spec.advertisements[1].nodeSelector.matchLabels: 'a' or its value is not text",
        ),
        (
            {"communities": ["65000:65536"]},
            "spec.advertisements[1].communities: '65000:65536': '65536' is not a number of 16 bits",
        ),
        ({"MED": 5}, "spec.advertisements[1] has no field 'MED'"),
        ({"peer": "leaf1"}, "spec.advertisements[1] has no field 'peer'"),
        ({"b` - at `$.x\n": 1}, "spec.advertisements[1] has no field 'b"),
        (
            {"nodeSelector": {"rack": "1"}},
            "spec.advertisements[1].nodeSelector has no field 'rack'",
        ),
        (
            {"nodeSelector": {"matchExpressions": [{"key": "a", "op": "In"}]}},
            "spec.advertisements[1].nodeSelector.matchExpressions[0] has no field 'op'",
        ),
        ({"communities": ["9" * 5000 + ":1"]}, "spec.advertisements[1].communities: '999"),
        ({"communities": ["no"]}, "spec.advertisements[1].communities: 'no' is not a community"),
        ({"communities": [65000]}, "spec.advertisements[1].communities[0] is not a string"),
        (
            {"communities": [f"1:{i}" for i in range(65)]},
            "spec.advertisements[1].communities: has more than 64 entries",
        ),
        ({"localPref": -1}, "spec.advertisements[1].localPref is less than 0"),
        ({"med": 2**32}, "spec.advertisements[1].med is more than 4294967295"),
        ({"med": 1.5}, "spec.advertisements[1].med is not a number"),
        ({"asPathPrepend": 33}, "spec.advertisements[1].asPathPrepend is more than 32"),
        ({"aggregationLength": 0}, "spec.advertisements[1].aggregationLength is less than 1"),
        ({"aggregationLength": 33}, "spec.advertisements[1].aggregationLength is more than 32"),
        ({"aggregationLengthV6": 129}, "spec.advertisements[1].aggregationLengthV6 is more than"),
    ],
)
def test_a_bad_entry_is_named_and_the_last_good_form_stays(
    entry: dict[str, Any], reason: str
) -> None:
    bad = eip(advertisements=[{}, entry])
    assert bad.invalid.startswith(reason)
    good = eip(advertisements=[{"peers": ["leaf1"]}])
    w = World(good).put(node("n1", "192.168.0.1"), service("a")).put(bad)
    status = w.planner.allocator.pool_status("pool")
    assert (status.reason, status.serving) == (PoolReason.INVALID_ADDRESS, good.spec_only())
    assert status.message.startswith(reason)
    assert w.address("a") == "10.0.0.0"


def test_a_selector_of_services_with_a_key_that_is_not_understood_selects_none() -> None:
    assert eip(serviceSelector={"app": "x"}).invalid == "spec.serviceSelector has no field 'app'"


def test_there_are_limits_for_all_entries_together() -> None:
    assert eip(advertisements=[{}] * 33).invalid == "spec.advertisements: has more than 32 entries"
    entries = [{"communities": [f"{i}:{j}" for j in range(33)]} for i in range(2)]
    text = "spec.advertisements: has more than 64 different communities"
    assert eip(advertisements=entries).invalid == text
    assert eip(advertisements=[{"communities": ["1:1"] * 64}] * 32).invalid is None
    assert eip(allowedCommunities=["1"]).invalid.startswith("spec.allowedCommunities: '1' is not")


def test_the_form_that_serves_is_kept_over_a_restart() -> None:
    good = eip(advertisements=[FULL, {}], allowedCommunities=["no-export", "1:2:3"])
    status = EipStatus(True, PoolReason.VALID, "", serving=good.spec_only())
    encoded = json.loads(json.dumps(encode_status(good, status, "2026-01-01T00:00:00Z")))
    again = decoded.eip({**objects.eip("pool", "oops"), "status": encoded})
    assert again.status is not None
    assert again.status.serving == good.spec_only()


@pytest.mark.parametrize(
    ("text", "communities", "errors"),
    [
        ("", [], 0),
        (" , ,", [], 0),
        ("65000:1", ["65000:1"], 0),
        (" 65000:1 ,1:2:3,no-export,65000:1", ["65000:1", "1:2:3", "no-export"], 0),
        ("65000:1,oops,65536:1,-1:1", ["65000:1"], 3),
        (",".join(["x"] * 100), [], 5),
        ("65000:1," * 300, [], 1),
    ],
)
def test_what_a_service_asks_for(text: str, communities: list[str], errors: int) -> None:
    name = "eip.porter.kubesphere.io/communities"
    value = decoded.service(objects.service("web", annotations={name: text})).communities
    assert value.communities == parse_communities(communities)
    assert len(value.errors) == errors


def test_communities_are_written_as_they_are_read() -> None:
    texts = ["0:0", "65000:1", "graceful-shutdown", "65535:65535", "1:2:3"]
    assert parse_communities(parse_communities(texts).texts()) == parse_communities(texts)
