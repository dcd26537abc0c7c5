"""Says in the log what a turn found odd, and when the loss of nodes begins and ceases to be
doubted."""

from __future__ import annotations

import logging

from porter_ryu.complaints import Complaints
from porter_ryu.domain.turn import Turn

LOG = logging.getLogger(__name__)

_NODES = "nodes"


class TurnLog:
    """Follows the turns."""

    def __init__(self) -> None:
        self._alarm = Complaints(
            LOG,
            "ALARM: %(wrong)s: that is not believed, and they count as Ready as they were "
            "([kubernetes] panic_percent)",
            "ALARM over: nodes are back, and their readiness is believed again",
        )

    def follow(self, turn: Turn) -> None:
        """Logs what is to be said of a turn."""
        for text in turn.warnings:
            LOG.warning("%s", text)
        self._alarm.note(_NODES, "almost all nodes are lost at once" if turn.nodes_doubted else "")
