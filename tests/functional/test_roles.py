"""BGP roles (RFC 9234) with routers that have one, that require one, and that have none."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Json, Program
from fabric.raw_peer import NOTIFICATION, UPDATE, RawPeer, open_message
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, peers

ROUTES = {"203.0.113.1": frozenset(["192.168.7.11"])}
COUNTERPART = {"customer": "provider", "provider": "customer", "peer": "peer"}
WITHOUT_ROLE = "none"
Routers = tuple[Bird, Frr]
StartRouters = Callable[[str, bool], Routers]


@pytest.fixture(scope="module")
def program(fabric: Fabric) -> Iterator[Program]:
    """The program with BIRD, FRR and a peer that a test plays."""
    program = Program(fabric.hosts["porter"], peers())
    program.put("pool", eip("pool", "203.0.113.1"))
    program.put("node", node("n1", "192.168.7.11"))
    program.put("web", service("web"), slice_of("web", "n1"))
    program.start()
    yield program
    program.stop()


@pytest.fixture
def start_routers(fabric: Fabric) -> Iterator[StartRouters]:
    """Starts BIRD and FRR with a role; `strict`: they require one of us."""
    started: list[Bird | Frr] = []

    def start(role: str, strict: bool) -> Routers:
        us, hosts = [Neighbour(OURS, 65000)], fabric.hosts
        has_role = role != WITHOUT_ROLE
        clauses = f"local role {role}; {'require roles on;' if strict else ''}" if has_role else ""
        line = f" neighbor {OURS} local-role {role} {'strict-mode' if strict else ''}\n"
        more = f"router bgp {LEAF_AS['frr']}\n{line}" if has_role else ""
        bird = Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us, clauses)
        frr = Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us, more)
        started.extend((bird.start(), frr.start()))
        return bird, frr

    yield start
    for router in started:
        router.stop()


def take_role(program: Program, role: str) -> None:
    """Reloads the program with this role towards every peer."""
    lines = program.config.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("role = ")]
    program.config.write_text(
        "".join(f"{line}role = {role}\n" if line.startswith("[peer:") else line for line in kept)
    )
    program.process.send_signal(signal.SIGHUP)
    wait_for(
        lambda: {peer["role"] for peer in program.get("/v1/peers")},
        lambda roles: roles == {role},
        10,
        "the new role",
    )


def report(program: Program, name: str) -> Json:
    """A peer in /v1/peers."""
    return next(peer for peer in program.get("/v1/peers") if peer["name"] == name)


def has_session(program: Program, name: str, ours: str, theirs: str) -> None:
    """Waits for a session with these roles in /v1/peers."""
    wait_for(
        lambda: tuple(report(program, name)[key] for key in ("state", "role", "peerRole")),
        lambda seen: seen == ("Established", ours, theirs),
        15,
        f"{name}: a session in which we are {ours}",
    )


def has_none(program: Program, name: str, *reasons: str) -> None:
    """Waits until /v1/peers gives one of these reasons."""
    wait_for(
        lambda: str(report(program, name)["lastError"]),
        lambda text: any(reason in text for reason in reasons),
        15,
        f"{name}: the reason",
    )
    assert report(program, name)["peerRole"] == WITHOUT_ROLE


def have_the_route(routers: Routers) -> None:
    """Waits until both have it in their kernels."""
    for router in routers:
        wait_for(router.routes, lambda routes: routes == ROUTES, 15, f"{router.host.name}: routes")


@pytest.mark.parametrize("ours", COUNTERPART)
def test_the_roles_correspond_with_routers_that_require_one(
    program: Program, start_routers: StartRouters, ours: str
) -> None:
    take_role(program, ours)
    routers = start_routers(COUNTERPART[ours], True)
    for name in ("bird", "frr"):
        has_session(program, name, ours, COUNTERPART[ours])
    have_the_route(routers)


@pytest.mark.parametrize(
    ("ours", "marked"), [("provider", True), ("peer", True), ("customer", False)]
)
def test_a_role_on_our_side_alone_is_no_obstacle_and_routers_see_the_mark(
    program: Program, start_routers: StartRouters, ours: str, marked: bool
) -> None:
    take_role(program, ours)
    bird, frr = start_routers(WITHOUT_ROLE, False)
    for name in ("bird", "frr"):
        has_session(program, name, ours, WITHOUT_ROLE)
    have_the_route((bird, frr))
    assert ("BGP.otc: 65000" in bird.command("show route all")) is marked
    assert ("otc 65000" in frr.command("show bgp ipv4 unicast 203.0.113.1/32")) is marked


@pytest.mark.parametrize(("ours", "theirs"), [("provider", "provider"), ("customer", "peer")])
def test_roles_that_do_not_correspond_keep_the_session_down_and_say_why(
    program: Program, start_routers: StartRouters, ours: str, theirs: str
) -> None:
    take_role(program, ours)
    routers = start_routers(theirs, False)
    for name in ("bird", "frr"):
        reason = (
            f"our role is {ours}, so the peer's must be {COUNTERPART[ours]}, but it says {theirs}"
        )
        has_none(program, name, reason, "the peer sent Role Mismatch (2/11)")
    assert [router.routes() for router in routers] == [{}, {}]


def test_routers_that_require_a_role_refuse_us_without_one(
    program: Program, start_routers: StartRouters
) -> None:
    take_role(program, WITHOUT_ROLE)
    start_routers("provider", True)
    for name in ("bird", "frr"):
        has_none(program, name, "the peer sent Role Mismatch (2/11)")


def test_a_role_of_the_routers_alone_is_no_obstacle(
    program: Program, start_routers: StartRouters
) -> None:
    take_role(program, WITHOUT_ROLE)
    routers = start_routers("provider", False)
    for name in ("bird", "frr"):
        has_session(program, name, WITHOUT_ROLE, WITHOUT_ROLE)
    have_the_route(routers)


@pytest.mark.parametrize("values", ["090100090104", "0901000901000901ff", "090107", "090103"])
def test_different_unassigned_and_wrong_roles_are_a_mismatch(
    fabric: Fabric, program: Program, values: str
) -> None:
    take_role(program, "customer")
    peer = RawPeer(fabric.hosts["gobgpd"], OURS, LEAVES["gobgpd"])
    peer.send(open_message(more=bytes.fromhex(values)))
    assert peer.read_until(NOTIFICATION) == b"\x02\x0b"
    peer.close()
    has_none(program, "gobgpd", "our role is customer, so the peer's must be provider, but it says")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("0900", "none"),
        ("09020000", "none"),
        ("0900090103", "customer"),
        ("090103090103", "customer"),
    ],
)
def test_a_malformed_role_is_none_and_the_same_twice_is_one(
    fabric: Fabric, program: Program, values: str, said: str
) -> None:
    take_role(program, "provider")
    peer = RawPeer(fabric.hosts["gobgpd"], OURS, LEAVES["gobgpd"])
    peer.establish(more=bytes.fromhex(values))
    has_session(program, "gobgpd", "provider", said)
    assert bytes.fromhex("c02304" + "0000fde8") in peer.read_until(UPDATE)
    peer.close()
    wait_for(lambda: report(program, "gobgpd")["state"], lambda s: s != "Established", 5, "its end")
