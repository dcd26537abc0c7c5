"""Which nodes are dead by their probes, with a clock that the test moves."""

from __future__ import annotations

import random

import pytest

from porter_ryu.domain.nodes.liveness import Findings, Liveness, LivenessRule
from porter_ryu.liveness.schedule import Schedule

INTERVAL, TIMEOUT = 0.25, 0.0625
TICK = 0.005


class _Target:
    """One probe of a node in the simulation."""

    def __init__(self, node: str, index: int) -> None:
        self.node, self.index = node, index
        self.sequence = self.settled = 0
        self.removed = False


class Network:
    """Nodes that are probed by the real schedule, and answer at once unless they are cut off."""

    def __init__(
        self,
        count: int = 10,
        multiplier: int = 3,
        percent: int = 90,
        probes: int = 1,
        known: dict[str, Findings] | None = None,
        ours: str = "",
    ) -> None:
        self.now = 100.0
        self.names = [f"n{number}" for number in range(count)]
        self.silent: set[tuple[str, int]] = set()
        self.ever_dead: set[str] = set()
        self.liveness = Liveness(LivenessRule(multiplier, INTERVAL, TIMEOUT, percent))
        self._schedule: Schedule[_Target] = Schedule(INTERVAL, TIMEOUT)
        for name in self.names:
            labels = [f"probe{index}" for index in range(probes)]
            found = (known or {}).get(name)
            self.liveness.add(name, labels, found, self.now, ours=name == ours)
            for index in range(probes):
                self._schedule.add(_Target(name, index), self.now)

    def cut(self, *names: str, index: int = 0) -> None:
        """These nodes do not answer a probe any more."""
        self.silent |= {(name, index) for name in names}

    def mend(self, *names: str, index: int = 0) -> None:
        """They answer again."""
        self.silent -= {(name, index) for name in names}

    def run(self, seconds: float) -> set[str]:
        """Time passes; returns the nodes that were believed dead at some time meanwhile."""
        until, self.ever_dead = self.now + seconds, set()
        while self.now < until:
            self.now += TICK
            self.tick()
        return self.ever_dead

    def tick(self) -> None:
        """One round of the process."""
        for target in self._schedule.missed(self.now):
            self.liveness.missed(target.node, target.index, "no answer")
        for target in self._schedule.turns(self.now):
            self._schedule.sent(target, self.now)
            if (target.node, target.index) not in self.silent:
                target.settled = target.sequence
                self.liveness.answered(target.node, target.index)
        if self._schedule.pop_late():
            self.liveness.was_late(self.now)
        self.liveness.judge(self.now)
        self.ever_dead |= self.liveness.dead

    def sleep(self, seconds: float) -> None:
        """The process does not run."""
        self.now += seconds


def seconds_until_dead(network: Network, name: str) -> float:
    """How long it takes until a node is dead."""
    began = network.now
    while name not in network.liveness.dead:
        assert network.now < began + 60
        network.run(TICK)
    return network.now - began


@pytest.mark.parametrize("multiplier", [1, 2, 3, 5])
def test_so_many_misses_in_a_row_make_a_node_dead_and_so_many_answers_bring_it_back(
    multiplier: int,
) -> None:
    for delay in range(10):
        network = Network(multiplier=multiplier)
        assert not network.run(2 + delay * INTERVAL / 10)
        network.cut("n3")
        least = max(multiplier - 1, 0) * INTERVAL
        most = max(multiplier, 2) * INTERVAL + TIMEOUT
        assert least <= seconds_until_dead(network, "n3") <= most + 3 * TICK
        assert network.liveness.dead == {"n3"}
        why = f"probe0 failed {multiplier} times in a row (no answer)"
        assert network.liveness.findings("n3").dead == why
        network.mend("n3")
        network.run((multiplier - 1) * INTERVAL - TICK)
        assert network.liveness.dead == {"n3"}
        network.run(INTERVAL + 2 * TICK)
        assert not network.liveness.dead
        assert network.liveness.findings("n3") == Findings()


def test_a_node_that_misses_now_and_then_lives() -> None:
    network = Network()
    network.run(2)
    for _ in range(20):
        network.cut("n1")
        assert not network.run(2 * INTERVAL)
        network.mend("n1")
        assert not network.run(INTERVAL)


