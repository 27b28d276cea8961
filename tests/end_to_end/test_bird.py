# SPDX-License-Identifier: Apache-2.0
"""BIRD announces the VIPs that are ready, with the configuration of examples/, to a BIRD as router."""

import os
import signal
import time
from dataclasses import replace

import pytest

from conftest import ROOT, new_configuration, running_balancer, running_lab
from holdfast_lab import process
from holdfast_lab.configuration import Service
from holdfast_lab.loads import MessageLoad, outage_ms, seen_between
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.route_watch import RouteWatch
from holdfast_lab.router import Bird, announcing, example, fabric_router, wait_route
from test_forwarding import target
from test_orders import restart_control
from test_routes import ROUTES, WEIGHTS, WITHDRAWN_MS, decided_at

# On no network of the lab: without a route from us the router knows no way there.
VIP, VIP6 = "192.0.2.10", "2001:db8:10::10"
SERVICE = Service("web", "dsr", (VIP, VIP6), WEIGHTS, healthy=2)


@pytest.fixture(scope="module")
def lab():
    with running_lab((VIP, VIP6)) as lab:
        yield lab


@pytest.fixture
def configuration(lab):
    return replace(new_configuration(lab, (SERVICE,)), more=ROUTES)


@pytest.fixture
def announced(lab, balancer):
    """Both VIPs, at the router."""
    text = example("bird.conf", ROOT)
    with announcing(lab, lambda: Bird(lab, "balancer", text), (VIP, VIP6)) as bird:
        yield bird


def test_a_killed_dataplane_is_left_by_the_router_at_once(lab, balancer, announced):
    load = MessageLoad(lab, LoadPlan([target(SERVICE)]))
    load.wait_answered()
    watch = RouteWatch(lab, "fabric")
    killed = time.time()
    os.kill(balancer.pid_of("dataplane"), signal.SIGKILL)
    gone = watch.wait_for(VIP, gone=True, since=killed)
    gone6 = watch.wait_for(VIP6, gone=True, since=killed)
    back = watch.wait_for(VIP, gone=False, since=gone)
    watch.wait_for(VIP6, gone=False, since=gone6)
    report = load.settle(time.time())
    seen = seen_between(report, "udp", killed, time.time())
    print(
        f"router left it {(gone - killed) * 1e3:.0f} ms (IPv6 {(gone6 - killed) * 1e3:.0f} ms) after"
        f" the kill, came back after {back - killed:.2f} s; no datagram was answered for"
        f" {outage_ms(report, killed):.0f} ms, {len(seen.moved)} flows moved"
    )
    assert seen.moved == {}
    load.stop()
    watch.stop()


def test_a_service_below_its_floor_is_withdrawn_at_the_router(lab, balancer, announced):
    watch = RouteWatch(lab, "fabric")
    lab.servers["a"].kill()
    start = lab.servers["b"].kill()
    withdrawn = watch.wait_for(VIP, gone=True, since=start)
    process.wait_until(
        lambda: balancer.members()[("web", "a")]["health"] == "down"
        and balancer.members()[("web", "b")]["health"] == "down",
        "the verdicts",
    )
    verdict = min(decided_at(balancer, "a"), decided_at(balancer, "b"))
    after = (withdrawn - verdict) * 1e3
    print(f"router left it {after:.0f} ms after the verdict, {withdrawn - start:.2f} s after the end")
    assert after <= WITHDRAWN_MS
    for name in ("a", "b"):
        lab.servers[name].start().wait_ready()
    watch.wait_for(VIP, gone=False, since=withdrawn)
    watch.stop()


def test_an_orderly_stop_is_left_by_the_router(lab, binaries):
    configuration = replace(new_configuration(lab, (SERVICE,)), more=ROUTES)
    router = fabric_router(lab)
    bird = Bird(lab, "balancer", example("bird.conf", ROOT))
    try:
        with running_balancer(lab, binaries, configuration) as balancer:
            wait_route(lab, VIP, there=True)
            watch = RouteWatch(lab, "fabric")
            stopped = time.time()
            balancer.stop()
            gone = watch.wait_for(VIP, gone=True, since=stopped)
            print(f"router left it {(gone - stopped) * 1e3:.0f} ms after the stop was asked for")
        wait_route(lab, VIP6, there=False)
    finally:
        bird.stop()
        router.stop()


def test_only_routes_of_our_protocol_are_announced(lab, balancer, announced):
    lab.in_namespace("balancer", "ip", "route", "add", "192.0.2.99", "dev", "holdfast")
    try:
        process.wait_until(
            lambda: "192.0.2.99" in lab.in_namespace("balancer", "ip", "route"), "the other route"
        )
        announced.ask("reload", "all")
        assert VIP in announced.ask("show", "route")
        assert "192.0.2.99" not in announced.ask("show", "route")
    finally:
        lab.in_namespace("balancer", "ip", "route", "del", "192.0.2.99", "dev", "holdfast")


def test_a_drained_node_is_left_and_says_when_no_packet_comes_any_more(lab, balancer, announced):
    load = MessageLoad(lab, LoadPlan([target(SERVICE)]))
    load.wait_answered()
    watch = RouteWatch(lab, "fabric")
    start = time.time()
    drained = balancer.cli("node", "drain", "--wait", "--timeout", "20s", "--reason", "kernel")
    assert (drained.status, drained.err) == (0, "")
    assert "no packet has come for 1s" in drained.out
    gone = watch.wait_for(VIP, gone=True, since=start)
    print(f"router left it {(gone - start) * 1e3:.0f} ms after the drain was asked for")
    load.stop()
    health = balancer.cli("health")
    assert health.status == 1
    assert "the node is drained by" in health.out
    restart_control(balancer)
    assert balancer.status()["drained"]["reason"] == "kernel"
    assert balancer.status()["routes"] == 0
    # It forwards all the same: what is on its way is not lost.
    lab.in_namespace("fabric", "ip", "route", "add", VIP, "via", "203.0.113.2")
    try:
        command = f"exec 3<>/dev/tcp/{VIP}/80"
        lab.in_namespace("client", "timeout", "5", "bash", "-c", command)
    finally:
        lab.in_namespace("fabric", "ip", "route", "del", VIP, "via", "203.0.113.2")
    assert balancer.cli("node", "undrain").status == 0
    wait_route(lab, VIP, there=True)
    assert balancer.cli("health").status == 0
    watch.stop()
