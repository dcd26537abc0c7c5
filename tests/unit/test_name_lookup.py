"""Names are resolved without blocking the loop, by what Python itself would use."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
from types import ModuleType
from typing import Any

import eventlet
import pytest
from eventlet import patcher

from porter_ryu import name_lookup
from porter_ryu.kube.failures import failure

_ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.1", 6443))]
_threading = patcher.original("threading")


class Resolver:
    """A module with the functions of `socket`, whose name server answers when it is told to.
    `asked`: each request, and whether it came from a thread of its own."""

    def __init__(self, **functions: Any) -> None:
        self.answers = _threading.Event()
        self.asked: list[tuple[Any, bool]] = []
        self._thread = _threading.get_ident()
        self.module: Any = ModuleType("a module like eventlet.green.socket")
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "getnameinfo"):
            setattr(self.module, name, functions.get(name, self._resolve))
        name_lookup.install(self.module)

    def _resolve(self, host: str, *more: Any) -> Any:
        numeric = bool(more) and bool(more[-1] & socket.AI_NUMERICHOST)
        self.asked.append((host, _threading.get_ident() != self._thread))
        if numeric and not host[0].isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        if not numeric:
            assert self.answers.wait(60), "nobody else could run"
            if host.endswith(".invalid"):
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return _ANSWER


def pipes() -> set[str]:
    """The pipes of this process: each look-up has one, and what else is open other tests close."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the folder itself
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return {name for name in found if name.startswith("pipe:")}


def test_others_run_while_a_name_server_does_not_answer() -> None:
    resolver = Resolver()
    waiting = eventlet.spawn(resolver.module.getaddrinfo, "api.example", 6443)
    eventlet.spawn_after(0, resolver.answers.set)  # it runs only if the look-up lets it
    assert waiting.wait() == _ANSWER
    assert resolver.asked == [("api.example", False), ("api.example", True)]


def test_an_address_needs_no_thread() -> None:
    resolver = Resolver()
    assert resolver.module.getaddrinfo("203.0.113.1", 6443) == _ANSWER
    assert resolver.asked == [("203.0.113.1", False)]


@pytest.mark.parametrize("name", ["gethostbyname", "gethostbyname_ex", "getnameinfo"])
def test_the_other_functions_let_others_run_too(name: str) -> None:
    resolver = Resolver()
    waiting = eventlet.spawn(getattr(resolver.module, name), "api.example")
    eventlet.spawn_after(0, resolver.answers.set)
    assert waiting.wait() == _ANSWER


def test_an_error_is_that_of_the_resolver() -> None:
    resolver = Resolver()
    resolver.answers.set()
    with pytest.raises(socket.gaierror, match="no such name"):
        resolver.module.getaddrinfo("api.invalid", 6443)


def test_who_gives_up_leaves_no_descriptor() -> None:
    resolver = Resolver()
    resolver.answers.set()
    resolver.module.getaddrinfo("api.example", 6443)  # what the loop itself opens is open now
    before = pipes()
    resolver.answers.clear()
    done = _threading.Event()

    def resolve(*_: Any) -> None:
        resolver.answers.wait(60)
        done.set()

    other = Resolver(gethostbyname=resolve)
    waiting = eventlet.spawn(other.module.gethostbyname, "api.example")
    eventlet.sleep(0)
    waiting.kill()
    resolver.answers.set()
    assert done.wait(60)
    while pipes() - before:  # its thread closes the other end
        eventlet.sleep(0)


def test_who_gives_up_again_and_again_does_not_fill_the_process_with_threads() -> None:
    resolver = Resolver()
    resolver.answers.set()
    resolver.module.getaddrinfo("api.example", 6443)  # what the loop itself opens is open now
    resolver.answers.clear()
    before = pipes()
    resolver.asked.clear()
    for _ in range(1000):
        waiting = eventlet.spawn(resolver.module.gethostbyname, "api.example")
        eventlet.sleep(0)
        if waiting.dead:
            break
        waiting.kill()
    with pytest.raises(socket.gaierror, match="too many look-ups") as caught:
        waiting.wait()
    told = str(failure(caught.value, "api.example:6443"))
    assert told.endswith("its name does not resolve (no name server answers)")
    assert len(resolver.asked) < 1000
    resolver.answers.set()
    while True:  # its threads end one after the other
        try:
            assert resolver.module.gethostbyname("api.example") == _ANSWER
            break
        except socket.gaierror:
            eventlet.sleep(0)
    while pipes() - before:
        eventlet.sleep(0)


def test_without_a_thread_it_is_an_error_of_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(patcher.original("_thread"), "start_new_thread", none_left)
    before = pipes()
    with pytest.raises(OSError, match="can't start new thread"):
        Resolver().module.gethostbyname("api.example")
    assert not pipes() - before


def test_whoever_looks_for_the_cause_of_an_error_finds_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", none_left)
    with pytest.raises(OSError, match="Too many open files") as caught:
        Resolver().module.getaddrinfo("api.example", 6443)
    told = str(failure(caught.value, "api.example:6443"))
    assert "Too many open files" in told
    assert "name" not in told, "which resolves"


_RESOLVER_OF_RYU = """
import porter_ryu_compat
porter_ryu_compat.install()
import os, socket, sys
import ryu.cmd.manager
assert "dns" not in sys.modules and "EVENTLET_NO_GREENDNS" not in os.environ
assert socket.getaddrinfo("localhost", 80)[0][4][1] == 80
for call in (lambda: socket.getaddrinfo("localhost", "no-such-service"),
             lambda: socket.create_connection(("localhost", 1))):
    try:
        call()
    except OSError as error:
        print(type(error).__name__)
"""


def test_it_is_the_resolver_of_ryu_manager() -> None:
    argv = [sys.executable, "-c", _RESOLVER_OF_RYU]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["gaierror", "ConnectionRefusedError"], "")
