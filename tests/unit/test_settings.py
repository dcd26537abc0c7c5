"""Configuration files as users write them: the settings, or the error lines."""

from __future__ import annotations

import os
import re
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.peering import BgpRole
from porter_ryu.liveness.probes import LivenessSettings
from porter_ryu.settings import Settings, read
from porter_ryu.settings_file import BadConfigurationError

PEER = "[bgp]\npeers = a\n[peer:a]\naddress = 192.0.2.1\nremote_as = 65001\n"
LINE = re.compile(r"line \d+: (?=\[)")
AN_AS = "is not a whole number from 1 to 4294967294"


def settings(tmp_path: Path, text: str) -> Settings:
    """The settings of one file."""
    path = tmp_path / "porter.conf"
    path.write_text(text)
    return read([str(path)])


def faults(tmp_path: Path, text: str | bytes) -> list[str]:
    """The error lines for one file, without its name and the number of the line."""
    path = tmp_path / "porter.conf"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(BadConfigurationError) as caught:
        read([str(path)])
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines), "each line names the file"
    return [LINE.sub("", line.removeprefix(f"{path}: ")) for line in lines]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"\xff\xfe[porter]\n", "line 1: is not UTF-8 text"),
        (b"[porter]\nnode_name = M\xfcnchen\n", "line 2: is not UTF-8 text"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "line 1: contains a NUL character, so it is not text"),
        (b"\xef\xbb\xbf[porter]\n", "line 1: begins with a byte order mark"),
        (b"local_as = 1\n", "line 1: 'local_as' is before the first [group]"),
        (b"[porter\n", "line 1: '[porter' begins with [ but does not end with ]"),
        (b"[bgp] # ours\n", "line 1: '[bgp] # ours' begins with [ but does not end with ]"),
        (b"[]\n", "line 1: '[]' has no group name"),
        (b"[bgp]\n\nlocal_as 5\n", "line 3: 'local_as 5' is neither [group] nor key = value"),
        (b"{\n", "line 1: '{' is neither [group] nor key = value"),
        (b"[bgp]\n= 5\n", "line 2: '= 5' has no key"),
        (
            b"[bgp]\n  local_as = 5\n",
            "line 2: '  local_as = 5' is indented, but continues no value",
        ),
        (b"[porter]\n" + b"#" * (1 << 20), "is larger than 1048576 bytes"),
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
    ],
)
def test_a_file_that_cannot_be_parsed(tmp_path: Path, text: bytes, line: str) -> None:
    assert faults(tmp_path, text) == [line]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nothing", "No such file or directory"),
        ("folder", "is a directory"),
        ("pipe", "is not a regular file"),
        ("loop", "Too many levels of symbolic links"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_at_once_in_one_line(
    tmp_path: Path, path: str, line: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    began = time.monotonic()
    with pytest.raises(BadConfigurationError) as caught:
        read([str(tmp_path / path)])
    assert str(caught.value) == f"{tmp_path / path}: {line}"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[porter]\nalocate = true\n",
            "[porter] alocate: there is no such key in this group; did you mean allocate?",
        ),
        (
            "[DEFAULT]\nwsapi_prot = 80\n",
            "[DEFAULT] wsapi_prot: there is no such key in this group; did you mean wsapi_port?",
        ),
        (
            "[DEFAULT]\nwsapi-port = 80\n",
            "[DEFAULT] wsapi-port: there is no such key in this group; did you mean wsapi_port?",
        ),
        (
            "[porter]\nlocal_as = 5\n",
            "[porter] local_as: there is no such key in this group; it belongs to [bgp]",
        ),
        (
            "[porter]\nwsapi-port = 5\n",
            "[porter] wsapi-port: there is no such key in this group; it belongs to [DEFAULT]",
        ),
        (
            "[bgp]\nremote_as = 5\n",
            "[bgp] remote_as: there is no such key in this group; it belongs to [peer:NAME]",
        ),
        (
            f"{PEER}peers = a\n",
            "[peer:a] peers: there is no such key in this group; it belongs to [bgp]",
        ),
        (
            "[DEFAULT]\nstate_dir = /x\n",
            "[DEFAULT] state_dir: there is no such key in this group; it belongs to [porter]",
        ),
        (
            "[DEFAULT]\nofp_tcp_port = 80\n",
            "[DEFAULT] ofp_tcp_port: there is no such key in this group; did you mean "
            "ofp_tcp_listen_port?",
        ),
        (
            "[DEFAULT]\nWSAPI_PORT = 80\n",
            "[DEFAULT] WSAPI_PORT: there is no such key in this group; did you mean wsapi_port?",
        ),
        ("[drian]\n", "[drian]: there is no such group; did you mean [drain]?"),
        (f"{PEER}[peers:a]\n", "[peers:a]: there is no such group; did you mean [peer:a]?"),
        (f"{PEER}[Peer:a]\n", "[Peer:a]: there is no such group; did you mean [peer:a]?"),
        ("[prter]\n", "[prter]: there is no such group; did you mean [porter]?"),
        ("[BGP]\nlocal_as = 5\n", "[BGP]: there is no such group; did you mean [bgp]?"),
        ("[ bgp ]\n", "[ bgp ]: there is no such group; did you mean [bgp]?"),
        ("[whatever]\nx = 1\n", "[whatever]: there is no such group"),
        (
            f"{PEER}[peer:leaf9]\nadress = 192.0.2.9\n",
            "[peer:leaf9] adress: there is no such key in this group; did you mean address?",
        ),
        ("[bgp]\nlocal_as = 1\nlocal_as = 2\n", "[bgp] local_as: is set twice, in lines 2 and 3"),
        (
            "[bgp]\nlocal_as = 1\n[porter]\n[bgp]\nlocal_as = 2\n",
            "[bgp] local_as: is set twice, in lines 2 and 5",
        ),
        (
            f"{PEER}[peer:a]\naddress = 192.0.2.2\n",
            "[peer:a] address: is set twice, in lines 4 and 7",
        ),
    ],
)
def test_unknown_and_duplicate_names_are_reported(tmp_path: Path, text: str, line: str) -> None:
    assert faults(tmp_path, text) == [line]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bgp.local_as", "0x10", f"'0x10' {AN_AS}"),
        ("bgp.local_as", "1e9", f"'1e9' {AN_AS}"),
        ("bgp.local_as", "65_000", f"'65_000' {AN_AS}"),
        ("bgp.local_as", "1.5", f"'1.5' {AN_AS}"),
        ("bgp.local_as", "-1", f"'-1' {AN_AS}"),
        ("bgp.local_as", "0", f"'0' {AN_AS}"),
        ("bgp.local_as", "4294967295", f"'4294967295' {AN_AS}"),
        ("bgp.local_as", "٣", f"'٣' {AN_AS}"),
        ("bgp.local_as", "9" * 5000, f"'{'9' * 60}…' {AN_AS}"),
        ("bgp.local_as", "", "is empty; it must be a whole number from 1 to 4294967294"),
        ("bgp.max_next_hops", "-4", "'-4' is not a whole number, at least 0"),
        ("bgp.enabled", "maybe", "'maybe' is not true or false"),
        ("bgp.enabled", "", "'' is not true or false"),
        ("bgp.next_hops", "node", "'node' is not one of endpoints, nodes, self"),
        ("porter.allocate", "true  # why", "'true  # why': a comment must be on a line of its own"),
        ("porter.node_name", "n1 ; mine", "'n1 ; mine': a comment must be on a line of its own"),
        ("porter.node_name", "\x1b[31mred", r"'\x1b[31mred' contains a control character"),
        (
            "porter.node_name",
            "n1\n  allocate = false",
            "the line 'allocate = false' is indented, so it is part of this value",
        ),
        ("porter.state_dir", "", "must not be empty"),
        ("porter.annotation", "a b", "'a b' is not the key of an annotation"),
        ("porter.annotation", "a/b/c", "'a/b/c' is not the key of an annotation"),
        (
            "porter.load_balancer_class",
            "a b",
            "'a b' is not a name that a loadBalancerClass can have",
        ),
        ("kubernetes.namespace", "a/b", "'a/b' is not the name of a namespace"),
        ("kubernetes.namespace", "Porter", "'Porter' is not the name of a namespace"),
        ("porter.annotation", "", "must not be empty"),
        (
            "porter.annotation",
            "/a$b",
            "'/a$b': $ refers to an option that does not exist; write $$ for a $",
        ),
        (
            "porter.state_dir",
            "$state_dir",
            "'$state_dir': $ refers to an option that does not exist; write $$ for a $",
        ),
        (
            "porter.node_name",
            "${no.such}",
            "'${no.such}': $ refers to an option that does not exist; write $$ for a $",
        ),
        (
            "porter.node_name",
            "a${",
            "'a${': $ refers to an option that does not exist; write $$ for a $",
        ),
        ("bgp.router_id", "0.0.0.0", "0.0.0.0 is not a BGP identifier"),
        ("bgp.router_id", "::1", "'::1' is not an IPv4 address"),
        ("bgp.listen_addresses", "none, 10.0.0.1", "'none' is not an IP address"),
        (
            "bgp.listen_addresses",
            "::ffff:10.0.0.1",
            "::ffff:10.0.0.1 is IPv4-mapped: write 10.0.0.1",
        ),
        ("bgp.next_hop_networks", "10.0.0.1/8", "'10.0.0.1/8' is not a network like 10.0.0.0/8"),
        ("drain.annotation", "a b", "'a b' is not the key of an annotation"),
        ("drain.annotation", "/drain", "'/drain' is not the key of an annotation"),
        (
            "drain.taints",
            "a, gone=true:NoExecute",
            "'gone=true:NoExecute' is not the key of a taint (without value and effect)",
        ),
        ("drain.cordoned", "sometimes", "'sometimes' is not true or false"),
        ("drain.seconds", "-1", "'-1' is not a whole number from 0 to 86400"),
        ("drain.seconds", "30s", "'30s' is not a whole number from 0 to 86400"),
        ("drain.seconds", "", "is empty; it must be a whole number from 0 to 86400"),
        ("drain.med", "4294967296", "'4294967296' is not a whole number from 0 to 4294967295"),
        ("liveness.probes", "ping", "'ping' is not icmp, tcp:PORT or http:PORT/PATH"),
        ("liveness.probes", "icmp,,tcp:1", "has an empty entry"),
        ("liveness.probes", "tcp:1, tcp:01", "tcp:1 is listed twice"),
        ("liveness.probes", "tcp:0", "'tcp:0': the port must be a number from 1 to 65535"),
        (
            "liveness.probes",
            "http:10256",
            "'http:10256' has no path; write http:10256/healthz, for example",
        ),
        (
            "liveness.probes",
            ",".join(f"tcp:{port}" for port in range(1, 10)),
            "has 9 probes; the most are 8",
        ),
        ("liveness.interval_ms", "49", "'49' is not a whole number from 50 to 60000"),
        ("liveness.interval_ms", "60001", "'60001' is not a whole number from 50 to 60000"),
        ("liveness.interval_ms", "", "is empty; it must be a whole number from 50 to 60000"),
        ("liveness.multiplier", "0", "'0' is not a whole number from 1 to 255"),
        ("liveness.multiplier", "256", "'256' is not a whole number from 1 to 255"),
        ("DEFAULT.wsapi_port", "65536", "65536 is not a port number"),
        ("DEFAULT.ofp_tcp_listen_port", "65536", "65536 is not a port number"),
        ("DEFAULT.ofp_tcp_listen_port", "0", "0 is not a port number"),
        *(
            (f"DEFAULT.{key}", host, f"{host!r} is neither an IP address nor the name of a host")
            for key in ("wsapi_host", "ofp_listen_host")
            for host in ("127.0.0.1:80", "http://a", "*", "256.1.1.1", "1.2.3", "a b", "::/0")
        ),
        ("DEFAULT.wsapi_port", "http", "'http' is not a whole number"),
        ("DEFAULT.verbose", "perhaps", "'perhaps' is not true or false"),
        (
            "DEFAULT.log_file",
            "/x$y",
            "'/x$y': $ refers to an option that does not exist; write $$ for a $",
        ),
    ],
)
def test_a_bad_value_is_reported_with_what_is_expected(
    tmp_path: Path, key: str, value: str, message: str
) -> None:
    group, _, name = key.partition(".")
    assert faults(tmp_path, f"[{group}]\n{name} = {value}\n") == [f"[{group}] {name}: {message}"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("a,,b", "has an empty entry"),
        ("a, a", "a is listed twice"),
        ("a, A", "A and a differ only in case, which oslo.config ignores"),
        ("leaf9", "leaf9 is listed, but there is no group [peer:leaf9]"),
        ("aa, a", "aa is listed, but there is no group [peer:aa]"),
        *(
            (
                name,
                f"{name!r} is not a valid peer name: 1 to 63 letters, digits, '.', '_', ':' "
                "and '-', starting with a letter or digit",
            )
            for name in ("../../evil", ".", "a/b", "-x", "a b", "läuft", 'a"b', "a]")
        ),
    ],
)
def test_a_bad_list_of_peers(tmp_path: Path, names: str, message: str) -> None:
    groups = "".join(
        f"[peer:{name}]\naddress = 192.0.2.{number}\nremote_as = 1\n"
        for number, name in enumerate({"a", "b"} & {n.strip() for n in names.split(",")}, 1)
    )
    text = f"[bgp]\npeers = {names}\n{groups}"
    assert faults(tmp_path, text)[0] == f"[bgp] peers: {message}"


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, f"[bgp]\npeers = {'x' * 64}\n")
    assert found.startswith(f"[bgp] peers: '{'x' * 60}…' is not a valid peer name: 1 to 63 letters")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("fe80::1%eth9", "fe80::1%eth9 is link-local: unnumbered peering is not supported"),
        ("fe80::1", "fe80::1 is link-local: unnumbered peering is not supported"),
        ("febf::1", "febf::1 is link-local: unnumbered peering is not supported"),
        ("2001:db8::1%e", "2001:db8::1%e has a zone, which only link-local addresses have"),
        ("::ffff:192.168.10.1", "::ffff:192.168.10.1 is IPv4-mapped: write 192.168.10.1"),
        ("::FFFF:C0A8:A01", "::FFFF:C0A8:A01 is IPv4-mapped: write 192.168.10.1"),
        ("0.0.0.0", "0.0.0.0 is the address of no host"),
        ("0.1.2.3", "0.1.2.3 is the address of no host"),
        ("::", ":: is the address of no host"),
        ("224.0.0.5", "224.0.0.5 is the address of no host"),
        ("ff02::5", "ff02::5 is the address of no host"),
        ("240.0.0.1", "240.0.0.1 is the address of no host"),
        ("255.255.255.255", "255.255.255.255 is the address of no host"),
        ("leaf1.example.org", "'leaf1.example.org' is not an IP address"),
        ("192.0.2.1:179", "'192.0.2.1:179' is not an IP address"),
        ("192.0.2.01", "'192.0.2.01' is not an IP address"),
        ("192.0.2.0/24", "'192.0.2.0/24' is not an IP address"),
        ("eth0", "'eth0' is not an IP address"),
        ("", "is required"),
    ],
)
def test_addresses_that_no_peer_can_have(tmp_path: Path, address: str, message: str) -> None:
    text = PEER.replace("192.0.2.1", address)
    assert faults(tmp_path, text) == [f"[peer:a] address: {message}"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.7.1", "2001:DB8::1", "fd00::1"])
def test_addresses_that_a_peer_can_have(tmp_path: Path, address: str) -> None:
    found = settings(tmp_path, PEER.replace("192.0.2.1", address))
    assert [peer.address for peer in found.bgp.peers] == [ip_address(address)]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("local_address = fe80::2\n", "local_address: fe80::2 is link-local: unnumbered peering"),
        ("local_address = 0.0.0.0\n", "local_address: 0.0.0.0 is the address of no host"),
        (
            "local_address = 2001:db8::2\n",
            "local_address: is not of the same family as address 192.0.2",
        ),
        ("local_address = 192.0.2.1\n", "local_address: is also the address of the peer"),
        ("local_addresses = 192.0.2.7, 192.0.2.07\n", "local_addresses: '192.0.2.07' is not an IP"),
        ("local_addresses = 192.0.2.7,, 192.0.2.8\n", "local_addresses: '' is not an IP address"),
        ("local_addresses = 192.0.2.7, 192.0.2.7\n", "local_addresses: 192.0.2.7 is listed twice"),
        (
            "local_addresses = 192.0.2.7, fd00::7\n",
            "local_addresses: fd00::7 is not of the same family as address 192.0.2.1",
        ),
        (
            "local_addresses = 192.0.2.1\n",
            "local_addresses: 192.0.2.1 is also the address of the peer",
        ),
        ("local_addresses = 0.0.0.0\n", "local_addresses: 0.0.0.0 is the address of no host"),
        (
            "local_addresses = 192.0.2.7\nlocal_address = 192.0.2.7\n",
            "local_addresses: excludes local_address, which is also set",
        ),
        (
            f"local_addresses = {','.join(f'192.0.2.{100 + n}' for n in range(33))}\n",
            "local_addresses: has 33 addresses, but a peer may have 32",
        ),
        ("local_pref = 100\n", "local_pref: is for internal peers only (RFC 4271, 5.1.5)"),
        ("role = upstream\n", "role: 'upstream' is not one of provider, customer, peer, none"),
        ("role = Customer\n", "role: 'Customer' is not one of provider, customer, peer, none"),
        ("role =\n", "role: '' is not one of provider, customer, peer, none"),
        ("hold_time = 2\n", "hold_time: must be 0 or at least 3"),
        ("port =\n", "port: is empty; it must be a whole number from 1 to 65535"),
        ("mode = loud\n", "mode: 'loud' is not one of active, passive, both"),
        ("families = ipv5\n", "families: 'ipv5' is neither ipv4 nor ipv6"),
        ("families =\n", "families: must name ipv4, ipv6 or both"),
        ("communities = 1:2:3:4\n", "communities: '1:2:3:4' is not a community"),
        (
            f"communities = {','.join(f'1:2:{n}' for n in range(65))}\n",
            "communities: has 65 communities, but a peer may have 64",
        ),
        ("node_selector = ((\n", "node_selector: not a label selector"),
        ("node_selector = a in (b c)\n", "node_selector: 'b c' is not the value of a label"),
        (
            "as_path_prepend = 1\n[bgp]\nlocal_as = 65001\n",
            "as_path_prepend: is for external peers only (RFC 4271, 5.1.2), but remote_as is",
        ),
        ("bfd = true\nmultihop_ttl = 2\n", "bfd: is for a single hop only (RFC 5881)"),
        ("password_file = /dev/zero\n", "password_file: cannot read /dev/zero: is not a regular"),
        ("password_file = /etc\n", "password_file: cannot read /etc: is a directory"),
        (
            "password_file = /a$b\n",
            "password_file: '/a$b': $ refers to an option that does not exist",
        ),
        ("password_file = /none\n", "password_file: cannot read /none: No such file"),
    ],
)
def test_a_bad_peer(tmp_path: Path, more: str, line: str) -> None:
    (found,) = faults(tmp_path, PEER + more)
    assert found.startswith(f"[peer:a] {line}")


