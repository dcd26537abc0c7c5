"""The Ryu application: reads the settings, builds the parts, connects them.  Wiring only."""

from __future__ import annotations

import dataclasses
import logging
import sys
from typing import Any, ClassVar, NoReturn

import greenlet
from eventlet import hubs, tpool
from ryu import cfg
from ryu.app.wsgi import WSGIApplication
from ryu.base import app_manager
from ryu.lib import hub

from porter_ryu import control_token, log
from porter_ryu.assembly import assemble
from porter_ryu.exit_status import ExitStatus
from porter_ryu.garbage import GarbageCollector
from porter_ryu.http import api
from porter_ryu.http.eip_addresses import EipAddresses
from porter_ryu.http.exposition import ProcessState
from porter_ryu.http.router import Router
from porter_ryu.http.server import Server
from porter_ryu.instance import Instance
from porter_ryu.options import GROUPS, WSAPI_HOST
from porter_ryu.settings import read
from porter_ryu.settings_file import BadConfigurationError
from porter_ryu.settings_reader import files_of
from porter_ryu.signals import Signals
from porter_ryu.supervisor import Beat, Supervisor
from porter_ryu.watched_files import WatchedFiles

LOG = logging.getLogger(__name__)

_LOOK_AT_FILES = 0.5
_LOOK_AT_COUNTS = 5.0
_TURNS_STALL_AFTER = 10.0
cfg.CONF.set_default("wsapi_host", WSAPI_HOST)
for _group, _options in GROUPS.items():
    cfg.CONF.register_opts(_options, group=_group)


