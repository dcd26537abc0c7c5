"""The Ryu application: reads the settings, builds the parts, connects them.  Wiring only."""

from __future__ import annotations

import dataclasses
import gc
import logging
import sys
from typing import Any, ClassVar

import greenlet
from eventlet import hubs
from ryu import cfg
from ryu.app.wsgi import WSGIApplication
from ryu.base import app_manager
from ryu.lib import hub

from porter_ryu import control_token, log
from porter_ryu.assembly import Parts, assemble
from porter_ryu.domain.model import Network
from porter_ryu.http import api
from porter_ryu.http.eip_addresses import EipAddresses
from porter_ryu.http.router import Router
from porter_ryu.http.server import Server
from porter_ryu.settings import Settings, load
from porter_ryu.settings_reader import BadConfigurationError
from porter_ryu.signals import Signals
from porter_ryu.supervisor import Beat, Supervisor
from porter_ryu.watched_files import WatchedFiles

LOG = logging.getLogger(__name__)

BAD_CONFIGURATION = 2
_LOOK_AT_FILES = 1.0
_LOOK_AT_COUNTS = 5.0
_TURNS_STALL_AFTER = 10.0
cfg.CONF.set_default("wsapi_host", "127.0.0.1")


class PorterRyu(app_manager.RyuApp):  # type: ignore[misc]
    """What `ryu-manager porter_ryu.app` runs."""

    _CONTEXTS: ClassVar = {"wsgi": WSGIApplication}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._main = greenlet.getcurrent()
        self._tell = log.install()
        settings = read_settings()
        self.supervisor = Supervisor()
        self.parts: Parts = assemble(settings, self.supervisor)
        self._http = self._listen(kwargs["wsgi"])
        self._settings = settings
        self._ending = hub.Semaphore(1)
        planner = self.parts.reconciler.planner
        self._eips = EipAddresses(planner, self._bound)
        running = api.Running(
            planner,
            lambda: self.supervisor.faults,
            self._unready,
            self._peers,
            self._sent,
            self._end,
            _control_token(settings.state_dir),
        )
        api.register(kwargs["wsgi"], running)

    def _listen(self, wsgi: WSGIApplication) -> Server:
        """Takes the port of the HTTP interface, or ends the process with status 2."""
        host, port = cfg.CONF.wsapi_host, cfg.CONF.wsapi_port
        server = Server(host, port, Router(wsgi), self.supervisor)
        try:
            server.listen()
        except (OSError, OverflowError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            text = f"[DEFAULT] wsapi_host, wsapi_port: cannot listen on {host} port {port}: {why}"
            print(text, file=sys.stderr, flush=True)
            sys.exit(BAD_CONFIGURATION)
        return server

    def start(self) -> Any:
        """Starts the greenthreads; ryu-manager waits for the one that is returned."""
        super().start()
        # Ryu starts a server of its own for the WSGI application that it finds there
        app_manager.AppManager.get_instance().contexts.pop("wsgi", None)
        Signals(
            on_terminate=lambda: self._end(withdraw=False, stay=False),
            on_reload=self._reload,
            supervisor=self.supervisor,
        )
        self.parts.start()
        self._http.start(self._eips.has)
        self.supervisor.watch()
        self.supervisor.keep("log counts", self._tell_counts)
        self.supervisor.keep("garbage", self._spare_what_was_read)
        self.supervisor.keep("configuration files", self._watch_files)
        turns = self.supervisor.keep("turns", self.parts.reconciler.run, _TURNS_STALL_AFTER)
        return turns.thread

    def _spare_what_was_read(self, beat: Beat) -> None:
        """Once everything is read, takes it out of the sight of the garbage collector, which else
        stops the world to walk it: for 0.9 s with 10,000 Services."""
        while not self.parts.reconciler.synced:
            beat()
            hub.sleep(_LOOK_AT_FILES)
        gc.freeze()

    def _tell_counts(self, beat: Beat) -> None:
        while True:
            beat()
            hub.sleep(_LOOK_AT_COUNTS)
            self._tell()

    def _peers(self) -> list[dict[str, Any]]:
        speaker = self.parts.speaker
        return [dataclasses.asdict(r) for r in speaker.reports()] if speaker is not None else []

    def _sent(self, prefix: Any) -> Any:
        return self.parts.speaker.sent(prefix) if self.parts.speaker is not None else {}

    def _bound(self) -> frozenset[Network]:
        return self.parts.bound_ips.ours() if self.parts.bound_ips is not None else frozenset()

    def _unready(self) -> str:
        """Why this instance is not ready; '' while it is."""
        if self.parts.ended:
            return "it is ending"
        if self.parts.source.trouble:
            return self.parts.source.trouble
        return "" if self.parts.reconciler.synced else "the lists are not read yet"

    def _end(self, withdraw: bool, stay: bool) -> None:
        """Ends everything in order, and then the process: ryu-manager's main greenthread is told
        to close up.  With `stay` the process idles until SIGTERM, so that nobody starts it anew."""
        self.supervisor.spawn("end", self._end_in_order, withdraw, stay)

    def _end_in_order(self, withdraw: bool, stay: bool) -> None:
        with self._ending:  # a SIGTERM waits for what is being taken back
            if not self.parts.ended:
                LOG.info("stopping%s", ", for good" if withdraw else "")
                self.parts.stop(withdraw)
        if stay:
            LOG.info("stopped; idle until SIGTERM")
            return
        hubs.get_hub().schedule_call_global(0, self._main.throw, KeyboardInterrupt)

    def _watch_files(self, beat: Beat) -> None:
        files = WatchedFiles(cfg.CONF.config_file or [])
        while True:
            beat()
            hub.sleep(_LOOK_AT_FILES)
            if files.changed():
                self._reload()

    def _reload(self) -> None:
        """Reads the files again; a bad one changes nothing."""
        LOG.info("reading the configuration again")
        conf = cfg.ConfigOpts()
        files = [f"--config-file={path}" for path in cfg.CONF.config_file or []]
        try:
            conf(files, project="ryu")
            settings = load(conf)
        except BadConfigurationError as error:
            for fault in error.faults:
                LOG.error("not reloaded: %s", fault)
            return
        except cfg.Error as error:
            LOG.error("not reloaded: %s", " ".join(str(error).split()))
            return
        self.parts.change(self._settings, settings)
        self._settings = settings


def read_settings() -> Settings:
    """The settings from Ryu's CONF; a bad file ends the process with status 2."""
    try:
        return load(cfg.CONF)
    except BadConfigurationError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(BAD_CONFIGURATION)


def _control_token(state_dir: str) -> str:
    """What has to be known to end the process over HTTP; '' where it cannot be written down."""
    try:
        return control_token.create(state_dir)
    except OSError as error:
        LOG.error("%s cannot be written, so `porter-ryu stop` is refused: %s", state_dir, error)
        return ""
