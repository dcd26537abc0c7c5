"""Reads the [liveness] group, and reports the errors in it."""

from __future__ import annotations

from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, MODES
from porter_ryu.liveness.probes import PROBES_MAX, LivenessSettings, Probe, parse_probe
from porter_ryu.settings_reader import Reader

_MILLISECONDS = 1000


def read_liveness(r: Reader) -> LivenessSettings:
    """What nodes are asked, and how often."""
    probes: list[Probe] = []
    for text in r.get("liveness", "probes") or ():
        try:
            probe = parse_probe(text)
        except ValueError as error:
            r.fault("liveness", "probes", str(error))
            continue
        if probe in probes:
            r.fault("liveness", "probes", f"{probe} is listed twice")
        probes.append(probe)
    if len(probes) > PROBES_MAX:
        r.fault("liveness", "probes", f"has {len(probes)} probes; the most are {PROBES_MAX}")
    mode = MODES[r.get("bgp", "next_hops") or ENDPOINTS.name]
    if probes and not mode.central:
        text = f"is for a central instance, but [bgp] next_hops is {mode.name}"
        r.fault("liveness", "probes", text)
    interval = (r.get("liveness", "interval_ms") or 0) / _MILLISECONDS
    return LivenessSettings(tuple(probes), interval, r.get("liveness", "multiplier"))
