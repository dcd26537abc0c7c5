"""The Prometheus text: what is counted is what is, every series is there from the start, a deleted
object leaves none, and a scrape changes nothing."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import eventlet
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from porter_ryu import metrics
from porter_ryu.bgp.bfd.monitor import BfdReport
from porter_ryu.bgp.peer_report import PeerReport, report_not_running
from porter_ryu.bgp.protocol.ending import Cause
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.model import Eip, Family, Kind, Network, Port
from porter_ryu.domain.ports import SourceState
from porter_ryu.domain.verdict import Reason
from porter_ryu.http.exposition import Exposition
from porter_ryu.http.gauge_values import ConfigInfo, ProcessState
from tests.unit import peers
from tests.unit.world import World, endpoints, key, node, service

PROCESS = ProcessState(
    version="1.2.3",
    config=ConfigInfo("directory", "true", "true", "false", "endpoints", "none"),
    ready=lambda: True,
    faults=lambda: 0,
    loop_lag=lambda: 0.0,
    reloaded=lambda: True,
    state_dir_writable=lambda: True,
    source=lambda: SourceState("", {}, {}, ""),
    bound_ips=lambda: 0,
    nodes_probed=dict,
    probes_doubted=lambda: False,
    peers=tuple,
    is_sent=lambda _prefix: True,
)


def process(**fields: Any) -> ProcessState:
    """A process with these parts."""
    return replace(PROCESS, **fields)


def peer(name: str, state: str = "Established") -> PeerReport:
    """A session report."""
    age = 7.5 if state == "Established" else 0.0
    paths = {"ipv4": 3, "ipv6": 0}
    down = report_not_running(peers.peer(name), "")
    return replace(down, state=state, established_seconds=age, paths=paths)


def with_peers(*sessions: PeerReport) -> Exposition:
    """The exposition of these sessions."""
    return Exposition(World().planner, process(peers=lambda: sessions))


def lines(exposition: Exposition) -> list[str]:
    """The lines of the text without comments."""
    return [line for line in exposition.text().decode().splitlines() if not line.startswith("#")]


def states(exposition: Exposition) -> dict[str, int]:
    """How many Services are in each state that a Service is in."""
    found = (line.split('"') for line in lines(exposition) if line.startswith("porter_services{"))
    return {part[1]: int(float(part[2][2:])) for part in found if part[2] != "} 0.0"}


def test_a_session_that_is_down_and_one_that_was_removed() -> None:
    sessions = [peer("leaf1"), peer("leaf2", "Active")]
    exposition = Exposition(World().planner, process(peers=lambda: tuple(sessions)))
    assert {
        'porter_bgp_session_up{peer="leaf1"} 1.0',
        'porter_bgp_session_up{peer="leaf2"} 0.0',
        'porter_bgp_paths_announced{family="ipv4",peer="leaf1"} 3.0',
        'porter_bgp_session_established_seconds{peer="leaf1"} 7.5',
        'porter_bgp_peer_info{address="192.0.2.1",peer="leaf2",remote_as="65001"} 1.0',
    } <= set(lines(exposition))
    sessions.pop()
    assert not [line for line in lines(exposition) if "leaf2" in line]


def test_a_peer_that_does_not_run_has_every_series() -> None:
    exposition = with_peers(report_not_running(peers.peer("new"), "there is no route to it"))
    found = set(lines(exposition))
    assert {
        'porter_bgp_session_up{peer="new"} 0.0',
        'porter_bgp_paths_announced{family="ipv4",peer="new"} 0.0',
        'porter_bgp_paths_announced{family="ipv6",peer="new"} 0.0',
        'porter_bgp_updates_sent_total{peer="new"} 0.0',
        'porter_bgp_messages_received_total{peer="new",type="keepalive"} 0.0',
    } <= found
    drops = {f'porter_bgp_session_drops_total{{peer="new",reason="{c.value}"}} 0.0' for c in Cause}
    assert drops <= found


def test_series_that_depend_on_no_object_are_there_from_the_start() -> None:
    found = set(lines(Exposition(World().planner, PROCESS)))
    series = {line.rpartition(" ")[0] for line in found}
    assert {f'porter_services{{state="{reason.value}"}} 0.0' for reason in Reason} <= found
    for kind in Kind:
        assert f'porter_kubernetes_last_event_timestamp_seconds{{kind="{kind.value}"}}' in series
        for reason in ("Ended", "Gone", "Forbidden", "ConnectionRefused", "TimedOut"):
            labels = f'{{kind="{kind.value}",reason="{reason}"}}'
            assert f"porter_kubernetes_watch_restarts_total{labels}" in series
    for labels in (
        'code="200",kind="services"',
        'code="409",kind="eips"',
        'code="201",kind="events"',
    ):
        assert f"porter_kubernetes_writes_total{{{labels}}}" in series


def test_every_line_can_be_parsed_and_no_counter_says_when_it_was_made() -> None:
    text = with_peers(peer("leaf1")).text().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(family.documentation for family in families.values())
    assert "_created" not in text
    assert {"process_resident_memory", "process_cpu_seconds", "process_open_fds"} & families.keys()
    assert 'porter_build_info{version="1.2.3"} 1.0' in text


def test_gauges_of_the_process_are_read_at_the_scrape() -> None:
    now = {"bound": 1, "lag": 0.5, "faults": 2}
    heard = SourceState(
        "", {Kind.NODE: 1700000000.5}, {Kind.NODE: 1700000001.0}, "", {Kind.NODE: 1700000002.0}
    )
    bfd = {state: BfdReport(state, 1.0, "", 300, 3) for state in ("up", "down")}
    exposition = Exposition(
        World().planner,
        process(
            bound_ips=lambda: now["bound"],
            state_dir_writable=lambda: now["bound"] == 1,
            loop_lag=lambda: now["lag"],
            reloaded=lambda: False,
            nodes_probed=lambda: {Family.IPV4: 2},
            probes_doubted=lambda: True,
            ready=lambda: now["bound"] == 1,
            faults=lambda: now["faults"],
            source=lambda: heard,
            peers=lambda: (
                replace(peer("leaf1"), bfd=bfd["up"]),
                replace(peer("leaf2"), bfd=bfd["down"]),
                peer("leaf3"),
            ),
        ),
    )
    assert {
        "porter_bound_ips 1.0",
        "porter_state_dir_writable 1.0",
        "porter_loop_lag_seconds 0.5",
        "porter_config_last_reload_successful 0.0",
        'porter_nodes_probed{family="ipv4"} 2.0',
        'porter_nodes_probed{family="ipv6"} 0.0',
        "porter_probes_doubted 1.0",
        "porter_ready 1.0",
        "porter_task_faults 2.0",
        'porter_bfd_session_up{peer="leaf1"} 1.0',
        'porter_bfd_session_up{peer="leaf2"} 0.0',
        'porter_kubernetes_last_event_timestamp_seconds{kind="nodes"} 1.7000000005e+09',
        'porter_kubernetes_last_list_timestamp_seconds{kind="nodes"} 1.700000001e+09',
        'porter_kubernetes_last_watch_timestamp_seconds{kind="nodes"} 1.700000002e+09',
    } <= set(lines(exposition))
    now |= {"bound": 7, "lag": 0.25, "faults": 0}
    assert not [line for line in lines(exposition) if 'bfd_session_up{peer="leaf3"' in line]
    assert {
        "porter_bound_ips 7.0",
        "porter_state_dir_writable 0.0",
        "porter_loop_lag_seconds 0.25",
        "porter_ready 0.0",
        "porter_task_faults 0.0",
    } <= set(lines(exposition))


def test_aggregates_and_problems_of_eips_are_counted() -> None:
    entry = AdvertisementEntry(frozenset(["leaf1", "leaf9"]), aggregation_length=30)
    world = World(Eip("pool", "203.0.113.0/30", advertisements=(entry,))).put(
        node("n1", "192.168.9.11"), service("web"), endpoints("web", "n1")
    )
    exposition = Exposition(world.planner, PROCESS)
    assert {"porter_aggregates 1.0", "porter_eips_with_problem 1.0"} <= set(lines(exposition))
    world.put(Eip("pool", "203.0.113.0/30"))
    assert {"porter_aggregates 0.0", "porter_eips_with_problem 0.0"} <= set(lines(exposition))


def test_a_deleted_eip_leaves_no_series_and_a_deleted_service_is_not_counted() -> None:
    world = World(Eip("pool", "203.0.113.0/30")).put(
        node("n1", "192.168.9.11"), service("web"), endpoints("web", "n1")
    )
    exposition = Exposition(world.planner, PROCESS)
    assert states(exposition) == {"Announced": 1}
    assert 'porter_eip_pool_used{eip="pool"} 1.0' in lines(exposition)
    world.remove(Kind.SERVICE, "web").remove(Kind.EIP, "pool")
    assert states(exposition) == {}
    assert not [line for line in lines(exposition) if line.startswith("porter_eip_pool")]


def test_a_service_counts_as_announced_only_when_it_is_recorded_and_sent() -> None:
    """Two share an address that the peers have; the record of one of them is not written yet."""
    world = World(Eip("pool", "203.0.113.0/30")).put(
        node("n1", "192.168.9.11"),
        service("first", share_key="k", requested="203.0.113.1"),
        endpoints("first", "n1"),
    )
    sent: set[Network] = set()
    parts = process(is_sent=sent.__contains__)
    exposition = Exposition(world.planner, parts)
    assert states(exposition) == {"Allocated": 1}, "no peer was sent it"
    sent.add(ip_network("203.0.113.1/32"))
    assert states(exposition) == {"Announced": 1}
    ports = frozenset([Port("TCP", 81)])
    world.stage(service("second", share_key="k", requested="203.0.113.1", ports=ports))
    world.stage(endpoints("second", "n1"))
    world.planner.turn(lambda: None, now=0.0)  # and nothing is written
    assert world.planner.decisions[key("second")].outcome.held
    assert states(exposition) == {"Announced": 1, "Allocated": 1}
    world.planner.resync()
    world.turn()
    assert states(exposition) == {"Announced": 2}


def test_a_scrape_of_many_services_looks_at_each_once_and_lets_others_run() -> None:
    world = World(Eip("pool", "10.0.0.0/16"))
    world.stage(node("n1", "192.168.9.11"))
    for number in range(2_000):
        world.stage(service(f"s{number}"))
        world.stage(endpoints(f"s{number}", "n1"))
    world.turn()
    asked: list[Network] = []
    turns: list[int] = []

    def is_sent(prefix: Network) -> bool:
        asked.append(prefix)
        return True

    def others() -> None:
        while True:
            turns.append(len(asked))
            eventlet.sleep(0)

    sessions = tuple(peer(f"leaf{number}") for number in range(64))
    exposition = Exposition(world.planner, process(is_sent=is_sent, peers=lambda: sessions))
    other = eventlet.spawn(others)
    assert states(exposition) == {"Announced": 2_000}
    other.kill()
    assert len(asked) == len(set(asked)) == 2_000
    assert any(0 < count < 2_000 for count in turns)


def test_many_eips_are_one_metric_with_one_help_line() -> None:
    world = World(*(Eip(f"p{n:05}", f"10.{n >> 8}.{n & 255}.0/32") for n in range(2_000)))
    world.turn()
    text = Exposition(world.planner, PROCESS).text().decode()
    assert text.count("# TYPE porter_eip_pool_size gauge") == 1
    assert text.count("\nporter_eip_pool_size{") == 2_000
    assert text.endswith("\n")


def test_the_counters_of_many_peers_are_one_metric_with_one_help_line() -> None:
    text = with_peers(*(peer(f"leaf{n}") for n in range(64))).text().decode()
    assert text.count("# TYPE porter_bgp_session_drops_total counter") == 1
    assert text.count("\nporter_bgp_session_drops_total{") == 64 * len(Cause)
    assert not [line for line in lines(with_peers()) if 'peer="leaf' in line]


@pytest.mark.parametrize("reason", ["hold-timer", "a reason that is on no list"])
def test_what_is_counted_of_a_peer_that_is_gone_leaves_no_series(reason: str) -> None:
    metrics.bgp_session_drops.labels("gone", reason).inc()
    assert not [line for line in lines(with_peers(peer("leaf"))) if "gone" in line]
    assert (
        metrics.REGISTRY.get_sample_value(
            "porter_bgp_session_drops_total", {"peer": "gone", "reason": reason}
        )
        is None
    )


def test_names_are_escaped() -> None:
    assert 'porter_bgp_session_up{peer="a\\"b\\\\c\\nd"} 1.0' in lines(
        with_peers(peer('a"b\\c\nd'))
    )


def test_many_scrapes_at_once_make_at_most_two_texts() -> None:
    made = []

    def sessions() -> tuple[PeerReport, ...]:
        made.append(1)
        eventlet.sleep(0)
        return (peer("leaf"),)

    exposition = Exposition(World().planner, process(peers=sessions))
    scrapes = [eventlet.spawn(exposition.text) for _ in range(40)]
    texts = {scrape.wait() for scrape in scrapes}
    assert len(made) <= 2
    assert all(b'porter_bgp_session_up{peer="leaf"} 1.0' in text for text in texts)
