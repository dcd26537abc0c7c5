"""The labels of `porter_kubernetes_writes_total`: what can become of a write, for each kind."""

from __future__ import annotations

from collections.abc import Mapping

from porter_ryu.domain.model import Kind
from porter_ryu.kube.errors import CODES

EVENTS = "events"
WRITTEN, CREATED = "200", "201"
FAILED = "failed"
"""An unexpected error of this program."""
DROPPED = "dropped"
"""An Event that was not written, because there were too many."""

WRITE_CODES: Mapping[str, tuple[str, ...]] = {
    Kind.SERVICE.value: (WRITTEN, *CODES, FAILED),
    Kind.EIP.value: (WRITTEN, *CODES, FAILED),
    EVENTS: (CREATED, *CODES, FAILED, DROPPED),
}
"""The values of `code` by `kind`."""