def test_a_peer_with_fan_out_has_a_session_from_each_address(tmp_path: Path) -> None:
    text = f"{PEER}local_addresses = 192.0.2.9, 192.0.2.10\nmed = 7\n"
    nine, ten = settings(tmp_path, text).bgp.peers
    assert (nine.name, ten.name) == ("a@192.0.2.9", "a@192.0.2.10")
    assert (nine.key, ten.key) == ("192.0.2.1@192.0.2.9", "192.0.2.1@192.0.2.10")
    for session in (nine, ten):
        assert session.peer == "a"
        assert session.fan_out == (ip_address("192.0.2.9"), ip_address("192.0.2.10"))
        assert not session.add_path
        assert session.attributes.med == 7
    three = f"{PEER}local_addresses = 192.0.2.9, 192.0.2.10, 192.0.2.8\nmed = 7\n"
    before = {session.name: session.session_settings for session in (nine, ten)}
    after = {
        session.name: session.session_settings for session in settings(tmp_path, three).bgp.peers
    }
    assert before.items() <= after.items()
    assert settings(tmp_path, f"{PEER}local_addresses =\n").bgp.peers[0].name == "a"


def test_fan_out_is_for_a_central_instance(tmp_path: Path) -> None:
    text = f"[porter]\nnode_name = n1\n{PEER}local_addresses = 192.0.2.9\n"
    text = text.replace("[bgp]\n", "[bgp]\nnext_hops = self\n")
    rule = "local_addresses: is for a central instance, but [bgp] next_hops is self"
    assert faults(tmp_path, text) == [f"[peer:a] {rule}"]


