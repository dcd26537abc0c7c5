"""What a reload of the configuration changed, as text."""

from __future__ import annotations

from collections.abc import Iterable

from porter_ryu.domain.peering import PeerConfig
from porter_ryu.history import subject
from porter_ryu.history.change import ChangeKind
from porter_ryu.history.record import History

_NAME = "configuration"


def record_reload(
    history: History,
    before: Iterable[PeerConfig],
    after: Iterable[PeerConfig],
    pending: Iterable[str],
    cause: str,
) -> None:
    """The configuration was read again; `before` and `after` are the configured sessions,
    `pending` has a sentence for each setting that needs a restart."""
    had, has = ({config.name: config for config in peers} for peers in (before, after))
    changed = {n: has[n].changed_options(had[n]) for n in has.keys() & had.keys()}
    parts = {
        "with": {name: name for name in has.keys() - had.keys()},
        "without": {name: name for name in had.keys() - has.keys()},
        "changed": {n: f"{n} ({', '.join(options)})" for n, options in changed.items() if options},
    }
    names = {name for some in parts.values() for name in some}
    told = "; ".join(
        f"{word} {', '.join(some[name] for name in sorted(some))}"
        for word, some in parts.items()
        if some
    )
    about = tuple(map(subject.of_peer, sorted(names)))
    text = "; ".join([f"in force, peers: {told or 'as before'}", *pending])
    history.add(ChangeKind.RELOAD, _NAME, "", text, cause, about)


def record_refused_reload(history: History, faults: Iterable[str], cause: str) -> None:
    """The configuration was read again and is invalid, so the one before stays in force."""
    text = f"not in force: {'; '.join(faults)}"
    history.add(ChangeKind.RELOAD, _NAME, "", text, cause)
