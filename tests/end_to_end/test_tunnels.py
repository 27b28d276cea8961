# SPDX-License-Identifier: Apache-2.0
"""Every tunnel mode with real TCP and UDP: backends that take the outer headers off and answer the
client directly. vxlan ends in the backend's kernel, ipip, gre and gue in the lab's decapsulator."""

import pytest

from conftest import WEIGHTS, new_configuration, owned_vips, running_balancer, running_lab
from holdfast_lab.configuration import Service
from holdfast_lab.loads import MessageLoad, NewConnections
from holdfast_lab.message_client import LoadPlan
from test_forwarding import assert_every_message_answered, target

VNI = 4711
# Mode, family of the backends, of the VIP, the service's tunnel.
WAYS = [
    ("ipip", 4, 4, ""),
    ("ipip", 4, 6, ""),
    ("ipip", 6, 4, ""),
    ("ipip", 6, 6, ""),
    ("gre", 4, 4, ""),
    ("gre", 6, 6, ""),
    ("gue", 4, 4, ""),
    ("gue", 6, 4, ""),
    ("gue", 4, 6, "hops: 2"),
    ("vxlan", 4, 4, f"vni: {VNI}"),
    ("vxlan", 6, 6, f"vni: {VNI}"),
]


def service(number: int) -> Service:
    mode, outer, inner, tunnel = WAYS[number]
    vip = f"203.0.113.{20 + number}" if inner == 4 else f"2001:db8::{20 + number}"
    return Service(f"{mode}-{inner}in{outer}", mode, (vip,), WEIGHTS, tunnel=tunnel, outer=outer)


SERVICES = tuple(service(number) for number in range(len(WAYS)))


@pytest.fixture(scope="module")
def lab():
    """As everywhere, and each backend takes the outer headers off."""
    with running_lab(owned_vips(SERVICES)) as lab:
        for name, server in lab.servers.items():
            server.decapsulate()
            lab.make_vxlan_ends(name, VNI)
        yield lab


@pytest.fixture(scope="module")
def tunnels(lab, binaries):
    """Holdfast with a service for every way."""
    with running_balancer(lab, binaries, new_configuration(lab, SERVICES)) as balancer:
        yield balancer


def test_numbered_flows_of_every_tunnel_are_answered_by_one_backend_each(lab, tunnels):
    load = MessageLoad(lab, LoadPlan([target(one, connections=10, flows=10) for one in SERVICES]))
    load.wait_answered()
    assert_every_message_answered(load.stop(), tunnels)


@pytest.mark.parametrize("one", SERVICES, ids=lambda one: one.name)
def test_new_connections_through_a_tunnel_are_shared_and_none_fails(lab, tunnels, one):
    result = NewConnections(lab, one.vips[0], 1).result()
    assert result["failed"] == 0
    assert set(result["answers"]) == {"a", "b", "c"}