@pytest.mark.parametrize("role", ["provider", "customer", "peer"])
def test_a_role_is_for_an_external_peer(tmp_path: Path, role: str) -> None:
    text = f"{PEER}role = {role}\n"
    (found,) = settings(tmp_path, text).bgp.peers
    assert found.role is BgpRole(role)
    internal = text.replace("remote_as = 65001", "remote_as = 65000")
    rule = "role: is for external peers only (RFC 9234), but remote_as is [bgp] local_as"
    assert faults(tmp_path, internal) == [f"[peer:a] {rule}"]
    (found,) = settings(tmp_path, internal.replace(f"role = {role}", "role = none")).bgp.peers
    assert found.role is None


@pytest.mark.parametrize("key", [b"", b"\n", b"x" * 81, b"x" * 10_000])
def test_an_md5_key_that_is_empty_or_too_long(tmp_path: Path, key: bytes) -> None:
    (tmp_path / "key").write_bytes(key)
    (found,) = faults(tmp_path, f"{PEER}password_file = {tmp_path}/key\n")
    assert found.endswith("key must hold 1 to 80 bytes")


def test_two_peers_on_one_address_however_it_is_spelled(tmp_path: Path) -> None:
    text = PEER.replace("peers = a", "peers = a, b").replace("192.0.2.1", "2001:db8::1")
    text += "[peer:b]\naddress = 2001:0DB8:0::0001\nremote_as = 1\n"
    assert faults(tmp_path, text) == ["[peer:b] address: is also the address of [peer:a]"]


