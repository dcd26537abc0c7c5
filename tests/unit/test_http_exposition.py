"""The Prometheus text: a deleted object leaves no series, and a scrape changes nothing."""

from __future__ import annotations

import eventlet

from fabric.objects import Json
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.model import Eip, Family, Kind
from porter_ryu.http.exposition import Exposition, ProcessState
from tests.unit.world import World, endpoints, node, service

PROCESS = ProcessState(
    bound_ips=lambda: 0,
    state_dir_writable=lambda: True,
    loop_lag=lambda: 0.0,
    reloaded=lambda: True,
    nodes_probed=dict,
    probes_doubted=lambda: False,
)


def peer(name: str, state: str = "Established") -> Json:
    """A session report."""
    up = state == "Established"
    return {
        "name": name,
        "state": state,
        "establishedSeconds": 7.5 if up else 0.0,
        "paths": {"ipv4": 3, "ipv6": 0},
    }


def lines(exposition: Exposition) -> list[str]:
    """The lines of the text without comments."""
    return [line for line in exposition.text().decode().splitlines() if not line.startswith("#")]


def test_a_session_that_is_down_and_one_that_was_removed() -> None:
    peers = [peer("leaf1"), peer("leaf2", "Active")]
    exposition = Exposition(World().planner, lambda: peers, PROCESS)
    assert 'porter_bgp_session_up{peer="leaf1"} 1.0' in lines(exposition)
    assert 'porter_bgp_session_up{peer="leaf2"} 0.0' in lines(exposition)
    assert 'porter_bgp_paths_announced{family="ipv4",peer="leaf1"} 3.0' in lines(exposition)
    assert 'porter_bgp_session_established_seconds{peer="leaf1"} 7.5' in lines(exposition)
    peers.pop()
    assert not [line for line in lines(exposition) if "leaf2" in line]


def test_gauges_of_the_process_are_read_at_the_scrape() -> None:
    bound, late = [1], [0.5]
    process = ProcessState(
        lambda: bound[0],
        lambda: bound[0] == 1,
        lambda: late[0],
        lambda: False,
        lambda: {Family.IPV4: bound[0] + 1},
        lambda: True,
    )
    exposition = Exposition(World().planner, list, process)
    assert {
        "porter_bound_ips 1.0",
        "porter_state_dir_writable 1.0",
        "porter_loop_lag_seconds 0.5",
        "porter_config_last_reload_successful 0.0",
        'porter_nodes_probed{family="ipv4"} 2.0',
        "porter_probes_doubted 1.0",
    } <= set(lines(exposition))
    bound[0], late[0] = 7, 0.25
    assert {
        "porter_bound_ips 7.0",
        "porter_state_dir_writable 0.0",
        "porter_loop_lag_seconds 0.25",
    } <= set(lines(exposition))


def test_aggregates_and_problems_of_eips_are_counted() -> None:
    entry = AdvertisementEntry(frozenset(["leaf9"]), aggregation_length=30)
    world = World(Eip("pool", "203.0.113.0/30", advertisements=(entry,))).put(
        node("n1", "192.168.9.11"), service("web"), endpoints("web", "n1")
    )
    exposition = Exposition(world.planner, list, PROCESS)
    assert {"porter_aggregates 1.0", "porter_eips_with_problem 1.0"} <= set(lines(exposition))
    world.put(Eip("pool", "203.0.113.0/30"))
    assert {"porter_aggregates 0.0", "porter_eips_with_problem 0.0"} <= set(lines(exposition))


def test_a_deleted_eip_and_service_leave_no_series() -> None:
    world = World(Eip("pool", "203.0.113.0/30")).put(
        node("n1", "192.168.9.11"), service("web"), endpoints("web", "n1")
    )
    exposition = Exposition(world.planner, list, PROCESS)
    assert 'porter_services{state="Announced"} 1.0' in lines(exposition)
    assert 'porter_eip_pool_used{eip="pool"} 1.0' in lines(exposition)
    world.remove(Kind.SERVICE, "web").remove(Kind.EIP, "pool")
    assert not [line for line in lines(exposition) if 'eip="pool"' in line or "Announced" in line]


def test_many_eips_are_one_metric_with_one_help_line() -> None:
    world = World(*(Eip(f"p{n:05}", f"10.{n >> 8}.{n & 255}.0/32") for n in range(2_000)))
    world.turn()
    text = Exposition(world.planner, list, PROCESS).text().decode()
    assert text.count("# TYPE porter_eip_pool_size gauge") == 1
    assert text.count("\nporter_eip_pool_size{") == 2_000
    assert text.endswith("\n")


def test_names_are_escaped() -> None:
    exposition = Exposition(World().planner, lambda: [peer('a"b\\c\nd')], PROCESS)
    assert 'porter_bgp_session_up{peer="a\\"b\\\\c\\nd"} 1.0' in lines(exposition)


def test_many_scrapes_at_once_make_at_most_two_texts() -> None:
    made = []

    def peers() -> list[Json]:
        made.append(1)
        eventlet.sleep(0)
        return [peer("leaf")]

    exposition = Exposition(World().planner, peers, PROCESS)
    scrapes = [eventlet.spawn(exposition.text) for _ in range(40)]
    texts = {scrape.wait() for scrape in scrapes}
    assert len(made) <= 2
    assert all(b'porter_bgp_session_up{peer="leaf"} 1.0' in text for text in texts)
