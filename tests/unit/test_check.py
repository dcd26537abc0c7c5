"""What `porter-ryu check` finds on this host and at an API server: one line for each problem."""

from __future__ import annotations

import email.utils
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric.objects import Json, eip, node, service
from porter_ryu.check.outcome import Report, of_errors
from porter_ryu.check.report import inspect
from porter_ryu.settings import read
from porter_ryu.settings_file import BadConfigurationError
from tests.unit.fake_server import Authority, FakeServer, Headers, answer, kubeconfig, ok

Right = dict[str, Any]
EIPS = "/apis/network.kubesphere.io/v1alpha2"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/porter-system/leases/porter-ryu"
SERVICE_CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"


class ApiServer(FakeServer):
    """An API server with some objects, which answers access reviews and denies some rights."""

    def __init__(self, forbidden: tuple[str, ...] = ("list servicecidrs",)) -> None:
        super().__init__(self._answer)
        self.forbidden = forbidden
        self.reviewed: list[str] = []
        self.ahead = 0.0
        self.objects: dict[str, list[Json]] = {}
        self.found: dict[str, Json] = {
            "/version": {},
            EIPS: {"resources": [{"name": "eips"}, {"name": "eips/status"}]},
            LEASE: {"spec": {}},
        }

    def _answer(self, path: str, _headers: Headers) -> bytes:
        path = path.partition("?")[0]
        date = email.utils.formatdate(time.time() + self.ahead, usegmt=True)
        if path.endswith("/selfsubjectaccessreviews"):
            right: Right = json.loads(self.body)["spec"]["resourceAttributes"]
            what = "/".join(right[part] for part in ("resource", "subresource") if part in right)
            asked = f"{right['verb']} {what}"  # others are asked at the same time
            self.reviewed.append(asked)
            return ok({"status": {"allowed": asked not in self.forbidden}})
        if path in self.found:
            return ok(self.found[path], Date=date)
        plural = path.rpartition("/")[2]
        if f"list {plural}" in self.forbidden:
            return answer(403, {"reason": "Forbidden", "message": "no"})
        if plural in ("nodes", "services", "eips", "servicecidrs"):
            return ok({"metadata": {}, "items": self.objects.get(plural, [])})
        return answer(404, {"reason": "NotFound", "message": "not found"})