def test_a_file_in_place_of_the_directory_of_manifests_is_told_from_nothing(tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.write_text("")
    key = "[kubernetes] manifests"
    (line,) = faults(tmp_path, f"[kubernetes]\nmanifests = {there}\n")
    assert line.startswith(f"{key}: {there} is no directory")
    (line,) = faults(tmp_path, f"[kubernetes]\nmanifests = {gone}\n")
    assert line.startswith(f"{key}: there is no directory {gone}")


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    text = f"[porter]\nallocate = x\n{PEER}hold_time = 1\nmed = -1\n[what]\n"
    assert len(faults(tmp_path, text)) == 4


def test_a_bad_environment_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_BGP__LOCAL_AS", "many")
    path = tmp_path / "porter.conf"
    path.write_text("[bgp]\nlocal_as = 5\n")
    with pytest.raises(BadConfigurationError) as caught:
        read([str(path)])
    variable = "environment OS_BGP__LOCAL_AS: [bgp] local_as: "
    assert str(caught.value) == f"{variable}'many' {AN_AS}"
    monkeypatch.setenv("OS_BGP__LOCAL_AS", "7")
    assert read([str(path)]).bgp.local_as == 7


def test_a_valid_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"secret$1\n")
    text = (
        "# a comment\n[DEFAULT]\nwsapi_host = ::1\nverbose = true\napp = one\napp = two\n"
        f"[porter]\nstate_dir = {tmp_path}\n[ovsdb]\nport = 1\n[oslo_concurrency]\nx = 1\n"
        "[bgp]\npeers = a,\n  fd00::1, Leaf.2_x-y,\nlocal_as: 65001\n"
        "[peer:a]\naddress = 192.0.2.1\nremote_as = 65001\nlocal_pref = 200\n"
        "password_file = ${porter.state_dir}/key\nhold_time =\n"
        "[peer:fd00::1]\naddress = fd00::1\nremote_as = 1\nfamilies = ipv6\n"
        "[peer:Leaf.2_x-y]\naddress = 192.0.2.2\nremote_as = 1\nnode_selector = a in (b, c)\n"
        "[porter]\nnode_name = a$$b\n"
    )
    found = settings(tmp_path, text)
    first, second, third = found.bgp.peers
    assert (first.attributes.local_pref, first.hold_time) == (200, 90)
    assert first.password is not None
    assert first.password.value == b"secret$1"
    assert "secret" not in repr(found)
    assert found.key_files == (f"{tmp_path}/key",)
    assert (second.name, second.families) == ("fd00::1", frozenset({Family.IPV6}))
    assert third.name == "Leaf.2_x-y"
    assert found.node_name == "a$b"


