"""Where each effective setting comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from porter_ryu.running_settings import RunningSettings
from porter_ryu.settings import read_with_reader
from porter_ryu.settings_origins import Origin, origins
from porter_ryu.settings_pending import HIDDEN, pending, shown


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


PEER = "[peer:a]\naddress = 192.0.2.1\nremote_as = 1\n"
BEFORE = f"[DEFAULT]\nlog_dir = /l\n[bgp]\npeers = a\nlocal_as = 1\n{PEER}"


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (BEFORE, []),
        (f"{BEFORE}med = 7\n", []),
        (BEFORE.replace("local_as = 1\n", "local_as = 1\nhold_time = 9\n"), []),
        (f"{BEFORE}[porter]\nhttp_names = a.example\n", []),
        (
            BEFORE.replace("local_as = 1\n", "local_as = 2\n"),
            ["[bgp] local_as: runs with 1, the file says 2"],
        ),
        (
            BEFORE.replace("local_as = 1\n", ""),
            ["[bgp] local_as: runs with 1, the file says 65000"],
        ),
        (
            f"{BEFORE}[porter]\nallocate = no\nnode_name = n1\n",
            [
                "[porter] node_name: runs with nothing, the file says n1",
                "[porter] allocate: runs with true, the file says false",
            ],
        ),
        (
            f"{BEFORE}[liveness]\nprobes = icmp, tcp:80\n",
            ["[liveness] probes: runs with nothing, the file says icmp, tcp:80"],
        ),
        (
            BEFORE.replace("log_dir = /l", "wsapi_port = 8081"),
            [
                "[DEFAULT] log_dir: runs with /l, the file says nothing",
                "[DEFAULT] wsapi_port: runs with 8080, the file says 8081",
            ],
        ),
        (
            BEFORE.replace("log_dir = /l", "log_dir = /" + "l" * 300),
            [f"[DEFAULT] log_dir: runs with /l, the file says /{'l' * 198}…"],
        ),
        (
            BEFORE.replace("log_dir = /l", "log_dir = http://me:hunter2@h/"),
            [f"[DEFAULT] log_dir: runs with /l, the file says http://{HIDDEN}@h/"],
        ),
    ],
)
def test_what_a_process_does_not_run_with(tmp_path: Path, after: str, told: list[str]) -> None:
    path = tmp_path / "porter.conf"
    path.write_text(BEFORE)
    first = read_with_reader([str(path)])
    running = RunningSettings([str(path)], first)
    path.write_text(after)
    read = read_with_reader([str(path)])
    running.loaded(read)
    sentences = [f"{text}: needs a restart" for text in told]
    assert sorted(pending(first[0], read[0])) == sorted(sentences)
    found = running.json(["line 3"], sentences)
    assert (found["files"], found["notLoaded"]) == ([str(path)], ["line 3"])
    assert found["pending"] == sentences
    otherwise = [e for e in found["settings"] if e["file"] is not None]
    assert {f"[{e['group']}] {e['key']}" for e in otherwise} == {
        text.partition(":")[0] for text in told
    }
    by_key = {(e["group"], e["key"]): e for e in found["settings"]}
    assert by_key["bgp", "local_as"]["value"] == 1, "it runs with what it started with"
    med = 7 if "med" in after else None
    assert by_key["peer:a", "med"]["value"] == med, "a reload applied it"