@pytest.mark.parametrize("multiplier", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_when_all_fall_silent_at_once_none_is_believed_dead(count: int, multiplier: int) -> None:
    for delay in range(0, 10, 3):
        network = Network(count, multiplier)
        network.run(2 + delay * INTERVAL / 10)
        network.cut(*network.names)
        assert not network.run(8)
        assert network.liveness.doubted
        network.mend(*network.names)
        assert not network.run(8), "they come back one after the other"
        assert not network.liveness.doubted


@pytest.mark.parametrize("count", [2, 4, 10])
def test_the_node_that_we_run_on_does_not_count_in_the_share(count: int) -> None:
    """When our link is cut, it answers all the same."""
    network = Network(count, ours="n0")
    network.run(2)
    network.cut(*network.names[1:])
    assert not network.run(20)
    assert network.liveness.doubted
    network.mend(*network.names)
    assert not network.run(10)
    network.cut("n0")
    assert network.run(1) == {"n0"}, "its kube-proxy, for example"
    assert not network.liveness.doubted


def test_a_loss_within_the_doubt_is_believed_after_it() -> None:
    network = Network()
    network.run(2)
    network.cut(*network.names)
    network.run(10)
    network.mend(*network.names[1:])
    assert not network.run(4)
    assert network.run(4) == {"n0"}
    assert not network.liveness.doubted


def test_the_share_counts_and_not_the_number() -> None:
    network = Network(10, percent=50)
    network.run(2)
    network.cut(*network.names[:5])
    assert network.run(2) == set(network.names[:5])
    network = Network(10, percent=50)
    network.run(2)
    network.cut(*network.names[:6])
    assert not network.run(30)
    assert network.liveness.doubted
    network = Network(10, percent=100)
    network.run(2)
    network.cut(*network.names)
    assert network.run(2) == set(network.names), "100: every loss is believed"


def test_nodes_that_are_lost_within_five_seconds_are_lost_together() -> None:
    network = Network(10)
    network.run(2)
    network.cut(*network.names[:9])
    assert network.run(3) == set(network.names[:9]), "90 % are not more than 90 %"
    network.cut("n9")
    network.run(1.5)
    assert network.liveness.doubted
    assert not network.liveness.dead, "those that were believed dead are not any more"


def test_nodes_that_were_dead_for_long_are_not_present() -> None:
    network = Network(10)
    network.run(2)
    network.cut(*network.names[:5])
    network.run(10)
    network.cut("n5")
    assert seconds_until_dead(network, "n5") < 1, "one of five"
    network.run(10)
    network.cut(*network.names)
    network.run(10)
    assert network.liveness.doubted
    assert network.liveness.dead == set(network.names[:6]), "the doubt revives none of them"


def test_a_probe_that_was_never_answered_counts_for_nothing_and_is_named() -> None:
    network = Network(3, probes=2)
    network.cut(*network.names, index=1)
    network.cut("n0", index=0)
    assert not network.run(20)
    assert network.liveness.findings("n1") == Findings("", ("probe1",))
    assert network.liveness.findings("n0") == Findings("", ("probe0", "probe1"))
    network.mend("n1", index=1)
    network.run(1)
    assert network.liveness.findings("n1") == Findings()
    network.cut("n1", index=1)
    assert network.run(2) == {"n1"}


def test_each_probe_counts_by_itself() -> None:
    network = Network(4, probes=3)
    network.run(2)
    network.cut("n2", index=2)
    assert network.run(1) == {"n2"}
    assert network.liveness.findings("n2").dead.startswith("probe2 failed 3 times")
    network.cut("n2", index=0)
    network.mend("n2", index=2)
    network.run(3)
    assert network.liveness.dead == {"n2"}
    network.mend("n2", index=0)
    network.run(1)
    assert not network.liveness.dead


def test_a_process_that_sleeps_takes_nobody_for_dead() -> None:
    network = Network(100)
    network.run(2)
    for seconds in (0.1, 0.2, 0.3, 1, 7, 0.05, 60):
        network.sleep(seconds)
        assert not network.run(0.3)
    network.cut("n7")
    assert seconds_until_dead(network, "n7") < 1.2, "after it was late"


def test_all_fall_silent_while_the_process_sleeps_and_none_is_believed_dead() -> None:
    for multiplier in (1, 2, 3, 4):
        for delay in range(20):
            network = Network(30, multiplier)
            network.run(2)
            network.cut(*network.names)
            assert not network.run(delay * 0.04)
            network.sleep(0.1 + 0.06 * (delay * 7 % 20))
            assert not network.run(2)
            assert network.liveness.doubted


def test_the_process_sleeps_several_times_while_all_fall_silent() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        network = Network(20)
        network.run(1.5)
        network.cut(*network.names)
        for _ in range(3):
            assert not network.run(chance.uniform(0, 0.4))
            network.sleep(chance.uniform(0, 0.4))
        assert not network.run(2)
        assert network.liveness.doubted


def test_a_new_process_takes_over_what_was_found() -> None:
    found = {"n0": Findings("probe0 failed", ()), "n1": Findings("", ("probe0",))}
    network = Network(4, known=found | {"n2": Findings(), "n3": Findings()})
    network.cut("n0", "n1")
    assert network.run(5) == {"n0"}
    assert network.liveness.findings("n0").dead == "probe0 failed"
    network.cut("n2")
    assert network.run(1.2) == {"n0", "n2"}, "it was answered in the earlier process"
    network.mend("n0")
    network.run(2)
    assert "n0" not in network.liveness.dead


def test_a_node_that_is_gone_or_new_leaves_nothing_behind() -> None:
    network = Network(4)
    network.run(2)
    network.cut(*network.names[:2])
    assert network.run(1) == {"n0", "n1"}
    network.liveness.remove("n0")
    network.liveness.add("n1", ["probe0"], None, network.now)
    network.liveness.judge(network.now)
    assert network.liveness.findings("n1") == Findings()
    assert not network.liveness.dead
    for name in network.names[1:]:
        network.liveness.remove(name)
    assert not network.liveness.judge(network.now + 100)


def test_only_changes_are_reported() -> None:
    network = Network(3)
    network.run(2)
    for _ in range(3):
        network.liveness.missed("n1", 0, "no answer")
    assert network.liveness.judge(network.now) == {"n1"}
    for _ in range(3):
        network.liveness.missed("n1", 0, "another reason")
    assert not network.liveness.judge(network.now)
