"""The Ryu application: reads the settings, and builds and connects the parts."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import greenlet
from eventlet import hubs, tpool
from msgspec.structs import replace
from ryu import cfg
from ryu.app.wsgi import WSGIApplication
from ryu.base import app_manager
from ryu.lib import hub

from porter_ryu import control_token, log, report, report_peers, report_switches
from porter_ryu.assembly import assemble
from porter_ryu.domain.model import Address, Network
from porter_ryu.exit_status import ExitStatus
from porter_ryu.garbage import GarbageCollector
from porter_ryu.history.observers import Observers
from porter_ryu.http import api
from porter_ryu.http.context import Context
from porter_ryu.http.eip_addresses import EipAddresses
from porter_ryu.http.gauge_values import ConfigInfo, ProcessState
from porter_ryu.http.router import Router
from porter_ryu.http.server import Server
from porter_ryu.instance import Instance
from porter_ryu.options import GROUPS, WSAPI_HOST
from porter_ryu.report_problems import Health, Stopped
from porter_ryu.running_settings import RunningSettings
from porter_ryu.settings import read_with_reader
from porter_ryu.settings_file import BadConfigurationError
from porter_ryu.settings_reader import files_of
from porter_ryu.signals import Signals
from porter_ryu.supervisor import Beat, Supervisor
from porter_ryu.unix_clock import unix_zero
from porter_ryu.version import VERSION
from porter_ryu.watched_files import WatchedFiles

LOG = logging.getLogger(__name__)

_FILE_CHECK_SECONDS = 0.5
_LOG_COUNT_SECONDS = 5.0
_TURNS_STALLED_AFTER_SECONDS = 10.0
cfg.CONF.set_default("wsapi_host", WSAPI_HOST)
for _group, _options in GROUPS.items():
    cfg.CONF.register_opts(_options, group=_group)


class PorterRyu(app_manager.RyuApp):  # type: ignore[misc]
    """What `ryu-manager porter_ryu.app` runs."""

    _CONTEXTS: ClassVar = {"wsgi": WSGIApplication}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._main = greenlet.getcurrent()
        self._log_counts = log.install()
        # if its first use came during a lack of file descriptors, it would fail, and every later
        # use would wait forever for threads that were never started
        tpool.setup()
        self.supervisor = Supervisor()
        self.instance, self._running = make_instance(self.supervisor)
        self._files = WatchedFiles(self._watched)
        self._reload_requested = hub.Event()
        self._reloaded = True
        self._stopping = hub.Semaphore(1)
        self._not_withdrawn = ""
        self._stopped: Stopped | None = None
        self._exiting = False
        # in this order: this process owns the state_dir before it opens the port or writes a token
        self._http = self._listen(kwargs["wsgi"])
        planner = self.instance.planner
        self._eips = EipAddresses(planner, self.instance.bound_ips.wants_or_has)
        self.instance.speaker.is_eip = self._eips.has
        self._listen_for_switches()
        context = Context(
            planner=planner,
            faults=self._faults,
            unready=self._unready,
            health=self._health,
            peers=lambda: report_peers.peers(self.instance.speaker.reports()),
            peer_table=self.instance.speaker.routes,
            last_table=self.instance.speaker.last_routes,
            routes=lambda: self.instance.routes,
            sent=self._sent,
            unsent=self.instance.speaker.unsent,
            is_sent=self._is_sent,
            kept_by=self.instance.speaker.kept_by,
            process=self._process_state(),
            stop=self._stop_by_operator,
            token=_control_token(self.instance.settings.state_dir),
            history=self.instance.history,
            started_at=time.time(),
            switches=self._switches,
            growth=self._growth,
            config=self._config,
        )
        api.register(kwargs["wsgi"], context)

    def _listen(self, wsgi: WSGIApplication) -> Server:
        """Opens the port of the HTTP interface, or exits with status 2."""
        host, port = cfg.CONF.wsapi_host, cfg.CONF.wsapi_port
        server = Server(host, port, Router(wsgi, self._http_names), self.supervisor)
        try:
            server.listen()
        except (OSError, OverflowError, ValueError) as error:
            key, reason = "[DEFAULT] wsapi_host, wsapi_port", log.reason_of(error)
            _refuse(f"{key}: cannot listen on {host} port {port}: {reason}")
        return server

    def _http_names(self) -> frozenset[str]:
        return self.instance.settings.http_names

    def _listen_for_switches(self) -> None:
        """Opens the port of the OpenFlow controller, or exits with status 2."""
        where = self.instance.settings.controller
        try:
            self.instance.switches.listen()
        except (OSError, OverflowError, ValueError) as error:
            key, reason = "[DEFAULT] ofp_listen_host, ofp_tcp_listen_port", log.reason_of(error)
            _refuse(f"{key}: cannot listen on {where.host} port {where.port}: {reason}")

    def start(self) -> Any:
        """Starts the greenthreads; ryu-manager waits for the returned one."""
        super().start()
        # otherwise Ryu would start its own server for the WSGI application
        app_manager.AppManager.get_instance().contexts.pop("wsgi", None)
        Signals(
            on_terminate=lambda: self._stop(withdraw=False, stay=False),
            on_reload=self._reload_requested.set,
            supervisor=self.supervisor,
        )
        self.instance.start()
        self._http.start(self._eips.has)
        self.instance.switches.start(self._eips.has)
        self.supervisor.start_watchdog()
        self.supervisor.keep_running("log counts", self._log_counts_regularly)
        reconciler = self.instance.reconciler
        self.supervisor.keep_running("garbage", GarbageCollector(lambda: reconciler.lists_read).run)
        self.supervisor.keep_running("configuration files", self._watch_files)
        turns = self.supervisor.keep_running("turns", reconciler.run, _TURNS_STALLED_AFTER_SECONDS)
        return turns.thread

    def _log_counts_regularly(self, beat: Beat) -> None:
        while True:
            beat()
            hub.sleep(_LOG_COUNT_SECONDS)
            self._log_counts()
            self.instance.history.log_counts()

    def _faults(self) -> tuple[str, ...]:
        """One sentence for each part that is unhealthy."""
        liveness = self.instance.liveness.fault
        return (*self.supervisor.faults, *([liveness] if liveness else ()))

    def _health(self) -> Health:
        """What the parts say of themselves."""
        instance = self.instance
        return Health(
            unready=self._unready(),
            earlier=instance.speaker.earlier_run,
            faults=self._faults(),
            role=instance.role,
            source=instance.source.state,
            not_loaded=instance.not_loaded,
            pending=instance.pending,
            not_bound=instance.bound_ips.last_error,
            state_dir_writable=instance.speaker.state_dir_writable,
            probes_doubted=instance.liveness.doubted,
            announces=instance.initial_settings.bgp.enabled,
            stopped=self._stopped,
            files=self._running.files,
            state_dir=instance.settings.state_dir,
        )

    def _config(self) -> dict[str, Any]:
        """The settings in force."""
        return self._running.json(self.instance.not_loaded, self.instance.pending)

    def _switches(self) -> list[dict[str, Any]]:
        switches = self.instance.switches
        return [report_switches.switch(one, switches.node_of) for one in switches.reports()]

    def _growth(self, eip: str) -> dict[str, Any]:
        growth = self.instance.pool_growths.of(eip)
        return report.growth(growth, unix_zero())

    def _sent(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """To which next hops each peer and each switch sends the packets for a prefix."""
        return {**self.instance.speaker.sent(prefix), **self.instance.switches.sent(prefix)}

    def _is_sent(self, prefix: Network) -> bool:
        """Whether a peer or a switch has a prefix."""
        instance = self.instance
        return instance.speaker.is_sent(prefix) or instance.switches.is_sent(prefix)

    def _process_state(self) -> ProcessState:
        """What the metrics say of the process."""
        instance, speaker = self.instance, self.instance.speaker
        settings = instance.initial_settings
        return ProcessState(
            version=VERSION,
            config=ConfigInfo(
                source="directory" if settings.manifests else "api-server",
                allocate=str(settings.allocate).lower(),
                bgp=str(settings.bgp.enabled).lower(),
                openflow=str(settings.openflow.enabled).lower(),
                next_hops=settings.bgp.next_hops.mode.name,
                bound_ip=settings.bind_mode,
            ),
            ready=lambda: not self._unready(),
            faults=lambda: len(self._faults()),
            loop_lag=lambda: self.supervisor.loop_lag,
            reloaded=lambda: self._reloaded,
            state_dir_writable=lambda: speaker.state_dir_writable,
            source=lambda: instance.source.state,
            bound_ips=lambda: instance.bound_ips.count,
            nodes_probed=lambda: instance.liveness.answering,
            probes_doubted=lambda: instance.liveness.doubted,
            peers=speaker.reports,
            is_sent=self._is_sent,
            switches=instance.switches.health,
            stopped=lambda: self._stopped is not None,
        )

    def _unready(self) -> str:
        """Why this instance is not ready; '' if it is."""
        if self._stopped is not None:
            return self._stopped.text
        if self.instance.ended:
            return "the instance is stopping"
        if self.instance.source.trouble:
            return self.instance.source.trouble
        if self.instance.reconciler.synced:
            return ""
        if self.instance.planner.ready:
            return "not all Services are decided yet"
        return "not all lists are read yet"

    def _stop_by_operator(self, withdraw: bool, stay: bool) -> None:
        if self._stopped is None and not self.instance.ended:
            self._stopped = Stopped(time.time(), withdraw)
            Observers(self.instance.history).stop(withdraw, stay)
        self._stop(withdraw, stay)

    def _stop(self, withdraw: bool, stay: bool) -> None:
        """Stops the instance, and then the process by an exception in ryu-manager's main
        greenthread.  With `stay` the process idles until SIGTERM, so that no supervisor restarts
        it.  The exit status is 1 if something could not be withdrawn."""
        self.supervisor.spawn("end", self._stop_in_order, withdraw, stay)

    def _stop_in_order(self, withdraw: bool, stay: bool) -> None:
        try:
            with self._stopping:  # a SIGTERM waits for a withdrawal in progress
                if not self.instance.ended:
                    LOG.info("stopping%s", ", withdrawing everything" if withdraw else "")
                    self._not_withdrawn = self.instance.stop(withdraw)
                    self._end_is_done()
        finally:  # the process ends even if the instance fails to stop
            if stay:
                LOG.info("stopped; idle until SIGTERM")
            elif not self._exiting:  # only once: a second exception would interrupt the exit
                self._exiting = True
                exit_ = SystemExit(ExitStatus.WRONG) if self._not_withdrawn else KeyboardInterrupt()
                hubs.get_hub().schedule_call_global(0, self._main.throw, exit_)

    def _end_is_done(self) -> None:
        if self._stopped is not None:
            self._stopped = replace(self._stopped, done=True, left=self._not_withdrawn)

    def _watched(self) -> list[str]:
        return [*files_of(cfg.CONF), *self.instance.settings.key_files]

    def _watch_files(self, beat: Beat) -> None:
        """Reloads the configuration when one of its files changed or a reload is requested;
        requests at the same time cause one reload."""
        while True:
            beat()
            requested = self._reload_requested.wait(timeout=_FILE_CHECK_SECONDS)
            self._reload_requested.clear()
            changed = self._files.changed()
            if changed or requested:
                self._reload("a changed file" if changed else "SIGHUP")

    def _reload(self, cause: str) -> None:
        """Reads the files again; an invalid file changes nothing."""
        LOG.info("reloading the configuration")
        try:
            read = read_with_reader(files_of(cfg.CONF))
        except BadConfigurationError as error:
            self._reloaded = False
            for fault in error.faults:
                LOG.error("not reloaded: %s", fault)
            self.instance.refuse_reload(error.faults, cause)
            return
        self._running.loaded(read)
        self.instance.reload(read[0], cause)
        self._files.add_new_paths()
        self._reloaded = True


def make_instance(supervisor: Supervisor) -> tuple[Instance, RunningSettings]:
    """The instance for the files in Ryu's CONF, and its settings; if they are invalid, prints a
    line for each error and exits with status 2."""
    files = files_of(cfg.CONF)
    try:
        read = read_with_reader(files)
        return assemble(read[0], supervisor), RunningSettings(files, read)
    except BadConfigurationError as error:
        _refuse(str(error))


def _refuse(text: str) -> NoReturn:
    """Prints the reasons, one a line, and exits with status 2."""
    print(text, file=sys.stderr, flush=True)
    sys.exit(ExitStatus.UNABLE)


def _control_token(state_dir: str) -> str:
    """A new token for stop requests; '' if it cannot be written."""
    try:
        return control_token.create(state_dir)
    except OSError as error:
        LOG.error("%s cannot be written, so `porter-ryu stop` is refused: %s", state_dir, error)
        return ""
