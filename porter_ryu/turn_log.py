"""Logs the notices and warnings of a turn, problems of Eips when they begin and end, and the alarm
while the loss of nodes is doubted."""

from __future__ import annotations

import logging

from porter_ryu.domain.turn import Turn
from porter_ryu.problem_log import ProblemLog

LOG = logging.getLogger(__name__)

_NODES = "nodes"


class TurnLog:
    """A subscriber of the Reconciler."""

    def __init__(self) -> None:
        self._alarm = ProblemLog(
            LOG,
            "ALARM: %(problem)s: their loss is not believed, and they count as Ready "
            "([kubernetes] panic_percent)",
            "ALARM over: nodes are back, and their readiness is believed again",
        )
        self._eips = ProblemLog(
            LOG, "Eip %(subject)s: %(problem)s", "Eip %(subject)s: no longer: %(problem)s"
        )

    def log(self, turn: Turn) -> None:
        """Logs what a turn reports."""
        for text in turn.notices:
            LOG.info("drain: %s", text)
        for text in turn.warnings:
            LOG.warning("%s", text)
        if turn.eip_problems is not None:
            self._eips.update_all(turn.eip_problems)
        problem = "almost all nodes were lost at once" if turn.nodes_doubted else ""
        self._alarm.update(_NODES, problem)