def test_what_drains_a_node(tmp_path: Path) -> None:
    taint = frozenset(["ToBeDeletedByClusterAutoscaler"])
    found = settings(tmp_path, "[drain]\n").drain
    assert found == DrainPolicy("porter.kubesphere.io/drain", taint, False, 30, 4294967295)
    text = "[drain]\nannotation =\ntaints =\ncordoned = true\nseconds = 0\nmed = 0\n"
    assert settings(tmp_path, text).drain == DrainPolicy("", frozenset(), True, 0, 0)
    text = "[drain]\nannotation = drain\ntaints = a, b.example/c_d\n"
    found = settings(tmp_path, text).drain
    assert found.annotation == "drain"
    assert found.taints == {"a", "b.example/c_d"}


def test_what_is_asked_of_nodes(tmp_path: Path) -> None:
    assert settings(tmp_path, "[liveness]\n").liveness == LivenessSettings((), 0.25, 3)
    text = "[liveness]\nprobes = icmp, tcp:10250, http:10256/healthz\ninterval_ms = 1000\n"
    found = settings(tmp_path, f"{text}multiplier = 5\n").liveness
    assert [str(probe) for probe in found.probes] == ["icmp", "tcp:10250", "http:10256/healthz"]
    assert (found.interval, found.multiplier) == (1.0, 5)


