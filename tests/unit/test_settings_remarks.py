"""What `check` and the log say about settings that are valid, but cannot be meant; and the line of
each error."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from porter_ryu.settings import read
from porter_ryu.settings_file import BadConfigurationError

BGP = "[bgp]\npeers = a\n"
A = "[peer:a]\naddress = 192.0.2.1\nremote_as = 65001\n"
SAMPLE = "etc/porter_ryu/porter_ryu.conf.sample"


def remarks(folder: Path, text: str) -> list[str]:
    """The remarks on one file, without its name."""
    path = folder / "porter.conf"
    path.write_text(text)
    found = read([str(path)]).remarks
    assert all(remark.mend for remark in found), "each says what to do"
    assert all(str(remark).startswith(f"{path}: ") for remark in found)
    return [str(remark).removeprefix(f"{path}: ") for remark in found]


def error(folder: Path, text: str) -> str:
    """The one error line of a file, without its name."""
    path = folder / "porter.conf"
    path.write_text(text)
    with pytest.raises(BadConfigurationError) as caught:
        read([str(path)])
    (line,) = str(caught.value).splitlines()
    return line.removeprefix(f"{path}: ")


PORTER = "[porter]\nstate_dir = /var/lib/porter-ryu\n"


@pytest.mark.parametrize("text", [BGP + A, PORTER + BGP + A, BGP + A + "med = 5\nlocal_pref =\n"])
def test_of_a_usual_file_there_is_nothing_to_say(tmp_path: Path, text: str) -> None:
    assert remarks(tmp_path, text) == []


def test_a_file_that_sets_every_default_is_a_usual_file(tmp_path: Path) -> None:
    """As the reference in the documentation does."""
    group, lines = "", []
    for line in Path(SAMPLE).read_text().splitlines():
        if line.startswith("["):
            group = line
        text = line.removeprefix("#").strip()
        is_key = line.startswith("#") and " = " in f"{text} " and not line.startswith("# ")
        if line.startswith("[") or (is_key and not text.startswith("address =")):
            lines.append(text)
    text = "\n".join(line for line in lines if "<None>" not in line)
    text = text.replace("peers =", "peers = leaf1")
    text = text.replace("[peer:leaf1]\n", "[peer:leaf1]\naddress = 192.0.2.1\nremote_as = 65001\n")
    assert group
    assert "bfd_multiplier = 3" in text
    assert remarks(tmp_path, text) == []


@pytest.mark.parametrize("manifest", ["porter-ryu.yaml", "porter-ryu-node.yaml"])
def test_of_the_shipped_configuration_there_is_nothing_to_say(
    tmp_path: Path, manifest: str
) -> None:
    found = yaml.safe_load_all(Path("deploy", manifest).read_text())
    texts = [each["data"]["porter_ryu.conf"] for each in found if each["kind"] == "ConfigMap"]
    assert texts
    assert [remarks(tmp_path, text) for text in texts] == [[]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # nobody reads it
        (f"{BGP}{A}[peer:b]\nmed = 1\n", "line 6: [peer:b]: is not used: [bgp] peers does not"),
        (
            f"{BGP}{A}[bgp]\nlocal_as = 5\n",
            "line 6: [bgp]: the group begins 2 times, in lines 1, 6",
        ),
        (
            f"{BGP}{A}[bgp]\n[bgp]\n[bgp]\n",
            "line 8: [bgp]: the group begins 4 times, in lines 1, 6, 7, 8",
        ),
        # nobody hears it
        ("[porter]\n", "[bgp] peers: is empty, so no router gets a route"),
        ("[bgp]\npeers =\n", "line 2: [bgp] peers: is empty, so no router gets a route"),
        (
            "[porter]\nallocate = false\n[bgp]\nenabled = false\n[bound_ip]\nmode = none\n",
            "line 4: [bgp] enabled: is false, [porter] allocate too, and nothing is bound",
        ),
        # it has no effect
        (
            f"[bgp]\nenabled = false\npeers = a\n{A}",
            "line 3: [bgp] peers: has no effect: [bgp] enabled is false",
        ),
        (
            "[bgp]\nenabled = false\nlisten_port = 1179\n",
            "line 3: [bgp] listen_port: has no effect: [bgp] enabled is false",
        ),
        (
            "[bgp]\nenabled = false\n[liveness]\nprobes = icmp\n",
            "line 4: [liveness] probes: has no effect: nobody gets a route",
        ),
        (
            f"{BGP}{A}[liveness]\nmultiplier = 9\n",
            "line 7: [liveness] multiplier: has no effect: probes is empty",
        ),
        (
            f"{BGP}{A}[liveness]\ninterval_ms = 900\n",
            "line 7: [liveness] interval_ms: has no effect: probes is empty",
        ),
        (
            f"[porter]\nnode_name = n1\n[bgp]\nnext_hops = self\nmax_next_hops = 2\npeers = a\n{A}",
            "line 5: [bgp] max_next_hops: has no effect: next_hops is self",
        ),
        (
            f"[porter]\nnode_name = n1\n[bgp]\nnext_hops = self\npeers = a\n"
            f"next_hop_networks = 10.0.0.0/8\n{A}",
            "line 6: [bgp] next_hop_networks: has no effect: next_hops is self",
        ),
        (
            f"{BGP}graceful_restart = false\nrestart_time = 60\n{A}",
            "line 4: [bgp] restart_time: has no effect: graceful restart is off",
        ),
        (
            f"{BGP}restart_time = 60\n{A}[porter]\nsingle_instance = false\n",
            "line 3: [bgp] restart_time: has no effect: graceful restart is off",
        ),
        (
            f"{BGP}listen_addresses = none\nlisten_port = 1179\n{A}",
            "line 4: [bgp] listen_port: has no effect: listen_addresses is none",
        ),
        (
            f"{BGP}{A}[bound_ip]\nmode = none\ninterface = eth0\n",
            "line 8: [bound_ip] interface: has no effect: mode is none",
        ),
        (
            f"{BGP}{A}[bound_ip]\ntable = 77\n",
            "line 7: [bound_ip] table: has no effect: mode is address",
        ),
        (
            f"{BGP}{A}[drain]\nannotation =\ntaints =\nseconds = 5\n",
            "line 9: [drain] seconds: has no effect: nothing drains a node",
        ),
        (f"{BGP}{A}bfd_multiplier = 9\n", "line 6: [peer:a] bfd_multiplier: has no effect: bfd is"),
        (
            f"{BGP}{A}bfd_interval_ms = 50\n",
            "line 6: [peer:a] bfd_interval_ms: has no effect: bfd is",
        ),
        (
            f"{BGP}{A}mode = passive\nconnect_retry = 9\n",
            "line 7: [peer:a] connect_retry: has no effect: mode is passive",
        ),
        (
            f"{BGP}{A}mode = passive\nport = 1179\n",
            "line 7: [peer:a] port: has no effect: mode is passive",
        ),
        (
            f"{BGP}local_as = 65001\n{A}multihop_ttl = 9\n",
            "line 7: [peer:a] multihop_ttl: has no effect: it is for external peers",
        ),
        (
            f"{BGP}{A}[openflow]\nbuckets = 64\n",
            "line 7: [openflow] buckets: has no effect: enabled is false",
        ),
        (
            f"[DEFAULT]\nofp_tcp_listen_port = 6654\n{BGP}{A}",
            "line 2: [DEFAULT] ofp_tcp_listen_port: has no effect: [openflow] enabled is false",
        ),
        # it contradicts something
        (
            f"{BGP}{A}node_selector = rack=a,rack=b\n",
            "line 6: [peer:a] node_selector: matches no node: the label rack would need several "
            "values at once (a, b)",
        ),
        (
            f"{BGP}{A}node_selector = rack=a,rack!=a\n",
            "line 6: [peer:a] node_selector: matches no node: the label rack would need a value "
            "that is also excluded",
        ),
        (
            f"{BGP}{A}node_selector = rack in (a,b),rack notin (b,a,c)\n",
            "line 6: [peer:a] node_selector: matches no node: the label rack would need a value",
        ),
        (
            f"{BGP}{A}node_selector = rack,!rack\n",
            "line 6: [peer:a] node_selector: matches no node: the label rack would have to be",
        ),
        (
            f"{BGP}{A}node_selector = !rack,rack=a\n",
            "line 6: [peer:a] node_selector: matches no node: the label rack would have to be",
        ),
        (
            f"{BGP}{A}[drain]\nannotation = porter.kubesphere.io/weight\n",
            "line 7: [drain] annotation: porter.kubesphere.io/weight is also the weight of a node",
        ),
        (
            f"{BGP}{A}med = 100\n[drain]\nmed = 100\n",
            "line 8: [drain] med: 100 is not above the med of [peer:a]",
        ),
        (
            f"{BGP}{A}med = 4294967295\n",
            "[drain] med: 4294967295 is not above the med of [peer:a]",
        ),
        (
            f"{BGP}local_as = 23456\n{A}",
            "line 3: [bgp] local_as: 23456 is AS_TRANS (RFC 6793)",
        ),
        (
            f"{BGP}{A.replace('65001', '65535')}",
            "line 5: [peer:a] remote_as: 65535 is reserved (RFC 7300)",
        ),
        (
            f"{BGP}router_id = 192.0.2.1\n{A}",
            "line 3: [bgp] router_id: 192.0.2.1 is the address of [peer:a]",
        ),
        (f"{BGP}router_id = 127.0.0.1\n{A}", "line 3: [bgp] router_id: 127.0.0.1 is no address of"),
        (f"{BGP}router_id = 224.0.0.1\n{A}", "line 3: [bgp] router_id: 224.0.0.1 is no address of"),
        (
            f"{BGP}next_hop_networks = 127.0.0.0/8\n{A}",
            "line 3: [bgp] next_hop_networks: 127.0.0.0/8 is loopback",
        ),
        (
            f"{BGP}next_hop_networks = fe80::/64\n{A}",
            "line 3: [bgp] next_hop_networks: fe80::/64 is link-local",
        ),
        (
            f"{BGP}next_hop_networks = 10.0.0.0/8, 240.0.0.0/8\n{A}",
            "line 3: [bgp] next_hop_networks: 240.0.0.0/8 is reserved",
        ),
        (
            f"{BGP}listen_addresses = 0.0.0.0, 192.0.2.9\n{A}",
            "line 3: [bgp] listen_addresses: 192.0.2.9 cannot be listened on beside 0.0.0.0",
        ),
        (
            f"{BGP}listen_addresses = 192.0.2.9\n{A}local_address = 192.0.2.8\n",
            "line 3: [bgp] listen_addresses: does not contain 192.0.2.8, at which [peer:a] calls",
        ),
        (
            f"{BGP}listen_addresses = ::\n{A}",
            "line 3: [bgp] listen_addresses: has no IPv4 address, but [peer:a] has 192.0.2.1",
        ),
        # it is not what it looks like
        (
            f"{BGP}{A}[porter]\nannotation_values = porter openelb\n",
            "line 7: [porter] annotation_values: 'porter openelb' is one value",
        ),
        (
            f"{BGP}{A}[porter]\nstate_dir = state\n",
            "line 7: [porter] state_dir: 'state' depends on the directory in which",
        ),
        (
            f"{BGP}{A}[porter]\nstate_dir = ~/state\n",
            "line 7: [porter] state_dir: '~/state' depends on the directory in which",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_line_with_its_place(
    tmp_path: Path, text: str, line: str
) -> None:
    found = remarks(tmp_path, text)
    assert [each.startswith(line) for each in found] == [True], found


@pytest.mark.parametrize(
    "more",
    [
        "node_selector = rack in (a,b),rack!=b\n",
        "node_selector = rack=a,rack=a,zone!=x\n",
        "node_selector = rack,rack=a\n",
        "node_selector = !rack,rack!=a\n",
        "mode = active\nport = 1179\n",
        "bfd = true\nbfd_multiplier = 9\n",
        "multihop_ttl = 9\n",
        "[openflow]\nenabled = true\nbuckets = 64\n[DEFAULT]\nofp_tcp_listen_port = 6654\n",
        "ttl_security = true\nmultihop_ttl = 2\n[bgp]\n",
    ],
)
def test_what_can_be_meant_is_no_remark(tmp_path: Path, more: str) -> None:
    assert remarks(tmp_path, BGP + A + more.removesuffix("[bgp]\n")) == []


def test_the_state_dir_is_no_directory_of_manifests(tmp_path: Path) -> None:
    text = f"{BGP}{A}[porter]\nstate_dir = {tmp_path}/.\n[kubernetes]\nmanifests = {tmp_path}\n"
    (line,) = remarks(tmp_path, text)
    assert line.startswith("line 7: [porter] state_dir: is also [kubernetes] manifests: ")
    more = f"{text}namespace = mine\nkubeconfig = {tmp_path}/porter.conf\n"
    assert remarks(tmp_path, more)[1:] == [
        "line 10: [kubernetes] namespace: has no effect: manifests is set, so there is no Lease",
        "line 11: [kubernetes] kubeconfig: has no effect: manifests is set",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[bgp]\n\nlocal_as = x\n", "line 3: [bgp] local_as: 'x' is not a whole number"),
        ("[bgp]\nlocal_as = 4294967296\n", "line 2: [bgp] local_as: '4294967296' is not a whole"),
        ("[porter]\n[bgp]\npeers = b\n", "line 3: [bgp] peers: b is listed, but there is no"),
        (f"{BGP}[peer:a]\nremote_as = 1\n", "line 3: [peer:a] address: is required"),
        (f"{BGP}[peer:a]\naddress = 192.0.2.1\n", "line 3: [peer:a] remote_as: is required"),
        ("[porter]\n\n[prter]\n", "line 3: [prter]: there is no such group"),
        ("[porter]\n\n\nnodename = n1\n", "line 4: [porter] nodename: there is no such key"),
        ("[bgp]\nlocal_as = 1\nlocal_as = 2\n", "line 3: [bgp] local_as: is set twice"),
        (f"{BGP}{A}local_pref = 5\n", "line 6: [peer:a] local_pref: is for internal peers only"),
        ("[porter]\n[bgp]\nnext_hops = self\n", "line 3: [bgp] next_hops: self needs [porter]"),
        (
            "[bgp]\nlisten_port = 8080\nlisten_addresses = 0.0.0.0\n",
            "line 2: [bgp] listen_port: 8080 is also [DEFAULT] wsapi_port, on the same address",
        ),
        (
            f"[DEFAULT]\nwsapi_port = 179\nwsapi_host =\n{BGP}{A}",
            "line 4: [bgp] listen_port: 179 is also [DEFAULT] wsapi_port, on the same address",
        ),
    ],
)
def test_an_error_names_its_line(tmp_path: Path, text: str, line: str) -> None:
    assert error(tmp_path, text).startswith(line)


@pytest.mark.parametrize(
    "text",
    [
        "[bgp]\nlisten_port = 8080\n",
        "[bgp]\nlisten_port = 8080\nlisten_addresses = 192.0.2.9\n",
        "[bgp]\nlisten_port = 8080\nlisten_addresses = ::\n",
        "[bgp]\nlisten_port = 8080\nlisten_addresses = none\n",
        "[bgp]\nlisten_port = 8080\nenabled = false\n",
        "[DEFAULT]\nwsapi_host = localhost\n[bgp]\nlisten_port = 8080\n",
    ],
)
def test_one_port_on_different_addresses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "porter.conf"
    path.write_text(text)
    assert read([str(path)])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("OS_PORTER__NODENAME", "[porter] nodename: there is no such key in this group; did you "),
        ("OS_BGP__STATE_DIR", "[bgp] state_dir: there is no such key in this group; it belongs "),
        ("os_porter__node_name", "[porter] node_name: there is no such key in this group; did yo"),
        ("OS_PEER:A__ADRESS", "[peer:a] adress: there is no such key in this group; did you mean "),
    ],
)
def test_a_misspelled_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    monkeypatch.setenv(name, "n1")
    path = tmp_path / "porter.conf"
    path.write_text(BGP + A)
    with pytest.raises(BadConfigurationError) as caught:
        read([str(path)])
    assert str(caught.value).startswith(f"environment {name}: {line}")


def test_environment_variables_of_others_are_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OS_AUTH_URL", "OS_PORTER_NODE_NAME", "OS_NOVA__HOST", "OS_PEER:B__ADDRESS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("OS_PORTER__NODE_NAME", "n1")
    assert remarks(tmp_path, BGP + A) == []


def test_of_several_files_the_one_that_says_it_is_named(tmp_path: Path) -> None:
    one, two = tmp_path / "1.conf", tmp_path / "2.conf"
    one.write_text(f"{BGP}{A}")
    two.write_text("# mine\n[peer:a]\nmode = passive\nport = 1179\n")
    (remark,) = read([str(one), str(two)]).remarks
    assert (remark.file, remark.line, remark.place) == (str(two), 4, "[peer:a] port")
