# SPDX-License-Identifier: Apache-2.0
"""VLAN interfaces as ports, with real TCP and UDP: clients come by an 802.1Q VLAN, backends stand
behind an 802.1Q VLAN within an 802.1ad one. The interfaces are the kernel's where it has them."""

import pytest

from conftest import SERVICES, owned_vips, running_lab
from holdfast_lab.balancer import Balancer
from holdfast_lab.configuration import Configuration
from holdfast_lab.loads import MessageLoad, NewConnections
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.topology import LAN_PORT, WAN_PORT
from holdfast_lab.vlans import VLAN_PORTS, VlanTopology
from test_forwarding import target


@pytest.fixture(scope="module")
def lab():
    with running_lab(owned_vips(SERVICES), VlanTopology) as topology:
        yield topology


@pytest.fixture(params=["vlans", "vlans-and-trunks"])
def balancer(request, lab, binaries):
    """Holdfast on the VLAN interfaces alone, or also on those below them."""
    trunks = (WAN_PORT, LAN_PORT) if request.param == "vlans-and-trunks" else ()
    name = f"test-{lab.run.id}-{request.param}"
    configuration = Configuration(
        lab.run.folder / f"holdfast-{name}",
        name,
        SERVICES,
        wan=VLAN_PORTS[WAN_PORT],
        lan=VLAN_PORTS[LAN_PORT],
        more_ports=trunks,
    )
    balancer = Balancer(lab, binaries, configuration).start()
    try:
        balancer.wait_ready()
        yield balancer
    finally:
        balancer.stop()


def test_numbered_flows_through_vlans_are_answered_once_by_one_backend_each(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(one, connections=8, flows=8) for one in SERVICES]))
    load.wait_answered()
    report = load.stop()
    for kind in ("tcp", "udp"):
        seen = report[kind]
        assert (seen["lost"], seen["moved"], seen["broken"]) == ([], [], [])
        assert seen["refused"] == 0
        assert seen["sent"] == seen["answered"] > 0
    worker = balancer.status()["workers"][0]
    assert worker["unaccounted"] == 0
    # What comes by a trunk has a tag that is not the trunk's; it must go no second way.
    trunks = bool(balancer.configuration.more_ports)
    assert (worker["drops"].get("vlan_unknown", 0) > 0) == trunks


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_new_connections_through_vlans_are_shared_and_none_fails(lab, balancer, service):
    result = NewConnections(lab, service.vips[0], 1).result()
    assert result["failed"] == 0
    assert set(result["answers"]) == {"a", "b", "c"}
