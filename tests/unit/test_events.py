"""The same news once more counts up the Event that is there, until the server forgot it."""

from __future__ import annotations

from porter_ryu.domain.model import ObjectKey, Service
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.events import Events

WEB = Service(ObjectKey("default", "web"), uid="u1", ours=True)


class Server:
    """Keeps Events as an API server does."""

    def __init__(self) -> None:
        self.events: dict[str, dict] = {}

    def request(self, method: str, path: str, _query=None, body=None, _type="") -> dict:
        """Creates, or patches what is there."""
        if method == "POST":
            self.events[f"{path}/{body['metadata']['name']}"] = dict(body)
        elif path in self.events:
            self.events[path].update(body)
        else:
            raise ApiError(404, "NotFound", path)
        return {}

    def seen(self) -> list[tuple[str, int, str]]:
        """Reason, count and message of each."""
        return [(e["reason"], e["count"], e["message"]) for e in self.events.values()]


def test_a_storm_is_one_event_with_a_count():
    server = Server()
    events = Events(server)
    for number in range(50):
        events.tell(WEB, True, "NoReadyEndpoints", f"no {number}")
        events.tell(WEB, False, "Announced", "fine")
    assert server.seen() == [("NoReadyEndpoints", 50, "no 49"), ("Announced", 50, "fine")]


def test_an_event_that_the_server_forgot_is_made_anew():
    server = Server()
    events = Events(server)
    events.tell(WEB, True, "PoolExhausted", "full")
    server.events.clear()
    events.tell(WEB, True, "PoolExhausted", "full")
    assert server.seen() == [("PoolExhausted", 1, "full")]
