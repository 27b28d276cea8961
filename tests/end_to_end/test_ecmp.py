# SPDX-License-Identifier: Apache-2.0
"""Two nodes with one configuration behind a router that spreads flows: they choose alike, so that a
connection lives on at the other node when its own one goes."""

import contextlib
import os
import signal
import time
from dataclasses import replace

import pytest

from conftest import ROOT, new_configuration, running_lab
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad, seen_between
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.pair import FIRST, SECOND, PairTopology, two_balancers
from holdfast_lab.route_watch import RouteWatch
from holdfast_lab.router import NODES, Bird, calm, example, fabric_router
from test_bird import SERVICE, VIP, VIP6
from test_forwarding import target
from test_routes import ROUTES

CONNECTIONS = 2000


@pytest.fixture(scope="module")
def lab():
    with running_lab((VIP, VIP6), PairTopology) as lab:
        # By addresses and ports, as routers do.
        process.set_sysctls(
            lab.namespace("fabric"),
            {
                "net/ipv4/fib_multipath_hash_policy": "1",
                "net/ipv6/fib_multipath_hash_policy": "1",
            },
        )
        yield lab


def of_second(text: str) -> str:
    """The example's configuration for the second node."""
    for first, second in zip(NODES[0], NODES[1]):
        text = text.replace(f"{first};", f"{second};")
    return text


def as_it_stands(text: str) -> str:
    return text


@contextlib.contextmanager
def spread_over_nodes(lab, binaries, tuned):
    configuration = replace(new_configuration(lab, (SERVICE,)), more=ROUTES)
    nodes = two_balancers(lab, binaries, configuration)
    daemons = [fabric_router(lab, nodes=2, tuned=tuned)]
    text = example("bird.conf", ROOT, tuned)
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait_ready()
        for node, own in zip(nodes, (text, of_second(text).replace("local as 65001", "local as 65002"))):
            daemons.append(Bird(lab, node.role, own))
        wait_hops(lab, 2)
        yield nodes
    finally:
        for daemon in daemons:
            daemon.stop()
        for node in nodes:
            node.stop()
        for role in (FIRST, SECOND):
            lab.connect(role)


@pytest.fixture
def nodes(lab, binaries):
    with spread_over_nodes(lab, binaries, calm) as nodes:
        yield nodes


@pytest.fixture
def watched_nodes(lab, binaries):
    """With BFD of 3 x 50 ms, as in the examples."""
    with spread_over_nodes(lab, binaries, as_it_stands) as nodes:
        yield nodes


def hops(lab) -> int:
    listed = lab.in_namespace("fabric", "ip", "route", "list", "exact", VIP)
    return sum(listed.count(f"via {node[0]} ") for node in NODES)


def wait_hops(lab, wanted: int, limit_seconds: float = 20) -> float:
    return process.wait_until(lambda: hops(lab) == wanted, f"{wanted} nodes", limit_seconds)


def loaded(lab, nodes) -> MessageLoad:
    plan = LoadPlan([target(SERVICE, connections=CONNECTIONS, flows=50)], messages_per_second=1.0)
    load = MessageLoad(lab, plan)
    load.wait_answered(30)
    return load


def flows_of(node) -> int:
    return sum(member["flows"] for member in node.members().values())


def report_of(load, start: float, what: str, after: float) -> None:
    seen = seen_between(load.settle(time.time()), "tcp", start, time.time())
    broken, moved = sum(seen.broken.values()), sum(seen.moved.values())
    print(
        f"{what}: the router left it after {after * 1e3:.0f} ms; of {CONNECTIONS} connections"
        f" {broken} broken ({100 * broken / CONNECTIONS:.1f} %), {moved} chose another backend"
    )
    assert broken == 0
    assert moved == 0


def test_a_killed_node_loses_no_connection(lab, nodes):
    load = loaded(lab, nodes)
    shares = [flows_of(node) for node in nodes]
    assert min(shares) > CONNECTIONS / 4, shares
    watch = RouteWatch(lab, "fabric")
    start = time.time()
    victim = nodes[1]
    for pid in (victim.supervisor.pid, victim.pid_of("control"), victim.pid_of("dataplane")):
        os.kill(pid, signal.SIGKILL)
    wait_hops(lab, 1)
    left = min(event.time for event in watch.events() if event.prefix == VIP and event.time > start)
    report_of(load, start, f"a killed node with {shares[1]} flows", left - start)
    assert flows_of(nodes[0]) >= CONNECTIONS
    load.stop()
    watch.stop()


def test_a_node_that_falls_silent_is_left_by_bfd(lab, watched_nodes):
    load = loaded(lab, watched_nodes)
    watch = RouteWatch(lab, "fabric")
    start = time.time()
    lab.cut_off(SECOND)
    wait_hops(lab, 1)
    left = min(event.time for event in watch.events() if event.prefix == VIP and event.time > start)
    report_of(load, start, "a silent node (BFD of 3 x 50 ms)", left - start)
    assert left - start < 2
    load.stop()
    watch.stop()


def test_a_drained_node_gives_its_flows_away_without_a_loss(lab, nodes):
    load = loaded(lab, nodes)
    share = flows_of(nodes[1])
    watch = RouteWatch(lab, "fabric")
    start = time.time()
    drained = nodes[1].cli("node", "drain", "--wait", "--timeout", "30s")
    assert drained.status == 0, drained.err
    left = min(event.time for event in watch.events() if event.prefix == VIP and event.time > start)
    report_of(load, start, f"a drained node with {share} flows", left - start)
    report = load.report()
    lost = [event for event in report["udp"]["lost"] if event[0] >= start]
    print(f"of its datagrams {len(lost)} were lost")
    assert lost == []
    load.stop()
    watch.stop()
