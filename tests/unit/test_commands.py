"""What the commands print of an instance's answers, and the exit status that a script sees."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fabric.program import command
from porter_ryu.cli import COMMANDS, main
from porter_ryu.version import VERSION
from tests.unit import instance_answers as answers

HOSTILE = "web\x1b[2J\x07\n[bold]root[/]: \u202e \x7f"
Answers = dict[str, Any]


class Instance:
    """A server with these answers; any other path is a 404 with an error."""

    def __init__(self, found: Answers) -> None:
        outer = self
        self.answers = found
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                value = outer.answers.get(self.path)
                known = value is not None
                body = json.dumps(value if known else {"error": "there is no such path"}).encode()
                self.send_response(200 if known else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # it looks that often whether it is to end; half a second is the default
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def instance() -> Iterator[Instance]:
    """An instance that is well, with one peer and one pool."""
    made = Instance(
        {
            "/v1/status": answers.status(),
            "/v1/version": answers.version(),
            "/v1/peers": [answers.peer("leaf1")],
            "/v1/eips": [answers.eip("pool")],
            "/v1/services/default/web": answers.explanation("web"),
            "/v1/nodes": [answers.node("n1")],
        }
    )
    yield made
    made.close()


def printed(capsys: pytest.CaptureFixture[str], status: int, *argv: str) -> str:
    """The output of a command that ends with this status; it never exceeds 80 columns."""
    assert main(argv) == status
    out, err = capsys.readouterr()
    assert err == ""
    assert all(line.isprintable() for line in out.split("\n"))
    assert max(map(len, out.split("\n"))) <= 80 or "-o" in argv, out
    return out


# -- status ---------------------------------------------------------------------------------------


def test_status_is_fine_where_all_is_well(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    lines = printed(capsys, 0, "status", "--url", instance.url).splitlines()
    assert lines[0] == "all is well: 10 Services announced to 1 peer"
    text = "\n".join(lines)
    assert "0.1.0, running since" in text
    assert "leader" in text
    heard = "listed 2026-03-01T08:31:02Z, last event 2026-03-01T08:31:02Z"
    assert " ".join(text.split()).count(f"last heard {heard}") == 1
    assert "BFD" not in text
    assert next(line.split() for line in lines if line.startswith("leaf1"))[:4] == [
        "leaf1",
        "192.0.2.1",
        "65001",
        "Established",
    ]


def test_status_writes_large_numbers_as_its_sentences_do(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    states = {"Announced": 2_900, "Allocated": 101}
    instance.answers["/v1/status"] = answers.status(services={"total": 3_001, "states": states})
    text = printed(capsys, 0, "status", "--url", instance.url)
    assert "2,900 of 3,001 announced" in " ".join(text.split())


@pytest.mark.parametrize(
    "wrong",
    [
        {"/v1/peers": [answers.peer("leaf1"), answers.peer("leaf2", "Active")]},
        {"/v1/status": answers.status(ok=False, problems=[answers.problem("2 cannot be reached")])},
    ],
)
def test_status_is_1_where_something_is_wrong(
    capsys: pytest.CaptureFixture[str], instance: Instance, wrong: Answers
) -> None:
    instance.answers |= wrong
    printed(capsys, 1, "status", "--url", instance.url)
    printed(capsys, 1, "status", "--url", instance.url, "-o", "json")


def test_status_names_the_problems_and_what_mends_them(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    problems = [
        answers.problem("2 Services cannot be reached: no ready endpoint"),
        answers.problem(
            "the session with leaf2 is down: Bad Peer AS " * 3, mend="correct remote_as"
        ),
    ]
    instance.answers["/v1/status"] = answers.status(ok=False, problems=problems)
    down = answers.peer(
        "leaf2",
        "Active",
        lastDown={"time": answers.TIME, "reason": "Cease", "cause": "x", "by": "peer"},
    )
    instance.answers["/v1/peers"].append(down)
    text = " ".join(printed(capsys, 1, "status", "--url", instance.url).split())
    for part in ("no ready endpoint", "default/a, default/b", "Bad Peer AS", "correct remote_as"):
        assert part in text
    assert "last ended at 2026-03-01T08:31:02Z by peer: Cease" in text


def test_status_says_how_many_names_a_problem_leaves_out(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    names = [f"default/s{n}" for n in range(10)]
    problem = answers.problem("195 Services", services=195, objects=names, objectsTotal=195)
    instance.answers["/v1/status"] = answers.status(ok=False, problems=[problem])
    text = " ".join(printed(capsys, 1, "status", "--url", instance.url).split())
    assert "about: default/s0, default/s1, default/s2, default/s3, default/s4 and 190 more" in text


def test_status_shows_bfd_and_what_a_session_that_is_up_lacks(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    bfd = {"state": "up", "since": answers.TIME, "reason": "", "intervalMs": 300, "multiplier": 3}
    silent = {**bfd, "state": "down", "reason": "no answer yet"}
    instance.answers["/v1/peers"] = [
        answers.peer("leaf1", bfd=bfd, hint="no ADD-PATH for ipv4"),
        answers.peer("leaf2", bfd=silent),
        answers.peer("leaf3"),
    ]
    text = printed(capsys, 0, "status", "--url", instance.url)
    rows = [line.split() for line in text.splitlines()]
    assert ["leaf1", "up", "2026-03-01T08:31:02Z"] in rows
    assert ["leaf2", "down", "2026-03-01T08:31:02Z", "no", "answer", "yet"] in rows
    assert sum(row[:1] == ["leaf3"] for row in rows) == 1
    assert "  leaf1: no ADD-PATH for ipv4\n" in text


def unusable(name: str, why: str, since: str | None = answers.TIME) -> Answers:
    """An entry of the nodes that are not usable."""
    return {"node": name, "reason": "NotReady", "why": why, "since": since}


def test_status_names_the_nodes_that_are_not_usable(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    later = "2026-03-01T09:00:00.000Z"
    found = [
        unusable("n2", "it is not Ready", later),
        unusable("n3", "it is not Ready"),
        unusable("n4", "it has no address"),
        unusable("n5", "it is dead", None),
        *(unusable(f"m{number}", "it is deleted") for number in range(9)),
    ]
    nodes = {"total": 200, "usable": 180, "draining": 1, "drained": 2, "unusable": found}
    instance.answers["/v1/status"] = answers.status(nodes=nodes)
    text = " ".join(printed(capsys, 0, "status", "--url", instance.url).split())
    since = "since 2026-03-01T08:31:02Z"
    assert "180 of 200 usable, of these 2 drained, 1 being drained" in text
    assert f"n2 (since 2026-03-01T09:00:00Z), n3 ({since}): it is not Ready" in text
    assert f"n4: it has no address ({since})" in text
    assert "n5: it is dead (since before 2026-03-01T08:31:02Z)" in text
    assert f"m0, m1, m2, m3, m4 and 4 more: it is deleted ({since})" in text
    assert "and 7 more (/v1/nodes has all)" in text


@pytest.mark.parametrize(
    ("events", "lists", "text"),
    [
        ({"nodes": None}, {"nodes": None}, "not listed yet, no event since the start"),
        ({"nodes": None}, {"nodes": answers.TIME}, "listed 2026-03-01T08:31:02Z, no event since"),
        (
            {"nodes": "2026-03-01T08:00:00Z", "eips": "2026-03-01T09:00:00Z"},
            {"nodes": "2026-03-01T07:00:00Z", "eips": "2026-03-01T06:00:00Z"},
            "listed 2026-03-01T06:00:00Z, last event 2026-03-01T09:00:00Z",
        ),
    ],
)
def test_a_list_is_hearing_as_well_as_an_event(
    capsys: pytest.CaptureFixture[str],
    instance: Instance,
    events: Answers,
    lists: Answers,
    text: str,
) -> None:
    source = {"what": "directory /m", "lastEvent": events, "lastList": lists, "trouble": ""}
    instance.answers["/v1/status"] = answers.status(source=source)
    told = " ".join(printed(capsys, 0, "status", "--url", instance.url).split())
    assert f"last heard {text}" in told


def test_a_peer_without_a_session_in_this_process_says_so(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    instance.answers["/v1/peers"] = [answers.peer("leaf1", "Active", lastUp=None, lastDown=None)]
    text = printed(capsys, 1, "status", "--url", instance.url)
    assert "  leaf1: no session yet in this process\n" in text


def test_names_from_a_cluster_are_text_and_no_markup(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    instance.answers["/v1/eips"] = [answers.eip(HOSTILE, problem=HOSTILE, reason=HOSTILE)]
    instance.answers["/v1/peers"] = [answers.peer(HOSTILE, "Active", lastError=HOSTILE)]
    states = {"total": 1, "states": {HOSTILE: 1}}
    instance.answers["/v1/status"] = answers.status(summary=HOSTILE, services=states)
    assert "[bold]root[/]" in printed(capsys, 1, "status", "--url", instance.url)


def test_json_is_what_the_instance_says(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    found = json.loads(printed(capsys, 0, "status", "-o", "json", "--url", instance.url))
    assert found == {
        "status": answers.status(),
        "peers": [answers.peer("leaf1")],
        "eips": [answers.eip("pool")],
    }


def test_many_pools_are_folded(capsys: pytest.CaptureFixture[str], instance: Instance) -> None:
    instance.answers["/v1/eips"] = [answers.eip(f"pool{n}") for n in range(300)]
    text = printed(capsys, 0, "status", "--url", instance.url)
    assert "and 250 more pools" in text


def test_pools_that_are_disabled_or_cannot_be_read(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    unread = {"reason": "Unreadable", "message": "it cannot be read: oops", "ready": False}
    none = {"address": "", "usage": 0, "poolSize": 0}
    instance.answers["/v1/eips"] = [
        answers.eip("off", disabled=True),
        answers.eip("unread", **unread, **none),
    ]
    text = printed(capsys, 0, "status", "--url", instance.url)
    words = [" ".join(line.split()) for line in text.splitlines()]
    assert "off 203.0.113.0/24 Valid 10 256 4 %; disabled: no new address" in words
    assert "unread Unreadable it cannot be read: oops" in words
    instance.answers["/v1/changes?about=eip%20unread"] = []
    text = printed(capsys, 0, "history", "eip", "unread", "--url", instance.url)
    assert text.startswith("Eip 'unread': it cannot be read: oops\nno change")


@pytest.mark.parametrize(
    ("minutes", "full_at", "text"),
    [
        (60, "2026-03-01T11:31:00.000Z", "at the rate of the last hour full in 3 hours"),
        (60, "2026-03-11T08:31:00.000Z", "at the rate of the last hour full in 10 days"),
        (20, "2026-03-01T10:00:00.000Z", "at the rate of the last 20 minutes full in 89 minutes"),
        (15, "2026-03-01T08:32:00.000Z", "full in less than 2 minutes"),
        (60, "2026-03-01T08:00:00.000Z", "full in less than 2 minutes"),
    ],
)
def test_a_pool_that_fills_says_when_it_is_full(
    capsys: pytest.CaptureFixture[str], instance: Instance, minutes: int, full_at: str, text: str
) -> None:
    growth = {"added": 9, "seconds": 60 * minutes, "fullAt": full_at}
    instance.answers["/v1/eips"] = [answers.eip("pool", growth=growth), answers.eip("quiet")]
    told = " ".join(printed(capsys, 0, "status", "--url", instance.url).split())
    assert text in told
    assert told.count("full in") == 1


def on_a_terminal(*argv: str, **environment: str) -> str:
    """The output of a command on a terminal."""
    controller, terminal = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [command("porter-ryu"), *argv],
        stdout=terminal,
        stderr=terminal,
        env={**env, "TERM": "xterm-256color", **environment},
    ):
        os.close(terminal)
        shown = b""
        try:
            while data := os.read(controller, 65536):
                shown += data
        except OSError:  # the other side is closed
            pass
    os.close(controller)
    return shown.decode()


def test_colour_is_for_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    argv = ("status", "--url", instance.url)
    assert "\x1b[32m" in on_a_terminal(*argv)
    assert "\x1b" not in on_a_terminal(*argv, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(*argv, TERM="dumb")
    done = subprocess.run(
        [command("porter-ryu"), *argv],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm-256color", "FORCE_COLOR": "1"},
    )
    assert "\x1b" not in done.stdout


# -- explain --------------------------------------------------------------------------------------


def test_explain_has_next_hops_in_order_and_the_peers_that_were_not_sent_it(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    text = printed(capsys, 0, "explain", "default/web", "--url", instance.url)
    assert text.startswith("default/web: announced: 203.0.113.8 to leaf1, leaf2\n")
    nodes = [line.split()[1] for line in text.splitlines() if line.startswith("    node ")]
    assert nodes == ["n1:", "n2:", "n10:"]
    assert "sent to leaf1, leaf2: 192.0.2.1, 192.0.2.2\n" in text
    assert "not sent to leaf3: its session is Active: Connection refused\n" in text


def test_long_lists_are_folded(capsys: pytest.CaptureFixture[str], instance: Instance) -> None:
    entry = answers.explanation("web")
    why = "it runs no endpoint of this Service"
    hops = [
        {"node": f"n{n}", "nextHop": f"192.0.2.{n}", "reason": "NextHop", "why": ""}
        for n in range(40)
    ]
    others = [
        {"node": f"m{n}", "nextHop": None, "reason": "NoEndpoint", "why": why} for n in range(900)
    ]
    entry["routes"][0] |= {
        "nodes": [*others, *hops],
        "peers": {f"leaf{n}": ["192.0.2.1"] for n in range(64)},
    }
    instance.answers["/v1/services/default/web"] = entry
    text = printed(capsys, 0, "explain", "default/web", "--url", instance.url)
    assert "and 24 more next hops" in text
    assert "nodes m0, m1, m2, m3, m4 and 895 more: no: " in text
    assert "leaf4 and 59 more: 192.0.2.1" in text
    assert len(text.splitlines()) < 30


def test_explain_by_address_shows_each_service_that_has_it(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    address = "203.0.113.8"
    instance.answers[f"/v1/addresses/{address}"] = answers.address(address, "web", "db")
    other = answers.explanation("db", announced=False, state="X")
    instance.answers["/v1/services/default/db"] = other
    for text in (address, f"{address}/32", f"::ffff:{address}"):
        out = printed(capsys, 1, "explain", text, "--url", instance.url)
        assert "default/web: announced" in out
        assert "default/db: X" in out
    owned = answers.address(address, "web", owners=["node n1"], why="and of node n1")
    instance.answers[f"/v1/addresses/{address}"] = owned
    out = printed(capsys, 0, "explain", address, "--url", instance.url)
    assert out.startswith("default/web: announced")
    assert out.endswith(f"\n{address}: and of node n1\n")


@pytest.mark.parametrize(
    ("address", "path"),
    [("203.0.113.9", "203.0.113.9"), ("2001:DB8:0::1", "2001%3Adb8%3A%3A1")],
)
def test_explain_an_address_that_no_service_has(
    capsys: pytest.CaptureFixture[str], instance: Instance, address: str, path: str
) -> None:
    instance.answers[f"/v1/addresses/{path}"] = answers.address(address.lower(), why="why not")
    text = printed(capsys, 1, "explain", address, "--url", instance.url)
    assert text == f"{address.lower()}: no Service has it; why not\n"


def test_explain_a_node(capsys: pytest.CaptureFixture[str], instance: Instance) -> None:
    argv = ("explain", "--node", "n1", "--url", instance.url)
    names = [f"default/s{n}" for n in range(30)]
    alone = {"dependentsAlone": ["default/s29"]}
    instance.answers["/v1/nodes/n1"] = answers.node_dependents("n1", *names, **alone)
    text = printed(capsys, 0, *argv)
    assert "node n1: usable, since 2026-03-01T08:31:02Z\n" in text
    words = " ".join(text.split())
    assert "next hop of 30 Services, 1 of which has no other, 20 % of all paths that get" in words
    assert "traffic: default/s29 (no other next hop) default/s0 default/s1 " in words
    assert "and 10 more" in text
    why = "it is not Ready"
    waiting = {"reason": "NotReady", "why": why, "services": names, "alone": names[:2]}
    instance.answers["/v1/nodes/n1"] = answers.node_dependents(
        "n1", usable=False, reason="NotReady", why=why, mend="mend it", unserved=[waiting]
    )
    text = printed(capsys, 1, *argv)
    assert "node n1: not usable: it is not Ready, since 2026-03-01T08:31:02Z\n" in text
    assert "to mend it: mend it\n" in text
    assert "next hop of no Service\n" in text
    words = " ".join(text.split())
    assert f"not used by 30 Services, because {why}; 2 of them have no next hop: " in words
    assert "hop: default/s0 (no next hop) default/s1 (no next hop) default/s2 default/s3 " in words


def test_explain_a_node_that_is_gone(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    gone = {"node": "n77", "found": False, "usable": False, "reason": "NoSuchNode"}
    gone |= {"why": "there is no such Node", "dependents": [], "dependentsAlone": []}
    gone |= {"dependentsOthersDrained": []}
    instance.answers["/v1/nodes/n77"] = {**gone, "unserved": []}
    argv = ("explain", "--node", "n77", "--url", instance.url)
    assert printed(capsys, 1, *argv) == "node n77: there is no such Node\n"
    left = {"reason": "NoSuchNode", "why": "there is no such Node", "services": ["a/b"]}
    instance.answers["/v1/nodes/n77"] = {**gone, "unserved": [{**left, "alone": []}]}
    text = printed(capsys, 1, *argv)
    assert "  not used by 1 Service, because there is no such Node:\n    a/b\n" in text


@pytest.mark.parametrize(
    "argv",
    [
        ["explain"],
        ["explain", "a/b", "--node", "n1"],
        ["explain", "203.0.113.0/24"],
        ["explain", "web"],
        ["explain", "a/b/c"],
        ["explain", "999.0.0.1"],
        ["routes", "leaf1", "web"],
        ["history", "no", "subject"],
        ["history", "restart", "now"],
        ["history", "--since", ""],
        ["history", "--since", "10"],
        ["history", "--since", "m"],
        ["history", "--since", "0s"],
        ["history", "--since", "10m5d"],
        ["history", "--since=-10m"],
        ["history", "--since", "1.5h"],
        ["history", "--since", "yesterday\x1b[2J"],
        ["history", "--since", "2026-13-01T00:00:00Z"],
        ["history", "--limit", "0"],
        ["history", "--limit=-1"],
        ["history", "--limit", "many"],
        ["history", "--limit", ""],
    ],
)
def test_a_question_that_cannot_be_asked(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


# -- history --------------------------------------------------------------------------------------

LATER = "2026-03-01T09:00:00.000Z"


def test_history_says_how_far_back_it_goes(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    instance.answers["/v1/changes"] = [answers.change("n1, n2")]
    argv = ("history", "--url", instance.url)
    assert printed(capsys, 0, *argv) == (
        f"the record goes back to {answers.TIME}, when the process started\n"
        f"{answers.TIME} route 203.0.113.8: none -> n1, n2\n"
        "    Service default/web; sent 4.0 ms after it was read\n"
    )
    instance.answers["/v1/version"] = answers.version(LATER)
    storm = f"of kind route not all changes before {LATER} are on record"
    _, second, *_ = printed(capsys, 0, *argv).split("\n")
    assert second == storm
    for subject, told in (("node%20n1", True), ("peer%20leaf1", False), ("restart", False)):
        instance.answers[f"/v1/changes?about={subject}"] = [answers.change("n1")]
        about = subject.replace("%20", " ").split()
        assert (storm in printed(capsys, 0, "history", *about, "--url", instance.url)) is told
    instance.answers["/v1/changes?seconds=60"] = [answers.change("n1")]
    assert "record" not in printed(capsys, 0, *argv, "--since", "1m"), "nothing was before that"
    instance.answers["/v1/changes?about=default%2Fweb"] = []
    assert printed(capsys, 0, "history", "default/web", "--url", instance.url) == (
        f"no change of 'default/web' is on record\nthe record goes back to {LATER}\n"
    )


@pytest.mark.parametrize(
    ("subject", "query", "told"),
    [
        ("peer leaf9", "peer%20leaf9", "there is no peer 'leaf9'; there is 'leaf1'"),
        ("node n9", "node%20n9", "there is no Node 'n9'; there is 'n1'"),
        ("eip p9", "eip%20p9", "there is no Eip 'p9'; there is 'pool'"),
        ("default/gone", "default%2Fgone", "there is no Service 'default/gone'"),
    ],
)
def test_history_of_what_does_not_exist(
    capsys: pytest.CaptureFixture[str], instance: Instance, subject: str, query: str, told: str
) -> None:
    gone = {"namespace": "default", "name": "gone", "found": False}
    instance.answers |= {f"/v1/changes?about={query}": [], "/v1/services/default/gone": gone}
    text = printed(capsys, 0, "history", *subject.split(), "--url", instance.url)
    first, second, *_ = text.split("\n")
    assert first == told
    assert second.startswith(f"no change of '{subject}' is on record")
    assert ("knows nothing of an earlier Service of that name" in text) is ("/" in subject)
    assert ("porter-ryu history ADDRESS" in text) is ("/" in subject)
    # what is gone, and is on record, is no mistake
    instance.answers[f"/v1/changes?about={query}"] = [answers.change("")]
    printed(capsys, 0, "history", *subject.split(), "--url", instance.url)


@pytest.mark.parametrize("subject", ["peer leaf1", "node n1", "eip pool", "203.0.113.0/24", "::1"])
def test_history_of_what_did_not_change(
    capsys: pytest.CaptureFixture[str], instance: Instance, subject: str
) -> None:
    query = subject.replace(" ", "%20").replace("/", "%2F").replace(":", "%3A")
    instance.answers[f"/v1/changes?about={query}"] = []
    restart = "what the restart changed: porter-ryu history restart\n"
    assert printed(capsys, 0, "history", *subject.split(), "--url", instance.url) == (
        f"no change of '{subject}' is on record\n"
        f"the record goes back to {answers.TIME}, when the process started\n"
        f"{'' if subject.split(maxsplit=1)[0] in ('peer', 'eip') else restart}"
    )


@pytest.mark.parametrize(
    ("since", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), ("1d1s", 86_401)],
)
def test_history_of_the_last_minutes(
    capsys: pytest.CaptureFixture[str], instance: Instance, since: str, seconds: int
) -> None:
    argv = ("history", "--since", since, "--url", instance.url)
    instance.answers[f"/v1/changes?seconds={seconds}"] = [answers.change("n1")]
    assert "route 203.0.113.8: none -> n1\n" in printed(capsys, 0, *argv)
    instance.answers[f"/v1/changes?seconds={seconds}"] = []
    assert printed(capsys, 0, *argv).startswith(f"no change is on record since {since}\n")


@pytest.mark.parametrize(
    ("since", "number"),
    [
        ("2026-03-01T08:31:02.114Z", 1),
        ("2026-03-01T08:31:02.115Z", 0),
        ("2026-03-01T08:31:02", 1),
        ("2026-03-01T09:31:02+01:00", 1),
        ("2026-03-01T09:31:02Z", 0),
        ("2026-03-01", 1),
    ],
)
def test_history_since_a_time(
    capsys: pytest.CaptureFixture[str], instance: Instance, since: str, number: int
) -> None:
    instance.answers["/v1/changes"] = [answers.change("n1")]
    argv = ("history", "--since", since, "-o", "json", "--url", instance.url)
    assert len(json.loads(printed(capsys, 0, *argv))) == number


def test_history_tells_a_change_that_took_long_in_seconds(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    instance.answers["/v1/changes"] = [answers.change("n1", secondsToWire=3.86)]
    text = printed(capsys, 0, "history", "--url", instance.url)
    assert "Service default/web; sent 3.9 s after it was read" in text


def test_history_has_the_newest_and_folds_storms(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    instance.answers["/v1/changes"] = [
        *(answers.change("n1", sequence=n, object=f"203.0.113.{n}") for n in range(1, 8)),
        answers.change("n2", sequence=8, cause="Node n2"),
    ]
    argv = ("history", "--url", instance.url)
    lines = printed(capsys, 0, *argv).splitlines()
    assert lines.pop(0) == f"the record goes back to {answers.TIME}, when the process started"
    assert lines[0].startswith(f"{answers.TIME} 7 routes announced: 203.0.113.1, 203.0.113.2,")
    assert lines[-2:] == [
        f"{answers.TIME} route 203.0.113.8: none -> n2",
        "    Node n2; sent 4.0 ms after it was read",
    ]
    assert printed(capsys, 0, *argv, "--limit", "1").splitlines()[1:] == lines[-2:]
    assert printed(capsys, 0, *argv, "--limit", "99999999999999").splitlines()[1:] == lines
    assert printed(capsys, 0, *argv, "--all").count("route ") == 8
    instance.answers["/v1/changes?about=default%2Fweb"] = instance.answers["/v1/changes"]
    one = ("history", "default/web", "--url", instance.url)
    assert printed(capsys, 0, *one).count("route ") == 8, "each change of one Service"
    assert printed(capsys, 0, *argv, "--all", "--limit", "2").count("route ") == 2
    assert len(json.loads(printed(capsys, 0, *argv, "--limit", "3", "-o", "json"))) == 3


# -- routes ---------------------------------------------------------------------------------------


def test_routes_of_a_peer(
    capsys: pytest.CaptureFixture[str], instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("routes", "leaf1", "--url", instance.url)
    instance.answers["/v1/peers/leaf1/routes"] = [
        answers.route("203.0.113.8/32", "192.0.2.11", communities=["65000:1"], med=5),
        answers.route("203.0.113.8/32", "192.0.2.12", node="n2", weight=3),
    ]
    lines = printed(capsys, 0, *argv).splitlines()
    first, second = (line for line in lines if "192.0.2.1" in line)
    assert first.split()[:3] == ["203.0.113.8/32", "192.0.2.11", "n1"]
    assert second.split()[:2] == ["192.0.2.12", "n2"], "the prefix is not repeated"
    monkeypatch.setenv("COLUMNS", "200")
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "communities 65000:1, MED 5" in text
    assert "weight 3" in text
    found = json.loads(printed(capsys, 0, *argv, "-o", "json"))
    routes = instance.answers["/v1/peers/leaf1/routes"]
    assert found == [{"session": "leaf1", **route} for route in routes]


def test_a_long_table_is_not_folded(capsys: pytest.CaptureFixture[str], instance: Instance) -> None:
    communities = [f"65000:{number}" for number in range(20)]
    instance.answers["/v1/peers/leaf1/routes"] = [
        answers.route(f"10.0.{number // 256}.{number % 256}/32", "192.0.2.11", communities=given)
        for number, given in enumerate([communities] + [[]] * 599)
    ]
    assert main(("routes", "leaf1", "--url", instance.url)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 601
    assert " ".join(communities) in lines[1]
    assert {line.index("192.0.2.11") for line in lines[1:]} == {lines[0].index("NEXT HOP")}


def test_a_peer_that_is_announced_nothing(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    instance.answers["/v1/peers/leaf1/routes?prefix=203.0.113.8%2F32"] = []
    argv = ("routes", "leaf1", "203.0.113.8", "--url", instance.url)
    assert printed(capsys, 1, *argv) == "leaf1 is announced nothing of 203.0.113.8/32\n"
    instance.answers["/v1/peers"] = [answers.peer("leaf1", "Active", lastError="refused")]
    last = "/v1/peers/leaf1/routes?prefix=203.0.113.8%2F32&last=true"
    instance.answers[last] = []
    text = " ".join(printed(capsys, 1, *argv).split())
    assert f"its session is Active, down since {answers.TIME[:19]}Z: refused" in text
    assert "nothing of 203.0.113.8/32 is known that it was sent last" in text
    sent = answers.route("203.0.113.8/32", "192.0.2.11", med=5, announced=False, since=None)
    instance.answers[last] = [sent]
    text = " ".join(printed(capsys, 1, *argv).split())
    assert "what it was sent last of 203.0.113.8/32, which it may have removed: PREFIX" in text
    assert "203.0.113.8/32 192.0.2.11 n1 MED 5 -" in text
    kept = answers.peer("leaf1", "Active", routesKeptUntil=answers.TIME)
    instance.answers["/v1/peers"] = [kept]
    text = " ".join(printed(capsys, 1, *argv).split())
    assert (
        f"it keeps what it was sent last of 203.0.113.8/32, until about {answers.TIME[:19]}Z"
        in text
    )
    assert json.loads(printed(capsys, 1, *argv, "-o", "json")) == [{"session": "leaf1", **sent}]


def test_a_peer_that_does_not_exist(capsys: pytest.CaptureFixture[str], instance: Instance) -> None:
    assert main(["routes", "leaf9", "--url", instance.url]) == 2
    assert capsys.readouterr().err == "there is no peer 'leaf9'; the peers are leaf1\n"


def test_a_peer_with_several_sessions(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    names = ("fan@192.0.2.1", "fan@192.0.2.2")
    instance.answers["/v1/peers"] = [answers.peer(name, peer="fan") for name in names]
    for name in names:
        path = f"/v1/peers/{name.replace('@', '%40')}/routes"
        instance.answers[path] = [answers.route("203.0.113.8/32", "192.0.2.11")]
    text = printed(capsys, 0, "routes", "fan", "--url", instance.url)
    assert text.count("192.0.2.11") == 2
    assert all(f"{name}:\n" in text for name in names)
    found = json.loads(printed(capsys, 0, "routes", "fan", "-o", "json", "--url", instance.url))
    assert [entry["session"] for entry in found] == [*names]
    assert main(["routes", "nope", "--url", instance.url]) == 2
    assert capsys.readouterr().err == "there is no peer 'nope'; the peers are fan\n"


# -- all ------------------------------------------------------------------------------------------


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"porter-ryu {VERSION}\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert COMMANDS[name].HELP.split()[0] in capsys.readouterr().out


def test_rich_is_imported_only_where_tables_are_printed(instance: Instance) -> None:
    argv = [
        "-X",
        "importtime",
        "-c",
        "import sys; from porter_ryu.cli import main; main(sys.argv[1:])",
    ]
    python = command("python")
    done = subprocess.run(
        [python, *argv, "history", "-o", "json", "--url", instance.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "porter_ryu.cli" in done.stderr
    for module in ("rich", "ryu", "eventlet", "kubernetes"):
        assert f" {module}\n" not in done.stderr


# -- plan -----------------------------------------------------------------------------------------


LEAVING: tuple[Answers, ...] = ({"communities": []}, {"communities": ["graceful-shutdown"]})


def what_if(**fields: Any) -> Answers:
    """An answer about the drain of n3, which some text in it tries to make more of."""
    path: Answers = {
        "nextHop": "192.0.2.3",
        "share": 100.0,
        "weight": None,
        **dict.fromkeys(("localPref", "med", "asPathPrepend")),
        "sent": [],
        "toAll": True,
    }
    sides = [
        {"state": "Announced", "paths": {"203.0.113.9": [path | {"node": HOSTILE} | more]}}
        for more in LEAVING
    ]
    change = {"service": HOSTILE, "effect": "LastNextHop", "peers": [], "eips": [HOSTILE]}
    text = "1 Service has no other node and would stay on n3"
    effect = {"effect": "LastNextHop", "already": False, "services": 1, "text": text}
    return {
        "nodes": [{"node": "n3", "usable": False, "services": [HOSTILE] * 7}],
        "sentence": f"With n3 drained, {text}.",
        "effects": [effect],
        "services": [change | {"was": sides[0], "becomes": sides[1]}],
        "already": [],
        "aggregates": [],
        **fields,
    }


def test_plan_of_nodes_asks_for_all_of_them_at_once(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    instance.answers["/v1/plan?drain=n3%2Cn4%2Cn%206%2Cn%205&without=n1"] = what_if()
    words = ("--drain", "n3,n4", "n 6", "--drain", "n 5", "--without", "n1", "--url", instance.url)
    out = printed(capsys, 1, "plan", *words)
    assert out.startswith("With n3 drained, 1 Service has no other node and would stay on n3.\n")
    assert " with GRACEFUL_SHUTDOWN" in " ".join(out.split())
    assert "and 2 more (-o json has all)" in " ".join(out.split())
    as_json = printed(capsys, 1, "plan", *words, "-o", "json")
    assert json.loads(as_json) == what_if()


def test_plan_with_differences_asks_the_instance_of_the_configuration(
    capsys: pytest.CaptureFixture[str], instance: Instance, tmp_path: Path
) -> None:
    port = instance.url.rpartition(":")[2]
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "none.yaml").touch()
    path = tmp_path / "porter.conf"
    path.write_text(
        f"[DEFAULT]\nwsapi_port = {port}\n[porter]\nstate_dir = {tmp_path}\n"
        f"[kubernetes]\nmanifests = {tmp_path}/manifests\n[bgp]\nrouter_id = 192.0.2.1\n"
    )
    instance.answers["/v1/nodes"] = []
    instance.answers["/v1/plan"] = {"services": [], "eips": [], "warnings": []}
    words = ("plan", "--diff", "--config-file", str(path))
    assert printed(capsys, 0, *words) == "nothing would change\n"


def test_plan_of_a_node_is_fine_where_nothing_would_change(
    capsys: pytest.CaptureFixture[str], instance: Instance
) -> None:
    instance.answers["/v1/plan?without=n3"] = what_if(services=[], effects=[])
    printed(capsys, 0, "plan", "--without", "n3", "--url", instance.url)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--drain n3 --diff", "plan takes one of "),
        ("--without n3 --with x.yaml", "plan takes one of "),
        ("--diff --with x.yaml", "plan takes one of "),
        ("", "plan needs --config-file, unless "),
        ("--diff", "plan needs --config-file, unless "),
        ("--drain n9 --url URL", "there is no such path"),
        ("--drain n3 --url URL", "not from Porter-Ryu"),
    ],
)
def test_a_plan_that_cannot_be_made(
    capsys: pytest.CaptureFixture[str], instance: Instance, words: str, why: str
) -> None:
    instance.answers["/v1/plan?drain=n3"] = [what_if()]
    assert main(["plan", *words.replace("URL", instance.url).split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert why in err
