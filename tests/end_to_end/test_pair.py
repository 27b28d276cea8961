# SPDX-License-Identifier: Apache-2.0
"""Two nodes of which one has the VIPs: keepalived decides which, with the files of examples/."""

import os
import re
import signal
import time
from dataclasses import replace

import pytest

from conftest import ROOT, new_configuration, running_lab
from holdfast_lab import process
from holdfast_lab.configuration import Service
from holdfast_lab.loads import MessageLoad, outage_ms, seen_between
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.pair import FIRST, SECOND, Keepalived, PairTopology, two_balancers
from test_forwarding import target

VIP, VIP6 = "203.0.113.11", "2001:db8::11"
SERVICE = Service("web", "dsr", (VIP, VIP6), {"a": 100, "b": 100, "c": 100})
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def lab():
    with running_lab((VIP, VIP6), PairTopology) as lab:
        yield lab


@pytest.fixture
def nodes(lab, binaries):
    configuration = replace(new_configuration(lab, (SERVICE,)), more="pair: {start: standby}\n")
    nodes = two_balancers(lab, binaries, configuration)
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait_ready()
        yield nodes
    finally:
        for node in nodes:
            node.stop()
        for role in (FIRST, SECOND):
            lab.connect(role)


@pytest.fixture
def keepaliveds(nodes):
    """One beside each; the first node is the master."""
    running = [Keepalived(node, EXAMPLES, priority) for node, priority in zip(nodes, (110, 100))]
    try:
        wait_role(nodes[0], "active")
        yield running
    finally:
        for one in running:
            one.stop()


def wait_role(node, role: str) -> None:
    process.wait_until(lambda: node.status()["role"] == role, f"{node.role} to be {role}", 20)


def connect(lab, limit_seconds: int) -> None:
    """Raises OSError when the VIP does not answer."""
    command = f"exec 3<>/dev/tcp/{VIP}/80"
    lab.in_namespace("client", "timeout", str(limit_seconds), "bash", "-c", command)


def announced(node) -> int:
    return sum(worker["generated"]["announcement"] for worker in node.status()["workers"])


def load_on(lab, nodes) -> MessageLoad:
    load = MessageLoad(lab, LoadPlan([target(SERVICE, connections=200, flows=50)]))
    load.wait_answered()
    return load


def transitions(keepalived, state: str) -> int:
    return len(re.findall(rf"Entering {state} STATE", keepalived.process.said()))


def test_two_standbys_answer_for_no_vip_until_one_is_told(lab, nodes):
    assert [node.status()["role"] for node in nodes] == ["standby", "standby"]
    assert [announced(node) for node in nodes] == [0, 0]
    with pytest.raises(OSError):
        connect(lab, 1)
    assert nodes[1].cli("node", "active").status == 0
    assert nodes[1].cli("node", "active").status == 0
    connect(lab, 5)
    assert announced(nodes[1]) >= 2
    assert announced(nodes[0]) == 0
    # It stays what it is over the deaths of both processes.
    for name in ("control", "dataplane"):
        old = nodes[1].pid_of(name)
        os.kill(old, signal.SIGKILL)
        process.wait_until(lambda: nodes[1].pid_of(name) not in (0, old), f"a new {name}")
        process.wait_until(lambda: nodes[1].cli("status").status == 0, "control")
        wait_role(nodes[1], "active")
    assert nodes[1].cli("node", "standby").status == 0
    assert nodes[1].status()["role"] == "standby"


def test_the_standby_takes_over_from_a_node_that_falls_silent(lab, nodes, keepaliveds):
    load = load_on(lab, nodes)
    before, masters = announced(nodes[1]), transitions(keepaliveds[1], "MASTER")
    start = time.time()
    lab.cut_off(FIRST)
    keepaliveds[0].kill()
    wait_role(nodes[1], "active")
    process.wait_until(lambda: announced(nodes[1]) >= before + 4, "both announcements of both VIPs")
    report = load.settle(time.time())
    seen = seen_between(report, "tcp", start, time.time())
    print(
        f"takeover from a silent node (3 x 100 ms + skew in VRRP): {outage_ms(report, start):.0f} ms"
        f" of datagrams lost; of 200 connections {sum(seen.broken.values())} broken,"
        f" {sum(seen.moved.values())} moved"
    )
    assert transitions(keepaliveds[1], "MASTER") > masters
    assert outage_ms(report, start) < 2000
    assert (seen.broken, seen.moved) == ({}, {})
    load.stop()


def test_a_stopped_keepalived_hands_over_and_the_old_master_is_silent(lab, nodes, keepaliveds):
    load = load_on(lab, nodes)
    start = time.time()
    keepaliveds[0].stop()
    wait_role(nodes[1], "active")
    wait_role(nodes[0], "standby")
    report = load.settle(time.time())
    seen = seen_between(report, "tcp", start, time.time())
    print(f"handover in order: {outage_ms(report, start):.0f} ms of datagrams lost")
    assert outage_ms(report, start) < 2000
    assert (seen.broken, seen.moved) == ({}, {})
    load.stop()


def test_a_node_without_a_backend_that_takes_flows_gives_the_vips_away(lab, nodes, keepaliveds):
    load = load_on(lab, nodes)
    start = time.time()
    assert nodes[0].cli("drain", "node", "--force").status == 0
    wait_role(nodes[1], "active")
    report = load.settle(time.time())
    seen = seen_between(report, "tcp", start, time.time())
    print(f"handover of a node that is not ready: {outage_ms(report, start):.0f} ms lost")
    assert (seen.broken, seen.moved) == ({}, {})
    assert nodes[0].cli("undrain", "node").status == 0
    wait_role(nodes[0], "active")
    load.stop()