class PorterRyu(app_manager.RyuApp):  # type: ignore[misc]
    """What `ryu-manager porter_ryu.app` runs."""

    _CONTEXTS: ClassVar = {"wsgi": WSGIApplication}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._main = greenlet.getcurrent()
        self._tell = log.install()
        # left to its first use, one that comes while there are no descriptors would fail, and
        # every later one wait for ever for threads that are not there
        tpool.setup()
        self.supervisor = Supervisor()
        self.instance = make_instance(self.supervisor)
        self._files = WatchedFiles(self._watched)
        self._asked_to_reload = hub.Event()
        self._reloaded = True
        self._ending = hub.Semaphore(1)
        self._left = ""
        self._closing_up = False
        # the state_dir is ours by now: only then the port, and then the token
        self._http = self._listen(kwargs["wsgi"])
        planner = self.instance.planner
        self._eips = EipAddresses(planner, self.instance.bound_ips.ours)
        self.instance.speaker.is_eip = self._eips.has
        context = api.Context(
            planner,
            lambda: self.supervisor.faults,
            self._unready,
            self._peers,
            self.instance.speaker.sent,
            self._process_state(),
            self._end,
            _control_token(self.instance.settings.state_dir),
        )
        api.register(kwargs["wsgi"], context)

    def _listen(self, wsgi: WSGIApplication) -> Server:
        """Takes the port of the HTTP interface, or ends the process with status 2."""
        host, port = cfg.CONF.wsapi_host, cfg.CONF.wsapi_port
        server = Server(host, port, Router(wsgi), self.supervisor)
        try:
            server.listen()
        except (OSError, OverflowError, ValueError) as error:
            why = log.reason_of(error)
            _refuse(f"[DEFAULT] wsapi_host, wsapi_port: cannot listen on {host} port {port}: {why}")
        return server

    def start(self) -> Any:
        """Starts the greenthreads; ryu-manager waits for the one that is returned."""
        super().start()
        # Ryu starts a server of its own for the WSGI application that it finds there
        app_manager.AppManager.get_instance().contexts.pop("wsgi", None)
        Signals(
            on_terminate=lambda: self._end(withdraw=False, stay=False),
            on_reload=self._asked_to_reload.set,
            supervisor=self.supervisor,
        )
        self.instance.start()
        self._http.start(self._eips.has)
        self.supervisor.start_watchdog()
        self.supervisor.keep_running("log counts", self._tell_counts)
        reconciler = self.instance.reconciler
        self.supervisor.keep_running("garbage", GarbageCollector(lambda: reconciler.lists_read).run)
        self.supervisor.keep_running("configuration files", self._follow_files)
        turns = self.supervisor.keep_running("turns", reconciler.run, _TURNS_STALL_AFTER)
        return turns.thread

    def _tell_counts(self, beat: Beat) -> None:
        while True:
            beat()
            hub.sleep(_LOOK_AT_COUNTS)
            self._tell()

    def _peers(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(report) for report in self.instance.speaker.reports()]

    def _process_state(self) -> ProcessState:
        """The gauges of the process."""
        bound, speaker = self.instance.bound_ips, self.instance.speaker
        return ProcessState(
            bound_ips=lambda: bound.count,
            state_dir_writable=lambda: speaker.state_dir_writable,
            loop_lag=lambda: self.supervisor.loop_lag,
            reloaded=lambda: self._reloaded,
        )

    def _unready(self) -> str:
        """Why this instance is not ready; '' while it is."""
        if self.instance.ended:
            return "the instance is stopping"
        if self.instance.source.trouble:
            return self.instance.source.trouble
        return "" if self.instance.reconciler.synced else "not all lists are read yet"

    def _end(self, withdraw: bool, stay: bool) -> None:
        """Ends everything in order, and then the process: ryu-manager's main greenthread is told
        to close up.  With `stay` the process idles until SIGTERM, so that nobody starts it anew.
        Its status is 1 where something could not be taken back."""
        self.supervisor.spawn("end", self._end_in_order, withdraw, stay)

    def _end_in_order(self, withdraw: bool, stay: bool) -> None:
        try:
            with self._ending:  # a SIGTERM waits for what is being taken back
                if not self.instance.ended:
                    LOG.info("stopping%s", ", for good" if withdraw else "")
                    self._left = self.instance.stop(withdraw)
        finally:  # whatever breaks, who was told to end ends
            if stay:
                LOG.info("stopped; idle until SIGTERM")
            elif not self._closing_up:  # once: the next would break into the closing up itself
                self._closing_up = True
                end = SystemExit(ExitStatus.WRONG) if self._left else KeyboardInterrupt()
                hubs.get_hub().schedule_call_global(0, self._main.throw, end)

    def _watched(self) -> list[str]:
        return [*files_of(cfg.CONF), *self.instance.settings.key_files]

    def _follow_files(self, beat: Beat) -> None:
        """Reads the configuration again when a file of it changed, or somebody asks for it; a
        hundred who ask at once are one."""
        while True:
            beat()
            asked = self._asked_to_reload.wait(timeout=_LOOK_AT_FILES)
            self._asked_to_reload.clear()
            if self._files.changed() or asked:
                self._reload()

    def _reload(self) -> None:
        """Reads the files again; a bad one changes nothing."""
        LOG.info("reading the configuration again")
        try:
            settings = read(files_of(cfg.CONF))
        except BadConfigurationError as error:
            self._reloaded = False
            for fault in error.faults:
                LOG.error("not reloaded: %s", fault)
            return
        self.instance.apply(settings)
        self._files.add_new_paths()
        self._reloaded = True


def make_instance(supervisor: Supervisor) -> Instance:
    """The instance that Ryu's CONF asks for; ends the process with status 2, and a line for each
    fault, where there can be none."""
    try:
        return assemble(read(files_of(cfg.CONF)), supervisor)
    except BadConfigurationError as error:
        _refuse(str(error))


def _refuse(text: str) -> NoReturn:
    """Ends a process that cannot start as it is configured; `text`: why, a line for each reason."""
    print(text, file=sys.stderr, flush=True)
    sys.exit(ExitStatus.UNABLE)


def _control_token(state_dir: str) -> str:
    """What has to be known to end the process over HTTP; '' where it cannot be written down."""
    try:
        return control_token.create(state_dir)
    except OSError as error:
        LOG.error("%s cannot be written, so `porter-ryu stop` is refused: %s", state_dir, error)
        return ""
