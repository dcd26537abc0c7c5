"""What gives a Service that cannot be reached its address, or a next hop.

It is said by `status` and by `explain` alike: words, commands, or both, with the real names.  What
`explain` shows anyway is no mend.  Parts of it are separated by semicolons.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from porter_ryu.domain import mending
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.editing import Editing
from porter_ryu.domain.explanation import NO_CANDIDATE, verdict_on
from porter_ryu.domain.model import Family, Kind, ObjectKey, Service
from porter_ryu.domain.nodes.next_hops import NodeVerdict
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.problems import quoted
from porter_ryu.domain.text import listed
from porter_ryu.domain.verdict import DrawReason, NodeReason, Reason

_POOL = "eip.porter.kubesphere.io/pool"
_MAX_NODES = 3  # that are mended with one answer
_OF_REQUEST = (Reason.INVALID_REQUEST, Reason.ADDRESS_IN_USE, Reason.ADDRESS_NOT_IN_POOL)
# the Eips to change, where the Service names none: those that explain judges so
_TO_CHANGE = {
    Reason.POOL_DISABLED: (DrawReason.DISABLED,),
    Reason.POOL_EXHAUSTED: (DrawReason.EXHAUSTED,),
    Reason.FAMILY_UNAVAILABLE: (
        DrawReason.FAMILY_UNAVAILABLE,
        DrawReason.AVAILABLE,
        DrawReason.EXHAUSTED,
    ),
    Reason.NOT_ALLOWED: (DrawReason.NOT_ALLOWED,),
    Reason.NO_POOL: (DrawReason.NOT_ALLOWED, DrawReason.NOT_SERVING, DrawReason.UNREADABLE),
}


def of_service(planner: Planner, decision: Decision, now: float) -> str:
    """What to do about a Service whose verdict is not ok.  `now` is of the clock of the turns, in
    seconds."""
    service, reason, editing = decision.service, decision.verdict.reason, planner.policy.editing
    if reason is Reason.UNREADABLE:
        return of_unreadable(planner, Kind.SERVICE, service.key)
    if reason is Reason.RECORD_UNKNOWN:
        unread = min(planner.allocator.unread_records, default=service.key)
        return of_unreadable(planner, Kind.SERVICE, unread)
    if reason is Reason.NO_READY_ENDPOINTS:
        return of_endpoints(service.key, editing)
    if reason is Reason.NO_USABLE_NODE:
        found = list(dict.fromkeys(_of_nodes(planner, decision, now)))
        return "; ".join(found[:_MAX_NODES]) or of_endpoints(service.key, editing)
    if service.deleting:
        show = f"{_kubectl(service.key, 'get')} -o jsonpath='{{.metadata.finalizers}}'"
        told = editing.mend(show, _manifest(service.key), "remove metadata.deletionTimestamp")
        return f"it is being deleted, and waits for its finalizers: {told}"
    another_family = reason is Reason.FAMILY_UNAVAILABLE and _asks_for_another_family(service)
    if reason in _OF_REQUEST or another_family:
        return "; ".join(_of_request(planner, service))
    if not planner.leading and reason is Reason.NO_POOL:
        verdicts = planner.allocator.pool_verdicts(service)
        if any(entry.verdict.ok for entry in verdicts):
            return "look at the log of the instance that assigns addresses (allocate = true)"
    return "; or ".join(_of_eips(planner, service, reason))


def of_endpoints(key: ObjectKey, editing: Editing) -> str:
    """What to look at where no endpoint of a Service is ready."""
    show = f"kubectl -n {quoted(key.namespace)} get endpointslices,pods -o wide"
    return editing.mend(show, f"the EndpointSlices of {_manifest(key)}")


def of_node(planner: Planner, entry: NodeVerdict, eip: str) -> str:
    """What to do about a verdict on a node, as `mending.of_node` has it."""
    node = planner.nodes.node(entry.node)
    if node is None and entry.verdict.reason is NodeReason.UNREADABLE:
        return of_unreadable(planner, Kind.NODE, ObjectKey("", entry.node))
    return mending.of_node(entry, node, eip, planner.policy)


def of_unreadable(planner: Planner, kind: Kind, key: ObjectKey) -> str:
    """What to do about an object that cannot be read."""
    name, folder = quoted(str(key)), planner.policy.editing.directory
    unreadable = planner.cluster.unreadable(kind, key)
    if unreadable is not None and folder:
        held = planner.allocator.held(key) if kind is Kind.SERVICE else ()
        known = [entry.address for entry in held]
        return planner.policy.editing.correct(unreadable.file, kind, known)
    if key.namespace:
        show = f"kubectl -n {quoted(key.namespace)} get {kind.value} {quoted(key.name)} -o yaml"
    else:
        show = f"kubectl get {kind.value} {name} -o yaml"
    return planner.policy.editing.mend(show, f"{kind.singular} {name}")


def of_record(planner: Planner) -> str:
    """What to look at where an address is not recorded in the status of a Service yet."""
    log = "the log" if planner.leading else "the log of the instance that leads, which writes it,"
    return f"it is being written; if this lasts, {log} says why it cannot be written"


def _of_nodes(planner: Planner, decision: Decision, now: float) -> Iterator[str]:
    """What to do about nodes that run a Service, or could carry its traffic, and may not."""
    service, count = decision.service, 0
    for held in decision.outcome.held:
        for entry in planner.resolver.verdicts(service, Family(held.address.version)):
            if entry.verdict.reason in NO_CANDIDATE:
                continue
            judged = verdict_on(planner, service, held.address, entry.node, now)
            told = of_node(planner, judged, held.eip)
            if told:
                yield told
                count += 1
            if count == _MAX_NODES:
                return


def _asks_for_another_family(service: Service) -> bool:
    """Whether a Service requests an address of a family that its spec does not have."""
    asked = service.request.addresses if service.request is not None else ()
    families = service.families
    return bool(families) and any(Family(address.version) not in families for address in asked)


def _of_request(planner: Planner, service: Service) -> Iterator[str]:
    """What to do about a request that cannot be met."""
    request, editing = service.request, planner.policy.editing
    if request is None:
        return
    for address in request.addresses:
        holders = [k for k in planner.allocator.holders(address) if k != service.key]
        if holders:
            verb = "holds" if len(holders) == 1 else "share"
            yield f"{listed([str(key) for key in holders])} {verb} {address}"
    annotation = request.source.removeprefix("annotation ")
    if annotation != request.source:
        command = f"{_kubectl(service.key, 'annotate')} {annotation}-"
    else:
        field = request.source.removeprefix("spec.")
        patch = f'\'{{"spec":{{"{field}":null}}}}\''
        command = f"{_kubectl(service.key, 'patch')} --type merge -p {patch}"
    change = f"change or remove {request.source}"
    told = editing.mend(command, _manifest(service.key), change)
    yield f"ask for another address, or leave the choice to the program: {told}"


def _of_eips(planner: Planner, service: Service, reason: Reason) -> Iterator[str]:
    """What to do about the Eips, and which of them the Service could name instead."""
    names = _to_change(planner, service, reason)
    others = [name for name in sorted(planner.allocator.pools) if _offers(planner, service, name)]
    if names:
        yield _of_eip(planner, names[0], reason)
    elif not others:
        folder = planner.policy.editing.directory
        where = f" in {folder}" if folder else ""
        yield f"create an Eip that the Service may use{where}"
    if others:
        first, key = quoted(others[0]), service.key
        command = f"{_kubectl(key, 'annotate --overwrite')} {_POOL}={first}"
        told = planner.policy.editing.mend(command, _manifest(key), f"annotate it {_POOL}={first}")
        whom = "for Eip" if len(others) == 1 else "for one of the Eips"
        yield f"ask {whom} {listed(others)}: {told}"


def _to_change(planner: Planner, service: Service, reason: Reason) -> list[str]:
    """The names of the Eips that could be changed for a Service."""
    if service.pool is not None:
        return [service.pool]
    if reason is Reason.NOT_ALLOWED and service.request is not None:
        eips = map(planner.allocator.eip_of, service.request.addresses)
        return [eip.name for eip in eips if eip is not None]
    wanted = _TO_CHANGE.get(reason, ())
    verdicts = planner.allocator.pool_verdicts(service)
    found = [entry for entry in verdicts if entry.verdict.reason in wanted]
    return [entry.eip for entry in sorted(found, key=lambda e: wanted.index(e.verdict.reason))]


def _of_eip(planner: Planner, name: str, reason: Reason) -> str:
    """How an Eip has to be changed so that a Service gets an address from it."""
    word, editing, pool = quoted(name), planner.policy.editing, planner.allocator.pools.get(name)
    edit = f"kubectl edit eip {word}"
    if pool is None:
        key = ObjectKey("", name)
        if planner.cluster.unreadable(Kind.EIP, key) is None:
            return f"Eip {word} does not exist: create it"
        if editing.directory:
            return f"Eip {word} cannot be read: {of_unreadable(planner, Kind.EIP, key)}"
        return f"Eip {word} cannot be read, correct it: {edit}"
    if not pool.serves:
        return f"Eip {word} does not serve, correct it: {editing.mend(edit, f'Eip {word}')}"
    if pool.eip.deleting:
        return f"Eip {word} is being deleted: create another"
    what, change = {
        Reason.POOL_DISABLED: ("gives no new address", "set spec.disable to false"),
        Reason.POOL_EXHAUSTED: ("is full", "add addresses"),
        Reason.FAMILY_UNAVAILABLE: ("has no address of its family", "add some"),
    }.get(
        reason,
        (
            "does not admit the Service",
            "change its namespaces, namespaceSelector or serviceSelector",
        ),
    )
    if reason is Reason.POOL_DISABLED:
        edit = f'kubectl patch eip {word} --type merge -p \'{{"spec":{{"disable":false}}}}\''
    words = f"Eip {word} {what}"
    if editing.directory:
        return f"{words}: {editing.mend(edit, f'Eip {word}', change)}"
    return f"{words}, {change}: {edit}"


def _offers(planner: Planner, service: Service, name: str) -> bool:
    """Whether a Service would get its address if it named this Eip."""
    if service.pool == name:
        return False
    pool = planner.allocator.pools[name]
    families = pool.space.families if pool.space is not None else frozenset[Family]()
    if service.families and not families.intersection(service.families):
        return False
    return planner.allocator.pool_verdict(name, replace(service, pool=name)).ok


def _kubectl(key: ObjectKey, what: str) -> str:
    return f"kubectl -n {quoted(key.namespace)} {what} service {quoted(key.name)}"


def _manifest(key: ObjectKey) -> str:
    return f"Service {quoted(str(key))}"
