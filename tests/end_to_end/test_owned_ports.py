# SPDX-License-Identifier: Apache-2.0
"""Ports that the dataplane owns, with real TCP and UDP through them, and the kernel behind twins."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from conftest import SERVICES, owned_vips, running_lab
from holdfast_lab import owned_ports, process
from holdfast_lab.balancer import Balancer
from holdfast_lab.configuration import Configuration
from holdfast_lab.loads import MessageLoad, NewConnections
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.owned_ports import MemifTopology, TapTopology, XdpTopology
from holdfast_lab.topology import BALANCER_PORTS
from test_forwarding import assert_every_message_answered, target

# Connects where nobody listens: the kernel's own refusal is an answer, several times over.
REFUSED = """
import errno, socket, sys
for _ in range(20):
    try:
        socket.create_connection((sys.argv[1], 9), 5)
    except OSError as error:
        assert error.errno == errno.ECONNREFUSED, error
"""
KINDS = {
    "tap": (TapTopology, lambda: ""),
    "memif": (MemifTopology, owned_ports.lacks_memif),
    "af_xdp": (XdpTopology, owned_ports.lacks_xdp),
}
LINK_LIMIT_SECONDS = 1.0


@pytest.fixture(scope="module", params=KINDS)
def lab(request):
    kind, lacks = KINDS[request.param]
    if lacks():
        pytest.skip(lacks())
    with running_lab(owned_vips(SERVICES), kind) as topology:
        yield topology


@contextlib.contextmanager
def running_on_ports(lab, binaries, wait_settled=lambda balancer: None, ready_seconds=15.0):
    """Holdfast on the lab's ports, ready, and all that the kernel asks for at first answered."""
    name = f"test-{lab.run.id}"
    configuration = Configuration(
        lab.run.folder / f"holdfast-{name}", name, SERVICES, ports=lab.ports()
    )
    balancer = Balancer(lab, binaries, configuration).start()
    try:
        lab.connect()
        balancer.wait_ready(ready_seconds)
        wait_settled(balancer)
        # The kernel asks for a neighbour once a second: what it asked for before the cables were in.
        first = MessageLoad(lab, LoadPlan([target(one, 1, 1) for one in SERVICES]))
        first.wait_answered()
        first.stop()
        yield balancer
    finally:
        balancer.stop()


@pytest.fixture(scope="module")
def balancer(lab, binaries):
    with running_on_ports(lab, binaries) as balancer:
        yield balancer


def test_numbered_flows_through_owned_ports_are_answered_once_by_one_backend_each(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(one, connections=8, flows=8) for one in SERVICES]))
    load.wait_answered()
    assert_every_message_answered(load.stop(), balancer)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_new_connections_through_owned_ports_are_shared_and_none_fails(lab, balancer, service):
    result = NewConnections(lab, service.vips[0], 1).result()
    assert result["failed"] == 0
    assert set(result["answers"]) == {"a", "b", "c"}


def test_the_kernel_is_reached_by_its_twins_and_no_frame_for_it_is_dropped(lab, balancer):
    for address in ("203.0.113.2", "2001:db8::2", "10.0.3.2", "2001:db8:3::2"):
        lab.in_namespace("fabric", "/usr/bin/python3", "-c", REFUSED, address)
    for port in ports_of(balancer).values():
        dropped = {name: value for name, value in port.items() if "kernel_dropped" in name}
        assert len(dropped) == 5 and not any(dropped.values())
        assert port["kernel_received"] > 0 and port["kernel_transmitted"] > 0


@pytest.mark.parametrize("port", BALANCER_PORTS, ids=lambda port: port.bridge)
def test_a_pulled_cable_is_seen_by_the_kernel_and_the_operator_and_so_is_its_return(
    lab, balancer, port
):
    twin = owned_ports.TWINS[port.name]
    for state, running in (("down", False), ("up", True)):
        lab.set_link(port, state)
        for seen in (lambda: has_carrier(lab, twin), lambda: link_up(balancer, twin)):
            took = process.wait_until(lambda: seen() is running, f"{twin} to be {state}")
            assert took < LINK_LIMIT_SECONDS
    balancer.wait_ready()
    result = NewConnections(lab, SERVICES[0].vips[0], 1).result()
    assert result["failed"] == 0


def test_no_thread_keeps_a_capability_once_the_ports_are_open(balancer):
    threads = Path("/proc", str(balancer.pid_of("dataplane")), "task")
    capabilities = {
        line.split()[1]
        for status in threads.glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith(("CapPrm", "CapEff", "CapBnd"))
    }
    assert capabilities == {"0" * 16}


# A tap's cable goes with the process, and with it its bridge's MAC address, which is the router's.
def test_a_killed_dataplane_goes_on_over_the_twins_it_left(lab, balancer):
    killed = balancer.pid_of("dataplane")
    os.kill(killed, signal.SIGKILL)
    process.wait_until(lambda: balancer.pid_of("dataplane") not in (0, killed), "a new dataplane")
    assert "203.0.113.2" in lab.in_namespace("balancer", "ip", "addr", "show", "wan0")
    lab.connect_again()
    load = MessageLoad(lab, LoadPlan([target(one, 4, 4) for one in SERVICES]))
    load.wait_answered(30.0)  # a SYN that found no backend up is sent again after 1, 3, 7 s
    report = load.stop()
    assert report["tcp"]["broken"] == [] and report["tcp"]["moved"] == []
    assert all(port["link_up"] for port in balancer.status()["ports"])


def test_an_upgrade_ends_first_what_two_processes_cannot_have(lab, balancer):
    done = balancer.cli("upgrade")
    assert done.status == 0, done.err
    assert "of a kind that two processes cannot have at once" in done.err
    assert "ends before the other one starts" in done.out and "gave way" in done.out
    lab.connect_again()
    load = MessageLoad(lab, LoadPlan([target(one, 4, 4) for one in SERVICES]))
    load.wait_answered(30.0)
    report = load.stop()
    assert report["tcp"]["broken"] == [] and report["tcp"]["moved"] == []


def has_carrier(lab, twin: str) -> bool:
    said = lab.in_namespace("balancer", "ip", "-j", "link", "show", twin)
    return "NO-CARRIER" not in json.loads(said)[0]["flags"]


def link_up(balancer, twin: str) -> bool:
    return next(port["link_up"] for port in balancer.status()["ports"] if port["name"] == twin)


def ports_of(balancer) -> dict[str, dict]:
    return {port["name"]: port["counters"] for port in balancer.status()["ports"]}
