# SPDX-License-Identifier: Apache-2.0
"""Every tunnel mode with real TCP and UDP: backends that take the outer headers off and answer the
client directly. vxlan ends in the backend's kernel, ipip, gre and gue in the lab's decapsulator."""

import pytest

from conftest import WEIGHTS
from holdfast_lab import run_record
from holdfast_lab.backends import Backend
from holdfast_lab.balancer import Balancer
from holdfast_lab.configuration import Configuration, Service
from holdfast_lab.loads import MessageLoad, NewConnections
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.topology import Topology
from test_forwarding import target

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
    run = run_record.RunRecord.begin()
    try:
        vips = tuple(vip for one in SERVICES for vip in one.vips)
        topology = Topology(run, dsr_vips=vips).build()
        topology.servers = {name: Backend(topology, name).start() for name in topology.backends}
        for name, server in topology.servers.items():
            server.wait_ready()
            server.decapsulate()
            topology.make_vxlan_ends(name, VNI)
        yield topology
    finally:
        run.finish()


@pytest.fixture(scope="module")
def tunnels(lab, binaries):
    """Holdfast with a service for every way, ready."""
    name = f"test-{lab.run.id}-tunnels"
    configuration = Configuration(lab.run.folder / f"holdfast-{name}", name, SERVICES)
    balancer = Balancer(lab, binaries, configuration).start()
    try:
        balancer.wait_ready()
        yield balancer
    finally:
        balancer.stop()


def test_numbered_flows_of_every_tunnel_are_answered_by_one_backend_each(lab, tunnels):
    load = MessageLoad(lab, LoadPlan([target(one, connections=10, flows=10) for one in SERVICES]))
    load.wait_answered()
    report = load.stop()
    for kind in ("tcp", "udp"):
        seen = report[kind]
        assert (seen["lost"], seen["moved"], seen["broken"]) == ([], [], [])
        assert seen["refused"] == 0
        assert seen["sent"] == seen["answered"] > 0
    status = tunnels.status()
    assert all(worker["unaccounted"] == 0 for worker in status["workers"])


@pytest.mark.parametrize("one", SERVICES, ids=lambda one: one.name)
def test_new_connections_through_a_tunnel_are_shared_and_none_fails(lab, tunnels, one):
    result = NewConnections(lab, one.vips[0], 1).result()
    assert result["failed"] == 0
    assert set(result["answers"]) == {"a", "b", "c"}
