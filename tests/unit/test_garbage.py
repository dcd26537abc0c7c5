"""What was listed is out of the collector's sight; what comes later is collected."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from porter_ryu.garbage import Garbage


class Cycle:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The collector of the tests is theirs, and what it has to walk here is little."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_what_a_list_brought_is_spared() -> None:
    lists = [0]
    garbage = Garbage(lambda: lists[0])
    gc.freeze()  # else a busy machine takes long to walk what the other tests left
    frozen = gc.get_freeze_count()
    garbage.collect()
    between = gc.get_freeze_count()
    assert between <= frozen  # some of what is frozen may end by itself
    brought = [Cycle() for _ in range(1000)]
    lists[0] = 5
    garbage.collect()
    assert gc.get_freeze_count() > between
    assert len(brought) == 1000


def test_a_cycle_that_came_after_it_is_collected() -> None:
    garbage = Garbage(lambda: 1)
    garbage.collect()
    gone = weakref.ref(Cycle())
    garbage.collect()
    assert gone() is None