def free() -> int:
    """A port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def configuration(folder: Path, **groups: str) -> str:
    """The path of a file with these groups; without more it has no findings on this host."""
    texts = {
        "DEFAULT": f"wsapi_port = {free()}",
        "porter": f"state_dir = {folder}/state",
        "bgp": "enabled = false",
        "bound_ip": "mode = none",
    }
    texts |= {name.replace("__", ":"): text for name, text in groups.items()}
    path = folder / "porter.conf"
    path.write_text("".join(f"[{name}]\n{text}\n" for name, text in texts.items()))
    return str(path)


def checked(folder: Path, **groups: str) -> Report:
    """The report on these settings on this host."""
    return inspect(read([configuration(folder, **groups)]))


def found(folder: Path, **groups: str) -> list[str]:
    """The findings for these settings, as `WHERE: WHAT`."""
    report = checked(folder, **groups)
    assert all(finding.mend for finding in report.findings), "each says what to do"
    assert len(report.text.splitlines()) == max(
        1, len(report.findings) + len(report.not_checked) + (not report.findings)
    )
    return [f"{finding.where}: {finding.what}" for finding in report.findings]


@pytest.fixture
def manifests(tmp_path: Path) -> str:
    """[kubernetes] with a writable directory of manifests."""
    (tmp_path / "manifests").mkdir()
    return f"manifests = {tmp_path}/manifests"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


def asking(folder: Path, server: FakeServer) -> str:
    """[kubernetes] that uses this API server."""
    return f"kubeconfig = {kubeconfig(folder, f'http://127.0.0.1:{server.port}')}"


def put(manifests: str, *objects: Json) -> None:
    """Writes objects into the directory of manifests."""
    folder = Path(manifests.partition(" = ")[2])
    (folder / "objects.json").write_text("\n".join(map(json.dumps, objects)))


# -- this host -------------------------------------------------------------------------------------


def test_without_a_problem_there_is_no_finding(tmp_path: Path, manifests: str) -> None:
    report = checked(tmp_path, kubernetes=manifests)
    assert report.text == "the configuration and this host are fine"
    assert report.json == {"ok": True, "errors": [], "findings": [], "notChecked": []}
    assert not (tmp_path / "state").exists(), "nothing is changed"


def test_a_remark_on_the_configuration_is_a_finding_with_its_line(
    tmp_path: Path, manifests: str
) -> None:
    report = checked(
        tmp_path, kubernetes=manifests, bgp="enabled = false\npeers =", peer__spare="med = 1"
    )
    path = tmp_path / "porter.conf"
    assert report.text == (
        f"{path}: line 12: [peer:spare]: is not used: [bgp] peers does not list it; to mend it: "
        "add spare to [bgp] peers, or remove the group"
    )
    assert report.json == {
        "ok": False,
        "errors": [],
        "findings": [
            {
                "where": "[peer:spare]",
                "what": "is not used: [bgp] peers does not list it",
                "mend": "add spare to [bgp] peers, or remove the group",
                "file": str(path),
                "line": 12,
            }
        ],
        "notChecked": [],
    }


def test_errors_of_the_configuration_as_json(tmp_path: Path) -> None:
    path = tmp_path / "porter.conf"
    path.write_text("[bgp]\nlocal_as = x\n[prter]\n")
    with pytest.raises(BadConfigurationError) as caught:
        read([str(path)])
    report = of_errors(caught.value.faults)
    assert [(e["line"], e["where"]) for e in report.json["errors"]] == [
        (2, "[bgp] local_as"),
        (3, "[prter]"),
    ]
    assert not report.json["ok"]


def test_a_port_on_which_another_process_listens(tmp_path: Path, manifests: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert found(tmp_path, kubernetes=manifests, DEFAULT=f"wsapi_port = {port}") == [
            f"[DEFAULT] wsapi_port: cannot listen on 127.0.0.1 port {port}: "
            "another process listens there"
        ]


def test_a_host_that_is_a_name(tmp_path: Path, manifests: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f"wsapi_host = localhost\nwsapi_port = {port}"
        assert found(tmp_path, kubernetes=manifests, DEFAULT=text) == [
            f"[DEFAULT] wsapi_port: cannot listen on 127.0.0.1 port {port}: "
            "another process listens there"
        ]
    name = "x" * 64  # longer than a label may be, so no server is asked
    text = f"wsapi_host = {name}\nwsapi_port = {free()}"
    (line,) = found(tmp_path, kubernetes=manifests, DEFAULT=text)
    assert line.startswith(f"[DEFAULT] wsapi_host: '{name}' has no IPv4 address: ")


def test_the_port_for_switches(tmp_path: Path, manifests: str) -> None:
    (folder := tmp_path / "none").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f"ofp_listen_host = 127.0.0.1\nofp_tcp_listen_port = {port}\nwsapi_port = {free()}"
        on = "enabled = true"
        assert found(tmp_path, kubernetes=manifests, DEFAULT=text, openflow=on) == [
            f"[DEFAULT] ofp_tcp_listen_port: cannot listen on 127.0.0.1 port {port}: "
            "another process listens there"
        ]
    assert found(folder, kubernetes=manifests, DEFAULT=text, openflow=on) == []


def test_an_empty_directory_that_had_manifests(tmp_path: Path, manifests: str) -> None:
    (tmp_path / "state" / "announced" / "a folder in place of a file").mkdir(parents=True)
    report = checked(tmp_path, kubernetes=manifests)
    (line,) = [found for found in report.findings if "manifests" in found.where]
    assert line.what.endswith(
        "is empty, but an earlier run announced or bound addresses: is it unmounted?"
    )
    assert "put everything back, with .status" in line.mend


def test_damage_below_the_status_directory(tmp_path: Path, manifests: str) -> None:
    put(manifests, service("web"), service("api"), eip("pool", "203.0.113.0/29"))
    folder = tmp_path / "manifests" / ".status" / "services" / "default"
    folder.mkdir(parents=True)
    (folder / "web.json").write_text('{"status": {')
    (folder / "api.json").write_text(
        '{"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.400"}]}}}'
    )
    api, web = sorted(found(tmp_path, kubernetes=manifests))
    assert "default/api.json: status.loadBalancer.ingress has" in api
    assert ".status/services/default/web.json cannot be parsed" in web
    (line, _) = checked(tmp_path, kubernetes=manifests).findings
    assert line.mend == f"restore {folder}/api.json from a backup, or correct it"


def test_folders_that_cannot_be_written(tmp_path: Path, manifests: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "manifests" / ".status").write_text("no folder")
    porter = f"state_dir = {tmp_path}/file/state"
    assert found(tmp_path, kubernetes=manifests, porter=porter) == [
        f"[porter] state_dir: {tmp_path}/file/state cannot be written",
        f"[kubernetes] manifests: {tmp_path}/manifests/.status cannot be written",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("not json", "is damaged: "),
        ('{"version": 1, "boot_id": 7}', "is damaged: "),
        ('{"boot": "BOOT", "bound": [1, 2]}', "has 2 damaged rows, "),
        (None, "is damaged: it is a directory"),
    ],
)
def test_a_journal_of_bound_addresses_that_is_damaged(
    tmp_path: Path,
    manifests: str,
    text: str | None,
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = tmp_path / "state" / "bound.json"
    journal.parent.mkdir()
    if text is None:
        journal.mkdir()
    else:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        journal.write_text(text.replace("BOOT", boot))
    finding, *_ = found(tmp_path, kubernetes=manifests)
    assert finding.startswith(f"[porter] state_dir: {journal} {what}")
    assert not caplog.text, "it is said once"


def test_a_directory_of_manifests_that_cannot_be_read(tmp_path: Path, manifests: str) -> None:
    path = configuration(tmp_path, kubernetes=manifests)
    settings = read([path])
    os.rmdir(tmp_path / "manifests")
    (tmp_path / "manifests").write_text("a file")
    (finding, *_) = inspect(settings).findings
    assert finding.where == "[kubernetes] manifests"


# -- peers on loopback -----------------------------------------------------------------------------

BGP = "local_as = 65000\nrouter_id = 192.0.2.9\nlisten_addresses = none\npeers = a"
ROUTER_HERE = {"net.ipv4.fib_multipath_hash_policy", "net.ipv4.ip_forward"}


def of_peers(folder: Path, manifests: str, peer: str) -> list[str]:
    """The findings about a peer, without those about sysctls that a router on this host needs."""
    lines = found(folder, kubernetes=manifests, bgp=BGP, peer__a=f"remote_as = 65001\n{peer}")
    return [line for line in lines if line.partition(": ")[0] not in ROUTER_HERE]


def test_nobody_answers_at_the_port_of_a_peer(tmp_path: Path, manifests: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        peer = f"address = 127.0.0.1\nport = {port}"
        assert of_peers(tmp_path, manifests, peer) == []
    assert of_peers(tmp_path, manifests, peer) == [
        "[peer:a] address: no BGP speaker listens at 127.0.0.1 port "
        f"{port}: the connection is refused"
    ]


def test_a_peer_that_connects_itself_is_not_asked(tmp_path: Path, manifests: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    bgp = BGP.replace("none", "127.0.0.1") + f"\nlisten_port = {port}"
    peer = "remote_as = 65001\naddress = 127.0.0.1\nmode = passive"
    lines = found(tmp_path, kubernetes=manifests, bgp=bgp, peer__a=peer)
    assert {line.partition(": ")[0] for line in lines} <= ROUTER_HERE


def test_a_peer_with_a_connection_is_left_alone(tmp_path: Path, manifests: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        peer = f"address = 127.0.0.1\nport = {port}"
        with socket.create_connection(("127.0.0.1", port)):
            session, _ = listener.accept()
            assert of_peers(tmp_path, manifests, peer) == []
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()
            session.close()


# -- the API server --------------------------------------------------------------------------------

LISTED = ["services", "endpointslices", "nodes", "namespaces", "eips"]
READS = {f"{verb} {kind}" for verb in ("list", "watch") for kind in LISTED}
WRITES = {"patch services/status", "patch eips/status", "create events", "patch events"}
LEASES = {"get leases", "update leases"}
NOT_CHECKED = (
    "not checked: Service networks: this credential may not list ServiceCIDRs; the ClusterIPs "
    "were compared"
)


def test_every_right_that_is_used_is_reviewed(tmp_path: Path, server: ApiServer) -> None:
    report = checked(tmp_path, kubernetes=asking(tmp_path, server))
    assert report.text.splitlines() == [
        NOT_CHECKED,
        "the configuration and this host are fine",
    ]
    assert set(server.reviewed) == READS | WRITES | LEASES | {"list servicecidrs"}
    assert SERVICE_CIDRS not in {path.partition("?")[0] for path in server.asked}
    server.reviewed.clear()
    (tmp_path / "state").mkdir()
    porter = f"state_dir = {tmp_path}/state\nallocate = false"
    kubernetes = asking(tmp_path, server)
    assert found(tmp_path, kubernetes=kubernetes, porter=porter, bound_ip="mode = rule")[1:] == []
    assert set(server.reviewed) == READS | {"list servicecidrs"}, "it only reads"


def test_each_missing_right_is_named(tmp_path: Path, server: ApiServer) -> None:
    server.forbidden = ("watch nodes", "patch services/status", "update leases")
    assert found(tmp_path, kubernetes=asking(tmp_path, server)) == [
        "API server: the API server does not allow: watch nodes",
        "API server: the API server does not allow: patch services/status",
        "API server: the API server does not allow: update leases in porter-system",
    ]


def test_what_may_not_be_listed_is_said_and_not_asked_for(
    tmp_path: Path, server: ApiServer
) -> None:
    server.forbidden = ("list nodes", "list eips", "list servicecidrs", "get leases")
    report = checked(tmp_path, kubernetes=asking(tmp_path, server))
    assert [entry.what for entry in report.not_checked] == ["nodes", "eips", "Service networks"]
    assert len(report.findings) == 3, "the missing rights"
    asked = {path.partition("?")[0].rpartition("/")[2] for path in server.asked}
    assert asked.isdisjoint({"nodes", "eips", "servicecidrs", "porter-ryu"})


@pytest.mark.parametrize(
    ("resources", "what"),
    [
        (None, "the API server does not have it, or not its version v1alpha2"),
        ([], "the API server does not have it, or not its version v1alpha2"),
        ([{"name": "bgpconfs"}], "the API server does not have it, or not its version v1alpha2"),
        ([{"name": "eips"}], "it has no subresource status"),
        ("x", "the API server does not have it, or not its version v1alpha2"),
    ],
)
def test_the_definition_of_eips(
    tmp_path: Path, server: ApiServer, resources: object, what: str
) -> None:
    if resources is None:
        del server.found[EIPS]
    else:
        server.found[EIPS] = {"resources": resources}
    (finding,) = checked(tmp_path, kubernetes=asking(tmp_path, server)).findings
    where = "CustomResourceDefinition eips.network.kubesphere.io"
    assert (finding.where, finding.what) == (where, what)
    assert finding.mend == "kubectl apply -f deploy/porter-ryu.yaml"


def test_the_lease_is_missing(tmp_path: Path, server: ApiServer) -> None:
    del server.found[LEASE]
    kubernetes = asking(tmp_path, server)
    (finding,) = checked(tmp_path, kubernetes=kubernetes).findings
    assert finding.where == "Lease porter-system/porter-ryu"
    words = finding.mend.partition(" | ")[0].removeprefix("echo '").removesuffix("'")
    assert json.loads(words)["metadata"] == {"name": "porter-ryu", "namespace": "porter-system"}
    server.found[LEASE.replace("porter-system", "mine")] = {}
    assert found(tmp_path, kubernetes=f"{kubernetes}\nnamespace = mine") == []


@pytest.mark.parametrize(
    ("ahead", "what"),
    [
        (-3600, "the clock of this host is 3600 s ahead of that of the API server"),
        (90, "the clock of this host is 90 s behind that of the API server"),
    ],
)
def test_the_clock(tmp_path: Path, server: ApiServer, ahead: float, what: str) -> None:
    server.ahead = ahead
    (line,) = found(tmp_path, kubernetes=asking(tmp_path, server))
    # the Date has whole seconds
    near = {f"clock: {what.replace(str(abs(ahead)), str(abs(ahead) + n))}" for n in (-1, 0, 1)}
    assert line in near


@pytest.mark.parametrize("status", [401, 500])
def test_an_api_server_that_answers_with_an_error_is_one_finding(
    tmp_path: Path, status: int
) -> None:
    body = {"reason": "Unauthorized" if status == 401 else "InternalError", "message": "no"}
    server = FakeServer(lambda _path, _headers: answer(status, body))
    (finding,) = checked(tmp_path, kubernetes=asking(tmp_path, server)).findings
    server.close()
    assert finding.where == "API server"
    assert "kubectl" in finding.mend


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (answer(404, b"<html>"), "the answer has no reason; is this a Kubernetes API server?"),
        (answer(302, b"", Location="http://127.0.0.1:1/"), "is this a Kubernetes API server?"),
        (ok(b"<html>"), "the answer of the API server is not JSON"),
        (ok([1]), "the answer of the API server is not an object"),
        (b"SSH-2.0-OpenSSH_9\r\n", "ended the connection"),
        (ok(b"x" * (2 << 20)), "an answer is larger than 1 MB"),
        (
            answer(400, b"Client sent an HTTP request to an HTTPS server.\n"),
            "wants TLS: its URL must begin with https",
        ),
    ],
)
def test_a_server_that_is_no_api_server(tmp_path: Path, said: bytes, what: str) -> None:
    server = FakeServer(lambda _path, _headers: said)
    (finding,) = checked(tmp_path, kubernetes=asking(tmp_path, server)).findings
    server.close()
    assert what in finding.what
    assert finding.mend.startswith("correct the server in the kubeconfig: ")


def test_an_api_server_that_cannot_be_reached_is_one_finding(
    tmp_path: Path, server: ApiServer
) -> None:
    server.close()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        server.port = probe.getsockname()[1]
    (finding,) = checked(tmp_path, kubernetes=asking(tmp_path, server)).findings
    assert "refuses connections" in finding.what
    assert f"curl -k https://127.0.0.1:{server.port}/version" in finding.mend


@pytest.mark.parametrize(
    ("subject", "days", "why"),
    [
        ("IP:127.0.0.1", -1, "it has expired"),
        ("DNS:other.example", 2, "it is for another address than 127.0.0.1"),
    ],
)
def test_a_certificate_that_is_refused(tmp_path: Path, subject: str, days: int, why: str) -> None:
    ca = Authority(tmp_path, "ca")
    server = FakeServer(lambda _path, _headers: ok({}), ca.server(subject, days))
    config = kubeconfig(tmp_path, f"https://127.0.0.1:{server.port}", ca.certificate)
    (finding,) = checked(tmp_path, kubernetes=f"kubeconfig = {config}").findings
    server.close()
    assert finding.what.endswith(f"has a certificate that is not accepted: {why}")
    assert finding.mend.startswith(f"openssl s_client -connect 127.0.0.1:{server.port} ")


def test_no_way_to_an_api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (finding,) = checked(tmp_path).findings
    assert finding.where == "[kubernetes] kubeconfig"
    assert "there is no kubeconfig" in finding.what


# -- what a cluster has ----------------------------------------------------------------------------


def pod_network(name: str, *networks: str) -> Json:
    """A Node with Pod networks."""
    made = node(name, "192.168.0.11")
    return {**made, "spec": {"podCIDRs": list(networks)}}


def cluster_ip(name: str, *addresses: str) -> Json:
    """A Service with ClusterIPs."""
    made = service(name)
    return {**made, "spec": {**made["spec"], "clusterIPs": list(addresses)}}


OBJECTS = (
    pod_network("n1", "10.244.1.0/24", "fd44:1::/64"),
    cluster_ip("kubernetes", "10.96.0.1", "fd96::1"),
    cluster_ip("headless", "None"),
)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("203.0.113.0/24", None),
        ("10.244.0.0/16", "overlaps the Pod networks 10.244.1.0/24 (of n1)"),
        ("10.244.1.77", "overlaps the Pod networks 10.244.1.0/24 (of n1)"),
        ("203.0.113.1, 10.244.1.250-10.244.2.1", "overlaps the Pod networks 10.244.1.0/24 (of n1)"),
        ("fd44::/16", "overlaps the Pod networks fd44:1::/64 (of n1)"),
        ("10.96.0.0/16", "contains ClusterIPs of Services: 10.96.0.1 (default/kubernetes)"),
        ("fd96::/112", "contains ClusterIPs of Services: fd96::1 (default/kubernetes)"),
        ("10.96.0.2-10.96.0.9", None),
        (
            "192.168.0.0/24",
            "contains addresses of nodes (n1): it may contain those of other hosts, too",
        ),
        ("oops", "'oops' is not an IP address"),
        ("127.0.0.0/8", "'127.0.0.0/8' has loopback addresses (127.0.0.0/8)"),
    ],
)
def test_an_eip_that_overlaps_another_network(
    tmp_path: Path, manifests: str, address: str, what: str | None
) -> None:
    put(manifests, *OBJECTS, eip("pool", address))
    lines = found(tmp_path, kubernetes=manifests)
    if what is not None and "oops" in address:
        assert [line.startswith("Eip pool: 'oops' is ") for line in lines] == [True]
        return
    assert lines == ([f"Eip pool: {what}"] if what else [])


def test_what_cannot_be_read_and_what_has_no_effect(tmp_path: Path, manifests: str) -> None:
    entries = [{"peers": ["ghost"], "nodeSelector": {"matchLabels": {"rack": "9"}}}]
    typo = eip("typo", "203.0.113.64/26", advertisements=[{"MED": 5}])
    odd = {**eip("odd", "203.0.113.128/26"), "spec": 5}
    put(manifests, *OBJECTS, eip("pool", "203.0.113.0/26", advertisements=entries), typo, odd)
    folder = tmp_path / "manifests"
    (folder / "broken.yaml").write_text("a: 1\n{")
    peer = f"address = 127.0.0.1\nport = {free()}\nremote_as = 65001\nmode = active"
    report = checked(tmp_path, kubernetes=manifests, bgp=BGP, peer__a=peer)
    told = [f for f in report.findings if f.where.startswith(("Eip", "[kubernetes]"))]
    first, *others = [(f.where, f.what) for f in told]
    assert first[0] == "[kubernetes] manifests"
    assert first[1].startswith("broken.yaml:3: ")
    assert told[0].mend == f"edit {folder}/broken.yaml"
    assert others == [
        ("Eip odd", "spec is not an object"),
        ("Eip typo", "spec.advertisements[0] has no field 'MED'"),
        ("Eip pool", "spec.advertisements names peers that are not configured: ghost"),
        ("Eip pool", "spec.advertisements[0].nodeSelector selects no node of the cluster"),
    ]
    assert {f.mend for f in told[3:]} == {f"edit the manifest of Eip pool in {folder}"}


def test_an_eip_that_cannot_be_read_at_a_server(tmp_path: Path, server: ApiServer) -> None:
    server.objects = {"eips": [eip("pool", "203.0.113.0/26", advertisements=[{"med": -1}])]}
    (finding,) = checked(tmp_path, kubernetes=asking(tmp_path, server)).findings
    assert str(finding) == (
        "Eip pool: spec.advertisements[0].med is less than 0; to mend it: "
        "kubectl get eips pool -o yaml"
    )


@pytest.mark.parametrize("readable", [True, False])
def test_the_service_networks_by_their_objects_or_by_what_was_seen(
    tmp_path: Path, server: ApiServer, readable: bool
) -> None:
    server.forbidden = () if readable else ("list servicecidrs",)
    server.objects = {
        "nodes": [OBJECTS[0]],
        "services": [OBJECTS[1]],
        "eips": [eip("one", "10.96.255.0/24"), eip("two", "10.96.0.0/29")],
        "servicecidrs": [
            {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16", "fd96::/112"]}}
        ],
    }
    report = checked(tmp_path, kubernetes=asking(tmp_path, server))
    networks = "overlaps the Service networks 10.96.0.0/16 (ServiceCIDR)"
    ips = "contains ClusterIPs of Services: 10.96.0.1 (default/kubernetes)"
    expected = [("one", networks), ("two", networks)] if readable else [("two", ips)]
    assert [(f.where, f.what) for f in report.findings] == [
        (f"Eip {name}", what) for name, what in expected
    ]
    assert [str(entry) for entry in report.not_checked] == ([] if readable else [NOT_CHECKED])


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("n2", "set node_name = n1"),
        ("N1", "set node_name = n1"),
        ("n1.example.org", "set node_name = n1"),
        ("zz", "edit the manifest of Node zz in {folder}: there is none"),
        ("n1", None),
    ],
)
def test_a_node_name_that_no_node_has(
    tmp_path: Path, manifests: str, name: str, mend: str | None
) -> None:
    put(manifests, *OBJECTS)
    porter = f"state_dir = {tmp_path}/state\nnode_name = {name}"
    report = checked(tmp_path, kubernetes=manifests, porter=porter)
    whats = [(f.where, f.what, f.mend) for f in report.findings]
    mend = mend and mend.format(folder=tmp_path / "manifests")
    assert whats == ([("[porter] node_name", f"there is no Node {name}", mend)] if mend else [])


def test_names_from_the_cluster_are_printable(tmp_path: Path, manifests: str) -> None:
    evil = eip("p\n\x1b[31m", "10.244.1.0/24")
    put(manifests, OBJECTS[0], evil, pod_network("n\x1b2", "10.244.2.0/24"))
    report = checked(tmp_path, kubernetes=manifests)
    assert report.text.replace("\n", "").isprintable()
    assert len(report.text.splitlines()) == len(report.findings) or not report.findings
