# SPDX-License-Identifier: Apache-2.0
"""Traffic reaches the backends and comes back, in both modes, both families, TCP and UDP."""

import time

import pytest

from conftest import SERVICES
from holdfast_lab.backends import MESSAGE_TCP_PORT, MESSAGE_UDP_PORT
from holdfast_lab.loads import MessageLoad, NewConnections
from holdfast_lab.message_client import LoadPlan, Target


def target(service, connections: int = 40, flows: int = 20) -> Target:
    vip = service.vips[0]
    return Target(service.name, vip, MESSAGE_TCP_PORT, MESSAGE_UDP_PORT, connections, flows)


def assert_every_message_answered(report: dict, balancer) -> None:
    """No flow lost a message, changed its backend or broke, and every packet is accounted for."""
    for kind in ("tcp", "udp"):
        seen = report[kind]
        assert (seen["lost"], seen["moved"], seen["broken"]) == ([], [], [])
        assert seen["refused"] == 0
        assert seen["sent"] == seen["answered"] > 0
    assert all(worker["unaccounted"] == 0 for worker in balancer.status()["workers"])


@pytest.mark.quick
def test_numbered_flows_of_every_service_are_answered_by_one_backend_each(lab, balancer):
    # Of 20 flows a backend gets none once in a thousand times.
    load = MessageLoad(lab, LoadPlan([target(service, flows=60) for service in SERVICES]))
    time.sleep(3)
    report = load.stop()
    assert_every_message_answered(report, balancer)
    for kind in ("tcp", "udp"):
        for service in SERVICES:
            assert len(report[kind]["open"][service.name]) == 3, "every backend has a share"


@pytest.mark.quick
@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_new_connections_are_shared_and_none_fails(lab, balancer, service):
    result = NewConnections(lab, service.vips[0], 2).result()
    assert result["failed"] == 0
    total = sum(result["answers"].values())
    assert set(result["answers"]) == {"a", "b", "c"}
    assert all(abs(count / total - 1 / 3) < 0.08 for count in result["answers"].values())


CONNECT_FROM_EACH = """
import socket, sys
for address in sys.argv[3:]:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10, (address, 0)) as server:
        server.sendall(b"x")
"""


def retransmissions(lab, role: str) -> int:
    """TCP segments that a namespace had to send again."""
    names, values = (
        line.split()[1:]
        for line in lab.in_namespace(role, "cat", "/proc/net/snmp").splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("RetransSegs")])


def test_the_first_packets_of_clients_on_the_link_and_behind_a_router_get_their_answers(
    lab, balancer
):
    addresses = [f"203.0.113.{number}" for number in range(101, 141)]
    lab.make_neighbour("nearby", [f"{address}/24" for address in addresses])
    connect = ("/usr/bin/python3", "-c", CONNECT_FROM_EACH, "203.0.113.10", str(MESSAGE_TCP_PORT))
    lab.in_namespace("client", *connect, "0.0.0.0")
    lab.in_namespace("nearby", *connect, *addresses)
    assert balancer.status()["workers"][0]["drops"].get("no_neighbour", 0) == 0
    assert (retransmissions(lab, "client"), retransmissions(lab, "nearby")) == (0, 0)


def test_a_port_without_service_is_dropped_and_counted(lab, balancer):
    lab.in_namespace("client", "bash", "-c", "! timeout 1 bash -c '</dev/tcp/203.0.113.10/81'")
    assert balancer.status()["workers"][0]["drops"]["no_service"] >= 1


def test_an_echo_request_to_a_vip_is_answered(lab, balancer):
    probe = (
        "import socket,struct,sys;"
        "s=socket.socket(socket.AF_INET,socket.SOCK_RAW,1);s.settimeout(2);"
        "h=struct.pack('!BBHHH',8,0,0xf7fd,1,1);"
        "s.sendto(h,('203.0.113.10',0));"
        "sys.exit(0 if s.recv(100)[20]==0 else 1)"
    )
    lab.in_namespace("client", "/usr/bin/python3", "-c", probe)
