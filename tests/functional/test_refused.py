"""What a router refuses costs only itself: not the session, not the other routes, not a restart.

FRR ends the session over an impossible next hop, by a NOTIFICATION that names it; others name
nothing.  Here a peer made of octets does so with a next hop that is possible.
"""

from __future__ import annotations

import pytest

from fabric import Fabric, wait_for
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from fabric.raw_peer import NOTIFICATION, UPDATE, RawPeer, announces, message
from tests.functional.conftest import LEAF_AS, LEAVES, OURS

NODES = {f"n{n}": f"192.168.7.{10 + n}" for n in range(1, 5)}
END_OF_RIB = b"\0\0\0\0"
SECTIONS: dict[str, dict[str, object]] = {
    "bgp": {"local_as": 65000, "router_id": OURS, "peers": "gobgpd"},
    "peer:gobgpd": {
        "address": LEAVES["gobgpd"],
        "remote_as": LEAF_AS["gobgpd"],
        "mode": "passive",
    },
    "bound_ip": {"mode": "none"},
}
BAD = b"\xc0\xa8\x07\x0c"  # 192.168.7.12
GRACEFUL_RESTART = bytes.fromhex("4006007800010180")
NAMED = b"\x03\x08\x40\x03\x04" + BAD  # as FRR 8.4 writes it
NOT_NAMED = b"\x03\x08"


@pytest.mark.parametrize("words", [NAMED, NOT_NAMED], ids=["named", "not-named"])
def test_a_refused_next_hop_costs_but_itself_and_is_not_replayed(
    fabric: Fabric, words: bytes
) -> None:
    program = Program(fabric.hosts["porter"], SECTIONS, name=f"refused{len(words)}")
    program.put("pool", eip("pool", "203.0.113.0/24"))
    program.put("nodes", *(node(name, address) for name, address in NODES.items()))
    for number in range(20):
        program.put(f"s{number}", service(f"s{number}"), slice_of(f"s{number}", *NODES))
    program.start()
    wait_for(
        lambda: [bool(entry["recorded"]) for entry in program.get("/v1/services")],
        lambda recorded: recorded == [True] * 20,
        15,
        "every address on record",
    )
    found: dict[bytes, int] = {}
    for _ in range(5):
        peer = graceful(fabric)
        found = hops_or_bad(peer)
        if found:
            break
        peer.send(message(NOTIFICATION, words))
        while peer.read() is not None:
            pass
        peer.close()
    assert len(found) == 3
    assert set(found.values()) == {20}
    log = program.host.log(program.log)
    assert "peer gobgpd refuses 192.168.7.12" in log
    assert "20 prefixes go there without it" in log
    # the node is repaired while the program is away: the journal has nothing of the bad one
    program.kill()
    peer.close()
    repaired = {**NODES, "n2": "192.168.7.22"}
    program.put("nodes", *(node(name, address) for name, address in repaired.items()))
    program.start()
    after = hops_or_bad(graceful(fabric))
    assert len(after) == 4
    program.stop()


def graceful(fabric: Fabric) -> RawPeer:
    """The third peer, which helps with graceful restart."""
    peer = RawPeer(fabric.hosts["gobgpd"], OURS, LEAVES["gobgpd"])
    return peer.establish(hold_time=0, more=GRACEFUL_RESTART)


def hops_or_bad(peer: RawPeer) -> dict[bytes, int]:
    """How many paths come by each next hop before End-of-RIB; nothing once the bad one comes."""
    found: dict[bytes, int] = {}
    while True:
        got = peer.read()
        assert got is not None, "the connection ended"
        kind, body = got
        if got == (UPDATE, END_OF_RIB):
            return found
        if kind == UPDATE:
            hop, count = announces(body)
            found[hop] = found.get(hop, 0) + count
            if hop == BAD:
                return {}