def test_every_wrong_probe_is_told(tmp_path: Path) -> None:
    text = "[liveness]\nprobes = ping, tcp:x\n[porter]\nnode_name = n1\n[bgp]\nnext_hops = self\n"
    assert faults(tmp_path, text) == [
        "[liveness] probes: 'ping' is not icmp, tcp:PORT or http:PORT/PATH",
        "[liveness] probes: 'tcp:x': the port must be a number from 1 to 65535",
    ]
    assert faults(tmp_path, text.replace("ping, tcp:x", "icmp")) == [
        "[liveness] probes: is for a central instance, but [bgp] next_hops is self"
    ]


def test_a_later_file_overrides_an_earlier_one_and_errors_name_the_file(tmp_path: Path) -> None:
    one, two = tmp_path / "1.conf", tmp_path / "2.conf"
    one.write_text("[bgp]\nlocal_as = 1\n")
    two.write_text("[bgp]\nlocal_as = 2\n")
    assert read([str(one), str(two)]).bgp.local_as == 2
    two.write_text("[bgp]\nlocal_as = x\n")
    with pytest.raises(BadConfigurationError, match=f"^{two}: "):
        read([str(one), str(two)])
    one.write_text("oops\n")
    two.write_text("oops\n")
    with pytest.raises(BadConfigurationError) as caught:
        read([str(one), str(two)])
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize("head", ["", "[bgp]\n", "[bgp]\nlocal_as = 65000\n"])
def test_a_file_that_lost_its_list_of_peers_is_refused(tmp_path: Path, head: str) -> None:
    line = "[bgp] peers: is not set, but there is a group [peer:a]"
    assert faults(tmp_path, head + PEER[PEER.index("[peer:a]") :]) == [line]


def test_the_shipped_sample_file_sets_only_defaults() -> None:
    assert read(["etc/porter_ryu/porter_ryu.conf.sample"]).bgp.peers == ()


def test_without_a_file_everything_has_its_default() -> None:
    assert read([]).bgp.peers == ()
