"""One cluster for all tests of this tier, or for each worker; each test names the faults that it
makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fabric.control_plane import binaries
from fabric.objects import eip
from tests.cluster.audit import forbidden
from tests.cluster.harness import Cluster, standing

POOL = "203.0.113.8/29"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster.  Fails at its end if anything was forbidden to the program meanwhile."""
    with standing(binaries()) as cluster:
        yield cluster
        assert not forbidden(cluster.api)


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a pool, and without Services and Pods of other tests, before and after."""
    _sweep(cluster)
    cluster.api.apply(eip("pool", POOL))
    yield cluster
    _sweep(cluster)


def _sweep(cluster: Cluster) -> None:
    for worker in cluster.workers.values():
        worker.speak()
    cluster.api.delete_all("service", but="kubernetes")
    cluster.api.delete_all("pod")
