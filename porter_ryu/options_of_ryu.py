"""The options of [DEFAULT], which are Ryu's, as literals.

Ryu registers each where it is used.  To ask Ryu for them is to import its controller with every
version of OpenFlow, a third of the time that a command takes.  A unit test compares this list with
the Ryu that is installed.
"""

from __future__ import annotations

from oslo_config import cfg

_OPTIONS = [
    # ryu.cmd.manager, ryu.base.app_manager
    cfg.ListOpt("app-lists", default=[]),
    cfg.MultiStrOpt("app", default=[]),
    cfg.StrOpt("pid-file"),
    cfg.BoolOpt("enable-debugger", default=False),
    cfg.StrOpt("user-flags"),
    # ryu.app.wsgi
    cfg.StrOpt("wsapi-host", default="0.0.0.0"),  # noqa: S104
    cfg.IntOpt("wsapi-port", default=8080),
    # ryu.controller.controller
    cfg.StrOpt("ofp-listen-host", default="0.0.0.0"),  # noqa: S104
    cfg.IntOpt("ofp-tcp-listen-port"),
    cfg.IntOpt("ofp-ssl-listen-port"),
    cfg.StrOpt("ctl-privkey"),
    cfg.StrOpt("ctl-cert"),
    cfg.StrOpt("ca-certs"),
    cfg.ListOpt("ofp-switch-address-list", item_type=str, default=[]),
    cfg.IntOpt("ofp-switch-connect-interval", default=1),
    cfg.FloatOpt("socket-timeout", default=5.0),
    cfg.FloatOpt("echo-request-interval", default=15.0),
    cfg.IntOpt("maximum-unreplied-echo-requests", default=0, min=0),
    # ryu.log
    cfg.IntOpt("default-log-level"),
    cfg.BoolOpt("verbose", default=False),
    cfg.BoolOpt("use-stderr", default=True),
    cfg.BoolOpt("use-syslog", default=False),
    cfg.StrOpt("log-dir"),
    cfg.StrOpt("log-file"),
    cfg.StrOpt("log-file-mode", default="0644"),
    cfg.StrOpt("log-config-file"),
    # ryu.topology.switches
    cfg.BoolOpt("observe-links", default=False),
    cfg.BoolOpt("install-lldp-flow", default=True),
    cfg.BoolOpt("explicit-drop", default=True),
]
_OF_OSLO = frozenset({"config_file", "config_dir", "config_source"})  # every ConfigOpts has them


def of_ryu() -> list[cfg.Opt]:
    """Every option of [DEFAULT]: those of Ryu and of every other application that is loaded."""
    from ryu.cfg import CONF

    # ConfigOpts has no public way to list option objects, only their names
    loaded = {name: info["opt"] for name, info in CONF._opts.items()}
    options = {option.dest: option for option in _OPTIONS} | loaded
    return [option for name, option in options.items() if name not in _OF_OSLO]
