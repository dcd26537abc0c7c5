"""The objects of a list are frozen; objects that are made later are collected."""

from __future__ import annotations

import gc
import resource
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from porter_ryu.garbage import GarbageCollector


class Cycle:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def frozen_test_objects() -> Iterator[None]:
    """Hides the objects of the other tests from the collector, so that each collection is fast."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_the_objects_of_a_list_are_frozen() -> None:
    lists = [0]
    garbage = GarbageCollector(lambda: lists[0])
    gc.freeze()  # a slow collection would freeze, too
    frozen = gc.get_freeze_count()
    garbage.collect()
    between = gc.get_freeze_count()
    assert between <= frozen  # frozen objects may be freed meanwhile
    listed = [Cycle() for _ in range(1000)]
    lists[0] = 5
    garbage.collect()
    assert gc.get_freeze_count() > between
    assert len(listed) == 1000


def test_a_cycle_made_after_the_list_is_collected() -> None:
    garbage = GarbageCollector(lambda: 1)
    garbage.collect()
    cycle = weakref.ref(Cycle())
    garbage.collect()
    assert cycle() is None


def test_what_a_list_left_is_given_back_to_the_kernel() -> None:
    lists = [0]
    garbage = GarbageCollector(lambda: lists[0])
    garbage.collect()
    texts = [bytes(5000) for _ in range(20_000)]
    last = bytes(5000)  # above all of them in the heap, so that freeing them gives nothing back
    del texts
    before = resident()
    lists[0] = 1
    garbage.collect()
    assert before - resident() > 50_000_000
    assert len(last) == 5000


def resident() -> int:
    """The memory of this process that is resident, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
