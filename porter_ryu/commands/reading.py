"""Reads what a command needs: the settings of files, and the cluster by way of a planner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from porter_ryu.commands.arguments import CommandError

if TYPE_CHECKING:
    from porter_ryu.domain.planner import Planner
    from porter_ryu.kube.codec import Codec
    from porter_ryu.settings import Settings


def read_settings(files: Sequence[str]) -> Settings:
    """The settings of these files; raises CommandError with one line for each error."""
    from porter_ryu.settings import read
    from porter_ryu.settings_file import BadConfigurationError

    try:
        return read(files)
    except BadConfigurationError as error:
        raise CommandError(str(error)) from error


def read_planner(files: Sequence[str], draining: Iterable[str] = ()) -> Planner:
    """A planner after one turn over the current cluster, in which the drains of the nodes in
    `draining` are not over; raises CommandError if the cluster cannot be read."""
    return planned_cluster(files, draining)[0]


def planned_cluster(files: Sequence[str], draining: Iterable[str] = ()) -> tuple[Planner, Codec]:
    """As `read_planner`, with the codec that read the objects."""
    settings = read_settings(files)  # before all that is needed only if they are right
    from porter_ryu.kube.errors import ApiError
    from porter_ryu.node.host import HostMonitor
    from porter_ryu.node.iproute import IpRoute
    from porter_ryu.planner_feed import PlannerFeed
    from porter_ryu.planning import make_codec, make_planner, make_source, read_journal
    from porter_ryu.supervisor import Supervisor

    bound_among = read_journal(settings).bound_among
    planner = make_planner(settings, HostMonitor(IpRoute(), settings.interface, bound_among))
    codec = make_codec(settings)
    try:
        make_source(settings, codec, Supervisor()).read_once(PlannerFeed(planner))
    except (ApiError, OSError) as error:
        raise CommandError(f"the cluster cannot be read: {error}") from error
    planner.drains.begin_with(draining)
    planner.lead(True)
    planner.decide_all()
    return planner, codec
