"""The Ryu application: reads the settings, builds the parts, connects them.  Wiring only."""

from __future__ import annotations

import dataclasses
import logging
import sys
from typing import Any, ClassVar

import greenlet
from eventlet import hubs
from ryu import cfg
from ryu.app.wsgi import WSGIApplication
from ryu.base import app_manager
from ryu.lib import hub

from porter_ryu import http, log
from porter_ryu.assembly import Parts, assemble
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
        self._settings = settings
        self._ending = hub.Semaphore(1)
        http.serve(
            kwargs["wsgi"],
            http.Running(self.parts.reconciler, self._peers, self._sent, self._end),
        )

    def start(self) -> Any:
        """Starts the greenthreads; ryu-manager waits for the one that is returned."""
        super().start()
        Signals(
            on_terminate=lambda: self._end(withdraw=False, stay=False),
            on_reload=self._reload,
            supervisor=self.supervisor,
        )
        self.parts.start()
        self.supervisor.watch()
        self.supervisor.keep("log counts", self._tell_counts)
        self.supervisor.keep("configuration files", self._watch_files)
        turns = self.supervisor.keep("turns", self.parts.reconciler.run, _TURNS_STALL_AFTER)
        return turns.thread

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
