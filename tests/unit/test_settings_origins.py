"""Where each effective setting comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from porter_ryu.settings_origins import HIDDEN, Origin, origins, shown


def found(folder: Path, *texts: str) -> dict[tuple[str, str], Origin]:
    """The origins of the settings of files with these texts, 1.conf and so on."""
    paths = []
    for number, text in enumerate(texts, 1):
        paths.append(folder / f"{number}.conf")
        paths[-1].write_text(text)
    return {(o.group, o.key): o for o in origins([str(path) for path in paths])}


def test_a_later_file_wins_and_the_environment_wins_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_BGP__LISTEN_PORT", "1179")
    entries = found(
        tmp_path,
        "[bgp]\nlocal_as = 1\nhold_time = 9\nlisten_port = 2\n",
        "# a comment\n[bgp]\nlocal_as = 2\n",
    )
    local_as = entries["bgp", "local_as"]
    assert (local_as.value, local_as.source, local_as.where) == (2, "file", f"{tmp_path}/2.conf:3")
    assert entries["bgp", "hold_time"].where == f"{tmp_path}/1.conf:3"
    port = entries["bgp", "listen_port"]
    assert (port.value, port.source, port.where) == (1179, "environment", "OS_BGP__LISTEN_PORT")
    assert entries["bgp", "restart_time"].source == "default"


def test_what_a_value_stands_for_and_what_needs_a_restart(tmp_path: Path) -> None:
    entries = found(
        tmp_path,
        "[porter]\nnode_name = n1\n[bgp]\npeers = a\nnext_hops = self\nhold_time = 30\n"
        "[peer:a]\naddress = 192.0.2.1\nremote_as = 1\n",
    )
    assert entries["bgp", "graceful_restart"].means == "off"
    assert entries["peer:a", "hold_time"].means == "30 s"
    assert not entries["peer:a", "address"].needs_restart
    assert not entries["bgp", "peers"].needs_restart
    assert entries["porter", "node_name"].needs_restart


def test_of_ryu_only_what_concerns_us_or_is_set(tmp_path: Path) -> None:
    entries = found(tmp_path, "[DEFAULT]\nverbose = true\nwsapi_port = 8081\n")
    of_ryu = {key for group, key in entries if group == "DEFAULT"}
    assert of_ryu == {
        "verbose",
        "wsapi_host",
        "wsapi_port",
        "ofp_listen_host",
        "ofp_tcp_listen_port",
    }


def test_secrets_are_out() -> None:
    assert shown(cfg.StrOpt("key", secret=True), "hunter2") == HIDDEN
    assert shown(cfg.StrOpt("url"), "http://me:hunter2@host/") == f"http://{HIDDEN}@host/"
    urls = ["https://hunter2@a", "plain"]
    assert shown(cfg.ListOpt("urls"), urls) == [f"https://{HIDDEN}@a", "plain"]
    assert shown(cfg.IntOpt("number"), 5) == 5
