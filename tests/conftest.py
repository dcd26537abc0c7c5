"""However the tests are ended, what they built is taken down; and how they share the workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from fabric.ending import take_signals

# a worker that begins one of these late would be the last to end
_LONGEST_FIRST = (
    # tests/unit
    "test_liveness_process",
    "test_directory_files",
    "test_cli",
    "test_bfd_monitor",
    "test_journal_attributes",
    "test_outbound",
    # tests/functional
    "test_storms_http",
    "test_storms_bgp",
    "test_transport",
    "test_graceful_restart",
    "test_fan_out",
    "test_random_faults",
    "test_hostile",
    "test_directory_faults",
    "test_bound_ips",
    "test_bound_ips_faults",
    "test_image",
    "test_liveness",
    "test_check",
    "test_page",
    "test_openflow_life",
    "test_openflow_beside_bgp",
    "test_all_together",
    # tests/cluster
    "test_refused_calls",
    "test_end_to_end",
    "test_faults",
    "test_benchmarks",
    "test_drain",
    "test_lease",
    "test_shipped",
)
# no costly fixture is shared by the tests of these, or each worker has it: each may run anywhere
_SPREAD = frozenset({
    "test_bound_ips", "test_bound_ips_faults", "test_bound_ips_kernel", "test_commands",
    "test_fan_out", "test_fan_out_sessions", "test_faults", "test_http", "test_lease",
    "test_refused_calls", "test_shipped",
})  # fmt: skip


def pytest_configure() -> None:
    """What is ended by a signal is taken down, too."""
    take_signals()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first."""
    places = {name: place for place, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """The tests of a file run on one worker, where their fixtures are, but for those that are to be
    spread."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return nodeid if Path(path).stem in _SPREAD else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile | None:
    """How the tests are shared out with --dist loadfile."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None
