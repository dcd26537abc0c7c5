"""What is told of the switches."""

from __future__ import annotations

from ipaddress import ip_address

from msgspec.structs import replace

from porter_ryu import report_switches
from porter_ryu.openflow.report import SwitchReport

N1, N2 = ip_address("192.168.7.11"), ip_address("192.168.7.12")
SWITCH = SwitchReport(1, "192.168.9.2", 6, "filled", 30, 2, 32, 0.0, False, (), ((N1, None),), ())


def test_the_share_of_a_node_is_that_of_the_packets_for_its_eip() -> None:
    packets = ((("a", N1), 30), (("a", N2), 10), (("b", N1), 7), (("c", N1), 0))
    told = report_switches.switch(replace(SWITCH, packets=packets), str)["packets"]
    assert [(each["eip"], each["nextHop"], each["share"]) for each in told] == [
        ("a", str(N1), 75.0),
        ("a", str(N2), 25.0),
        ("b", str(N1), 100.0),
        ("c", str(N1), None),
    ]
