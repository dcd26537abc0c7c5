"""Says in the log what a turn found odd, and when the loss of nodes begins and ceases to be
doubted."""

from __future__ import annotations

import logging

from porter_ryu.domain.turn import Turn

LOG = logging.getLogger(__name__)


class TurnLog:
    """Follows the turns."""

    def __init__(self) -> None:
        self._doubted = False

    def follow(self, turn: Turn) -> None:
        """Logs what is to be said of a turn."""
        for text in turn.oddities:
            LOG.warning("%s", text)
        if turn.nodes_doubted and not self._doubted:
            LOG.error(
                "ALARM: almost all nodes are lost at once: that is not believed, and they count "
                "as Ready as they were ([kubernetes] panic_percent)"
            )
        elif self._doubted and not turn.nodes_doubted:
            LOG.warning("ALARM over: nodes are back, and their readiness is believed again")
        self._doubted = turn.nodes_doubted
